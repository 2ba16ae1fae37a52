"""Training runs from TOML: a [train] table and the [rope] bands it learns with, checked, and what they build."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import bands, case, spec
from .errors import RopesimError, known, number, table, whole
from .slash_task import Task

HIGHEST = 25        # nats of margin: beyond, predictions drown in rounding
TASK = tuple(field.name for field in fields(Task))
ALIKE = 1e-12       # relative distance of frequencies that are one but for rounding
THIRDS = ("high", "medium", "low")
TIMES = ("log_N", "log_KN", "log_N_over_eps", "stage_2", "stage_2_final")
QUANTITIES = ("score", *TIMES, "loss_plateau", "loss_final", "argmax")      # of a run, in a sweep


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run of `ropesim train slash`.

    theta: float64[B], rad/token, None: half a DFT of N tokens; epsilon in [N e^-25, 1), None: N^-1/2: Stage I ends at
    the margin log(N / epsilon); eta, eta_2 > 0: learning rates, None: as `simulate.training.descend` takes them; batch:
    fresh prompts a step, 0: all there are, so that gradients are exact; loss > 0: where Stage II ends; steps,
    steps_2 >= 0: at most; seed >= 0; together: both layers at once. Raises RopesimError otherwise.

    >>> Training(task=Task(length=25)).epsilon
    0.2
    """

    task: Task = Task()
    theta: Any = None
    epsilon: Any = None
    eta: float | None = None
    eta_2: float | None = None
    batch: int = 32
    loss: float = 0.01
    steps: int = 4000
    steps_2: int = 2000
    seed: int = 0
    together: bool = False

    def __post_init__(self) -> None:
        length = self.task.length
        epsilon = length ** -0.5 if self.epsilon is None else number("epsilon", self.epsilon, above=0)
        least = length * math.exp(-HIGHEST)
        if not least <= epsilon < 1:
            raise RopesimError("epsilon", epsilon, f"use a number below 1, {least:.3g} or more")
        theta = bands.half_dft(length // 2).theta if self.theta is None else self.theta
        object.__setattr__(self, "epsilon", epsilon)
        object.__setattr__(self, "theta", theta)
        for name in ("eta", "eta_2"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), above=0)
        number("loss", self.loss, above=0)
        for name in ("batch", "steps", "steps_2", "seed"):
            whole(name, getattr(self, name), least=0)
        if not isinstance(self.together, bool):
            raise RopesimError("together", self.together, "use true or false")


RUN = tuple(field.name for field in fields(Training) if field.name not in ("task", "theta"))


def parse(tables: Mapping[str, Any], folder: Path) -> Training:
    """The training run that plain tables describe; file names start from `folder`.

    [train]: kind = "slash", the fields of `Task` and of `Training`, and band = "high", "medium" or "low" for that
    third of the frequencies alone; [rope], as of a head, of which the rotated pairs are taken, without the attention
    factor. Raises RopesimError naming the field.

    >>> parse({"train": {"kind": "slash", "classes": 4, "length": 201}}, Path(".")).theta.size
    100
    """
    known("", tables, ["train", "rope"])
    given = dict(table("train", tables.get("train", {})))
    known("train.", given, ["kind", *TASK, *RUN, "band"])
    if given.pop("kind", None) != "slash":
        raise RopesimError("train.kind", tables.get("train", {}).get("kind"), 'use kind = "slash"')
    band = given.pop("band", None)
    if isinstance(given.get("probabilities"), list):
        given["probabilities"] = tuple(given["probabilities"])
    try:
        task = Task(**{name: given.pop(name) for name in TASK if name in given})
        found = Training(task=task, **given)
    except RopesimError as error:
        raise RopesimError(f"train.{error.name}", error.value, error.remedy) from None
    if "rope" not in tables and band is None:
        return found
    return replace(found, theta=_frequencies(tables.get("rope"), task.length, band, folder))


def _frequencies(rope: Any, length: int, band: Any, folder: Path) -> np.ndarray:
    """The rotated pairs, all or one third."""
    made = bands.half_dft(length // 2) if rope is None else case.frequencies(spec.rope(rope), length, folder)
    if band is not None and band not in THIRDS:
        raise RopesimError("train.band", band, f"use one of {', '.join(THIRDS)}")
    kept = np.flatnonzero(made.theta) if band is None else np.sort(getattr(made.thirds, band))
    if not kept.size:
        raise RopesimError("train.band" if band else "rope", band or rope,
                           "use bands with a rotated pair" + (" in this third" if band else ""))
    theta = made.theta[kept]
    wrapped = np.remainder(theta + np.pi, 2 * np.pi) - np.pi
    turn = np.abs(np.where(np.abs(theta) <= np.pi, theta, wrapped))       # what whole lags tell apart
    order = np.argsort(turn, kind="stable")
    alike = np.flatnonzero(np.diff(turn[order]) <= ALIKE * turn[order[1:]])
    if alike.size:
        raise RopesimError("rope.theta", float(theta[order[alike[0] + 1]]),
                           "give each frequency once; opposite ones and those whole turns apart are one")
    return theta
