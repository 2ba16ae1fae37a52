"""Totals over the rows of one query: without spread they are those of the score matrix itself.

Row 0 has a single key, which `moments` knows without asking: nothing here looks at what it says by row.
"""

from functools import cache

import naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ropesim.predict import totals
from ropesim.predict.laplace import table

GRID = 1e-3                # of a score: columns, table and grid of log t; a score here is at most 1


def of_query(logits, certain=(), *, skip=0, window=0, share=None, received=True):
    length = len(logits)
    view = totals.View(length, np.array(certain, float), skip, min(window or length, length), received)
    share = np.ones(length) if share is None else np.array(share)
    return totals.of_query(np.array(logits, float), np.zeros(length), share, table(np.zeros(1)), view)


def of_matrix(matrix, certain, skip, share=None):
    """The same sums of an explicit score matrix, row i counted share[i] times; a certain key 0 is no lag."""
    length = len(matrix)
    rows = range(length)
    matrix = np.array(matrix)
    share = np.ones(length) if share is None else np.array(share)
    first = max(skip, 1 if len(certain) else 0)
    weighted = share[:, None] * matrix
    slash = [sum(weighted[i, i - lag] for i in rows if i - lag >= first) for lag in rows]
    disorder, square = share * naive.entropy(matrix.tolist()), share * naive.participation(matrix.tolist())
    return np.array([slash, weighted[:, 0], disorder, square, weighted.sum(axis=0)])


def close(seen, want, certain):
    length = seen.shape[1]
    keys = slice(1 if certain else 0, None)            # a certain key 0 has the sum of its row scores, row 0's as well
    np.testing.assert_allclose(seen[0] / length, want[0] / length, rtol=0, atol=GRID)
    np.testing.assert_allclose(seen[4, keys] / length, want[4, keys] / length, rtol=0, atol=GRID)
    np.testing.assert_allclose(seen[1:4, 1:], want[1:4, 1:], rtol=0, atol=GRID)


def heads(length):
    logits = st.lists(st.floats(-6, 6), min_size=length, max_size=length)
    return st.tuples(logits, st.just([]) | logits)


short = st.integers(1, 20).flatmap(heads)


@given(short, st.integers(0, 5), st.integers(0, 22))
@example(([0.0], []), 0, 0)
@example(([0.0], [3.0]), 0, 0)
@example(([0.0, 0.0, 6.0], [0.0] * 3), 1, 1)
@example(([6.0] + [0.0] * 19, [-6.0] * 20), 0, 7)
def test_totals_without_spread_are_those_of_the_scores(head, skip, window):
    logits, certain = head
    seen = of_query(logits, certain, skip=skip, window=window)
    want = of_matrix(naive.lag_scores(logits, certain or None, window), certain, skip)
    assert seen.shape == want.shape == (5, len(logits))
    close(seen, want, certain)


@given(short, st.integers(0, 5), st.integers(0, 22), st.data())
def test_shares_scale_the_rows(head, skip, window, data):
    logits, certain = head
    length = len(logits)
    # steps of shares below RISE of the largest are no reason to look at a row, and count as even
    share = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=length, max_size=length)))
    share[data.draw(st.integers(0, length - 1))] = 1.0
    seen = of_query(logits, certain, skip=skip, window=window, share=share)
    want = of_matrix(naive.lag_scores(logits, certain or None, window), certain, skip, share)
    close(seen, want, certain)


@given(short, st.integers(0, 22))
def test_received_is_asked_for_and_changes_nothing_else(head, window):
    logits, certain = head
    with_it, without = (of_query(logits, certain, window=window, received=answer) for answer in (True, False))
    assert without.shape == (4, len(logits))
    np.testing.assert_array_equal(with_it[:4], without)


@given(short, st.floats(0, 3), st.integers(0, 22))
def test_lags_and_keys_share_the_same_scores(head, spread, window):
    """However wide the spread: the sum over lags, the sink's included, is that over keys, and one per row."""
    logits, certain = head
    length = len(logits)
    view = totals.View(length, np.array(certain), 0, min(window or length, length), True)
    sums = totals.of_query(np.array(logits), np.full(length, spread), np.ones(length), table(np.array([spread])), view)
    by_lag = sums[0].sum() + (sums[1].sum() if certain else 0.0)
    assert sums[4].sum() == pytest.approx(by_lag, rel=GRID)
    of_row_0 = sums[1, 0] if certain else 1.0
    assert by_lag - of_row_0 == pytest.approx(length - 1, rel=GRID, abs=GRID)


# More rows than are looked at: those between are interpolated

LENGTH, LAG = 600, 300


def peaked(lag=LAG):
    """A context whose rows change at once where they first hold the peak."""
    logits = np.zeros(LENGTH)
    logits[lag] = 9.0
    return logits


@cache
def of_all_rows(logits, certain, window=0):
    """Totals of tuples of logits from the score matrix."""
    return of_matrix(naive.lag_scores(logits, certain or None, window), certain, 0)


def rows_of(logits, certain):
    """Key 0's score, entropy and participation of each row."""
    return of_all_rows(tuple(logits.tolist()), tuple(certain))[1:4]


@pytest.mark.parametrize("certain", [[], [4.0] * LENGTH], ids=["no sink", "sink"])
def test_every_row_of_a_head_with_a_peak_is_that_of_its_scores(certain):
    """The rows next to the one that first holds the peak, too: with a sink it is one later."""
    logits = peaked()
    seen, want = of_query(logits, certain)[2:4, 1:], rows_of(logits, certain)[1:, 1:]
    np.testing.assert_allclose(seen, want, rtol=GRID)


@pytest.mark.parametrize("certain", [[], [4.0] * LENGTH], ids=["no sink", "sink"])
def test_the_score_of_key_0_in_every_row_is_that_of_its_scores(certain):
    """Without a sink it moves with the logit at lag i, however little the row's sum does."""
    logits = peaked()
    np.testing.assert_allclose(of_query(logits, certain)[1, 1:], rows_of(logits, certain)[0, 1:], rtol=GRID, atol=1e-6)


@pytest.mark.parametrize("certain", [[], [4.0] * LENGTH], ids=["no sink", "sink"])
def test_the_mean_score_of_key_0_of_a_head_that_waves_is_that_of_its_scores(certain):
    logits = 4 * np.cos(0.05 * np.arange(LENGTH)) + 2 * np.cos(0.7 * np.arange(LENGTH))
    want = rows_of(logits, certain)[0].mean()
    assert of_query(logits, certain)[1].mean() == pytest.approx(want, rel=GRID)


@pytest.mark.parametrize("certain", [[], [4.0] * LENGTH], ids=["no sink", "sink"])
@pytest.mark.parametrize("window", [0, 250])
def test_sums_by_lag_and_by_key_of_a_long_context_are_those_of_the_scores(certain, window):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=LENGTH)
    want = of_all_rows(tuple(logits.tolist()), tuple(certain), window)
    seen = of_query(logits, certain, window=window)
    # a lag's first rows count as the next one looked at, whose sum is at most RISE more
    np.testing.assert_allclose(seen[0], want[0], rtol=totals.RISE, atol=1e-6)
    np.testing.assert_allclose(seen[4], want[4], rtol=totals.RISE, atol=1e-6)


def test_a_share_that_changes_within_a_long_context_is_seen():
    share = (np.arange(LENGTH) >= 100) * 0.7
    seen = of_query(np.zeros(LENGTH), share=share)
    np.testing.assert_allclose(seen[1], share / np.arange(1, LENGTH + 1), rtol=GRID, atol=1e-9)
    assert seen[0].sum() == pytest.approx(share.sum(), rel=GRID)


def test_a_window_leaves_key_0_from_one_row_to_the_next():
    seen = of_query(np.zeros(LENGTH), [4.0] * LENGTH, window=200)
    row = np.arange(LENGTH)
    want = np.where(row < 200, 1 / (1 + row * np.exp(-4.0)), 0.0)
    np.testing.assert_allclose(seen[1], want, rtol=GRID, atol=1e-9)


# What a row sees

@given(st.integers(1, 40), st.booleans(), st.integers(0, 9), st.integers(1, 40))
def test_a_view_counts_the_keys_that_rows_see(length, certain, skip, window):
    window = min(window, length)
    view = totals.View(length, np.arange(float(length)) if certain else np.zeros(0), skip, window)
    rows = np.arange(length)
    random = [[j for j in range(i + 1) if i - j < window and not (certain and j == 0)] for i in rows]
    assert view.counts(rows).tolist() == [len(keys) for keys in random]
    assert view.sink(rows).tolist() == [i if certain and i < window else -np.inf for i in rows]
    first = [min((i for i in rows if i - lag in random[i] and i - lag >= skip), default=None) for lag in rows]
    assert view.first_rows().tolist() == [i for i in first if i is not None]
