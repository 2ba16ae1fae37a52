"""Predictions of many cases at once: those that share bands, length and run are one batch.

A single run is a batch of one, so that a sweep gives the same bits.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from .case import Case
from .ensembles import Captured, Mean, Slash, slashes
from .predict import attention, batch, cosines, moments
from .wrappers import Factor, Sink, amplified, gains

Values = dict[str, np.ndarray]
TOKENS = 1 << 18    # of the cases of a batch: bounds its memory, some 100 bytes a token


def alike(cases: Iterable[Case]) -> list[list[int]]:
    """Which cases `predicted` takes together, as positions.

    Fixed heads of the same bands, length, scoring and quantities; random ones only where nothing but seed,
    replicate and samples differ, for these change no prediction. At most TOKENS tokens in all, or one case.

    >>> from .ensembles import Slash
    >>> from .spec import Run
    >>> alike([Case(np.ones(1), Slash(lag, 1.0), 4, 1.0, 0, Run(skip=skip)) for lag, skip in [(0, 0), (1, 1), (2, 0)]])
    [[0, 2], [1]]
    """
    groups: dict[Hashable, list[list[int]]] = {}
    for n, case in enumerate(cases):
        cut = groups.setdefault(_kind(case), [[]])
        if len(cut[-1]) >= max(1, TOKENS // case.length):
            cut.append([])
        cut[-1].append(n)
    return [group for cut in groups.values() for group in cut]


def _kind(case: Case) -> Hashable:
    head = case.head
    one = (head, case.scale) if head.random or captured(case) else isinstance(head, Sink)
    return one, case.theta.tobytes(), case.length, case.window, case.run.skip, tuple(case.run.quantities)


def predicted(cases: Sequence[Case]) -> tuple[Values, Values]:
    """Values and errors in closed form, by quantity, of cases that are alike; the leading axis is the case's.

    A head without noise is predicted exactly, up to rounding; a random one by the moments of its
    parts (`predict.moments`); a captured one by its means alone, and its error is nan: unknown.

    >>> from .ensembles import Slash
    >>> from .spec import Run
    >>> case = Case(np.ones(1), Slash(0, 0.0), 2, 1.0, 0, Run(quantities=["sink"]))
    >>> predicted([case, case])[0]
    {'sink': array([0.75, 0.75])}
    """
    first = cases[0]
    if first.head.random:
        value, spread = _expected(first)
        return _repeated(value, len(cases)), _repeated(spread, len(cases))
    amplitude, logits, sink = curves(cases)
    seen = batch.profiles(logits, sink=sink, skip=first.run.skip, window=first.window,
                          received="received" in first.run.quantities)._asdict()
    error = np.full(len(cases), math.nan) if captured(first) else attention.rounding(amplitude, first.length)
    values: Values = {name: seen[name] for name in first.run.quantities}
    return values, {name: _known(error.reshape(-1, *(1,) * (value.ndim - 1)), value) for name, value in values.items()}


def _known(error: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The error by entry, nan where there is no value."""
    missing = np.isnan(value)
    return np.where(missing, np.nan, error) if missing.any() else np.broadcast_to(error, value.shape)


def _repeated(values: Values, count: int) -> Values:
    return {name: np.broadcast_to(value, (count, *np.shape(value))) for name, value in values.items()}


def _expected(case: Case) -> tuple[Values, Values]:
    """A random head through the moments of its parts."""
    wanted = case.run.quantities
    _, _, sink = curves([case])
    e = moments.expected(case.head.parts(case.length, case.theta), case.theta, case.length, scale=case.scale,
                         sink=None if sink is None else sink[0], skip=case.run.skip, window=case.window,
                         received="received" in wanted)._asdict()
    return {name: np.asarray(e[name]) for name in wanted}, {name: np.asarray(e[f"{name}_error"]) for name in wanted}


def curves(cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Amplitudes float64[N, B] and lag logits float64[N, T] of the mean heads, and key 0's logits where it is a sink.

    >>> from .ensembles import Slash
    >>> from .spec import Run
    >>> curves([Case(np.ones(1), Slash(0, 2.0), 2, 1.0, 0, Run())])[0]
    array([[2.]])
    """
    theta, length = cases[0].theta, cases[0].length
    mean, margins = _means([case.head for case in cases], theta)
    scaled = np.array([case.scale for case in cases])[:, None] * mean.q

    def curve(k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        product = scaled * k.conj()
        return np.abs(product), cosines.curves(product, theta, length)

    amplitude, logits = curve(mean.k)
    sink = None
    if margins is not None:
        sink = batch.sink_logits(logits, margins)
    elif mean.first_key is not None:
        sink = curve(mean.first_key)[1]
    return amplitude, logits, sink


def _means(heads: Sequence[Any], theta: np.ndarray) -> tuple[Mean, np.ndarray | None]:
    """Means of heads with or without a sink all, its arrays [N, B], or [B] for all; and the margins of sinks."""
    if isinstance(heads[0], Sink):
        inner, _ = _means([head.head for head in heads], theta)
        return inner, np.array([head.margin for head in heads])
    if all(isinstance(head, Factor) for head in heads):
        inner, _ = _means([head.head for head in heads], theta)
        factor, pairs = np.array([(head.factor, head.pairs) for head in heads]).T[..., None]
        return amplified(inner, gains(factor, pairs, theta.size)), None
    if all(isinstance(head, Slash) for head in heads):
        lag, strength = np.array([(head.lag, head.strength) for head in heads], dtype=np.float64).T[..., None]
        return slashes(lag, strength, theta), None
    q, k, first, _ = zip(*(head.mean(theta) for head in heads))
    return Mean(np.array(q), np.array(k), None if first[0] is None else np.array(first)), None


def captured(case: Case) -> bool:
    """Whether the head is a recorded one, whose simulation is its own scores.

    >>> from .ensembles import Slash
    >>> from .spec import Run
    >>> captured(Case(np.ones(1), Slash(0, 0.0), 2, 1.0, 0, Run()))
    False
    """
    head = case.head
    return isinstance(head.head if isinstance(head, Factor) else head, Captured)
