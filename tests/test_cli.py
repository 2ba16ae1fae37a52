import csv
import errno
import json
import re
import shutil
import sys
import tomllib
import warnings
from pathlib import Path

import click
import numpy as np
import pytest
import xarray

from ropesim import __version__, plots, point, sweep
from ropesim.cli import FILES, main
from ropesim.spec import HEADS, dump, examples, parse

SPEC = """
[rope]
kind = "custom"
theta = [1.0, 0.1]
[head]
kind = "slash"
lag = 3
strength = 2.0
[run]
length = 16
"""
NOISY = SPEC.replace("[run]", "noise = 0.2\n[run]\nsamples = 3")
CAPTURED = '[head]\nkind = "captured"\nfile = "smollm2_heads.npz"\nlayer = 16\nhead = 0\n[run]\nlength = 24\n'
SWEEP = SPEC + '[sweep]\n"head.strength" = [0.5, 1.0, 2.0]\n"head.lag" = [2, 99]\n'
ROW = ["quantity", "lag", "predicted", "error", "simulated", "stderr", "z", "agrees"]


@pytest.fixture
def ropesim(tmp_path, monkeypatch, capsys):
    """ropesim("run ...") in a fresh folder -> exit code, stdout, stderr; spec.toml is there."""
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPEC)

    def call(line):
        with pytest.raises(SystemExit) as stop:
            main(line.split())
        return (stop.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures without content: each real one takes a second."""
    monkeypatch.setattr(plots, "png", lambda figure: f"{figure.axes[0].get_title()} {id(figure)}".encode())


def strict(text):
    """The one JSON object of a text; NaN and Infinity, which JSON has not, are an error."""
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def snapshot(folder):
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


# run

def test_a_reader_that_has_seen_enough_is_no_disagreement(ropesim, monkeypatch):
    def closed(*_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    for name in ("stdout", "stderr"):                  # click wraps both for good
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(click, "echo", closed)
    assert ropesim("run spec.toml") == (0, "", "")


def test_run_prints_a_table_and_writes_nothing(ropesim):
    code, out, err = ropesim("run spec.toml")
    lines = out.splitlines()
    assert (code, err, len(lines)) == (0, "", 9)
    assert lines[1].split()[:2] == ["slash", "3"] and all(line.endswith("agrees") for line in lines[1:])
    assert [path.name for path in Path().iterdir()] == ["spec.toml"]


def test_a_head_without_an_error_gets_no_verdict_and_exit_0(ropesim):
    Path("spec.toml").write_text(CAPTURED)
    code, out, _ = ropesim("run spec.toml")
    assert code == 0 and all("unknown" in line and "no verdict" in line for line in out.splitlines()[1:])


@pytest.mark.parametrize("text", [SPEC, NOISY, CAPTURED], ids=["exact", "noisy", "captured"])
def test_json_is_strict_and_has_the_fields_of_the_contract(ropesim, text):
    Path("spec.toml").write_text(text)
    code, out, _ = ropesim("run spec.toml --json")
    found = strict(out)
    assert code == 0 and list(found) == ["schema", "ropesim", "spec", "rows"]
    assert (found["schema"], found["ropesim"]) == (1, __version__)
    assert found["spec"] == dump(parse(tomllib.loads(text)))
    assert [row["quantity"] for row in found["rows"]] == ["slash"] * 5 + ["sink", "entropy", "participation"]
    for row in found["rows"]:
        assert list(row) == ROW
        assert type(row["lag"]) is (int if row["quantity"] == "slash" else type(None))
        assert all(row[name] is None or type(row[name]) is float for name in ROW[2:7])
        assert (row["error"] is None, row["agrees"]) == ((True, None) if text == CAPTURED else (False, True))
        assert (row["stderr"] is None) == (text == CAPTURED)


def test_quiet_prints_nothing(ropesim):
    assert ropesim("run spec.toml --quiet") == (0, "", "")
    Path("sweep.toml").write_text(SPEC + '[sweep]\n"head.lag" = [1, 2]\n')
    assert ropesim("run sweep.toml --quiet --out a.zarr") == (0, "", "")


def test_a_comparison_that_fails_exits_1_and_still_writes_its_results(ropesim, undrawn, monkeypatch):
    right = point.predicted

    def wrong(case):
        values, error = right(case)
        return values | {"sink": values["sink"] + 0.1}, error

    monkeypatch.setattr(point, "predicted", wrong)
    code, out, err = ropesim("run spec.toml --out new")
    assert (code, err, out.count("DISAGREES")) == (1, "", 1)
    assert sorted(path.name for path in Path("new").iterdir()) == sorted(FILES)
    assert [row["agrees"] for row in strict(ropesim("run spec.toml --json")[1])["rows"]] == [True] * 5 + [
        False, True, True]


@pytest.mark.parametrize("line, left", [("run spec.toml --out new", []),
                                        ("run sweep.toml --out new.zarr", ["new.zarr"])])
def test_an_interrupt_exits_130_with_one_line_and_leaves_nothing_or_a_store_that_resumes(ropesim, line, left):
    Path("sweep.toml").write_text(SWEEP)

    def interrupt(case, *_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(point, "predicted", interrupt)
        code, out, err = ropesim(line)
    assert (code, out, err.strip()) == (130, "", "ropesim: interrupted")       # click first ends the line of the ^C
    assert sorted(path.name for path in Path().iterdir()) == [*left, "spec.toml", "sweep.toml"]
    if left:
        assert ropesim(f"{line} --quiet")[0] == 0
        with xarray.open_zarr("new.zarr") as store:
            assert (store.done == 1).all()


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), MemoryError("2 TiB")])
def test_a_failing_environment_exits_3_with_one_line(ropesim, monkeypatch, fault):
    def fail(case, *_):
        raise fault

    monkeypatch.setattr(point, "predicted", fail)
    code, out, err = ropesim("run spec.toml")
    assert (code, out, err.count("\n")) == (3, "", 1) and ("No space" in err or "2 TiB" in err)


def test_list_names_every_example_and_every_field(ropesim):
    code, out, err = ropesim("run --list")
    assert (code, err) == (0, "")
    words = set(re.findall(r"[\w-]+", out))
    fields = {name for model in HEADS.values() for name in model.model_fields}
    assert {*examples(), *HEADS, *fields, "margin", "length", "quantities", "preset", "half-dft", "linspace"} <= words


def test_every_shipped_head_kind_has_an_example():
    assert {tomllib.loads((Path(sweep.__file__).parent / "examples" / f"{name}.toml").read_text())["head"]["kind"]
            for name in examples()} == set(HEADS)


def test_the_progress_bar_shows_on_a_terminal_only(ropesim, monkeypatch):
    Path("spec.toml").write_text(NOISY)
    assert ropesim("run spec.toml")[2] == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert "samples" in ropesim("run spec.toml")[2]
    assert ropesim("run spec.toml --quiet")[2] == ""


# --out

def test_out_gets_exactly_the_five_files(ropesim):
    code, out, _ = ropesim("run spec.toml --out deep/new --json")
    folder = Path("deep/new")
    assert code == 0 and sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    rows = strict(out)["rows"]
    full = strict(out)["spec"]
    assert tomllib.loads((folder / "spec.toml").read_text()) == full
    with open(folder / "table.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ROW
    for line, row in zip(table, rows, strict=True):
        assert line == {name: "" if value is None else str(value) for name, value in row.items()}
    for name in ("profile.png", "map.png"):
        image = (folder / name).read_bytes()
        assert image.startswith(b"\x89PNG") and image[-8:-4] == b"IEND"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xarray.open_zarr(folder / "results.zarr") as store:
            assert {row["lag"]: row["simulated"] for row in rows if row["lag"] is not None}.items() <= dict(
                zip(store.lag.values.tolist(), store.slash_simulated.values.tolist())).items()
            assert json.loads(store.attrs["spec"]) == full and store.done == 1
    # what was written runs again, to the same results
    assert strict(ropesim("run deep/new/spec.toml --json")[1])["rows"] == rows


def test_results_of_the_same_spec_are_replaced_and_of_another_refused_unless_overwritten(ropesim, undrawn):
    assert ropesim("run spec.toml --quiet --out new")[0] == 0
    Path("new/table.csv").write_text("stale")
    Path("new/notes").write_text("mine")
    Path("spec.toml").write_text(SPEC + "samples = 16\n# the same, said at length\n")
    assert ropesim("run spec.toml --quiet --out new")[0] == 0
    assert Path("new/table.csv").read_text() != "stale"
    Path("spec.toml").write_text(SPEC.replace("2.0", "3.0"))
    before = snapshot("new")
    code, _, err = ropesim("run spec.toml --quiet --out new")
    assert code == 2 and "--overwrite" in err and snapshot("new") == before
    assert ropesim("run spec.toml --quiet --out new --overwrite")[0] == 0
    assert tomllib.loads(Path("new/spec.toml").read_text())["head"]["strength"] == 3.0
    assert sorted(path.name for path in Path("new").iterdir()) == sorted([*FILES, "notes"])


def test_an_empty_folder_may_be_written_to(ropesim, undrawn):
    Path("new").mkdir()
    assert ropesim("run spec.toml --quiet --out new")[0] == 0


def test_overwriting_leaves_no_file_of_the_other_spec(ropesim, undrawn):
    assert ropesim("run spec.toml --quiet --out new")[0] == 0
    before = snapshot("new")
    Path("spec.toml").write_text(SPEC.replace("2.0", "3.0") + 'quantities = ["sink"]\n')
    assert ropesim("run spec.toml --quiet --out new --overwrite")[0] == 0
    after = snapshot("new")
    assert not [name for name in ("profile.png", "map.png", "table.csv")
                if after.get(f"new/{name}") == before[f"new/{name}"]]


def test_a_spec_is_found_from_any_folder_and_so_are_its_files(ropesim, undrawn):
    Path("far").mkdir()
    np.savez("far/c.npz", q=np.ones((1, 1, 4, 2)), k=np.ones((1, 1, 4, 2)), theta=[1.0], scale=1.0, layout="half")
    Path("far/spec.toml").write_text('[head]\nkind = "captured"\nfile = "c.npz"\nlayer = 0\nhead = 0\n')
    code, out, _ = ropesim("run far/spec.toml --json --out new")
    assert code == 0 and strict(out)["spec"]["head"]["file"] == str(Path("far/c.npz").resolve())
    assert ropesim("run new/spec.toml")[0] == 0


# sweeps

def test_a_sweep_writes_one_store_counts_its_failures_and_exits_0(ropesim):
    Path("spec.toml").write_text(SWEEP)
    code, out, err = ropesim("run spec.toml --json --out deep/a.zarr")
    assert (code, err) == (0, "ropesim: 3 of 6 points failed; see `message` in the store\n")
    assert strict(out) == {"schema": 1, "ropesim": __version__, "store": "deep/a.zarr",
                           "sizes": {"head.strength": 3, "head.lag": 2, "lag": 16}}
    with xarray.open_zarr("deep/a.zarr") as store:
        assert store.done.values.tolist() == [[1, 1]] * 3
        assert (store.message != "").values.tolist() == [[False, True]] * 3
        assert json.loads(store.attrs["spec"]) == tomllib.loads(SWEEP)
    assert [path.name for path in Path("deep").iterdir()] == ["a.zarr"]


def test_disagreement_never_changes_the_exit_code_of_a_sweep(ropesim, monkeypatch):
    right = point.predicted
    monkeypatch.setattr(point, "predicted",
                        lambda case: ({name: value + 1 for name, value in right(case)[0].items()}, right(case)[1]))
    Path("spec.toml").write_text(SWEEP)
    code, out, _ = ropesim("run spec.toml --out a.zarr")
    assert code == 0 and out == "a.zarr: head.strength 3, head.lag 2, lag 16\n"


def test_a_store_of_the_same_sweep_is_resumed_and_of_another_refused_unless_overwritten(ropesim):
    Path("spec.toml").write_text(SWEEP)
    assert ropesim("run spec.toml --quiet --out a.zarr")[0] == 0
    before = {path: path.stat().st_ino for path in Path("a.zarr").rglob("*")}
    assert ropesim("run spec.toml --quiet --out a.zarr")[0] == 0
    assert {path: path.stat().st_ino for path in Path("a.zarr").rglob("*")} == before
    Path("spec.toml").write_text(SWEEP.replace("0.5", "0.6"))
    before = snapshot("a.zarr")
    assert ropesim("run spec.toml --quiet --out a.zarr")[0] == 2 and snapshot("a.zarr") == before
    assert ropesim("run spec.toml --quiet --out a.zarr --overwrite")[0] == 0
    with xarray.open_zarr("a.zarr") as store:
        assert store["head.strength"].values.tolist() == [0.6, 1.0, 2.0]


def test_a_sweep_with_a_file_among_its_values_or_fields_finds_it_beside_the_spec(ropesim):
    Path("far").mkdir()
    Path("far/a.json").write_text('{"head_dim": 4}')
    text = SPEC.replace('kind = "custom"\ntheta = [1.0, 0.1]', 'config = "a.json"')
    Path("far/spec.toml").write_text(text + '[sweep]\n"rope.config" = ["a.json", "b.json"]\n')
    shutil.copy("far/a.json", "far/b.json")
    assert ropesim("run far/spec.toml --quiet --out a.zarr") == (0, "", "")


# the rest

def test_help_and_version_exit_0(ropesim):
    assert ropesim("--version") == (0, f"ropesim, version {__version__}\n", "")
    for line in ("--help", "run --help", "bands -h"):
        code, out, err = ropesim(line)
        assert (code, err) == (0, "") and "Usage: ropesim" in out
