"""Times and speeds of slash training against printed formulas in loops, all prompts of small sizes, and descent."""

import math

import naive_slash_times as naive
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim.errors import RopesimError
from ropesim.predict import slash_rates, slash_times, training

PAIRS = [(4, 51, 239, 364), (4, 201, 591, 820), (4, 801, 1645, 2071), (4, 1601, 2846, 3432), (8, 201, 1023, 1347),
         (8, 801, 2887, 3482)]
FIGURES = [(4, 9.9, 10.6), (8, 61, 66), (16, 244, 263), (32, 894, 974), (64, 3250, 3592), (128, 12070, 13482)]


def phases_end(classes, length):
    return np.log([length, classes * length, length ** 1.5])


# Stage I

@given(st.integers(2, 20), st.integers(11, 40), st.floats(0.0, 20.0))
def test_the_speed_is_the_printed_sum_with_a_first_row_that_sees_itself(classes, half, margin):
    length = 2 * half + 1
    got = slash_rates.rate(classes, length, [margin])[0]
    assert got == pytest.approx(naive.rate(margin, classes, length, first=1 / classes), rel=FLOAT)
    assert got == pytest.approx(naive.rate(margin, classes, length), rel=2 / length)


@pytest.mark.parametrize("classes, length, first, last", PAIRS)
def test_mean_field_times_are_those_of_the_notes(classes, length, first, last):
    """slash.md 4.4, to margins log N and log(N / epsilon)."""
    found = slash_times.stage_one(classes, length, np.log([length, length ** 1.5]))
    np.testing.assert_allclose(found, [first, last], rtol=5e-3)


@pytest.mark.parametrize("classes, lengths", [(2, (5, 9, 17)), (3, (5, 9, 11))])
@pytest.mark.parametrize("margin", [0.0, 1.0, 2.5])
def test_the_mean_field_nears_the_exact_gradient_of_all_prompts(classes, lengths, margin):
    """To within K / N, by finite differences of the loss over every prompt, token by token."""
    errors = []
    for length in lengths:
        lags, step = margin * np.eye(length)[1], 1e-4 * np.eye(length)[1]
        exact = (naive.exact_loss(lags - step, classes) - naive.exact_loss(lags + step, classes)) / 2e-4
        prompt = slash_rates.prompt(classes, length, 1)
        refined = slash_rates.lag_rates(prompt, lags, slash_rates.label_numbers(prompt))[1]
        errors.append((slash_rates.rate(classes, length, [margin])[0] / exact - 1, refined / exact - 1))
    sizes = np.abs(errors) * np.array(lengths)[:, None] / classes
    assert sizes.max() < 0.9
    assert (np.diff(np.abs(errors), axis=0) < 0).all()


def test_the_exact_gradient_of_the_twin_is_that_of_its_loss():
    lags, rng = np.random.default_rng(0).normal(size=7), np.random.default_rng(1)
    seen = np.array([naive.gradient(lags, 2, 400, rng) for _ in range(50)])
    for lag in range(7):
        step = 1e-4 * np.eye(7)[lag]
        exact = (naive.exact_loss(lags - step, 2) - naive.exact_loss(lags + step, 2)) / 2e-4
        assert abs(seen[:, lag].mean() - exact) < SIGMAS * seen[:, lag].std() / np.sqrt(50) + FLOAT


@given(st.integers(2, 9), st.integers(8, 40), st.sampled_from([0, 1, 2, 3, 5, 8]), st.floats(0.0, 15.0))
def test_the_speeds_of_all_lags_cancel_and_hold_that_of_the_margin(classes, half, lag, margin):
    prompt = slash_rates.prompt(classes, 4 * half + 1, lag)
    logits = margin * (np.arange(4 * half + 1) == lag)
    speeds = slash_rates.lag_rates(prompt, logits, slash_rates.label_numbers(prompt, drawn=False))
    assert speeds.sum() == pytest.approx(0, abs=1e-13)                    # a transform's rounding, of terms up to 0.1
    assert speeds[lag] == pytest.approx(slash_rates.mean_rate(prompt, margin), rel=1e-6, abs=1e-13)


@given(st.integers(2, 12), st.integers(1, 300))
def test_numbers_of_labels_are_binomial(classes, half):
    classes = min(classes, 2 * half)
    numbers, chances = slash_rates.label_numbers(slash_rates.prompt(classes, 2 * half + 1, 1))
    assert chances.sum() == pytest.approx(1, rel=FLOAT)
    assert chances @ numbers == pytest.approx(half / classes, rel=FLOAT)
    square = half / classes * (1 - 1 / classes) + (half / classes) ** 2
    assert chances @ numbers ** 2 == pytest.approx(square, rel=FLOAT)


@given(st.integers(2, 9), st.integers(8, 60), st.lists(st.floats(0.0, 1.0), max_size=5), st.sampled_from([0, 1, 2, 3]))
@settings(max_examples=20)
def test_times_grow_with_the_margin_in_any_order(classes, half, margins, lag):
    length = 4 * half + 1
    ends = 1.5 * np.log(length) * np.array(margins, dtype=float)
    for times in (slash_times.stage_one(classes, length, ends, lag=lag),
                  slash_times.stage_one_refined(classes, length, ends, lag=lag)):
        order = np.argsort(ends)
        assert (np.diff(times[order]) >= 0).all()
        assert (times[ends == 0] == 0).all()


def test_a_margin_that_stalls_has_no_time():
    """At lag 3 the first rows hold lags 0 to 2 alone."""
    found = slash_times.stage_one_refined(2, 33, [1.0, 8.0, 25.0], lag=3)
    assert np.isfinite(found[:2]).all() and np.isnan(found[2])
    assert np.isnan(slash_times.stage_one_error(2, 33, [25.0], lag=3)).all()


@pytest.mark.parametrize("classes, length", [(2, 3), (2, 5), (6, 7), (20, 21), (4, 51), (3, 301)])
def test_finer_steps_and_more_nodes_change_nothing(classes, length, monkeypatch):
    ends = phases_end(classes, length)
    coarse = slash_times.stage_one(classes, length, ends), slash_times.stage_one_refined(classes, length, ends)
    monkeypatch.setattr(slash_times, "NODES", 2 * slash_times.NODES)
    monkeypatch.setattr(slash_times, "STRIDE", slash_times.STRIDE / 4)
    np.testing.assert_allclose(coarse[0], slash_times.stage_one(classes, length, ends), rtol=FLOAT)
    np.testing.assert_allclose(coarse[1], slash_times.stage_one_refined(classes, length, ends), rtol=2e-4)   # STRIDE


@pytest.mark.parametrize("classes, length", [(5, 51), (3, 101), (6, 151)])
def test_descent_takes_the_refined_times_and_keeps_to_the_error(classes, length):
    """Pairs that are not in the notes. The slack is for the third order, K / N of the second, and for batches."""
    ends = phases_end(classes, length)
    plain, refined = slash_times.stage_one(classes, length, ends), slash_times.stage_one_refined(classes, length, ends)
    step = plain[-1] / 80
    found = naive.descend(classes, length, ends, step, 200, np.random.default_rng(1))
    found -= slash_times.step_delay(classes, length, ends, step)
    slack = 0.01 + 0.1 * classes / length
    np.testing.assert_allclose(found, refined, rtol=slack)
    assert (np.abs(found - plain) <= slash_times.stage_one_error(classes, length, ends) + slack * plain).all()
    assert np.abs(found - plain).max() > 1.5 * np.abs(found - refined).max()            # or the refinement is idle


def test_the_delay_by_steps_is_that_of_eulers_method():
    """Against its own steps; the second order is (step / time)^2 of what is left."""
    end, time, margin, step = math.log(101), 0.0, 0.0, 2.0
    while margin < end:
        speed = slash_rates.rate(3, 101, [margin])[0]
        margin, time = margin + step * speed, time + step
    time -= (margin - end) / speed
    exact = slash_times.stage_one(3, 101, [end])[0]
    assert time - exact == pytest.approx(slash_times.step_delay(3, 101, [end], step)[0], rel=0.02)


def test_the_first_phase_nears_its_leading_time_from_above():
    """slash.md 4.4: T log N / (K N) falls from 3.38 (K = 4, N = 1e3) to 2.33 (K = 64, N = 1e5), to 2 in the limit."""
    for classes, length, figure in ((4, 1001, 3.38), (64, 100001, 2.33)):
        found = slash_times.stage_one(classes, length, [math.log(length)])[0]
        lead = slash_times.phases(classes, length, 0.1)[0]
        assert 2 * found / lead == pytest.approx(figure, abs=5e-3)
        assert lead == pytest.approx(2 * classes * length / math.log(length), rel=EXACT)


@pytest.mark.parametrize("classes, length, within", [(4, 1601, 0.02), (8, 20001, 0.01)])
def test_the_last_phase_nears_its_closed_form(classes, length, within):
    start, end = slash_times.stage_one(classes, length, np.log([length, length ** 1.5]))
    assert end - start == pytest.approx(slash_times.last_phase(classes, length ** -0.5), rel=within)


@given(st.integers(1000, 10 ** 6), st.floats(1e-6, 1e-3))
def test_the_last_phase_of_many_classes(classes, epsilon):
    lead = slash_times.phases(classes, 2 * classes + 1, epsilon)[1]
    assert slash_times.last_phase(classes, epsilon) == pytest.approx(lead, rel=5 / classes + epsilon)


# Stage II

@pytest.mark.parametrize("classes", [3, 4, 8, 16])
@pytest.mark.parametrize("loss", [0.01, 0.1])
def test_stage_two_is_the_printed_recursion_of_small_steps(classes, loss):
    step = classes / 20
    np.testing.assert_allclose(slash_times.stage_two(classes, loss), naive.recursion(classes, step, loss),
                               atol=1.1 * step, rtol=4e-3)      # of Euler's steps, that move a logit by 1/20


@pytest.mark.parametrize("classes, recursion, formula", FIGURES)
def test_match_times_are_those_of_the_notes(classes, recursion, formula):
    """slash.md 4.6; its recursion has steps of unknown size, which delay it by up to 1.3 %."""
    assert slash_times.stage_two(classes)[0] == pytest.approx(recursion, rel=0.013)
    assert slash_times.match_time(classes) == pytest.approx(formula, rel=5e-3)


def test_the_match_time_is_an_integral():
    """With s = y / (y + 2), L = (1 - s)^2 / 2 and y = e^B / K: dt = dB / (2 s L / K)."""
    y = sympy.Symbol("y", positive=True)
    F = y ** 2 / 8 + 3 * y / 2 + 3 * sympy.log(y) - 2 / y
    s = y / (y + 2)
    assert sympy.simplify(sympy.diff(F, y) - 1 / (y * 2 * s * (1 - s) ** 2 / 2)) == 0


def test_the_match_time_nears_its_leading_term():
    ratios = [slash_times.match_time(K) / (2 * K ** 2 / math.e) for K in (10 ** 3, 10 ** 5, 10 ** 7)]
    assert abs(ratios[-1] - 1) < 1e-5 and ratios == sorted(ratios, reverse=ratios[0] > 1)


@pytest.mark.parametrize("classes", [2, 4, 8, 30])
def test_the_loss_time_is_the_limit_of_small_losses(classes):
    ratios = [slash_times.stage_two(classes, loss)[1] / slash_times.loss_time(classes, loss) for loss in (1e-3, 1e-5)]
    assert 1 < ratios[1] < 1.05 and ratios[1] < ratios[0]


def test_the_gradient_by_logits_of_rows():
    """slash.md 4.3 in sympy: minus dL_k by the logit of the match, of another class and of the odd rows."""
    K, b = 4, sympy.symbols("b0:5")
    weights = [sympy.exp(x) for x in b]
    s = [w / sum(weights) for w in weights]
    square = sum(x ** 2 for x in s[:K])
    loss = ((1 - s[0]) ** 2 + sum(x ** 2 for x in s[1:K])) / 2
    printed = [2 * s[0] * loss, *(x * (square - x - s[0]) for x in s[1:K]), s[K] * (square - s[0])]
    assert all(sympy.simplify(sympy.diff(loss, x) + y) == 0 for x, y in zip(b, printed))
    assert sympy.simplify(sum(printed)) == 0


@given(st.integers(2, 9), st.integers(1, 4), st.floats(-2.0, 6.0), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0),
       st.booleans())
def test_the_gradient_of_stage_two_is_that_of_its_loss(classes, period, B, b, o, edge):
    rows = slash_rates.MatchRows(
        classes, period, np.array([0.6, 0.9]), np.array([0.4, 0.6]), np.array([2.0, 3.0, 5.0]),
        np.array([0.3, 0.5, 0.2]), 11, 12 * (period > 1), 4, np.array([1.0, 0.0, 1.0]) * (1 if edge else np.nan))
    x = np.array([B, b, o])
    gradient = slash_rates.match_loss(rows, x)[1] * [1, classes - 1, 1]
    for i, h in enumerate(1e-5 * np.eye(3)):
        slope = (slash_rates.match_loss(rows, x + h)[0] - slash_rates.match_loss(rows, x - h)[0]) / 2e-5
        assert gradient[i] == pytest.approx(slope, abs=1e-8)             # rounding of the difference


def test_the_loss_of_stage_two_at_a_finite_length_is_that_of_its_rows(monkeypatch):
    seen = []
    monkeypatch.setattr(slash_times, "_second", lambda rows, loss: seen.append(rows) or np.zeros(2))
    slash_times.stage_two_refined(3, 21, margin=2.0)
    chances = [math.comb(10, n) * (1 / 3) ** n * (2 / 3) ** (10 - n) for n in range(11)]
    expected = naive.match_loss(3, 21, 2.0, 2.5, -0.4, -0.9, chances)
    found = slash_rates.match_loss(seen[0], np.array([2.5, -0.4, -0.9]))[0]
    assert found == pytest.approx(expected, rel=1e-5)  # 8 nodes


@pytest.mark.parametrize("lag", [0, 1, 2, 3, 6])
def test_long_prompts_and_strong_heads_take_the_plain_times(lag):
    found = slash_times.stage_two_refined(4, 200001, margin=60.0, lag=lag)
    np.testing.assert_allclose(found, slash_times.stage_two(4, lag=lag), rtol=1e-3)


def test_the_finite_times_are_those_of_the_notes():
    """slash.md 4.6, descent: T_B / K^2 = .65 (K = 4), 1.00 (K = 8); T(.01) .01 / K = .41 and .38 at K = 4."""
    for length, figure in ((201, 0.41), (401, 0.38)):
        match, loss = slash_times.stage_two_refined(4, length)
        assert match / 16 == pytest.approx(0.65, abs=0.02)
        assert loss * 0.01 / 4 == pytest.approx(figure, abs=0.01)
    assert slash_times.stage_two_refined(8, 401)[0] / 64 == pytest.approx(1.00, abs=5e-3)
    plain, error = slash_times.stage_two(4), slash_times.stage_two_error(4, 201)
    assert (np.abs(np.array([0.65 * 16, 0.41 * 400]) - plain) <= error + [0.1, 2.0]).all()     # to two digits


def test_a_start_beyond_either_end_takes_no_time():
    assert slash_times.stage_two(2)[0] == 0
    assert slash_times.stage_two(4, 0.3)[1] == 0 < slash_times.stage_two(4, 0.3)[0]


def test_prompts_without_a_match_keep_the_loss_up():
    assert slash_times.stage_two_refined(8, 51)[1] == np.inf


def test_odd_lags_share_stage_two_and_even_ones_have_fillers():
    plain = slash_times.stage_two(5)
    np.testing.assert_array_equal(slash_times.stage_two(5, lag=7), plain)
    assert slash_times.stage_two(5, lag=0)[1] < plain[1] < slash_times.stage_two(5, lag=2)[1]


# bounds

@pytest.mark.parametrize("classes, length, product", [
    (4, 51, 802), (4, 201, 4.26e3), (4, 801, 2.14e4), (4, 1601, 4.73e4), (8, 201, 8.53e3), (8, 801, 4.28e4)])
def test_the_printed_bounds_are_loose(classes, length, product):
    """slash.md 4.4 has K N log N."""
    epsilon = length ** -0.5
    first, second = slash_times.paper_bounds(classes, length, epsilon, 0.01)
    rest = classes * math.log(1 / (classes * epsilon)) / epsilon
    assert first - rest == pytest.approx(product, rel=5e-3)
    assert second == pytest.approx(classes ** 2 * math.log(classes) + 100 * classes * math.log(10 * classes), rel=EXACT)
    assert slash_times.stage_one(classes, length, [math.log(length / epsilon)])[0] < first
    assert slash_times.stage_two(classes)[1] < second


@pytest.mark.parametrize("call, name", [
    (lambda: slash_times.stage_one(1, 51, [1.0]), "classes"), (lambda: slash_times.stage_one(4, 50, [1.0]), "length"),
    (lambda: slash_times.stage_one(60, 51, [1.0]), "classes"), (lambda: slash_times.stage_one(4, 51, [-1.0]), "margin"),
    (lambda: slash_times.stage_one(4, 51, [np.nan]), "margins"),
    (lambda: slash_times.stage_one_refined(4, 51, [3.0, 25.5]), "margin"),
    (lambda: slash_times.stage_one(4, 51, [1.0], lag=51), "lag"),
    (lambda: slash_times.stage_one_refined(4, 51, [[1.0]]), "shape of margins"),
    (lambda: slash_times.stage_one_error(4, 51, [-1.0]), "margin"),
    (lambda: slash_times.step_delay(4, 51, [1.0], -0.1), "step"), (lambda: slash_times.phases(4, 51, 1.0), "epsilon"),
    (lambda: slash_times.phases(4, 52, 0.1), "length"), (lambda: slash_times.last_phase(1, 0.1), "classes"),
    (lambda: slash_times.last_phase(4, 0.0), "epsilon"), (lambda: slash_times.stage_two(1), "classes"),
    (lambda: slash_times.stage_two(4, 0.0), "loss"), (lambda: slash_times.stage_two(4, lag=-1), "lag"),
    (lambda: slash_times.stage_two_refined(4, 51, margin=-1.0), "margin"),
    (lambda: slash_times.stage_two_error(4, 51, -1.0), "loss"), (lambda: slash_times.match_time(2), "classes"),
    (lambda: slash_times.loss_time(1, 0.1), "classes"), (lambda: slash_times.loss_time(4, 0), "loss"),
    (lambda: slash_times.paper_bounds(4, 51, 2.0, 0.1), "epsilon"),
    (lambda: slash_times.paper_bounds(4, 51, 0.1, 0.0), "loss"),
    (lambda: training.ood_bound(-1.0, 0.1), "norm"), (lambda: training.ood_bound(1.0, -0.1), "loss"),
    (lambda: training.start_loss(2, period=0), "period"), (lambda: training.plateau_loss(2, period=0), "period")])
def test_bad_input_is_named(call, name):
    with pytest.raises(RopesimError, match=name):
        call()


@given(st.integers(1, 30), st.integers(1, 5))
def test_losses_at_any_period_are_those_of_the_aggregated_scores(classes, period):
    def loss(match):
        total = match / classes + (1 - 1 / classes) + period - 1
        return ((1 - match / classes / total) ** 2 + (classes - 1) * (1 / classes / total) ** 2) / 2
    assert training.start_loss(classes, period=period) == pytest.approx(loss(1.0), rel=1e-11, abs=1e-15)   # K = p = 1
    assert training.plateau_loss(classes, period=period) == pytest.approx(loss(math.e), rel=EXACT, abs=1e-15)
