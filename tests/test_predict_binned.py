"""Rows as histograms of their keys' logits: columns, the integral over log t, and sums over rows from a few of them."""

import math

import naive
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.integrate import quad
from tolerances import FLOAT

from ropesim.predict import binned
from ropesim.predict.kernels import histogram, interpolate
from ropesim.predict.laplace import PER_UNIT, table

seeds = st.integers(0, 2 ** 32 - 1)
GRID = 3e-4          # of a score: what `moments.expected` states for columns, table and grid of log t together
RISE = 0.03


def placed(mean, spread):
    """Entries on their columns, and the table that holds their spreads."""
    mean, spread = np.asarray(mean, float), np.asarray(spread, float)
    at = table(binned.spreads(float(spread.min()), float(spread.max())))
    return binned.place(mean, spread, at), at


def one_row(mean, spread, certain=()):
    """Expected score of each entry, of the certain key, entropy and participation of a single row."""
    logits, at = placed(mean, spread)
    rows = histogram(logits.start, logits.offset, logits.share, np.array([len(mean)]), len(logits.slab))
    sink = np.array([*certain, -np.inf])[:1]
    top = float(np.logaddexp.reduce(np.asarray(mean) + np.square(spread) / 2))
    least = float(np.max(np.asarray(mean) - 5 * np.asarray(spread)))
    scores = binned.integrate(rows, logits, at, sink, *binned.limits(top, sink, least))
    each = interpolate(scores.score, np.zeros(len(mean), int), logits.start, logits.offset, logits.share)
    return [*each, *scores.first[:len(certain)]], float(scores.square[0]), float(scores.entropy[0])


# Columns

@given(st.lists(st.floats(-20, 20), min_size=1, max_size=30), st.floats(0, 3), st.floats(0, 3), seeds)
@example([0.0], 0.0, 0.0, 0)
@example([7.0, 7.0], 2.5, 2.5, 0)
def test_columns_reproduce_cubics_of_the_mean_that_are_linear_in_the_log_of_the_spread(means, least, most, seed):
    least, most = sorted((least, most))
    rng = np.random.default_rng(seed)
    spread = np.append(rng.uniform(least, most, len(means)), [least, most])
    mean = np.append(means, [means[0]] * 2)
    logits, at = placed(mean, spread)
    c = rng.uniform(-1, 1, 8)

    def f(x, s):
        x, s = x / 10, np.log(s + binned.LOW)
        return c[0] + c[1] * x + c[2] * x ** 2 + c[3] * x ** 3 + s * (c[4] + c[5] * x + c[6] * x ** 2 + c[7] * x ** 3)
    values = f(logits.place / PER_UNIT, at.spreads[logits.slab])
    seen = interpolate(values[None], np.zeros(len(mean), int), logits.start, logits.offset, logits.share)
    np.testing.assert_allclose(seen, f(mean, spread), rtol=FLOAT, atol=100 * FLOAT)       # cubics of up to 30 add up
    counts = histogram(logits.start, logits.offset, logits.share, np.array([len(mean)]), len(values))
    np.testing.assert_allclose(counts[0] @ values, f(mean, spread).sum(), rtol=FLOAT, atol=100 * len(mean) * FLOAT)


@given(st.lists(st.floats(-30, 30), max_size=40), st.floats(0, 3), st.floats(0, 3), seeds)
def test_rows_of_a_histogram_sum_to_their_counts(means, least, most, seed):
    rng = np.random.default_rng(seed)
    assume(means)
    logits, _ = placed(means, rng.uniform(*sorted((least, most)), len(means)))
    ends = np.sort(rng.integers(0, len(means) + 1, 4))
    rows = histogram(logits.start, logits.offset, logits.share, ends, len(logits.slab))
    np.testing.assert_allclose(rows.sum(axis=1), np.diff(ends, prepend=0), rtol=0, atol=FLOAT)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=30), st.floats(0, 3), st.floats(0, 3), seeds)
def test_entries_lie_between_the_second_and_third_of_their_columns(means, least, most, seed):
    spread = np.random.default_rng(seed).uniform(*sorted((least, most)), len(means))
    logits, at = placed(means, spread)
    assert (np.diff(logits.place[logits.start[None] + np.arange(4)[:, None, None]], axis=0) > 0).all()
    low, high = (logits.place[logits.start + n] / PER_UNIT for n in (1, 2))
    assert (low <= np.add(means, FLOAT)).all() and (np.subtract(means, FLOAT) <= high).all()
    below, above = at.spreads[logits.slab[logits.start]]
    assert (below <= spread + FLOAT).all() and (spread - FLOAT <= above).all()
    assert (above - below <= binned.RATIO * spread.max() + 0.01 + FLOAT).all()


def test_a_key_far_below_the_others_is_raised_to_where_it_still_does_not_count():
    logits, _ = placed([0.0, -1e6], [0.5, 0.5])
    lowest = logits.place.min() / PER_UNIT
    assert -60 < lowest < -40 and len(logits.place) == 8
    assert one_row([0.0, -1e6], [0.5, 0.5])[0] == pytest.approx([1.0, 0.0], abs=GRID)


def test_spreads_reach_from_the_least_to_the_most_in_small_steps():
    for least, most in ((0.0, 0.0), (0.0, 5.0), (1.0, 1.0), (3.0, 40.0)):
        s = binned.spreads(least, most)
        assert s[0] == least and s[-1] == most
        assert (np.diff(s) > 0).all() and (np.diff(s) <= binned.RATIO * most + 0.01 + FLOAT).all()


# The integral: independent log-normal keys, and one certain key or none

def rule(points):
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return list(zip(nodes.tolist(), (weights / weights.sum()).tolist()))


@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(0, 0.7)), min_size=2, max_size=3),
       st.lists(st.floats(-5, 5), max_size=1))
@example([(0.0, 0.0), (0.0, 0.0)], [])
@example([(0.0, 0.7), (0.0, 0.0)], [0.0])
def test_scores_of_one_row_are_those_of_tensor_quadrature(keys, certain):
    means, spreads = map(list, zip(*keys))
    seen = one_row(means, spreads, certain)
    want = naive.expected_scores(means, spreads, certain, rule(10))       # 10 nodes err by 1e-6 at a spread of .7
    np.testing.assert_allclose(seen[0], want[0], rtol=0, atol=GRID)
    assert seen[1] == pytest.approx(want[1], abs=2 * GRID)                # the trapezoid errs more in squares
    assert seen[2] == pytest.approx(want[2], abs=5 * GRID)                # p log p of a score near 1 is a difference


def by_quadrature(means, spreads, certain):
    """(M-laplace) as printed, with each expectation over a key by adaptive quadrature; the outer step is ample."""
    def over_key(value, mean, spread, log_t):
        def integrand(eps):
            log_y = log_t + mean + spread * eps
            return math.exp(-eps * eps / 2) * value(math.exp(log_y), log_y) * math.exp(-math.exp(log_y))
        kink = min(max(-(log_t + mean) / spread, -9.0), 9.0)
        return quad(integrand, -9, 9, points=[kink], limit=200)[0] / math.sqrt(2 * math.pi)
    values = [lambda y, _: 1.0, lambda y, _: y, lambda y, _: y * y, lambda y, x: y * (x + np.euler_gamma)]
    reach = 6 * max(spreads) + 3
    start, end = -max([*means, *certain]) - reach - 12, 5 + reach - max([*means, *certain])
    score, square, disorder, step = np.zeros(len(means) + len(certain)), 0.0, 0.0, 0.25
    for log_t in np.arange(start, end, step):
        keys = [[over_key(value, m, s, log_t) for value in values] for m, s in zip(means, spreads)]
        for sure in certain:
            y = math.exp(log_t + sure)
            keys.append([math.exp(-y) * value(y, log_t + sure) for value in values])
        for n, (_, one, two, log) in enumerate(keys):
            others = math.prod(key[0] for m, key in enumerate(keys) if m != n)
            score[n] += step * one * others
            square += step * two * others
            disorder -= step * log * others
    return score, square, disorder


@pytest.mark.parametrize("certain", [[], [1.0]])
@pytest.mark.parametrize(("means", "spreads"), [([0.0, 1.0], [1.5, 2.5]), ([0.0, -1.0, 2.0], [3.0, 3.0, 0.5])])
def test_scores_of_widely_spread_keys_are_those_of_the_identity_by_quadrature(means, spreads, certain):
    seen, want = one_row(means, spreads, certain), by_quadrature(means, spreads, certain)
    assert want[0].sum() == pytest.approx(1, abs=1e-4)              # the quadrature's own check: its cut tails
    np.testing.assert_allclose(seen[0], want[0], rtol=0, atol=GRID)
    assert seen[1] == pytest.approx(want[1], abs=2 * GRID)
    assert seen[2] == pytest.approx(want[2], abs=5 * GRID)


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20), st.floats(0, 20),
       st.lists(st.floats(-20, 20), max_size=1))
@example([0.0], 0.0, [])
def test_scores_of_a_row_sum_to_one(means, spread, certain):
    score, square, disorder = one_row(means, np.full(len(means), spread), certain)
    assert math.fsum(score) == pytest.approx(1, abs=GRID)
    assert min(score) >= -GRID and 1 / len(score) - GRID <= square <= 1 + GRID
    assert -GRID <= disorder <= math.log(len(score)) + GRID


@given(st.floats(-5, 5), st.floats(0, 20), st.floats(0, 20), st.floats(0, 1))
@example(0.0, 0.0, 8.0, 0.06)        # linear in s, with steps of 4 % of the largest s, participation was 1.019
def test_a_key_alone_has_all_of_the_score_whatever_the_spreads_of_others(mean, least, most, between):
    """The others share the table and are far below."""
    least, most = sorted((least, most))
    score, square, disorder = one_row([mean, mean - 900, mean - 900], [least + between * (most - least), least, most])
    np.testing.assert_allclose(score, [1, 0, 0], rtol=0, atol=GRID)
    assert square == pytest.approx(1, abs=GRID)
    assert disorder == pytest.approx(0, abs=GRID)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=20), st.lists(st.floats(-20, 20), max_size=1))
def test_certain_keys_have_the_scores_of_softmax(means, certain):
    score, square, disorder = one_row(means, np.zeros(len(means)), certain)
    want = naive.softmax(means + certain)
    np.testing.assert_allclose(score, want, rtol=0, atol=GRID)
    assert square == pytest.approx(math.fsum(p * p for p in want), abs=2 * GRID)
    assert disorder == pytest.approx(-math.fsum(p * math.log(p) for p in want if p), abs=5 * GRID)


@given(st.lists(st.lists(st.floats(-9, 9), min_size=1, max_size=5), min_size=2, max_size=4), st.floats(0, 2))
def test_rows_of_one_matrix_do_not_mind_each_other(rows, spread):
    logits, at = placed([x for row in rows for x in row], np.full(sum(map(len, rows)), spread))
    ends = np.cumsum([len(row) for row in rows])
    counts = histogram(logits.start, logits.offset, logits.share, ends, len(logits.slab))
    sink = np.full(len(rows), -np.inf)
    both = binned.integrate(counts, logits, at, sink, *binned.limits(12 + spread ** 2 / 2, sink, -9 - 5 * spread))
    for n, row in enumerate(rows):
        _, square, disorder = one_row(row, np.full(len(row), spread))
        assert both.square[n] == pytest.approx(square, abs=2 * GRID)
        assert both.entropy[n] == pytest.approx(disorder, abs=5 * GRID)


@given(st.floats(-50, 50), st.floats(0, 60), st.lists(st.floats(-50, 50), max_size=2))
def test_the_integrand_lives_between_its_limits(least, more, sinks):
    """e^{-tS} of the smallest sum is nothing at the end, 1 - e^{-tS} of the largest little where the grid begins."""
    begin, end = binned.limits(least + more, np.array(sinks), least)
    smallest = np.logaddexp(least, min(sinks)) if sinks else least
    assert math.exp(-math.exp(end + smallest)) < 1e-12
    # what is left below falls as t, and is summed: it errs by the next order
    assert 2 * math.exp(begin + (max(sinks) if sinks else least + more)) <= 2.1 * math.exp(-binned.DEEP)


# Which rows, and sums over all rows from those

@given(st.lists(st.floats(0, 0.1) | st.floats(0.03, 9), min_size=1, max_size=60))
def test_rows_that_are_left_out_lie_close_below_one_that_is_not(steps):
    rise = np.cumsum(steps)
    rows = binned.picks(rise, RISE)
    assert rows[-1] == len(rise) - 1 and (np.diff(rows) > 0).all()
    jumps = np.flatnonzero(np.diff(rise) > RISE)
    assert np.isin(jumps, rows).all() and np.isin(jumps + 1, rows).all()
    following = rows[np.searchsorted(rows, np.arange(len(rise)))]
    assert (rise[following] - rise <= RISE + FLOAT).all()


@given(st.integers(1, 33))
def test_every_row_of_a_short_context_is_looked_at(length):
    rows = binned.picks(np.log(np.arange(1.0, length + 1)), RISE)
    np.testing.assert_array_equal(rows, np.arange(length))


def test_rows_of_a_long_context_are_few():
    rows = binned.picks(np.log(np.arange(1.0, 1 << 20)), RISE)
    assert len(rows) <= 34 + 20 * math.log(2) / RISE


picked = st.sets(st.integers(0, 200), min_size=1).map(sorted).map(np.array)


def constant(i):
    return np.ones(len(i))


def falling(i):
    return 1 / (i + 1)


@given(picked)
@pytest.mark.parametrize("g", [constant, falling])
def test_sums_over_rows_are_exact_for_scores_that_are_constant_or_fall(g, rows):
    values = np.stack([g(rows), 2 * g(rows)], axis=1)
    seen = binned.suffix_sums(values, binned.blocks(rows)) + values
    want = np.array([g(np.arange(row, rows[-1] + 1)).sum() for row in rows])
    np.testing.assert_allclose(seen, np.stack([want, 2 * want], axis=1), rtol=FLOAT)


@given(picked, st.data())
def test_rows_below_the_first_one_picked_count_as_that_one(rows, data):
    first = data.draw(st.integers(0, int(rows[-1])))
    r = np.searchsorted(rows, first)
    ones = binned.suffix_sums(np.ones(len(rows)), binned.blocks(rows))
    assert ones[r] + rows[r] - first + 1 == pytest.approx(rows[-1] + 1 - first, rel=FLOAT)


@given(picked)
@pytest.mark.parametrize("g", [constant, falling])
def test_values_at_picked_rows_continue_to_all(g, rows):
    length = int(rows[-1]) + 1
    seen = binned.by_row(g(rows), rows, length)
    assert len(seen) == length
    np.testing.assert_allclose(seen[rows[0]:], g(np.arange(rows[0], length)), rtol=FLOAT)
