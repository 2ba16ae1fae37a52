"""Sums of cosines at every lag, for many heads: the logits of heads whose queries and keys do not change."""

import itertools
import math

import numpy as np

from ..errors import RopesimError, array, whole
from ..jit import jit
from .phases import rotations, turns

ROWS = 128     # of a matrix product: more would leave the cache


def curves(product: np.ndarray, theta: np.ndarray, length: int, *, start: int = 0) -> np.ndarray:
    """Logits of constant heads from q conj(k), at the lags start .. start + length - 1, float64[..., length].

    product: complex128[..., B], one head for each leading index; theta (rad/token): float64[B],
    |theta| < 2**64; length >= 1, start >= 0, start + length <= 2**62. Raises RopesimError otherwise.

        logit(lag) = Re sum_b product[b] exp(1j theta[b] lag)                     (A-lag)

    Giant steps to the middle of G lags, then two matrix products for the baby steps to both sides
    (A-giant). The phases of both come from theta / 2 pi as a 128-bit fraction of a turn (A-turns), so the
    error, under 1e-15 sum(|product|), does not grow with the lag; theta is taken as the exact value of its
    double. Source: Cheng et al. 2026 (2601.08297), section 4, eq. 9; the two sides are ours.

    >>> curves([2.0, 1.0], [0.0, np.pi], 4).round(12)
    array([3., 1., 3., 1.])
    """
    theta = array("theta", theta, [None])
    product = array("product", product, [None] * (np.ndim(product) - 1) + [theta.size], np.complex128)
    if (np.abs(theta) >= 2.0 ** 64).any():
        raise RopesimError("theta", np.abs(theta).max(), "use frequencies below 2**64 rad/token")
    length = whole("length", length, least=1, most=2 ** 62)
    start = whole("start", start, least=0, most=2 ** 62 - length)
    half = 1 << ((length - 1).bit_length() + 2) // 2 - 1
    giants = -(-length // (2 * half))
    middles = 4 * half * np.arange(giants, dtype=np.uint64) + np.uint64(2 * (start + half) - 1)       # in half lags
    steps = rotations(turns(theta / 2), np.append(middles, np.arange(1, 2 * half, 2, dtype=np.uint64)))
    baby = steps[giants:].T
    right = np.array([baby.real, baby.imag])[:, None]
    heads = product.shape[:-1]
    product = np.ascontiguousarray(product).reshape(math.prod(heads), theta.size)
    rows = min(giants, ROWS)
    at_once = ROWS // rows
    left, sides = np.empty((2, at_once, rows, theta.size)), np.empty((2, at_once, rows, half))
    out = np.empty((len(product), giants, 2 * half))
    for n, g in itertools.product(range(0, len(product), at_once), range(0, giants, rows)):
        some = out[n:n + at_once, g:g + rows]
        part = slice(None), slice(some.shape[0]), slice(some.shape[1])
        _turned(product[n:n + at_once], steps[g:g + some.shape[1]], left[part])
        np.matmul(left[part], right, out=sides[part])      # of the same shape for each head in any batch
        _both_sides(sides[part], some)
    return out.reshape(*heads, giants * 2 * half)[..., :length]


@jit
def _turned(product, giant, left):  # type: ignore[no-untyped-def]
    """Re z and Im z: every head after every giant step."""
    for n in range(product.shape[0]):
        for g in range(giant.shape[0]):
            for b in range(giant.shape[1]):
                x, y, c, s = product[n, b].real, product[n, b].imag, giant[g, b].real, giant[g, b].imag
                left[0, n, g, b] = x * c - y * s
                left[1, n, g, b] = x * s + y * c


@jit
def _both_sides(sides, out):  # type: ignore[no-untyped-def]
    """Re z exp(1j x) and Re z exp(-1j x) from Re z cos x and Im z sin x: those after the middle, those before."""
    half = sides.shape[3]
    for n in range(out.shape[0]):
        for g in range(out.shape[1]):
            for r in range(half):
                out[n, g, half + r] = sides[0, n, g, r] - sides[1, n, g, r]
            for r in range(half):
                out[n, g, half - 1 - r] = sides[0, n, g, r] + sides[1, n, g, r]
