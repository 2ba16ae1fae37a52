import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim import bands, ensembles, gaussians, processes, wrappers
from ropesim.case import build, check_lags
from ropesim.errors import RopesimError
from ropesim.point import measure
from ropesim.spec import HEADS, Run, SlashHead, Spec, parse

HERE = Path(".")


def slash_tables(length=16, theta=(1.0, 0.1), run=(), **head):
    return {"rope": {"kind": "custom", "theta": list(theta)}, "head": {"kind": "slash", **head},
            "run": {"length": length, **dict(run)}}


# A score solved for

def logits_of_a_slash(theta, lag, length, gain):
    """By lag, for strength 1: the formula of the contract; `gain` is scale times attention_factor squared."""
    theta = theta[theta != 0]
    return np.array([gain * math.fsum(np.cos(theta * (x - lag))) for x in range(length)])


def average_score(logits, lag, skip=0, window=0, margin=None):
    """Mean of S[i, i - lag] over rows by plain sums; the sink as the contract has it."""
    found = []
    for i in range(lag, len(logits)):
        row = {j: logits[i - j] for j in range(i + 1)}
        if margin is not None:
            others = [row[j] for j in range(1, i + 1)]
            row[0] = margin + np.logaddexp.reduce(others) - math.log(i) if i else 0.0
        seen = {j: x for j, x in row.items() if not window or i - j < window}
        if i - lag >= skip:
            top = max(seen.values())
            total = math.fsum(math.exp(x - top) for x in seen.values())
            found.append(math.exp(seen[i - lag] - top) / total if i - lag in seen else 0.0)
    return math.fsum(found) / len(found)


ROPES = [{"kind": "custom", "theta": [1.0, 0.3, 0.05]}, {"kind": "half-dft", "pairs": 6},
         {"kind": "geometric", "head_dim": 16, "base": 1e4, "rotary_dim": 8}, {"preset": "llama-3.2-1b"},
         {"preset": "qwen2.5-7b-instruct-yarn"}, {"preset": "gpt-oss-20b"}]


def test_the_lower_end_of_the_interval_is_attained_up_to_rounding():
    for length in range(2, 40):
        zero = average_score(np.zeros(length), 0, margin=2.0)
        for score in (np.nextafter(zero, 0), zero, np.nextafter(zero, 1)):
            spec = slash_tables(length, lag=0, score=float(score), sink={"margin": 2.0})
            assert bare(build(parse(spec), HERE).head).strength <= 1e-9        # an ulp above may need a little


@given(st.sampled_from(ROPES), st.integers(1, 24), st.data())
def test_the_predicted_score_at_the_lag_is_the_wanted_one(rope, length, data):
    lag = data.draw(st.integers(0, length - 1), "lag")
    skip = data.draw(st.integers(0, length - lag - 1), "skip")
    window = data.draw(st.just(0) | st.integers(lag + 1, length + 3), "window")
    margin = data.draw(st.none() | st.floats(-3, 5), "margin")
    scale = data.draw(st.floats(0.1, 3), "scale")
    head = {"kind": "slash", "lag": lag} | ({} if margin is None else {"sink": {"margin": margin}})
    run = {"length": length, "skip": skip, "window": window, "scale": scale, "quantities": ["slash"]}
    table = bands.preset(rope["preset"]) if "preset" in rope else None
    theta = build(parse({"rope": rope, "head": head | {"strength": 1.0}, "run": run}), HERE).theta
    unit = logits_of_a_slash(theta, lag, length, scale * (table.attention_factor ** 2 if table else 1))
    ends = [average_score(s * unit, lag, skip, window, margin) for s in (0.0, 3.0)]
    assume(ends[1] - ends[0] > 1e-3)
    score = ends[0] + data.draw(st.floats(0, 0.999), "part") * (ends[1] - ends[0])
    case = build(parse({"rope": rope, "head": head | {"score": score}, "run": run}), HERE)
    assert abs(measure(case)["slash_predicted"][lag] - score) <= FLOAT
    strength = bare(case.head).strength
    assert abs(average_score(strength * unit, lag, skip, window, margin) - score) <= FLOAT


def bare(head):
    while not isinstance(head, ensembles.Slash | ensembles.Constant | ensembles.Captured):
        head = head.head
    return head


def test_noise_does_not_enter_the_score_that_is_solved_for():
    quiet = build(parse(slash_tables(lag=2, score=0.5)), HERE)
    noisy = build(parse(slash_tables(lag=2, score=0.5, noise=0.3)), HERE)
    assert bare(noisy.head) == quiet.head


@given(st.integers(2, 12), st.data())
def test_a_score_outside_the_interval_is_refused_with_both_of_its_ends(length, data):
    lag = data.draw(st.integers(0, length - 2))
    margin = data.draw(st.none() | st.floats(-2, 3))
    theta = np.array([1.0, 0.3])
    zero = average_score(np.zeros(length), lag, margin=margin)
    # strength without end: all the weight that the sink leaves goes to the lag, where a row has it
    top = average_score(2000 * logits_of_a_slash(theta, lag, length, 1.0), lag, margin=margin)
    sink = {} if margin is None else {"sink": {"margin": margin}}
    assume(top - zero > 1e-3)
    for wrong in (zero - 1e-3, min(top + 1e-3, 1.0)):
        assume(0 <= wrong <= 1)
        with pytest.raises(RopesimError, match=r"head.score = .*use a score in \[") as caught:
            build(parse(slash_tables(length, theta, lag=lag, score=wrong, **sink)), HERE)
        low, high = caught.value.remedy.split("[")[1].split(")")[0].split(", ")
        # six digits are printed; the last row alone tells margin from a finite strength
        assert abs(float(low) - zero) <= 1e-5 and abs(float(high) - top) <= 1e-5


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_lags_that_look_alike_share_the_score_and_bound_it(lag):
    length = 8
    logits = np.where((np.arange(length) - lag) % 2, -800.0, 0.0)        # theta = pi: every other lag is the same
    top = average_score(logits, lag)
    with pytest.raises(RopesimError, match="head.score") as caught:
        build(parse(slash_tables(length, [np.pi], lag=lag, score=min(top + 0.01, 1.0))), HERE)
    assert abs(float(caught.value.remedy.split(", ")[1].split(")")[0]) - top) <= 1e-5      # six digits are printed
    case = build(parse(slash_tables(length, [np.pi], lag=lag, score=top - 0.01)), HERE)
    assert abs(measure(case)["slash_predicted"][lag] - (top - 0.01)) <= FLOAT


# Random heads

SIZES = {"sigma_q": 0.5, "sigma_k": 0.25}
FAMILIES = {
    "gaussian": (gaussians.Gaussian, SIZES | {"correlation": -0.5}),
    "cone": (gaussians.Cone, {"cosine": 0.5, "width": 8, "sigma": 2.0, "weights_seed": 3}),
    "ar1": (processes.Ar1, SIZES | {"rho_q": 0.5, "rho_k": -0.5}), "random-walk": (processes.RandomWalk, {"step": 0.1}),
    "seasonal": (processes.Seasonal, SIZES | {"period": 16}),
    "jumping": (processes.Jumping, {"rate": 0.5, "gain": 2.0, "sigma_k": 1.0, "reach": 3}),
    "massive": (gaussians.Massive, SIZES | {"massive_q": 5.0, "massive_k": -3.0, "pair": 1})}


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_random_head_has_the_fields_of_its_table(kind):
    family, fields = FAMILIES[kind]
    tables = slash_tables(lag=2, strength=3.0, **fields)
    tables["head"] |= {"kind": kind, "noise": 0.5, "sink": {"margin": 1.0}}
    walk = {"length": 16} if kind == "random-walk" else {}
    bare = family(lag=2, strength=3.0, **fields, **walk)
    assert build(parse(tables), HERE).head == wrappers.Sink(wrappers.Noise(bare, 0.5), 1.0, 1.0)


def test_the_families_are_all_kinds_but_those_without_a_draw():
    assert set(FAMILIES) == set(HEADS) - {"constant", "slash", "captured"}


# What is put around what

def test_noise_lies_inside_the_factor_and_both_inside_the_sink():
    head = build(parse({"rope": {"preset": "qwen2.5-7b-instruct-yarn"}, "run": {"length": 8, "scale": 2.0},
                        "head": {"kind": "slash", "lag": 1, "strength": 1.0, "noise": 0.1, "sink": {"margin": 3.0}}}),
                 HERE).head
    factor = bands.preset("qwen2.5-7b-instruct-yarn").attention_factor
    assert factor > 1
    assert head == wrappers.Sink(wrappers.Factor(wrappers.Noise(ensembles.Slash(1, 1.0), 0.1), factor, 64), 3.0, 2.0)


def test_what_is_not_asked_for_is_not_put_around():
    assert build(parse(slash_tables(lag=1, strength=1.0)), HERE).head == ensembles.Slash(1, 1.0)
    assert build(parse(slash_tables(lag=1, strength=1.0, noise=0.0)), HERE).head == ensembles.Slash(1, 1.0)


def test_a_base_overrides_that_of_the_preset():
    case = build(parse({"rope": {"preset": "llama-3-8b", "base": 100.0}, "run": {"length": 4},
                        "head": {"kind": "slash", "lag": 1, "strength": 1.0}}), HERE)
    assert np.allclose(case.theta, 100.0 ** (-np.arange(64) / 64), rtol=EXACT, atol=0)


@pytest.mark.parametrize("config", [
    {"head_dim": 8, "rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 4.0}},
    {"head_dim": 8, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}], ids=["v4", "v5"])
def test_a_model_config_gives_the_bands(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    case = build(parse({"rope": {"config": "config.json"}, "run": {"length": 4},
                        "head": {"kind": "slash", "lag": 1, "strength": 1.0}}), tmp_path)
    assert np.allclose(case.theta, 1e4 ** (-np.arange(4) / 4) / 4, rtol=EXACT, atol=0)


@pytest.mark.parametrize("length, stretch", [(8, 1.0), (9, 2.0)])
def test_the_length_of_the_run_chooses_the_factors_of_longrope(tmp_path, length, stretch):
    config = {"head_dim": 4, "rope_theta": 1e4, "max_position_embeddings": 64, "original_max_position_embeddings": 8,
              "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 2.0]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    case = build(parse({"rope": {"config": "config.json"}, "run": {"length": length},
                        "head": {"kind": "slash", "lag": 1, "strength": 1.0}}), tmp_path)
    assert np.allclose(case.theta, np.array([1.0, 0.01]) / stretch, rtol=EXACT, atol=0)


def test_the_layer_type_chooses_between_the_bands_of_a_config(tmp_path):
    (tmp_path / "c.json").write_text('{"head_dim": 4, "rope_theta": 1e6, "rope_local_base_freq": 1e4}')
    for layer_type, base in (("full_attention", 1e6), ("sliding_attention", 1e4)):
        case = build(parse({"rope": {"config": "c.json", "layer_type": layer_type}, "run": {"length": 4},
                            "head": {"kind": "slash", "lag": 1, "strength": 1.0}}), tmp_path)
        assert np.allclose(case.theta, [1.0, base ** -0.5], rtol=EXACT, atol=0)


# Captured heads

def capture(folder, **changes):
    rng = np.random.default_rng(5)
    fields = {"q": rng.normal(size=(2, 2, 7, 6)), "k": rng.normal(size=(2, 1, 7, 6)), "scale": 0.25, "layout": "half",
              "theta": np.array([1.0, 0.1, 0.0]), "rotary_dim": 4, "attention_factor": 1.5, "window": np.array([0, 3])}
    fields |= changes
    np.savez(folder / "c.npz", **{name: value for name, value in fields.items() if value is not None})
    return fields


def captured(layer=0, head=1, **tables):
    return parse({"head": {"kind": "captured", "file": "c.npz", "layer": layer, "head": head}, **tables})


@pytest.mark.parametrize("layout, first, second", [("half", [0, 1, 4], [2, 3, 5]),
                                                   ("interleaved", [0, 2, 4], [1, 3, 5])])
def test_a_captured_head_is_paired_and_multiplied_by_its_attention_factor(tmp_path, layout, first, second):
    fields = capture(tmp_path, layout=layout)
    case = build(captured(), tmp_path)
    q, k, theta = case.head.sample(7, np.random.default_rng(0), case.theta)
    gain = np.array([1.5, 1.5, 1.0])                       # rotary_dim = 4: the last pair is not rotary
    for got, given_ in ((q, fields["q"][0, 1]), (k, fields["k"][0, 0])):
        assert np.allclose(got, (given_[:, first] + 1j * given_[:, second]) * gain, rtol=EXACT, atol=0)
    assert (theta.tolist(), case.scale, case.window, case.length) == ([1.0, 0.1, 0.0], 0.25, 0, 7)


def test_without_factor_and_rotary_dim_a_captured_head_is_taken_as_it_is(tmp_path):
    fields = capture(tmp_path, attention_factor=None, rotary_dim=None, window=None, theta=np.ones(3))
    case = build(captured(), tmp_path)
    q = case.head.sample(7, np.random.default_rng(0), case.theta)[0]
    assert np.array_equal(q, fields["q"][0, 1, :, :3] + 1j * fields["q"][0, 1, :, 3:])
    capture(tmp_path, rotary_dim=None)                      # a factor without rotary_dim acts on every pair
    assert build(captured(), tmp_path).head.pairs == 3


def test_the_window_of_the_layer_holds_unless_the_run_gives_one(tmp_path):
    capture(tmp_path)
    assert build(captured(layer=1), tmp_path).window == 3
    assert build(captured(layer=1, run={"window": 2}), tmp_path).window == 2


def test_a_shorter_run_cuts_the_capture_and_its_means(tmp_path):
    fields = capture(tmp_path, attention_factor=1.0)
    case = build(captured(run={"length": 4}), tmp_path)
    k = fields["k"][0, 0, 1:4]
    assert case.length == 4
    assert np.allclose(case.head.mean(case.theta).k, k[:, [0, 1, 4]].mean(0) + 1j * k[:, [2, 3, 5]].mean(0), rtol=EXACT)


def test_other_bands_replace_those_of_a_capture_attention_factor_included(tmp_path):
    fields = capture(tmp_path)
    case = build(captured(rope={"kind": "custom", "theta": [0.5, 0.25, 0.125]}), tmp_path)
    assert case.theta.tolist() == [0.5, 0.25, 0.125]
    q = case.head.sample(7, np.random.default_rng(0), case.theta)[0]
    assert np.array_equal(q, fields["q"][0, 1][:, [0, 1, 4]] + 1j * fields["q"][0, 1][:, [2, 3, 5]])
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    rope = {"kind": "geometric", "head_dim": 6, "rotary_dim": 4, "base": 1e4, "scaling": yarn}
    head = build(captured(rope=rope), tmp_path).head
    assert (head.factor, head.pairs) == (pytest.approx(0.1 * math.log(4) + 1, rel=EXACT), 2)


def test_lags_to_store_stay_below_the_length():
    check_lags([], 1)
    check_lags([0, 15], 16)
    with pytest.raises(RopesimError, match="run.lags = 16: use lags below run.length = 16"):
        check_lags([16, 0], 16)


def test_build_refuses_a_spec_without_bands_that_parse_never_saw():
    with pytest.raises(RopesimError, match=r"rope = None: add a \[rope\] table"):
        build(Spec(rope=None, head=SlashHead(kind="slash", lag=1, strength=1.0), run=Run(length=4)), HERE)
