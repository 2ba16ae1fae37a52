"""Descriptions are checked as they are made."""

import pytest

from ropesim.errors import RopesimError
from ropesim.stacks import MOST, STEEPEST, WIDE, Chain, Rows, Stack, check_cost


@pytest.mark.parametrize("make, given, name", [
    (Rows, {"tau": -1.0}, "tau"), (Rows, {"tau": 17.0}, "tau"), (Rows, {"mass": 1.5}, "mass"),
    (Rows, {"mass": 0.5, "margin": 1.0}, "mass, margin"), (Rows, {"margin": 501.0}, "margin"),
    (Rows, {"kind": "hardmax"}, "kind"), (Rows, {"mass": 0.5, "kind": "sigmoid"}, "mass"),
    (Stack, {"layers": -1}, "layers"), (Stack, {"heads": 0}, "heads"), (Stack, {"length": 1}, "length"),
    (Stack, {"width": 1}, "width"), (Stack, {"window": -1}, "window"), (Stack, {"alone": (64,)}, "alone"),
    (Stack, {"value": -0.1}, "value"), (Stack, {"rho": -0.1}, "rho"), (Stack, {"gain": -1.0}, "gain"),
    (Stack, {"norm": "rms"}, "norm"), (Stack, {"value": 1e300}, "value"), (Stack, {"gain": 1e200}, "gain"),
    *((Stack, {name: MOST + 1}, name) for name in ("layers", "heads", "length", "width", "window", "document")),
    *((Stack, {"alone": given}, "alone") for given in (3, [3], {}, "12", ("3",), ([3],))),
    *((Chain, {name: 1e155}, name) for name in ("mean", "residual", "spread", "amplification", "lock", "factor")),
    (Chain, {"length": MOST + 1}, "length"), (Chain, {"width": WIDE + 1}, "width"),
    (Chain, {"subspace": 0}, "subspace"),
    (Chain, {"spread": 1e-300}, "spread"), (Chain, {"lock": -STEEPEST / 11}, "lock"), (Chain, {"mean": -1.0}, "mean"),
    (Chain, {"intervene": "scale", "factor": 1e-200, "residual": 1e-200}, "factor"),
    (Chain, {"subspace": 127}, "subspace"), (Chain, {"at": 48}, "at"), (Chain, {"intervene": "drop"}, "intervene"),
    (Chain, {"spread": 0.0}, "spread"), (Chain, {"factor": -1.0}, "factor"),
])
def test_what_makes_no_stack_is_refused(make, given, name):
    with pytest.raises(RopesimError) as caught:
        make(**given)
    assert caught.value.name == name


@pytest.mark.parametrize("make", [Rows, Stack, Chain])
def test_defaults_hold_and_equal_arguments_make_equal_descriptions(make):
    assert make() == make() and hash(make()) == hash(make())


@pytest.mark.parametrize("drawn, samples, words", [
    (Stack(), 10 ** 9, "run.samples = 1000000000: use at most "),
    (Chain(), 10 ** 9, "run.sequences = 1000000000: use at most "),
    (Stack(width=10 ** 6), 2, "stack.layers, heads, length, width = (8, 4, 64, 1000000): use smaller ones"),
    (Stack(length=10 ** 7), 2, "stack.layers"), (Stack(layers=10 ** 7), 2, "stack.layers"),
    (Stack(heads=10 ** 7), 2, "stack.layers"), (Stack(length=8192, layers=64, heads=1), 2, "stack.layers"),
    (Chain(width=1 << 15, length=500), 2, "chain.length, width = (500, 32768): use smaller ones"),
    (Chain(length=10 ** 7), 2, "chain.length"),
    (Stack(norm="none", gain=1e6, layers=50), 2, "stack.gain = 1000000.0: use a smaller gain"),
    (Stack(norm="none", value=1e6, layers=50), 2, "stack.gain"),
    (Stack(norm="none", layers=100, length=1000, rows=Rows(kind="sigmoid")), 2, "stack.gain")])
def test_what_takes_hours_or_more_than_memory_or_overflows_is_refused(drawn, samples, words):
    with pytest.raises(RopesimError) as caught:
        check_cost(drawn, samples)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("drawn", [
    Stack(), Stack(layers=0), Stack(layers=80, length=256), Stack(width=512), Stack(norm="none", layers=100),
    Stack(norm="none", gain=1e6, layers=50, head_norm=True), Stack(gain=1e6, layers=50), Chain(), Chain(length=512)])
def test_what_takes_minutes_is_not(drawn):
    check_cost(drawn, 64)


@pytest.mark.parametrize("drawn", [Stack(), Chain()])
def test_the_samples_that_the_refusal_names_are_taken(drawn):
    with pytest.raises(RopesimError) as caught:
        check_cost(drawn, 10 ** 12)
    most = int(caught.value.remedy.split()[3].strip(","))
    check_cost(drawn, most)
    with pytest.raises(RopesimError):
        check_cost(drawn, most + 1)
