"""Profiles of many heads whose logits depend on the lag alone, several of them side by side."""

from typing import NamedTuple

import numpy as np
from scipy import fft

from ..errors import RopesimError, array, whole
from . import attention
from .kernels import LANES, early_rows, lag_tiles, received_rows, row_tiles, slash_tiles, turned
from .rows import STEP

TILE = 1 << 18   # numbers side by side at most: fewer heads of a long text, so that a tile is 2 MB
LIMIT = 256.0    # a transform is taken where the norms of weights and values have at most this product
DIRECT = 2048    # rows that are summed directly at most: beyond, cuts are cheaper


class Profiles(NamedTuple):
    """What `ropesim.point` reads of each of N heads; entropy and participation are means over the rows >= T // 2.

    >>> Profiles._fields
    ('slash', 'sink', 'entropy', 'participation', 'received')
    """

    slash: np.ndarray             # float64[N, T], by lag; nan where no pair is left
    sink: np.ndarray              # float64[N]: received[:, 0]
    entropy: np.ndarray           # float64[N], nats
    participation: np.ndarray     # float64[N]
    received: np.ndarray | None   # float64[N, T], by key; None unless asked for


def profiles(logits: np.ndarray, *, sink: np.ndarray | None = None, skip: int = 0, window: int = 0,
             received: bool = False) -> Profiles:
    """Profiles of N heads: what `attention.profile` says of each, and the same to the last bit in any batch.

    logits: float64[N, T], by lag, T >= 1; sink: float64[N, T], row i's logit for key 0, in place of
    logits[:, i]; skip, window: as for `attention.profile`, the same for all heads. Raises
    RopesimError for wrong shapes, for numbers that are not finite and for a negative skip or window.
    Without `received` O(T) a head, with it O(T log T): early rows are summed one by one, until

        |e^l| |e^{-Z}| <= 256   over the lags < T - 1 and the rows left               (A-batch)

    and one FFT sums the rest; its error is that product times a few ulp.

    >>> seen = profiles(np.zeros((2, 4)))
    >>> seen.sink.round(6), np.exp(seen.entropy[0]) ** 2
    (array([0.520833, 0.520833]), np.float64(12.0...))
    """
    logits, sink, skip, window = _checked(logits, sink, skip, window)
    heads, length = logits.shape
    slash, means = np.empty((heads, length)), np.empty((4, heads))
    lanes = max(min(LANES, TILE // length), 1)               # by the length alone, never by the batch
    both, one = (2, length, lanes), (length, lanes)
    tile = _Tile(np.empty(both), np.empty(both), np.empty(one), np.empty(one), np.empty((4, lanes)),
                 np.empty(length, bool))
    keys = _Received(logits, sink, window, lanes) if received else None
    for first in range(0, heads, lanes):
        lag_tiles(logits, sink, first, window, STEP, tile.x, tile.ref, tile.rises)
        np.exp(tile.x, out=tile.e)
        row_tiles(tile.x, tile.e, tile.ref, tile.rises, tile.v, tile.means)
        slash_tiles(tile.e, tile.ref, tile.rises, tile.v, skip, slash, first)
        means[:, first:first + lanes] = tile.means[:, :heads - first]
        if keys is not None:
            keys.add(tile, first)
    return Profiles(slash, means[0].copy(), np.maximum(means[2], 0.0), means[1].copy(),
                    None if keys is None else keys.received)


class _Tile(NamedTuple):
    """Heads side by side: logits less their stair and their exponentials, stairs, exp(ref - Z), means over rows."""

    x: np.ndarray
    e: np.ndarray
    ref: np.ndarray
    v: np.ndarray
    means: np.ndarray
    rises: np.ndarray


class _Received:
    """Received scores of the heads, filled tile by tile."""

    def __init__(self, logits: np.ndarray, sink: np.ndarray, window: int, lanes: int) -> None:
        self.logits, self.sink, self.window = logits, sink, window
        length = logits.shape[1]
        size = fft.next_fast_len(2 * length - 1, real=True)
        self.received = np.empty(logits.shape)
        self.weights, self.values = np.zeros((lanes, size)), np.zeros((lanes, size))
        self.early = np.empty((lanes, length))

    def add(self, tile: _Tile, first: int) -> None:
        turned(tile.e, tile.v, self.weights, self.values)
        split = early_rows(self.weights, self.values, tile.ref, tile.means[3], LIMIT, DIRECT, self.early)
        spectrum = fft.rfft(self.weights)
        spectrum *= fft.rfft(self.values)
        sums = fft.irfft(spectrum, self.weights.shape[1], overwrite_x=True)
        received_rows(sums, self.early, tile.means[0], first, self.received)
        for n in np.flatnonzero(split[:len(self.received) - first] > DIRECT + 1) + first:
            self.received[n] = attention.received(self.logits[n], sink=self.sink[n], window=self.window)


def _checked(logits: np.ndarray, sink: np.ndarray | None, skip: int,
             window: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    logits = np.ascontiguousarray(array("logits", logits, [None, None]))
    length = logits.shape[1]
    if not length:
        raise RopesimError("length", 0, "use at least one lag")
    sink = logits if sink is None else np.ascontiguousarray(array("sink", sink, logits.shape))
    skip, window = whole("skip", skip, least=0), whole("window", window, least=0)
    return logits, sink, min(skip, length), min(window or length, length)
