"""What a picture shows: the right numbers of a store, and a helpful line where there is no picture."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from stores import KINDS, spoil, store

from ropesim.errors import RopesimError
from ropesim.views import about, blocks, opened, quantities, unfinished, view

TWO = {"rope.base": [1e4, 1e5, 1e6], "head.noise": [0.0, 0.1]}


def refused(results, **options):
    with pytest.raises(RopesimError) as caught:
        view(results, **options)
    return str(caught.value)


def test_x_and_hue_are_the_first_two_dims_of_more_than_one_value():
    one = view(store({"run.seed": [0], **TWO, "head.lag": [7]}))
    assert (one.x.name, one.hue.name, one.quantity) == ("rope.base", "head.noise", "sink")
    assert one.fixed == {"run.seed": 0, "head.lag": 7} and one.predicted.shape == (3, 2)


def test_a_given_axis_leaves_the_other_dim_to_the_other_axis():
    assert view(store(TWO), x="head.noise").hue.name == "rope.base"
    assert view(store(TWO), hue="rope.base").x.name == "head.noise"


def test_every_kind_of_number_is_that_of_the_store_sorted_along_both_axes():
    results = store({"rope.base": [1e6, 1e4, 1e5], "head.noise": [0.1, 0.0]})
    one = view(results)
    assert one.x.values.tolist() == [1e4, 1e5, 1e6] and one.hue.values.tolist() == [0.0, 0.1]
    for kind in KINDS:
        for i, base in enumerate(one.x.values):
            for j, noise in enumerate(one.hue.values):
                point = results[f"sink_{kind}"].sel({"rope.base": base, "head.noise": noise})
                assert getattr(one, kind)[i, j] == float(point)


def test_strings_keep_the_order_of_the_sweep():
    assert view(store({"rope.preset": ["b", "a", "c"]})).x.values.tolist() == ["b", "a", "c"]


def test_slash_comes_first_and_any_stored_quantity_can_be_asked_for():
    results = store(TWO, ("entropy", "sink", "slash"))
    assert quantities(results) == ["slash", "sink", "entropy"]
    assert view(results).quantity == "slash" and view(results, y="entropy").quantity == "entropy"


def test_the_lag_is_the_given_one_or_the_one_with_the_largest_prediction_anywhere_in_the_picture():
    results = store(TWO, ("slash",))
    assert view(results).fixed == {"lag": 7}
    assert view(results, at=[("lag", "3")]).fixed == {"lag": 3}
    results.slash_predicted.values[1, 0, 1] = 9.0
    results.slash_predicted.values[0, 0, 0] = np.nan
    assert view(results).fixed == {"lag": 3}
    assert view(results, at=[("head.noise", "0.1")]).fixed == {"head.noise": 0.1, "lag": 7}
    assert view(results).predicted[1, 0] == 9.0


@given(st.integers(1, 7), st.integers(1, 60))
def test_blocks_cover_the_first_dim_once_in_whole_chunks(chunk, most):
    table = xarray.DataArray(np.arange(20.0).reshape(10, 2), dims=("a", "lag"))
    table.encoding["preferred_chunks"] = {"a": chunk, "lag": 2}
    parts = [table.isel(block) for block in blocks(table, most)]
    assert np.array_equal(xarray.concat(parts, "a").values, table.values)
    assert all(part.sizes["a"] % chunk == 0 for part in parts[:-1])
    assert chunk > 1 or all(part.size <= max(most, 2) for part in parts)


def test_lag_and_key_can_be_axes():
    profile = view(store(TWO, ("slash",)), x="lag", at=[("rope.base", "1e4")])
    assert profile.x.values.tolist() == [0, 3, 7] and profile.hue.name == "head.noise"
    keys = view(store(TWO, ("received",)), hue="key", at=[("head.noise", "0")])
    assert (keys.x.name, keys.hue.values.tolist()) == ("rope.base", [0, 1, 2, 3])


def test_a_single_point_is_drawn_along_its_lags():
    one = view(store({}, ("slash",)))
    assert (one.x.name, one.hue, one.fixed) == ("lag", None, {})


def test_axes_that_share_a_dim_are_found_by_any_of_their_fields():
    results = store({"case": [None, None]}, fields={"head.lag": ("case", [9, 2]), "run.length": ("case", [16, 32])})
    assert view(results).x.name == "head.lag" and view(results).x.values.tolist() == [2, 9]
    assert view(results, x="run.length").x.values.tolist() == [16, 32]
    both = store({"case": [None, None], "run.seed": [0, 1]}, fields={"head.lag": ("case", [9, 2])})
    assert view(both, x="run.seed", at=[("head.lag", "2")]).predicted.ravel().tolist() == [0.03, 0.04]
    assert "another dim" in refused(results, x="run.length", hue="head.lag")


def test_with_heat_y_may_be_the_dim_that_goes_upwards():
    one = view(store(TWO), x="head.noise", y="rope.base", heat=True)
    assert (one.quantity, one.x.name, one.hue.name) == ("sink", "head.noise", "rope.base")


@pytest.mark.parametrize("options, words", [
    ({"x": "rope.bsae"}, "--x = 'rope.bsae': use a dim of sink_predicted: rope.base mean rope.base?"),
    ({"hue": "lag"}, "--hue = 'lag': use a dim"),
    ({"y": "snik"}, "--y = 'snik': use a quantity sink, entropy mean sink?"),
    ({"y": "rope.bsae", "heat": True}, "--y = 'rope.bsae': dim mean rope.base?"),
    ({"x": "rope.base", "hue": "rope.base"}, "--hue = 'rope.base': another"),
    ({"x": "rope.base", "at": [("rope.base", "1e4")]}, "--x = 'rope.base': another fixed"),
    ({"at": [("rope.base", "2e4")]}, "--at rope.base = '2e4': use one of 10000, 100000, 1000000"),
    ({"at": [("rope.base", "ten")]}, "--at rope.base = 'ten': use one of 10000"),
    ({"at": [("base", "1e4")]}, "--at = 'base': use a dim"),
    ({"at": [("lag", "7")]}, "--at = 'lag': use a dim"),
    ({"at": [("rope.base", "1e4"), ("rope.base", "1e5")]}, "--at = 'rope.base=1e5': one value"),
    ({"at": [("rope.base", "1e4"), ("head.noise", "0")]}, "--x = None: no dim of more than one value"),
    ({"at": [("rope.base", "1e4")], "heat": True}, "--map = 'head.noise': second dim"),
])
def test_what_is_not_there_is_refused_by_name(options, words):
    text = refused(store(TWO, ("sink", "entropy")), **options)
    assert not [word for word in words.split() if word not in text], text


def test_a_dim_left_open_is_named_with_its_values_and_the_remedy():
    text = refused(store({**TWO, "run.replicate": list(range(12))}))
    assert text == ("run.replicate = '0, 1, 2, 3, 4, 5, ..., 11': fix it with --at run.replicate=VALUE, or draw along "
                    "it with --x or --hue")
    assert refused(store(TWO, ("received",))).startswith("key = '0, 1, 2, 3': fix it with --at key=VALUE")


def test_a_value_that_several_points_have_fixes_nothing():
    results = store({"case": [None, None, None], "run.seed": [0, 1]}, fields={"head.lag": ("case", [2, 2, 3])})
    assert "2 points have it" in refused(results, x="run.seed", at=[("head.lag", "2")])


def test_points_shown_are_counted_as_missing_or_failed():
    results = spoil(spoil(store(TWO), (0, 0)), (1, 1), "head.lag = 99: too long")
    assert unfinished(results) == (1, 1)
    one = view(results)
    assert (one.missing, one.failed) == (1, 1) and np.isnan(one.predicted[[0, 1], [0, 1]]).all()
    assert np.isfinite(one.predicted).sum() == 4
    one = view(results, at=[("head.noise", "0")])
    assert (one.missing, one.failed) == (1, 0)


def test_a_picture_without_any_number_is_refused_and_says_why():
    results = store({"head.lag": [1, 2]})
    spoil(spoil(results, 0), 1, "too long")
    assert "1 are missing and 1 failed" in refused(results)


def test_a_store_is_read_back_as_it_was_written(tmp_path):
    results = spoil(store(TWO, ("slash",)), (0, 0))
    for version in (2, 3):
        for consolidated in (True, False):
            path = tmp_path / f"{version}{consolidated}.zarr"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")             # what version 3 will do with strings is not yet settled
                results.to_zarr(path, zarr_format=version, consolidated=consolidated)
            found = opened(path)
            assert list(found.done.dims) == list(TWO) and unfinished(found) == (1, 0)
            assert np.array_equal(view(found).predicted, view(results).predicted, equal_nan=True)


def test_a_point_never_written_counts_as_missing_though_zero_stands_for_not_written(tmp_path):
    results = spoil(store(TWO), (0, 0))
    results.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True, encoding={"done": {"_FillValue": 0}})
    found = opened(tmp_path / "a.zarr")
    assert unfinished(found) == (1, 0) and found.done.dtype == np.uint8


@pytest.mark.parametrize("make", [
    lambda path: None, lambda path: path.write_text("a"), lambda path: path.mkdir(),
    lambda path: xarray.Dataset({"x": 1}).to_zarr(path, zarr_format=2, consolidated=True),
    lambda path: xarray.Dataset({"x": 1}, attrs={"spec": "{"}).to_zarr(path, zarr_format=2, consolidated=True),
    lambda path: xarray.Dataset({"x": 1}, attrs={"spec": "{}"}).to_zarr(path, zarr_format=2, consolidated=True)])
def test_what_is_no_store_of_ours_is_refused(tmp_path, make):
    make(tmp_path / "a.zarr")
    with pytest.raises(RopesimError, match="STORE"):
        opened(tmp_path / "a.zarr")


def test_a_damaged_store_is_refused_and_named(tmp_path):
    store(TWO).to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    for path in Path(tmp_path / "a.zarr").rglob(".zmetadata"):
        path.write_text(path.read_text()[:40])
    with pytest.raises(RopesimError, match="STORE"):
        opened(tmp_path / "a.zarr")


def test_what_is_swept_is_no_part_of_the_title():
    spec = {"head": {"kind": "slash"}, "rope": {"preset": "a"}, "run": {"length": 64}, "sweep": {"run.length": [64]}}
    assert about(xarray.Dataset(attrs={"spec": json.dumps(spec)})) == "slash head, a"


def test_a_store_without_any_quantity_is_refused():
    assert "holds no quantity" in refused(store(TWO, ()))


def test_the_quantities_of_a_training_are_known_and_its_task_is_named():
    spec = {"train": {"kind": "slash", "classes": 4, "lag": 2}, "sweep": {"train.lag": [1, 2]}}
    results = xarray.Dataset({f"{name}_predicted": ("train.lag", [1.0, 2.0]) for name in ("log_N", "score")},
                             attrs={"spec": json.dumps(spec)})
    assert quantities(results) == ["score", "log_N"] and about(results) == "slash training, K = 4"
