"""Attention of one head in blocks of rows, for every kind of score: only visible keys are multiplied, no T x T array.

Queries and keys are real and rotated; float64 or float32 in, the same out.
"""

from collections.abc import Iterator

import numpy as np

from ..errors import RopesimError

BLOCK = 1 << 19      # most logits of one matrix product
ROWS = 128           # most rows of one
SAFE = {"f8": 300.0, "f4": 40.0}     # logits of at most this size need no shift: exp and its inverse are finite
MOST = 1 << 36       # visible pairs of a head: some minutes per head and layer


def affordable(length: int, window: int) -> None:
    """Raises RopesimError where a head would have more than 2**36 visible pairs.

    length, window >= 0 (0: no window).

    >>> affordable(10 ** 7, 4096)
    """
    if length * min(window or length, length) > MOST:
        raise RopesimError("length", length, f"use a window below {MOST // length + 1}: a row for each pair takes T^2")


def tiles(q: np.ndarray, k: np.ndarray, *, window: int = 0,
          visible: np.ndarray | None = None) -> Iterator[tuple[int, int, np.ndarray]]:
    """(first row, first key, logits) of blocks of rows; hidden keys are -inf; the array is reused.

    q, k: float[T, D], their products the logits; window: lags that a row sees (0: all); visible: bool[T, T] instead.
    From the first key that a row of the block sees to its last row.

    >>> [(start, first, tile.shape) for start, first, tile in tiles(np.ones((300, 2)), np.ones((300, 2)), window=9)]
    [(0, 0, (128, 128)), (128, 120, (128, 136)), (256, 248, (44, 52))]
    """
    length = len(q)
    widest = min(window + ROWS, length) if window else length
    rows = min(max(BLOCK // widest, 8), ROWS)
    flat = np.empty(min(rows * widest, rows * length), q.dtype)     # cut to size: rows lie without gaps
    for start in range(0, length, rows):
        stop = min(start + rows, length)
        first = first_key(start, stop, window, visible)
        tile = flat[:(stop - start) * (stop - first)].reshape(stop - start, stop - first)
        np.matmul(q[start:stop], k[first:stop].T, out=tile)
        if visible is None:
            _hide(tile, start - first, window)
        else:
            np.copyto(tile, -np.inf, where=~visible[start:stop, first:stop])
        yield start, first, tile


def first_key(start: int, stop: int, window: int, visible: np.ndarray | None) -> int:
    """The first key that one of the rows start .. stop-1 sees; arguments as for `tiles`.

    >>> first_key(4, 8, 3, None)
    2
    """
    if visible is not None:
        return int(visible[start:stop].any(axis=0).argmax())
    return max(start - window + 1, 0) if window else 0


def _hide(tile: np.ndarray, diagonal: int, window: int) -> None:
    """Logits after the row, or beyond the window, become -inf; diagonal: column of its own key in the first row."""
    rows, keys = tile.shape
    tile[:, diagonal:][np.triu(np.ones((rows, keys - diagonal), dtype=bool), 1)] = -np.inf
    if window and diagonal + rows > window:
        near = min(diagonal + rows - window, keys)               # the keys that some row has left behind
        tile[:, :near][np.tri(rows, near, diagonal - window, dtype=bool)] = -np.inf


def bound(q: np.ndarray, k: np.ndarray) -> float:
    """No logit of these queries and keys, float[T, D], is larger in absolute value.

    >>> round(bound(np.eye(2), 3 * np.eye(2)), 12)
    3.0
    """
    return float(np.sqrt(np.einsum("td,td->t", q, q).max() * np.einsum("td,td->t", k, k).max()))


def weigh(tile: np.ndarray, kind: str, largest: float) -> np.ndarray:
    """Turn logits into positive weights, in place, and return what to divide each row by for its scores.

    tile: float[r, c], -inf for hidden keys, at least one visible key in each row; kind: one of `stacks.KINDS`; largest:
    a `bound` on the logits.

        a = e^l / sum e^l;  sigmoid: a = 1/(1 + e^{-(l - log n)}), n visible keys;  plus one: a = e^l/(1 + sum e^l)
                                                                                         (D-scores)

    Source: sigmoid attention with the bias -log n and softmax-plus-one, as in sinks.md sections 2.3 and 4.

    >>> tile = np.array([[0.0, 0.0, -np.inf]])
    >>> tile / weigh(tile, "softmax-plus-one", 0.0)[:, None]
    array([[0.33333333, 0.33333333, 0.        ]])
    """
    if kind == "sigmoid":
        tile -= np.log((tile > -np.inf).sum(axis=1, keepdims=True)).astype(tile.dtype)
        logistic(tile, out=tile)
        return np.ones(len(tile), tile.dtype)
    top = np.zeros(len(tile), tile.dtype)
    if largest > SAFE[tile.dtype.str[1:]]:
        top = tile.max(axis=1) if kind == "softmax" else np.maximum(tile.max(axis=1), 0)
        tile -= top[:, None]
    np.exp(tile, out=tile)
    total = tile.sum(axis=1)
    return total if kind == "softmax" else total + np.exp(-top)


def logistic(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """1 / (1 + e^-x) to 1e-16 absolutely; as a tanh it overflows nowhere and runs in vectors.

    x: float of any shape, may be infinite; out: where to put it.

    >>> logistic(np.array([0.0, -np.inf]))
    array([0.5, 0. ])
    """
    out = np.tanh(np.multiply(x, 0.5, out=out), out=out)
    out += 1
    out *= 0.5
    return out
