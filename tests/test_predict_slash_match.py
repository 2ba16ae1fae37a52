"""Times of Stage II against printed figures, recursions in loops, and their limits."""

import math

import naive_slash_times as naive
import numpy as np
import pytest
import sympy
from naive_slash_times import shares
from tolerances import EXACT

from ropesim.predict import slash_match, slash_times, training
from ropesim.slash_task import Task

FIGURES = [(4, 9.9, 10.6), (8, 61, 66), (16, 244, 263), (32, 894, 974), (64, 3250, 3592), (128, 12070, 13482)]
UNEQUAL = [(0.2, 0.8), (0.5, 0.3, 0.2), (1 / 6, 1 / 3, 1 / 2)]


@pytest.mark.parametrize("classes", [3, 4, 8, 16])
@pytest.mark.parametrize("loss", [0.01, 0.1])
def test_stage_two_is_the_printed_recursion_of_small_steps(classes, loss):
    step = classes / 20
    np.testing.assert_allclose(slash_match.stage_two(classes, loss), naive.recursion(classes, step, loss),
                               atol=1.1 * step, rtol=4e-3)      # of Euler's steps, that move a logit by 1/20


@pytest.mark.parametrize("classes, recursion, formula", FIGURES)
def test_match_times_are_those_of_the_notes(classes, recursion, formula):
    """slash.md 4.6; its recursion has steps of unknown size, which delay it by up to 1.3 %."""
    assert slash_match.stage_two(classes)[0] == pytest.approx(recursion, rel=0.013)
    assert slash_match.match_time(classes) == pytest.approx(formula, rel=5e-3)


def test_the_match_time_is_an_integral():
    """With s = y / (y + 2), L = (1 - s)^2 / 2 and y = e^B / K: dt = dB / (2 s L / K)."""
    y = sympy.Symbol("y", positive=True)
    F = y ** 2 / 8 + 3 * y / 2 + 3 * sympy.log(y) - 2 / y
    s = y / (y + 2)
    assert sympy.simplify(sympy.diff(F, y) - 1 / (y * 2 * s * (1 - s) ** 2 / 2)) == 0


def test_the_match_time_nears_its_leading_term():
    ratios = [slash_match.match_time(K) / (2 * K ** 2 / math.e) for K in (10 ** 3, 10 ** 5, 10 ** 7)]
    assert abs(ratios[-1] - 1) < 1e-5 and ratios == sorted(ratios, reverse=ratios[0] > 1)


@pytest.mark.parametrize("classes", [2, 4, 8, 30])
def test_the_loss_time_is_the_limit_of_small_losses(classes):
    ratios = [slash_match.stage_two(classes, loss)[1] / slash_match.loss_time(classes, loss) for loss in (1e-3, 1e-5)]
    assert 1 < ratios[1] < 1.05 and ratios[1] < ratios[0]


@pytest.mark.parametrize("p", [(1 / 3,) * 3, *UNEQUAL])
@pytest.mark.parametrize("step", [0.5, 4.0, 20.0])
def test_steps_of_any_size_are_those_of_the_recursion(p, step):
    """The recursion counts whole steps, the prediction goes in between."""
    found = slash_match.stage_two_refined(len(p), 200001, margin=60.0, probabilities=p, step=step)
    whole = np.array(naive.recursion_by_class(p, step, 0.01))
    assert (whole - step - 1e-3 * whole <= found).all() and (found <= whole * (1 + 1e-3)).all()


def test_steps_too_small_to_follow_are_small_steps():
    small = [slash_match.stage_two_refined(4, 201, step=step) for step in (None, 1e-3)]
    assert (small[0] == small[1]).all()


def test_steps_that_leave_descent_end_without_a_time():
    assert np.isnan(slash_match.stage_two_refined(8, 51, step=1e9)[1])
    assert np.isnan(slash_match.stage_two_refined(8, 51, step=10.0)[1])
    assert slash_match.stage_two_refined(8, 51)[1] == np.inf


@pytest.mark.parametrize("lag", [0, 1, 2, 6])
@pytest.mark.parametrize("p", [None, (0.5, 0.3, 0.2)])
def test_the_plateau_nears_that_of_long_prompts(lag, p):
    period = Task(classes=3, length=51, lag=lag).period
    limit = training.plateau_loss(3, period=period, probabilities=p)
    off = [abs(slash_match.plateau(3, n, margin=40.0, lag=lag, probabilities=p) - limit) for n in (101, 1001, 10001)]
    assert off[1] < off[0] / 5 and off[2] < off[1] / 5 and off[2] < 2 / 10001


@pytest.mark.parametrize("p", [*UNEQUAL, shares(range(1, 6)), shares([3, 1, 1, 1])])
@pytest.mark.parametrize("loss", [0.01, 0.1])
def test_stage_two_of_unequal_classes_is_the_recursion_by_class(p, loss):
    step = 0.05 / max(p)
    found = slash_match.stage_two(len(p), loss, probabilities=p)
    np.testing.assert_allclose(found, naive.recursion_by_class(p, step, loss), atol=1.1 * step, rtol=6e-3)   # of Euler


@pytest.mark.parametrize("call", [
    lambda p: slash_times.stage_one(4, 51, [2.0, 5.0], probabilities=p),
    lambda p: slash_times.stage_one_refined(4, 51, [2.0, 5.0], lag=2, probabilities=p),
    lambda p: slash_times.stage_one_error(4, 51, [2.0, 5.0], probabilities=p),
    lambda p: slash_times.step_delay(4, 51, [2.0, 5.0], 3.0, probabilities=p),
    lambda p: slash_match.stage_two(4, probabilities=p), lambda p: slash_match.stage_two_error(4, 51, probabilities=p),
    lambda p: training.start_loss(4, probabilities=p), lambda p: training.plateau_loss(4, probabilities=p)])
def test_equal_chances_given_change_nothing_and_the_order_neither(call):
    np.testing.assert_array_equal(call((0.25,) * 4), call(None))
    np.testing.assert_allclose(call((0.1, 0.2, 0.3, 0.4)), call((0.3, 0.1, 0.4, 0.2)), rtol=EXACT)
    near = call((0.25 + 1e-7, 0.25 - 1e-7, 0.25 + 2e-7, 0.25 - 2e-7))           # four classes, not one
    np.testing.assert_allclose(near, call(None), rtol=1e-5)


def test_the_small_loss_comes_last_if_the_match_is_slow():
    """A loss just below the start's is reached first, and the match has its time all the same."""
    match, early = slash_match.stage_two(8, 0.36)
    assert early < match == pytest.approx(slash_match.stage_two(8)[0], rel=1e-6)


@pytest.mark.parametrize("lag", [0, 1, 2, 3, 6])
def test_long_prompts_and_strong_heads_take_the_plain_times(lag):
    found = slash_match.stage_two_refined(4, 200001, margin=60.0, lag=lag)
    np.testing.assert_allclose(found, slash_match.stage_two(4, lag=lag), rtol=1e-3)


def test_the_finite_times_are_those_of_the_notes():
    """slash.md 4.6, descent: T_B / K^2 = .65 (K = 4), 1.00 (K = 8); T(.01) .01 / K = .41 and .38 at K = 4."""
    for length, figure in ((201, 0.41), (401, 0.38)):
        match, loss = slash_match.stage_two_refined(4, length)
        assert match / 16 == pytest.approx(0.65, abs=0.02)
        assert loss * 0.01 / 4 == pytest.approx(figure, abs=0.01)
    assert slash_match.stage_two_refined(8, 401)[0] / 64 == pytest.approx(1.00, abs=5e-3)
    plain, error = slash_match.stage_two(4), slash_match.stage_two_error(4, 201)
    assert (np.abs(np.array([0.65 * 16, 0.41 * 400]) - plain) <= error + [0.1, 2.0]).all()     # to two digits


def test_a_start_beyond_either_end_takes_no_time():
    assert slash_match.stage_two(2)[0] == 0
    assert slash_match.stage_two(4, 0.3)[1] == 0 < slash_match.stage_two(4, 0.3)[0]


def test_prompts_without_a_match_keep_the_loss_up():
    assert slash_match.stage_two_refined(8, 51)[1] == np.inf


def test_odd_lags_share_stage_two_and_even_ones_have_fillers():
    plain = slash_match.stage_two(5)
    np.testing.assert_array_equal(slash_match.stage_two(5, lag=7), plain)
    assert slash_match.stage_two(5, lag=0)[1] < plain[1] < slash_match.stage_two(5, lag=2)[1]
