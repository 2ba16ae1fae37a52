"""Random heads: what they draw against the moments that they state."""

import dataclasses

import numpy as np
import pytest
from tolerances import EXACT, SIGMAS

from ropesim.ensembles import Slash, real
from ropesim.errors import RopesimError
from ropesim.gaussians import Cone, FullGaussian, Gaussian, Massive
from ropesim.processes import Ar1, Jumping, RandomWalk, Seasonal
from ropesim.wrappers import Noise, Sink

THETA = np.array([1.0, 0.3, 0.0])
SEEDS = [0, 1]
LENGTH = 6
SEQUENCES = 4000
ROOT = np.random.default_rng(7).normal(size=(12, 12)) / 3
JOINT = ROOT @ ROOT.T
FULL = FullGaussian([1 + 2j, 0, 0.5j], [1, -1, 0], JOINT[:6, :6], JOINT[6:, 6:], JOINT[6:, :6])
SIZES = {"sigma_q": 0.5, "sigma_k": 0.8, "lag": 1, "strength": 1.5}
FAMILIES = {
    "gaussian": Gaussian(correlation=-0.6, **SIZES),
    "full": FULL,
    "cone": Cone(cosine=0.6, width=5, sigma=2.0, weights_seed=3, lag=2, strength=1.5),
    "ar1": Ar1(rho_q=0.9, rho_k=-0.5, **SIZES),
    "random walk": RandomWalk(step=0.3, length=LENGTH, lag=1, strength=2.0),
    "seasonal": Seasonal(period=3, **SIZES),
    "jumping": Jumping(rate=0.4, gain=1.5, sigma_k=0.8, reach=4, lag=1, strength=1.5),
    "massive": Massive(massive_q=7.0, massive_k=-4.0, pair=1, **SIZES),
}
SCALARS = [head for name, head in FAMILIES.items() if name != "full"]
every = pytest.mark.parametrize("head", FAMILIES.values(), ids=FAMILIES.keys())


def draw(head, seed, sequences=SEQUENCES, length=LENGTH):
    """Queries and keys as real vectors, float64[sequences, T, 2B]."""
    rng = np.random.default_rng(seed)
    drawn = [head.sample(length, rng, THETA)[:2] for _ in range(sequences)]
    return [real(np.array([one[part] for one in drawn])) for part in (0, 1)]


def agrees(by_sequence, expected):
    """Whether the mean over sequences is the expected one, within 5 of its standard errors."""
    mean, stderr = by_sequence.mean(axis=0), by_sequence.std(axis=0, ddof=1) / np.sqrt(len(by_sequence))
    return np.all(np.abs(mean - expected) <= SIGMAS * stderr + EXACT * (1 + np.abs(expected)))


# What is drawn has the moments that are stated; every average over sequences errs by 1 / sqrt(their number)

@every
@pytest.mark.parametrize("seed", SEEDS)
def test_samples_have_the_stated_mean_covariance_and_power(head, seed):
    m = head.moments(LENGTH, THETA)
    for x, mean, cov, power in zip(draw(head, seed), (m.q, m.k), (m.cov_q, m.cov_k), head.power(THETA)):
        assert agrees(x.mean(axis=1), mean)
        assert agrees(np.einsum("nti,ntj->nij", x - mean, x - mean) / LENGTH, cov)
        assert agrees((x ** 2).mean(axis=(1, 2)), power)


@every
@pytest.mark.parametrize("seed", SEEDS)
def test_queries_and_keys_have_the_stated_cross_covariance_at_every_lag(head, seed):
    m = head.moments(LENGTH, THETA)
    q, k = (x - mean for x, mean in zip(draw(head, seed), (m.q, m.k)))
    for n in range(LENGTH):
        expected = m.cross[n] if n < len(m.cross) else 0.0
        assert agrees(np.einsum("nti,ntj->nij", k[:, :LENGTH - n], q[:, n:]) / (LENGTH - n), expected), n


@every
def test_every_token_has_the_stated_mean(head):
    mean = head.mean(THETA)
    for x, expected in zip(draw(head, 2), mean[:2]):
        assert agrees(x, real(expected))


@every
def test_keys_depend_on_each_other_as_the_parts_say(head):
    part = head.parts(LENGTH, THETA)[0]                   # the keys are those of every part
    k = draw(head, 3)[1] - head.moments(LENGTH, THETA).k
    expected = np.trace(part.moments.cov_k) / 6 * np.eye(LENGTH)
    if part.slow:
        path = part.slow.path(np.eye(part.slow.size))
        expected = expected + np.mean(part.slow.root_k ** 2) * path @ path.T
    assert agrees(np.einsum("nti,nsi->nts", k, k) / 6, expected)


@every
def test_parts_add_up_to_the_moments(head):
    m, parts = head.moments(LENGTH, THETA), head.parts(LENGTH, THETA)
    np.testing.assert_allclose(sum(part.share for part in parts), 1.0, rtol=EXACT)
    cov_q, cov_k, mean_q = np.zeros((6, 6)), np.zeros((6, 6)), np.zeros(6)
    cross = np.zeros((LENGTH, 6, 6))
    for part in parts:
        share, one, slow = part.share.mean(), part.moments, part.slow
        mean_q += share * one.q
        cov_q += share * (one.cov_q + np.outer(one.q - m.q, one.q - m.q))
        cov_k += share * one.cov_k
        np.testing.assert_allclose(one.k, m.k, rtol=EXACT, atol=EXACT)
        for n, c in enumerate(one.cross, part.nearest):
            cross[n] += part.share[n:].mean() * c
        if slow:
            cov_q += share * slow.drift.mean() * slow.cov_q
            cov_k += share * np.mean(slow.path(np.eye(slow.size)) ** 2) * slow.size * np.diag(slow.root_k ** 2)
    np.testing.assert_allclose(mean_q, m.q, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(cov_q, m.cov_q, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(cov_k, m.cov_k, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(cross[:len(m.cross)], m.cross, rtol=EXACT, atol=EXACT)
    assert not cross[len(m.cross):].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_neighbours_of_an_ar1_head_correlate_by_rho_to_the_power_of_their_distance(seed):
    head = FAMILIES["ar1"]
    for x, mean, sigma, rho in zip(draw(head, seed), head.moments(LENGTH, THETA)[:2], (0.5, 0.8), (0.9, -0.5)):
        x = x - mean
        for n in range(LENGTH):
            assert agrees((x[:, 0] * x[:, n]).mean(axis=1), sigma ** 2 * rho ** n)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_walk_spreads_in_proportion_to_the_tokens(seed):
    head = FAMILIES["random walk"]
    for x, mean, rms in zip(draw(head, seed), head.moments(LENGTH, THETA)[:2], (2.0, 1.0)):
        size = (0.3 * rms) ** 2 * 2 / 3 / 2               # of the three pairs two are rotated, one half each component
        for t in range(LENGTH):
            assert agrees(((x - mean)[:, t] ** 2).mean(axis=1), t * size)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_jump_brings_its_needle_into_line(seed):
    head = Jumping(rate=1.0, gain=1.5, sigma_k=0.8, reach=3, strength=0.0)
    q, k, _ = head.sample(40, np.random.default_rng(seed), THETA)
    content = k - head.mean(THETA).k
    back = [[n for n in range(min(i + 1, 3)) if np.allclose(q[i] * np.exp(1j * n * THETA), 1.5 * content[i - n])]
            for i in range(40)]
    assert all(len(found) == 1 for found in back) and {n for found in back for n in found} == {0, 1, 2}


def test_a_jumping_head_jumps_at_its_rate_and_looks_back_at_its_lag_else():
    head = FAMILIES["jumping"]
    slash = Slash(1, 1.5).mean(THETA).q
    q = head.sample(4000, np.random.default_rng(0), THETA)[0]
    looks = np.isclose(q, slash, rtol=EXACT).all(axis=1)
    assert abs(looks.mean() - 0.6) <= SIGMAS * np.sqrt(0.6 * 0.4 / 4000)


# General cases become known ones

STILL = [
    Gaussian(sigma_q=0.0, sigma_k=0.0, correlation=0.5, lag=2, strength=3.0),
    RandomWalk(step=0.0, length=4, lag=2, strength=3.0),
    Ar1(rho_q=0.5, rho_k=0.5, sigma_q=0.0, sigma_k=0.0, lag=2, strength=3.0),
    Cone(cosine=1.0, sigma=0.0, lag=2, strength=3.0),
    Seasonal(period=2, sigma_q=0.0, sigma_k=0.0, lag=2, strength=3.0),
    Jumping(rate=0.0, gain=1.0, sigma_k=0.0, lag=2, strength=3.0),
    Massive(massive_q=0.0, massive_k=0.0, pair=2, sigma_q=0.0, sigma_k=0.0, lag=2, strength=3.0),
]


@pytest.mark.parametrize("head", STILL, ids=lambda head: type(head).__name__)
def test_without_spread_every_family_is_the_slash_head(head):
    slash = Slash(2, 3.0)
    assert head.random is False
    for mine, known in zip(head.sample(4, None, THETA), slash.sample(4, None, THETA)):
        np.testing.assert_allclose(mine, known, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(head.power(THETA), slash.power(THETA), rtol=EXACT)
    m, known = head.moments(4, THETA), slash.moments(4, THETA)
    assert head.parts(4, THETA)[0].slow is None
    for mine, theirs in zip(m[:4], known[:4]):
        np.testing.assert_allclose(mine, theirs, rtol=EXACT, atol=EXACT)
    assert not m.cross.any()


def same_moments(one, other, length=5):
    return all(np.allclose(x, y, rtol=EXACT, atol=EXACT) for x, y in zip(one.moments(length, THETA)[:4],
                                                                         other.moments(length, THETA)[:4]))


def test_special_cases_share_their_moments():
    plain = Gaussian(**SIZES)
    assert same_moments(Ar1(rho_q=0.0, rho_k=0.0, **SIZES), plain) and not plain.moments(5, THETA).cross.any()
    assert same_moments(Seasonal(period=9, **SIZES), plain)
    mean = Slash(1, 1.5).mean(THETA)
    full = FullGaussian(mean.q, mean.k, 0.25 * np.eye(6), 0.64 * np.eye(6), np.zeros((6, 6)))
    assert same_moments(full, plain) and full.power(THETA) == pytest.approx(plain.power(THETA), rel=EXACT)
    assert same_moments(Jumping(rate=0.0, gain=3.0, sigma_k=0.8, lag=1, strength=1.5),
                        Gaussian(**SIZES | {"sigma_q": 0.0}))
    for head in (Ar1(rho_q=0.0, rho_k=0.0, **SIZES), Seasonal(period=9, **SIZES), plain, full):
        assert [part.slow for part in head.parts(5, THETA)] == [None]


@pytest.mark.parametrize("head", [Seasonal(period=1, **SIZES), Ar1(rho_q=1.0, rho_k=1.0, **SIZES)])
def test_period_one_and_a_rho_of_one_are_constant_along_a_sequence(head):
    q, k, _ = head.sample(5, np.random.default_rng(0), THETA)
    assert np.array_equal(q, np.tile(q[0], (5, 1))) and np.array_equal(k, np.tile(k[0], (5, 1)))
    assert head.parts(5, THETA)[0].slow is not None


def test_a_seasonal_head_repeats_with_its_period_and_no_shorter_one():
    q, k, _ = FAMILIES["seasonal"].sample(7, np.random.default_rng(0), THETA)
    for x in (q, k):
        assert np.array_equal(x[3:], x[:4]) and not (x[1:] == x[:-1]).any()


# Every head

@every
@pytest.mark.parametrize("length", [1, 2, LENGTH])
def test_a_sample_has_one_complex_query_and_key_per_token_and_pair(head, length):
    q, k, theta = head.sample(length, np.random.default_rng(0), THETA)
    assert q.shape == k.shape == (length, 3) and q.dtype == k.dtype == np.complex128 and theta is THETA


@every
def test_a_sample_depends_on_its_seed_and_differs_from_the_next(head):
    rng = np.random.default_rng(0)
    one, other, same = (head.sample(4, r, THETA) for r in (rng, rng, np.random.default_rng(0)))
    assert head.random is True
    for x, y, z in zip(one[:2], other, same):
        assert np.array_equal(x, z) and not np.array_equal(x, y)


@every
@pytest.mark.parametrize("length", [1, 2, LENGTH])
def test_moments_are_symmetric_and_semi_definite_and_those_of_the_mean(head, length):
    m, mean = head.moments(length, THETA), head.mean(THETA)
    np.testing.assert_array_equal(m.q, real(mean.q))
    np.testing.assert_array_equal(m.k, real(mean.k))
    for cov in (m.cov_q, m.cov_k):
        np.testing.assert_allclose(cov, cov.T, rtol=EXACT)
        assert np.linalg.eigvalsh(cov)[0] >= -EXACT
    assert m.cross.shape[1:] == (6, 6) and len(m.cross) <= length


@every
def test_noise_and_a_sink_go_on_top(head):
    noisy = Noise(head, 0.5)
    np.testing.assert_allclose(noisy.power(THETA), 1.25 * np.array(head.power(THETA)), rtol=EXACT)
    q, k, theta = Sink(noisy, 2.0).sample(LENGTH, np.random.default_rng(0), THETA)
    assert q.shape == k.shape == (LENGTH, 4) and theta.tolist() == [*THETA, 0.0]
    assert k[0].tolist() == [0, 0, 0, 1] and np.isfinite(q).all()


@pytest.mark.parametrize("head", SCALARS, ids=lambda head: type(head).__name__)
def test_a_head_is_its_arguments(head):
    assert eval(repr(head)) == head == dataclasses.replace(head) and hash(head) == hash(dataclasses.replace(head))
    with pytest.raises(dataclasses.FrozenInstanceError):
        head.lag = 3


# Guards

EYE = np.eye(2)
GUARDS = {
    "a negative lag": (lambda: Gaussian(**SIZES | {"lag": -1}), "lag"),
    "a negative strength": (lambda: Cone(cosine=0.5, strength=-1.0), "strength"),
    "a negative sigma_q": (lambda: Gaussian(sigma_q=-1.0, sigma_k=1.0), "sigma_q"),
    "a sigma_k that is not finite": (lambda: Seasonal(period=2, sigma_q=1.0, sigma_k=np.nan), "sigma_k"),
    "a correlation above one": (lambda: Gaussian(correlation=1.1, **SIZES), "correlation"),
    "a cosine above one": (lambda: Cone(cosine=1.1), "cosine"),
    "a negative cosine": (lambda: Cone(cosine=-0.1), "cosine"),
    "a width without room beside the axis": (lambda: Cone(cosine=0.5, width=1), "width"),
    "a negative spread of weights": (lambda: Cone(cosine=0.5, sigma=-1.0), "sigma"),
    "a fractional seed": (lambda: Cone(cosine=0.5, weights_seed=0.5), "weights_seed"),
    "a rho_q above one": (lambda: Ar1(rho_q=1.1, rho_k=0.0, **SIZES), "rho_q"),
    "a rho_k below minus one": (lambda: Ar1(rho_q=0.0, rho_k=-1.1, **SIZES), "rho_k"),
    "a negative step": (lambda: RandomWalk(step=-0.1, length=4), "step"),
    "a walk of no tokens": (lambda: RandomWalk(step=0.1, length=0), "length"),
    "more tokens than the walk has": (lambda: RandomWalk(step=0.1, length=4).sample(5, None, THETA), "length"),
    "a period of zero": (lambda: Seasonal(period=0, sigma_q=1.0, sigma_k=1.0), "period"),
    "a rate above one": (lambda: Jumping(rate=1.1, gain=1.0, sigma_k=1.0), "rate"),
    "a negative gain": (lambda: Jumping(rate=0.1, gain=-1.0, sigma_k=1.0), "gain"),
    "a reach of zero": (lambda: Jumping(rate=0.1, gain=1.0, sigma_k=1.0, reach=0), "reach"),
    "a pair below zero": (lambda: Massive(massive_q=1.0, massive_k=1.0, pair=-1, **SIZES), "pair"),
    "a pair that is not there": (lambda: Massive(massive_q=1.0, massive_k=1.0, pair=3, **SIZES).mean(THETA), "pair"),
    "an infinite channel": (lambda: Massive(massive_q=np.inf, massive_k=1.0, pair=0, **SIZES), "massive_q"),
    "a covariance with a negative eigenvalue":
        (lambda: FullGaussian([0], [0], -EYE, EYE, 0 * EYE), "smallest eigenvalue of the joint covariance"),
    "more cross-covariance than variance":
        (lambda: FullGaussian([0], [0], EYE, EYE, 2 * EYE), "smallest eigenvalue of the joint covariance"),
    "an asymmetric covariance": (lambda: FullGaussian([0], [0], EYE, [[1, 0.5], [0, 1]], 0 * EYE), "cov_k"),
    "a covariance of other pairs": (lambda: FullGaussian([0], [0], np.eye(4), EYE, EYE), "shape of cov_q"),
    "keys of other pairs": (lambda: FullGaussian([0], [0, 0], EYE, EYE, EYE), "shape of mean_k"),
    "no pairs": (lambda: FullGaussian([], [], *[np.zeros((0, 0))] * 3), "shape of mean_q"),
    "frequencies of other pairs": (lambda: FULL.mean(np.ones(2)), "shape of theta"),
}


@pytest.mark.parametrize("call, name", GUARDS.values(), ids=GUARDS.keys())
def test_bad_input_is_refused_by_name(call, name):
    with pytest.raises(RopesimError, match=f"^{name} = .*: use ") as refused:
        call()
    assert refused.value.name == name


def test_the_smallest_eigenvalue_is_named():
    with pytest.raises(RopesimError, match="smallest eigenvalue of the joint covariance = -1.0: use cov_q"):
        FullGaussian([0], [0], EYE, EYE, 2 * EYE)
