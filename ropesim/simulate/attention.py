"""Attention of actual queries and keys, by brute force but without a T x T array.

Rows are taken in blocks: one matrix product, then, in strips that fit the cache, one vectorised
exp and one compiled pass that adds the scores up by lag and by key.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from ..errors import RopesimError, array, number, whole
from ..patterns import Profile
from .kernels import add_rows

BLOCK = 1 << 22   # most logits of one matrix product (32 MB), in at most 128 rows
STRIP = 8         # rows of a block that are taken through exp and the sums while in the cache
SAFE = 300.0      # logits of at most this size need no shift: neither exp(2 logit) nor its inverse overflows
BABY = 64         # positions per giant step of a rotation
KEPT = 1 << 18    # most entries of a rotation (4 MB) that is kept for the next sample


def rotation(length: int, theta: np.ndarray) -> np.ndarray:
    """exp(1j i theta[b]) for the positions i = 0 .. length-1, complex128[length, B].

    RoPE multiplies the pair b of token i by entry [i, b]. theta: float64[B], rad/token.

        R_i x = x e^{1j theta i}                                                  (S-rotation)

    Source: Su et al. 2021 (2104.09864), eq. 15. Position i is a giant step plus a baby step, and
    theta is split so that a position times its upper part is exact: the phase errs by less than
    1e-15 at every position below 2**29.

    >>> rotation(2, np.array([np.pi])).round(12).real
    array([[ 1.],
           [-1.]])
    """
    theta = array("theta", theta, [None])
    whole("length", length, least=1)
    giant, baby = (_turned(n, theta) for n in (np.arange(0, length, BABY)[:, None],
                                               np.arange(min(BABY, length))[:, None]))
    return (giant[:, None] * baby).reshape(-1, theta.size)[:length]


@lru_cache(maxsize=2)
def _kept(length: int, theta: bytes) -> np.ndarray:
    turn = rotation(length, np.frombuffer(theta))
    turn.flags.writeable = False
    return turn


def _turned(n: int | np.ndarray, theta: np.ndarray) -> np.ndarray:
    upper = theta.astype(np.float32).astype(np.float64)
    return np.exp(1j * n * upper) * np.exp(1j * n * (theta - upper))


def pair_logits(q: np.ndarray, k: np.ndarray, theta: np.ndarray, lag: int) -> np.ndarray:
    """What each frequency pair adds to the logits of n queries and the keys `lag` before them, float64[n, B].

    q, k: complex128[n, B], before RoPE, row by row the query and its key: `q[lag:]` and `k[:T - lag]` of a text; theta:
    float64[B], rad/token; lag from 0 to 2**29 - 1. Raises RopesimError otherwise.

        InP_b = Re q_b conj(k_b) e^{1j lag theta_b}                               (S-pair)

    Source: Cheng et al. 2026 (2601.08297), section 4.

    >>> pair_logits([[2.0, 1j]], [[1.0, 1.0]], [np.pi, 0.0], 1)
    array([[-2.,  0.]])
    """
    theta = array("theta", theta, [None])
    q = array("q", q, [None, theta.size], np.complex128)
    k = array("k", k, [q.shape[0], theta.size], np.complex128)
    return (q * k.conj() * _turned(whole("lag", lag, least=0, most=2 ** 29 - 1), theta)).real


def scores(q: np.ndarray, k: np.ndarray, theta: np.ndarray, *, scale: float = 1.0, window: int = 0) -> np.ndarray:
    """Score matrix S[i, j], float64[T, T], zero where row i does not see key j.

    q, k: complex128[T, B], before RoPE; theta: float64[B], rad/token; scale multiplies the logits;
    window: a row sees the lags < window only (0: all). Raises RopesimError for other shapes.

        S[i, j] = softmax_j( scale Re sum_b q[i,b] conj(k[j,b]) e^{1j (i-j) theta_b} ),  j <= i   (S-scores)

    >>> scores(np.ones((2, 1)), np.ones((2, 1)), np.zeros(1))
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    q, k, window = _operands(q, k, theta, scale, window)
    tile = q @ k.T
    _hide(tile, 0, 0, window)
    tile -= tile.max(axis=1, keepdims=True)
    np.exp(tile, out=tile)
    tile /= tile.sum(axis=1, keepdims=True)
    return tile


def _hide(tile: np.ndarray, first_row: int, first_key: int, window: int) -> None:
    """Set the logits of keys that a row does not see to -inf: after the row, or beyond the window."""
    rows, keys = tile.shape
    diagonal = first_row - first_key               # column of key i for the first row
    tile[:, diagonal:][np.triu(np.ones((rows, keys - diagonal), dtype=bool), 1)] = -np.inf
    if window and first_row + rows > window:
        tile[np.tri(rows, keys, diagonal - window, dtype=bool)] = -np.inf


def profile(q: np.ndarray, k: np.ndarray, theta: np.ndarray, *, scale: float = 1.0, skip: int = 0,
            window: int = 0) -> Profile:
    """Profile of the scores of q and k: slash, received, entropy, participation, float64[T] each.

    Arguments as for `scores`; skip: keys j < skip are left out of the slash mean. O(T^2 B) time,
    O(T B) memory.

        slash(d) = mean_{i >= d} S[i, i-d],  received(j) = mean_{i >= j} S[i, j],
        H_i = -sum_j S log S,  S2_i = sum_j S^2                                   (S-profile)

    >>> profile(np.ones((2, 1)), np.ones((2, 1)), np.zeros(1)).received
    array([0.75, 0.5 ])
    """
    skip = whole("skip", skip, least=0)
    q, k, window = _operands(q, k, theta, scale, window)
    length = q.shape[0]
    skip = min(skip, length)
    sums = Profile(*np.zeros((4, length)))
    bound = np.linalg.norm(q, axis=1).max() * np.linalg.norm(k, axis=1).max()
    for start, first, tile in _blocks(q, k, window):
        for r in range(0, len(tile), STRIP):
            x = tile[r:r + STRIP]
            if bound > SAFE:
                x -= x.max(axis=1, keepdims=True)
            add_rows(x, np.exp(x), start + r, first, skip, window, *sums)
    pairs = np.arange(length, 0, -1)
    left = pairs - skip
    slash = np.divide(sums.slash, left, out=np.full(length, np.nan), where=left > 0)
    return Profile(slash, sums.received / pairs, sums.entropy, sums.participation)


def pooled(q: np.ndarray, k: np.ndarray, theta: np.ndarray, blocks: int, *, scale: float = 1.0,
           window: int = 0) -> np.ndarray:
    """Attention map pooled to blocks of equal size: the score from a query block to a key block.

    blocks: whole, 1 .. T; other arguments and errors as for `scores`. float64[blocks, blocks], rows
    sum to 1.

        M[I, J] = mean_{i in I} sum_{j in J} S[i, j]                              (A-pooled)

    >>> pooled(np.ones((4, 1)), np.ones((4, 1)), np.zeros(1), 2).round(6)
    array([[1.      , 0.      ],
           [0.583333, 0.416667]])
    """
    q, k, window = _operands(q, k, theta, scale, window)
    length = q.shape[0]
    edges = np.arange(whole("blocks", blocks, least=1, most=length) + 1) * length // blocks
    by_key = np.zeros((length, blocks))
    for start, first, tile in _blocks(q, k, window):
        tile -= tile.max(axis=1, keepdims=True)
        power = np.exp(tile)
        power /= power.sum(axis=1, keepdims=True)
        sums = np.cumsum(np.pad(power, ((0, 0), (1, 0))), axis=1)
        by_key[start:start + len(tile)] = np.diff(sums[:, np.clip(edges - first, 0, power.shape[1])])
    return np.add.reduceat(by_key, edges[:-1], axis=0) / np.diff(edges)[:, None]


def outputs(q: np.ndarray, k: np.ndarray, theta: np.ndarray, values: np.ndarray, *, scale: float = 1.0,
            window: int = 0) -> np.ndarray:
    """Outputs S V of the head, float64[T, D], streamed over blocks of rows.

    values: float64[T, D], by key; other arguments and errors as for `scores`.

        o_i = sum_{j <= i} S[i, j] values[j]                                      (A-outputs)

    >>> outputs(np.ones((2, 1)), np.ones((2, 1)), np.zeros(1), np.array([[1.0], [3.0]]))
    array([[1.],
           [2.]])
    """
    q, k, window = _operands(q, k, theta, scale, window)
    values = array("values", values, [q.shape[0], None])
    out = np.empty(values.shape)
    for start, first, tile in _blocks(q, k, window):
        tile -= tile.max(axis=1, keepdims=True)
        power = np.exp(tile)
        seen = values[first:first + tile.shape[1]]
        out[start:start + len(tile)] = power @ seen / power.sum(axis=1, keepdims=True)
    return out


def _blocks(q: np.ndarray, k: np.ndarray, window: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """(first row, first key, logits) of blocks of rows; hidden keys are -inf, the array is reused."""
    length = q.shape[0]
    rows = min(max(BLOCK // length, STRIP), 128)
    flat = np.empty(rows * length)                 # cut to size, so that rows lie without gaps
    for start in range(0, length, rows):
        stop = min(start + rows, length)
        first = max(start - window + 1, 0) if window else 0
        shape = stop - start, stop - first
        tile = flat[:shape[0] * shape[1]].reshape(shape)
        np.matmul(q[start:stop], k[first:stop].T, out=tile)
        _hide(tile, start, first, window)
        yield start, first, tile


def _operands(q: np.ndarray, k: np.ndarray, theta: np.ndarray, scale: float,
              window: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Rotated queries (times scale) and keys as real [T, 2B] arrays whose product is the logits."""
    theta = array("theta", theta, [None])
    q = array("q", q, [None, theta.size], np.complex128)
    k = array("k", k, [q.shape[0], theta.size], np.complex128)
    if not q.size:
        raise RopesimError("shape of q", q.shape, "use at least one token and one pair")
    turn = _kept(q.shape[0], theta.tobytes()) if q.size <= KEPT else rotation(q.shape[0], theta)
    q, k = turn * (q * number("scale", scale)), turn * k
    return np.hstack([q.real, q.imag]), np.hstack([k.real, k.imag]), min(whole("window", window, least=0), len(q))
