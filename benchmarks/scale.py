"""What a point of a sweep costs against tokens, pairs and samples, and what 10^9 points would cost."""

from pathlib import Path
from typing import Any

from ropesim import grid, sweep

from .timing import Line, seconds, told

WORKERS = 1000
FAR = 10 ** 9
HERE = Path(".")


def lines() -> list[Line]:
    usual = cost(1024, 64, 0)
    noisy = cost(1024, 64, 16)
    found = [told(f"predicted point, T = {length}, 64 pairs", 1e3 * cost(length, 64, 0), "ms")
             for length in (256, 1024, 4096, 16384, 65536, 1 << 20)]
    found += [told(f"predicted point, T = 1024, {pairs} pairs", 1e3 * cost(1024, pairs, 0), "ms")
              for pairs in (16, 128)]
    found += [told(f"noisy point, 16 samples, T = {length}, 64 pairs", 1e3 * cost(length, 64, 16), "ms")
              for length in (256, 1024, 4096)]
    found += [told(f"noisy point, {samples} samples, T = 1024, 64 pairs", 1e3 * cost(1024, 64, samples), "ms")
              for samples in (1, 4, 64)]
    found += [told("the same, one of 8 replicates", 1e3 * cost(1024, 64, 16, replicates=8), "ms")]
    return found + [
        told(f"10^9 predicted points, T = 1024, 64 pairs, {WORKERS} workers", usual * FAR / WORKERS / 60, "minutes"),
        told(f"10^9 noisy points of 16 samples, the same, {WORKERS} workers", noisy * FAR / WORKERS / 3600, "hours")]


def cost(length: int, pairs: int, samples: int, *, replicates: int = 1) -> float:
    """Seconds a point: of a block of a chunk's size where points are predicted only, else of a few."""
    head: dict[str, Any] = {"kind": "slash", "lag": 7, "strength": 0.2, "noise": 0.1 if samples else 0.0}
    count = max(1, min(256, (1 << 20) // length)) if not samples else 1
    points = grid.grid({"rope": {"kind": "geometric", "head_dim": 2 * pairs, "base": 5e5}, "head": head,
                        "run": {"length": length, "samples": samples, "lags": [7]},
                        "sweep": {"head.strength": {"linspace": [0.1, 0.3, count]},
                                  "run.replicate": {"range": [replicates]}}})
    what = sweep.layout(points, HERE)
    every = [points.tables(n) for n in range(points.size)]
    return seconds(lambda: sweep.block(every, HERE, what), rounds=3)[0] / points.size
