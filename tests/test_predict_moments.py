"""Expected attention of random heads: the identity itself, then the module against simulation."""

import itertools
import math
from functools import cache

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import SIGMAS

from ropesim import ensembles, processes, wrappers
from ropesim.ensembles import Moments, Part
from ropesim.errors import RopesimError
from ropesim.predict import attention
from ropesim.predict.moments import expected
from ropesim.simulate import attention as simulated

THETA = np.array([1.0, 0.2])
NONE = np.zeros((0, 4, 4))
TABLE = 1e-3          # interpolation and the grid of log t together, of a score


def predict(head, length, theta=THETA, **options):
    return expected(head.parts(length, theta), theta, length, **options)


def alone(length, *moments):
    return [Part(np.ones(length), Moments(*moments))]


# The identity (M-laplace), exhaustively

KEYS = [[(0.3, 0.2), (2.0, 0.8)], [(1.0, 0.5), (5.0, 0.5)], [(0.1, 0.9), (9.0, 0.1)]]      # (value, probability)


def every_sum(function):
    total = 0.0
    for outcome in itertools.product(*KEYS):
        y = [value for value, _ in outcome]
        total += math.prod(p for _, p in outcome) * function(y)
    return total


def integral(own):
    def phi(key, t):
        return sum(p * mpmath.exp(-t * y) for y, p in key)

    def integrand(t):
        return sum(p * own(t, y) * mpmath.exp(-t * y) for y, p in KEYS[0]) * phi(KEYS[1], t) * phi(KEYS[2], t)
    return float(mpmath.quad(integrand, [0, 0.1, 1, 3, 10, 40, mpmath.inf]))


def test_the_identity_gives_the_expected_score_of_discrete_keys():
    assert integral(lambda t, y: y) == pytest.approx(every_sum(lambda y: y[0] / sum(y)), rel=1e-12)


def test_the_identity_gives_the_expected_square_of_a_score():
    assert integral(lambda t, y: t * y * y) == pytest.approx(every_sum(lambda y: (y[0] / sum(y)) ** 2), rel=1e-12)


def test_the_identity_gives_the_expected_p_log_p():
    want = every_sum(lambda y: y[0] / sum(y) * math.log(y[0] / sum(y)))
    assert integral(lambda t, y: y * (mpmath.log(t * y) + mpmath.euler) if t else 0) == pytest.approx(want, rel=1e-9)


# Without spread it is the head of attention.profile

@given(st.floats(0, 4), st.integers(0, 6), st.integers(1, 20), st.integers(0, 3), st.integers(0, 9),
       st.none() | st.floats(-5, 5))
def test_a_head_without_spread_is_the_constant_head(strength, lag, length, skip, window, margin):
    head = ensembles.Slash(lag, strength)
    mean = head.mean(THETA)
    logits = attention.lag_logits(np.abs(mean.q), np.angle(mean.q), THETA, length)
    sink = None if margin is None else attention.sink_logits(logits, margin)
    want = attention.profile(logits, sink=sink, skip=skip, window=window)
    seen = predict(head, length, sink=sink, skip=skip, window=window)
    half = length // 2
    assert seen.nodes == 1
    np.testing.assert_allclose(seen.slash, want.slash, atol=TABLE)
    assert seen.sink == pytest.approx(want.received[0], abs=TABLE)
    assert seen.entropy == pytest.approx(want.entropy[half:].mean(), abs=5 * TABLE)
    assert seen.participation == pytest.approx(want.participation[half:].mean(), abs=3 * TABLE)


# Against simulation: mean and standard error over a fixed list of samples

def gaussian(correlation=0.0):
    """A full covariance, with the token's own query and key correlated."""
    rng = np.random.default_rng(5)
    root = rng.normal(size=(8, 8)) / 3
    joint = root @ root.T
    joint[4:, :4] *= correlation
    joint[:4, 4:] *= correlation
    return rng.normal(size=4), rng.normal(size=4), joint


def drawn(joint_head, length, count):
    q_mean, k_mean, joint = joint_head
    for seed in range(count):
        both = np.random.default_rng(seed).multivariate_normal(np.append(q_mean, k_mean), joint, size=length)
        yield both[:, :2] + 1j * both[:, 2:4], both[:, 4:6] + 1j * both[:, 6:]


def inside(name, value, error, samples):
    mean, stderr = np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / len(samples) ** 0.5
    worst = np.nanmax(np.abs(value - mean) / (error + SIGMAS * stderr + TABLE))
    assert worst <= 1, name


def with_sink(q, k, theta, sink):
    """A certain key 0, by a pair of its own that never turns."""
    if sink is None:
        return q, k, theta
    q, k = np.pad(q, ((0, 0), (0, 1))), np.pad(k, ((0, 0), (0, 1)))
    k[0], q[:, -1], k[0, -1] = 0, sink, 1
    return q, k, np.append(theta, 0.0)


def all_inside(seen, pairs, length, sink, **options):
    """Everything that is predicted, against the profiles of pairs of queries and keys."""
    profiles = [simulated.profile(*with_sink(q, k, THETA, sink), **options) for q, k in pairs]
    half = length // 2
    inside("slash", seen.slash, seen.slash_error, [p.slash for p in profiles])
    inside("received", seen.received, seen.received_error, [p.received for p in profiles])
    inside("sink", seen.sink, seen.sink_error, [p.received[0] for p in profiles])
    inside("entropy", seen.entropy, seen.entropy_error, [p.entropy[half:].mean() for p in profiles])
    inside("participation", seen.participation, seen.participation_error,
           [p.participation[half:].mean() for p in profiles])


OPTIONS = [(0, 0, None), (2, 0, 1.0), (0, 5, None), (1, 4, 2.0)]        # skip, window, sink


@pytest.mark.parametrize("correlation", [0.0, 0.9])
@pytest.mark.parametrize(("skip", "window", "sink"), OPTIONS)
def test_a_gaussian_head_is_predicted_within_its_error(correlation, skip, window, sink):
    length, count = 12, 400
    head = gaussian(correlation)
    q_mean, k_mean, joint = head
    cross = joint[4:, :4][None] if correlation else NONE
    certain = None if sink is None else np.full(length, sink)
    seen = expected(alone(length, q_mean, k_mean, joint[:4, :4], joint[4:, 4:], cross), THETA, length, skip=skip,
                    window=window, sink=certain, received=True)
    all_inside(seen, drawn(head, length, count), length, sink, skip=skip, window=window)


PROCESSES = {
    "ar1": processes.Ar1(rho_q=0.5, rho_k=0.9, sigma_q=0.7, sigma_k=0.8, lag=2, strength=1.5),
    "constant keys": processes.Ar1(rho_q=0.0, rho_k=1.0, sigma_q=0.5, sigma_k=0.8, lag=2),
    "alternating keys": processes.Ar1(rho_q=0.5, rho_k=-0.8, sigma_q=0.7, sigma_k=0.8, lag=2),
    "random walk": processes.RandomWalk(step=0.3, length=10, lag=2, strength=1.5),
    "seasonal": processes.Seasonal(period=4, sigma_q=0.7, sigma_k=0.8, lag=2, strength=1.5),
    "noisy seasons": wrappers.Noise(processes.Seasonal(period=4, sigma_q=0.4, sigma_k=0.8, lag=2), 0.5),
    "factor": wrappers.Factor(processes.Ar1(rho_q=0.5, rho_k=0.9, sigma_q=0.4, sigma_k=0.5, lag=2), 1.3, 1),
    "jumping": processes.Jumping(rate=0.4, gain=1.0, sigma_k=0.8, reach=5, lag=2, strength=1.5),
    "jumping always": processes.Jumping(rate=1.0, gain=0.7, sigma_k=0.8, reach=64, lag=2),
    "noisy jumps": wrappers.Noise(processes.Jumping(rate=0.4, gain=1.0, sigma_k=0.8, reach=5, lag=2), 0.5),
}


@pytest.mark.parametrize(("name", "skip", "window", "sink"), [
    (name, *option) for name in PROCESSES for option in (OPTIONS if name in ("ar1", "random walk", "jumping")
                                                         else OPTIONS[::3])])
def test_heads_whose_tokens_remember_are_predicted_within_their_error(name, skip, window, sink):
    length, count, head = 10, 200, PROCESSES[name]
    certain = None if sink is None else np.full(length, sink)
    seen = predict(head, length, skip=skip, window=window, sink=certain, received=True)
    pairs = (head.sample(length, np.random.default_rng(seed), THETA)[:2] for seed in range(count))
    all_inside(seen, pairs, length, sink, skip=skip, window=window)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_scale_multiplies_the_logits_of_a_path_too(scale):
    length, head = 12, PROCESSES["ar1"]
    seen = predict(head, length, scale=scale, received=True)
    pairs = (head.sample(length, np.random.default_rng(seed), THETA)[:2] for seed in range(400))
    all_inside(seen, pairs, length, None, scale=scale)


def test_received_is_none_unless_asked_for():
    head = wrappers.Noise(ensembles.Slash(2, 1.0), 0.5)
    without, with_it = predict(head, 9), predict(head, 9, received=True)
    assert without.received is None and without.received_error is None
    assert with_it.received.shape == with_it.received_error.shape == (9,)
    assert np.array_equal(without.slash, with_it.slash)


@given(st.floats(0, 2), st.integers(0, 6), st.integers(1, 16), st.none() | st.floats(-9, 6), st.integers(0, 9))
@example(0.0, 0, 3, -9.0, 0)           # row 0 has one key, whatever the certain logits of the others
def test_sink_is_what_key_0_receives(noise, lag, length, sink, window):
    certain = None if sink is None else np.full(length, sink)
    head = wrappers.Noise(ensembles.Slash(lag, 1.5), noise)
    seen = predict(head, length, sink=certain, window=window, received=True)
    assert seen.received[0] == pytest.approx(seen.sink, abs=TABLE)


LONG = 1e4 ** (-np.arange(32) / 32)


@pytest.mark.parametrize("quantity", ["slash", "received", "sink", "entropy", "participation"])
@pytest.mark.parametrize("margin", [None, 4.0])
@pytest.mark.parametrize("head", [ensembles.Slash(0, 0.0), ensembles.Slash(300, 1.0), ensembles.Slash(7, 1.5),
                                  ensembles.Constant(1 / np.arange(1, 33), np.arange(32.0))],
                         ids=["flat", "far", "near", "wavy"])
def test_the_error_of_a_long_head_without_spread_covers_the_rows_not_looked_at(head, margin, quantity):
    """Against `attention.profile`, which looks at every row: 600 rows, a hundred of which are looked at here."""
    length, mean = 600, head.mean(LONG)
    product = mean.q * mean.k.conj()
    logits = attention.lag_logits(np.abs(product), np.angle(product), LONG, length)
    sink = None if margin is None else attention.sink_logits(logits, margin)
    want = attention.profile(logits, sink=sink)
    exact = {"slash": want.slash, "received": want.received, "sink": want.received[0],
             "entropy": want.entropy[length // 2:].mean(), "participation": want.participation[length // 2:].mean()}
    seen = predict(head, length, LONG, sink=sink, received=True)._asdict()
    assert np.max(np.abs(seen[quantity] - exact[quantity]) / (seen[f"{quantity}_error"] + 1e-7)) <= 1


@cache
def far_on_a_path():
    """A head whose row 61, the first that holds the peak, lies between those looked at, 58 and 64."""
    length, head = 128, processes.Ar1(rho_q=0.5, rho_k=0.5, sigma_q=0.2, sigma_k=0.2, lag=61, strength=1.0)
    profiles = [simulated.profile(*head.sample(length, np.random.default_rng(seed), LONG)) for seed in range(200)]
    half = length // 2
    samples = {"slash": [p.slash for p in profiles], "received": [p.received for p in profiles],
               "sink": [p.received[0] for p in profiles], "entropy": [p.entropy[half:].mean() for p in profiles],
               "participation": [p.participation[half:].mean() for p in profiles]}
    return predict(head, length, LONG, received=True)._asdict(), samples


@pytest.mark.parametrize("quantity", ["slash", "received", "sink", "entropy", "participation"])
def test_a_far_lag_on_a_path_is_predicted_within_its_error(quantity):
    seen, samples = far_on_a_path()
    inside(quantity, seen[quantity], seen[f"{quantity}_error"], samples[quantity])


@pytest.mark.compiled
@pytest.mark.parametrize(("noise", "want"), [(0.05, 0.8733), (0.1, 0.8014), (0.2, 0.6486), (0.4, 0.4723), (0.8, 0.2792),
                                             (1.6, 0.0589)])
def test_the_table_of_a_noisy_slash_head(noise, want):
    """Our own earlier evaluation over 256 queries (head_dim 128, base 5e5, lag 7, T = 1024, skip 4)."""
    theta = 5e5 ** (-np.arange(64) / 64)
    seen = predict(wrappers.Noise(ensembles.Slash(7, 2.045), noise), 1024, theta, skip=4)
    assert seen.slash[7] == pytest.approx(want, abs=seen.slash_error[7] + 0.002)


# Properties

@given(st.floats(0, 3), st.floats(0, 4), st.integers(0, 9), st.integers(1, 16), st.none() | st.floats(-3, 6),
       st.integers(0, 9), st.integers(0, 3))
@example(0.0, 2.0, 0, 2, None, 1, 0)      # at step 0.9 the grid gave a participation of 1.0015
def test_values_are_scores_and_errors_are_finite_and_not_negative(noise, strength, lag, length, sink, window, skip):
    head = wrappers.Noise(ensembles.Slash(lag, strength), noise)
    certain = None if sink is None else np.full(length, sink)
    seen = predict(head, length, sink=certain, window=window, skip=skip)
    left = np.arange(length) + skip < length
    assert np.isnan(seen.slash[~left]).all() and np.isfinite(seen.slash[left]).all()
    assert (seen.slash[left] >= -TABLE).all() and (seen.slash[left] <= 1 + TABLE).all()
    errors = [*seen.slash_error[left], seen.sink_error, seen.entropy_error, seen.participation_error]
    assert np.isfinite(errors).all() and min(errors) >= 0
    assert -TABLE <= seen.sink <= 1 + TABLE and -TABLE <= seen.participation <= 1 + TABLE
    assert -5 * TABLE <= seen.entropy <= math.log(length) + 5 * TABLE


@given(st.floats(0.01, 3), st.integers(1, 16), st.integers(0, 9))
def test_the_scores_of_all_rows_sum_to_one(noise, length, window):
    seen = predict(wrappers.Noise(ensembles.Slash(2, 1.0), noise), length, window=window)
    assert seen.slash @ np.arange(length, 0, -1) == pytest.approx(length, rel=TABLE)


def test_the_same_head_gives_the_same_bits():
    head = wrappers.Noise(ensembles.Slash(1, 1.0), 0.5)
    first, second = predict(head, 9), predict(head, 9)
    assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_noise_in_the_keys_alone_needs_one_query():
    none = np.zeros((4, 4))
    assert expected(alone(8, np.ones(4), np.ones(4), none, np.eye(4), NONE), THETA, 8).nodes == 1


@pytest.mark.parametrize(("change", "words"), [
    ({"q": np.ones(3)}, "shape of q"),
    ({"k": np.ones(3)}, "shape of k"),
    ({"cov_q": np.eye(3)}, "shape of cov_q"),
    ({"cov_k": np.eye(3)}, "shape of cov_k"),
    ({"cov_k": -np.eye(4)}, "smallest eigenvalue of cov_k"),
    ({"cov_q": np.triu(np.ones((4, 4)))}, "asymmetry of cov_q"),
    ({"cov_q": -np.eye(4)}, "smallest eigenvalue of cov_q = -1.0: use a symmetric positive semi-definite matrix"),
    ({"cov_k": np.triu(np.ones((4, 4)))}, "asymmetry of cov_k"),
    ({"cross": np.zeros((1, 2, 2))}, "shape of cross"),
    ({"share": np.ones(4)}, "shape of share"),
    ({"nearest": -1}, "nearest = -1"),
    ({"theta": np.array([1e30, 1.0])}, "theta = 1e.30"),
    ({"length": 0}, "length = 0"),
    ({"scale": 0.0}, "scale = 0.0"),
    ({"sink": np.zeros(2)}, "shape of sink"),
    ({"skip": -1}, "skip = -1"),
    ({"skip": 0.5}, "skip = 0.5"),
    ({"window": -1}, "window = -1"),
    ({"window": (1 << 62) + 1}, "window = "),
    ({"theta": np.ones((2, 1))}, "shape of theta"),
    ({"share": np.full(5, np.nan)}, "share"),
    ({"nearest": 0.5}, "nearest = 0.5"),
])
def test_bad_arguments_are_named(change, words):
    good = {"q": np.ones(4), "k": np.ones(4), "cov_q": np.eye(4), "cov_k": np.eye(4), "cross": NONE}
    moments = {name: change.get(name, value) for name, value in good.items()}
    part = Part(change.get("share", np.ones(5)), Moments(**moments), change.get("nearest", 0))
    rest = {name: value for name, value in change.items() if name not in {*good, "share", "nearest"}}
    with pytest.raises(RopesimError, match=words):
        expected([part], **{"theta": THETA, "length": 5} | rest)
