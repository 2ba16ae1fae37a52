"""Predicted beside measured: a slash head trained by gradient descent on in-context regression."""

from typing import Any

import numpy as np

from . import bands
from .errors import RopesimError
from .point import KINDS
from .predict import slash_match, slash_times, training
from .simulate import training as simulate
from .trainings import QUANTITIES, RUN, TIMES, Training

TASKS = 400        # heavy-tailed tasks that the trained model is tried on
PULSE = 1e-6       # of the pulse constant: below, all lags but 0 are alike


def slash(given: Training, watch: simulate.Watch | None = None) -> tuple[dict[str, Any], simulate.Trajectory]:
    """Train, and what was predicted of it; times in units of 1 / (eta C_1), later in 1 / eta_2.

    `predicted` of a time is the mean field's to the next order, in steps of the run's size; `error` is what that order
    adds; inf is never. Both are nan for layers trained at once, where the margin stalls and where no step was taken; a
    time that was not reached is nan. Stage II and the losses are predicted where Stage I reached its margin, and the
    last loss where it is reached.
    The size of the steps, and the margin at which Stage II starts, are read from the run.
    `ood` is the answer nearest its bound (C-slash-ood-bound) over 400 tasks of a Cauchy distribution. watch is called
    with each step's measures.

        margins log N, log(K N), log(N / epsilon); B_k >= log K; loss                        (T-time), (T-second)

    Source: Cheng et al. 2026 (2601.08297), Theorem 5.3.

    >>> from .slash_task import Task
    >>> found, run = slash(Training(task=Task(classes=2, length=21)))
    >>> found["lag_argmax"]
    1
    """
    task, run = given.task, _run(given, watch)
    margins = np.log(task.length) + np.array([0.0, np.log(task.classes), -np.log(given.epsilon)])
    one, two = run.stage != 2, run.stage != 1
    reached = [*(_reached(run.time[one], run.margin[one], margin) for margin in margins),
               _reached(run.time[two], run.logit[two], np.log(task.classes)),
               _reached(run.time[two], -run.loss[two], -given.loss)]
    times = {name: {"measured": value, "predicted": float(expected), "error": float(error)}
             for name, value, expected, error in zip(TIMES, reached, *_predicted(given, run, margins))}
    tasks = np.random.default_rng(given.seed).standard_cauchy((TASKS, task.classes))
    missed, loss = simulate.errors(task, run, tasks, given.seed)
    bound = np.linalg.norm(tasks, axis=1) * np.sqrt(2 * loss)
    worst = int(np.argmax(np.divide(np.abs(missed), bound, out=np.zeros(TASKS), where=bound > 0)))
    plateau = _plateau(given, run, margins[-1])
    final = min(given.loss, np.nan_to_num(plateau["predicted"], nan=np.inf))
    return {"lag_argmax": int(run.lags.argmax()), "slash": float(run.scores[task.lag]), "times": times,
            "loss_plateau": plateau,
            "loss_final": {"measured": float(run.loss[-1]),
                           "predicted": final if np.isfinite(times["stage_2_final"]["predicted"]) else np.nan},
            "ood": {"measured": float(abs(missed[worst])), "bound": float(bound[worst])},
            "diverged_at": run.diverged_at}, run


def values(given: Training) -> dict[str, float]:
    """What a sweep keeps of a run: QUANTITIES, each as `<quantity>_<predicted|error|simulated|stderr>`.

    score and argmax are of layer 1: its average score at the lag, and the lag that it scores highest. stderr is nan: a
    seed is an axis. Raises RopesimError for a run that diverged.

    >>> from .slash_task import Task
    >>> values(Training(task=Task(classes=2, length=21)))["argmax_simulated"]
    1.0
    """
    found, run = slash(given)
    if run.diverged_at is not None:
        raise RopesimError("train.eta, train.eta_2", (given.eta, given.eta_2),
                           f"use smaller ones, the run diverged at step {run.diverged_at}")
    entries = {**found["times"], "loss_plateau": found["loss_plateau"], "loss_final": found["loss_final"],
               "score": {"measured": found["slash"]},
               "argmax": {"measured": found["lag_argmax"], "predicted": given.task.lag, "error": 0.0}}
    kinds = dict(zip(KINDS, ("predicted", "error", "measured", "")))
    return {f"{name}_{kind}": float(entries[name].get(key, np.nan)) for name in QUANTITIES
            for kind, key in kinds.items()}


def _run(given: Training, watch: simulate.Watch | None) -> simulate.Trajectory:
    rates: dict[str, Any] = {"eta": given.eta, "eta_2": given.eta_2, "loss": given.loss, "batch": given.batch or None,
                             "seed": given.seed, "watch": watch}
    if given.together:
        return simulate.together(given.task, given.theta, steps=given.steps + given.steps_2, **rates)
    return simulate.descend(given.task, given.theta, stop=float(np.log(given.task.length / given.epsilon)),
                            steps=given.steps, steps_2=given.steps_2, **rates)


def _predicted(given: Training, run: simulate.Trajectory, margins: np.ndarray) -> np.ndarray:
    """Times of both stages and their errors, float64[2, 5]."""
    task, found = given.task, np.full((2, 5), np.nan)
    classes, length = task.classes, task.length
    rest: dict[str, Any] = {"lag": task.lag, "probabilities": task.probabilities}
    if given.together:
        return found
    one, two = run.stage == 1, run.stage == 2
    table = {**rest, "theta": None if _pulse(given.theta, length) else given.theta}
    if one.sum() < 2:                                  # no step was taken: none tells its size
        return found
    step = float(np.diff(run.time[one]).mean())
    found[0, :3] = slash_times.stage_one_refined(classes, length, margins, **table)
    found[0, :3] += slash_times.step_delay(classes, length, margins, step, **table)
    error = slash_times.stage_one_error(classes, length, margins, **table)
    found[1, :3] = np.where(np.isnan(found[0, :3]), np.nan, error)
    last = float(run.margin[one][-1])
    if last >= margins[-1]:                            # else there is no slash that Stage II could rest on
        found[0, 3:] = slash_match.stage_two_refined(classes, length, given.loss, margin=last, step=given.eta_2, **rest)
        found[1, 3:] = slash_match.stage_two_error(classes, length, given.loss, margin=last, **rest)
        steps = np.diff(run.time[two])
        if given.eta_2 is None and steps.size:         # they grow as the gradient falls
            found[0, 4] += (steps[0] - steps[-1]) / 2
    return found


def _plateau(given: Training, run: simulate.Trajectory, margin: float) -> dict[str, float]:
    """The loss between the stages; predicted, with what a finite length adds, where Stage I reached its margin."""
    task, one = given.task, run.stage == 1
    if given.together:
        return dict.fromkeys(("measured", "predicted", "error"), np.nan)
    found = {"measured": float(run.loss[one][-1]), "predicted": np.nan, "error": np.nan}
    last = float(run.margin[one][-1])
    if last >= margin:
        found["predicted"] = slash_match.plateau(task.classes, task.length, margin=last, lag=task.lag,
                                                 probabilities=task.probabilities)
        found["error"] = abs(found["predicted"] - training.plateau_loss(
            task.classes, period=task.period, probabilities=task.probabilities))
    return found


def _pulse(theta: np.ndarray, length: int) -> bool:
    return np.array_equal(theta, bands.half_dft(length // 2).theta) or training.pulse_constant(theta, length) < PULSE


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


def dataset(given: Training, run: simulate.Trajectory) -> Any:
    """The trajectory as an xarray.Dataset: by step, and at its end by lag and by pair; what was trained, as attributes.

    >>> from .slash_task import Task
    >>> given = Training(task=Task(classes=2, length=9))
    >>> dataset(given, slash(given)[1]).sizes["lag"]
    9
    """
    import xarray
    task = given.task
    fields = {name: getattr(given, name) for name in RUN} | {"probabilities": task.probabilities}
    known = {name: value for name, value in fields.items() if value is not None} | (
        {} if run.diverged_at is None else {"diverged_at": run.diverged_at})
    by_step = ("stage", "steps", "time", "loss", "margin", "slash", "logit", "match")
    return xarray.Dataset({**{name: ("step", getattr(run, name)) for name in by_step}, "scores": ("lag", run.scores),
                           "logits": ("lag", run.lags), "amplitude": ("pair", run.amplitude),
                           "theta": ("pair", given.theta)},
                          coords={"lag": np.arange(task.length)},
                          attrs={"classes": task.classes, "length": task.length, "label_lag": task.lag, **known})
