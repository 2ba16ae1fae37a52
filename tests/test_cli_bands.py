"""`ropesim bands`: the presets, and the pairs of one."""

import json
import math
from pathlib import Path

import pytest

from ropesim import bands
from ropesim.cli import main


@pytest.fixture
def ropesim(tmp_path, monkeypatch, capsys):
    """ropesim("bands ...") in a fresh folder -> exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(line):
        with pytest.raises(SystemExit) as stop:
            main(line.split())
        return (stop.value.code, *capsys.readouterr())

    return call


def strict(text):
    """The one JSON object of a text; NaN and Infinity, which JSON has not, are an error."""
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_bands_lists_every_preset(ropesim):
    code, out, err = ropesim("bands")
    assert (code, err) == (0, "") and [line.split()[0] for line in out.splitlines()] == ["name", *bands.names()]
    found = strict(ropesim("bands --json")[1])
    assert list(found) == ["schema", "presets"] and found["schema"] == 1
    assert all(list(entry) == ["name", "source"] and entry["source"] for entry in found["presets"])
    assert [entry["name"] for entry in found["presets"]] == bands.names()


def test_bands_of_a_preset_as_json_has_the_fields_of_the_contract(ropesim):
    code, out, _ = ropesim("bands llama-3.1-8b --json")
    found = strict(out)
    assert code == 0 and list(found) == [
        "schema", "name", "head_dim", "rotary_dim", "base", "scaling", "attention_factor", "layout", "source",
        "context", "theta", "wavelength", "turns", "critical_dim", "first_negative_lag"]
    assert (found["schema"], found["name"], found["head_dim"], found["base"]) == (1, "llama-3.1-8b", 128, 500000.0)
    assert {len(found[name]) for name in ("theta", "wavelength", "turns")} == {64}
    for theta, wavelength, turns in zip(found["theta"], found["wavelength"], found["turns"]):
        assert math.isclose(theta * wavelength, 2 * math.pi) and math.isclose(turns, found["context"] / wavelength)
    assert found["critical_dim"] == 2 * sum(turns >= 1 for turns in found["turns"])


def test_bands_shows_the_pairs_of_a_preset_or_of_a_config(ropesim):
    code, out, _ = ropesim("bands pythia-70m")
    assert code == 0 and "the other 24 pairs are not rotated" in out
    for word in ("high", "medium", "low", "critical dimension", "first lag with a negative sum", "wavelength"):
        assert word in out
    Path("config.json").write_text('{"head_dim": 4, "rope_theta": 100.0}')
    code, out, _ = ropesim("bands config.json")
    assert code == 0 and "none in the context" in out and out.splitlines()[-1].split() == [
        "1", "0.1", "62.8319", "low"]
    assert strict(ropesim("bands config.json --json")[1])["turns"] is None
