import math
from fractions import Fraction

import naive_patterns as naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT

from ropesim.errors import RopesimError
from ropesim.patterns import Profile, dominant_lags, sink_metric, slash_dominant, uniform

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


def test_the_naive_twin_sees_a_wrong_profile():
    """The oracle must be able to fail: shifted by one key, the baseline is not reproduced."""
    slow = naive_uniform(6, 0, 0)
    assert not np.allclose(slow.received, np.roll(uniform(6).received, 1))
