"""Band removal by brute force, against loops and against the closed form where both are exact."""

import naive
import naive_similarity
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim.errors import RopesimError
from ropesim.predict import attention as closed
from ropesim.predict import removal as predicted
from ropesim.similarity import active_frequencies
from ropesim.simulate import attention, removal

seeds = st.integers(0, 2 ** 32 - 1)
subsets = st.sets(st.integers(0, 2)).map(sorted)
ONES = np.ones((6, 2)), np.ones((6, 2)), np.array([1.0, 0.1])


def drawn(seed, length=7, pairs=3):
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(2, length, pairs)) + 1j * rng.normal(size=(2, length, pairs))
    return q, k, rng.uniform(0, 3, pairs)


@given(seeds, subsets)
def test_scores_are_their_naive_twin(seed, removed):
    q, k, theta = drawn(seed)
    left = [0.0 if b in removed else t for b, t in enumerate(theta.tolist())]
    slow = naive.token_scores(q.tolist(), k.tolist(), left, 0.5, 4)
    np.testing.assert_allclose(removal.scores(q, k, theta, removed, scale=0.5, window=4), slow, rtol=0, atol=FLOAT)


@given(seeds, subsets)
def test_the_profile_is_that_of_the_scores(seed, removed):
    q, k, theta = drawn(seed)
    scores = removal.scores(q, k, theta, removed, scale=0.5)
    profile = removal.profile(q, k, theta, removed, scale=0.5)
    slash = [np.diagonal(scores, -lag).mean() for lag in range(7)]
    np.testing.assert_allclose(profile.slash, slash, rtol=0, atol=EXACT)
    np.testing.assert_allclose(profile.participation, (scores ** 2).sum(axis=1), rtol=0, atol=EXACT)


@given(seeds, subsets, st.integers(0, 5), st.sampled_from([0, 2]))
def test_a_constant_head_loses_what_is_predicted(seed, removed, lag, skip):
    q, k, theta = drawn(seed, length=1)
    amplitude, phase = (np.abs(q) * np.abs(k))[0], np.angle(q * k.conj())[0]
    same = np.tile(q, (9, 1)), np.tile(k, (9, 1)), theta
    np.testing.assert_allclose(removal.slash_ratio(*same, removed, lag, skip=skip),
                               predicted.slash_ratio(amplitude, phase, theta, removed, 9, lag, skip=skip), rtol=FLOAT)


def test_nothing_removed_is_nothing_changed():
    np.testing.assert_array_equal(removal.scores(*drawn(1), []), attention.scores(*drawn(1)))
    assert removal.slash_ratio(*drawn(1), [], 2) == 1


@given(seeds, st.integers(0, 6))
def test_contributions_of_pairs_are_their_naive_twin_and_add_to_the_logit(seed, lag):
    q, k, theta = drawn(seed)
    ours = attention.pair_logits(q[lag:], k[:7 - lag], theta, lag)
    slow = naive_similarity.pair_logits(q[lag:].tolist(), k[:7 - lag].tolist(), theta.tolist(), lag)
    np.testing.assert_allclose(ours, slow, rtol=0, atol=FLOAT)
    turn = attention.rotation(7, theta)
    logits = ((q * turn) @ (k * turn).conj().T).real
    np.testing.assert_allclose(ours.sum(axis=1), np.diagonal(logits, -lag), rtol=0, atol=FLOAT)


def test_contributions_of_a_constant_head_are_predicted_also_far_away():
    theta = np.array([1.0, 1e-3])
    seen = attention.pair_logits([[2, 1j]], [[1, 3]], theta, 10 ** 8)[0]
    np.testing.assert_allclose(seen, closed.pair_logits([2.0, 3.0], [0.0, np.pi / 2], theta, 10 ** 8), atol=EXACT)
    assert active_frequencies(attention.pair_logits([[2, 1]], [[1, 0.1]], [0.0, 0.0], 5)).tolist() == [0]


@pytest.mark.parametrize("lag", [-1, 2 ** 29, 1.0])
def test_pair_logits_refuse_a_lag(lag):
    with pytest.raises(RopesimError, match="lag"):
        attention.pair_logits([[1]], [[1]], [1.0], lag)


@pytest.mark.parametrize("q, k, name", [([1], [[1]], "q"), ([[1]], [[1], [1]], "k"), ([[1, 1]], [[1, 1]], "q")])
def test_pair_logits_refuse_other_shapes(q, k, name):
    with pytest.raises(RopesimError, match=name):
        attention.pair_logits(q, k, [1.0], 0)


@pytest.mark.parametrize("bad, name", [
    ({"removed": [2]}, "removed"), ({"lag": 6}, "lag"), ({"lag": 4, "skip": 2}, "lag"), ({"skip": -1}, "skip"),
    ({"lag": 3, "window": 2}, "positive score")])
def test_slash_ratio_refuses(bad, name):
    with pytest.raises(RopesimError, match=name):
        removal.slash_ratio(*ONES, **{"removed": [0], "lag": 1} | bad)


@pytest.mark.parametrize("removed", [[2], [-1], [0, 0]])
def test_scores_and_profile_refuse(removed):
    for function in (removal.scores, removal.profile):
        with pytest.raises(RopesimError, match="removed"):
            function(*ONES, removed)
