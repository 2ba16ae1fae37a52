import cmath
import dataclasses
import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim.ensembles import Captured, Constant, Mean, Slash
from ropesim.errors import RopesimError
from ropesim.wrappers import Factor, Noise, Sink

THETA = np.array([1.0, 0.1, 0.0])
CONSTANT = Constant([1.0, 2.0, 0.5], [0.3, -1.0, 3.0])
SLASH = Slash(lag=2, strength=1.5)
RECORDED = Captured(np.arange(12).reshape(4, 3) * (1 + 0.5j), np.arange(12, 24).reshape(4, 3) * 1j)
BARE = [CONSTANT, SLASH, RECORDED]
SCALARS = [CONSTANT, SLASH, Noise(SLASH, 0.1), Factor(CONSTANT, 1.2, 2), Sink(SLASH, 4.0, 0.5),
           Sink(Factor(Noise(SLASH, 0.1), 1.2, 2), 4.0)]
EVERY = [*SCALARS, RECORDED, Noise(RECORDED, 0.5), Noise(Noise(SLASH, 0.1), 0.2), Factor(RECORDED, 2.0, 1)]

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


@pytest.mark.parametrize("head", BARE, ids=lambda head: type(head).__name__)
def test_power_is_the_mean_square_of_a_component(head):
    q, k, _ = head.sample(4, None, THETA)
    for power, x in zip(head.power(THETA), (q, k)):
        squares = [y ** 2 for y in np.ascontiguousarray(x).view(np.float64).ravel().tolist()]
        assert power == pytest.approx(naive.mean(squares), rel=EXACT)


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
