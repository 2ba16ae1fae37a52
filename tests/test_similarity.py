"""Measures of queries and keys against loops, Gram matrices and patterns for which they are known."""

import math

import naive_similarity as naive
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim import similarity
from ropesim.errors import RopesimError
from ropesim.simulate.attention import rotation

seeds = st.integers(0, 2 ** 32 - 1)


@st.composite
def tokens(draw, least=2):
    length, pairs = draw(st.integers(least, 9)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(seeds))
    return rng.normal(size=(length, pairs)) + 1j * rng.normal(size=(length, pairs)) + draw(st.sampled_from([0, 3, 1j]))


def gram(q):
    u = np.hstack([q.real, q.imag])
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return u @ u.T


@given(tokens())
def test_the_similarities_are_their_naive_twins(q):
    assert similarity.adjacent(q) == pytest.approx(naive.adjacent(q.tolist()), abs=EXACT)
    assert similarity.all_pairs(q) == pytest.approx(naive.all_pairs(q.tolist()), abs=EXACT)
    assert similarity.centred(q) == pytest.approx(naive.centred(q.tolist()), abs=EXACT)
    assert similarity.norm_variation(q) == pytest.approx(naive.norm_variation(q.tolist()), rel=EXACT)


@pytest.mark.parametrize("length, pairs", [(2, 1), (33, 5), (300, 16)])
def test_the_identity_is_the_mean_of_the_gram_matrix_off_its_diagonal(length, pairs):
    q = tokens_of(length, pairs)
    g = gram(q)
    assert similarity.all_pairs(q) == pytest.approx((g.sum() - np.trace(g)) / (length * (length - 1)), abs=EXACT)


def tokens_of(length, pairs, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(length, pairs)) + 1j * rng.normal(size=(length, pairs))


@given(tokens())
def test_the_similarities_stay_in_their_ranges(q):
    least = -1 / (len(q) - 1)
    assert -1 <= similarity.adjacent(q) <= 1
    assert least <= similarity.all_pairs(q) <= 1 and least <= similarity.centred(q) <= 1
    assert 0 <= similarity.norm_variation(q) <= math.sqrt(len(q) - 1) + EXACT


def test_a_constant_query_is_wholly_similar_and_opposite_ones_are_least():
    q = np.tile(tokens_of(1, 3), (7, 1))
    assert similarity.adjacent(q) == pytest.approx(1, abs=EXACT) == similarity.all_pairs(q)
    assert similarity.all_pairs([[1], [-1]]) == similarity.adjacent([[1], [-1]]) == -1
    polygon = np.exp(2j * np.pi * np.arange(5) / 5)[:, None]
    assert similarity.all_pairs(polygon) == pytest.approx(-1 / 4, abs=EXACT)


def test_a_channel_that_never_changes_is_seen_by_the_centred_measure_alone():
    """tappa.md X2 (ii): one massive constant channel over random ones, q-similarity .967, centred -.005."""
    q = tokens_of(200, 32)
    q[:, 0] += 50
    assert similarity.all_pairs(q) > 0.95
    assert abs(similarity.centred(q)) < 0.01


def test_a_constant_fast_head_looks_random_after_rope():
    """tappa.md X7: before RoPE 1.000, after it .024 over 32 queries; adjacent queries keep cos theta."""
    q = np.ones((32, 1)) * rotation(32, [1.0])
    assert abs(similarity.all_pairs(q)) < 0.05
    assert similarity.adjacent(q) == pytest.approx(math.cos(1), rel=EXACT)


def test_similar_neighbours_bound_the_similarity_of_all():
    """tappa.md X7: 1 - s <= delta^2 T (T+1) / 12."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        q = 3 + np.cumsum(0.1 * (rng.normal(size=(15, 4)) + 1j * rng.normal(size=(15, 4))), axis=0)
        u = q / np.linalg.norm(q, axis=1, keepdims=True)
        delta = np.linalg.norm(np.diff(u, axis=0), axis=1).max()
        assert 1 - similarity.all_pairs(q) <= delta ** 2 * 15 * 16 / 12 + EXACT


@given(tokens(), st.sampled_from([1e-300, 1e-160, 1e160, 1e300]))
def test_the_measures_have_no_scale(q, factor):
    for measure in (similarity.adjacent, similarity.all_pairs, similarity.centred, similarity.norm_variation):
        assert measure(q * factor) == pytest.approx(measure(q), abs=1e-11)    # 1e-300: entries lose a digit or two
    np.testing.assert_allclose(similarity.rank_shares(q * factor), similarity.rank_shares(q), atol=FLOAT)


def test_norms_far_apart_do_not_overflow():
    assert similarity.all_pairs([[1e-250], [1e250], [1]]) == pytest.approx(1, rel=EXACT)


@given(tokens(1))
def test_rank_shares_are_shares_and_those_of_the_real_gram_matrix(x):
    shares = similarity.rank_shares(x)
    real = np.hstack([x.real, x.imag])
    assert shares.shape == (min(real.shape),) and shares.sum() == pytest.approx(1, rel=EXACT)
    assert (shares >= 0).all() and (np.diff(shares) <= 0).all()
    assert shares @ shares == pytest.approx(((real @ real.T) ** 2).sum() / (real ** 2).sum() ** 2, rel=FLOAT)


@given(tokens(1), st.floats(0, 1, exclude_min=True))
@example(np.ones((3, 2), complex), 1.0)
def test_the_effective_rank_is_the_first_that_holds_the_share(x, tau):
    shares = similarity.rank_shares(x).tolist()
    sums = [math.fsum(shares[:n + 1]) for n in range(len(shares))]
    assume(min(abs(s - tau) for s in sums) > 1e-11 or tau == 1)
    rank = similarity.effective_rank(x, tau)
    assert rank == 1 + next(n for n, s in enumerate(sums) if s >= tau - 1e-11)


def test_rank_one_and_full_rank():
    one = np.outer(np.arange(1, 9), tokens_of(1, 4)[0])
    assert similarity.rank_shares(one)[0] == pytest.approx(1, rel=EXACT) and similarity.effective_rank(one) == 1
    np.testing.assert_allclose(similarity.rank_shares([[1, 0], [1j, 0], [0, 1], [0, 1j]]), 1 / 4, rtol=EXACT)
    assert similarity.effective_rank([[1, 0], [1j, 0], [0, 1], [0, 1j]]) == 4


def test_equal_norms_do_not_vary_and_one_large_norm_is_the_extreme():
    assert similarity.norm_variation([[1], [1j], [-1]]) == 0
    assert similarity.norm_variation([[1], [0], [0], [0]]) == pytest.approx(math.sqrt(3), rel=EXACT)


@given(st.integers(1, 5), st.integers(1, 6), seeds)
def test_active_frequencies_are_their_naive_twin(rows, pairs, seed):
    rng = np.random.default_rng(seed)
    contribution = rng.normal(size=(rows, pairs)) * 10 ** rng.uniform(-2, 1, pairs)
    found = similarity.active_frequencies(contribution)
    assert found.dtype.kind == "i" and found.tolist() == naive.active(contribution.tolist())


def test_without_a_positive_mean_no_pair_is_active_and_the_tenth_itself_is_not():
    assert similarity.active_frequencies([[-1.0, -2.0]]).size == 0
    assert similarity.active_frequencies([[0.0, 0.0]]).size == 0
    assert similarity.active_frequencies([[10.0, 1.0, 1.5]]).tolist() == [0, 2]


NAN = [[1], [math.nan]]


@pytest.mark.parametrize("measure", [similarity.adjacent, similarity.all_pairs, similarity.centred])
@pytest.mark.parametrize("q, name", [
    ([[1]], "shape of q"), (np.ones((3, 0)), "shape of q"), ([1, 1], "shape of q"), (NAN, "q"),
    (np.array(NAN, complex), "q"), ([["a"], ["b"]], "q"), (np.zeros((2, 1), complex), "q")])
def test_similarities_refuse(measure, q, name):
    with pytest.raises(RopesimError, match=name):
        measure(q)


@pytest.mark.parametrize("measure, q", [
    (similarity.adjacent, [[1], [0]]), (similarity.all_pairs, np.array([[1], [0]], complex)),
    (similarity.centred, [[1], [-1], [0]])])
def test_similarities_refuse_a_query_without_direction(measure, q):
    with pytest.raises(RopesimError, match="query"):
        measure(q)


def test_a_constant_query_has_no_centred_similarity():
    with pytest.raises(RopesimError, match="mean"):
        similarity.centred(np.full((5, 3), 0.1 + 0.7j))


@pytest.mark.parametrize("measure", [similarity.norm_variation, similarity.rank_shares, similarity.effective_rank])
@pytest.mark.parametrize("x", [np.zeros((2, 2)), np.ones((0, 2)), np.ones((2, 0)), np.ones(3), NAN])
def test_norms_and_ranks_refuse(measure, x):
    with pytest.raises(RopesimError, match=r"\bx = "):
        measure(x)


@pytest.mark.parametrize("tau", [0.0, 1.1, math.nan, True])
def test_effective_rank_refuses_a_share_that_is_none(tau):
    with pytest.raises(RopesimError, match="tau"):
        similarity.effective_rank([[1.0]], tau)


@pytest.mark.parametrize("contribution", [[], [1.0], np.ones((0, 3)), np.ones((3, 0)), [[math.inf]], [[1j]]])
def test_active_frequencies_refuses(contribution):
    with pytest.raises(RopesimError, match="contribution"):
        similarity.active_frequencies(contribution)
