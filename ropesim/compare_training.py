"""Predicted beside measured: a slash head trained by gradient descent on in-context regression."""

from typing import Any

import numpy as np

from . import bands
from .errors import RopesimError, number
from .predict import slash_times, training
from .simulate import training as simulate
from .slash_task import Task

TASKS = 400        # heavy-tailed tasks that the trained model is tried on
LOSS = 0.01        # where Stage II ends


def slash(task: Task, epsilon: float | None = None, seed: int = 0) -> tuple[dict[str, Any], simulate.Trajectory]:
    """Train on half a DFT of frequencies, and what was predicted of it; times in 1 / (eta C_1), later in 1 / eta_2.

    epsilon: from 0 to 1, N^(-1/2) unless given: Stage I ends at the margin log(N / epsilon). `predicted` of a time is
    the mean field's, delayed by the size of a step; `error` is that of `slash_times`. A time that was not reached is
    nan. `ood` is the answer nearest its bound (C-slash-ood-bound) over 400 tasks of a Cauchy distribution.
    Raises RopesimError for an epsilon outside (0, 1).

        margins log N, log(K N), log(N / epsilon); B_k >= log K; loss <= 0.01                (T-time), (T-second)

    Source: Cheng et al. 2026 (2601.08297), Theorem 5.3.

    >>> found, run = slash(Task(classes=2, length=21))
    >>> found["lag_argmax"]
    1
    """
    classes, length = task.classes, task.length
    epsilon = length ** -0.5 if epsilon is None else number("epsilon", epsilon, above=0)
    if epsilon >= 1:
        raise RopesimError("epsilon", epsilon, "use a number below 1")
    theta = bands.half_dft(length // 2).theta
    margins = {"log_N": np.log(length), "log_KN": np.log(classes * length),
               "log_N_over_eps": np.log(length / epsilon)}
    wanted = np.array(list(margins.values()))
    run = simulate.descend(task, theta, stop=float(max(margins.values())), loss=LOSS, seed=seed)
    one, two = run.stage == 1, run.stage == 2
    step = float(np.diff(run.time[one]).mean()) if one.sum() > 1 else 0.0
    predicted = slash_times.stage_one(classes, length, wanted, lag=task.lag)
    predicted = predicted + slash_times.step_delay(classes, length, wanted, step, lag=task.lag)
    error = slash_times.stage_one_error(classes, length, wanted, lag=task.lag)
    times = {name: _entry(_reached(run.time[one], run.margin[one], margin), value, off)
             for name, margin, value, off in zip(margins, wanted, predicted, error)}
    last = float(run.margin[one][-1])
    second = slash_times.stage_two_refined(classes, length, LOSS, margin=last, lag=task.lag)
    off = slash_times.stage_two_error(classes, length, LOSS, margin=last, lag=task.lag)
    times["stage_2"] = _entry(_reached(run.time[two], run.logit[two], np.log(classes)), second[0], off[0])
    times["stage_2_final"] = _entry(_reached(run.time[two], -run.loss[two], -LOSS), second[1], off[1])
    tasks = np.random.default_rng(seed).standard_cauchy((TASKS, classes))
    missed, loss = simulate.errors(task, run, tasks, seed)
    bound = np.linalg.norm(tasks, axis=1) * np.sqrt(2 * loss)
    worst = int(np.argmax(np.abs(missed) / bound))
    return {"lag_argmax": int(run.lags.argmax()), "slash": float(run.scores[task.lag]), "times": times,
            "loss_plateau": {"measured": float(run.loss[one][-1]),
                             "predicted": training.plateau_loss(classes, period=task.period)},
            "loss_final": {"measured": float(run.loss[-1]), "predicted": LOSS},
            "ood": {"measured": float(abs(missed[worst])), "bound": float(bound[worst])},
            "diverged_at": run.diverged_at}, run


def _entry(measured: float, predicted: float, error: float) -> dict[str, float]:
    return {"measured": measured, "predicted": float(predicted), "error": float(error)}


def _reached(time: np.ndarray, value: np.ndarray, level: float) -> float:
    """When a curve first reaches a level, between its points; nan where it does not."""
    above = np.flatnonzero(value >= level)
    if not above.size:
        return float("nan")
    n = int(above[0])
    if n == 0:
        return float(time[0])
    share = (level - value[n - 1]) / (value[n] - value[n - 1])
    return float(time[n - 1] + share * (time[n] - time[n - 1]))


def dataset(task: Task, run: simulate.Trajectory) -> Any:
    """The trajectory as an xarray.Dataset: by step, and at its end by lag and by pair.

    >>> dataset(Task(classes=2, length=9), slash(Task(classes=2, length=9))[1]).sizes["lag"]
    9
    """
    import xarray
    by_step = ("stage", "steps", "time", "loss", "margin", "slash", "logit", "match")
    return xarray.Dataset({**{name: ("step", getattr(run, name)) for name in by_step}, "scores": ("lag", run.scores),
                           "logits": ("lag", run.lags), "amplitude": ("pair", run.amplitude)},
                          attrs={"classes": task.classes, "length": task.length, "label_lag": task.lag})
