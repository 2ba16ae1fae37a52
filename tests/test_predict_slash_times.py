"""Times of Stage I against printed figures, sums in loops, and descent."""

import math

import naive_slash_times as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_slash_times import shares
from tolerances import EXACT, FLOAT

from ropesim import schedules
from ropesim.errors import RopesimError
from ropesim.predict import slash_match, slash_rates, slash_times, training
from ropesim.simulate import training as simulate
from ropesim.slash_task import Task

PAIRS = [(4, 51, 239, 364), (4, 201, 591, 820), (4, 801, 1645, 2071), (4, 1601, 2846, 3432), (8, 201, 1023, 1347),
         (8, 801, 2887, 3482)]
P = st.one_of(st.lists(st.floats(0.05, 1.0), min_size=2, max_size=6).map(shares),
              st.integers(3, 8).map(lambda K: shares(range(1, K + 1))))


def phases_end(classes, length):
    return np.log([length, classes * length, length ** 1.5])


# Stage I

@pytest.mark.parametrize("classes, length, first, last", PAIRS)
def test_mean_field_times_are_those_of_the_notes(classes, length, first, last):
    """slash.md 4.4, to margins log N and log(N / epsilon)."""
    found = slash_times.stage_one(classes, length, np.log([length, length ** 1.5]))
    np.testing.assert_allclose(found, [first, last], rtol=5e-3)


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


@pytest.mark.parametrize("p, length", [(shares([1] * 5), 51), (shares([1] * 3), 101), (shares([1] * 6), 151),
                                       (shares(range(1, 5)), 101), (shares([3, 1, 1, 1]), 101)])
def test_descent_takes_the_refined_times_and_keeps_to_the_error(p, length):
    """Pairs that are not in the notes. The slack is for the third order, K / N of the second, and for batches."""
    K, ends = len(p), phases_end(len(p), length)
    plain = slash_times.stage_one(K, length, ends, probabilities=p)
    refined = slash_times.stage_one_refined(K, length, ends, probabilities=p)
    step = plain[-1] / 80
    found = naive.descend(p, length, ends, step, 200, np.random.default_rng(1))
    found -= slash_times.step_delay(K, length, ends, step, probabilities=p)
    slack = 0.01 + 0.1 * K / length
    np.testing.assert_allclose(found, refined, rtol=slack)
    error = slash_times.stage_one_error(K, length, ends, probabilities=p)
    assert (np.abs(found - plain) <= error + slack * plain).all()
    assert np.abs(found - plain).max() > 1.5 * np.abs(found - refined).max()            # or the refinement is idle


def table_times(theta, classes, length, lag, margins, numbers, steps):
    """Small Euler steps of the weights of each pair themselves: logits and gradients through cos and sin."""
    prompt = slash_rates.prompt(classes, length, lag)
    x = np.arange(length)[:, None]
    waves = np.hstack([np.cos(theta * x), np.sin(theta * x)])
    kappa = (waves @ waves[0])
    unit = kappa[0] - kappa[1:].mean()
    weights, now, path = np.zeros(waves.shape[1]), 0.0, [(0.0, 0.0)]
    while path[-1][1] < margins[-1]:
        logits = waves @ weights
        pull = waves.T @ slash_rates.lag_rates(prompt, logits, numbers) / unit
        step = margins[-1] / steps / np.ptp(waves @ pull)
        weights, now = weights + step * pull, now + step
        logits = waves @ weights
        path.append((now, logits[lag] - np.delete(logits, lag).max()))
    times, reached = np.array(path).T
    return np.interp(margins, np.maximum.accumulate(reached), times)


@pytest.mark.parametrize("classes, length, lag, theta", [
    (3, 31, 1, np.array([2.8, 1.9, 1.1, 0.6])), (2, 25, 2, np.array([2.5, 1.3, 0.7, 0.2, 0.05])),
    (4, 41, 0, schedules.half_dft(20))])
def test_times_of_a_table_are_those_of_its_pairs(classes, length, lag, theta):
    margins = np.log(length) * np.array([0.25, 0.5, 1.0])
    numbers = slash_rates.label_numbers(slash_rates.prompt(classes, length, lag), drawn=False)
    found = slash_times.stage_one_refined(classes, length, margins, lag=lag, theta=theta, counted=False)
    slow = table_times(theta, classes, length, lag, margins, numbers, 2000)
    np.testing.assert_allclose(found, slow, rtol=5e-3)              # first order in the steps of the slow one


@given(st.sampled_from([(2, 21, 1), (3, 31, 3), (4, 41, 2)]), st.integers(0, 30))
@settings(max_examples=10)
def test_a_table_that_is_a_pulse_changes_nothing(sizes, more):
    classes, length, lag = sizes
    margins, theta = np.log(length) * np.array([0.3, 1.0, 1.5]), schedules.half_dft(length // 2 + more)
    plain, found = (slash_times.stage_one_refined(classes, length, margins, lag=lag, theta=table)
                    for table in (None, theta))
    np.testing.assert_allclose(found, plain, rtol=FLOAT)


@pytest.mark.parametrize("classes, length, lag, pairs", [(3, 51, 1, 12), (5, 101, 2, 40), (4, 201, 1, 16)])
def test_descent_takes_the_times_of_a_table(classes, length, lag, pairs):
    """Random frequencies; what it is off by stays within the error and the delay by steps."""
    theta, margins = np.random.default_rng(pairs).uniform(0, np.pi, pairs), np.log(length) * np.array([0.25, 0.5, 1.0])
    run = simulate.descend(Task(classes=classes, length=length, lag=lag), theta, stop=margins[-1], steps_2=0, batch=64)
    found = np.array([reached(run.time, run.margin, margin) for margin in margins])
    options = {"lag": lag, "theta": theta}
    delay = slash_times.step_delay(classes, length, margins, np.diff(run.time).mean(), **options)
    error = slash_times.stage_one_error(classes, length, margins, **options)
    predicted = slash_times.stage_one_refined(classes, length, margins, **options)
    assert (np.abs(found - predicted - delay) <= error).all() and (error < 0.1 * predicted).all()


def test_a_common_period_never_tells_lags_apart_and_what_does_not_turn_never_learns():
    for theta in (schedules.half_dft(12), np.zeros(1), np.array([1e-9])):
        found = slash_times.stage_one_refined(3, 51, [0.0, 0.1, 3.0], theta=theta)
        assert found[0] == 0 and np.isnan(found[1:]).all()
        assert np.isnan(slash_times.step_delay(3, 51, [3.0], 1.0, theta=theta)).all()


def reached(time, values, level):
    n = int(np.argmax(values >= level))
    return np.interp(level, values[n - 1:n + 1], time[n - 1:n + 1])


@pytest.mark.parametrize("p, lengths", [((0.25, 0.75), (9, 15, 21)), ((0.5, 0.3, 0.2), (7, 11, 15))])
def test_descent_over_all_prompts_nears_the_times(p, lengths):
    """Exact gradients. In the larger of the two stages' offs, at few tokens: they fall as 1 / N."""
    off = []
    for length in lengths:
        run = simulate.descend(Task(classes=len(p), length=length, probabilities=p),
                               schedules.half_dft((length - 1) // 2), stop=2.5, steps_2=0, batch=None)
        time = reached(run.time, run.margin, 2.0)
        step = slash_times.step_delay(len(p), length, [2.0], float(np.diff(run.time).mean()), probabilities=p)
        refined = slash_times.stage_one_refined(len(p), length, [2.0], probabilities=p)
        off.append(abs((time - step) / refined - 1)[0])
    assert (np.diff(off) < 0).all() and off[-1] < 0.05


@pytest.mark.parametrize("p, length, lag", [(shares(range(1, 4)), 101, 1), (shares([7, *[1] * 7]), 201, 1),
                                            (shares(range(1, 5)), 201, 2), (shares([5, *[1] * 5]), 201, 0)])
def test_runs_of_unequal_classes_keep_to_the_errors(p, length, lag):
    """Held out. In Stage I the slack is the one above; in Stage II 1 % and four standard errors.

    Those are 1 % with 8192 prompts, over seeds 0 to 7: the few prompts with the fewest matches count most.
    """
    K, ends, given = len(p), phases_end(len(p), length), {"lag": lag, "probabilities": p}
    run = simulate.descend(Task(classes=K, length=length, **given), schedules.half_dft((length - 1) // 2), batch=512)
    one, two = run.stage == 1, run.stage == 2
    plain, error = (f(K, length, ends, **given) for f in (slash_times.stage_one, slash_times.stage_one_error))
    found = np.array([reached(run.time[one], run.margin[one], end) for end in ends])
    found -= slash_times.step_delay(K, length, ends, float(np.diff(run.time[one]).mean()), **given)
    assert (np.abs(found - plain) <= error + (0.01 + 0.1 * K / length) * plain).all()
    margin, steps = run.margin[one][-1], np.diff(run.time[two])
    times = [reached(run.time[two], run.logit[two], np.log(K)), reached(run.time[two], -run.loss[two], -0.01)]
    times[1] += (steps[-1] - steps[0]) / 2                      # steps of equal size in the logits: see (T-step)
    plain, error = slash_match.stage_two(K, **given), slash_match.stage_two_error(K, length, margin=margin, **given)
    assert (np.abs(times - plain) <= error + 0.05 * plain).all()
    refined, equal = (slash_match.stage_two_refined(K, length, margin=margin, lag=lag, probabilities=chances)
                      for chances in (p, None))
    np.testing.assert_allclose(times, refined, rtol=0.05)
    assert np.abs(times / equal - 1).max() > 0.05                                      # or equal classes would do


@pytest.mark.parametrize("step", [2.0, 20.0, 400.0])
def test_the_delay_by_steps_is_that_of_eulers_method(step):
    """Against its own steps, the rate taken anew in each; the spline between rates costs 1e-4."""
    end, time, margin = math.log(101), 0.0, 0.0
    while margin < end:
        speed = slash_rates.rate(3, 101, [margin])[0]
        margin, time = margin + step * speed, time + step
    time -= (margin - end) / speed
    exact = slash_times.stage_one(3, 101, [end])[0]
    assert time - exact == pytest.approx(slash_times.step_delay(3, 101, [end], step)[0], rel=1e-3)


def test_small_steps_delay_by_half_a_step_for_each_e_fold_of_the_rate():
    end = np.log([101.0, 101.0 ** 1.5])
    time, rates = slash_times.stage_one(3, 101, end), slash_rates.rate(3, 101, np.append(0.0, end))
    for part in (2e-4, 5e-5):                                 # followed one by one, and to first order
        step = part * time[1]
        np.testing.assert_allclose(slash_times.step_delay(3, 101, end, step), step / 2 * np.log(rates[1:] / rates[0]),
                                   rtol=5e-3)
    assert (slash_times.step_delay(3, 101, end, 0.0) == 0).all()


def test_steps_in_a_table_delay_as_they_do_in_a_pulse():
    options = {"theta": schedules.half_dft(50)}
    for step in (1.0, 50.0):
        found = [slash_times.step_delay(3, 101, [2.0, 4.0], step, **given) for given in ({}, options)]
        np.testing.assert_allclose(*found, rtol=0.1)            # all other lags alike, or each for itself


def test_the_first_phase_nears_its_leading_time_from_above():
    """slash.md 4.4: T log N / (K N) falls from 3.38 (K = 4, N = 1e3) to 2.33 (K = 64, N = 1e5), to 2 in the limit."""
    for classes, length, figure in ((4, 1001, 3.38), (64, 100001, 2.33)):
        found = slash_times.stage_one(classes, length, [math.log(length)])[0]
        lead = slash_times.phases(classes, length, 0.1)[0]
        assert 2 * found / lead == pytest.approx(figure, abs=5e-3)
        assert lead == pytest.approx(2 * classes * length / math.log(length), rel=EXACT)


@pytest.mark.parametrize("classes, length", [(2, 20001), (4, 1601), (8, 20001)])
def test_the_last_phase_nears_its_closed_form(classes, length):
    """`slash.md` 4.4 divides by 1 - 1 / 2K as well, which is 33, 14 and 7 % more than the limit."""
    off = []
    for epsilon in (1e-2, 1e-3, 1e-4):
        start, end = slash_times.stage_one(classes, length, np.log([length, length / epsilon]))
        off.append((end - start) / slash_times.last_phase(classes, epsilon) - 1)
        assert 0 < off[-1] < 3 * epsilon * math.log(1 / epsilon)
    assert off[-1] < 0.003


@given(st.integers(1000, 10 ** 6), st.floats(1e-6, 1e-3))
def test_the_last_phase_of_many_classes(classes, epsilon):
    lead = slash_times.phases(classes, 2 * classes + 1, epsilon)[1]
    assert slash_times.last_phase(classes, epsilon) == pytest.approx(lead, rel=5 / classes + epsilon)


# Stage II

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
    assert slash_match.stage_two(classes)[1] < second


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
    (lambda: slash_times.last_phase(4, 0.0), "epsilon"), (lambda: slash_match.stage_two(1), "classes"),
    (lambda: slash_match.stage_two(4, 0.0), "loss"), (lambda: slash_match.stage_two(4, lag=-1), "lag"),
    (lambda: slash_match.stage_two_refined(4, 51, margin=-1.0), "margin"),
    (lambda: slash_match.stage_two_error(4, 51, -1.0), "loss"), (lambda: slash_match.match_time(2), "classes"),
    (lambda: slash_match.loss_time(1, 0.1), "classes"), (lambda: slash_match.loss_time(4, 0), "loss"),
    (lambda: slash_times.stage_one(2, 51, [1.0], probabilities=(0.5, 0.4)), "sum of probabilities"),
    (lambda: slash_times.stage_one_error(2, 51, [1.0], probabilities=(0.5, 0.3, 0.2)), "probabilities"),
    (lambda: slash_times.step_delay(2, 51, [1.0], 1.0, probabilities=(1.0, 0.0)), "probabilities"),
    (lambda: slash_match.stage_two(2, probabilities=(0.5, 0.4)), "sum of probabilities"),
    (lambda: slash_match.stage_two_error(2, 51, probabilities=[0.5, 0.5]), "probabilities"),
    (lambda: training.start_loss(2, probabilities=(0.5, 0.4)), "sum of probabilities"),
    (lambda: training.plateau_loss(2, probabilities=(0.5, -0.5)), "probabilities"),
    (lambda: slash_times.paper_bounds(4, 51, 2.0, 0.1), "epsilon"),
    (lambda: slash_times.paper_bounds(4, 51, 0.1, 0.0), "loss"),
    (lambda: training.ood_bound(-1.0, 0.1), "norm"), (lambda: training.ood_bound(1.0, -0.1), "loss"),
    (lambda: training.start_loss(2, period=0), "period"), (lambda: training.plateau_loss(2, period=0), "period")])
def test_bad_input_is_named(call, name):
    with pytest.raises(RopesimError, match=name):
        call()


@given(st.one_of(P, st.integers(1, 30).map(lambda K: (1 / K,) * K)), st.integers(1, 5))
def test_losses_at_any_period_are_those_of_the_aggregated_scores(p, period):
    def loss(match):
        total = 0.0
        for k, x in enumerate(p):
            weights = [match * y if m == k else y for m, y in enumerate(p)]
            Z = sum(weights) + period - 1
            total += x * sum((w / Z - (m == k)) ** 2 for m, w in enumerate(weights)) / 2
        return total
    given = None if len(set(p)) == 1 else p
    found = training.start_loss(len(p), period=period, probabilities=given)
    assert found == pytest.approx(loss(1.0), rel=1e-11, abs=1e-15)                                    # K = P = 1
    found = training.plateau_loss(len(p), period=period, probabilities=given)
    assert found == pytest.approx(loss(math.e), rel=EXACT, abs=1e-15)
