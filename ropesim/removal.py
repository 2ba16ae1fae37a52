"""Frequency removal by leaving pairs unrotated: which pairs, and their frequencies afterwards."""

import numpy as np

from .bands import Bands, Thirds
from .errors import RopesimError, array, whole


def unrotated(theta: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """The frequencies with those of the pairs `removed` set to zero, float64[B].

    theta: float64[B], rad/token; removed: whole numbers from 0 to B-1, in any order, each once. Raises RopesimError
    otherwise. Queries and keys stay as they are: the pair goes on adding to the logit, the same at every lag.

        theta'_b = 0 for b in removed, theta_b otherwise                          (A-removal)

    Source: Cheng et al. 2026 (2601.08297), section 4: "left unrotated", 1-based there.

    >>> unrotated([1.0, 0.1, 0.01], [1])
    array([1.  , 0.  , 0.01])
    """
    theta = array("theta", theta, [None]).copy()
    theta[_indices(removed, theta.size)] = 0.0
    return theta


def protocol(theta: np.ndarray, *, count: int = 6) -> Thirds:
    """The pairs that the paper removes from each third of the frequencies, int[count] each, fastest third first.

    theta: float64[B], rad/token, with at least 3 count rotated pairs; count >= 1 pairs are spaced evenly over a
    third, from its first to its last, rounded to the nearest pair. Raises RopesimError otherwise.

        64 pairs: 0, 4, .., 20 of 0..20;  21, 25, .., 41 of 21..41;  42, 46, 50, 55, 59, 63 of 42..63   (A-removal)

    Source: Cheng et al. 2026 (2601.08297), section 4, pairs 1, 5, 9, 13, 17, 21 of the high third (1-based); the paper
    does not list those of the low one, whose 22 pairs cannot be spaced equally.

    >>> protocol(np.ones(64)).high
    array([ 0,  4,  8, 12, 16, 20])
    """
    theta = array("theta", theta, [None])
    count = whole("count", count, least=1)
    rotated = np.count_nonzero(theta)
    if rotated // 3 < count:
        raise RopesimError("count", count, f"use at most a third of the {rotated} rotated pairs")
    thirds = Bands(theta, rotary_dim=2 * theta.size).thirds
    return Thirds(*(third[np.rint(np.linspace(0, third.size - 1, count)).astype(int)] for third in thirds))


def _indices(removed: np.ndarray, pairs: int) -> np.ndarray:
    given = array("removed", removed, [None])
    if given.size != np.unique(given).size:
        raise RopesimError("removed", removed, "name each pair once")
    wrong = given[(given < 0) | (given >= pairs) | (given != np.rint(given))]
    if wrong.size:
        raise RopesimError("removed", float(wrong[0]), f"use pairs from 0 to {pairs - 1}")
    return given.astype(np.intp)
