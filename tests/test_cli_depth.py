"""`ropesim depth` as a user types it."""

import json
from pathlib import Path

import pytest

from ropesim import compare
from ropesim.cli import main

TINY = """
[stack]
layers = 2
length = 5
width = 8
[chain]
length = 5
width = 16
[run]
samples = 32
sequences = 64
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)


def code(*argv):
    with pytest.raises(SystemExit) as caught:
        main(["depth", *argv])
    return caught.value.code


def test_json_holds_every_row_before_and_after(capsys):
    assert code("tiny.toml", "--json", "--quiet", "--intervene", "mask:2", "--intervene", "pack:2") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1 and {row["intervention"] for row in found["rows"]} == {None, "mask:2", "pack:2"}
    assert list(found["rows"][0]) == ["intervention", "layer", "position", "quantity", "predicted", "error",
                                      "simulated", "stderr", "agrees"]
    assert all(row["agrees"] for row in found["rows"])


def test_the_table_shows_where_an_intervention_acts_and_counts_the_rest(capsys):
    assert code("tiny.toml", "--intervene", "mask:2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:4] == ["mask:2", "variance", "1", "2"] for line in lines)
    assert lines[-1].endswith("--json prints them all") and "DISAGREES" not in "".join(lines)


def test_a_disagreement_exits_1_and_is_shown(capsys, monkeypatch):
    def wrong(stack):
        values, errors = expected(stack)
        values["norm"][1, 3] += 1.0
        return values, errors

    expected = compare.predict_mixing.expected
    monkeypatch.setattr(compare.predict_mixing, "expected", wrong)
    assert code("tiny.toml") == 1
    line, = [line for line in capsys.readouterr().out.splitlines() if "DISAGREES" in line]
    assert line.split()[:3] == ["norm", "1", "3"]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_written(ending, capsys):
    assert code("tiny.toml", "--quiet", "--out", f"new/a.{ending}", "--intervene", "headnorm") == 0
    assert Path(f"new/a.{ending}").stat().st_size > 1000 and capsys.readouterr().out == ""


def test_the_listing_names_the_fields(capsys):
    assert code("--list") == 0
    assert "[stack.rows]" in capsys.readouterr().out


@pytest.mark.parametrize("argv, words", [
    (["none.toml"], "STUDY = 'none.toml'"), (["tiny.toml", "--out", "a.txt"], "--out = 'a.txt'"),
    (["tiny.toml", "--intervene", "mask"], "write mask:K"), (["tiny.toml", "--out", "tiny.toml/a.png"], "is a file"),
    (["tiny.toml", "--intervene", "mask:9"], "mask:9"), (["tiny.toml", "--out", "folder.png"], "this is a folder"),
    (["tiny.toml", "--intervene", f"pack:{10 ** 30}"], "document"),
    (["tiny.toml", "--intervene", "scale:1:1e300"], "factor"),
    (["huge.toml"], "run.samples = 1000000000: use at most")])
def test_bad_input_exits_2_with_one_line_and_writes_nothing(argv, words, capsys, tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "huge.toml").write_text(TINY.replace("samples = 32", "samples = 1000000000"))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert code(*argv) == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 and out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before
