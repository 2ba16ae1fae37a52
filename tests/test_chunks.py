import math
import os
import pickle
import platform
import signal
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, strategies as st
from threadpoolctl import threadpool_info

from ropesim import chunks as module
from ropesim.chunks import chunked, computed, regions, results
from ropesim.grid import grid
from ropesim.sweep import Layout, block, layout

HERE = Path(".")
SHAPES = st.lists(st.integers(1, 9), max_size=4).map(tuple)


def tables(swept=None, **run):
    base = {"rope": {"kind": "custom", "theta": [1.0, 0.1]}, "head": {"kind": "slash", "lag": 3, "strength": 2.0},
            "run": {"length": 8, **run}}
    return base | ({"sweep": swept} if swept else {})


def grid_of(shape):
    """A grid of this shape; its fields mean nothing."""
    return grid({"sweep": {f"a.x{n}": {"range": [size]} for n, size in enumerate(shape)}} if shape else {})


def inside(region, shape):
    return np.arange(math.prod(shape)).reshape(shape)[region].ravel().tolist()


# Chunks

@given(SHAPES, st.integers(1, 80))
@example((), 1)
@example((3, 1, 4), 4)
def test_chunks_hold_every_point_once_and_never_more_than_asked_for(shape, most):
    chunk = chunked(grid_of(shape), Layout(("sink",), np.arange(8), 8, ()), most)
    parts = [inside(region, shape) for region in regions(shape, chunk)]
    assert sorted(n for part in parts for n in part) == list(range(math.prod(shape)))
    assert all(part == sorted(part) and 1 <= len(part) <= most for part in parts)
    assert [part[0] for part in parts] == sorted(part[0] for part in parts)


@given(SHAPES, st.integers(1, 80))
def test_a_chunk_is_a_run_of_whole_rows(shape, most):
    chunk = chunked(grid_of(shape), Layout(("sink",), np.arange(8), 8, ()), most)
    broken = [n for n, (step, size) in enumerate(zip(chunk, shape)) if step < size]
    assert all(step == 1 for step in chunk[:max(broken, default=0)])
    if broken:                                    # one more along the last dimension that is cut would be too many
        assert math.prod(chunk) // chunk[broken[-1]] * (chunk[broken[-1]] + 1) > most


def test_chunks_are_small_in_memory_in_points_and_beside_the_whole():
    what = Layout(("slash",), np.arange(1 << 20), 1 << 20, ())
    assert what.bytes == 8 * 4 << 20 and chunked(grid_of((1000,)), what) == (module.BYTES // what.bytes,)
    assert chunked(grid_of((10, 8000)), Layout(("sink",), np.arange(8), 8, ())) == (1, module.POINTS)
    assert chunked(grid_of((80,)), Layout(("sink",), np.arange(8), 8, ())) == (10,)
    huge = Layout(("slash",), np.arange(1 << 24), 1 << 24, ())
    assert chunked(grid_of((9,)), huge) == (1,)


# Chunks on executors

class AtOnce(Executor):
    """Computes in submit; counts."""

    def __init__(self, fault=None):
        self.fault, self.count = fault, 0

    def submit(self, function, /, *given, **named):
        self.count += 1
        future = Future()
        if self.fault is None:
            future.set_result(function(*given, **named))
        else:
            future.set_exception(self.fault)
        return future


@pytest.fixture
def twelve():
    points = grid(tables({"head.strength": {"linspace": [0, 1, 12]}}, quantities=["sink"]))
    return points, HERE, layout(points, HERE), regions(points.shape, (2,))


def test_every_executor_gives_every_chunk_once(twelve):
    here = list(results(*twelve, None))
    with ThreadPoolExecutor(3) as threads:
        for executor in (AtOnce(), threads):
            found = sorted(results(*twelve, executor), key=lambda one: one[0][0].start)
            assert [region for region, _ in found] == twelve[3]
            for (_, mine), (_, theirs) in zip(here, found, strict=True):
                assert all(theirs.block.values[name].tobytes() == rows.tobytes()
                           for name, rows in mine.block.values.items())


def test_what_is_repeated_is_sent_once_and_comes_back_whole():
    points = grid(tables({"head.strength": {"linspace": [0, 1, 12]}}, samples=0, length=512, quantities=["slash"]))
    what, whole = layout(points, HERE), (slice(0, 12),)
    sent = pickle.dumps(computed(points.part(whole), HERE, what))
    assert len(sent) < 1.1 * 8 * 12 * 512                              # one of four such arrays
    for executor in (None, AtOnce()):
        (_, found), = results(points, HERE, what, [whole], executor)
        for name, rows in block(points.part(whole), HERE, what).values.items():
            assert found.block.values[name].shape == rows.shape == (12, 512)
            assert found.block.values[name].tobytes() == rows.tobytes()


def test_a_chunk_says_where_it_was_computed(twelve):
    for executor in (None, AtOnce()):
        _, found = next(results(*twelve, executor))
        assert (found.host, found.machine) == (platform.node(), module.machine())


def test_a_machine_is_its_system_processor_and_versions():
    words = module.machine().split()
    assert words[:2] == [platform.system(), platform.machine()]
    assert {"python", platform.python_version(), "numpy", np.__version__, "scipy", "numba"} <= set(words)


def test_a_processor_that_blas_takes_for_another_makes_another_machine():
    kinds = {library.get("architecture") for library in threadpool_info() if library["internal_api"] == "openblas"}
    if not kinds or platform.machine() != "x86_64":
        pytest.skip("no OpenBLAS of x86-64")
    other = "Prescott" if "Nehalem" in kinds else "Nehalem"
    found = subprocess.run([sys.executable, "-c", "from ropesim.chunks import machine; print(machine())"], text=True,
                           env=os.environ | {"OPENBLAS_CORETYPE": other}, capture_output=True, check=True).stdout
    assert f" {other} " in found and found.strip() != module.machine()


def test_no_more_chunks_than_asked_for_are_with_the_executor(twelve):
    executor = AtOnce()
    for taken, _ in enumerate(results(*twelve, executor, ahead=3), 1):
        assert executor.count <= taken + 2
    assert taken == executor.count == 6


@pytest.mark.parametrize("fault", [BrokenExecutor("gone"), MemoryError("much")])
def test_a_worker_that_dies_is_a_fault_of_the_environment(twelve, fault):
    with pytest.raises((OSError, MemoryError), match="lost the workers or their scheduler .gone.|much"):
        list(results(*twelve, AtOnce(fault)))


@pytest.mark.parametrize("executor", [None, AtOnce()])
def test_an_interrupt_lets_chunks_in_flight_finish_and_is_raised_then(twelve, executor):
    before, seen = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt):
        for n, (region, _) in enumerate(results(*twelve, executor, ahead=3)):
            seen.append(region)
            if n == 1:
                signal.raise_signal(signal.SIGINT)
    in_flight = 0 if executor is None else 1
    assert len(seen) == 2 + in_flight and len({region[0].start for region in seen}) == len(seen)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_is_raised_at_once(twelve):
    chunks = results(*twelve, AtOnce(), ahead=3)
    next(chunks)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    chunks.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_chunks_are_computed_in_threads_other_than_the_main_one_too(twelve):
    found = []
    thread = threading.Thread(target=lambda: found.extend(results(*twelve, None)))
    thread.start()
    thread.join()
    assert len(found) == 6
