"""Which pairs are left unrotated, and their frequencies."""

import math

import numpy as np
import pytest
from tolerances import EXACT

from ropesim import removal
from ropesim.errors import RopesimError


def test_unrotated_zeroes_the_pairs_named_and_leaves_its_argument():
    theta = np.array([1.0, 0.5, 0.25])
    np.testing.assert_array_equal(removal.unrotated(theta, [2, 0]), [0, 0.5, 0])
    np.testing.assert_array_equal(removal.unrotated(theta, []), theta)
    np.testing.assert_array_equal(theta, [1, 0.5, 0.25])


def test_the_protocol_takes_six_of_each_third():
    """slash.md 1.5: high 1..21, medium 22..42, low 43..64 (1-based); high 1, 5, 9, 13, 17, 21."""
    high, medium, low = removal.protocol(1e6 ** -(np.arange(64) / 64))
    assert (high + 1).tolist() == [1, 5, 9, 13, 17, 21]
    assert (medium + 1).tolist() == [22, 26, 30, 34, 38, 42]
    assert (low + 1).tolist() == [43, 47, 51, 56, 60, 64]


def test_the_protocol_looks_at_rotated_pairs_by_falling_frequency():
    theta = np.array([0.0, 0.1, 0.2, 0.3, 0.0])
    assert [third.tolist() for third in removal.protocol(theta, count=1)] == [[3], [2], [1]]


def test_spacing_is_even_to_one_pair():
    for third in removal.protocol(np.ones(100), count=7):
        assert np.ptp(np.diff(third)) <= 1 + EXACT and third.size == 7


@pytest.mark.parametrize("removed", [[3], [-1], [0.5], [0, 0], [[0]], ["a"], [math.nan]])
def test_unrotated_refuses(removed):
    with pytest.raises(RopesimError, match="removed"):
        removal.unrotated(np.ones(3), removed)


def test_unrotated_refuses_frequencies_that_are_none():
    with pytest.raises(RopesimError, match="theta"):
        removal.unrotated([math.inf], [0])


@pytest.mark.parametrize("theta, count", [(np.ones(17), 6), (np.zeros(64), 6), (np.ones(64), 0), (np.ones(64), 1.0)])
def test_the_protocol_refuses(theta, count):
    with pytest.raises(RopesimError, match="count"):
        removal.protocol(theta, count=count)
