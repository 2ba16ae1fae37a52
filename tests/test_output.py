"""What the commands write: whole files, and JSON that any reader takes."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropesim.errors import RopesimError
from ropesim.output import check_folder, check_parents, holds, print_json, replace, strict

values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3), lambda inner: (
    st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3)))


def test_a_path_is_refused_where_a_parent_is_a_file(tmp_path):
    check_parents(tmp_path / "new" / "deep" / "a")
    (tmp_path / "file").write_text("a")
    with pytest.raises(RopesimError, match="is a file"):
        check_parents(tmp_path / "file" / "deep" / "a")


def test_a_file_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"the old one, which is longer")
    replace(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_file_that_can_not_be_replaced_stays_and_nothing_lies_beside_it(tmp_path, monkeypatch, step):
    (tmp_path / "a").write_bytes(b"old")

    def full(self, *_):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, full)
    with pytest.raises(OSError, match="No space"):
        replace(tmp_path / "a", b"new")
    monkeypatch.undo()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


@given(values)
def test_strict_json_holds_every_value(value):
    assert json.loads(json.dumps(strict(value), allow_nan=False)) == strict(value)


def test_numbers_that_are_not_finite_become_null_at_any_depth(capsys):
    print_json({"a": [math.nan, (math.inf, 1.5)], "b": {"c": -math.inf, 2: True}})
    assert capsys.readouterr().out == '{"a": [null, [null, 1.5]], "b": {"c": null, "2": true}}\n'


def test_results_stay_where_a_folder_is_of_another_spec(tmp_path):
    (tmp_path / "spec.toml").write_text("a = 1\n")
    assert holds(tmp_path, {"a": 1}) and not holds(tmp_path, {"a": 2})
    check_folder(tmp_path, {"a": 1}, ["spec.toml"], overwrite=False)
    check_folder(tmp_path, {"a": 2}, ["spec.toml"], overwrite=True)
    check_folder(tmp_path, {"a": 2}, ["table.csv"], overwrite=False)          # nothing of ours is there
    with pytest.raises(RopesimError, match="overwrite"):
        check_folder(tmp_path, {"a": 2}, ["spec.toml"], overwrite=False)
    with pytest.raises(RopesimError, match="use a folder"):
        check_folder(tmp_path / "spec.toml", {}, [], overwrite=True)
