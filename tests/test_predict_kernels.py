import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT

from ropesim.predict import kernels
from ropesim.predict.rows import STEP, staircase

lengths = st.integers(0, 40)
spreads = st.sampled_from([0.0, 1.0, 40.0, 1e3, 1e4])
seeds = st.integers(0, 2 ** 32 - 1)


def drawn(length, spread, seed):
    """Logits, the staircase above them and a generator for more."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.uniform(-1, 1, length)
    return logits, staircase(logits), rng


@given(lengths, spreads, seeds)
def test_prefix_sums_are_their_naive_twin(length, spread, seed):
    logits, stairs, _ = drawn(length, spread, seed)
    fast = kernels.prefix_sums(logits - stairs, stairs)
    assert fast.shape == (3, length)
    # a logit less its stair rounds by STEP ulp at most, and the sums are no better than that
    np.testing.assert_allclose(fast, naive.prefix_sums(logits.tolist(), stairs.tolist()), rtol=EXACT, atol=1e-290)


@given(lengths, spreads, seeds)
def test_suffix_sums_are_their_naive_twin(length, spread, seed):
    _, stairs, rng = drawn(length, spread, seed)
    v = rng.uniform(0, 1, length)
    fast = kernels.suffix_sums(v, stairs)
    np.testing.assert_allclose(fast, naive.suffix_sums(v.tolist(), stairs.tolist()), rtol=EXACT, atol=1e-290)


@given(lengths, spreads, seeds)
def test_weighted_sums_are_their_naive_twin(length, spread, seed):
    logits, stairs, rng = drawn(length, spread, seed)
    u = rng.normal(size=length)
    fast = kernels.weighted_sums(logits - stairs, stairs, u)
    slow = naive.weighted_sums(logits.tolist(), stairs.tolist(), u.tolist())
    size = naive.weighted_sums(logits.tolist(), stairs.tolist(), np.abs(u).tolist())   # the terms may cancel
    assert (np.abs(fast - slow) <= EXACT * np.array(size) + 1e-290).all()


@given(lengths, spreads, seeds)
def test_sums_weighted_by_one_are_prefix_sums(length, spread, seed):
    logits, stairs, _ = drawn(length, spread, seed)
    ones = kernels.weighted_sums(logits - stairs, stairs, np.ones(length))
    np.testing.assert_array_equal(ones, kernels.prefix_sums(logits - stairs, stairs)[0])


def test_long_sums_err_by_a_few_ulp():
    x = np.full(20_000, math.log(0.1))
    flat = np.zeros_like(x)
    exact = math.exp(x[0]) * np.arange(1, x.size + 1)
    few_ulp = 4 * np.finfo(float).eps      # Kahan's promise, whatever the length; a plain sum errs by 1e-12
    np.testing.assert_allclose(kernels.prefix_sums(x, flat)[0], exact, rtol=few_ulp)
    np.testing.assert_allclose(kernels.suffix_sums(np.exp(x), flat)[::-1], exact, rtol=few_ulp)
    np.testing.assert_allclose(kernels.weighted_sums(x, flat, flat + 1), exact, rtol=few_ulp)


@pytest.mark.parametrize("rise", [STEP, 1e4])
def test_a_rise_of_the_reference_rescales_what_came_before(rise):
    ref = np.array([0.0, rise])
    np.testing.assert_allclose(kernels.prefix_sums(np.zeros(2), ref),
                               [[1, 1 + math.exp(-rise)], [1, 1 + math.exp(-2 * rise)], [0, -rise * math.exp(-rise)]],
                               rtol=EXACT)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 4), st.booleans(), seeds)
def test_expected_sums_are_their_naive_twin(length, window, skip, certain, seed):
    rng = np.random.default_rng(seed)
    low, per_unit, logs, step = -4.0, 2.0, np.arange(-3.0, 3.0, 0.75), 0.75
    table = rng.uniform(0, 1, (3, 16, 4))
    table[:, :, 0] *= -1                               # log phi: no row falls to where the kernel gives up
    mu, share = rng.uniform(-2, 2, length), rng.choice([0.0, 0.3], length)
    slab = rng.integers(0, 2, length)
    sink = rng.uniform(-2, 1, length) if certain else np.zeros(0)
    fast = np.zeros((4, length))
    kernels.add_expected(mu, slab, share, table, low, per_unit, logs, step, sink, window, skip, *fast)
    slow = naive.expected_sums(mu, slab, share, table, low, per_unit, logs, step, sink, window, skip)
    np.testing.assert_allclose(fast, slow, rtol=1e-11, atol=1e-12)


def test_a_row_that_is_sure_to_be_large_ends_the_sums():
    table = np.zeros((1, 4, 4))
    table[:, :, 0], table[:, :, 1] = -31.0, 1.0        # one key is enough to give up
    sums = np.zeros((4, 3))
    kernels.add_expected(np.zeros(3), np.zeros(3, int), np.zeros(3), table, -1.0, 1.0, np.zeros(1), 1.0, np.zeros(0),
                         0, 0, *sums)
    assert not sums[0, 1:].any()
