"""Gradient descent on slash training: its naive twin, the figures of slash.md, controls, and runs that diverge."""

import naive_training as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim import schedules
from ropesim.errors import RopesimError
from ropesim.simulate import regression, training
from ropesim.slash_task import Task

seeds = st.integers(0, 2 ** 32 - 1)
ROPE = 1e6 ** -(np.arange(64) / 64)
SMALL = Task(classes=2, length=9)


def plain(task):
    prompts = regression.every(task)
    return list(zip(prompts.weight.tolist(), prompts.shown.tolist(), prompts.labelled.tolist()))


@pytest.mark.parametrize("task", [Task(classes=2, length=7), Task(classes=3, length=5, lag=0),
                                  Task(classes=2, length=9, lag=2, probabilities=(0.75, 0.25))])
@pytest.mark.parametrize("theta", [[0.3, 1.1], [2.0], [0.0, 0.5]])
def test_descent_is_its_naive_twin(task, theta):
    run = training.descend(task, theta, eta=30.0, stop=99.0, steps=4, steps_2=0, batch=None)
    q, losses = naive.descend(plain(task), theta, task.length, task.classes, 30.0, 4)
    np.testing.assert_allclose(run.loss[:-1], losses, rtol=EXACT)
    lags = naive.lag_logits(q, theta, task.length)
    np.testing.assert_allclose(run.lags, lags, atol=EXACT)
    np.testing.assert_allclose(run.amplitude, np.hypot(q[::2], q[1::2]), atol=EXACT)
    scores = naive.first_scores(lags)
    by_lag = [np.mean([scores[i][i - x] for i in range(x, task.length)]) for x in range(task.length)]
    np.testing.assert_allclose(run.scores, by_lag, rtol=FLOAT)
    assert run.slash[-1] == pytest.approx(by_lag[task.lag], rel=FLOAT)
    assert run.margin[-1] == pytest.approx(lags[task.lag] - max(lags[:task.lag] + lags[task.lag + 1:]), abs=EXACT)


@given(seeds, st.integers(2, 30), st.sampled_from([1.0, 100.0, 1000.0]))
def test_scores_by_lag_are_those_of_the_rows(seed, length, scale):
    lags = scale * np.random.default_rng(seed).normal(size=length)
    rows = naive.first_scores(lags.tolist())
    expected = [np.mean([rows[i][i - x] for i in range(x, length)]) for x in range(length)]
    np.testing.assert_allclose(training.scores(lags), expected, rtol=1e-9, atol=1e-300)


@pytest.mark.compiled
@pytest.mark.parametrize("lag", [0, 1, 2, 3, 5, 8])
def test_a_slash_forms_at_the_lag_of_the_labels(lag):
    """Average score .952 or more in slash.md 4.5."""
    run = training.descend(Task(classes=4, length=201, lag=lag), schedules.half_dft(100), seed=lag, steps_2=0)
    assert run.lags.argmax() == run.scores.argmax() == lag
    assert run.slash[-1] >= 0.94 and run.diverged_at is None


def rate(task, theta):
    """What slash.md 4.5 uses: eta B = K N / 60."""
    return task.classes * task.length / (60 * len(theta))


@pytest.mark.compiled
@pytest.mark.parametrize("theta, slash, tolerance", [
    (schedules.half_dft(50), (101 + 99 / 2) / 200, 2e-3),        # an alias at lag 102: the predicted ceiling
    (ROPE[:21], 0.93, 0.01), (ROPE, 0.67, 0.02),
    (ROPE[21:42], 0.027, 5e-4), (ROPE[42:], 0.024, 5e-4),        # the uniform level is .0244
])
def test_tables_reach_what_the_notes_have(theta, slash, tolerance):
    task = Task(classes=4, length=201)
    run = training.descend(task, theta, eta=rate(task, theta), steps=600, steps_2=0)
    assert run.slash[-1] == pytest.approx(slash, abs=tolerance)


def test_a_table_that_does_not_turn_learns_nothing():
    run = training.descend(SMALL, [0.0], steps=20, steps_2=0, batch=None)
    assert run.slash[-1] == pytest.approx(run.slash[0], rel=FLOAT)
    assert not run.time.any()


def test_the_start_is_uniform():
    run = training.descend(SMALL, [1.0], steps=0, steps_2=0, batch=None)
    assert run.slash[0] == pytest.approx(np.mean(1 / np.arange(2, 10)), rel=EXACT)
    assert (run.margin[0], run.logit[0], run.match[0]) == (0, 1, 1)


def test_the_loss_falls_in_every_small_step():
    run = training.descend(SMALL, schedules.half_dft(4), eta=0.5, eta_2=0.5, stop=3.0, steps=150, steps_2=150,
                           batch=None)
    assert (np.diff(run.loss) < 0).sum() == len(run.loss) - 2       # the entry at which stage 2 starts repeats its loss
    assert (np.diff(run.margin[run.stage == 1]) > 0).all()
    assert (np.diff(run.match[run.stage == 2]) > 0).all()


def test_times_are_sums_of_rates():
    run = training.descend(SMALL, schedules.half_dft(4), eta=0.7, eta_2=0.3, steps=5, steps_2=3, stop=99.0, batch=None)
    np.testing.assert_allclose(run.time, [*(0.7 * 4.5 * np.arange(6)), *(0.3 * np.arange(4))], rtol=EXACT, atol=EXACT)
    assert run.stage.tolist() == [1] * 6 + [2] * 4
    assert run.steps.tolist() == [*range(6), *range(4)]


def test_half_a_dft_has_half_its_period_as_unit_of_time():
    assert training.height(regression.kernel(schedules.half_dft(50), 101)) == pytest.approx(50.5, rel=EXACT)


def test_steps_without_a_rate_move_no_logit_by_more_than_their_stride():
    run = training.descend(SMALL, schedules.half_dft(4), steps=40, steps_2=0, batch=None)
    assert np.diff(run.margin).max() <= training.STRIDE * (1 + FLOAT)
    assert np.diff(run.time).max() <= 2 * 9 / (60 * 4) * 4.5 * (1 + FLOAT)


def test_stage_one_ends_at_its_margin_and_stage_two_at_its_loss():
    run = training.descend(Task(classes=4, length=51), schedules.half_dft(25), seed=1)
    first = run.stage == 1
    assert run.margin[first][-1] >= 1.5 * np.log(51) > run.margin[first][-2]
    assert run.loss[-1] <= 0.01 < run.loss[-2]
    assert (run.slash[~first] == run.slash[-1]).all()


def test_one_large_step_is_enough():
    """Scores .159, .763 and 1.0000 at eta C_1 = 1, 3 and 10 times K N in slash.md 4.4."""
    for times, slash, tolerance in ((1, 0.159, 0.04), (3, 0.763, 0.12), (10, 1.0, 1e-3)):
        run = training.descend(Task(classes=4, length=101), schedules.half_dft(50), eta=times * 4 * 101 / 50.5, steps=1,
                               steps_2=0, batch=256)
        assert run.slash[-1] == pytest.approx(slash, abs=tolerance)     # one batch of prompts


def test_both_layers_learn_at_once():
    run = training.together(Task(classes=2, length=41), schedules.half_dft(20))
    assert run.lags.argmax() == 1 and run.loss[-1] <= 0.01
    assert not run.stage.any() and run.diverged_at is None


def test_unequal_classes_train():
    task = Task(classes=3, length=51, probabilities=(0.5, 0.3, 0.2))
    run = training.descend(task, schedules.half_dft(25), loss=0.02)
    assert run.lags.argmax() == 1 and run.loss[-1] <= 0.02


@settings(max_examples=20)
@given(seeds, st.sampled_from([1.0, 100.0]))
def test_errors_on_any_task_are_bounded_by_the_loss(seed, scale):
    run = training.descend(SMALL, schedules.half_dft(4), steps=20, steps_2=10, seed=seed)
    w = scale * np.random.default_rng(seed).standard_cauchy(size=(40, 2))
    error, loss = training.errors(SMALL, run, w, seed)
    assert (np.abs(error) <= np.linalg.norm(w, axis=1) * np.sqrt(2 * loss) * (1 + FLOAT)).all()


def test_runs_repeat_by_their_seed():
    runs = [training.descend(SMALL, [1.0, 2.0], steps=5, steps_2=2, seed=seed) for seed in (1, 1, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(runs[0], runs[1]))
    assert not np.array_equal(runs[0].loss, runs[2].loss)


@pytest.mark.parametrize("rates", [{"eta": 1e9}, {"eta": 1e308}, {"eta_2": 1e9}, {"eta_2": 1e308}])
def test_a_run_that_leaves_the_doubles_says_when_and_keeps_what_was(rates):
    run = training.descend(SMALL, schedules.half_dft(4), steps=3, steps_2=5, stop=99.0, **rates)
    assert run.diverged_at == (1 if "eta" in rates else 5)
    assert len(run.loss) == run.diverged_at and np.isfinite(run.loss).all()
    assert np.isfinite(run.lags).all() and np.isfinite(run.classes).all()


@pytest.mark.parametrize("rates", [{"eta": 3e3}, {"eta": 0.1, "eta_2": 3e3}])
def test_a_loss_that_rises_ends_the_run(rates):
    """Where features of many lags are alike, and in layer 2, too large a step does not come back."""
    task = Task(classes=2, length=41)
    run = training.descend(task, [0.7, 0.1], stop=9.0, steps=30, steps_2=30, batch=256, **rates)
    assert run.diverged_at == len(run.loss) - 1 < 61
    assert run.loss[-1] >= run.loss[0] + training.RISEN
    small = training.descend(task, [0.7, 0.1], stop=9.0, steps=30, steps_2=30, batch=256)
    assert small.diverged_at is None


@pytest.mark.parametrize("batch", [1, 2, 16, None])
def test_noise_is_no_divergence(batch):
    for seed in range(4):
        run = training.descend(SMALL, [0.0], steps=150, steps_2=0, batch=batch, seed=seed)
        assert run.diverged_at is None


@pytest.mark.parametrize("wrong, name", [
    ({"eta": 0.0}, "learning rate"), ({"eta": np.inf}, "learning rate"), ({"eta_2": -1.0}, "learning rate"),
    ({"stop": np.nan}, "stop"), ({"loss": -0.1}, "loss"), ({"steps": -1}, "steps"), ({"steps_2": 1.5}, "steps_2"),
    ({"batch": 0}, "batch"), ({"seed": -1}, "seed"), ({"theta": [1.0, 1.0]}, "theta"),
    ({"theta": []}, "number of pairs"),
])
def test_bad_input_is_refused(wrong, name):
    for train in (training.descend, training.together):
        if train is training.together and {"stop", "steps_2"} & set(wrong):
            continue
        with pytest.raises(RopesimError) as caught:
            train(SMALL, **{"theta": [1.0]} | wrong)
        assert caught.value.name == name
    with pytest.raises(RopesimError, match="shape of w"):
        training.errors(SMALL, training.descend(SMALL, [1.0], steps=0, steps_2=0), np.ones((3, 3)))
