"""`ropesim train slash`: what was predicted of a training run, and what it did."""

import math

import numpy as np
import pytest

from ropesim import compare_training
from ropesim.compare_training import dataset, slash
from ropesim.errors import RopesimError
from ropesim.slash_task import Task

SMALL = Task(classes=3, length=61)


@pytest.fixture(scope="module")
def trained():
    return slash(SMALL)


def test_times_are_measured_near_their_predictions_and_in_order(trained):
    times = trained[0]["times"]
    assert list(times) == ["log_N", "log_KN", "log_N_over_eps", "stage_2", "stage_2_final"]
    for one in times.values():
        assert abs(one["measured"] / one["predicted"] - 1) < 0.25 and one["error"] > 0
    first = [times[name]["measured"] for name in list(times)[:3]]
    assert first == sorted(first) and times["stage_2"]["measured"] < times["stage_2_final"]["measured"]


def test_the_run_becomes_a_slash_head_and_its_losses_are_those_it_reached(trained):
    found, run = trained
    assert found["lag_argmax"] == 1 and found["slash"] == run.scores[1] > 0.9
    assert found["loss_final"]["measured"] == run.loss[-1] <= compare_training.LOSS
    assert abs(found["loss_plateau"]["measured"] / found["loss_plateau"]["predicted"] - 1) < 0.25
    assert 0 < found["ood"]["measured"] <= found["ood"]["bound"] and found["diverged_at"] is None


def test_a_smaller_epsilon_takes_longer():
    short, long = (slash(SMALL, epsilon)[0]["times"]["log_N_over_eps"] for epsilon in (0.5, 0.05))
    assert short["measured"] < long["measured"] and short["predicted"] < long["predicted"]


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -0.5, math.nan])
def test_an_epsilon_outside_0_and_1_is_refused(epsilon):
    with pytest.raises(RopesimError, match="epsilon"):
        slash(SMALL, epsilon)


@pytest.mark.parametrize("level, time", [(0.0, 0.0), (1.0, 0.5), (3.0, 1.25), (6.0, 2.0)])
def test_a_level_is_reached_between_points(level, time):
    assert compare_training._reached(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 6.0]), level) == time


def test_a_level_that_is_not_reached_has_no_time():
    assert math.isnan(compare_training._reached(np.arange(3.0), np.zeros(3), 5.0))


def test_the_trajectory_is_kept_by_step_lag_and_pair(trained):
    kept = dataset(SMALL, trained[1])
    assert dict(kept.sizes) == {"step": len(trained[1].steps), "lag": 61, "pair": 30}
    assert kept.attrs == {"classes": 3, "length": 61, "label_lag": 1}
    assert np.array_equal(kept.margin, trained[1].margin) and np.array_equal(kept.scores, trained[1].scores)
