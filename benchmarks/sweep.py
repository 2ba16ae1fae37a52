"""Sweeps: what a point costs beyond its kernels, against a loop of single profiles, and what a second worker brings."""

import tempfile
import time
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from ropesim import case, chunks, grid, point, pool, predictions, spec, store, sweep
from ropesim.predict import attention, batch

from .timing import Line, at_least, at_most, seconds, told

POINTS, LENGTH = 10_000, 1024
HERE = Path(".")


def lines() -> list[Line]:
    return analytic([]) + analytic(["slash", "sink", "entropy", "participation", "received"]) + samples() + workers()


def tables(length: int, head: dict[str, Any], swept: dict[str, Any], **run: Any) -> dict[str, Any]:
    return {"rope": {"preset": "llama-3-8b"}, "run": {"length": length, **run},
            "head": {"kind": "slash", "lag": 7, "strength": 0.2, **head}, "sweep": swept}


def analytic(quantities: list[str]) -> list[Line]:
    """10,000 points of 64 pairs, predicted only, in the chunks that the sweep chooses."""
    swept = {"head.lag": {"range": [100]}, "head.strength": {"linspace": [0.0, 0.3, POINTS // 100]}}
    points = grid.grid(tables(LENGTH, {}, swept, samples=0, **({"quantities": quantities} if quantities else {})))
    what = sweep.layout(points, HERE)
    regions = chunks.regions(points.shape, chunks.chunked(points, what))
    cases = [case.build(spec.parse(points.tables(n)), HERE) for n in range(points.size)]
    theta = cases[0].theta
    amplitude = np.abs([one.head.mean(theta).q for one in cases])
    phase = np.angle([one.head.mean(theta).q for one in cases])
    received = "received" in quantities

    def blocks() -> None:
        for region in regions:
            sweep.block(points.part(region), HERE, what)

    def kernels() -> None:
        for start in range(0, POINTS, predictions.TOKENS // LENGTH):
            some = slice(start, start + predictions.TOKENS // LENGTH)
            batch.profiles(attention.lag_logits(amplitude[some], phase[some], theta, LENGTH), received=received)

    def loop() -> None:
        for a, p in zip(amplitude, phase):
            attention.profile(attention.lag_logits(a, p, theta, LENGTH))

    whole, inner, slow = seconds(blocks, kernels, loop, rounds=3)
    name = f"sweep of {POINTS} predicted points, T = {LENGTH}, 64 pairs, {'with' if received else 'without'} received"
    found = [at_least(f"{name}: loop of profile / sweep", slow / whole, 2 if received else 20),
             told(f"{name}: loop of profile / kernels alone", slow / inner, "x"),
             at_most(f"{name}: beyond the kernels, a point", (whole - inner) / POINTS * 1e6, 20, "us")]
    if not received:
        found += [told(f"the same: writing the store, a point ({what} of four arrays)",
                       (stored(swept, **run) - whole) / POINTS * 1e6, "us")
                  for what, run in (("1024 lags", {}), ("one lag", {"lags": [7]}))]
    return found


def stored(swept: dict[str, Any], **run: Any) -> float:
    """Seconds of the sweep into a new store, the best of three."""
    taken = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            store.run(tables(LENGTH, {}, swept, samples=0, **run), HERE, Path(folder) / "a.zarr")
            taken.append(time.perf_counter() - start)
    return min(taken)


def samples() -> list[Line]:
    """What batching replicates could save: a sample's time over that of its draws, products and exponentials alone."""
    found = []
    for length in (64, 256, 1024):
        given = grid.grid(tables(length, {"noise": 0.1}, {"run.seed": [0]}, samples=32)).tables(0)
        one = case.build(spec.parse(given), HERE)
        rng, count = np.random.default_rng(0), min(4096 // length, 32)
        q, k = rng.standard_normal((2, count, length, 2 * one.theta.size))

        def least() -> None:
            for _ in range(32 // count):
                rng.standard_normal((2, *q.shape))
                np.exp(q @ k.swapaxes(1, 2))
        ours, unit = seconds(lambda: point.simulated(one), least)
        found.append(told(f"simulated point, T = {length}: ours / draws, products, exp, {count} samples a call",
                          ours / unit, "x"))
    return found


def workers() -> list[Line]:
    """A simulated sweep of half a minute or more, computed once by one worker and once by two."""
    given = tables(2048, {"noise": 0.1}, {"run.replicate": {"range": [4]}, "head.lag": {"range": [1, 9]}}, samples=40)
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, 2):
            with pool.processes(count) as executor:
                started(executor, count)
                start = time.perf_counter()
                store.run(given, HERE, Path(folder) / f"{count}.zarr", executor=executor, ahead=2 * count)
                taken.append(time.perf_counter() - start)
    one, two = taken
    return [at_least("simulated sweep of 32 points: seconds of one worker", one, 30, "s"),
            at_least("the same: one worker / two workers", one / two, 1.7)]


def started(executor: Executor, count: int) -> None:
    """Every worker has loaded what it needs."""
    for future in [executor.submit(sweep.warm) for _ in range(4 * count)]:
        future.result()
