from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from tolerances import EXACT, FLOAT

from ropesim import ensembles, predictions, wrappers
from ropesim.case import Case, build
from ropesim.predict import attention, cosines
from ropesim.predictions import alike, captured, curves, predicted
from ropesim.spec import Run, parse

EVERY = ["slash", "sink", "entropy", "participation", "received"]
THETA = [1.0, 0.3, 0.1]


def made(head=None, theta=THETA, **run):
    head = {"kind": "slash", "lag": 3, "strength": 2.0} | (head or {})
    tables = {"rope": {"kind": "custom", "theta": theta}, "head": head,
              "run": {"length": 24, "samples": 0, "quantities": EVERY, **run}}
    return build(parse(tables), Path("."))


HEADS = st.builds(lambda lag, strength, margin: {"lag": lag, "strength": strength} | (
    {} if margin is None else {"sink": {"margin": margin}}),
    st.integers(0, 23), st.floats(0, 60), st.none() | st.floats(-5, 20))
RUNS = st.fixed_dictionaries({}, optional={"skip": st.integers(0, 3), "window": st.sampled_from([0, 5, 99]),
                                           "scale": st.sampled_from([0.5, 1.0])})


@given(st.lists(st.tuples(HEADS, RUNS), min_size=1, max_size=9))
def test_every_case_is_in_one_group_and_gets_the_bits_it_gets_alone(drawn):
    cases = [made(head, **run) for head, run in drawn]
    groups = alike(cases)
    assert sorted(n for group in groups for n in group) == list(range(len(cases)))
    for group in groups:
        together, error = predicted([cases[n] for n in group])
        for at, n in enumerate(group):
            alone, error_alone = predicted([cases[n]])
            assert all(together[name][at].tobytes() == alone[name][0].tobytes() for name in EVERY)
            assert all(error[name][at].tobytes() == error_alone[name][0].tobytes() for name in EVERY)


@given(HEADS, RUNS)
def test_a_prediction_is_the_profile_of_the_head_s_logits(head, run):
    case = made(head, **run)
    amplitude, logits, sink = (one if one is None else one[0] for one in curves([case]))
    seen = attention.profile(logits, sink=sink, skip=case.run.skip, window=case.window)
    half = case.length // 2
    wanted = {"slash": seen.slash, "sink": seen.received[0], "entropy": seen.entropy[half:].mean(),
              "participation": seen.participation[half:].mean(), "received": seen.received}
    values, error = predicted([case])
    for name, want in wanted.items():
        assert np.allclose(values[name][0], want, rtol=EXACT, atol=EXACT, equal_nan=True)
        assert (np.isnan(error[name]) == np.isnan(values[name])).all()
    assert np.nanmax(error["slash"]) == attention.rounding(amplitude, case.length)


def heads(pairs):
    slash = st.builds(ensembles.Slash, st.integers(0, 99), st.floats(0, 9))
    constant = st.builds(ensembles.Constant, *[st.lists(st.floats(0, 9), min_size=pairs, max_size=pairs)] * 2)
    bare = slash | constant
    return bare | st.builds(wrappers.Factor, bare, st.floats(0.5, 2), st.integers(0, pairs))


@given(st.lists(heads(3), min_size=1, max_size=5), st.booleans(), st.sampled_from([THETA, [1.0, 0.5, 0.0]]))
def test_heads_side_by_side_have_the_means_that_each_has_alone(drawn, sink, theta):
    theta = np.array(theta)
    cases = [Case(theta, wrappers.Sink(head, 2.0) if sink else head, 8, 0.5, 0, Run()) for head in drawn]
    amplitude, logits, first = curves(cases)
    for n, head in enumerate(drawn):
        product = 0.5 * head.mean(theta).q * head.mean(theta).k.conj()
        assert amplitude[n].tobytes() == np.abs(product).tobytes()
        assert logits[n].tobytes() == cosines.curves(product, theta, 8).tobytes()
    assert (first is not None) == sink


def test_the_margin_of_a_sink_is_that_of_each_case():
    cases = [made({"sink": {"margin": margin}}) for margin in (0.0, 3.0, -1.0)]
    _, logits, sink = curves(cases)
    for n, margin in enumerate((0.0, 3.0, -1.0)):
        assert np.allclose(sink[n], attention.sink_logits(logits[n], margin), rtol=EXACT, atol=EXACT)


def test_random_heads_are_alike_where_only_their_draws_differ():
    noise = {"noise": 0.2}
    cases = [made(noise), made(noise, seed=5), made(noise, replicate=2), made(noise, samples=4), made({"noise": 0.3}),
             made(noise, scale=0.5), made(noise, skip=1)]
    assert alike(cases) == [[0, 1, 2, 3], [4], [5], [6]]
    values, error = predicted(cases[:3])
    assert (values["slash"][2] == predicted([cases[0]])[0]["slash"][0]).all() and (error["slash"] > 0).all()


@pytest.mark.parametrize("other", [{"theta": THETA[:2]}, {"length": 25}, {"window": 4}, {"skip": 1},
                                   {"quantities": ["sink"]}, {"head": {"sink": {"margin": 0.0}}}])
def test_what_a_batch_has_in_common_parts_cases(other):
    assert alike([made(), made(**other), made({"lag": 7})]) == [[0, 2], [1]]


def test_batches_hold_a_bounded_number_of_tokens(monkeypatch):
    monkeypatch.setattr(predictions, "TOKENS", 50)
    assert alike([made()] * 5) == [[0, 1], [2, 3], [4]]
    monkeypatch.setattr(predictions, "TOKENS", 1)
    assert alike([made()] * 2) == [[0], [1]]


def test_a_recorded_head_is_captured_with_and_without_an_attention_factor(tmp_path):
    x = np.random.default_rng(1).normal(size=(1, 1, 6, 4))
    head = {"kind": "captured", "file": "c.npz", "layer": 0, "head": 0}
    for extra in ({}, {"attention_factor": 1.5}):
        np.savez(tmp_path / "c.npz", q=x, k=x, theta=[1.0, 0.1], scale=0.5, layout="half", **extra)
        case = build(parse({"head": head}), tmp_path)
        assert captured(case) and np.isnan(predicted([case])[1]["sink"]).all()
    assert not captured(made()) and predicted([made()])[1]["sink"][0] < FLOAT
