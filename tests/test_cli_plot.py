"""`ropesim plot`: a store becomes a picture or a table; what cannot be drawn is refused in one line."""

import json
import sys
from pathlib import Path

import pytest
from stores import spoil, store

from ropesim import charts, plots
from ropesim.cli import main

TWO = {"rope.base": [1e4, 1e5, 1e6], "head.noise": [0.0, 0.1]}
STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "csv": b"rope.base,head.noise", "nc": b"\x89HDF",
          "parquet": b"PAR1"}


def saved(results, path):
    results.to_zarr(path, zarr_format=2, consolidated=True)


@pytest.fixture(scope="module")
def furniture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    saved(store(TWO, ("slash", "sink")), folder / "a.zarr")
    saved(store({**TWO, "run.replicate": [0, 1]}), folder / "three.zarr")
    saved(spoil(spoil(store(TWO), (0, 0)), (1, 1), "too long"), folder / "part.zarr")
    saved(spoil(store({"head.lag": [9]}), 0, "too long"), folder / "none.zarr")
    saved(store(TWO), folder / "torn.zarr")
    for path in (folder / "torn.zarr" / "sink_error").iterdir():
        if not path.name.startswith("."):
            path.write_bytes(b"torn")
    (folder / "folder").mkdir()
    (folder / "folder.png").mkdir()
    (folder / "file.zarr").write_text("a")
    return folder


@pytest.fixture
def plot(furniture, monkeypatch, capsys):
    """plot("a.zarr ...") beside the stores -> exit code, stdout, stderr."""
    monkeypatch.chdir(furniture)

    def call(line):
        with pytest.raises(SystemExit) as stop:
            main(["plot", *line.split()])
        return (stop.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn; encoded as nothing."""
    kept = []
    monkeypatch.setattr(plots, "encoded", lambda figure, ending: kept.append(figure) or b"picture")
    return kept


def tree(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("ending", STARTS)
def test_the_ending_decides_what_is_written(plot, tmp_path, ending):
    out = tmp_path / "deep" / f"a.{ending}"
    assert plot(f"a.zarr --out {out}") == (0, f"{out}\n", "")
    assert out.read_bytes().startswith(STARTS[ending]) and [path.name for path in out.parent.iterdir()] == [out.name]


def test_without_out_the_picture_lies_beside_the_store_and_has_its_name(plot, furniture, drawn):
    code, out, err = plot("a.zarr")
    assert (code, err) == (0, "") and Path(out.strip()) == furniture / "a.png"
    assert (furniture / "a.png").read_bytes() == b"picture"
    (furniture / "a.png").unlink()


def test_json_says_what_was_drawn(plot, drawn, tmp_path):
    code, out, _ = plot(f"a.zarr --x head.noise --hue rope.base --lag 3 --out {tmp_path / 'a.svg'} --json")
    found = json.loads(out)
    assert code == 0 and found.pop("out").endswith("a.svg") and found.pop("ropesim")
    assert found == {"schema": 1, "store": "a.zarr", "y": "slash", "x": "head.noise", "hue": "rope.base",
                     "at": {"lag": 3}, "map": False, "missing": 0, "failed": 0}
    code, out, _ = plot(f"a.zarr --out {tmp_path / 'a.csv'} --json")
    assert code == 0 and set(json.loads(out)) == {"schema", "ropesim", "store", "out", "missing", "failed"}


@pytest.mark.parametrize("line, panels", [("", 1), ("--map", 3), ("--x head.noise --y rope.base", 3),
                                          ("--y sink --x rope.base --hue head.noise", 1),
                                          ("--at head.noise=0.1 --lag 7", 1)])
def test_a_map_is_drawn_where_it_is_asked_for_or_x_and_y_are_dims(plot, drawn, tmp_path, line, panels):
    assert plot(f"a.zarr {line} --out {tmp_path / 'a.png'}")[0] == 0
    assert len(drawn[0].axes) == panels


@pytest.mark.parametrize("ending", ["png", "csv"])
def test_an_incomplete_store_is_drawn_and_what_is_not_there_is_counted(plot, tmp_path, ending):
    code, out, err = plot(f"part.zarr --out {tmp_path / f'a.{ending}'}")
    assert code == 0 and Path(out.strip()).exists()
    assert err == "ropesim: 1 points are missing and 1 failed; see `done` and `message` in the store\n"


@pytest.mark.parametrize("line, words", [
    ("", "STORE Missing argument"),
    ("no.zarr", "STORE = 'no.zarr': nothing here"),
    ("folder", "STORE = 'folder': NAME.zarr none"),
    ("file.zarr", "STORE = 'file.zarr': NAME.zarr none"),
    ("torn.zarr", "STORE = 'torn.zarr': again damaged"),
    ("torn.zarr --out new.csv", "STORE = 'torn.zarr': again damaged"),
    ("none.zarr --x head.lag", "--y = 'sink': finite 1 failed"),
    ("a.zarr --x head.nosie", "--x = 'head.nosie': dim head.noise?"),
    ("a.zarr --x sink", "--x = 'sink': dim rope.base"),
    ("a.zarr --hue rope.bas", "--hue = 'rope.bas': dim rope.base?"),
    ("a.zarr --y slahs", "--y = 'slahs': quantity slash, sink, dim mean slash?"),
    ("a.zarr --y entropy --map", "--y = 'entropy': quantity slash, sink"),
    ("a.zarr --lag 4", "--at lag = '4': one of 0, 3, 7"),
    ("a.zarr --lag 7 --at lag=7", "--at = 'lag=7': one value"),
    ("a.zarr --lag seven", "--lag 'seven' integer"),
    ("a.zarr --lag 7 --y sink", "--at = 'lag': dim of sink_predicted"),
    ("a.zarr --at head.noise", "--at = 'head.noise': DIM=VALUE"),
    ("a.zarr --at head.noise=2", "--at head.noise = '2': one of 0, 0.1"),
    ("a.zarr --at head.noise=0 --at rope.base=1e4 --y sink", "--x = None: no dim"),
    ("three.zarr", "run.replicate = '0, 1': --at run.replicate=VALUE"),
    ("a.zarr --map --at head.noise=0", "--map = 'rope.base': second"),
    ("a.zarr --out a.gif", "--out = 'a.gif': ends .png .svg .pdf .csv .nc .parquet"),
    ("a.zarr --out new", "--out = 'new': ends .png"),
    ("a.zarr --out folder.png", "--out = 'folder.png': file folder"),
    ("a.zarr --out file.zarr/a.png", "--out = 'file.zarr/a.png': another file"),
    ("a.zarr --out a.zarr/a.png", "--out = 'a.zarr/a.png': outside"),
    ("a.zarr --out new.csv --x rope.base", "--x = 'rope.base': leave whole store"),
    ("a.zarr --out new.nc --map", "--map = True: leave whole store"),
    ("a.zarr --hue 3.0 --owt a", "--owt option"),
])
def test_what_cannot_be_drawn_is_refused_in_one_line_and_writes_nothing(plot, furniture, line, words):
    before = tree(furniture)
    code, out, err = plot(line)
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("ropesim: "), err
    assert not [word for word in words.split() if word not in err], err
    assert tree(furniture) == before


@pytest.mark.parametrize("ending, library", [("nc", "h5netcdf"), ("parquet", "pyarrow")])
def test_a_missing_library_exits_2_with_the_pip_command(plot, monkeypatch, tmp_path, ending, library):
    monkeypatch.setitem(sys.modules, library, None)
    code, out, err = plot(f"a.zarr --out {tmp_path / f'a.{ending}'}")
    assert (code, out, err.count("\n")) == (2, "", 1) and "python -m pip install" in err and library in err
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_does_not_fit_the_disk_exits_3_and_leaves_nothing(plot, monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(charts, "figure", full)
    code, out, err = plot(f"a.zarr --out {tmp_path / 'a.png'}")
    assert (code, out) == (3, "") and "No space left" in err and list(tmp_path.iterdir()) == []
