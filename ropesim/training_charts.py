"""The picture of `ropesim train slash`: loss and margin with the predicted times, scores by lag, learned amplitudes."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .plots import PREDICTED, SIMULATED
from .slash_task import Task

FEW = 40       # steps that are shown one by one
LABELS = {"log_N": "log N", "log_KN": "log KN", "log_N_over_eps": "log N/ε", "stage_2": "B ≥ log K",
          "stage_2_final": "final loss"}


def figure(task: Task, found: dict[str, Any], run: Any) -> Figure:
    """Six panels: loss and margin of Stage I, loss and logit of Stage II, scores by lag before and after, amplitudes.

    found, run: as of `compare_training.slash`. Dashed lines are predictions.

    >>> from .compare_training import slash
    >>> from .trainings import Training
    >>> task = Task(classes=2, length=9)
    >>> len(figure(task, *slash(Training(task=task))).axes)
    6
    """
    made = Figure(figsize=(13, 7), layout="constrained")
    axes = made.subplots(2, 3)
    one, two = run.stage != 2, run.stage != 1
    times = found["times"]
    course(axes[0, 0], run.time[one], run.loss[one], "loss", {name: times[name] for name in list(times)[:3]})
    plateau = found["loss_plateau"]["predicted"]
    if np.isfinite(plateau):
        axes[0, 0].axhline(plateau, color=PREDICTED, lw=1, ls="--")
        axes[0, 0].annotate("plateau", (0, plateau), xycoords=("axes fraction", "data"), fontsize=8, va="bottom",
                            color=PREDICTED)
    course(axes[0, 1], run.time[one], run.margin[one], "margin of the lag's logit (nats)",
           {name: times[name] for name in list(times)[:3]})
    course(axes[1, 0], run.time[two], run.loss[two], "loss", {name: times[name] for name in list(times)[3:]})
    if two.any():
        axes[1, 0].set_yscale("log")
    course(axes[1, 1], run.time[two], run.logit[two], "logit of the match (nats)", {"stage_2": times["stage_2"]})
    for ax, unit in zip(axes[:, :2].ravel(), ["1/(η C₁)"] * 2 + ["1/η₂" if run.stage.all() else "1/(η C₁)"] * 2):
        ax.set_xlabel(f"time ({unit})")
    lags = np.arange(min(task.length, 4 * task.lag + 12))
    before = np.array([np.mean(1 / np.arange(lag + 1, task.length + 1)) for lag in lags])
    axes[0, 2].plot(lags, before, color="#888888", lw=1.2, label="before training")
    axes[0, 2].plot(lags, run.scores[lags], color=SIMULATED, marker="o", ms=3, lw=1.2, label="after")
    axes[0, 2].set(xlabel="lag (tokens)", ylabel="average score of layer 1")
    axes[0, 2].legend(frameon=False, fontsize=9)
    axes[1, 2].plot(np.arange(1, len(run.amplitude) + 1), run.amplitude, color=SIMULATED, lw=0, marker=".", ms=4)
    axes[1, 2].set(xlabel="frequency pair", ylabel="learned amplitude")
    for ax in axes[:, 2]:
        ax.xaxis.get_major_locator().set_params(integer=True)
    for ax in axes.ravel():
        ax.grid(alpha=0.25, lw=0.6)
    made.suptitle(f"slash training: K = {task.classes}, N = {task.length}, labels {task.lag} behind"
                  + ("; dashed: predicted" if run.stage.all() else ""))
    return made


def course(ax: Axes, time: np.ndarray, value: np.ndarray, name: str, marks: dict[str, dict[str, float]]) -> Axes:
    """A measured curve over time, and the predicted times as dashed lines with their error.

    >>> marks = {"log_N": {"predicted": 1.0, "error": 0.1, "measured": 1.1}}
    >>> course(Figure().subplots(), np.arange(3), np.arange(3), "loss", marks).get_ylabel()
    'loss'
    """
    ax.plot(time, value, color=SIMULATED, lw=1.2, marker="." if time.size < FEW else "")
    if not time.size:
        ax.text(0.5, 0.5, "no step was taken", transform=ax.transAxes, ha="center", color="#888888")
        ax.set(xticks=[], yticks=[])
    for key, one in marks.items():
        if not np.isfinite([one["predicted"], one["error"]]).all():     # never, of prompts so short
            continue
        ax.axvline(one["predicted"], color=PREDICTED, lw=1, ls="--")
        ax.axvspan(one["predicted"] - one["error"], one["predicted"] + one["error"], color=PREDICTED, alpha=0.12, lw=0)
        ax.annotate(LABELS[key], (one["predicted"], 1), xycoords=("data", "axes fraction"), fontsize=8, rotation=90,
                    ha="right", va="top", color=PREDICTED)
    ax.set_ylabel(name)
    return ax
