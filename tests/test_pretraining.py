"""Training with and without head-wise RMSNorm: measures, the model against the other simulator, the page."""

import json
import sys
from dataclasses import asdict
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim import pretraining
from ropesim.errors import RopesimError
from ropesim.patterns import uniform
from ropesim.pretraining import SETTINGS, Setting, Trace
from ropesim.schedules import default
from ropesim.simulate import depth
from ropesim.simulate.weights import Layer
from ropesim.sources import ideal

DOCS = Path(__file__).parent.parent / "docs"
needs_torch = pytest.mark.skipif(not find_spec("torch"), reason="needs torch: python -m pip install '.[train]'")


# Measures

@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2 ** 32 - 1))
def test_effective_rank_lies_between_one_and_the_size(n, d, seed):
    x = np.random.default_rng(seed).normal(size=(n, d))
    rank = pretraining.effective_rank(x)
    assert 1 - FLOAT <= rank <= min(n, d) + FLOAT
    np.testing.assert_allclose([pretraining.effective_rank(-3 * x), pretraining.effective_rank(x.T)], rank, rtol=FLOAT)


def test_effective_rank_of_known_matrices():
    a = np.random.default_rng(0).normal(size=5)
    assert abs(pretraining.effective_rank(np.outer(a, a)) - 1) < FLOAT
    assert abs(pretraining.effective_rank(7 * np.eye(6)) - 6) < FLOAT
    shares = np.array([1, 2, 5]) / 8
    assert abs(pretraining.effective_rank(np.diag([1.0, 2.0, 5.0])) - np.prod(shares ** -shares)) < FLOAT


def test_uniform_rows_over_independent_values_have_the_variance_ratio_T():
    length, count = 16, 400
    v = np.random.default_rng(0).normal(size=(count, length, 2, 8))
    o = np.cumsum(v, axis=1) / np.arange(1, length + 1)[:, None, None]
    # the log of a ratio of two chi-squares with count - 1 times 16 degrees of freedom each, over one another
    spread = 2 / (count * 16) ** 0.5
    assert abs(np.log(pretraining.variance_ratio(o) / length)) < SIGMAS * spread


def test_the_variance_is_about_the_mean_over_texts():
    v = np.random.default_rng(0).normal(size=(30, 4, 3))
    moved = v + 100 * np.arange(12).reshape(4, 3)
    np.testing.assert_allclose(pretraining.variance_ratio(moved), pretraining.variance_ratio(v), rtol=FLOAT)


def trace(scores, *, width=6, seed=0):
    texts, heads, length, _ = scores.shape
    rng = np.random.default_rng(seed)
    return Trace(rng.normal(size=(texts, length, width)), scores, rng.normal(size=(texts, length, heads, 2)))


def test_uniform_heads_receive_the_baseline_and_a_sink_is_seen():
    length = 12
    scores = np.tril(np.ones((3, 2, length, length))) / np.arange(1, length + 1)[:, None]
    scores[:, 1] = np.eye(1, length)
    layer, = pretraining.measured([trace(scores)], [trace(scores)])
    np.testing.assert_allclose(layer["received"], [uniform(length).received[0], 1], rtol=EXACT)
    assert layer["sink"] == 0.5


def test_dominance_tells_position_zero_from_the_rest():
    one = trace(np.ones((2, 1, 4, 4)) / 4)
    one.x[:] = 1
    one.x[:, 0] = np.eye(6)[2]
    layer, = pretraining.measured([one], [one])
    assert (layer["dominance"], layer["dominance_rest"]) == (6, 1)


# Settings

def test_both_arms_and_all_seeds_have_the_same_source_and_held_out_texts():
    (source, text), (again, same) = (pretraining.texts(Setting(task="topics")) for _ in range(2))
    assert (text == same).all() and (source.bigrams == again.bigrams).all()


@pytest.mark.parametrize("change, name", [
    ({"task": "prose"}, "task"), ({"layers": 0}, "layers"), ({"heads": 0}, "heads"), ({"width": 0}, "width"),
    ({"width": 20, "heads": 4}, "width"), ({"length": 1}, "length"), ({"vocabulary": 7}, "vocabulary"),
    ({"batch": 0}, "batch"), ({"steps": 0}, "steps"), ({"steps": 1.5}, "steps"), ({"rate": 0}, "rate"),
    ({"rate": np.nan}, "rate")])
def test_a_bad_setting_is_refused(change, name):
    with pytest.raises(RopesimError, match=f"^{name} = "):
        Setting(**{"task": "topics"} | change)


@pytest.mark.parametrize("call, name", [
    (lambda: pretraining.effective_rank(np.zeros((2, 2))), "x"),
    (lambda: pretraining.effective_rank(np.ones(2)), "x"),
    (lambda: pretraining.variance_ratio(np.ones((1, 2, 3))), "shape of o"),
    (lambda: pretraining.variance_ratio(np.ones((2, 2, 3))), "variance of the last position")])
def test_bad_input_is_refused(call, name):
    with pytest.raises(RopesimError, match=f"^{name} = "):
        call()


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = pretraining.rates(SETTINGS["backcopy, small"])
    top = int(rates.argmax())
    assert (np.diff(rates[:top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert abs(top - pretraining.WARM * len(rates)) <= 1 and 0.99 < rates[top] / 5e-3 <= 1 and rates[-1] < 1e-5


@given(st.integers(1, 10 ** 6))
def test_the_points_of_a_curve_end_with_the_last_step(steps):
    points = pretraining.points(steps)
    assert points == sorted(set(points)) and points[-1] == steps and len(points) == min(steps, pretraining.POINTS)


def test_without_torch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RopesimError, match="the extra `train`"):
        pretraining.train(Setting(task="topics"), seed=1, head_norm=False)


# With torch

def weights_of(setting, seed=0):
    """As before training, but large enough to tell the coordinates apart, in float64."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(1, 0.3, w.shape) if w.ndim == 1 else 15 * w.astype(np.float64)
            for name, w in pretraining.first_weights(setting, rng).items()}


def layer_of(weights, number, heads, head_norm):
    w = {name: weights[f"{number}.{name}"]
         for name in ("attention", "output", "feed", "down", "before", "between", "head")}
    d, hidden = w["output"].shape[0], w["down"].shape[0]
    q, k, v = w["attention"].reshape(d, 3, heads, d // heads).transpose(1, 2, 0, 3)
    return Layer(q, k, v, w["output"].reshape(heads, d // heads, d), w["feed"][:, :hidden], w["feed"][:, hidden:],
                 w["down"], w["before"], w["between"], head_norm=w["head"] if head_norm else None,
                 epsilon=pretraining.EPSILON)


@needs_torch
@pytest.mark.parametrize("head_norm", [False, True])
def test_the_model_is_the_simulated_stack(head_norm):
    import torch
    setting = Setting(task="backcopy", layers=3, heads=2, width=12, length=9)
    weights = weights_of(setting)
    text = pretraining.texts(setting)[1][:2]
    logits, traces = pretraining.run({name: torch.from_numpy(w) for name, w in weights.items()}, torch.from_numpy(text),
                                     heads=2, head_norm=head_norm)
    for n, tokens in enumerate(text):
        x = weights["embed"][tokens].astype(np.float64)
        steps = list(depth.forward(x, [layer_of(weights, layer, 2, head_norm) for layer in range(3)],
                                   theta=default(6, 1e4)))
        for ours, theirs in zip(traces, steps, strict=True):
            np.testing.assert_allclose(ours.x[n], theirs.x, rtol=FLOAT, atol=FLOAT)
            np.testing.assert_allclose((ours.o[n] ** 2).mean(axis=-1).T, theirs.variance, rtol=FLOAT)
            np.testing.assert_allclose(ours.scores[n, :, :, 0].mean(axis=1), theirs.received[:, 0], rtol=FLOAT)
        last = depth.rms_norm(steps[-1].x, weights["scale"], pretraining.EPSILON) @ weights["unembed"]
        np.testing.assert_allclose(logits[n], last, rtol=FLOAT, atol=FLOAT)


@needs_torch
def test_training_repeats_itself_learns_and_both_arms_start_alike():
    setting = Setting(task="backcopy", layers=1, heads=1, width=16, length=12, vocabulary=8, batch=8, steps=60,
                      rate=1e-2)
    runs = [pretraining.train(setting, seed=seed, head_norm=norm) for seed, norm in ((1, False), (1, False), (1, True))]
    for run in runs:
        assert run["val"][-1] < run["val"][0] < np.log(8) + 0.1
        assert len(run["train"]) == len(run["val"]) == len(run["steps"]) and len(run["layers"]) == 1
        json.dumps(run)
    timeless = [{name: value for name, value in run.items() if name != "seconds"} for run in runs]
    assert timeless[0] == timeless[1] != timeless[2]


# The page

def page_maker():
    spec = spec_from_file_location("headnorm", DOCS / "headnorm.py")
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_tables_of_the_page_are_those_of_its_data():
    page, maker = (DOCS / "headnorm.md").read_text(encoding="utf-8"), page_maker()
    found = json.loads((DOCS / "data" / "headnorm.json").read_text(encoding="utf-8"))
    assert maker.filled(page, found) == page
    found["runs"][0]["val"][-1] += 0.01
    assert maker.filled(page, found) != page


def test_the_data_of_the_page_are_those_of_the_settings():
    found = json.loads((DOCS / "data" / "headnorm.json").read_text(encoding="utf-8"))
    assert list(found["settings"]) == list(SETTINGS)
    for name, setting in SETTINGS.items():
        one = dict(found["settings"][name])
        least = ideal(*pretraining.texts(setting)).mean()
        assert abs(one.pop("ideal") / least - 1) < 1e-4              # five digits are kept
        assert one == asdict(setting)
        runs = [(run["seed"], run["head_norm"]) for run in found["runs"] if run["setting"] == name]
        assert runs == [(seed, arm) for seed in pretraining.SEEDS for arm in (False, True)]


def test_the_picture_has_two_panels_for_each_setting():
    found = json.loads((DOCS / "data" / "headnorm.json").read_text(encoding="utf-8"))
    assert len(page_maker().picture(found).axes) == 2 * len(SETTINGS)
