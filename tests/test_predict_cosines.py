"""Sums of cosines against plain sums and 60 digits, side by side and alone."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpc, mpf
from tolerances import EXACT, FLOAT

from ropesim import bands
from ropesim.errors import RopesimError
from ropesim.predict import attention, cosines

mp.dps = 60
THETA = bands.preset("llama-3-8b").theta


def drawn(heads, pairs, seed=0):
    x, y = np.random.default_rng(seed).standard_normal((2, heads, pairs))
    return x + 1j * y


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 300), st.integers(0, 99))
def test_curves_are_their_naive_twins(heads, pairs, length, seed):
    product, theta = drawn(heads, pairs, seed), np.random.default_rng(seed).uniform(-3, 3, pairs)
    found = cosines.curves(product, theta, length)
    twins = [naive.lag_logits(np.abs(row), np.angle(row), theta, length) for row in product]
    np.testing.assert_allclose(found, twins, rtol=0, atol=FLOAT * pairs)


@pytest.mark.parametrize("length", [1, 2, 63, 1024, 100_003])      # one giant step to several blocks of them
def test_a_head_has_the_same_bits_in_any_batch(length):
    product = drawn(cosines.ROWS // 16 + 3, THETA.size)
    together = cosines.curves(product, THETA, length)
    for n in (0, 1, len(product) - 1):
        assert together[n].tobytes() == cosines.curves(product[n], THETA, length).tobytes()


@pytest.mark.parametrize("start", [0, 2 ** 61])
@pytest.mark.parametrize("length", [1, 2, 1023, 1 << 20])
def test_curves_are_exact_to_a_few_ulp_of_all_amplitudes(start, length):
    product = drawn(1, THETA.size, 1)[0]
    found = cosines.curves(product, THETA, length, start=start)
    for lag in {0, length // 2, length - 1, *np.random.default_rng(0).integers(0, length, 9).tolist()}:
        terms = zip(product.tolist(), THETA.tolist())
        exact = sum((mpc(z) * mp.expj(mpf(t) * (start + lag)) for z, t in terms), mpc(0)).real
        assert abs(exact - mpf(float(found[lag]))) <= 1e-15 * np.abs(product).sum()


@given(st.integers(1, 40), st.integers(0, 2 ** 61), st.integers(0, 99))
def test_turning_back_what_is_conjugate_changes_nothing(length, start, seed):
    product = drawn(2, 5, seed)
    here = cosines.curves(product, THETA[:5], length, start=start)
    there = cosines.curves(product.conj(), -THETA[:5], length, start=start)
    np.testing.assert_allclose(here, there, rtol=0, atol=EXACT * np.abs(product).sum())


def test_shapes_and_what_they_may_hold():
    assert cosines.curves(np.ones((2, 3, 0)), np.ones(0), 4).shape == (2, 3, 4)
    assert cosines.curves(np.ones((0, 2)), np.ones(2), 4).shape == (0, 4)
    np.testing.assert_array_equal(cosines.curves([2.0], [1.0], 9), attention.lag_logits([2.0], [0.0], [1.0], 9))


@pytest.mark.parametrize("change, field", [
    ({"product": np.ones(2)}, "shape of product"), ({"product": [np.nan]}, "product"),
    ({"theta": [2.0 ** 64]}, "theta"), ({"theta": 1.0}, "shape of theta"), ({"length": 0}, "length"),
    ({"length": 2.0}, "length"), ({"start": -1}, "start"), ({"start": 2 ** 62 - 1}, "start")])
def test_what_is_refused(change, field):
    with pytest.raises(RopesimError) as error:
        cosines.curves(**{"product": [1.0], "theta": [1.0], "length": 3, **change})
    assert error.value.name == field
