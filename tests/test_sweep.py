import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray
from tolerances import EXACT

from ropesim import __version__, sweep
from ropesim.case import build
from ropesim.errors import RopesimError
from ropesim.point import KINDS, measure
from ropesim.spec import parse
from ropesim.sweep import axes, dataset, grid, one, resolved, save

HERE = Path(".")


def tables(swept=None, **run):
    base = {"rope": {"kind": "custom", "theta": [1.0, 0.1]}, "head": {"kind": "slash", "lag": 3, "strength": 2.0},
            "run": {"length": 8, **run}}
    return base | ({"sweep": swept} if swept else {})


def point(**changes):
    spec = tables()
    for field, value in changes.items():
        table, name = field.split("__")
        spec[table][name] = value
    return measure(build(parse(spec), HERE))


def values_of(given):
    return axes({"head.noise": given})[0].values


# Axes and grids

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


def test_axes_multiply_in_the_order_of_the_spec():
    dims, points = grid(tables({"head.lag": [1, 2], "head.strength": [0.0, 1.0, 3.0]}))
    assert list(dims) == ["head.lag", "head.strength"]
    assert [(p["head"]["lag"], p["head"]["strength"]) for p in points] == [
        (1, 0.0), (1, 1.0), (1, 3.0), (2, 0.0), (2, 1.0), (2, 3.0)]


def test_axes_that_share_a_dim_zip_and_others_multiply_with_them():
    swept = {"head.lag": {"values": [1, 2], "dim": "case"}, "run.seed": [5, 6],
             "run.length": {"values": [8, 16], "dim": "case"}}
    dims, points = grid(tables(swept))
    assert {dim: [axis.field for axis in group] for dim, group in dims.items()} == {
        "case": ["head.lag", "run.length"], "run.seed": ["run.seed"]}
    assert [(p["head"]["lag"], p["run"]["length"], p["run"]["seed"]) for p in points] == [
        (1, 8, 5), (1, 8, 6), (2, 16, 5), (2, 16, 6)]


def test_a_grid_leaves_the_given_tables_alone_and_makes_tables_that_are_missing():
    given = tables({"head.sink.margin": [1.0, 2.0]})
    before = json.dumps(given)
    assert [p["head"]["sink"]["margin"] for p in grid(given)[1]] == [1.0, 2.0]
    assert json.dumps(given) == before


def test_without_a_sweep_the_grid_is_one_point_without_dims():
    assert grid(tables()) == ({}, [tables()])


def test_the_grid_is_limited(monkeypatch):
    monkeypatch.setattr(sweep, "MOST_POINTS", 5)
    assert len(grid(tables({"head.lag": [1, 2], "run.seed": [1, 2]}))[1]) == 4
    for swept in ({"head.lag": [1, 2], "run.seed": [1, 2, 3]}, {"run.seed": {"range": [6]}},
                  {"head.noise": {"linspace": [0, 1, 6]}}):
        with pytest.raises(RopesimError, match="sweep"):
            grid(tables(swept))


# Datasets

def test_every_point_holds_what_a_single_run_of_it_gives():
    found = dataset(tables({"head.lag": [1, 2], "head.strength": [0.5, 2.0]}), HERE)
    assert dict(found.sizes) == {"head.lag": 2, "head.strength": 2, "lag": 8}
    for lag in (1, 2):
        for strength in (0.5, 2.0):
            single = point(head__lag=lag, head__strength=strength)
            here = found.sel({"head.lag": lag, "head.strength": strength})
            assert all(np.array_equal(here[name].values, value, equal_nan=True) for name, value in single.items())


def test_points_share_their_streams_so_that_a_larger_grid_changes_no_value():
    small, large = (dataset(tables({"head.noise": noise}, samples=2), HERE) for noise in ([0.2], [0.1, 0.2, 0.4]))
    assert small.isel({"head.noise": 0}).slash_simulated.values.tobytes() == \
        large.sel({"head.noise": 0.2}).slash_simulated.values.tobytes()


def test_a_dim_of_its_own_carries_the_swept_fields_as_coordinates():
    found = dataset(tables({"head.lag": {"values": [1, 2], "dim": "case"},
                            "head.strength": {"values": [1.0, 3.0], "dim": "case"}}), HERE)
    assert dict(found.sizes) == {"case": 2, "lag": 8}
    assert found["head.lag"].values.tolist() == [1, 2] and found["head.strength"].dims == ("case",)


def test_a_point_that_fails_is_nan_with_its_reason_and_the_sweep_goes_on():
    seen = []
    found = dataset(tables({"head.lag": [1, 9, 2]}), HERE, lambda work: (seen.append(n) or n for n in work))
    assert seen == [0, 1, 2] and found.done.values.tolist() == [1, 0, 1] and found.done.dtype == np.uint8
    assert found.message.values.tolist() == ["", "head.lag = 9: use a lag below run.length = 8", ""]
    assert np.isnan(found.slash_predicted.values[1]).all() and np.isfinite(found.slash_predicted.values[[0, 2]]).all()


def test_the_first_point_may_fail():
    found = dataset(tables({"head.lag": [9, 2]}), HERE)
    assert found.done.values.tolist() == [0, 1] and found.sizes["lag"] == 8


def test_a_sweep_whose_points_all_fail_raises_the_first_reason():
    with pytest.raises(RopesimError, match="head.lag = 9: "):
        dataset(tables({"head.lag": [9, 10]}), HERE)


def test_shorter_points_are_padded_where_the_length_is_swept():
    found = dataset(tables({"run.length": [4, 8]}, quantities=["slash", "received", "sink"]), HERE)
    assert dict(found.sizes) == {"run.length": 2, "lag": 8, "key": 8}
    for name in ("slash", "received"):
        for kind in KINDS[::2]:
            assert np.isfinite(found[f"{name}_{kind}"].values).sum(axis=1).tolist() == [4, 8]
    assert found.slash_predicted.values[0, :4].tolist() == point(run__length=4)["slash_predicted"].tolist()
    assert found.sink_predicted.dims == ("run.length",)


def test_lags_choose_what_is_stored():
    whole, part = dataset(tables(), HERE), dataset(tables(lags=[5, 0, 2]), HERE)
    assert part.lag.values.tolist() == [5, 0, 2]
    assert part.slash_simulated.values.tolist() == whole.slash_simulated.values[[5, 0, 2]].tolist()


def test_a_lag_beyond_the_length_of_some_points_is_padding_there():
    found = dataset(tables({"run.length": [4, 8]}, lags=[2, 6]), HERE)
    assert np.isnan(found.slash_predicted.values).tolist() == [[False, True], [False, False]]
    with pytest.raises(RopesimError, match="run.lags = 8: use lags below run.length = 8"):
        dataset(tables({"run.length": [4, 8]}, lags=[8]), HERE)


def test_a_field_without_slash_needs_no_lags():
    found = dataset(tables(quantities=["sink", "entropy"]), HERE)
    assert dict(found.sizes) == {} and sorted(found.coords) == []


def test_the_attributes_say_what_was_computed():
    given = tables({"head.lag": [1, 2]}, seed=7)
    attrs = dataset(given, HERE).attrs
    assert json.loads(attrs["spec"]) == given and (attrs["version"], attrs["seed"]) == (__version__, 7)
    assert len(attrs["spec_hash"]) == 64 and attrs["platform"]
    shuffled = dict(reversed(given.items()))
    assert dataset(shuffled, HERE).attrs["spec_hash"] == attrs["spec_hash"]
    assert dataset(tables({"head.lag": [1, 2]}, seed=8), HERE).attrs["spec_hash"] != attrs["spec_hash"]


def test_a_single_run_is_a_dataset_without_swept_dims():
    found = one(point(), tables())
    assert dict(found.sizes) == {"lag": 8} and found.done.values == 1 and found.message.values == ""


def test_resolved_writes_the_defaults_of_a_single_run_and_keeps_a_sweep():
    assert resolved(tables())["run"]["samples"] == 16
    given = tables({"head.lag": [1]})
    assert resolved(given) == given


# Stores

@pytest.fixture
def result():
    swept = {"head.lag": [1, 9, 2], "run.length": [4, 8]}
    return dataset(tables(swept, quantities=["slash", "sink", "received"]), HERE)


def opened(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xarray.open_zarr(path) as store:
            return store.load()


def test_a_store_opens_with_xarray_without_warnings_and_is_what_was_saved(result, tmp_path):
    save(result, tmp_path / "a.zarr")
    store = opened(tmp_path / "a.zarr")
    xarray.testing.assert_identical(store, result)
    assert (store.done.dtype, store.slash_predicted.dtype) == (np.uint8, np.float64)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_result_without_any_dim_can_be_saved(tmp_path):
    save(one(point(run__quantities=["sink"]), tables()), tmp_path / "a.zarr")
    assert math.isfinite(opened(tmp_path / "a.zarr").sink_predicted)


def test_saving_replaces_an_older_store_whole(result, tmp_path):
    save(dataset(tables(quantities=["entropy"]), HERE), tmp_path / "a.zarr")
    save(result, tmp_path / "a.zarr")
    assert "entropy_predicted" not in opened(tmp_path / "a.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_store_whole_and_nothing_else(result, tmp_path, monkeypatch, fault):
    save(result, tmp_path / "a.zarr")
    written = type(result).to_zarr

    def half_way(self, path, **options):
        written(self[["done"]], path, **options)
        raise fault

    monkeypatch.setattr(type(result), "to_zarr", half_way)
    with pytest.raises(type(fault)):
        save(dataset(tables(), HERE), tmp_path / "a.zarr")
    xarray.testing.assert_identical(opened(tmp_path / "a.zarr"), result)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_store_whose_last_rename_fails_is_put_back(result, tmp_path, monkeypatch):
    save(result, tmp_path / "a.zarr")
    rename = Path.rename

    def fails_on_the_new_one(self, target):
        if self.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_on_the_new_one)
    with pytest.raises(OSError):
        save(dataset(tables(), HERE), tmp_path / "a.zarr")
    xarray.testing.assert_identical(opened(tmp_path / "a.zarr"), result)


def test_a_file_is_not_replaced_by_a_store(result, tmp_path):
    (tmp_path / "a.zarr").write_text("mine")
    with pytest.raises(RopesimError, match="store = .*this is a file"):
        save(result, tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr").read_text() == "mine"
