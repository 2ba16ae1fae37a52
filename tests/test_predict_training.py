"""Closed forms about training a slash head, against plain loops, linear programs and the figures of slash.md."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from tolerances import EXACT, FLOAT

from ropesim import schedules
from ropesim.errors import RopesimError
from ropesim.predict import attention, training

seeds = st.integers(0, 2 ** 32 - 1)
tables = st.lists(st.floats(0.0, math.pi), min_size=1, max_size=6)


def kappa(theta, lag):
    return math.fsum(math.cos(t * lag) for t in theta)


def rope(pairs, base):
    return base ** -(np.arange(pairs) / pairs)


@given(tables, st.integers(2, 40))
def test_peak_gap_is_the_least_fall_from_lag_zero(theta, length):
    fall = min(len(theta) - kappa(theta, lag) for lag in range(1, length))
    assert training.peak_gap(theta, length) == pytest.approx(max(fall, 0), abs=1e-13)   # cosines near 1


@pytest.mark.parametrize("pairs, base, gap", [(128, 1e4, 3.57), (64, 5e5, 1.41), (64, 1e6, 1.36)])
def test_peak_gaps_of_rope_tables_are_those_of_the_notes(pairs, base, gap):
    """slash.md 4.5, at 6000 tokens; lag 1 comes closest, and nearly all of it is in the fastest third."""
    theta = rope(pairs, base)
    assert training.peak_gap(theta, 6000) == pytest.approx(gap, abs=5e-3)
    assert training.peak_gap(theta, 6000) == pytest.approx((1 - np.cos(theta)).sum(), rel=FLOAT)
    assert training.peak_gap(theta[:pairs // 3], 6000) > 0.99 * training.peak_gap(theta, 6000)


def test_half_a_dft_has_the_same_gap_at_every_lag_up_to_its_period():
    theta = schedules.half_dft(10)
    assert training.peak_gap(theta, 21) == pytest.approx(10.5, rel=EXACT)
    assert training.peak_gap(theta, 22) == 0


def test_unrotated_pairs_leave_the_gap_alone_and_have_none():
    assert training.peak_gap([1.0, 0.0], 9) == pytest.approx(training.peak_gap([1.0], 9), rel=EXACT)
    assert training.peak_gap([0.0], 9) == 0


@given(st.integers(1, 12), st.floats(10.0, 1e7), st.integers(2, 60), st.integers(0, 59), st.floats(1e-6, 0.9))
def test_the_strength_reaches_its_score_in_every_row_at_any_lag(pairs, base, length, lag, epsilon):
    theta, lag = rope(pairs, base), lag % length
    strength = training.peak_gap_strength(theta, length, epsilon)
    for i in range(lag, length):
        others = math.fsum(math.exp(strength * (kappa(theta, n - lag) - pairs)) for n in range(i + 1) if n != lag)
        assert others / (1 + others) <= epsilon


def test_an_alias_leaves_no_strength():
    with pytest.raises(RopesimError, match="peak gap"):
        training.peak_gap_strength(schedules.half_dft(4), 10, 0.1)


@given(st.integers(1, 30), st.integers(1, 50), st.integers(0, 49))
def test_alias_ceiling_counts_the_aliases_of_each_row(period, length, lag):
    lag %= length
    counts = [sum((n - lag) % period == 0 for n in range(i + 1)) for i in range(lag, length)]
    expected = math.fsum(1 / count for count in counts) / (length - lag)
    assert training.alias_ceiling(period, length, lag) == pytest.approx(expected, rel=EXACT)


def test_alias_ceiling_of_the_notes():
    """slash.md 4.5: .752, which training reaches."""
    assert training.alias_ceiling(101, 201, 1) == pytest.approx((101 + 99 / 2) / 200, rel=EXACT)
    assert training.alias_ceiling(201, 201, 1) == 1


def test_a_strong_periodic_head_approaches_the_ceiling():
    theta = schedules.half_dft(5)
    for lag in (0, 1, 12):
        slash = attention.slash(attention.lag_logits(np.full(5, 9.0), -theta * lag, theta, 40))[lag]
        assert slash == pytest.approx(training.alias_ceiling(11, 40, lag), rel=FLOAT)


@given(tables.filter(lambda theta: max(theta) > 0.1), st.integers(3, 14))
def test_pulse_constant_is_the_solution_of_a_linear_program(theta, length):
    """Least e over C_1 = 1 and the scale s of kappa: |s kappa(x) - [x = 0] - C_2| <= e for each lag."""
    sums = np.array([kappa(theta, lag) for lag in range(length)])
    one, peak = np.ones(length), np.eye(length)[0]
    bounds = np.vstack([np.column_stack([sums, -one, -one]), np.column_stack([-sums, one, -one])])
    least = linprog([0, 0, 1], bounds, np.append(peak, -peak), bounds=[(0, None), (None, None), (0, None)])
    assert training.pulse_constant(theta, length) == pytest.approx(length * least.fun, rel=1e-6, abs=1e-7)  # HiGHS


@given(tables, st.integers(2, 40))
def test_no_table_beats_the_rank_bound(theta, length):
    constant = training.pulse_constant(theta, length)
    assert training.pulse_bound(len(theta), length) <= constant * (1 + FLOAT) <= length / 2 * (1 + FLOAT) ** 2


def test_a_dft_without_its_alternating_pair_meets_the_rank_bound():
    for pairs in (1, 4, 11):
        length = 2 * pairs + 2
        theta = 2 * np.pi * np.arange(1, pairs + 1) / length
        assert training.pulse_constant(theta, length) == pytest.approx(1, rel=FLOAT)
        assert training.pulse_bound(pairs, length) == 1


def test_an_exact_pulse_has_constant_zero_and_a_flat_table_the_largest():
    assert training.pulse_constant(schedules.half_dft(10), 21) == pytest.approx(0, abs=FLOAT)
    assert training.pulse_constant([0.0], 9) == 4.5


@pytest.mark.parametrize("pairs, base, fixed, bound", [
    (128, 1e4, 5708, 75.8), (64, 5e5, 5700, 76.6), (64, 1e6, 5710, 76.6)])
def test_pulse_constants_of_rope_tables(pairs, base, fixed, bound):
    """slash.md 3.9.3 gives L for C_1 = kappa(0) - C_2, without error at lag 0: L / (1 - L / T) of the least one."""
    constant = training.pulse_constant(rope(pairs, base), 6000)
    assert constant / (1 - constant / 6000) == pytest.approx(fixed, abs=2)
    assert training.pulse_bound(pairs, 6000) == pytest.approx(bound, abs=0.05)


@given(st.integers(1, 50))
def test_losses_are_those_of_the_aggregated_scores(classes):
    def loss(match):
        total = match / classes + (1 - 1 / classes) + 1              # two tokens of an example: the label and the input
        return ((1 - match / classes / total) ** 2 + (classes - 1) * (1 / classes / total) ** 2) / 2
    assert training.start_loss(classes) == pytest.approx(loss(1.0), rel=EXACT)
    assert training.plateau_loss(classes) == pytest.approx(loss(math.e), rel=EXACT)


@pytest.mark.parametrize("classes, loss", [(2, 0.153), (4, 0.275), (8, 0.3695)])
def test_plateau_losses_are_those_of_the_notes(classes, loss):
    """slash.md 4.3."""
    assert training.plateau_loss(classes) == pytest.approx(loss, abs=5e-4)


@pytest.mark.parametrize("call, name", [
    (lambda: training.peak_gap([], 4), "number of pairs"), (lambda: training.peak_gap([[1.0]], 4), "shape of theta"),
    (lambda: training.peak_gap([1.0], 1), "length"), (lambda: training.peak_gap([np.nan], 4), "theta"),
    (lambda: training.peak_gap_strength([1.0], 4, 0.0), "epsilon"),
    (lambda: training.peak_gap_strength([1.0], 4, 1.0), "epsilon"),
    (lambda: training.peak_gap_strength([0.0], 4, 0.5), "peak gap"),
    (lambda: training.alias_ceiling(0, 4, 0), "period"), (lambda: training.alias_ceiling(2, 0, 0), "length"),
    (lambda: training.alias_ceiling(2, 4, 4), "lag"), (lambda: training.alias_ceiling(2, 4, -1), "lag"),
    (lambda: training.pulse_constant([1.0], 1), "length"), (lambda: training.pulse_bound(0, 9), "pairs"),
    (lambda: training.pulse_bound(1, 1), "length"), (lambda: training.start_loss(0), "classes"),
    (lambda: training.plateau_loss(2.0), "classes")])
def test_bad_input_is_named(call, name):
    with pytest.raises(RopesimError, match=name):
        call()
