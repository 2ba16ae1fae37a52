"""Checking claims: run every leg, the printed form and the control, and say what came out."""

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import hypothesis
import numpy as np

from .claim import (AGREES, CORRECTED, HOLDS, PROVED, REFUTED, SPOT_CHECKED, UNTRUSTWORTHY, Claim, Identity, Inequality,
                    Leg, Simulation)
from .registry import find

TRIALS = 100
SIGMAS = 5.0       # standard errors that a simulation may lie beyond the error of its prediction
TIE = 1e-9         # relative difference that a proved formula may have from the library's


class Verdict(NamedTuple):
    """What one leg came to: status, inputs tried, tightest ratio seen, shrunk counterexample, and points to draw."""

    status: str
    trials: int = 0
    tightest: float | None = None
    counterexample: str | None = None
    curve: Mapping[str, list[float]] | None = None


class Outcome(NamedTuple):
    """What a claim came to, see `run`."""

    claim: str
    status: str
    verdicts: Mapping[str, Verdict]
    control: str | None           # what was rejected; None where it was not
    printed: Verdict | None
    tie: float | None
    seconds: float


class _Refuted(Exception):
    """Raised inside a property test so that hypothesis shrinks the draw."""


def run(claim: Claim, trials: int = TRIALS, *, full: bool = False) -> Outcome:
    """All legs of a claim, each property on `trials` draws (the same ones each time), and its control.

    The status is refuted if any leg refutes, else the strongest of proved > spot-checked > agrees >
    holds; holds-as-corrected where the printed form is refuted too; untrustworthy where the control is
    not rejected or the proved formula is not the library's.

    >>> run(find(("rope-shift",))[0], trials=5).status
    'proved'
    """
    start = time.perf_counter()
    legs = claim.legs | ({"full": claim.full} if full and claim.full is not None else {})
    verdicts = {name: judge(leg, trials) for name, leg in legs.items()}
    printed = None if claim.printed is None else judge(claim.printed, trials)
    rejected = judge(claim.control.leg, max(trials, TRIALS)).status == REFUTED
    tie = None if claim.tie is None else float(claim.tie())
    found = {verdict.status for verdict in verdicts.values()}
    status = next(name for name in (REFUTED, PROVED, SPOT_CHECKED, AGREES, HOLDS) if name in found)
    if printed is not None and printed.status == REFUTED and status != REFUTED:
        status = CORRECTED
    if not rejected or (tie is not None and not tie <= TIE):
        status = UNTRUSTWORTHY
    return Outcome(claim.id, status, verdicts, claim.control.what if rejected else None, printed, tie,
                   time.perf_counter() - start)


def judge(leg: Leg, trials: int = TRIALS) -> Verdict:
    """What one leg comes to.

    >>> judge(lambda: "proved").status
    'proved'
    """
    if isinstance(leg, Simulation):
        return _simulated(leg)
    if isinstance(leg, Inequality | Identity):
        return _searched(leg, trials)
    return Verdict(leg())


def _simulated(leg: Simulation) -> Verdict:
    value, error = (np.broadcast_to(np.asarray(x, dtype=float), np.shape(leg.x)) for x in leg.predict())
    mean, stderr = (np.broadcast_to(np.asarray(x, dtype=float), np.shape(leg.x))
                    for x in leg.simulate(np.random.default_rng(0)))
    allowed = error + SIGMAS * stderr + 1e-9
    off = np.abs(value - mean)
    curve = {"x": leg.x, "predicted": value, "error": error, "simulated": mean, "stderr": stderr}
    points = {name: np.asarray(x, dtype=float).tolist() for name, x in curve.items()}
    if (off <= allowed).all():
        return Verdict(AGREES, curve=points, tightest=float((off / allowed).max()))
    worst = int(np.argmax(np.where(np.isfinite(off), off / allowed, np.inf)))
    return Verdict(REFUTED, curve=points, counterexample=f"{leg.x_name} = {leg.x[worst]:g}: predicted "
                   f"{value[worst]:.6g} ± {error[worst]:.2g}, simulated {mean[worst]:.6g} ± {stderr[worst]:.2g}")


def _searched(leg: Inequality | Identity, trials: int) -> Verdict:
    seen = {"count": 0, "tightest": -math.inf}
    failed: dict[str, Any] = {}

    @hypothesis.settings(max_examples=trials, database=None, derandomize=True, deadline=None,
                         suppress_health_check=list(hypothesis.HealthCheck), report_multiple_bugs=False,
                         phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate, hypothesis.Phase.shrink],
                         verbosity=hypothesis.Verbosity.quiet)
    @hypothesis.given(**leg.draw)
    def trial(**draw: Any) -> None:
        left, right = leg.sides(**draw)
        holds, ratio = leg.excess(left, right)
        if not holds:
            failed.update(draw=draw, left=left, right=right, equal=isinstance(leg, Identity))
            raise _Refuted
        seen["count"] += 1
        seen["tightest"] = max(seen["tightest"], ratio)

    if leg.tight is not None:
        trial = hypothesis.example(**leg.tight)(trial)
    try:
        trial()
    except _Refuted:
        return Verdict(REFUTED, int(seen["count"]), counterexample=_shown(failed))
    tightest = seen["tightest"]
    return Verdict(HOLDS, int(seen["count"]), tightest=tightest if math.isfinite(tightest) else None)


def _shown(failed: Mapping[str, Any]) -> str:
    """The shrunk draw and the two sides, on one line."""
    draw = ", ".join(f"{name} = {value!r}" for name, value in failed["draw"].items())
    left, right = np.broadcast_arrays(np.asarray(failed["left"]), np.asarray(failed["right"]))
    over = left - right
    worst = int(np.argmax(np.abs(over) if failed["equal"] or np.iscomplexobj(over) else over))
    return f"{draw}: left {left.flat[worst]:.6g}, right {right.flat[worst]:.6g}"


def run_all(claims: list[Claim], trials: int = TRIALS, *, full: bool = False, workers: int = 1) -> Iterator[Outcome]:
    """Outcomes in the order of the claims, on so many processes.

    >>> [outcome.claim for outcome in run_all(find(("rope-shift",)), trials=5)]
    ['rope-shift']
    """
    one = partial(_by_id, trials=trials, full=full)
    if workers < 2 or len(claims) < 4:                 # a process takes seconds to start
        yield from map(one, [claim.id for claim in claims])
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, [claim.id for claim in claims])


def _by_id(name: str, *, trials: int, full: bool) -> Outcome:        # a claim holds functions, which do not travel
    return run(find((name,))[0], trials, full=full)


def row(claim: Claim, outcome: Outcome) -> dict[str, Any]:
    """One row of `ropesim check --json`.

    >>> claim = find(("rope-shift",))[0]
    >>> row(claim, run(claim, trials=5))["expected"]
    'proved'
    """
    properties = [verdict for verdict in outcome.verdicts.values() if verdict.trials]
    known = [verdict.tightest for verdict in properties if verdict.tightest is not None]
    every = [*outcome.verdicts.values(), *([outcome.printed] if outcome.printed else [])]
    counterexamples = [verdict.counterexample for verdict in every if verdict.counterexample]
    return {"id": claim.id, "source": claim.source, "label": claim.label, "status": outcome.status,
            "expected": claim.expected, "legs": list(outcome.verdicts),
            "trials": sum(verdict.trials for verdict in properties), "tightest": max(known, default=None),
            "control": outcome.control, "seconds": round(outcome.seconds, 3),
            "counterexample": next(iter(counterexamples), None)}
