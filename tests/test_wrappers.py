"""Noise, a factor and a sink around a head. What every head must do is in test_ensembles.py, of these too."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim.ensembles import Captured, Constant, Slash
from ropesim.errors import RopesimError
from ropesim.wrappers import Factor, Noise, Sink

THETA = np.array([1.0, 0.1, 0.0])
CONSTANT = Constant([1.0, 2.0, 0.5], [0.3, -1.0, 3.0])
SLASH = Slash(lag=2, strength=1.5)
RECORDED = Captured(np.arange(12).reshape(4, 3) * (1 + 0.5j), np.arange(12, 24).reshape(4, 3) * 1j)
BARE = [CONSTANT, SLASH, RECORDED]
SEEDS = [0, 1, 2, 3]

lags = st.integers(0, 40)


def generator(seed):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))


# ---------------------------------------------------------------- Noise

def components(x):
    return x.view(np.float64).ravel()


@pytest.mark.parametrize("head", BARE, ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_noise_has_the_stated_mean_and_size_on_every_component(head, seed):
    length, theta = (300, THETA) if head is not RECORDED else (4, THETA)
    noise, rng, repeats = 0.3, generator(seed), 1 if head is not RECORDED else 75
    clean = head.sample(length, None, theta)
    drawn = [Noise(head, noise).sample(length, rng, theta) for _ in range(repeats)]
    for part in (0, 1):
        rms = math.sqrt(naive.mean([abs(z) ** 2 / 2 for z in clean[part].ravel().tolist()]))
        rest = np.concatenate([components(np.ascontiguousarray(one[part] - clean[part])) for one in drawn])
        sigma, n = noise * rms, rest.size
        assert abs(rest.mean()) <= SIGMAS * sigma / math.sqrt(n)
        assert abs(rest.var() - sigma ** 2) <= SIGMAS * sigma ** 2 * math.sqrt(2 / (n - 1))
        by_component = rest.reshape(-1, 2 * theta.size).mean(axis=0)      # no pair, and neither half of it, is shifted
        assert np.abs(by_component).max() <= SIGMAS * sigma / math.sqrt(n / (2 * theta.size))


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_of_queries_keys_and_components_is_uncorrelated(seed):
    q, k, _ = Noise(CONSTANT, 1.0).sample(2000, generator(seed), THETA)
    parts = np.stack([part(x[:, 0]) for x in (q, k) for part in (np.real, np.imag)] + [q[:, 1].real])
    correlation = np.corrcoef(parts) - np.eye(5)
    assert np.abs(correlation).max() <= SIGMAS / math.sqrt(2000)


@pytest.mark.parametrize("head", BARE, ids=lambda head: type(head).__name__)
def test_no_noise_is_the_bare_head(head):
    quiet = Noise(head, 0.0)
    assert quiet.random is False
    for x, y in zip(quiet.sample(4, None, THETA), head.sample(4, None, THETA)):
        np.testing.assert_array_equal(x, y)
    assert quiet.power(THETA) == head.power(THETA)


@given(st.floats(0, 3), st.floats(0, 3))
def test_noise_adds_to_the_power_and_not_to_the_mean(inner, outer):
    head = Noise(Noise(SLASH, inner), outer)
    factor = (1 + inner ** 2) * (1 + outer ** 2)
    np.testing.assert_allclose(head.power(THETA), np.array(SLASH.power(THETA)) * factor, rtol=EXACT)
    for mine, bare in zip(head.mean(THETA)[:2], SLASH.mean(THETA)[:2]):
        np.testing.assert_array_equal(mine, bare)


# ---------------------------------------------------------------- Factor

@pytest.mark.parametrize("head", BARE, ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("pairs", [0, 2, 3, 9])
def test_a_factor_multiplies_the_first_pairs_of_queries_and_keys(head, pairs):
    factored = Factor(head, 1.5, pairs)
    gain = [1.5 if b < pairs else 1.0 for b in range(3)]
    for x, y in zip(factored.sample(4, None, THETA)[:2], head.sample(4, None, THETA)[:2]):
        np.testing.assert_array_equal(x, y * gain)
    for x, y in zip(factored.mean(THETA)[:3], head.mean(THETA)[:3]):
        assert x is y is None or np.array_equal(x, y * gain)
    assert factored.random is False and Factor(Noise(head, 0.1), 1.5, pairs).random is True


def test_a_factor_multiplies_noise_too():
    noisy = Noise(SLASH, 0.3)
    loud = Factor(noisy, 2.0, 3).sample(4, generator(0), THETA)
    np.testing.assert_array_equal(loud[0], 2 * noisy.sample(4, generator(0), THETA)[0])


# ---------------------------------------------------------------- Sink

@given(lags, st.floats(0, 5), st.floats(-20, 20), st.sampled_from([0.125, 1.0, 3.0]), st.integers(1, 20))
def test_a_sink_exceeds_the_log_mean_exp_of_the_other_keys_by_its_margin(lag, strength, margin, scale, length):
    q, k, theta = Sink(Slash(lag, strength), margin, scale).sample(length, None, THETA)
    logits = [scale * x for x in naive.lag_logits([strength] * 2, [-t * lag for t in THETA[:2]], THETA[:2], length)]
    np.testing.assert_allclose(scale * q[:, -1].real, naive.sink_logits(logits, margin), rtol=FLOAT, atol=FLOAT)
    np.testing.assert_array_equal(q[:, -1].imag, 0)
    np.testing.assert_array_equal(k[:, -1], np.eye(length)[0])
    assert not k[0, :-1].any() and (k[1:, :-1] == Slash(lag, strength).mean(THETA).k).all()
    np.testing.assert_array_equal(theta, np.append(THETA, 0))


def test_a_sink_of_a_long_text_is_the_same_in_pieces():
    theta = np.zeros(1 << 14)
    theta[0] = 1.0                                        # many pairs: the lags are taken in several blocks
    length = 515
    logits = naive.lag_logits([2.0], [-3.0], [1.0], length)
    ours = Sink(Slash(3, 2.0), 1.0)._logits(length, theta)
    np.testing.assert_allclose(ours, naive.sink_logits(logits, 1.0), rtol=FLOAT)


@pytest.mark.parametrize("seed", SEEDS)
def test_neither_key_0_nor_the_sink_pair_carries_noise(seed):
    noisy = Sink(Noise(CONSTANT, 0.5), 4.0).sample(50, generator(seed), THETA)
    quiet = Sink(CONSTANT, 4.0).sample(50, None, THETA)
    np.testing.assert_array_equal(noisy[0][:, -1], quiet[0][:, -1])
    np.testing.assert_array_equal(noisy[1][:, -1], quiet[1][:, -1])
    np.testing.assert_array_equal(noisy[1][0], [0, 0, 0, 1])
    assert (noisy[1][1:, :-1] != quiet[1][1:, :-1]).all() and (noisy[0][:, :-1] != quiet[0][:, :-1]).all()


def test_a_sink_refers_to_the_logits_after_the_factor():
    q = Sink(Factor(CONSTANT, 2.0, 3), 1.0).sample(5, None, THETA)[0]
    logits = naive.lag_logits([4 * a for a in CONSTANT.amplitude], CONSTANT.phase, THETA, 5)
    np.testing.assert_allclose(q[:, -1].real, naive.sink_logits(logits, 1.0), rtol=FLOAT, atol=FLOAT)


# ---------------------------------------------------------------- guards

GUARDS = {
    "negative noise": (lambda: Noise(SLASH, -0.1), "noise"),
    "noise that is no number": (lambda: Noise(SLASH, None), "noise"),
    "a factor of zero": (lambda: Factor(SLASH, 0.0, 1), "factor"),
    "a negative number of pairs": (lambda: Factor(SLASH, 1.0, -1), "pairs"),
    "an infinite margin": (lambda: Sink(SLASH, np.inf), "margin"),
    "a scale of zero": (lambda: Sink(SLASH, 1.0, 0.0), "scale"),
    "noise around a sink": (lambda: Noise(Sink(SLASH, 1.0), 0.1).sample(3, generator(0), THETA), "head of a Noise"),
    "the power of a sink": (lambda: Sink(SLASH, 1.0).power(THETA), "head of a Noise"),
    "noise around a factor": (lambda: Noise(Factor(SLASH, 2.0, 1), 0.1).sample(3, generator(0), THETA),
                              "head of a Noise"),
    "the power of a factor": (lambda: Factor(SLASH, 2.0, 1).power(THETA), "head of a Noise"),
    # the sink's logit refers to logits without the factor, in the sample but not in the mean
    "a factor around a sink": (lambda: Factor(Sink(SLASH, 1.0), 2.0, 1).sample(3, None, THETA), "head of a Factor"),
    "a sink around a sink": (lambda: Sink(Sink(SLASH, 1.0), 1.0).sample(3, None, THETA), "head of a Sink"),
}


@pytest.mark.parametrize("call, name", GUARDS.values(), ids=GUARDS.keys())
def test_bad_input_is_refused_by_name(call, name):
    with pytest.raises(RopesimError, match=f"^{name} = .*: (use|put) ") as refused:
        call()
    assert refused.value.name == name
