"""The picture of a training run shows what was measured and when it was predicted."""

import numpy as np

from ropesim.compare_training import slash
from ropesim.slash_task import Task
from ropesim.training_charts import LABELS, figure
from ropesim.trainings import Training

TASK = Task(classes=2, length=21, lag=2)
FOUND, RUN = slash(Training(task=TASK))


def test_curves_are_those_of_the_run_and_predictions_are_dashed():
    made = figure(TASK, FOUND, RUN)
    loss, margin, scores, second, logit, amplitude = made.axes
    one, two = RUN.stage == 1, RUN.stage == 2
    for ax, time, value in [(loss, RUN.time[one], RUN.loss[one]), (margin, RUN.time[one], RUN.margin[one]),
                            (second, RUN.time[two], RUN.loss[two]), (logit, RUN.time[two], RUN.logit[two])]:
        assert np.array_equal(ax.lines[0].get_xydata(), np.column_stack([time, value]))
    dashed = [line.get_xdata()[0] for line in margin.lines if line.get_linestyle() == "--"]
    assert dashed == [FOUND["times"][name]["predicted"] for name in list(FOUND["times"])[:3]]
    assert [text.get_text() for text in second.texts] == [LABELS["stage_2"], LABELS["stage_2_final"]]
    assert np.array_equal(scores.lines[1].get_ydata(), RUN.scores[:20])
    assert np.array_equal(amplitude.lines[0].get_ydata(), RUN.amplitude)


def test_uniform_rows_are_drawn_beside_the_learned_ones():
    before = figure(TASK, FOUND, RUN).axes[2].lines[0].get_ydata()
    rows = np.tril(np.ones((21, 21))) / np.arange(1, 22)[:, None]
    assert np.allclose(before, [rows.diagonal(-lag).mean() for lag in range(20)])


def test_every_panel_is_labelled():
    made = figure(TASK, FOUND, RUN)
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in made.axes) and "K = 2, N = 21" in made.get_suptitle()


def test_layers_that_learn_at_once_have_one_course_and_no_predictions():
    found, run = slash(Training(task=TASK, together=True, steps=100, steps_2=0))
    made = figure(TASK, found, run)
    for ax, value in zip(made.axes[:2] + made.axes[3:5], (run.loss, run.margin, run.loss, run.logit)):
        assert np.array_equal(ax.lines[0].get_xydata(), np.column_stack([run.time, value]))
        assert not [line for line in ax.lines if line.get_linestyle() == "--"] and "C" in ax.get_xlabel()
