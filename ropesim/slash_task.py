"""In-context regression with the label a fixed lag behind its input: what both wings read about slash training."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .errors import RopesimError, number, whole

SUM = 1e-9      # by which probabilities may miss one
LONGEST = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Task:
    """Prompts of inputs and labels y = <w, x> that end in a question; the label of an input stands `lag` behind it.

    classes: K >= 2 orthonormal inputs; length: N tokens, odd, above K; lag from 0 on, with room for one labelled input;
    probabilities: p_k > 0 that sum to 1, None: 1/K each. Raises RopesimError otherwise. Inputs stand at the positions
    that differ from the last by a multiple of the period, which is the least number from 2 on that does not divide the
    lag; what is neither input nor label is a filler. At lag 0 every token but the question carries its own label.

    Source: Cheng et al. 2026 (2601.08297), section 5; for lags other than 1 the placement (T-task) is ours.

    >>> Task(classes=4, length=201).period, Task(lag=6).period, Task(lag=0).period
    (2, 4, 1)
    """

    classes: int = 8
    length: int = 401
    lag: int = 1
    probabilities: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        whole("classes", self.classes, least=2)
        if whole("length", self.length, least=3, most=LONGEST) % 2 == 0:
            raise RopesimError("length", self.length, "use an odd number of tokens: pairs and a question")
        if self.classes >= self.length:
            raise RopesimError("classes", self.classes, f"use fewer classes than the {self.length} tokens")
        whole("lag", self.lag, least=0, most=self.length - 2)
        if (self.length - 1) % self.period + self.lag > self.length - 2:
            raise RopesimError("lag", self.lag, f"use a lag that leaves a labelled input among {self.length} tokens")
        if self.probabilities is not None:
            _check(self.probabilities, self.classes)

    @property
    def period(self) -> int:
        """Tokens from one input to the next."""
        return 1 if not self.lag else next(step for step in range(2, self.lag + 2) if self.lag % step)

    @property
    def weights(self) -> np.ndarray:
        """The probabilities p_k, float64[K]."""
        return np.array(self.probabilities or [1 / self.classes] * self.classes)


class Layout(NamedTuple):
    """Which input a position shows, and whose label: numbers of inputs in their order, or -1 for none."""

    shown: np.ndarray       # int64[N]; the question is the last input
    labelled: np.ndarray    # int64[N]


def layout(task: Task) -> Layout:
    """Where the inputs and the labels of a prompt stand.

        labelled(j) = shown(j - lag) where j is no question                            (T-task)

    >>> [row.tolist() for row in layout(Task(classes=2, length=7, lag=3))]
    [[0, -1, 1, -1, 2, -1, 3], [-1, -1, -1, 0, -1, 1, -1]]
    """
    shown = np.full(task.length, -1)
    slots = np.arange((task.length - 1) % task.period, task.length, task.period)
    shown[slots] = np.arange(slots.size)
    labelled = np.full(task.length, -1)
    labelled[task.lag:] = shown[:task.length - task.lag]
    labelled[-1] = -1
    return Layout(shown, labelled)


def _check(probabilities: tuple[float, ...], classes: int) -> None:
    if not isinstance(probabilities, tuple):
        raise RopesimError("probabilities", probabilities, "use a list of numbers, a tuple in Python")
    if len(probabilities) != classes:
        raise RopesimError("probabilities", probabilities, f"give {classes}, one for each class")
    for chance in probabilities:
        number("probabilities", chance, above=0)
    if abs(sum(probabilities) - 1) > SUM:
        raise RopesimError("sum of probabilities", sum(probabilities), "use probabilities that sum to one")
