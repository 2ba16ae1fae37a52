import math
import signal
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, strategies as st
from threadpoolctl import threadpool_info

from ropesim import sweep
from ropesim.case import build
from ropesim.errors import RopesimError
from ropesim.grid import grid
from ropesim.point import measure
from ropesim.spec import parse
from ropesim.sweep import Layout, block, chunked, inside, layout, plan, put, regions, results

HERE = Path(".")
SHAPES = st.lists(st.integers(1, 9), max_size=4).map(tuple)


def tables(swept=None, **run):
    base = {"rope": {"kind": "custom", "theta": [1.0, 0.1]}, "head": {"kind": "slash", "lag": 3, "strength": 2.0},
            "run": {"length": 8, **run}}
    return base | ({"sweep": swept} if swept else {})


def grid_of(shape):
    """A grid of this shape; its fields mean nothing."""
    return grid({"sweep": {f"a.x{n}": {"range": [size]} for n, size in enumerate(shape)}} if shape else {})


def captured(tmp_path, lengths):
    for length in lengths:
        x = np.random.default_rng(length).normal(size=(1, 1, length, 4))
        np.savez(tmp_path / f"{length}.npz", q=x, k=x, theta=np.array([1.0, 0.1]), scale=0.5, layout="half")
    return {"head": {"kind": "captured", "layer": 0, "head": 0},
            "sweep": {"head.file": [f"{length}.npz" for length in lengths]}}


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


@given(st.data(), SHAPES)
def test_the_points_of_a_region_are_those_of_an_array_of_that_shape(data, shape):
    chunk = tuple(data.draw(st.integers(1, size)) for size in shape)
    every = np.arange(math.prod(shape)).reshape(shape)
    for region in regions(shape, chunk):
        assert inside(region, shape) == every[region].ravel().tolist()


def test_chunks_are_small_in_memory_in_points_and_beside_the_whole():
    what = Layout(("slash",), np.arange(1 << 20), 1 << 20, ())
    assert what.bytes == 8 * 4 << 20 and chunked(grid_of((1000,)), what) == (sweep.BYTES // what.bytes,)
    assert chunked(grid_of((10, 1000)), Layout(("sink",), np.arange(8), 8, ())) == (1, sweep.POINTS)
    assert chunked(grid_of((80,)), Layout(("sink",), np.arange(8), 8, ())) == (10,)
    huge = Layout(("slash",), np.arange(1 << 24), 1 << 24, ())
    assert chunked(grid_of((9,)), huge) == (1,)


# Layouts

def test_the_layout_holds_the_longest_of_the_swept_lengths():
    what = layout(grid(tables({"run.length": [4, 16, 8]}, quantities=["slash", "received", "sink"])), HERE)
    assert (what.length, what.lags.tolist(), what.lengths) == (16, list(range(16)), (4, 16, 8))
    assert what.sizes("slash_error") == what.sizes("received_error") == (16,) and what.sizes("sink_error") == ()
    assert what.bytes == 8 * 4 * (16 + 16 + 1)


def test_the_layout_holds_the_lags_that_are_asked_for():
    what = layout(grid(tables(lags=[5, 0, 2], quantities=["slash", "received"])), HERE)
    assert what.lags.tolist() == [5, 0, 2] and what.sizes("received_stderr") == (8,)
    assert layout(grid(tables({"run.length": [4, 8]}, lags=[2, 6])), HERE).lags.tolist() == [2, 6]
    with pytest.raises(RopesimError, match="run.lags = 8: use lags below run.length = 8"):
        layout(grid(tables({"run.length": [4, 8]}, lags=[8])), HERE)


def test_the_layout_is_that_of_the_first_point_that_can_be_built():
    assert layout(grid(tables({"head.lag": [99, 2]})), HERE).length == 8
    with pytest.raises(RopesimError, match="head.lag = 9: "):
        layout(grid(tables({"head.lag": [9, 10]})), HERE)


def test_a_captured_head_is_as_long_as_its_file(tmp_path):
    assert layout(grid(captured(tmp_path, [6, 4])), tmp_path).length == 6


@pytest.mark.parametrize("quantity", ["slash", "received"])
def test_a_capture_longer_than_the_first_fails_and_a_shorter_one_is_padded(tmp_path, quantity):
    points = grid(captured(tmp_path, [6, 4, 8]) | {"run": {"quantities": [quantity]}})
    found = block([points.tables(n) for n in range(3)], tmp_path, layout(points, tmp_path))
    assert found.messages == ["", "", "run.length = 8: give the number of tokens"]
    assert np.isfinite(found.values[f"{quantity}_simulated"]).sum(axis=1).tolist() == [6, 4, 0]


# Points

def test_a_block_holds_what_single_runs_give():
    points = grid(tables({"head.lag": [1, 9, 2]}, quantities=["slash", "sink"]))
    found = block([points.tables(n) for n in range(3)], HERE, layout(points, HERE))
    assert found.messages == ["", "head.lag = 9: use a lag below run.length = 8", ""]
    for n in (0, 2):
        single = measure(build(parse(points.tables(n)), HERE))
        assert all(found.values[name][n].tobytes() == value.tobytes() for name, value in single.items())
    assert all(np.isnan(rows[1]).all() for rows in found.values.values())


@given(st.lists(st.integers(0, 19), unique=True), st.integers(1, 20), st.integers(1, 20))
def test_what_is_stored_of_a_point_is_its_lags_and_keys_and_nan_beyond_them(lags, size, length):
    what, value = Layout(("slash", "received"), np.array(lags, dtype=np.int64), length, ()), np.arange(float(size))
    by_lag, by_key = np.full((1, len(lags)), np.nan), np.full((1, length), np.nan)
    put(by_lag, value, what, "slash_error")
    put(by_key, value, what, "received_error")
    assert repr(by_lag[0].tolist()) == repr([float(lag) if lag < size else math.nan for lag in lags])
    assert repr(by_key[0].tolist()) == repr([float(key) if key < size else math.nan for key in range(length)])


def test_a_block_is_computed_on_one_blas_thread_by_one_thread_at_a_time(monkeypatch):
    at_once, most, blas = [], [], []

    def measured(case):
        at_once.append(1)
        most.append(len(at_once))
        blas.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        at_once.pop()
        raise RopesimError("point", 0, "none")

    monkeypatch.setattr(sweep, "measure", measured)
    what = Layout(("sink",), np.arange(8), 8, ())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: block([tables()] * 3, HERE, what), range(8)))
    assert len(most) == 24 and set(most) == {1} and set(blas) == {1}


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
                assert all(mine.values[name].tobytes() == theirs.values[name].tobytes() for name in mine.values)


def test_no_more_chunks_than_asked_for_are_with_the_executor(twelve):
    executor = AtOnce()
    for taken, _ in enumerate(results(*twelve, executor, ahead=3), 1):
        assert executor.count <= taken + 2
    assert taken == executor.count == 6


@pytest.mark.parametrize("fault", [BrokenExecutor("gone"), MemoryError("much")])
def test_a_worker_that_dies_is_a_fault_of_the_environment(twelve, fault):
    with pytest.raises((OSError, MemoryError), match="a worker has died .gone.|much"):
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


# Plans

def test_a_plan_counts_points_chunks_and_bytes():
    points = grid(tables({"head.lag": [1, 2, 99], "head.strength": {"linspace": [0, 1, 7]}}, quantities=["slash"]))
    what = layout(points, HERE)
    found = plan(points, HERE, what, (2, 7))
    assert found.pop("seconds") == 21 * found.pop("seconds_per_point") > 0
    assert found == {"points": 21, "dims": {"head.lag": 3, "head.strength": 7}, "chunks": 2, "points_per_chunk": 14,
                     "quantities": ["slash"], "bytes": 21 * 4 * 8 * 8, "bytes_per_chunk": 14 * 4 * 8 * 8}


def test_a_plan_expects_more_seconds_of_more_samples_and_more_tokens():
    def seconds(**run):
        points = grid(tables({"head.noise": [0.1, 0.2]}, **run))
        return plan(points, HERE, layout(points, HERE), (1,))["seconds"]

    assert seconds(samples=4) < seconds(samples=4000) and seconds(length=64) < seconds(length=65536)
