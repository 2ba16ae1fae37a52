"""`ropesim train slash`: what was predicted of a training run, and what it did."""

import math

import numpy as np
import pytest

from ropesim import bands, compare_training
from ropesim.compare_training import dataset, slash, values
from ropesim.errors import RopesimError
from ropesim.point import KINDS
from ropesim.predict import training
from ropesim.slash_task import Task
from ropesim.trainings import QUANTITIES, Training

SMALL = Training(task=Task(classes=3, length=61))


@pytest.fixture(scope="module")
def trained():
    return slash(SMALL)


def test_times_are_measured_near_their_predictions_and_in_order(trained):
    times = trained[0]["times"]
    assert list(times) == ["log_N", "log_KN", "log_N_over_eps", "stage_2", "stage_2_final"]
    for one in times.values():
        assert abs(one["measured"] - one["predicted"]) < one["error"]
    first = [times[name]["measured"] for name in list(times)[:3]]
    assert first == sorted(first) and times["stage_2"]["measured"] < times["stage_2_final"]["measured"]


def test_the_run_becomes_a_slash_head_and_its_losses_are_those_it_reached(trained):
    found, run = trained
    assert found["lag_argmax"] == 1 and found["slash"] == run.scores[1] > 0.9
    assert found["loss_final"]["measured"] == run.loss[-1] <= SMALL.loss
    assert abs(found["loss_plateau"]["measured"] / found["loss_plateau"]["predicted"] - 1) < 0.25
    assert 0 < found["ood"]["measured"] <= found["ood"]["bound"] and found["diverged_at"] is None


def test_a_smaller_epsilon_takes_longer():
    short, long = (slash(Training(task=SMALL.task, epsilon=epsilon, steps_2=0))[0]["times"]["log_N_over_eps"]
                   for epsilon in (0.5, 0.05))
    assert short["measured"] < long["measured"] and short["predicted"] < long["predicted"]


def test_frequencies_without_a_pulse_are_predicted_by_their_kernel():
    found, run = slash(Training(task=SMALL.task, theta=bands.random(32).theta, steps=1500, steps_2=0))
    one = found["times"]["log_N"]
    assert abs(one["measured"] - one["predicted"]) < one["error"] and run.lags.argmax() == 1


def test_a_margin_that_stalls_has_no_times():
    found, _ = slash(Training(task=SMALL.task, theta=bands.half_dft(12).theta, steps=60, steps_2=0))
    assert all(math.isnan(one["predicted"]) and math.isnan(one["measured"]) for one in found["times"].values())


def test_a_longer_half_dft_is_a_pulse_too():
    found, _ = slash(Training(task=SMALL.task, theta=bands.half_dft(50).theta, steps_2=0))
    one = found["times"]["log_N_over_eps"]
    assert abs(one["measured"] - one["predicted"]) < one["error"]


def test_layers_trained_at_once_are_measured_alone():
    found, run = slash(Training(task=Task(classes=2, length=21), together=True))
    assert all(math.isnan(one["predicted"]) and math.isfinite(one["measured"]) for one in found["times"].values())
    assert not run.stage.any() and found["loss_final"]["measured"] <= 0.01


@pytest.mark.parametrize("eta, eta_2", [(1.0, 10.0), (5.0, 30.0), (20.0, 100.0)])
def test_times_of_a_few_large_steps_are_predicted(eta, eta_2):
    """The slack: 2 % in batches of 256, in Stage I and in Stage II."""
    found, run = slash(Training(task=Task(classes=4, length=101), eta=eta, eta_2=eta_2, batch=256))
    assert (run.stage == 1).sum() < 20 and (run.stage == 2).sum() < 30
    for one in found["times"].values():
        assert abs(one["measured"] - one["predicted"]) <= one["error"] + 0.02 * one["predicted"]


def test_without_a_step_nothing_is_predicted():
    found, run = slash(Training(task=SMALL.task, eta=1e6))
    assert not run.lags.any() and not run.amplitude.any()
    assert run.diverged_at == 1 and all(math.isnan(one["predicted"]) for one in found["times"].values())
    assert math.isnan(found["loss_plateau"]["predicted"]) and math.isnan(found["loss_final"]["predicted"])


@pytest.mark.parametrize("classes, length, lag", [(2, 21, 0), (4, 101, 1), (3, 51, 48), (8, 201, 2)])
def test_the_plateau_is_that_of_the_length(classes, length, lag):
    """4 %: five standard errors of 4096 prompts, and what the mean field misses at few tokens."""
    task = Task(classes=classes, length=length, lag=lag)
    found, _ = slash(Training(task=task, batch=4096, steps_2=0, eta=None if lag < 48 else 20.0))
    one = found["loss_plateau"]
    assert one["measured"] == pytest.approx(one["predicted"], rel=0.04)
    assert one["error"] == abs(one["predicted"] - training.plateau_loss(classes, period=task.period))


def test_a_loss_met_at_once_is_the_plateau():
    found, _ = slash(Training(task=SMALL.task, loss=5.0))
    assert found["loss_final"]["predicted"] == found["loss_plateau"]["predicted"] < 1


def test_a_batch_of_0_is_every_prompt():
    found, run = slash(Training(task=Task(classes=2, length=9), batch=0, steps=30, steps_2=5))
    _, again = slash(Training(task=Task(classes=2, length=9), batch=0, steps=30, steps_2=5, seed=7))
    assert np.array_equal(run.loss, again.loss) and (np.diff(run.loss) <= 0).all()


def test_every_step_is_watched():
    seen = []
    _, run = slash(Training(task=Task(classes=2, length=9), steps=20, steps_2=5), seen.append)
    assert [row.loss for row in seen] == run.loss.tolist() and [row.margin for row in seen] == run.margin.tolist()


def test_values_of_a_sweep_are_those_of_a_run(trained):
    found, kept = trained[0], values(SMALL)
    assert list(kept) == [f"{name}_{kind}" for name in QUANTITIES for kind in KINDS]
    for name, one in found["times"].items():
        assert [kept[f"{name}_{kind}"] for kind in KINDS[:3]] == [one["predicted"], one["error"], one["measured"]]
    assert kept["score_simulated"] == found["slash"] and kept["argmax_simulated"] == 1
    assert np.isnan(kept["log_N_stderr"])


def test_a_run_that_diverged_has_no_values():
    with pytest.raises(RopesimError, match="train.eta, train.eta_2.*diverged at step"):
        values(Training(task=SMALL.task, eta=1e9))


@pytest.mark.parametrize("level, time", [(0.0, 0.0), (1.0, 0.5), (3.0, 1.25), (6.0, 2.0)])
def test_a_level_is_reached_between_points(level, time):
    assert compare_training._reached(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 6.0]), level) == time


def test_a_level_that_is_not_reached_has_no_time():
    assert math.isnan(compare_training._reached(np.arange(3.0), np.zeros(3), 5.0))


def test_the_trajectory_is_kept_by_step_lag_and_pair(trained):
    kept = dataset(SMALL, trained[1])
    assert dict(kept.sizes) == {"step": len(trained[1].steps), "lag": 61, "pair": 30}
    assert kept.attrs == {"classes": 3, "length": 61, "label_lag": 1, "epsilon": 61 ** -0.5, "batch": 32, "loss": 0.01,
                          "steps": 4000, "steps_2": 2000, "seed": 0, "together": False}
    assert np.array_equal(kept.margin, trained[1].margin) and np.array_equal(kept.scores, trained[1].scores)


def test_a_loss_that_short_prompts_never_reach_is_predicted_so():
    found, run = slash(Training(task=Task(classes=2, length=21)))
    one = found["times"]["stage_2_final"]
    assert one["predicted"] == math.inf and math.isnan(one["measured"]) and (run.stage == 2).sum() == 2001
