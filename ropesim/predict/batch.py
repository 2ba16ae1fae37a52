"""Profiles of many heads whose logits depend on the lag alone, several of them side by side."""

from typing import NamedTuple

import numpy as np
from scipy import fft

from ..errors import RopesimError, array, whole
from . import attention
from .kernels import (LANES, early_rows, half_products, lag_tiles, last_keys, received_rows, row_tiles, slash_tiles,
                      sum_tiles, turned, twisted)
from .rows import STEP

TILE = 1 << 18   # numbers side by side at most: fewer heads of a long text, so that a tile is 2 MB
LAST = 64        # last keys that are summed directly: few rows see them, so that an error counts most there
LIMIT = 16384.0  # a transform is taken where the norms of weights and values have at most this product
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

        |e^l| |e^{-Z}| <= 16384   over the lags < T - 1 and the rows left             (A-batch)

    and FFTs sum the rest for all keys but the last 64, which are summed directly: the error of a
    mean is that product times a few ulp over 64.

    >>> seen = profiles(np.zeros((2, 4)))
    >>> seen.sink.round(6), np.exp(seen.entropy[0]) ** 2
    (array([0.520833, 0.520833]), np.float64(12.0...))
    """
    logits, sink, skip, window = _checked(logits, sink, skip, window)
    heads, length = logits.shape
    slash, means = np.empty((heads, length)), np.empty((4, heads))
    lanes = _lanes(heads, length)
    both, one = (2, length, lanes), (length, lanes)
    tile = _Tile(np.empty(both), np.empty(both), np.empty(one), np.empty(one), np.empty((4, lanes)),
                 np.empty(length, bool))
    keys = _Received(logits, sink, window, lanes) if received else None
    for first in range(0, heads, lanes):
        lag_tiles(logits, sink, first, window, STEP, tile.x, tile.ref, tile.rises)
        np.exp(tile.x, out=tile.e)
        row_tiles(tile.x, tile.e, tile.ref, tile.rises, tile.v, tile.means)
        slash_tiles(tile.e, tile.ref, tile.rises, tile.v, skip, tile.x[0], slash, first)
        means[:, first:first + lanes] = tile.means[:, :heads - first]
        if keys is not None:
            keys.add(tile, first)
    return Profiles(slash, means[0].copy(), np.maximum(means[2], 0.0), means[1].copy(),
                    None if keys is None else keys.received)


def sink_logits(logits: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Row i's logits for sinks at key 0, float64[N, T]: `attention.sink_logits` of each of N heads.

    logits: float64[N, T], by lag, T >= 1; margins: float64[N], finite, in nats. Raises RopesimError
    otherwise. The same to the last bit in any batch, and to a few ulp that of `attention`. O(T) a head.

        sink(i) = margin + A_i - log i  for i >= 1,   sink(0) = 0                 (E-sink)

    >>> sink_logits(np.zeros((2, 3)), [4.0, 0.0])
    array([[0., 4., 4.],
           [0., 0., 0.]])
    """
    logits, _, _, window = _checked(logits, None, 0, 0)
    heads, length = logits.shape
    margins = array("margins", margins, [heads])
    out, lanes = np.zeros((heads, length)), _lanes(heads, length)
    x, ref, rises = np.empty((2, length, lanes)), np.empty((length, lanes)), np.empty(length, bool)
    log_i = np.log(np.arange(1, length))[:, None]
    for first in range(0, heads, lanes):
        lag_tiles(logits, logits, first, window, STEP, x, ref, rises)
        np.exp(x[0], out=x[0])
        sum_tiles(x[0], ref, rises, x[1])
        sums = ref[:-1] + np.log(x[1, 1:]) - log_i
        out[first:first + lanes, 1:] = sums.T[:heads - first]
    out[:, 1:] += margins[:, None]
    return out


def _lanes(heads: int, length: int) -> int:
    """Heads side by side; the arithmetic of one does not depend on how many there are."""
    return max(min(LANES, TILE // length, heads), 1)


class _Tile(NamedTuple):
    """Heads side by side: logits less their stair and their exponentials, stairs, exp(ref - Z), means over rows."""

    x: np.ndarray
    e: np.ndarray
    ref: np.ndarray
    v: np.ndarray
    means: np.ndarray
    rises: np.ndarray


class _Received:
    """Received scores of the heads, filled tile by tile.

    Lags and rows are cut in two halves. The product of two halves has twice as many numbers, all in
    one complex transform: twisted by exp(1j pi n / 2h), the product modulo z^h - 1j has its first h
    numbers in the real part and the others in the imaginary part.
    """

    def __init__(self, logits: np.ndarray, sink: np.ndarray, window: int, lanes: int) -> None:
        self.logits, self.sink, self.window = logits, sink, window
        length = logits.shape[1]
        half = fft.next_fast_len(-(-length // 2))
        self.received = np.empty(logits.shape)
        self.early = np.empty((lanes, length))
        self.twist = np.tile(np.exp(0.5j * np.pi / half * np.arange(half)), 2)
        self.both = np.empty((2, lanes, 2 * half), complex)

    def add(self, tile: _Tile, first: int) -> None:
        weights, values = tile.x.reshape(2, *self.early.shape)          # in their place: what fits the cache is faster
        turned(tile.e, tile.v, weights, values)
        split = early_rows(weights, values, tile.ref, tile.rises, tile.means[3], LIMIT, DIRECT, self.early)
        last_keys(weights, values, LAST, self.early)
        twisted(weights, self.twist, self.twist.size - weights.shape[1], self.both[0])
        twisted(values, self.twist, 0, self.both[1])
        sums, other = fft.fft(self.both.reshape(2, len(weights), 2, -1), overwrite_x=True)
        half_products(sums, other)
        sums = fft.ifft(sums, overwrite_x=True).reshape(len(weights), -1)
        received_rows(sums, self.twist, self.early, LAST, tile.means[0], first, self.received)
        for n in np.flatnonzero(split[:len(self.received) - first] > DIRECT + 1) + first:
            cut = attention.received(self.logits[n], sink=self.sink[n], window=self.window)
            self.received[n, 1:] = cut[1:]


def _checked(logits: np.ndarray, sink: np.ndarray | None, skip: int,
             window: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    logits = np.ascontiguousarray(array("logits", logits, [None, None]))
    length = logits.shape[1]
    if not length:
        raise RopesimError("length", 0, "use at least one lag")
    sink = logits if sink is None else np.ascontiguousarray(array("sink", sink, logits.shape))
    skip, window = whole("skip", skip, least=0), whole("window", window, least=0)
    return logits, sink, min(skip, length), min(window or length, length)
