"""Training runs from TOML."""

import math
from pathlib import Path

import numpy as np
import pytest

from ropesim import bands
from ropesim.errors import RopesimError
from ropesim.slash_task import Task
from ropesim.trainings import RUN, TASK, Training, parse

HERE = Path(".")


def made(rope=None, **train):
    return parse({"train": {"kind": "slash", **train}, **({} if rope is None else {"rope": rope})}, HERE)


def test_a_bare_table_is_the_command_without_options():
    found = made()
    assert (found.task, found.epsilon, found.batch, found.seed, found.together) == (Task(), 401 ** -0.5, 32, 0, False)
    assert np.array_equal(found.theta, bands.half_dft(200).theta)


def test_every_field_is_read():
    given = {"classes": 3, "length": 51, "lag": 2, "probabilities": [0.5, 0.3, 0.2], "epsilon": 0.1, "eta": 1.0,
             "eta_2": 2.0, "batch": 7, "loss": 0.5, "steps": 3, "steps_2": 4, "seed": 5, "together": True}
    assert set(given) == {*TASK, *RUN}
    found = made(**given)
    assert {name: getattr(found.task, name) for name in TASK} | {name: getattr(found, name) for name in RUN} == {
        **given, "probabilities": (0.5, 0.3, 0.2)}


@pytest.mark.parametrize("rope, expected", [
    ({"kind": "half-dft", "pairs": 7}, bands.half_dft(7).theta),
    ({"kind": "random", "pairs": 7, "seed": 3}, bands.random(7, seed=3).theta),
    ({"preset": "llama-3-8b"}, bands.preset("llama-3-8b").theta),
    ({"kind": "custom", "theta": [1.0, 0.5, 0.0]}, [1.0, 0.5]),
    ({"kind": "custom", "theta": [1e-15, 2e-15, 7.0]}, [1e-15, 2e-15, 7.0]),
    ({"kind": "geometric", "head_dim": 8, "base": 100.0, "rotary_dim": 4}, [1.0, 0.1])])
def test_frequencies_are_the_rotated_pairs(rope, expected):
    assert made(rope).theta == pytest.approx(expected)


def test_thirds_are_those_of_the_bands():
    table = bands.preset("llama-3-8b")
    parts = [made({"preset": "llama-3-8b"}, band=band).theta for band in ("high", "medium", "low")]
    assert np.array_equal(np.concatenate(parts), table.theta) and [part.size for part in parts] == [21, 21, 22]
    assert parts[0].min() > parts[1].max() > parts[1].min() > parts[2].max()
    assert made(band="low", length=13).theta.max() < made(band="high", length=13).theta.min()


@pytest.mark.parametrize("rope, train, name", [
    (None, {"kind": "stripe"}, "train.kind"), (None, {"clases": 3}, "train.clases"),
    (None, {"classes": 1}, "train.classes"), (None, {"classes": 401}, "train.classes"),
    (None, {"length": 20}, "train.length"), (None, {"lag": 401}, "train.lag"),
    (None, {"probabilities": [0.5, 0.4], "classes": 2}, "train.sum of probabilities"),
    (None, {"epsilon": 1.0}, "train.epsilon"), (None, {"epsilon": math.nan}, "train.epsilon"),
    (None, {"eta": 0.0}, "train.eta"), (None, {"eta_2": -1.0}, "train.eta_2"), (None, {"batch": -1}, "train.batch"),
    (None, {"loss": 0.0}, "train.loss"), (None, {"steps": -1}, "train.steps"), (None, {"seed": 0.5}, "train.seed"),
    (None, {"together": 1}, "train.together"), (None, {"band": "top"}, "train.band"),
    ({"kind": "custom", "theta": [1.0, 1.0]}, {}, "rope.theta"), ({"kind": "custom", "theta": [0.0]}, {}, "rope"),
    ({"kind": "custom", "theta": [1.0]}, {"band": "high"}, "train.band"), ({"preset": "llama"}, {}, "rope.preset"),
    (None, {"length": 2 ** 24 + 1}, "train.length"), (None, {"epsilon": 1e-9}, "train.epsilon"),
    (None, {"probabilities": 0.5, "classes": 2}, "train.probabilities"),
    ({"kind": "custom", "theta": [1.0, -1.0]}, {}, "rope.theta"),
    ({"kind": "custom", "theta": [0.5, 1.0, 1.0 + 2 * math.pi]}, {}, "rope.theta"),
    ({"kind": "half-dft"}, {}, "rope.pairs"), ({"pairs": 3}, {}, "rope"), (3, {}, "rope"),
    ({"kind": "half-dft", "pairs": "3"}, {}, "rope.pairs")])
def test_bad_input_is_named(rope, train, name):
    with pytest.raises(RopesimError) as caught:
        made(rope, **train)
    assert caught.value.name == name and caught.value.remedy


@pytest.mark.parametrize("tables, name", [({"train": 3}, "train"), ({"train": {"kind": "slash"}, "head": {}}, "head"),
                                          ({}, "train.kind")])
def test_tables_that_are_no_training_are_refused(tables, name):
    with pytest.raises(RopesimError) as caught:
        parse(tables, HERE)
    assert caught.value.name == name


def test_a_run_from_python_is_checked_too():
    with pytest.raises(RopesimError, match="epsilon"):
        Training(epsilon=-0.5)
