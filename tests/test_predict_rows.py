import math

import naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT

from ropesim.predict.rows import NEGLIGIBLE, RISE, STEP, cuts, row_sums, staircase

lengths = st.integers(1, 40)
spreads = st.sampled_from([0.0, 1.0, 40.0, 1e3, 1e4])
seeds = st.integers(0, 2 ** 32 - 1)
shapes = st.sampled_from(["uniform", "rising", "falling", "spike"])
windows = st.integers(0, 45)


def drawn(length, spread, shape, seed):
    rng = np.random.default_rng(seed)
    logits = spread * rng.uniform(-1, 1, length)
    if shape == "spike":
        return spread * (np.arange(length) == rng.integers(length))
    return logits if shape == "uniform" else np.sort(logits)[::1 if shape == "rising" else -1]


def levels(logits, window):
    """A_i for the rows 1 .. T-1: log-sum-exp over the lags n < i that a row sees."""
    return [naive.log_sum_exp(logits[:min(i, window or i)].tolist()) for i in range(1, logits.size)]


@given(lengths, spreads, shapes, seeds)
def test_the_staircase_rises_in_whole_steps_and_never_lies_below_a_logit(length, spread, shape, seed):
    logits = drawn(length, spread, shape, seed)
    stairs = staircase(logits)
    assert (stairs >= logits).all() and (stairs < np.maximum.accumulate(logits) + STEP).all()
    assert (np.diff(stairs) >= 0).all() and (stairs % STEP == 0).all()


@given(lengths, spreads, shapes, seeds, windows, st.sampled_from([None, 0.0, 1e4, -1e4]))
@example(1, 1.0, "uniform", 0, 0, None)
@example(2, 1.0, "uniform", 0, 1, 0.0)
@example(40, 1e4, "rising", 0, 0, -1e4)
def test_row_sums_are_what_they_say(length, spread, shape, seed, window, above):
    logits = drawn(length, spread, shape, seed)
    sink = logits if above is None else logits.max() + above + np.arange(length)
    rows = row_sums(logits, sink, window)
    for i in range(1, length):
        seen = (logits[:min(i, window or i)] - rows.ref[i - 1]).tolist()
        assert all(x <= 0 for x in seen)
        expected = [math.fsum(math.exp(n * x) for x in seen) for n in (1, 2)]
        np.testing.assert_allclose([rows.s[i - 1], rows.square[i - 1]], expected, rtol=EXACT)
        assert rows.weighted[i - 1] == pytest.approx(math.fsum(x * math.exp(x) for x in seen), rel=EXACT)
        visible = seen if 0 < window <= i else seen + [float(sink[i] - rows.ref[i - 1])]
        score = naive.softmax(visible)
        assert rows.v[i - 1] * rows.s[i - 1] == pytest.approx(math.fsum(score[:len(seen)]), abs=EXACT)
        assert rows.first[i - 1] == pytest.approx(math.fsum(score[len(seen):]), abs=EXACT)
    assert all(field.shape == (length - 1,) for field in rows)


@given(lengths, spreads, shapes, seeds, windows)
@example(1, 0.0, "uniform", 0, 0)
@example(40, 1e4, "rising", 0, 0)
@example(40, 1e4, "falling", 0, 3)
def test_cuts_cover_each_row_once_and_leave_nothing_out(length, spread, shape, seed, window):
    logits = drawn(length, spread, shape, seed)
    rows = row_sums(logits, logits, window)
    level, row = np.array(levels(logits, window)), 1
    slack = EXACT * (1 + spread)
    assert (np.diff(level) >= -slack).all(), "A never falls"
    for cut in cuts(rows, logits, window):
        assert cut.start == row < cut.stop
        row = cut.stop
        inside = level[cut.start - 1:cut.stop - 1]
        assert inside.max() - inside[0] <= RISE + slack
        seen = logits[:min(cut.stop - 1, window or cut.stop)]
        weights = np.zeros(seen.size)
        weights[cut.lag:cut.lag + cut.weights.size] = cut.weights
        ref = rows.ref[cut.start - 1]
        left_out = weights == 0
        assert (seen[left_out] < inside[0] - NEGLIGIBLE + slack).all()
        np.testing.assert_allclose(weights[~left_out], np.exp(seen[~left_out] - ref), rtol=EXACT)
        here = slice(cut.start - 1, cut.stop - 1)
        np.testing.assert_allclose(cut.values, rows.v[here] * np.exp(ref - rows.ref[here]), rtol=EXACT)
    assert row == max(length, 1)


def test_rows_are_cut_where_they_rise_by_more_than_the_limit():
    rising = np.arange(5) * 2 * RISE
    assert [(cut.start, cut.stop) for cut in cuts(row_sums(rising, rising, 0), rising, 0)] == [(1, 2), (2, 3), (3, 4),
                                                                                               (4, 5)]
    flat = np.zeros(5)
    assert [(cut.start, cut.stop) for cut in cuts(row_sums(flat, flat, 0), flat, 0)] == [(1, 5)]
