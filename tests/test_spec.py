import json
import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from ropesim import bands
from ropesim.case import build
from ropesim.errors import RopesimError
from ropesim.spec import dump, examples, located, parse, read, rope

HERE = Path(".")
NUMBERS = st.floats(-5, 5)
AMPLITUDES = st.floats(0, 5)


# Round trips

def ropes():
    whole = st.integers(1, 40)
    geometric = st.fixed_dictionaries(
        {"kind": st.just("geometric"), "head_dim": whole, "base": st.floats(1.5, 1e9)},
        optional={"rotary_dim": whole, "context": whole,
                  "scaling": st.just({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64})})
    return st.one_of(
        geometric,
        st.fixed_dictionaries({"preset": st.sampled_from(bands.names())}, optional={"base": st.floats(2, 9)}),
        st.fixed_dictionaries({"config": st.text(min_size=1)}, optional={"layer_type": st.text(min_size=1)}),
        st.fixed_dictionaries({"kind": st.just("half-dft"), "pairs": whole}),
        st.fixed_dictionaries({"kind": st.just("custom"), "theta": st.lists(NUMBERS)}, optional={"rotary_dim": whole}))


def heads():
    common = {"noise": st.floats(0, 3), "sink": st.fixed_dictionaries({"margin": NUMBERS})}
    size = st.fixed_dictionaries({"strength": AMPLITUDES}) | st.fixed_dictionaries({"score": st.floats(0, 1)})
    slash = st.fixed_dictionaries({"kind": st.just("slash"), "lag": st.integers(0, 9)}, optional=common)
    share, around = st.floats(0, 1), common | {"lag": st.integers(0, 9), "strength": AMPLITUDES}
    sigma = {"sigma_q": AMPLITUDES, "sigma_k": AMPLITUDES}
    families = {
        "gaussian": (sigma, {"correlation": share}), "ar1": (sigma | {"rho_q": share, "rho_k": share}, {}),
        "cone": ({"cosine": share}, {"width": st.integers(2, 9), "sigma": share, "weights_seed": st.integers(0, 9)}),
        "random-walk": ({"step": share}, {}), "seasonal": (sigma | {"period": st.integers(1, 9)}, {}),
        "jumping": ({"rate": share, "gain": share, "sigma_k": share}, {"reach": st.integers(1, 9)}),
        "massive": (sigma | {"pair": st.integers(0, 9), "massive_q": NUMBERS, "massive_k": NUMBERS}, {})}
    return st.one_of(
        *(st.fixed_dictionaries({"kind": st.just(kind), **fields}, optional=around | more)
          for kind, (fields, more) in families.items()),
        st.builds(lambda a, b: a | b, slash, size),
        st.fixed_dictionaries({"kind": st.just("constant"), "amplitude": st.lists(AMPLITUDES),
                               "phase": st.lists(NUMBERS)}, optional=common))


def runs(captured):
    kept = {"length": st.integers(1, 1 << 24), "skip": st.integers(0, 9), "window": st.integers(0, 9),
            "quantities": st.lists(st.sampled_from(["slash", "sink", "received", "entropy"]), min_size=1),
            "lags": st.lists(st.integers(0, 9))}
    drawn = {"samples": st.integers(1, 99), "seed": st.integers(0, 2 ** 70), "replicate": st.integers(0, 9),
             "scale": st.floats(0.1, 10)}
    return st.fixed_dictionaries({}, optional=kept if captured else kept | drawn)


def specs():
    capture = st.fixed_dictionaries({"kind": st.just("captured"), "file": st.text(), "layer": st.integers(0, 9),
                                     "head": st.integers(0, 9)})
    return st.fixed_dictionaries({"rope": ropes(), "head": heads(), "run": runs(False)}) | \
        st.fixed_dictionaries({"head": capture, "run": runs(True)}, optional={"rope": ropes()})


@given(specs())
def test_a_spec_survives_dump_and_parse_and_a_trip_through_toml(tables):
    spec = parse(tables)
    assert parse(dump(spec)) == spec
    assert parse(tomllib.loads(tomli_w.dumps(dump(spec)))) == spec


def sentence(tables):
    with pytest.raises(RopesimError) as found:
        parse(tables)
    return str(found.value)


@given(specs())
def test_a_rope_and_a_run_that_are_checked_may_stand_for_their_tables(tables):
    spec = parse(tables)
    again = parse({**tables, "rope": spec.rope, "run": spec.run})
    assert again == spec and again.rope is spec.rope and again.run is spec.run
    for wrong in ({}, {**tables["head"], "noise": "x"}, {**tables["head"], "kind": "none"}):
        known = {"rope": spec.rope, "run": spec.run, "head": wrong}
        assert sentence({**tables, "head": wrong}) == sentence({**tables, **known})


@given(specs())
def test_dump_says_what_was_given_and_writes_every_default(tables):
    full = dump(parse(tables))
    for name, table in tables.items():
        assert table.items() <= full[name].items()
    assert "seed" in full["run"] or tables["head"]["kind"] == "captured"


@pytest.mark.parametrize("name", examples())
def test_every_shipped_example_reads_parses_and_builds(name):
    tables, folder = read(name)
    case = build(parse(tables), folder)
    assert case.length == tables.get("run", {}).get("length", 512)
    assert build(parse(located(tables, folder)), HERE).theta.tolist() == case.theta.tolist()


def test_file_names_hold_from_any_folder_once_located(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"head_dim": 4}))
    tables = {"rope": {"config": "c.json"}, "head": {"kind": "constant", "amplitude": [1.0, 1.0], "phase": [0.0, 0.0]},
              "run": {"length": 2}}
    moved = located(tables, tmp_path)
    assert moved["rope"]["config"] == str(tmp_path / "c.json") and tables["rope"]["config"] == "c.json"
    assert build(parse(moved), Path("/")).theta.size == 2
    assert located({"rope": 5, "head": {"file": 3}}, tmp_path) == {"rope": 5, "head": {"file": 3}}


@pytest.mark.parametrize("given, name", [({"kind": "half-dft"}, "rope.pairs"), ({"pairs": 3}, "rope"), (3, "rope"),
                                         ({"kind": "random", "pairs": 3, "seed": -1}, "rope.seed"),
                                         ({"kind": "half-dft", "pairs": 3, "seed": 1}, "rope.seed")])
def test_bands_alone_are_checked_as_in_a_spec(given, name):
    assert rope({"kind": "random", "pairs": 3, "seed": 1}).pairs == 3
    head = {"kind": "slash", "lag": 1, "strength": 1}
    for call in (lambda: rope(given), lambda: parse({"rope": given, "head": head})):
        with pytest.raises(RopesimError) as caught:
            call()
        assert caught.value.name == name
