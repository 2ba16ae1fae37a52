"""Are the stated errors right? Random heads of every family, predicted and simulated, row by row.

    python -m benchmarks.calibration [number of heads, default 500]

Heads are drawn with NumPy from seed 0: families equally likely, noise uniform in 0 .. 2, T
log-uniform in 16 .. 16384, sink (margin normal around 4) and window (log-uniform in 4 .. T) each
with probability 1/2, lag log-uniform below T / 2, strength uniform in 0 .. 3, 32 pairs of base 1e4,
16 samples. The rows are those of `run --json`.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ropesim.case import build
from ropesim.point import KINDS, predicted, rows, simulated
from ropesim.spec import parse

PAIRS = 32


def spec(rng: np.random.Generator, families: dict[str, Any]) -> dict[str, Any]:
    length = int(np.exp(rng.uniform(np.log(16), np.log(16384))))
    kind = str(rng.choice(list(families)))
    lag = int(np.exp(rng.uniform(0, np.log(length / 2))))
    head = {"kind": kind, **families[kind](rng, lag, length), "noise": float(rng.uniform(0, 2))}
    run: dict[str, Any] = {"length": length, "samples": 16, "seed": int(rng.integers(1 << 30))}
    if rng.random() < 0.5:
        head["sink"] = {"margin": float(rng.normal(4, 2))}
    if rng.random() < 0.5:
        run["window"] = int(np.exp(rng.uniform(np.log(4), np.log(length))))
    return {"rope": {"kind": "geometric", "head_dim": 2 * PAIRS, "base": 1e4}, "head": head, "run": run}


def slash(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return {"lag": lag, "strength": float(rng.uniform(0, 3))}


def constant(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return {"amplitude": rng.exponential(0.5, PAIRS).tolist(), "phase": rng.uniform(-np.pi, np.pi, PAIRS).tolist()}


def gaussian(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return slash(rng, lag, length) | {"sigma_q": float(rng.uniform(0, 1)), "sigma_k": float(rng.uniform(0, 1)),
                                      "correlation": float(rng.uniform(-1, 1))}


def cone(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return slash(rng, lag, length) | {"cosine": float(rng.uniform(0.05, 0.95))}


def massive(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return slash(rng, lag, length) | {"massive_q": float(rng.uniform(0, 10)), "massive_k": float(rng.uniform(0, 10)),
                                      "pair": int(rng.integers(PAIRS)), "sigma_q": float(rng.uniform(0, 1)),
                                      "sigma_k": float(rng.uniform(0, 1))}


def ar1(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return slash(rng, lag, length) | {"rho_q": float(rng.uniform(0, 1)), "rho_k": float(rng.uniform(0, 1)),
                                      "sigma_q": float(rng.uniform(0, 1)), "sigma_k": float(rng.uniform(0, 1))}


def random_walk(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return slash(rng, lag, length) | {"step": float(rng.uniform(0, 2) / np.sqrt(length))}


def seasonal(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return slash(rng, lag, length) | {"period": int(np.exp(rng.uniform(np.log(2), np.log(length)))),
                                      "sigma_q": float(rng.uniform(0, 1)), "sigma_k": float(rng.uniform(0, 1))}


def jumping(rng: np.random.Generator, lag: int, length: int) -> dict[str, Any]:
    return slash(rng, lag, length) | {"rate": float(rng.uniform(0, 1)), "gain": float(rng.uniform(0, 3)),
                                      "sigma_k": float(rng.uniform(0, 1)), "reach": int(np.exp(rng.uniform(0, 5)))}


FAMILIES = {"slash": slash, "constant": constant, "gaussian": gaussian, "cone": cone, "massive": massive, "ar1": ar1,
            "random-walk": random_walk, "seasonal": seasonal, "jumping": jumping}


def main(count: int) -> None:
    rng = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    predicting = 0.0
    for _ in range(count):
        tables = spec(rng, FAMILIES)
        case = build(parse(tables), Path("."))
        start = time.perf_counter()
        values, error = predicted(case)
        predicting += time.perf_counter() - start
        means, stderr = simulated(case)
        columns = zip(KINDS, (values, error, means, stderr))
        seen = {f"{name}_{kind}": column[name] for kind, column in columns for name in case.run.quantities}
        found += [row | {"kind": tables["head"]["kind"], "spec": tables} for row in rows(seen)]
    print(f"{predicting / count:.2f} s a prediction")
    report(found)


def report(found: list[dict[str, Any]]) -> None:
    stated = [row for row in found if row["agrees"] is not None]
    print(f"{len(found)} rows, {len(stated)} with a stated error; inside error + 5 s.e.:")
    share("all", stated)
    for key in ("kind", "quantity"):
        for name in sorted({row[key] for row in stated}):
            share(name, [row for row in stated if row[key] == name])
    scores = [row["error"] for row in stated if row["quantity"] in ("slash", "sink")]
    relative = [row["error"] / row["predicted"] for row in stated if row["predicted"] > 0
                and (row["predicted"] > 0.05 or row["quantity"] in ("entropy", "participation"))]
    print(f"median error of slash and sink {np.median(scores):.2g} (<= .005), "
          f"relative {np.median(relative):.2g} (<= .05); the worst ten:")
    for row in sorted(stated, key=excess, reverse=True)[:10]:
        head = {k: v for k, v in row["spec"]["head"].items() if not isinstance(v, list)}
        print(f"  {row['quantity']} {row['lag']}: {row['predicted']:.5f} ± {row['error']:.2g}, simulated "
              f"{row['simulated']:.5f} ± {row['stderr']:.2g}; {head} {row['spec']['run']}")


def excess(row: dict[str, Any]) -> float:
    return float(abs(row["predicted"] - row["simulated"]) / (row["error"] + 5 * row["stderr"] + 1e-9))


def share(name: str, stated: list[dict[str, Any]]) -> None:
    print(f"  {name:<16}{np.mean([row['agrees'] for row in stated]):.3f} of {len(stated)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
