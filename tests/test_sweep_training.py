"""Sweeps over a training run: the same axes, stores and failures as those over a head."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray

from ropesim import compare_training, datasets, trainings
from ropesim.cli import main
from ropesim.errors import RopesimError
from ropesim.trainings import QUANTITIES

HERE = Path(".")
SPEC = {"train": {"kind": "slash", "classes": 2, "length": 21, "steps_2": 20},
        "sweep": {"train.lag": [1, 2, 21], "train.eta": [0.2, 0.4]}}
TOML = """
[rope]
preset = "llama-3-8b"
[train]
kind = "slash"
classes = 2
length = 21
steps = 150
eta = 0.5
steps_2 = 0
[sweep]
"train.band" = ["high", "low"]
"""


def code(*argv):
    with pytest.raises(SystemExit) as caught:
        main([*argv])
    return caught.value.code


def test_points_are_single_runs_and_a_point_that_fails_says_why():
    found = datasets.dataset(SPEC, HERE)
    assert dict(found.sizes) == {"train.lag": 3, "train.eta": 2}
    one = {"train": {**SPEC["train"], "lag": 2, "eta": 0.4}}
    point = found.isel({"train.lag": 1, "train.eta": 1})
    for name, value in compare_training.values(trainings.parse(one, HERE)).items():
        assert np.array_equal(point[name], value, equal_nan=True)
    assert found.message.values.tolist()[:2] == [["", ""], ["", ""]]
    assert all("train.lag = 21" in text for text in found.message.values[2])
    assert np.isnan(found.score_simulated.values[2]).all()


def test_a_diverged_run_is_a_failed_point():
    found = datasets.dataset({"train": {**SPEC["train"]}, "sweep": {"train.eta": [0.4, 1e6]}}, HERE)
    assert found.message.values[0] == "" and "diverged at step" in found.message.values[1]


def test_tables_of_frequencies_are_an_axis(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(TOML)
    assert code("run", "a.toml", "--explain", "--json") == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["points"] == 2 and plan["quantities"] == list(QUANTITIES) and plan["seconds"] > 0
    assert code("run", "a.toml", "--out", "a.zarr", "--quiet") == 0
    with xarray.open_zarr("a.zarr") as found:
        high, low = found.score_simulated.values
        assert high > 2 * low and found.message.values.tolist() == ["", ""]
    assert code("plot", "a.zarr", "--out", "a.png") == 0


def test_a_training_without_a_sweep_belongs_to_its_command(tmp_path, capsys):
    (tmp_path / "a.toml").write_text('[train]\nkind = "slash"\n')
    assert code("run", str(tmp_path / "a.toml")) == 2
    assert "ropesim train slash" in capsys.readouterr().err


def test_no_point_that_can_be_built_is_refused_before_anything_is_computed():
    with pytest.raises(RopesimError, match="train.lag = 30"):
        datasets.dataset({"train": SPEC["train"], "sweep": {"train.lag": [30, 31]}}, HERE)
