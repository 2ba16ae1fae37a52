import math

import naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT

from ropesim.predict import kernels
from ropesim.predict.rows import STEP, staircase

lengths = st.integers(0, 40)
spreads = st.sampled_from([0.0, 1.0, 40.0, 1e3, 1e4])
seeds = st.integers(0, 2 ** 32 - 1)


def drawn(length, spread, seed):
    """Logits, the staircase above them and a generator for more."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.uniform(-1, 1, length)
    return logits, staircase(logits), rng


@given(lengths, spreads, seeds)
def test_prefix_sums_are_their_naive_twin(length, spread, seed):
    logits, stairs, _ = drawn(length, spread, seed)
    fast = kernels.prefix_sums(logits - stairs, stairs)
    assert fast.shape == (3, length)
    # a logit less its stair rounds by STEP ulp at most, and the sums are no better than that
    np.testing.assert_allclose(fast, naive.prefix_sums(logits.tolist(), stairs.tolist()), rtol=EXACT, atol=1e-290)


@given(lengths, spreads, seeds)
def test_suffix_sums_are_their_naive_twin(length, spread, seed):
    _, stairs, rng = drawn(length, spread, seed)
    v = rng.uniform(0, 1, length)
    fast = kernels.suffix_sums(v, stairs)
    np.testing.assert_allclose(fast, naive.suffix_sums(v.tolist(), stairs.tolist()), rtol=EXACT, atol=1e-290)


@given(lengths, spreads, seeds)
def test_weighted_sums_are_their_naive_twin(length, spread, seed):
    logits, stairs, rng = drawn(length, spread, seed)
    u = rng.normal(size=length)
    fast = kernels.weighted_sums(logits - stairs, stairs, u)
    slow = naive.weighted_sums(logits.tolist(), stairs.tolist(), u.tolist())
    size = naive.weighted_sums(logits.tolist(), stairs.tolist(), np.abs(u).tolist())   # the terms may cancel
    assert (np.abs(fast - slow) <= EXACT * np.array(size) + 1e-290).all()


@given(lengths, spreads, seeds)
def test_sums_weighted_by_one_are_prefix_sums(length, spread, seed):
    logits, stairs, _ = drawn(length, spread, seed)
    ones = kernels.weighted_sums(logits - stairs, stairs, np.ones(length))
    np.testing.assert_array_equal(ones, kernels.prefix_sums(logits - stairs, stairs)[0])


def test_long_sums_err_by_a_few_ulp():
    x = np.full(20_000, math.log(0.1))
    flat = np.zeros_like(x)
    exact = math.exp(x[0]) * np.arange(1, x.size + 1)
    few_ulp = 4 * np.finfo(float).eps      # Kahan's promise, whatever the length; a plain sum errs by 1e-12
    np.testing.assert_allclose(kernels.prefix_sums(x, flat)[0], exact, rtol=few_ulp)
    np.testing.assert_allclose(kernels.suffix_sums(np.exp(x), flat)[::-1], exact, rtol=few_ulp)
    np.testing.assert_allclose(kernels.weighted_sums(x, flat, flat + 1), exact, rtol=few_ulp)


@pytest.mark.parametrize("rise", [STEP, 1e4])
def test_a_rise_of_the_reference_rescales_what_came_before(rise):
    ref = np.array([0.0, rise])
    np.testing.assert_allclose(kernels.prefix_sums(np.zeros(2), ref),
                               [[1, 1 + math.exp(-rise)], [1, 1 + math.exp(-2 * rise)], [0, -rise * math.exp(-rise)]],
                               rtol=EXACT)


def entries(count, columns, seed):
    """Entries as `binned.place` makes them: eight columns each, an offset in [0, 1) and a share of the upper four."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, columns - 3, (2, count))
    return start, rng.uniform(0, 1, count), rng.choice([0.0, 0.3, 1.0], count), rng


@given(st.integers(0, 30), st.integers(4, 9), st.integers(1, 5), seeds)
@example(0, 4, 1, 0)
def test_a_histogram_is_its_naive_twin(count, columns, rows, seed):
    start, offset, share, rng = entries(count, columns, seed)
    ends = np.sort(rng.integers(0, count + 1, rows))          # rows may be empty, entries beyond the last are nobody's
    fast = kernels.histogram(start, offset, share, ends, columns)
    slow = naive.histogram(start.tolist(), offset.tolist(), share.tolist(), ends.tolist(), columns)
    assert fast.shape == (rows, columns)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=EXACT * (count + 1))


@given(st.integers(0, 30), st.integers(4, 9), st.integers(1, 5), seeds)
def test_interpolation_is_its_naive_twin(count, columns, rows, seed):
    start, offset, share, rng = entries(count, columns, seed)
    values, row = rng.normal(size=(rows, columns)), rng.integers(0, rows, count)
    fast = kernels.interpolate(values, row, start, offset, share)
    slow = naive.interpolate(values.tolist(), row.tolist(), start.tolist(), offset.tolist(), share.tolist())
    np.testing.assert_allclose(fast, slow, rtol=0, atol=10 * EXACT)          # weights and values of a few units


@given(st.integers(1, 30), st.integers(4, 9), seeds)
def test_a_histogram_times_values_is_the_sum_of_what_is_interpolated(count, columns, seed):
    start, offset, share, rng = entries(count, columns, seed)
    values, none = rng.normal(size=columns), np.zeros(count, int)
    counts = kernels.histogram(start, offset, share, np.array([count]), columns)
    each = kernels.interpolate(values[None], none, start, offset, share)
    np.testing.assert_allclose(counts @ values, each.sum(), rtol=0, atol=10 * EXACT * count)


@pytest.mark.parametrize(("share", "want"), [(0.0, 2.0), (0.25, 2.75), (1.0, 5.0)])
def test_an_entry_on_a_column_has_its_value(share, want):
    values = np.array([[9.0, 2.0, 9.0, 9.0, 5.0, 9.0, 9.0]])
    seen = kernels.interpolate(values, np.zeros(1, int), np.array([[0], [3]]), np.zeros(1), np.array([share]))
    np.testing.assert_allclose(seen, want, rtol=EXACT)


def tile(length, spread, seed, window=None):
    """One head in a tile of two lanes, as `batch.profiles` holds it."""
    logits = spread * np.random.default_rng(seed).uniform(-1, 1, (1, length))
    x, ref, rises = np.empty((2, length, 2)), np.empty((length, 2)), np.empty(length, bool)
    kernels.lag_tiles(logits, logits, 0, window or length, STEP, x, ref, rises)
    return logits[0], x, ref, rises


@given(st.integers(1, 40), spreads, seeds)
def test_a_tile_holds_logits_less_their_stair(length, spread, seed):
    logits, x, ref, rises = tile(length, spread, seed)
    stairs = staircase(logits)
    for k in range(2):                                  # the second lane repeats the only head
        np.testing.assert_array_equal(ref[:, k], stairs)
        np.testing.assert_array_equal(x[0, :, k], logits - stairs)
        np.testing.assert_array_equal(x[1, 1:, k], np.minimum(logits[1:] - stairs[:-1], 100))
    np.testing.assert_array_equal(rises[1:], np.diff(stairs) > 0)


@given(st.integers(2, 40), spreads, seeds)
def test_rows_of_a_tile_are_those_of_prefix_sums(length, spread, seed):
    logits, x, ref, rises = tile(length, spread, seed)
    e, v, means = np.exp(x), np.empty((length, 2)), np.empty((4, 2))
    kernels.row_tiles(x, e, ref, rises, v, means)
    s, p, _ = kernels.prefix_sums(logits - ref[:, 0], ref[:, 0])
    np.testing.assert_allclose(v[1:, 1], 1 / (s[:-1] + e[1, 1:, 1]), rtol=EXACT)
    np.testing.assert_allclose(means[3], p[length - 2], rtol=EXACT, atol=1e-290)


@given(st.integers(1, 40), spreads, seeds)
def test_sums_of_a_tile_are_those_of_prefix_sums(length, spread, seed):
    logits, x, ref, rises = tile(length, spread, seed)
    s = np.empty((length, 2))
    kernels.sum_tiles(np.exp(x[0]), ref, rises, s)
    for k in range(2):
        np.testing.assert_allclose(s[1:, k], kernels.prefix_sums(logits - ref[:, 0], ref[:, 0])[0, :-1], rtol=EXACT)
        assert s[0, k] == 0


@given(st.integers(2, 40), st.sampled_from([0.0, 1.0, 40.0]), seeds, st.sampled_from([0.0, 3.0, 1e3, 1e9]))
def test_early_rows_are_their_naive_twin_and_leave_the_rest(length, spread, seed, limit):
    logits, x, ref, rises = tile(length, spread, seed)
    e, v, means = np.exp(x), np.empty((length, 2)), np.empty((4, 2))
    kernels.row_tiles(x, e, ref, rises, v, means)
    weights, values, total = np.zeros((3, 2, length))
    kernels.turned(e, v, weights, values)
    split = kernels.early_rows(weights, values, ref, rises, means[3], limit, length, total)
    top = ref[length - 2, 0]
    by_lag, by_row = np.exp(logits - top), v[1:, 0] * np.exp(top - ref[:-1, 0])
    slow = naive.early_rows(by_lag.tolist(), [0.0, *by_row.tolist()], int(split[0]))
    np.testing.assert_allclose(total[0], slow, rtol=EXACT)
    left = np.where(np.arange(1, length) >= split[0], by_row, 0.0)
    np.testing.assert_allclose(values[0, 1:length], left, rtol=EXACT)
    np.testing.assert_allclose(weights[0, length - 1:0:-1], by_lag[:-1], rtol=EXACT)
    norm = np.linalg.norm(by_lag[:-1])
    assert np.linalg.norm(left) * norm <= limit * (1 + EXACT)
    if split[0] > 1:                                    # and one row more would be too many
        assert np.linalg.norm(by_row[split[0] - 2:]) * norm >= limit * (1 - EXACT)
    np.testing.assert_array_equal(total[0], total[1])


@given(st.integers(2, 90), st.integers(0, 100), seeds)
@example(65, 64, 0)
def test_halves_and_last_keys_add_up_to_all_keys(length, most, seed):
    rng = np.random.default_rng(seed)
    by_lag, by_row, half = rng.uniform(0, 1, (2, length)), rng.uniform(0, 1, (2, length)), -(-length // 2) + 1
    by_lag[:, -1] = by_row[:, 0] = 0
    weights, total = by_lag[:, ::-1].copy(), np.zeros((2, length))
    kernels.last_keys(weights, by_row, most, total)
    slow = [naive.early_rows(*pair, length) for pair in zip(by_lag.tolist(), by_row.tolist())]
    done = max(length - most, 1)
    np.testing.assert_allclose(total[:, done:], np.array(slow)[:, done:], rtol=EXACT)
    np.testing.assert_array_equal(total[:, :done], 0)
    twist = np.tile(np.exp(0.5j * np.pi * np.arange(half) / half), 2)
    one, other = np.full((2, 2, 2 * half), np.nan, complex)
    kernels.twisted(weights, twist, 2 * half - length, one)
    kernels.twisted(by_row, twist, 0, other)
    one, other = (np.fft.fft(rows.reshape(2, 2, half)) for rows in (one, other))
    kernels.half_products(one, other)
    received, key0 = np.full((3, length), np.nan), np.array([0.25, 0.5])
    kernels.received_rows(np.fft.ifft(one).reshape(2, -1), twist, total, most, key0, 1, received)
    np.testing.assert_allclose(received[1:, 1:], np.array(slow)[:, 1:] / np.arange(length - 1, 0, -1), atol=EXACT)
    np.testing.assert_array_equal(received[1:, 0], key0)
    assert np.isnan(received[0]).all()
