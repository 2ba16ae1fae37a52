import math
from fractions import Fraction

import naive_patterns as naive
import naive_similarity
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT

from ropesim.errors import RopesimError
from ropesim.patterns import (
    Profile, dominant_lags, periodic_sequential, re_access, seasonal, sequential, sink_metric, slash_dominant, uniform)

lengths = st.integers(1, 25)
skips = st.integers(0, 30)
windows = st.integers(0, 30)
kappas = st.floats(0, 1)
averages = st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=20)


def naive_uniform(length, skip, window):
    matrix = naive.uniform_scores(length, window)
    return Profile(naive.slash(matrix, skip), naive.received(matrix), naive.entropy(matrix),
                   naive.participation(matrix))


@given(lengths, skips, windows)
@example(1, 0, 0)
@example(7, 2, 3)
@example(7, 7, 7)
@example(7, 6, 8)
def test_uniform_is_its_naive_twin(length, skip, window):
    fast, slow = uniform(length, skip=skip, window=window), naive_uniform(length, skip, window)
    for ours, theirs in zip(fast, slow):
        np.testing.assert_allclose(ours, theirs, rtol=EXACT, atol=EXACT)


@given(lengths, windows)
def test_scores_of_uniform_rows_add_to_one(length, window):
    profile = uniform(length, window=window)
    pairs = np.arange(length, 0, -1)
    np.testing.assert_allclose([profile.slash @ pairs, profile.received @ pairs], length, rtol=EXACT)


@given(lengths, skips, windows)
def test_uniform_profiles_are_float64_and_stay_in_their_ranges(length, skip, window):
    profile = uniform(length, skip=skip, window=window)
    assert all(part.dtype == np.float64 and part.shape == (length,) for part in profile)
    assert 0 <= np.nanmin(profile.slash, initial=1) and np.nanmax(profile.slash, initial=0) <= 1 + EXACT
    assert (profile.received > 0).all() and (profile.entropy >= 0).all() and (profile.participation <= 1).all()


@given(lengths, skips)
def test_a_window_as_long_as_the_text_is_no_window(length, skip):
    for full, wide in zip(uniform(length, skip=skip), uniform(length, skip=skip, window=length)):
        np.testing.assert_array_equal(full, wide)


def test_a_window_of_one_sees_only_itself():
    profile = uniform(4, window=1)
    np.testing.assert_array_equal(profile.slash, [1, 0, 0, 0])
    np.testing.assert_array_equal(profile.received, [1 / 4, 1 / 3, 1 / 2, 1])
    np.testing.assert_array_equal(profile.entropy, 0)
    np.testing.assert_array_equal(profile.participation, 1)


def test_lags_outside_the_window_are_zero_and_lags_without_pairs_are_nan():
    np.testing.assert_array_equal(uniform(6, skip=2, window=2).slash[2:], [0, 0, np.nan, np.nan])
    assert np.isnan(uniform(3, skip=3).slash).all()


def test_uniform_is_accurate_where_the_sums_are_long():
    length, lag = 20_000, 19_000
    exact = sum(Fraction(1, n) for n in range(lag + 1, length + 1)) / (length - lag)
    assert uniform(length).slash[lag] == pytest.approx(float(exact), rel=EXACT)
    exact = math.fsum(1 / n for n in range(1, length + 1)) / length
    assert uniform(length).received[0] == pytest.approx(exact, rel=EXACT)


def test_the_null_of_the_slash_paper_leaves_the_first_keys_in():
    """slash.md 4.8 prints five values at N = 6000; with its own eq. 6 (skip = 4) the small lags are lower."""
    slash = uniform(6000).slash
    printed = [1.55e-3, 1.38e-3, 4.5e-4, 3.6e-4, 1.8e-4]
    assert slash[[0, 1, 500, 1000, 5000]] == pytest.approx(printed, abs=5e-6)   # half a unit of the last digit
    harmonic = math.fsum(1 / n for n in range(5, 6001))
    assert uniform(6000, skip=4).slash[0] == pytest.approx(harmonic / 5996, rel=EXACT)
    assert uniform(6000, skip=4).slash[0] < 0.8 * slash[0]


@pytest.mark.parametrize("bad", [{"length": 0}, {"length": 2.0}, {"length": 3, "skip": -1},
                                 {"length": 3, "window": -1}, {"length": 3, "window": 1.5}])
def test_uniform_refuses(bad):
    with pytest.raises(RopesimError, match=list(bad)[-1]):
        uniform(**bad)


@given(averages, kappas)
def test_dominant_lags_are_those_that_are_dominant(slash, kappa):
    found = dominant_lags(slash, kappa)
    assert found.dtype.kind == "i"
    assert list(found) == [lag for lag in range(len(slash)) if slash_dominant(slash, lag, kappa)]
    assert list(found) == [lag for lag, score in enumerate(slash) if score >= kappa]


def test_a_sink_looks_like_a_slash_at_long_lags_unless_skipped():
    matrix = [[1.0 if j == 0 else 0.0 for j in range(6)] for _ in range(6)]
    assert list(dominant_lags(naive.slash(matrix), 0.5)) == [4, 5]
    assert not dominant_lags(naive.slash(matrix, skip=1), 0.5).size


@given(averages)
def test_dominance_is_inclusive_and_needs_pairs(slash):
    for lag, score in enumerate(slash):
        assert slash_dominant(slash, lag, 0.0 if math.isnan(score) else score) is not math.isnan(score)


def test_rounding_above_one_is_still_a_score():
    assert slash_dominant([1 + 1e-12], 0, 1.0)


@pytest.mark.parametrize("slash, lag, kappa, name", [
    ([0.5], 1, 0.5, "lag"), ([0.5], -1, 0.5, "lag"), ([0.5], 0.0, 0.5, "lag"),
    ([0.5], 0, 1.1, "kappa"), ([0.5], 0, -0.1, "kappa"), ([0.5], 0, math.nan, "kappa"),
    ([], 0, 0.5, "slash"), ([[0.5]], 0, 0.5, "slash"), (0.5, 0, 0.5, "slash"), ([7.0], 0, 0.5, "slash"),
    ([-0.1], 0, 0.5, "slash"), ([math.inf], 0, 0.5, "slash"), (["a"], 0, 0.5, "slash"),
    ([0.5j], 0, 0.5, "slash"), ([[1], [0, 1]], 0, 0.5, "slash"), (None, 0, 0.5, "slash")])
def test_slash_dominant_refuses(slash, lag, kappa, name):
    with pytest.raises(RopesimError, match=name):
        slash_dominant(slash, lag, kappa)


@pytest.mark.parametrize("slash, kappa, name", [([7.0], 0.5, "slash"), ([0.5], 2.0, "kappa")])
def test_dominant_lags_refuses(slash, kappa, name):
    with pytest.raises(RopesimError, match=name):
        dominant_lags(slash, kappa)


def test_every_head_is_a_sink_up_to_nine_tokens():
    """sinks.md 1.1: uniform attention gives H_T/T, above the default epsilon of 0.3 up to T = 9."""
    assert [sink_metric(uniform(length).received[0]) for length in range(1, 12)] == [1.0] * 9 + [0.0] * 2
    assert uniform(64).received[0] == pytest.approx(float(sum(Fraction(1, n) for n in range(1, 65)) / 64), rel=EXACT)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1))
def test_sink_metric_counts_heads_of_any_shape(received, epsilon):
    share = sum(mass > epsilon for mass in received) / len(received)
    heads = np.array(received)
    for shaped in (heads, heads[None, :, None], heads[:, None]):
        assert sink_metric(shaped, epsilon) == pytest.approx(share, rel=EXACT)


def test_sink_metric_is_strict_and_defaults_to_three_tenths():
    assert sink_metric([0.3, np.nextafter(0.3, 1)]) == 0.5
    assert sink_metric([0.8], 0.8) == 0.0


@pytest.mark.parametrize("received, epsilon, name", [
    ([0.5], 1.5, "epsilon"), ([0.5], -0.1, "epsilon"), ([0.5], True, "epsilon"), ([], 0.3, "received_first"),
    ([math.nan], 0.3, "received_first"), ([[1.5]], 0.3, "received_first"), ([-1.0], 0.3, "received_first"),
    ("ab", 0.3, "received_first"), ([[1], [0, 1]], 0.3, "received_first")])
def test_sink_metric_refuses(received, epsilon, name):
    with pytest.raises(RopesimError, match=name):
        sink_metric(received, epsilon)


# ---------------------------------------------------------------- rows against rows

def causal(weights):
    """Rows in proportion to the weights of the keys up to the query."""
    lower = np.tril(weights)
    return lower / lower.sum(axis=1, keepdims=True)


def square(length):
    """(query, key) of a score matrix."""
    return np.arange(length)[:, None], np.arange(length)[None]


def sink(length):
    return causal((square(length)[1] == 0) * np.ones((length, 1)))


def soft_sink(length, share):
    """Key 0 gets `share` of every row after the first, the others share the rest evenly."""
    return np.vstack([np.eye(1, length)] + [np.r_[share, np.full(i, (1 - share) / i), np.zeros(length - 1 - i)]
                                            for i in range(1, length)])


def slash_at(length, lag):
    i, j = square(length)
    return ((i - j == lag) | ((i < lag) & (i == j))).astype(float)


def recurring(length, period, seed=0):
    """Rows that are the same every `period` rows, cut to the keys before the query."""
    table = np.random.default_rng(seed).uniform(0.01, 1, (period, length)) ** 4
    return causal(table[np.arange(length) % period])


def diagonals(length, spacing):
    i, j = square(length)
    return causal(((i - j) % spacing == 1) + 1e-9)


@st.composite
def matrices(draw):
    length = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2 ** 32 - 1)))
    kept = rng.uniform(size=(length, length)) < draw(st.sampled_from([0.3, 1]))
    weights = kept * rng.uniform(size=(length, length))
    return causal(weights + np.where(np.tril(weights).sum(axis=1, keepdims=True) > 0, 0, np.eye(length)))


@given(matrices(), st.integers(1, 8))
@example(np.eye(5), 2)
@example(np.ones((1, 1)), 1)
def test_the_row_measures_are_their_naive_twins(scores, period):
    rows, period = scores.tolist(), min(period, len(scores))
    for ours, twin in ((re_access(scores), naive_similarity.re_access(rows)),
                       (sequential(scores), naive_similarity.sequential(rows)),
                       (seasonal(scores, period), naive_similarity.seasonal(rows, period))):
        assert ours == pytest.approx(twin, abs=EXACT, nan_ok=True)
        assert math.isnan(ours) or 0 <= ours <= 1
    assert seasonal(scores, 1) == pytest.approx(re_access(scores), abs=EXACT, nan_ok=True)


def test_each_row_measure_is_one_on_its_own_pattern():
    stripes = causal(np.random.default_rng(1).uniform(0.1, 1, (1, 20)) * np.ones((20, 1)))
    assert re_access(sink(20)) == 1 == pytest.approx(re_access(stripes), rel=EXACT)
    for lag in (0, 1):
        assert sequential(slash_at(20, lag)) == 1
    assert sequential(diagonals(20, 5)) == pytest.approx(1, rel=1e-8)       # 1e-9 lies on the other keys
    for period in (1, 2, 5, 19):
        assert seasonal(recurring(20, period), period) == pytest.approx(1, rel=EXACT)


def test_a_row_measure_tells_its_pattern_from_the_others():
    """The measures that are not about the pattern are small; a slash keeps the one row that has a single key."""
    assert re_access(slash_at(20, 1)) == pytest.approx(1 / 19, rel=EXACT)
    assert math.isnan(re_access(slash_at(20, 0)))
    assert math.isnan(seasonal(slash_at(20, 0), 2))
    assert sequential(soft_sink(20, 0.9)) < 0.3
    assert math.isnan(sequential(sink(20)))
    rows = recurring(60, 5)
    assert max(re_access(rows), sequential(rows), seasonal(rows, 4)) < 0.6 < seasonal(rows, 5)


def test_uniform_attention_a_sink_and_a_slash_overlap_as_stated():
    """Three of the measures are 1 for a head that does not care, and a sink is seasonal with every period."""
    flat = causal(np.ones((20, 20)))
    assert re_access(flat) == sequential(flat) == seasonal(flat, 7) == pytest.approx(1, rel=EXACT)
    assert seasonal(sink(20), 7) == 1 > seasonal(soft_sink(20, 0.6), 7) > 0.8
    assert seasonal(diagonals(40, 5), 5) > 0.99 > 0.2 > seasonal(diagonals(40, 5), 4)
    assert re_access(causal(np.exp(-(square(40)[0] - square(40)[1]) / 20.0))) > 0.98   # recency moves slowly


def test_a_row_without_mass_on_the_keys_is_left_out():
    scores = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.25, 0.25]])
    assert re_access(scores) == pytest.approx(1 - 2 / 3, rel=EXACT)      # row 1 has nothing on key 0
    assert sequential(scores) == pytest.approx(1 - (0 + 1 / 2) / 2, rel=EXACT)
    assert math.isnan(re_access([[1.0]])) and math.isnan(seasonal([[1.0]], 1)) and math.isnan(sequential([[1.0]]))


BAD = [[[0.5, 0.5], [0, 1]], [[1, 0], [0.5, 0.4]], [[1, 0], [-0.5, 1.5]], [[1, 0, 0], [0, 1, 0]], [1.0],
       np.ones((0, 0)), [[math.nan]], [["a"]], [[2.0]], [[1, 0], [1e308, 1e308]]]


@pytest.mark.parametrize("measure", [re_access, sequential, lambda scores: seasonal(scores, 1)])
@pytest.mark.parametrize("scores", BAD)
def test_row_measures_refuse(measure, scores):
    with pytest.raises(RopesimError, match="scores"):
        measure(scores)


def test_a_refusal_shows_the_score_that_is_wrong():
    for scores, shown in (([[0.5, 0.5], [0, 1]], "0.5: use 0 for"), ([[1, 0], [-0.5, 1.5]], "-0.5: use scores"),
                          ([[1, 0], [7, 0]], "7.0: use scores"), ([[1, 0], [0.5, 0.4]], "sum of 1 by 0.1")):
        with pytest.raises(RopesimError, match=shown):
            re_access(scores)


def test_rows_of_a_float32_capture_are_scores():
    scores = recurring(20, 3).astype(np.float32)
    assert seasonal(scores, 3) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("period", [0, 4, -1, 1.5, True])
def test_seasonal_refuses_a_period(period):
    with pytest.raises(RopesimError, match="period"):
        seasonal(np.eye(3), period)


# ---------------------------------------------------------------- parallel diagonals

@pytest.mark.parametrize("spacing", [2, 3, 7, 16])
def test_a_repeating_average_has_its_spacing_and_strength_one(spacing):
    shape = np.random.default_rng(spacing).uniform(0, 1, spacing)
    found = periodic_sequential(np.tile(shape, 1 + 80 // spacing))
    assert found.lag == spacing and found.strength == pytest.approx(1, rel=EXACT)


@pytest.mark.parametrize("theta", [0.65, 0.52, 0.34])
def test_the_first_of_the_high_peaks_is_the_period_of_the_channel(theta):
    """tappa.md X5: 9.676, 12.007 and 18.490 lags for pairs 2, 3 and 5 of base 1e6 (here nearby)."""
    found = periodic_sequential(0.5 + 0.4 * np.cos(theta * np.arange(300)))
    assert abs(found.lag - 2 * np.pi / theta) < 1 and found.strength > 0.9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@example([0.5] * 10)
@example([0.0] * 9 + [1.0])
def test_the_strength_is_the_autocorrelation_at_the_lag(slash):
    found = periodic_sequential(slash)
    assert 0 <= found.strength <= 1
    if found.lag:
        assert 2 <= found.lag <= len(slash) // 2
        assert found.strength == pytest.approx(naive_similarity.autocorrelation(slash, found.lag), abs=1e-6)
    else:
        assert found.strength == 0


def test_no_peak_no_period():
    """Overlaps: uniform attention, one slash and a smooth fall have none, though r(2) of the last is .99."""
    for slash in (uniform(200).slash, np.eye(1, 200)[0], np.exp(-np.arange(200) / 50), np.full(50, 0.3), [0.1] * 3):
        assert periodic_sequential(slash) == (0, 0.0)
    fall = np.exp(-np.arange(200) / 50)
    assert naive_similarity.autocorrelation(fall.tolist(), 2) > 0.95


def test_averages_from_the_first_missing_one_on_are_left_out():
    slash = np.tile([0.1, 0.5, 0.2], 10)
    assert periodic_sequential([*slash, math.nan, 1.0, 0.0]) == periodic_sequential(slash)
    assert periodic_sequential([math.nan] * 5) == (0, 0.0)


@pytest.mark.parametrize("slash", [[], [[0.5]], [7.0], ["a"]])
def test_periodic_sequential_refuses(slash):
    with pytest.raises(RopesimError, match="slash"):
        periodic_sequential(slash)


def test_the_naive_twin_sees_a_wrong_profile():
    """The oracle must be able to fail: shifted by one key, the baseline is not reproduced."""
    slow = naive_uniform(6, 0, 0)
    assert not np.allclose(slow.received, np.roll(uniform(6).received, 1))
