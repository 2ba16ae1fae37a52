"""Weights: their stated sizes, the planted neurons and queries by what they do, and bad ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim.errors import RopesimError
from ropesim.simulate import depth, weights

seeds = st.integers(0, 2 ** 32 - 1)


def layer(seed=0, **how):
    return weights.random_layers(1, **{"heads": 2, "width": 8, "rng": np.random.default_rng(seed)} | how)[0]


def silu(z):
    return z / (1 + np.exp(-z))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_weights_have_the_stated_variances(seed):
    one = layer(seed, heads=3, width=96, hidden=200, tau=2.0, value=0.5, output=3.0, feedforward=0.7)
    square = quad(lambda z: silu(z) ** 2 * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), -38, 38)[0]
    want = {"query": 2 / 96, "key": 2 / 96, "value": 0.25 / 96, "output": 9 / 96, "gate": 1 / 96, "up": 1 / 96,
            "down": 0.49 / 200 / square}
    for name, variance in want.items():
        got = getattr(one, name)
        assert abs((got ** 2).mean() - variance) < SIGMAS * variance * (2 / got.size) ** 0.5, name


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_layers_add_what_is_stated(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 96))
    stack = weights.random_layers(12, heads=3, width=96, hidden=128, rng=rng, output=2.0, feedforward=0.0)
    alone = np.eye(40, dtype=bool)
    added = [(next(depth.forward(x, [one], theta=np.zeros(16), visible=alone)).x - x) / 2 for one in stack]
    squares = np.array([(a ** 2).mean() for a in added])
    # a layer is one draw: its weights are shared by all tokens
    assert abs(squares.mean() - 1) < SIGMAS * squares.std(ddof=1) / len(squares) ** 0.5
    stack = weights.random_layers(12, heads=3, width=96, hidden=128, rng=rng, value=0.0, feedforward=0.5)
    squares = np.array([((next(depth.forward(x, [one], theta=np.zeros(16))).x - x) ** 2).mean() for one in stack])
    assert abs(squares.mean() - 0.25) < SIGMAS * squares.std(ddof=1) / len(squares) ** 0.5


def test_weights_are_those_of_the_generator():
    for a, b in zip(layer(5, hidden=3), layer(5, hidden=3)):
        np.testing.assert_array_equal(a, b)


@given(seeds, st.integers(1, 3), st.integers(0, 5), st.floats(-3, 3), st.sampled_from(["pre", "none"]))
def test_super_neurons_add_the_energy_of_what_they_read(seed, count, hidden, amplification, norm):
    rng = np.random.default_rng(seed)
    x, along = rng.standard_normal((5, 8)), rng.standard_normal((count, 8))
    plain = layer(seed, hidden=hidden)._replace(gain=0.0)
    planted = weights.super_neurons(plain, along, amplification, 6)
    before, after = (next(depth.forward(x, [one], theta=[1.0, 0.1], norm=norm)).x for one in (plain, planted))
    read = x / np.sqrt((x ** 2).mean(axis=1, keepdims=True)) if norm == "pre" else x
    want = np.zeros_like(x)
    want[:, 6] = amplification * ((read @ along.T) ** 2).sum(axis=1)
    np.testing.assert_allclose(after - before, want, rtol=0, atol=FLOAT)


@given(seeds, st.integers(0, 1), st.integers(0, 7))
def test_a_locked_head_scores_keys_by_the_channel_alone(seed, head, channel):
    rng = np.random.default_rng(seed)
    x, source, direction = rng.standard_normal((6, 8)), rng.standard_normal(8), rng.standard_normal(4)
    theta = rng.uniform(0, 3, 2)
    one = weights.locked(layer(seed), head, channel, source=source, direction=direction, strength=0.7)
    got = next(depth.forward(x, [one], theta=theta, norm="none", layout="interleaved")).received[head]
    share = (direction ** 2).reshape(2, 2).sum(axis=1) / (direction ** 2).sum()
    lag = np.subtract.outer(np.arange(6), np.arange(6))
    logits = 0.7 * np.outer(x @ source, x[:, channel]) * (np.cos(lag[..., None] * theta) @ share)
    power = np.tril(np.exp(logits))
    received = (power / power.sum(axis=1, keepdims=True)).sum(axis=0) / np.arange(6, 0, -1)
    np.testing.assert_allclose(got, received, rtol=0, atol=FLOAT)


def test_a_locked_head_leaves_the_others():
    plain = layer(1)
    one = weights.locked(plain, 0, 3, source=np.eye(8)[0], direction=np.eye(4)[0], strength=2.0)
    np.testing.assert_array_equal(one.query[1], plain.query[1])
    np.testing.assert_array_equal(one.key[1], plain.key[1])
    assert abs(one.key[0]).sum() == 1 and plain.key[0].all()
    np.testing.assert_allclose(one.query[0, 0, 0], 4.0, rtol=EXACT)       # strength sqrt(dh)


@pytest.mark.parametrize("bad, name", [
    ({"heads": 0}, "heads"), ({"width": 0}, "width"), ({"head_dim": 3}, "head_dim"), ({"head_dim": 0}, "head_dim"),
    ({"hidden": -1}, "hidden"), ({"tau": -1.0}, "tau"), ({"value": -1.0}, "value"), ({"output": -1.0}, "output"),
    ({"feedforward": np.inf}, "feedforward"), ({"dtype": np.float16}, "dtype")])
def test_random_layers_refuse(bad, name):
    with pytest.raises(RopesimError) as caught:
        layer(**bad)
    assert caught.value.name == name


def test_random_layers_refuse_a_negative_count():
    with pytest.raises(RopesimError, match="count"):
        weights.random_layers(-1, heads=1, width=2, rng=np.random.default_rng(0))


@pytest.mark.parametrize("bad, name", [
    ({"query": np.ones((8, 4))}, "query"), ({"query": np.ones((2, 8, 3))}, "query"),
    ({"key": np.ones((2, 8, 2))}, "key"), ({"value": np.ones((1, 8, 4))}, "value"),
    ({"output": np.ones((2, 8, 4))}, "output"), ({"gate": np.ones((8, 2))}, "gate"), ({"down": np.ones(8)}, "down"),
    ({"attention_scale": np.ones(7)}, "attention_scale"), ({"head_norm": np.ones(8)}, "head_norm"),
    ({"up": np.full((8, 3), np.nan)}, "up"), ({"down": np.ones((3, 8), np.float32)}, "dtype of down"),
    ({"gain": np.nan}, "gain"), ({"epsilon": -1e-9}, "epsilon")])
def test_a_layer_that_does_not_fit_is_refused(bad, name):
    with pytest.raises(RopesimError) as caught:
        weights.checked(layer(hidden=3)._replace(**bad), 8, np.float64)
    assert name in caught.value.name


@pytest.mark.parametrize("bad, name", [
    ({"directions": np.ones(8)}, "directions"), ({"directions": np.ones((1, 7))}, "directions"),
    ({"amplification": np.nan}, "amplification"), ({"channel": 8}, "channel")])
def test_super_neurons_refuse(bad, name):
    with pytest.raises(RopesimError, match=name):
        weights.super_neurons(layer(), **{"directions": np.ones((1, 8)), "amplification": 1.0, "channel": 0} | bad)


@pytest.mark.parametrize("bad, name", [
    ({"head": 2}, "head"), ({"channel": -1}, "channel"), ({"source": np.ones(7)}, "source"),
    ({"direction": np.ones(8)}, "direction"), ({"direction": np.zeros(4)}, "direction"),
    ({"strength": np.inf}, "strength")])
def test_locked_refuses(bad, name):
    good = {"head": 0, "channel": 0, "source": np.ones(8), "direction": np.ones(4), "strength": 1.0}
    with pytest.raises(RopesimError, match=name):
        weights.locked(layer(), **good | bad)
