"""Rows of `ropesim depth`: where they come from, what they say, and what interventions change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropesim import compare
from ropesim.compare import Study, chain_rows, depth, intervened, stack_rows
from ropesim.errors import RopesimError
from ropesim.predict import chain as predict_chain
from ropesim.predict import mixing as predict_mixing
from ropesim.simulate import chain as simulate_chain
from ropesim.simulate import mixing as simulate_mixing
from ropesim.stacks import Chain, Rows, Stack

SMALL = Stack(layers=3, heads=2, length=6, width=12, rows=Rows(mass=0.4))
SHORT = Chain(length=5, width=24)
BOTH = Study(SMALL, SHORT, samples=8, sequences=16, seed=3)


def found(rows, quantity, layer=None, position=None):
    row, = [row for row in rows if (row["quantity"], row["layer"], row["position"]) == (quantity, layer, position)]
    return row


def test_the_rows_of_a_stack_hold_both_wings_by_layer_and_position():
    rows = stack_rows(SMALL, 8, 3)
    values, errors = predict_mixing.expected(SMALL)
    means, stderr = simulate_mixing.run(SMALL, 8, 3)
    assert len(rows) == sum(value.size for value in values.values())
    for quantity, layer, position, index in [
            ("variance", 1, 4, (0, 4)), ("norm", 0, 2, (0, 2)), ("norm", 3, 5, (3, 5)), ("cosine", 2, None, (2,)),
            ("disagreement", 0, None, (0,)), ("received", 1, 0, (0,)), ("sink", 3, 0, (2,)),
            ("sensitivity", 3, 1, (1,))]:
        row = found(rows, quantity, layer, position)
        assert [row["predicted"], row["error"], row["simulated"], row["stderr"]] == [
            part[quantity][index] for part in (values, errors, means, stderr)]


def test_the_rows_of_a_chain_hold_both_wings_by_stage_and_position():
    rows = chain_rows(SHORT, 16, 3)
    predicted, drawn = predict_chain.expected(SHORT), simulate_chain.run(SHORT, 16, 3)
    assert len(rows) == 25
    for stage, layer in [("variance", 1), ("energy", 1), ("dominance", 1), ("key", 1), ("received", 2)]:
        row = found(rows, f"chain-{stage}", layer, 3)
        assert [row["predicted"], row["error"]] == [part[3] for part in predicted[stage]]
        assert [row["simulated"], row["stderr"]] == [part[3] for part in drawn[stage]]


@pytest.mark.parametrize("error, stderr, difference, agrees", [
    (0.0, 0.1, 0.4, True), (0.0, 0.1, 0.6, False), (0.2, 0.1, 0.6, True), (0.0, 0.0, 5e-10, True),
    (0.0, 0.0, 1e-8, False), (np.nan, 0.1, 0.0, None), (0.1, np.inf, 0.0, None)])
def test_the_verdict_follows_its_definition(error, stderr, difference, agrees):
    assert compare._row("norm", 1, 0, 0.5 + difference, error, 0.5, stderr)["agrees"] is agrees


def test_rows_come_before_and_after_each_intervention_once():
    rows = depth(BOTH, ["mask:2", "scale:1:3", "mask:2", "pack:3"])
    assert list(dict.fromkeys(row["intervention"] for row in rows)) == [None, "mask:2", "scale:1:3", "pack:3"]
    kinds = {text: {row["quantity"].startswith("chain-") for row in rows if row["intervention"] == text}
             for text in (None, "mask:2", "scale:1:3", "pack:3")}
    assert kinds == {None: {False, True}, "mask:2": {False, True}, "scale:1:3": {True}, "pack:3": {False}}
    fields = ["intervention", "layer", "position", "quantity", "predicted", "error", "simulated", "stderr", "agrees"]
    assert all(list(row) == fields for row in rows)


def test_both_wings_see_the_intervention():
    before, after = (stack_rows(study.stack, 8, 0) for study in (BOTH, intervened(BOTH, "mask:2")))
    for rows, least, most in ((before, 0.0, 0.99), (after, 0.99, 1.01)):
        row = found(rows, "variance", 1, 2)
        assert least <= row["predicted"] <= most and least <= row["simulated"] <= most


@given(st.integers(0, 4), st.floats(0.1, 9))
def test_interventions_change_what_they_name_and_nothing_else(at, factor):
    def kept(text, **changed):
        after = intervened(BOTH, text)
        assert after._replace(stack=None, chain=None) == BOTH._replace(stack=None, chain=None)
        return after.stack, after.chain

    assert kept(f"mask:{at}") == (Stack(**vars(SMALL) | {"alone": (at,)}),
                                  Chain(**vars(SHORT) | {"intervene": "mask", "at": at}))
    for name in ("amplify", "scale"):
        assert kept(f"{name}:{at}:{factor}") == (None, Chain(**vars(SHORT) | {
            "intervene": name, "at": at, "factor": factor}))
    assert kept("headnorm") == (Stack(**vars(SMALL) | {"head_norm": True}),
                                Chain(**vars(SHORT) | {"intervene": "headnorm"}))
    assert kept("drop-bos") == (Stack(**vars(SMALL) | {"rows": Rows()}), None)
    assert kept("pack:3") == (Stack(**vars(SMALL) | {"document": 3}), None)


def test_dropping_the_bos_takes_the_token_that_all_documents_see_with_it():
    stack = Stack(document=8, shared=True, value=0.1, rows=Rows(tau=1.0, margin=3.0, kind="sigmoid"))
    after = intervened(Study(stack, None), "drop-bos").stack
    assert after == Stack(document=8, rows=Rows(tau=1.0, kind="sigmoid"))


@pytest.mark.parametrize("text, words", [
    ("prune:3", "use one of mask:K"), ("mask", "write mask:K"), ("mask:1:2", "write mask:K"),
    ("mask:x", "write mask:K"),
    ("amplify:1", "write amplify:K:LAMBDA"), ("headnorm:1", "write headnorm"), ("pack:0", "M"),
    ("pack:1.5", "write pack:M"), ("mask:99", "mask:99"), ("mask:-1", "position"), ("scale:1:-2", "LAMBDA"),
    ("scale:1:nan", "LAMBDA"), ("amplify:99:2", "at"), ("", "use one of mask:K")])
def test_an_intervention_that_makes_no_sense_is_refused(text, words):
    with pytest.raises(RopesimError, match="--intervene") as caught:
        intervened(BOTH, text)
    assert words in str(caught.value)


@pytest.mark.parametrize("study, text, table", [
    (BOTH._replace(chain=None), "scale:1:2", "[chain]"), (BOTH._replace(stack=None), "pack:3", "[stack]"),
    (BOTH._replace(stack=None), "drop-bos", "[stack]")])
def test_an_intervention_on_what_the_study_lacks_is_refused(study, text, table):
    with pytest.raises(RopesimError) as caught:
        intervened(study, text)
    assert table in str(caught.value)


@pytest.mark.parametrize("text", [None, "mask:3", "headnorm", "drop-bos", "pack:4", "amplify:3:3.3", "scale:3:3.3"])
def test_predictions_agree_with_simulations_before_and_after(text):
    study = Study(Stack(layers=4, length=16, width=48, rows=Rows(margin=2.0, tau=0.5)),
                  Chain(length=16, width=48), samples=128, sequences=800, seed=1)
    rows = depth(study if text is None else intervened(study, text))
    assert rows and [row for row in rows if row["agrees"] is not True] == []


@pytest.mark.parametrize("study, name", [
    (BOTH._replace(samples=10 ** 9), "run.samples"), (BOTH._replace(sequences=10 ** 9), "run.sequences"),
    (BOTH._replace(chain=Chain(length=513, width=24)), "chain.length"),
    (BOTH._replace(stack=Stack(norm="none", gain=1e6, layers=50, length=4)), "stack.gain")])
def test_what_costs_too_much_is_refused_before_anything_is_computed(study, name, monkeypatch):
    monkeypatch.setattr(compare, "stack_rows", None)
    monkeypatch.setattr(compare, "chain_rows", None)
    with pytest.raises(RopesimError) as caught:
        depth(study)
    assert caught.value.name == name
