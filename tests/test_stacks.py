"""Descriptions are checked as they are made."""

import pytest

from ropesim.errors import RopesimError
from ropesim.stacks import Chain, Rows, Stack


@pytest.mark.parametrize("make, given, name", [
    (Rows, {"tau": -1.0}, "tau"), (Rows, {"tau": 17.0}, "tau"), (Rows, {"mass": 1.5}, "mass"),
    (Rows, {"mass": 0.5, "margin": 1.0}, "mass, margin"), (Rows, {"margin": 501.0}, "margin"),
    (Rows, {"kind": "hardmax"}, "kind"), (Rows, {"mass": 0.5, "kind": "sigmoid"}, "mass"),
    (Stack, {"layers": -1}, "layers"), (Stack, {"heads": 0}, "heads"), (Stack, {"length": 1}, "length"),
    (Stack, {"width": 1}, "width"), (Stack, {"window": -1}, "window"), (Stack, {"alone": (64,)}, "alone"),
    (Stack, {"value": -0.1}, "value"), (Stack, {"rho": -0.1}, "rho"), (Stack, {"gain": -1.0}, "gain"),
    (Stack, {"norm": "rms"}, "norm"),
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
