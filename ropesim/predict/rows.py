"""Rows of a head whose logits depend on the lag alone: stable sums over each, and cuts of rows.

Row i holds lags 0..i; key 0 stands at lag i. A_i is the log-sum-exp over the lags n < i (every key
but key 0), which never falls with i; Z_i is that of the whole row. No argument is checked here.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .kernels import prefix_sums

STEP = 16.0        # height of a stair of the reference that running sums are held against, in nats
RISE = 4.0         # rows are cut where A has risen this much: within a cut one FFT is accurate
NEGLIGIBLE = 44.0  # a key this many nats below A has a score under 1e-19


class Rows(NamedTuple):
    """Sums over the rows 1 .. T-1 (row i at index i - 1), relative to exp(ref)."""

    ref: np.ndarray       # the staircase under which row i's sums are held
    s: np.ndarray         # exp(A - ref)
    log_s: np.ndarray
    square: np.ndarray    # sum of exp(2 (logit - ref)) over the lags n < i
    weighted: np.ndarray  # sum of (logit - ref) exp(logit - ref) over the lags n < i
    v: np.ndarray         # exp(ref - Z)
    first: np.ndarray     # score of key 0


def staircase(logits: np.ndarray) -> np.ndarray:
    """The running maximum rounded up to whole steps: changes rarely, and never lies below a logit.

    >>> staircase(np.array([-1.0, 5.0, 2.0, 17.0]))
    array([-0., 16., 16., 32.])
    """
    return STEP * np.ceil(np.maximum.accumulate(logits) / STEP)


def row_sums(logits: np.ndarray, sink: np.ndarray, window: int) -> Rows:
    """The sums of each row; sink[i] is row i's logit for key 0, window 0 shows every lag.

    >>> row_sums(np.zeros(3), np.zeros(3), 0).first
    array([0.5       , 0.33333333])
    """
    stairs = staircase(logits)
    # the last lag of row i that is not key 0 is i - 1
    s, square, weighted = prefix_sums(logits - stairs, stairs)[:, :-1]
    ref, above = stairs[:-1], sink[1:] - stairs[:-1]
    with np.errstate(over="ignore"):                   # a sink far above the rest: v is 0, first is 1
        v, first = 1 / (s + np.exp(above)), 1 / (1 + s * np.exp(-above))
    rows = Rows(ref, s, np.log(s), square, weighted, v, first)
    if not 0 < window < logits.size:
        return rows
    frozen = Rows(*(field[window - 1:window] for field in rows))      # later rows see the same lags, and no key 0
    frozen = frozen._replace(v=1 / frozen.s, first=np.zeros(1))
    return Rows(*(np.where(np.arange(ref.size) < window - 1, field, end) for field, end in zip(rows, frozen)))


class Cut(NamedTuple):
    """Rows start .. stop - 1, in which A rises by at most RISE, and the lags that matter in them."""

    start: int
    stop: int
    lag: int                # the first of these lags
    weights: np.ndarray     # exp(logit - ref) of the lags, ref being that of the first row
    values: np.ndarray      # exp(ref - Z) of the rows


def cuts(rows: Rows, logits: np.ndarray, window: int) -> Iterator[Cut]:
    """Cuts that cover the rows 1 .. T - 1, in order.

    >>> [(cut.start, cut.stop) for cut in cuts(row_sums(np.zeros(99), np.zeros(99), 0), np.zeros(99), 0)]
    [(1, 55), (55, 99)]
    """
    level = rows.ref + rows.log_s
    start = 1
    while start < logits.size:
        stop = max(int(np.searchsorted(level, level[start - 1] + RISE, side="right")), start) + 1
        end = min(stop - 1, window or stop)            # row i sees the lags n < i, n < window
        alive = logits[:end] >= level[start - 1] - NEGLIGIBLE
        first, last = int(alive.argmax()), end - int(alive[::-1].argmax())
        ref = rows.ref[start - 1]
        values = rows.v[start - 1:stop - 1] * np.exp(ref - rows.ref[start - 1:stop - 1])
        yield Cut(start, stop, first, np.exp(logits[first:last] - ref), values)
        start = stop
