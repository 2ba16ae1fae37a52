"""Studies from TOML: every field reaches its place, and what cannot be is refused by name."""

import pytest

from ropesim.compare import Study
from ropesim.errors import RopesimError
from ropesim.stacks import Chain, Rows, Stack
from ropesim.studies import described, read, study

WHOLE = """
[stack]
layers = 3
heads = 2
length = 16
width = 32
window = 4
document = 8
shared = true
alone = [2, 5]
value = 0.1
rho = 0.2
gain = 0.5
norm = "post"
head_norm = true
[stack.rows]
tau = 1.0
margin = 2.0
kind = "sigmoid"
[chain]
mean = 0.0
length = 20
[run]
samples = 50
sequences = 70
seed = 11
"""


def test_every_field_of_a_file_reaches_its_place(tmp_path):
    (tmp_path / "a.toml").write_text(WHOLE)
    assert read(str(tmp_path / "a.toml")) == Study(
        Stack(layers=3, heads=2, length=16, width=32, window=4, document=8, shared=True, alone=(2, 5), value=0.1,
              rho=0.2, gain=0.5, norm="post", head_norm=True, rows=Rows(tau=1.0, margin=2.0, kind="sigmoid")),
        Chain(mean=0.0, length=20), 50, 70, 11)


def test_a_file_with_one_table_is_about_that_one_and_an_empty_one_about_the_defaults():
    assert study({"chain": {}}) == Study(stack=None) and study({"stack": {}}) == Study(chain=None)
    assert study({}) == read(None) == Study() and study({"run": {"seed": 2}}) == Study(seed=2)


def test_the_listing_names_every_field_with_its_default():
    lines = described().splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[stack]", "[stack.rows]", "[chain]", "[run]"]
    assert {"  norm = 'pre'", f"  mean = {Chain().mean}", f"  samples = {Study().samples}"} < set(lines)


@pytest.mark.parametrize("tables, words", [
    ({"stak": {}}, "stak = {}: unknown field; did you mean stack?"),
    ({"stack": 3}, "stack = 3: use a table [stack]"),
    ({"stack": {"rows": 3}}, "stack.rows = 3: use a table [stack.rows]"),
    ({"stack": {"layer": 3}}, "stack.layer = 3: unknown field; did you mean layers?"),
    ({"stack": {"layers": -1}}, "stack.layers = -1"), ({"stack": {"layers": 1.5}}, "stack.layers = 1.5"),
    ({"stack": {"layers": "x"}}, "stack.layers = 'x'"), ({"stack": {"layers": True}}, "stack.layers = True"),
    ({"stack": {"norm": "rms"}}, "stack.norm = 'rms': use one of pre, post, none"),
    ({"stack": {"norm": ["pre"]}}, "stack.norm"), ({"stack": {"alone": 3}}, "stack.alone = 3: use a list"),
    ({"stack": {"alone": [1.5]}}, "stack.alone = 1.5"), ({"stack": {"shared": "yes"}}, "stack.shared = 'yes'"),
    ({"stack": {"head_norm": 1}}, "stack.head_norm = 1"),
    ({"stack": {"alone": [99]}}, "stack.alone = 99"), ({"stack": {"rho": 1.5}}, "stack.rho = 1.5"),
    ({"stack": {"rows": {"mass": 1.5}}}, "stack.rows.mass = 1.5"),
    ({"stack": {"rows": {"mass": 0.5, "margin": 1}}}, "stack.rows.mass, margin"),
    ({"stack": {"rows": {"kind": "max"}}}, "stack.rows.kind = 'max'"),
    ({"chain": {"residual": -1}}, "chain.residual = -1"), ({"chain": {"men": 1}}, "did you mean mean?"),
    ({"chain": {"intervene": "mask", "at": 99}}, "chain.at = 99"),
    ({"run": {"samples": 31}}, "run.samples = 31: use a whole number from 32 on"),
    ({"run": {"sequences": 31}}, "run.sequences = 31"), ({"run": {"sequences": 0.5}}, "run.sequences = 0.5"),
    ({"run": {"seed": -1}}, "run.seed = -1"), ({"run": {"sample": 4}}, "did you mean samples?"),
])
def test_bad_fields_are_refused_by_name(tables, words):
    with pytest.raises(RopesimError) as caught:
        study(tables)
    assert words in str(caught.value)


@pytest.mark.parametrize("name, text, words", [
    ("a.txt", "", "ends in .toml"), ("missing.toml", None, "can be read"), ("a.toml", "[stack", "valid TOML"),
    ("a.toml", "x = 1\n[stack]\n", "x = 1: unknown field")])
def test_files_that_are_no_studies_are_refused(tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(RopesimError) as caught:
        read(str(tmp_path / name))
    assert words in str(caught.value)
