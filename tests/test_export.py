"""Exports hold every number of a store, to the last bit, and a file is whole or absent."""

import csv
import sys

import numpy as np
import pandas
import pytest
import xarray
from pyarrow import parquet
from stores import spoil, store

from ropesim import export
from ropesim.errors import RopesimError
from ropesim.export import frames, write

TWO = {"rope.base": [1e4, 1e5, 1e6], "head.noise": [0.0, 0.1]}


def noisy(*quantities, swept=TWO, **options):
    results = store(swept, quantities, **options)
    rng = np.random.default_rng(0)
    for table in results.data_vars.values():
        if table.dtype.kind == "f":
            table.values[...] = rng.normal(size=table.shape) / 3
    return results


def lines(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_has_one_row_a_point_and_every_digit(tmp_path):
    results = noisy("sink", "entropy")
    write(results, tmp_path / "a.csv")
    rows = lines(tmp_path / "a.csv")
    assert list(rows[0]) == ["rope.base", "head.noise", *results.data_vars] and len(rows) == 6
    for row in rows:
        here = results.sel({name: float(row[name]) for name in TWO})
        for name in ("sink_predicted", "sink_error", "entropy_simulated", "entropy_stderr"):
            assert float(row[name]) == float(here[name])


def test_csv_has_a_row_for_each_lag_and_repeats_the_single_numbers(tmp_path):
    results = noisy("slash", "sink")
    write(results, tmp_path / "a.csv")
    rows = lines(tmp_path / "a.csv")
    assert len(rows) == 18 and [row["lag"] for row in rows[:3]] == ["0", "3", "7"]
    for row in rows:
        here = results.sel({name: float(row[name]) for name in TWO})
        assert float(row["slash_predicted"]) == float(here.slash_predicted.sel(lag=int(row["lag"])))
        assert float(row["sink_stderr"]) == float(here.sink_stderr)


def test_rows_of_lags_come_before_rows_of_keys(tmp_path):
    results = noisy("slash", "received", "sink")
    write(results, tmp_path / "a.csv")
    rows = lines(tmp_path / "a.csv")
    assert len(rows) == 6 * 3 + 6 * 4
    assert all(row["key"] == "" == row["received_error"] and row["slash_error"] for row in rows[:18])
    assert all(row["lag"] == "" == row["slash_error"] and row["received_error"] for row in rows[18:])
    assert {row["key"] for row in rows[18:]} == set("0123") and all(row["sink_error"] for row in rows)


def test_a_single_point_and_fields_that_share_a_dim_have_their_columns(tmp_path):
    write(noisy("sink", swept={}), tmp_path / "a.csv")
    assert len(lines(tmp_path / "a.csv")) == 1
    write(noisy("sink", swept={"case": [None, None]}, fields={"head.lag": ("case", [9, 2])}), tmp_path / "a.csv")
    assert [(row["case"], row["head.lag"]) for row in lines(tmp_path / "a.csv")] == [("0", "9"), ("1", "2")]


def test_points_without_values_keep_their_row_and_their_message(tmp_path):
    results = spoil(spoil(store(TWO), (0, 0)), (1, 0), 'head.lag = 99, "too" long')
    write(results, tmp_path / "a.csv")
    rows = lines(tmp_path / "a.csv")
    assert (rows[0]["sink_predicted"], rows[0]["done"], rows[0]["message"]) == ("", "0", "")
    assert (rows[2]["sink_predicted"], rows[2]["message"]) == ("", 'head.lag = 99, "too" long')


@pytest.mark.parametrize("quantities", [("sink",), ("slash", "sink"), ("slash", "received")])
def test_parquet_holds_the_same_table_and_the_spec(tmp_path, monkeypatch, quantities):
    results = spoil(noisy(*quantities), (2, 1), "no")
    monkeypatch.setattr(export, "ROWS", 2)
    write(results, tmp_path / "a.parquet")
    table = pandas.read_parquet(tmp_path / "a.parquet")
    expected = pandas.concat(list(frames(results)), ignore_index=True)
    pandas.testing.assert_frame_equal(table, expected, check_exact=True)
    assert parquet.read_schema(tmp_path / "a.parquet").metadata[b"seed"] == b"0"


def test_the_table_is_made_piece_by_piece():
    results = noisy("slash")
    pieces = list(frames(results, 6))
    assert [len(piece) for piece in pieces] == [6, 6, 6]
    whole, = frames(results)
    pandas.testing.assert_frame_equal(pandas.concat(pieces, ignore_index=True), whole, check_exact=True)


def test_netcdf_gives_the_same_dataset_back(tmp_path):
    results = spoil(noisy("slash", "received"), (0, 1), "no").assign_attrs(versions={"numpy": "2"})
    results.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    with xarray.open_zarr(tmp_path / "a.zarr", chunks=None) as found:
        write(found, tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as back:
        xarray.testing.assert_equal(back, results)
        assert back.attrs["spec"] == results.attrs["spec"] and back.attrs["versions"] == '{"numpy": "2"}'
        assert [back[name].dtype for name in ("done", "slash_error")] == [np.uint8, np.float64]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(RopesimError, match=r"--out = .*use a name that ends in .csv, .parquet, .nc"):
        write(store(TWO), tmp_path / "a.xlsx")


@pytest.mark.parametrize("ending, library", [(".nc", "h5netcdf"), (".parquet", "pyarrow")])
def test_a_library_that_is_not_installed_is_named_with_the_command_that_helps(tmp_path, monkeypatch, ending, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(RopesimError, match=f"{library} is not installed: python -m pip install .*{library}"):
        write(store(TWO), tmp_path / f"a{ending}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", sorted(export.WRITERS))
def test_a_file_is_whole_or_absent(tmp_path, monkeypatch, ending):
    path = tmp_path / f"a{ending}"
    writer = export.WRITERS[ending]

    def full(results, beside):
        writer(results, beside)
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export.WRITERS, ending, full)
    with pytest.raises(OSError):
        write(store(TWO), path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("before")
    with pytest.raises(OSError):
        write(store(TWO), path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_text() == "before"
