"""Are the stated errors of `predict.mixing` right? Random stacks, predicted and simulated; and how long a study takes.

    python -m benchmarks.mixing [number of stacks, default 100] [seed, default 0]

Stacks are drawn with NumPy from the seed: L uniform in 1 .. 16, H in 1 .. 8, T log-uniform in 4 .. 96, d in 24 .. 160;
logits uniform (1/3) or normal, tau uniform in 0 .. 4; half of softmax rows with a mass uniform in 0 .. 1 or a margin
normal around 2; a third each of the kinds; window, documents (half of them with a shared first token), a lone row with
probability 1/4 each; value 0, 1 or uniform; rho 0 or uniform; gain uniform in 0.1 .. 2; norms "pre" (1/2), "post",
"none"; head_norm with probability 1/4. 48 samples each.
"""

import sys
import time
from typing import Any

import numpy as np

from ropesim.predict import depth
from ropesim.predict.mixing import expected, required
from ropesim.simulate.mixing import run
from ropesim.stacks import KINDS, Rows, Stack

SAMPLES = 48
MODELS = {"Llama 3.1 8B": 32, "Llama 3.1 70B": 80, "Llama 3.1 405B": 126, "Gemma 7B": 28, "Llama 2 7B": 32}


def rows(rng: np.random.Generator) -> Rows:
    kind = str(rng.choice(KINDS))
    given: dict[str, Any] = {"kind": kind, "tau": float(rng.choice([0.0, *rng.uniform(0, 4, 2)]))}
    if rng.random() < 0.25 and kind == "softmax":
        given["mass"] = float(rng.uniform())
    elif rng.random() < 0.4:
        given["margin"] = float(rng.normal(2, 2))
    return Rows(**given)


def stack(rng: np.random.Generator) -> Stack:
    length = int(np.exp(rng.uniform(np.log(4), np.log(97))))
    given: dict[str, Any] = {}
    if rng.random() < 0.25:
        given["window"] = int(rng.integers(1, length + 1))
    if rng.random() < 0.25:
        given |= {"document": int(rng.integers(1, length + 1)), "shared": bool(rng.random() < 0.5)}
    if rng.random() < 0.25:
        given["alone"] = (int(rng.integers(length)),)
    return Stack(layers=int(rng.integers(1, 17)), heads=int(rng.integers(1, 9)), length=length,
                 width=int(np.exp(rng.uniform(np.log(24), np.log(160)))), rows=rows(rng),
                 value=float(rng.choice([0.0, 1.0, rng.uniform(0, 1.5)])),
                 rho=float(rng.choice([0.0, rng.uniform()])), gain=float(rng.uniform(0.1, 2)),
                 norm=str(rng.choice(["pre", "pre", "post", "none"])), head_norm=bool(rng.random() < 0.25), **given)


def compared(case: Stack, seed: int) -> dict[str, np.ndarray]:
    """float64[n, 4] of predicted, error, simulated, stderr of every number of each quantity."""
    values, errors = expected(case)
    means, stderr = run(case, SAMPLES, seed)
    return {name: np.stack([column[name].ravel() for column in (values, errors, means, stderr)], axis=1)
            for name in values}


def agrees(found: np.ndarray, sigmas: float = 5) -> np.ndarray:
    value, error, mean, stderr = found.T
    return abs(value - mean) <= error + sigmas * stderr + 1e-9


def calibrate(count: int, seed: int) -> None:
    rng, start = np.random.default_rng(seed), time.perf_counter()
    found: dict[str, list[np.ndarray]] = {}
    worst = []
    for k in range(count):
        case = stack(rng)
        for name, numbers in compared(case, k).items():
            found.setdefault(name, []).append(numbers)
            share = agrees(numbers).mean()
            if share < 0.95:
                excess = abs(numbers[:, 0] - numbers[:, 2]) / (numbers[:, 1] + 5 * numbers[:, 3] + 1e-9)
                worst.append((float(excess.max()), name, float(share), case))
    print(f"{count} stacks of {SAMPLES} samples in {time.perf_counter() - start:.0f} s; of all numbers, of the stacks' "
          "means, inside error + 5 s.e.; of all, + 2 s.e.; of numbers above .05, median and 90 % relative error")
    for name in (*found, "all"):
        parts = [part for key in found for part in found[key]] if name == "all" else found[name]
        every = np.concatenate(parts)
        print(f"  {name:<13}{agrees(every).mean():.4f} of {len(every):<7}"
              f"{np.mean([agrees(part).mean() for part in parts]):.4f} {agrees(every, 2).mean():.4f}", *_sizes(every))
    for excess, name, share, case in sorted(worst, key=lambda item: -item[0])[:10]:
        print(f"  {excess:.2f} {name} {share:.2f} {case}")


def _sizes(numbers: np.ndarray) -> list[str]:
    some = numbers[numbers[:, 0] > 0.05]
    relative = some[:, 1] / some[:, 0]
    return [f"{np.median(relative):.2g}", f"{np.quantile(relative, 0.9):.2g}"]


def study(layers: int = 126, length: int = 2048) -> float:
    """Seconds for the closed forms of a deep stack: collapse, first-token mass by layer, path sums, least sink."""
    start = time.perf_counter()
    depth.collapse_depth(length, mixing=0.3)
    for layer in range(layers + 1):
        depth.first_mass(length, layer, mixing=0.3)
    depth.sensitivity(length, layers, heads=8)
    required(layers, length, mixing=0.3, kept=0.1)
    return time.perf_counter() - start


def main(count: int, seed: int) -> None:
    study(4, 16)
    print(f"126 layers, 2048 tokens: {study():.2f} s")
    for name, layers in MODELS.items():
        for length in (2048, 131072 if name.startswith("Llama 3") else 8192):
            sink = required(layers, length, mixing=0.3, kept=0.1)
            print(f"  {name:<15} L {layers:<4}T {length:<7} mass {sink.mass:.3f}, margin {sink.row_margin:.2f} in the "
                  f"last row, {sink.score_margin:.2f} on average")
    start = time.perf_counter()
    expected(Stack(layers=4, length=1024))
    print(f"expected() of 4 layers, 1024 tokens: {time.perf_counter() - start:.2f} s")
    calibrate(count, seed)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
