"""One point: the same case predicted in closed form and simulated, side by side.

The two wings meet here; nothing but the case is shared.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .case import Case
from .patterns import Profile
from .predict import attention as predict
from .predictions import Values, captured, curves, predicted
from .simulate import attention as simulate

Progress = Callable[[Iterable[int]], Iterable[int]]
KINDS = ("predicted", "error", "simulated", "stderr")


def measure(case: Case, progress: Progress = iter) -> Values:
    """All asked quantities of one case as `<quantity>_<predicted|error|simulated|stderr>`.

    slash is float64[T] by lag, received float64[T] by key, the others single numbers: `sink` is
    received[0], `entropy` and `participation` are means over the rows >= T // 2. error and stderr
    are nan where there is no estimate.

    >>> from pathlib import Path
    >>> from .case import build
    >>> from .spec import parse
    >>> case = build(parse({"rope": {"preset": "llama-3-8b"}, "run": {"length": 64},
    ...                     "head": {"kind": "slash", "lag": 3, "score": 0.5}}), Path("."))
    >>> float(measure(case)["slash_simulated"][3].round(12))
    0.5
    """
    values = {name: value[0] for name, value in measured([case], progress).items()}
    for name in case.run.quantities:
        for kind in KINDS[2:]:
            values.setdefault(f"{name}_{kind}", np.full(values[f"{name}_{KINDS[0]}"].shape, np.nan))
    return values


def measured(cases: Sequence[Case], progress: Progress = iter) -> Values:
    """`measure` of cases that are alike (`predictions.alike`), along a leading axis; without samples, no simulations.

    >>> from .ensembles import Slash
    >>> from .spec import Run
    >>> cases = [Case(np.ones(1), Slash(lag, 2.0), 2, 1.0, 0, Run(samples=0, quantities=["sink"])) for lag in (0, 1)]
    >>> measured(cases)["sink_predicted"].round(3)
    array([0.643, 0.857])
    """
    columns = dict(zip(KINDS, predicted(cases)))
    drawn = [simulated(case, progress) for case in cases if case.run.samples]
    if drawn:
        taken = np.array([case.run.samples > 0 for case in cases])
        for kind, one in zip(KINDS[2:], zip(*drawn)):
            columns[kind] = {name: np.full(value.shape, np.nan) for name, value in columns[KINDS[0]].items()}
            for name, value in columns[kind].items():
                value[taken] = [seen[name] for seen in one]
    return {f"{name}_{kind}": column[name] for kind, column in columns.items() for name in cases[0].run.quantities}


def simulated(case: Case, progress: Progress = iter) -> tuple[Values, Values]:
    """Means and standard errors over the samples of a case, by quantity.

    Replicate r draws its samples from SeedSequence(seed, spawn_key=(r,)) and from nothing else. A
    head that draws nothing is simulated once, with stderr 0; a captured one has none (nan). Needs a sample at least.

    >>> from .ensembles import Slash
    >>> from .spec import Run
    >>> case = Case(np.ones(1), Slash(0, 0.0), 2, 1.0, 0, Run(quantities=["sink"]))
    >>> simulated(case)
    ({'sink': array(0.75)}, {'sink': array(0.)})
    """
    run = case.run
    rng = _generator(case)
    samples = run.samples if case.head.random else 1
    mean: dict[str, Any] = {}
    square: dict[str, Any] = {}
    for n in progress(range(samples)):
        q, k, theta = case.head.sample(case.length, rng, case.theta)
        seen = simulate.profile(q, k, theta, scale=case.scale, skip=run.skip, window=case.window)
        for name, value in _readings(seen, run.quantities).items():
            step = value - mean.get(name, 0.0)                      # Welford's update
            mean[name] = mean.get(name, 0.0) + step / (n + 1)
            square[name] = square.get(name, 0.0) + step * (value - mean[name])
    if case.head.random:
        divisor = samples * (samples - 1) or math.nan
        stderr = {name: np.sqrt(value / divisor) for name, value in square.items()}
    else:
        stderr = {name: value * (math.nan if captured(case) else 0.0) for name, value in mean.items()}
    return {name: np.asarray(value) for name, value in mean.items()}, \
        {name: np.asarray(value) for name, value in stderr.items()}


def _generator(case: Case) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(case.run.seed, spawn_key=(case.run.replicate,)))


def _readings(seen: Profile, quantities: Iterable[str]) -> Values:
    half = len(seen.entropy) // 2
    every = {"slash": seen.slash, "sink": seen.received[0], "entropy": seen.entropy[half:].mean(),
             "participation": seen.participation[half:].mean(), "received": seen.received}
    return {name: np.asarray(every[name]) for name in quantities}


def rows(values: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The table of one point: slash at the five lags that score highest, and each single number.

    Highest as simulated, or as predicted where nothing was simulated.

    predicted, error, simulated, stderr; z = (predicted - simulated) / stderr, None where stderr is
    0 or unknown; agrees: |predicted - simulated| <= error + 5 stderr + 1e-9, None where error or
    stderr is unknown.                                                            (V-agrees)

    >>> one = {"sink_predicted": 0.5, "sink_error": 0.0, "sink_simulated": 0.5, "sink_stderr": 0.1}
    >>> rows({name: np.array(x) for name, x in one.items()})[0]["agrees"]
    True
    """
    table = []
    if "slash_simulated" in values:
        score = values["slash_simulated"]
        score = score if np.isfinite(score).any() else values["slash_predicted"]
        best = np.argsort(-score, kind="stable")[:min(5, np.isfinite(score).sum())]
        table += [_row("slash", int(lag), *(float(values[f"slash_{kind}"][lag]) for kind in KINDS)) for lag in best]
    for name in ("sink", "entropy", "participation"):
        if f"{name}_simulated" in values:
            table.append(_row(name, None, *(float(values[f"{name}_{kind}"]) for kind in KINDS)))
    return table


def _row(quantity: str, lag: int | None, value: float, error: float, mean: float, stderr: float) -> dict[str, Any]:
    return {"quantity": quantity, "lag": lag, "predicted": value, "error": error, "simulated": mean, "stderr": stderr,
            "z": (value - mean) / stderr if stderr > 0 else None,
            "agrees": agrees(value, error, mean, stderr)}


def agrees(predicted: float, error: float, simulated: float, stderr: float) -> bool | None:
    """The verdict of `rows`: None where the error or the standard error is unknown.

    >>> agrees(0.5, 0.0, 0.6, 0.01), agrees(0.5, math.nan, 0.6, 0.01)
    (False, None)
    """
    if not (math.isfinite(error) and math.isfinite(stderr)):
        return None
    return abs(predicted - simulated) <= error + 5 * stderr + 1e-9


class Portrait(NamedTuple):
    """What the pictures of one head need beyond its values."""

    lag: int                    # the lag that is predicted to score highest
    contribution: np.ndarray    # float64[B]: each pair's share of the logit at that lag
    average: np.ndarray         # float64[B]: each pair's mean logit over all lags
    predicted: np.ndarray       # float64[blocks, blocks]: score from query block to key block
    simulated: np.ndarray | None      # the same, of the first sample if there is one
    length: int


def portrait(case: Case, blocks: int = 256) -> Portrait:
    """Pooled attention maps and the contribution of each frequency pair, for pictures.

    >>> from .ensembles import Slash
    >>> from .spec import Run
    >>> portrait(Case(np.ones(1), Slash(1, 2.0), 8, 1.0, 0, Run())).lag
    1
    """
    mean, (each_amplitude, each_logits, each_sink) = case.head.mean(case.theta), curves([case])
    amplitude, logits, sink = each_amplitude[0], each_logits[0], None if each_sink is None else each_sink[0]
    phase = np.angle(mean.q * mean.k.conj())
    lag = int(np.nanargmax(predict.slash(logits, sink=sink, skip=min(1, case.length - 1), window=case.window)))
    blocks, simulated = min(blocks, case.length), None
    if case.run.samples:
        q, k, theta = case.head.sample(case.length, _generator(case), case.theta)
        simulated = simulate.pooled(q, k, theta, blocks, scale=case.scale, window=case.window)
    return Portrait(lag, predict.pair_logits(amplitude, phase, case.theta, lag),
                    predict.mean_pair_logits(amplitude, phase, case.theta, case.length),
                    predict.pooled(logits, blocks, sink=sink, window=case.window), simulated, case.length)
