import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from threadpoolctl import threadpool_info

from ropesim import sweep
from ropesim.case import build
from ropesim.errors import RopesimError
from ropesim.grid import grid
from ropesim.point import measure
from ropesim.spec import parse
from ropesim.sweep import Layout, block, layout, plan, put

HERE = Path(".")


def tables(swept=None, **run):
    base = {"rope": {"kind": "custom", "theta": [1.0, 0.1]}, "head": {"kind": "slash", "lag": 3, "strength": 2.0},
            "run": {"length": 8, **run}}
    return base | ({"sweep": swept} if swept else {})


def captured(tmp_path, lengths):
    for length in lengths:
        x = np.random.default_rng(length).normal(size=(1, 1, length, 4))
        np.savez(tmp_path / f"{length}.npz", q=x, k=x, theta=np.array([1.0, 0.1]), scale=0.5, layout="half")
    return {"head": {"kind": "captured", "layer": 0, "head": 0},
            "sweep": {"head.file": [f"{length}.npz" for length in lengths]}}


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
    put(by_lag, [0], value[None], what, "slash_error")
    put(by_key, [0], value[None], what, "received_error")
    assert repr(by_lag[0].tolist()) == repr([float(lag) if lag < size else math.nan for lag in lags])
    assert repr(by_key[0].tolist()) == repr([float(key) if key < size else math.nan for key in range(length)])


def test_a_number_that_equals_the_one_before_is_checked_all_the_same():
    points = grid(tables({"run.length": [8, 8.0, 8], "rope.rotary_dim": [2, 2.0]}, samples=0) | {
        "rope": {"kind": "custom", "theta": [1.0, 0.0]}})
    found = block([points.tables(n) for n in range(6)], HERE, layout(points, HERE))
    assert found.messages == ["", "rope.rotary_dim = 2.0: use a whole number", "run.length = 8.0: use a whole number",
                              "rope.rotary_dim = 2.0: use a whole number", "", found.messages[1]]


def test_a_block_is_computed_on_one_blas_thread_by_one_thread_at_a_time(monkeypatch):
    at_once, most, blas = [], [], []

    def measured(cases):
        at_once.append(1)
        most.append(len(at_once))
        blas.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        at_once.pop()
        raise RopesimError("point", 0, "none")

    monkeypatch.setattr(sweep, "measured", measured)
    what = Layout(("sink",), np.arange(8), 8, ())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: block([tables()] * 3, HERE, what), range(8)))
    assert len(most) == 32 and set(most) == {1} and set(blas) == {1}      # three alike together, then each alone


def test_points_are_the_same_to_the_last_bit_in_any_company():
    swept = {"head.lag": [0, 9, 5], "head.strength": {"linspace": [0, 40, 5]}, "run.window": [0, 3]}
    points = grid(tables(swept, samples=0, length=9, quantities=["slash", "sink", "entropy", "received"]))
    what = layout(points, HERE)
    every = [points.tables(n) for n in range(points.size)]
    whole = block(every, HERE, what)
    assert sum(message == "" for message in whole.messages) == 20
    for cut in (1, 4, 7):
        parts = [block(every[n:n + cut], HERE, what) for n in range(0, len(every), cut)]
        assert sum((part.messages for part in parts), []) == whole.messages
        for name, value in whole.values.items():
            assert np.concatenate([part.values[name] for part in parts]).tobytes() == value.tobytes()


def test_what_all_lags_have_alike_takes_no_memory_and_what_some_have_is_the_same_beside_it():
    for noise in ([0.0, 0.0], [0.0, 0.1], [0.1, 0.0]):
        points = grid(tables({"head.noise": noise}, samples=0, quantities=["slash", "received", "sink"]))
        what, every = layout(points, HERE), [points.tables(n) for n in range(2)]
        found = block(every, HERE, what)
        for name, rows in found.values.items():
            alone = [block([table], HERE, what).values[name] for table in every]
            assert rows.shape == (2, *what.sizes(name)) and rows.tobytes() == np.concatenate(alone).tobytes()
        assert (found.values["slash_error"].strides[1] == 0) == (found.values["received_error"].strides[1] == 0) == \
            (sum(noise) == 0)
        assert not any(found.values["slash_stderr"].strides)


def test_a_point_that_only_fails_when_it_is_computed_spoils_no_other(monkeypatch):
    def measured(cases):
        if any(case.head.lag == 2 for case in cases):
            raise RopesimError("logits", 2, "none")
        return measured_before(cases)

    measured_before = sweep.measured
    monkeypatch.setattr(sweep, "measured", measured)
    points = grid(tables({"head.lag": [1, 2, 3]}, samples=0))
    found = block([points.tables(n) for n in range(3)], HERE, layout(points, HERE))
    assert found.messages == ["", "logits = 2: none", ""]
    assert np.isfinite(found.values["sink_predicted"]).tolist() == [True, False, True]


# Plans

def test_a_plan_counts_points_chunks_and_bytes():
    points = grid(tables({"head.lag": [1, 2, 99], "head.strength": {"linspace": [0, 1, 7]}}, quantities=["slash"]))
    what = layout(points, HERE)
    found = plan(points, what, (2, 7))
    assert found.pop("seconds") == 21 * found.pop("seconds_per_point") > 0
    assert found == {"points": 21, "dims": {"head.lag": 3, "head.strength": 7}, "chunks": 2, "points_per_chunk": 14,
                     "quantities": ["slash"], "bytes": 21 * 4 * 8 * 8, "bytes_per_chunk": 14 * 4 * 8 * 8}


def test_a_plan_expects_more_seconds_of_more_samples_and_more_tokens():
    def seconds(**run):
        points = grid(tables({"head.noise": [0.1, 0.2]}, **run))
        return plan(points, layout(points, HERE), (1,))["seconds"]

    assert seconds(samples=4) < seconds(samples=4000) and seconds(length=64) < seconds(length=65536)
