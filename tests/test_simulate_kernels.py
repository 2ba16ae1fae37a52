import naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT

from ropesim.simulate.kernels import add_rows

lengths = st.integers(1, 24)
seeds = st.integers(0, 2 ** 32 - 1)
limits = st.integers(0, 30)
spreads = st.sampled_from([0.0, 1.0, 40.0, 1e4])


def block(logits, start, stop, first, window):
    """Logits of some rows less their largest, and their exp; keys that a row does not see are nan."""
    x = logits[start:stop, first:stop].copy()
    for r, row in enumerate(x):
        lags = start + r - np.arange(first, stop)
        row[(lags < 0) | ((window > 0) & (lags >= window))] = np.nan
        row -= np.nanmax(row)
    return x, np.exp(x)


@given(lengths, spreads, seeds, limits, limits, st.integers(1, 24))
@example(1, 0.0, 0, 0, 0, 1)
@example(24, 1e4, 0, 3, 5, 4)
def test_adding_rows_block_by_block_is_the_naive_twin(length, spread, seed, skip, window, rows):
    logits = spread * np.random.default_rng(seed).uniform(-1, 1, (length, length))
    sums = np.zeros((4, length))
    for start in range(0, length, rows):
        stop, first = min(start + rows, length), max(start - window + 1, 0) if window else 0
        x, e = block(logits, start, stop, first, window)
        add_rows(x, e, start, first, skip, window, *sums)
    slash, received, entropy, participation = naive.profile(
        naive.scores(lambda i, j: float(logits[i, j]), length, window), skip)
    pairs = np.arange(length, 0, -1)
    left = np.maximum(pairs - skip, 0)
    np.testing.assert_allclose(sums[0], np.where(left > 0, slash, 0) * left, rtol=0, atol=EXACT * length)
    np.testing.assert_allclose(sums[1], received * pairs, rtol=0, atol=EXACT * length)
    np.testing.assert_allclose(sums[2:], [entropy, participation], rtol=0, atol=EXACT)


@pytest.mark.parametrize("skip", [0, 1])
def test_sums_are_added_to_what_is_there(skip):
    sums = np.ones((4, 1))
    add_rows(np.zeros((1, 1)), np.ones((1, 1)), 0, 0, skip, 0, *sums)
    np.testing.assert_array_equal(sums.ravel(), [2 - skip, 2, 0, 1])     # a row's own quantities are set, not added
