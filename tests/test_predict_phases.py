import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mpmath import expj, floor, mp, mpc, mpf, pi, workdps
from tolerances import EXACT

from ropesim.predict.phases import PER_TURN, _upper_half, rotations, turns

TURN = 1 << 128
frequencies = st.floats(-2.0 ** 64, 2.0 ** 64, exclude_min=True, exclude_max=True) | st.floats(-10, 10)
steps = st.integers(0, 2 ** 64 - 1)
words = st.lists(st.integers(0, 2 ** 64 - 1), min_size=3, max_size=3)


def fraction(theta):
    """theta / 2 pi modulo one turn, as an integer of 128 bits."""
    upper, lower = turns(np.array([theta]))
    return (int(upper[0]) << 64) + int(lower[0])


def rotation(theta, step):
    return complex(rotations(turns(np.array([theta])), np.array([step], dtype=np.uint64))[0, 0])


def exactly(theta, step):
    """exp(i theta step) by mpmath, with theta the exact value of its double."""
    with workdps(80):
        return complex(expj(mpf(theta) * step))


def test_the_constant_is_the_inverse_of_a_turn():
    with workdps(120):
        assert PER_TURN == int(floor(mpf(2) ** 320 / (2 * pi)))


@given(frequencies)
@example(2 * np.pi)
@example(1e-30)
@example(-5e-324)
@example(np.nextafter(2.0 ** 64, 0))
def test_turns_are_exact_to_the_last_of_their_bits(theta):
    with mp.workprec(500):
        exact = mpf(theta) / (2 * pi) * TURN
        assert min(abs(exact - fraction(theta)) % TURN, -abs(exact - fraction(theta)) % TURN) <= 1


@given(frequencies, steps)
@example(0.0, 2 ** 64 - 1)
@example(1e-30, 2 ** 64 - 1)
@example(2 * np.pi, 2 ** 64 - 1)
@example(-3.0, 2 ** 60)
@example(1.8e19, 2 ** 64 - 1)
def test_rotations_do_not_lose_accuracy_with_the_lag(theta, step):
    assert abs(rotation(theta, step) - exactly(theta, step)) < 4e-16     # cos, sin and their sum: an ulp or two of 1


@given(frequencies, steps)
def test_rotations_keep_norms(theta, step):
    assert abs(rotation(theta, step)) == pytest.approx(1, rel=EXACT)


@given(frequencies, st.integers(0, 2 ** 62 - 1), st.integers(0, 2 ** 62 - 1))
def test_rotations_add_up(theta, a, b):
    assert rotation(theta, a) * rotation(theta, b) == pytest.approx(rotation(theta, a + b), rel=EXACT)


@given(frequencies, steps)
def test_a_negative_frequency_turns_the_other_way(theta, step):
    assert rotation(-theta, step) == pytest.approx(rotation(theta, step).conjugate(), rel=EXACT)


@given(steps)
def test_a_frequency_of_zero_does_not_rotate(step):
    assert rotation(0.0, step) == 1


@pytest.mark.parametrize("quarter", range(8))
def test_each_quarter_turn_comes_out_in_its_quadrant(quarter):
    angle = quarter * np.pi / 4
    assert rotation(angle, 1) == pytest.approx(complex(mpc(expj(mpf(angle)))), abs=EXACT)


@given(words, words)
def test_upper_halves_are_those_of_the_whole_product(a, b):
    halves = _upper_half(np.array(a, dtype=np.uint64), np.array(b, dtype=np.uint64))
    assert halves.tolist() == [x * y >> 64 for x, y in zip(a, b)]
