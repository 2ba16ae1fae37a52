"""Expected inner products against loops, other closed forms, printed figures and drawn stacks."""

from dataclasses import replace
from math import comb

import naive_mixing as naive
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim import masks, simulate
from ropesim.errors import RopesimError
from ropesim.predict import depth, mixing, sinks
from ropesim.predict.row_moments import moments
from ropesim.simulate.mixing import run
from ropesim.stacks import KINDS, Rows, Stack

WIDE = 10 ** 9        # no correction for the width is left


@st.composite
def rows(draw):
    kind, tau = draw(st.sampled_from(KINDS)), draw(st.sampled_from([0.0, 0.5, 2.0, 6.0]))
    given = draw(st.sampled_from(["none", "margin", "mass" if kind == "softmax" else "none"]))
    if given == "mass":
        return Rows(tau=tau, mass=draw(st.floats(0, 1)))
    return Rows(tau=tau, kind=kind, margin=draw(st.floats(-20, 20)) if given == "margin" else None)


@st.composite
def stacks(draw):
    length = draw(st.integers(2, 9))
    return Stack(layers=draw(st.integers(0, 4)), heads=draw(st.integers(1, 3)), length=length,
                 width=draw(st.integers(16, 200)), rows=draw(rows()), window=draw(st.integers(0, length)),
                 document=draw(st.integers(0, length)), shared=draw(st.booleans()),
                 alone=tuple(draw(st.lists(st.integers(0, length - 1), max_size=2))), value=draw(st.floats(0, 2)),
                 rho=draw(st.floats(0, 1)), gain=draw(st.floats(0, 2)),
                 norm=draw(st.sampled_from(["pre", "post", "none"])), head_norm=draw(st.booleans()))


def parts(stack):
    keys = mixing.visible(stack)
    return moments(stack.rows, keys.high - keys.low, keys.first, stack.value), keys


def square(seed, length):
    x = np.random.default_rng(seed).normal(size=(length, length))
    return x @ x.T


# One layer

@given(stacks(), st.integers(0, 99))
def test_a_layer_is_the_sum_over_pairs_of_keys(stack, seed):
    m, keys = parts(stack)
    mask = masks.visible(stack.length, window=stack.window, document=stack.document, shared=stack.shared,
                         alone=stack.alone)
    gram = square(seed, stack.length)
    slow = naive.aggregate(gram, *m[:6], [list(np.flatnonzero(row)) for row in mask])
    np.testing.assert_allclose(mixing._aggregate(gram, m, keys), slow, rtol=FLOAT, atol=FLOAT)


@given(stacks(), st.integers(0, 99))
def test_the_adjoint_is_one(stack, seed):
    m, keys = parts(stack)
    gram, back = square(seed, stack.length), square(seed + 1, stack.length)
    forth = (mixing._aggregate(gram, m, keys) * back).sum()
    assert forth == pytest.approx((gram * mixing._pulled(back, m, keys)).sum(), rel=FLOAT, abs=FLOAT)


# Known cases

def values(**given):
    return mixing.expected(Stack(**{"width": WIDE, **given}))[0]


def test_norms_and_cosines_are_those_of_the_notes():
    """sinks.md R11: 32 tokens, 6 layers, printed to three digits; with a sink of mass 0.8 before them."""
    found = values(layers=6, length=32, heads=1)
    np.testing.assert_allclose(found["norm"][-1, [0, 1, 7, 31]], [7.00, 5.29, 3.48, 2.50], atol=0.005)
    assert found["cosine"][-1] == pytest.approx(0.578, abs=5e-4)
    sunk = values(layers=6, length=33, rows=Rows(mass=0.8), value=0.0)
    assert sunk["cosine"][-1] * 33 / 31 == pytest.approx(0.0155, abs=5e-5)        # the sink's own cosines are 0


def test_uniform_rows_make_the_recursion_of_the_gram_matrix():
    scores = np.tril(np.ones((9, 9))) / np.arange(1, 10)[:, None]
    grams = depth.gram(np.eye(9), scores, 5, gain=0.7)
    np.testing.assert_allclose(values(layers=5, length=9, gain=0.7)["norm"], [k.diagonal() for k in grams], rtol=1e-7)


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
def test_a_zero_value_sink_is_a_smaller_gain(norm):
    """sinks.md R8: content of g (1 - a) in g; nothing is left of the sink but its own state."""
    sunk = values(layers=5, length=9, gain=0.9, rows=Rows(mass=0.6), value=0.0, norm=norm)
    plain = values(layers=5, length=8, gain=0.9 * 0.4, norm=norm)
    np.testing.assert_allclose(sunk["norm"][:, 1:], plain["norm"], rtol=1e-7)
    np.testing.assert_allclose(sunk["variance"][:, 1:], 0.16 * plain["variance"], rtol=1e-7)
    np.testing.assert_allclose(sunk["sensitivity"][1:], plain["sensitivity"], rtol=1e-7)
    np.testing.assert_allclose(sunk["norm"][:, 0], 1.0, rtol=FLOAT)


@pytest.mark.parametrize("sink", [0.0, 0.5])
def test_many_tokens_are_exchangeable(sink):
    """sinks.md R12 is the limit of long rows; 512 tokens differ by some (ln T) / T a layer."""
    found = values(layers=4, length=512, rho=0.4, norm="post", rows=Rows(mass=sink), value=0.0)
    other = depth.exchangeable(0.4, 4, length=10 ** 9, sink=sink)
    assert np.abs(found["cosine"] - other).max() < 0.02


def test_a_lone_token_takes_its_share_of_all_that_follow():
    """sinks.md R13, pure attention: p = 1/(k+1) of token k and 1 - p of token 0, whose squares add up."""
    found = values(layers=40, length=20, gain=1e3, norm="none", alone=(4,))
    p = depth.absorbed(20, 4)[-1]
    np.testing.assert_allclose(found["norm"][-1, 5:] / 1e240, p ** 2 + (1 - p) ** 2, rtol=1e-3)


@pytest.mark.parametrize("shared", [False, True])
def test_packed_documents_have_the_participation_of_their_rows(shared):
    """sinks.md R14, one layer of independent values."""
    found = values(layers=1, length=64 + shared, document=16, shared=shared)["variance"][0]
    np.testing.assert_allclose(found[int(shared):], depth.packed_participation(64, 16, shared=shared), rtol=FLOAT)


@given(st.integers(0, 12), st.floats(0, 2), st.integers(2, 9))
def test_the_first_token_grows_by_the_gain_alone(layers, gain, length):
    found, errors = mixing.expected(Stack(layers=layers, gain=gain, length=length))
    np.testing.assert_allclose(found["norm"][:, 0], 1 + np.arange(layers + 1) * gain ** 2, rtol=EXACT)
    assert (errors["norm"][:, 0] < 1e-9).all()


@given(stacks())
@settings(max_examples=60)
def test_values_and_errors_are_finite_and_in_their_ranges(stack):
    found, errors = mixing.expected(stack)
    for name, value in found.items():
        assert value.shape == errors[name].shape and np.isfinite(value).all() and np.isfinite(errors[name]).all()
        assert (errors[name] >= 0).all()
        assert (value >= -FLOAT if name != "cosine" else value >= -1 - FLOAT).all()
    for name in ("cosine", "received", "sink"):
        assert (found[name] <= 1 + FLOAT).all()


@given(stacks())
@example(Stack(layers=3, length=4, norm="none", rows=Rows(tau=2.0), gain=1.0))
@settings(max_examples=60)
def test_nothing_is_left_out_where_nothing_is_normed(stack):
    plain = Stack(layers=stack.layers, length=stack.length, rows=stack.rows, norm="none", gain=stack.gain)
    found, errors = mixing.expected(plain)
    for name in ("norm", "variance", "disagreement", "sensitivity"):
        assert (errors[name] <= 1e-9 * (1 + found[name])).all()


@pytest.mark.parametrize("gain, layers", [(10.0, 16), (100.0, 8), (0.5, 4)])
def test_small_sensitivities_keep_to_their_error_beside_huge_ones(gain, layers):
    seen, errors = mixing.expected(Stack(norm="none", gain=gain, layers=layers))
    uniform = np.tril(np.ones((64, 64))) / np.arange(1, 65)[:, None]
    power, total = np.eye(64), np.zeros(64)
    for k in range(layers + 1):                   # over the layers that are taken: nothing is subtracted
        total += comb(layers, k) * gain ** (2 * k) * power[-1] ** 2
        power = power @ uniform
    assert (np.abs(seen["sensitivity"] - total) <= errors["sensitivity"] + EXACT * total).all()


def test_corrections_fall_as_one_over_the_width():
    errors = [mixing.expected(Stack(layers=6, length=16, width=width))[1]["cosine"][-1] for width in (512, 1024)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)


# Drawn stacks

DRAWN = [
    Stack(layers=6, heads=1, length=16, width=32),
    Stack(layers=5, heads=2, length=12, width=48, rows=Rows(tau=2.0), norm="post", rho=0.3),
    Stack(layers=4, heads=3, length=12, width=40, rows=Rows(tau=1.0, margin=2.0), value=0.0, head_norm=True),
    Stack(layers=4, heads=2, length=12, width=48, rows=Rows(kind="sigmoid", tau=1.0), value=0.5, alone=(3,)),
    Stack(layers=3, heads=2, length=13, width=48, rows=Rows(kind="softmax-plus-one", tau=1.0, margin=1.0), document=4,
          shared=True, norm="none", gain=0.5),
    Stack(layers=4, heads=4, length=12, width=64, rows=Rows(tau=3.0), window=5, rho=0.6, gain=1.5),
]


@pytest.mark.parametrize("stack", DRAWN, ids=str)
def test_drawn_stacks_agree(stack):
    found, errors = mixing.expected(stack)
    means, stderr = run(stack, 100, seed=3)
    for name, value in found.items():
        excess = np.abs(value - means[name]) - errors[name] - SIGMAS * stderr[name] - FLOAT
        assert (excess <= 0).all(), name


def test_errors_are_small_enough_to_be_of_use():
    relative = {}
    for stack in DRAWN:
        found, errors = mixing.expected(replace(stack, width=128))
        for name, value in found.items():
            some = value > 0.05
            relative.setdefault(name, []).extend(errors[name][some] / value[some])
    assert all(np.median(relative[name]) <= 0.05 for name in relative)


@pytest.mark.parametrize("stack", [DRAWN[0], DRAWN[3]], ids=str)
def test_loops_agree_too(stack):
    small = replace(stack, layers=2, length=4, width=12, alone=())
    found, errors = mixing.expected(small)
    plain = {**vars(small), "rows": vars(small.rows)}
    generator = np.random.default_rng(5)
    drawn = [naive.sample(plain, generator) for _ in range(200)]
    for name, value in found.items():
        sampled = np.array([one[name] for one in drawn])
        slack = errors[name] + SIGMAS * sampled.std(axis=0, ddof=1) / np.sqrt(200) + FLOAT
        assert (np.abs(value - sampled.mean(axis=0)) <= slack).all(), name


# What must not be assumed

def collapsed(mass, value, gain, layers=4):
    """Mean cosine of the tokens but the first, which is the sink, at fixed norm."""
    stack = Stack(layers=layers, length=24, gain=gain, rows=Rows(mass=mass), value=value, norm="post", width=WIDE)
    m, keys = parts(stack)
    gram = np.eye(24)
    for _ in range(layers):
        gram = gram + gain ** 2 * mixing._aggregate(gram, m, keys)
        gram /= np.sqrt(np.outer(gram.diagonal(), gram.diagonal()))
    return (gram[1:, 1:].sum() - 23) / (23 * 22)


def test_a_sink_of_full_value_does_not_slow_collapse():
    """sinks.md R12, with c = 1: it is broadcast. With c = 0 it does slow it."""
    assert collapsed(0.8, 1.0, 1.0) > collapsed(0.0, 1.0, 1.0)
    assert collapsed(0.8, 0.0, 1.0) < 0.2 * collapsed(0.0, 0.0, 1.0)


def test_without_a_residual_a_sink_of_full_value_speeds_collapse_and_one_of_none_does_not_slow_it():
    """sinks.md R7: attention alone, here a gain of 1000."""
    assert 1 - collapsed(0.8, 1.0, 1e3, 2) < 0.1 * (1 - collapsed(0.0, 1.0, 1e3, 2))
    assert collapsed(0.8, 0.0, 1e3, 2) == pytest.approx(collapsed(0.0, 0.0, 1e3, 2), rel=1e-4)


# Sinks

def test_a_sink_is_counted_by_chance():
    law = Rows(tau=2.5)
    stack = Stack(layers=1, length=6, width=8, rows=law)
    found, errors = mixing.expected(stack)
    drawn = simulate.mixing.scores(law, masks.visible(6), 20000, np.random.default_rng(0))[:, :, 0].mean(axis=1) > 0.3
    slack = errors["sink"][0] + SIGMAS * drawn.std() / np.sqrt(20000)
    assert 0 < found["sink"][0] < 1 and abs(found["sink"][0] - drawn.mean()) < slack


def test_a_sink_without_chance_is_one_or_none():
    """H_9 / 9 = 0.314 and H_10 / 10 = 0.293, sinks.md 1.1."""
    assert values(layers=1, length=9)["sink"][0] == 1.0 and values(layers=1, length=10)["sink"][0] == 0.0


def test_what_a_deep_stack_requires():
    """sinks.md R8 and R5: 0.3 mixing, a tenth kept."""
    found = mixing.required(126, 2048, mixing=0.3, kept=0.1)
    assert found.mass == pytest.approx(0.957, abs=5e-4)
    assert sinks.sink_mass(found.row_margin, 2047)[0] == pytest.approx(found.mass, rel=FLOAT)
    assert sinks.sink_score(found.score_margin, 2048)[0] == pytest.approx(found.mass, rel=FLOAT)
    assert found.score_margin < found.row_margin


def test_a_shallow_stack_requires_none():
    assert mixing.required(4, 64, mixing=0.3, kept=0.1) == (0.0, -np.inf, -np.inf)
    assert mixing.required(1, 2, mixing=1.0, kept=1.0) == (1.0, np.inf, np.inf)


# Bad input

def test_more_tokens_than_a_square_matrix_holds_are_refused():
    with pytest.raises(RopesimError, match="use at most 8192 tokens"):
        mixing.expected(Stack(length=10 ** 7))


@pytest.mark.parametrize("given", [{"layers": 0}, {"length": 1}, {"mixing": 0.0}, {"kept": 0.0}, {"kept": 1.5}])
def test_bad_requirements_are_refused(given):
    with pytest.raises(RopesimError):
        mixing.required(**{"layers": 4, "length": 64, "mixing": 0.3, "kept": 0.1, **given})
