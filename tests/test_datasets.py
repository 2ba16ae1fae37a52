import json
from pathlib import Path

import numpy as np
import pytest

from ropesim import __version__
from ropesim.case import build
from ropesim.datasets import dataset, one
from ropesim.errors import RopesimError
from ropesim.point import KINDS, measure
from ropesim.spec import parse

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
    assert seen == [0, 1, 2] and found.done.values.tolist() == [1, 1, 1] and found.done.dtype == np.uint8
    assert found.message.values.tolist() == ["", "head.lag = 9: use a lag below run.length = 8", ""]
    assert np.isnan(found.slash_predicted.values[1]).all() and np.isfinite(found.slash_predicted.values[[0, 2]]).all()


def test_the_first_point_may_fail():
    found = dataset(tables({"head.lag": [9, 2]}), HERE)
    assert (found.message.values != "").tolist() == [True, False] and found.sizes["lag"] == 8


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
