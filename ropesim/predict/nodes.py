"""Deterministic nodes that fill the normal distribution: no random numbers in this wing."""

from functools import cache

import numpy as np
from scipy.special import ndtri

SPREAD = 1e6       # multiplies the square roots of primes, which are too alike for neighbouring primes
START = 1000       # first point of the sequence: points 1 and 2 are as 1 to 2, and so correlated


def normal(done: int, count: int, size: int) -> np.ndarray:
    """The next `count` nodes after `done`, in `size` dimensions of the normal distribution, float64[count, size].

    Midpoints of an even grid in the first direction (three times as fine where nodes come in
    addition: the earlier ones then stay midpoints), a Kronecker sequence in the others.

    >>> normal(0, 2, 1).round(3)
    array([[-0.674],
           [ 0.674]])
    """
    total = done + count
    even = (np.arange(total) + 0.5) / total
    steps = np.arange(done + 1, total + 1)[:, None]
    unit = (0.5 + steps * np.sqrt(_primes(size))) % 1.0
    unit[:, 0] = even if done == 0 else even[np.arange(total) % 3 != 1]
    return np.asarray(ndtri(unit))


def wide(node: int, shape: tuple[int, int]) -> np.ndarray:
    """Node `node` >= 0 in so many dimensions of the normal distribution that none is filled evenly, float64[shape].

    A Kronecker sequence as well; over the nodes two dimensions are about as little correlated as
    independent draws would be.

    >>> abs(float(np.mean(wide(0, (500, 8)) * wide(1, (500, 8))))) < 0.05
    True
    """
    unit = (0.5 + (START + node) * _fractions(shape[0] * shape[1])) % 1.0
    return np.asarray(ndtri(np.clip(unit, 1e-12, 1 - 1e-12)).reshape(shape))


@cache
def _fractions(count: int) -> np.ndarray:
    return (SPREAD * np.sqrt(_primes(count))) % 1.0


@cache
def _primes(count: int) -> np.ndarray:
    sieve = np.ones(max(30, int(count * (np.log(count + 2) + 3))), dtype=bool)
    sieve[:2] = False
    for n in range(2, int(len(sieve) ** 0.5) + 1):
        if sieve[n]:
            sieve[n * n::n] = False
    return np.flatnonzero(sieve)[:count].astype(np.float64)
