import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim.case import build
from ropesim.point import KINDS, measure, measured, portrait, predicted, rows, simulated
from ropesim.spec import dump, examples, parse, read

EVERY = ["slash", "sink", "entropy", "participation", "received"]


def made(folder=Path("."), rope=None, head=None, **run):
    rope = rope or {"kind": "custom", "theta": [1.0, 0.1]}
    head = {"kind": "slash", "lag": 3, "strength": 2.0} | (head or {})
    return build(parse({"rope": rope, "head": head, "run": {"length": 24, "quantities": EVERY, **run}}), folder)


def noisy(**run):
    return made(head={"noise": 0.3, "sink": {"margin": 2.0}}, **run)


def brute(q, k, theta, scale=1.0, window=0, skip=0):
    """The five quantities of q and k by plain NumPy over the whole matrix."""
    length = len(q)
    i = np.arange(length)
    lag = i[:, None] - i
    phase = np.exp(1j * lag[:, :, None] * theta)
    logits = scale * np.einsum("ib,jb,ijb->ij", q, k.conj(), phase).real
    hidden = (lag < 0) | ((lag >= window) if window else False)
    s = np.where(hidden, 0.0, np.exp(logits - np.where(hidden, -np.inf, logits).max(axis=1, keepdims=True)))
    s /= s.sum(axis=1, keepdims=True)
    entropy = -(s * np.log(np.where(s > 0, s, 1.0))).sum(axis=1)
    slash = [s.diagonal(-d)[skip:].mean() if length - d > skip else np.nan for d in range(length)]
    received = s.sum(axis=0) / (length - i)
    half = length // 2
    return {"slash": np.array(slash), "sink": received[0], "entropy": entropy[half:].mean(),
            "participation": (s ** 2).sum(axis=1)[half:].mean(), "received": received}


def streams(case, count):
    """q, k, theta of the samples, drawn in order from the one stream of the replicate."""
    rng = np.random.default_rng(np.random.SeedSequence(case.run.seed, spawn_key=(case.run.replicate,)))
    return [case.head.sample(case.length, rng, case.theta) for _ in range(count)]


def near(one, other, tolerance=FLOAT):
    return np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("settings", [{}, {"window": 5}, {"skip": 3}, {"scale": 0.5, "seed": 9, "replicate": 2}])
def test_means_and_standard_errors_are_those_of_the_drawn_samples(settings):
    case = noisy(samples=5, **settings)
    each = [brute(q, k, theta, case.scale, case.window, case.run.skip) for q, k, theta in streams(case, 5)]
    means, stderr = simulated(case)
    for name in EVERY:
        values = np.array([one[name] for one in each])
        assert near(means[name], values.mean(axis=0))
        assert near(stderr[name], values.std(axis=0, ddof=1) / math.sqrt(5))


def test_the_same_seed_gives_the_same_bits_and_another_replicate_other_ones():
    first, again, other, seeded = (simulated(noisy(samples=3, **run))[0]["slash"]
                                   for run in ({}, {}, {"replicate": 1}, {"seed": 1}))
    assert first.tobytes() == again.tobytes()
    assert len({first.tobytes(), other.tobytes(), seeded.tobytes()}) == 3


def test_more_samples_begin_with_the_same_ones():
    one = simulated(noisy(samples=1))[0]["slash"]
    two = simulated(noisy(samples=2))[0]["slash"]
    second = brute(*streams(noisy(), 2)[1])["slash"]
    assert near(two, (one + second) / 2)


def test_one_sample_has_no_standard_error_unless_nothing_is_drawn():
    assert np.isnan(simulated(noisy(samples=1))[1]["slash"]).all()
    stderr = simulated(made(samples=1))[1]
    assert not stderr["slash"].any() and not np.isnan(stderr["slash"]).any()


def test_a_head_that_draws_nothing_is_simulated_once():
    taken = []

    def progress(work):
        taken.extend(work)
        return iter(taken)

    simulated(made(samples=16), progress)
    assert taken == [0]


@pytest.mark.parametrize("name", ["constant-head", "slash-head"])
def test_the_two_wings_agree_on_shipped_heads_without_noise(name):
    tables, folder = read(name)
    tables["head"].pop("noise", None)
    tables["run"] |= {"length": 64, "quantities": EVERY}
    if "score" in tables["head"]:
        tables["head"]["score"] = 0.3             # of so few tokens the sink leaves no more
    values = measure(build(parse(tables), folder))
    for quantity in EVERY:
        assert near(values[f"{quantity}_predicted"], values[f"{quantity}_simulated"])
        assert (values[f"{quantity}_error"] <= FLOAT).all() and not values[f"{quantity}_stderr"].any()


@given(st.integers(1, 12), st.integers(0, 14), st.integers(0, 14), st.floats(0.1, 3), st.none() | st.floats(-3, 5),
       st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 5), st.floats(-3, 3)), min_size=1, max_size=3))
def test_both_wings_of_any_constant_head_equal_the_whole_matrix(length, skip, window, scale, margin, drawn):
    theta, amplitude, phase = (list(column) for column in zip(*drawn))
    head = {"kind": "constant", "amplitude": amplitude, "phase": phase}
    head |= {} if margin is None else {"sink": {"margin": margin}}
    case = build(parse({"rope": {"kind": "custom", "theta": theta}, "head": head,
                        "run": {"length": length, "skip": skip, "window": window, "scale": scale,
                                "quantities": EVERY}}), Path("."))
    truth = brute(*streams(case, 1)[0], scale, window, skip)
    values = measure(case)
    for name in EVERY:
        assert near(values[f"{name}_simulated"], truth[name]) and near(values[f"{name}_predicted"], truth[name])


@pytest.fixture
def recorded(tmp_path):
    rng = np.random.default_rng(11)
    q, k = rng.normal(size=(2, 1, 1, 20, 6))
    np.savez(tmp_path / "c.npz", q=q, k=k, theta=[1.0, 0.1, 0.01], scale=0.4, layout="half", window=[7])
    tables = {"head": {"kind": "captured", "file": "c.npz", "layer": 0, "head": 0}, "run": {"quantities": EVERY}}
    return build(parse(tables), tmp_path), q[0, 0], k[0, 0]


def test_a_captured_head_is_simulated_by_the_scores_of_its_own_queries_and_keys(recorded):
    case, q, k = recorded
    values = measure(case)
    pairs = [x[:, :3] + 1j * x[:, 3:] for x in (q, k)]
    truth = brute(*pairs, np.array([1.0, 0.1, 0.01]), 0.4, 7)
    for name in EVERY:
        assert near(values[f"{name}_simulated"], truth[name])
        assert np.isnan(values[f"{name}_stderr"]).all() and np.isnan(values[f"{name}_error"]).all()


def test_a_captured_head_is_predicted_by_its_means_and_its_first_key(recorded):
    case, q, k = recorded
    q, k = (x[:, :3] + 1j * x[:, 3:] for x in (q, k))
    mean_q, mean_k = q[1:].mean(axis=0), k[1:].mean(axis=0)
    keys = np.vstack([k[:1], np.tile(mean_k, (19, 1))])
    truth = brute(np.tile(mean_q, (20, 1)), keys, np.array([1.0, 0.1, 0.01]), 0.4, 7)
    values = predicted([case])[0]
    assert all(near(values[name][0], truth[name]) for name in EVERY)


def test_the_shipped_capture_runs_whole():
    tables, folder = read("smollm2-head")
    tables["run"] = {"length": 40}
    table = rows(measure(build(parse(tables), folder)))
    assert [row["agrees"] for row in table] == [None] * 8 and all(math.isnan(row["stderr"]) for row in table)


@pytest.mark.parametrize("name", [name for name in examples() if name != "smollm2-head"])
def test_every_shipped_random_head_keeps_to_its_error(name):
    tables, folder = read(name)
    tables["head"].pop("score", None)
    tables["head"] |= {"strength": tables["head"].get("strength", 1.0)} if tables["head"]["kind"] == "slash" else {}
    tables["run"] |= {"length": 64, "samples": 64}
    case = build(parse(tables), folder)
    assert {row["agrees"] for row in rows(measure(case))} == {True}


def test_a_noisy_head_is_predicted_with_an_error_and_gets_a_verdict():
    values = measure(noisy(samples=100))
    assert (values["slash_error"] > 0).all() and (values["slash_stderr"] > 0).any()
    assert {row["agrees"] for row in rows(values)} == {True}


def test_received_of_a_noisy_head_is_predicted_within_its_error():
    values = measure(noisy(quantities=["received"], samples=100))
    off = np.abs(values["received_predicted"] - values["received_simulated"])
    assert (off <= values["received_error"] + SIGMAS * values["received_stderr"]).all()


def test_only_what_was_asked_for_is_computed():
    values = measure(made(quantities=["entropy", "received"]))
    assert sorted(values) == sorted(f"{name}_{kind}" for name in ("entropy", "received") for kind in KINDS)
    assert [row["quantity"] for row in rows(values)] == ["entropy"]


def test_the_error_is_unknown_where_no_pair_is_left():
    values = measure(made(skip=20))
    assert np.isnan(values["slash_simulated"][4:]).all() and np.isfinite(values["slash_simulated"][:4]).all()
    assert np.isnan(values["slash_error"][4:]).all() and np.isfinite(values["slash_error"][:4]).all()


# Rows

def columns(name, predicted_, error, mean, stderr):
    return {f"{name}_{kind}": np.asarray(x, dtype=float) for kind, x in zip(KINDS, (predicted_, error, mean, stderr))}


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, math.nan]), min_size=1, max_size=12))
def test_slash_rows_are_the_five_largest_simulated_scores_and_ties_go_to_the_smaller_lag(scores):
    n = len(scores)
    table = rows(columns("slash", scores, np.zeros(n), scores, np.zeros(n)))
    finite = [lag for lag in range(n) if math.isfinite(scores[lag])]
    assert [row["lag"] for row in table] == sorted(finite, key=lambda lag: (-scores[lag], lag))[:5]
    assert [row["simulated"] for row in table] == [scores[row["lag"]] for row in table]


def test_without_samples_nothing_is_simulated_and_the_rows_are_those_predicted_highest():
    values = measure(made(samples=0))
    assert all(np.isnan(values[f"{name}_{kind}"]).all() for name in EVERY for kind in ("simulated", "stderr"))
    assert all(values[f"{name}_predicted"].tobytes() == measure(made())[f"{name}_predicted"].tobytes()
               for name in EVERY)
    table = rows(values)
    order = np.argsort(-values["slash_predicted"], kind="stable")
    assert [row["lag"] for row in table[:5]] == order[:5].tolist() and {row["agrees"] for row in table} == {None}
    assert portrait(made(samples=0)).simulated is None


def test_of_cases_that_are_alike_those_with_samples_are_simulated():
    cases = [noisy(samples=samples, replicate=n) for n, samples in enumerate((2, 0, 3))]
    values = measured(cases)
    assert np.isfinite(values["sink_simulated"]).tolist() == [True, False, True]
    for n in (0, 2):
        assert all(values[name][n].tobytes() == value.tobytes() for name, value in measure(cases[n]).items())


def test_rows_come_as_slash_sink_entropy_participation_with_the_fields_of_the_contract():
    table = rows(measure(made(quantities=["participation", "received", "entropy", "sink", "slash"])))
    assert [row["quantity"] for row in table] == ["slash"] * 5 + ["sink", "entropy", "participation"]
    fields = ["quantity", "lag", "predicted", "error", "simulated", "stderr", "z", "agrees"]
    assert all(list(row) == fields for row in table)
    assert all((row["lag"] is None) == (row["quantity"] != "slash") for row in table)


@pytest.mark.parametrize("error, stderr, difference, z, agrees", [
    (0.0, 0.1, 0.4, 4.0, True), (0.0, 0.1, -0.4, -4.0, True), (0.0, 0.1, 0.6, 6.0, False), (0.2, 0.1, 0.6, 6.0, True),
    (0.0, 0.0, 0.0, None, True), (0.0, 0.0, 5e-10, None, True), (0.0, 0.0, 1e-8, None, False),
    (math.nan, 0.1, 0.4, 4.0, None), (0.1, math.nan, 0.4, None, None), (math.nan, 0.0, 0.0, None, None)])
def test_z_and_the_verdict_follow_their_definitions(error, stderr, difference, z, agrees):
    row, = rows(columns("sink", 0.5 + difference, error, 0.5, stderr))
    assert row["agrees"] is agrees and (row["z"] is None) == (z is None)
    assert z is None or abs(row["z"] - z) <= FLOAT
    if agrees is not None:
        assert agrees == (abs(difference) <= error + SIGMAS * stderr + 1e-9)       # 1e-9: INTERFACES, "Outputs"


# Portraits

def test_a_portrait_holds_the_pooled_maps_of_both_wings_and_the_share_of_each_pair():
    case = made(head={"sink": {"margin": 1.0}}, window=9)
    one = portrait(case, blocks=4)
    assert one.predicted.shape == one.simulated.shape == (4, 4) and near(one.predicted, one.simulated)
    assert near(one.predicted.sum(axis=1), 1.0)
    assert (one.lag, one.length) == (3, 24) and near(one.contribution, [2.0, 2.0], EXACT)
    lags = np.arange(24)
    assert near(one.average, [np.mean(2.0 * np.cos(theta * (lags - 3))) for theta in (1.0, 0.1)])


def test_a_portrait_of_fewer_tokens_than_blocks_has_a_block_per_token():
    assert portrait(made(length=5)).predicted.shape == (5, 5)


def test_a_spec_dumped_and_built_again_measures_the_same_bits():
    spec = parse({"rope": {"preset": "llama-3-8b"}, "head": {"kind": "slash", "lag": 2, "score": 0.4, "noise": 0.1},
                  "run": {"length": 16, "samples": 2}})
    one, two = (measure(build(s, Path("."))) for s in (spec, parse(dump(spec))))
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
