import cmath
import dataclasses
import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim.ensembles import Captured, Constant, Factor, Mean, Noise, Sink, Slash
from ropesim.errors import RopesimError

THETA = np.array([1.0, 0.1, 0.0])
CONSTANT = Constant([1.0, 2.0, 0.5], [0.3, -1.0, 3.0])
SLASH = Slash(lag=2, strength=1.5)
RECORDED = Captured(np.arange(12).reshape(4, 3) * (1 + 0.5j), np.arange(12, 24).reshape(4, 3) * 1j)
BARE = [CONSTANT, SLASH, RECORDED]
SCALARS = [CONSTANT, SLASH, Noise(SLASH, 0.1), Factor(CONSTANT, 1.2, 2), Sink(SLASH, 4.0, 0.5),
           Sink(Factor(Noise(SLASH, 0.1), 1.2, 2), 4.0)]
EVERY = [*SCALARS, RECORDED, Noise(RECORDED, 0.5), Noise(Noise(SLASH, 0.1), 0.2), Factor(RECORDED, 2.0, 1)]
SEEDS = [0, 1, 2, 3]

names = {"ids": repr}
lags = st.integers(0, 40)
positive = st.floats(0, 100)


def generator(seed):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))


# ---------------------------------------------------------------- every head

@pytest.mark.parametrize("head", EVERY, **names)
@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_sample_has_one_complex_query_and_key_per_token_and_pair(head, length):
    q, k, theta = head.sample(length, generator(0), THETA)
    pairs = THETA.size + isinstance(head, Sink)
    assert q.shape == k.shape == (length, pairs) and theta.shape == (pairs,)
    assert q.dtype == k.dtype == np.complex128
    np.testing.assert_array_equal(theta[:3], THETA)
    assert not theta[3:].any()


@pytest.mark.parametrize("head", EVERY, **names)
def test_a_sample_depends_on_its_seed_sequence_and_on_nothing_else(head):
    head.sample(4, generator(1), THETA)
    one, same = (head.sample(4, generator(0), THETA) for _ in range(2))
    for x, y in zip(one, same):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("head", EVERY, **names)
def test_heads_are_random_where_two_samples_differ(head):
    rng = generator(0)
    one, other = head.sample(4, rng, THETA), head.sample(4, rng, THETA)
    assert head.random is not all(np.array_equal(x, y) for x, y in zip(one, other))


@pytest.mark.parametrize("head", [head for head in EVERY if not head.random], **names)
def test_a_head_that_is_not_random_draws_nothing(head):
    head.sample(4, None, THETA)


@pytest.mark.parametrize("head", EVERY, **names)
def test_the_mean_has_one_query_and_key_for_the_pairs_of_theta(head):
    mean = head.mean(THETA)
    assert isinstance(mean, Mean) and mean.q.shape == mean.k.shape == THETA.shape
    assert mean.margin == (head.margin if isinstance(head, Sink) else None)


@pytest.mark.parametrize("head", SCALARS, **names)
def test_a_head_is_its_arguments(head):
    fields = [getattr(head, field.name) for field in dataclasses.fields(head)]
    twin = type(head)(*fields)
    assert twin == head and hash(twin) == hash(head) and twin is not head
    assert eval(repr(head)) == head
    assert dataclasses.replace(head) == head
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(head, dataclasses.fields(head)[0].name, fields[0])


def test_heads_of_other_arguments_differ():
    assert len(set(SCALARS)) == len(SCALARS) and Slash(1, 2.0) != Slash(2, 2.0)


# ---------------------------------------------------------------- Constant and Slash

@given(st.lists(st.tuples(positive, st.floats(-10, 10)), min_size=1, max_size=5), st.integers(1, 5))
def test_constant_heads_hold_amplitude_and_phase_at_every_token(pairs, length):
    amplitude, phase = zip(*pairs)
    q, k, _ = Constant(np.array(amplitude), np.array(phase)).sample(length, None, np.ones(len(pairs)))
    np.testing.assert_allclose(q, [[cmath.rect(a, p) for a, p in pairs]] * length, rtol=EXACT)
    np.testing.assert_array_equal(k, np.ones((length, len(pairs))))


@given(lags, positive, st.integers(1, 4))
def test_slash_heads_peak_at_their_lag_with_the_strength_of_all_rotated_pairs(lag, strength, length):
    q, k, _ = Slash(lag, strength).sample(length, None, THETA)
    assert not q[:, 2].any() and not k[:, 2].any()

    def logit(x):
        return sum((a * b.conjugate() * cmath.exp(1j * t * x)).real for a, b, t in zip(q[0], k[0], THETA))
    assert logit(lag) == pytest.approx(2 * strength, abs=FLOAT)
    for x in (0, lag + 1, lag + 7):
        expected = strength * sum(math.cos(t * (x - lag)) for t in THETA[:2])
        assert logit(x) == pytest.approx(expected, abs=FLOAT) and logit(x) <= logit(lag) + FLOAT


# ---------------------------------------------------------------- Captured

@pytest.mark.parametrize("length", [1, 3, 4])
def test_a_captured_head_is_its_recording(length):
    q, k, _ = RECORDED.sample(length, None, THETA)
    np.testing.assert_array_equal(q, RECORDED.q[:length])
    np.testing.assert_array_equal(k, RECORDED.k[:length])


def test_the_means_of_a_captured_head_leave_out_key_0():
    mean = RECORDED.mean(THETA)
    for mine, tokens in ((mean.q, RECORDED.q), (mean.k, RECORDED.k)):
        expected = [naive.mean([tokens[i, b].real for i in (1, 2, 3)]) + 1j * naive.mean(
            [tokens[i, b].imag for i in (1, 2, 3)]) for b in range(3)]
        np.testing.assert_allclose(mine, expected, rtol=EXACT)
    np.testing.assert_array_equal(mean.first_key, RECORDED.k[0])


def test_a_single_captured_token_is_its_own_mean():
    alone = Captured(RECORDED.q[:1], RECORDED.k[:1])
    mean = alone.mean(THETA)
    for mine, token in zip(mean, (alone.q[0], alone.k[0], alone.k[0])):
        np.testing.assert_array_equal(mine, token)


def test_a_recording_can_not_be_changed():
    mine = np.ones((2, 3))
    head = Captured(mine, mine)
    mine[0] = 7
    assert (head.q == 1).all() and head.q.dtype == np.complex128
    for x in (head.q, head.k, head.sample(2, None, THETA)[0]):
        with pytest.raises(ValueError, match="read-only"):
            x[0] = 7


def test_captured_heads_are_compared_by_identity():
    assert RECORDED == RECORDED and RECORDED != Captured(RECORDED.q, RECORDED.k) and len({RECORDED, RECORDED}) == 1


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
def test_power_is_the_mean_square_of_a_component(head):
    q, k, _ = head.sample(4, None, THETA)
    for power, x in zip(head.power(THETA), (q, k)):
        squares = [y ** 2 for y in components(np.ascontiguousarray(x)).tolist()]
        assert power == pytest.approx(naive.mean(squares), rel=EXACT)


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
    "a negative amplitude": (lambda: Constant([-1.0], [0.0]), "amplitude"),
    "amplitudes in two dimensions": (lambda: Constant([[1.0]], [0.0]), "shape of amplitude"),
    "another number of phases": (lambda: Constant([1.0], [0.0, 0.0]), "shape of phase"),
    "a phase that is not finite": (lambda: Constant([1.0], [np.nan]), "phase"),
    "amplitudes for other pairs": (lambda: CONSTANT.mean(np.ones(2)), "number of amplitudes"),
    "amplitudes for other pairs, sampled": (lambda: CONSTANT.sample(3, None, np.ones(2)), "number of amplitudes"),
    "a negative lag": (lambda: Slash(-1, 1.0), "lag"),
    "a fractional lag": (lambda: Slash(1.0, 1.0), "lag"),
    "a negative strength": (lambda: Slash(1, -1.0), "strength"),
    "an infinite strength": (lambda: Slash(1, np.inf), "strength"),
    "queries without tokens": (lambda: Captured(np.ones((0, 2)), np.ones((0, 2))), "shape of q"),
    "queries in one dimension": (lambda: Captured(np.ones(2), np.ones(2)), "shape of q"),
    "keys of another shape": (lambda: Captured(np.ones((2, 2)), np.ones((2, 1))), "shape of k"),
    "keys that are not finite": (lambda: Captured(np.ones((1, 1)), [[np.nan]]), "k"),
    "more tokens than were captured": (lambda: RECORDED.sample(5, None, THETA), "length"),
    "no tokens of a capture": (lambda: RECORDED.sample(0, None, THETA), "length"),
    "frequencies for another capture": (lambda: RECORDED.mean(np.ones(2)), "shape of theta"),
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


def test_a_head_without_a_mean_is_unfinished():
    from ropesim.ensembles import _Fixed
    with pytest.raises(NotImplementedError):
        _Fixed().mean(THETA)
