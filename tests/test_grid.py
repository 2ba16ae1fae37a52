import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from tolerances import EXACT

from ropesim import grid as module
from ropesim.errors import RopesimError
from ropesim.grid import axes, grid


def tables(swept=None, **run):
    base = {"rope": {"kind": "custom", "theta": [1.0, 0.1]}, "head": {"kind": "slash", "lag": 3, "strength": 2.0},
            "run": {"length": 8, **run}}
    return base | ({"sweep": swept} if swept else {})


def points(given):
    found = grid(given)
    return [found.tables(n) for n in range(found.size)]


def values_of(given):
    return axes({"head.noise": given})[0].values


# Axes

def test_axes_come_from_lists_and_from_ranges():
    assert values_of([0.5, 0.1, 2]) == [0.5, 0.1, 2]
    assert values_of({"values": ["a", "b"]}) == ["a", "b"]
    assert values_of({"linspace": [0, 1, 5]}) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert np.allclose(values_of({"geomspace": [1e4, 1e7, 4]}), [1e4, 1e5, 1e6, 1e7], rtol=EXACT)
    assert values_of({"range": [3]}) == [0, 1, 2]
    assert values_of({"range": [2, 9, 3]}) == [2, 5, 8]
    assert all(type(x) is int for x in values_of({"range": [3]}))


def test_an_axis_runs_along_its_own_field_or_along_the_dim_it_names():
    assert axes({"head.noise": [0.1]})[0].dim == "head.noise"
    assert axes({"head.noise": {"values": [0.1], "dim": "case"}})[0].dim == "case"


# Grids

def test_axes_multiply_in_the_order_of_the_spec_and_the_last_runs_fastest():
    given = tables({"head.lag": [1, 2], "head.strength": [0.0, 1.0, 3.0]})
    found = grid(given)
    assert (list(found.dims), found.shape, found.size) == (["head.lag", "head.strength"], (2, 3), 6)
    assert [(p["head"]["lag"], p["head"]["strength"]) for p in points(given)] == [
        (1, 0.0), (1, 1.0), (1, 3.0), (2, 0.0), (2, 1.0), (2, 3.0)]


def test_axes_that_share_a_dim_zip_and_others_multiply_with_them():
    given = tables({"head.lag": {"values": [1, 2], "dim": "case"}, "run.seed": [5, 6],
                    "run.length": {"values": [8, 16], "dim": "case"}})
    found = grid(given)
    assert {dim: [axis.field for axis in group] for dim, group in found.dims.items()} == {
        "case": ["head.lag", "run.length"], "run.seed": ["run.seed"]}
    assert [(p["head"]["lag"], p["run"]["length"], p["run"]["seed"]) for p in points(given)] == [
        (1, 8, 5), (1, 8, 6), (2, 16, 5), (2, 16, 6)]


def test_a_grid_leaves_the_given_tables_alone_and_makes_tables_that_are_missing():
    given = tables({"head.sink.margin": [1.0, 2.0]})
    before = json.dumps(given)
    assert [p["head"]["sink"]["margin"] for p in points(given)] == [1.0, 2.0]
    assert json.dumps(given) == before


def test_what_is_set_for_a_point_reaches_no_other_point():
    found = grid(tables({"head.lag": [1, 2], "head.sink.margin": [0.5, 1.5]}))
    first, last = found.tables(0), found.tables(3)
    assert (first["head"]["lag"], first["head"]["sink"]) == (1, {"margin": 0.5})
    assert (last["head"]["lag"], last["head"]["sink"]) == (2, {"margin": 1.5})


@given(st.data(), st.lists(st.integers(1, 4), max_size=3))
def test_the_points_of_a_part_are_those_of_an_array_of_that_shape(data, shape):
    found = grid({"head": {"kind": "slash"}, "run": {}, "sweep": {f"head.x{n}": {"range": [size]} for n, size
                                                                  in enumerate(shape)}} if shape else {"head": {}})
    corner = [sorted(data.draw(st.tuples(*[st.integers(0, size)] * 2))) for size in shape]
    region = tuple(slice(start, stop) for start, stop in corner)
    inside = np.arange(found.size).reshape(found.shape)[region].ravel()
    assert found.part(region) == [found.tables(n) for n in inside]


def test_points_share_the_tables_that_they_have_alike_and_those_of_the_spec():
    spec = tables({"run.length": [8, 16], "head.lag": [1, 2]})
    first, second, third, _ = grid(spec).part((slice(0, 2), slice(0, 2)))
    assert first["run"] is second["run"] is not third["run"] and first["head"] is not second["head"]
    assert all(point["rope"] is spec["rope"] for point in (first, second, third))


def test_without_a_sweep_the_grid_is_one_point_without_dims():
    found = grid(tables())
    assert (found.dims, found.shape, found.size, points(tables())) == ({}, (), 1, [tables()])


def test_the_values_of_a_field_are_found_under_any_dim():
    found = grid(tables({"head.lag": {"values": [1, 2], "dim": "case"}, "run.seed": [5, 6, 7]}))
    assert (found.values("head.lag"), found.values("run.seed"), found.values("case")) == ([1, 2], [5, 6, 7], [])


def test_the_grid_is_limited(monkeypatch):
    monkeypatch.setattr(module, "MOST_POINTS", 5)
    assert grid(tables({"head.lag": [1, 2], "run.seed": [1, 2]})).size == 4
    for swept in ({"head.lag": [1, 2], "run.seed": [1, 2, 3]}, {"run.seed": {"range": [6]}},
                  {"head.noise": {"linspace": [0, 1, 6]}}):
        with pytest.raises(RopesimError, match="sweep"):
            grid(tables(swept))


@pytest.mark.parametrize("dim", ["", "lag", "key", "done", "message", "sink_predicted", "slash_stderr", "a/b"])
def test_a_dim_that_would_collide_in_the_store_is_refused(dim):
    with pytest.raises(RopesimError, match="sweep.head.lag = .*: use "):
        grid(tables({"head.lag": {"values": [1], "dim": dim}, "run.seed": [1]}))


@pytest.mark.parametrize("swept", [{}, [], 3])
def test_a_sweep_of_nothing_is_refused(swept):
    with pytest.raises(RopesimError, match="sweep = .*at least one"):
        grid(tables() | {"sweep": swept})


@pytest.mark.parametrize("field", ["head.lag.deep", "run.length.x.y"])
def test_a_field_below_a_number_cannot_be_set(field):
    with pytest.raises(RopesimError, match="is no table"):
        grid(tables({field: [1]}))


def test_a_dim_that_is_the_field_of_another_axis_is_refused():
    with pytest.raises(RopesimError, match="sweep.head.lag = 'run.seed': use another dim"):
        grid(tables({"head.lag": {"values": [1], "dim": "run.seed"}, "run.seed": {"values": [1], "dim": "case"}}))
