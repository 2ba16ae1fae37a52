"""Totals over the rows of a context, of heads whose keys are independent given a query or a path of keys.

Rows are evaluated where the row's sum has changed (`binned.picks`) and interpolated between. Totals are
float64[4, T]: by lag the sum of its scores over rows; by row the score of key 0, entropy and participation;
and where it is asked for a fifth, by key the sum of its scores over rows.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import binned
from .binned import Scores
from .kernels import histogram, interpolate
from .laplace import Table


RISE = 0.03        # rows are skipped while the logs of their length, of their sum and of the certain logit change less


class View(NamedTuple):
    """Which keys a row sees, and which of them count for slash."""

    length: int
    certain: np.ndarray   # float64[T], row i's certain logit of key 0; empty: key 0 is like any other
    skip: int
    window: int           # number of lags that a row sees, at most T
    received: bool = False

    def counts(self, rows: np.ndarray) -> np.ndarray:
        """Number of keys with random logits in each row."""
        return np.minimum(rows if self.certain.size else rows + 1, self.window)

    def sink(self, rows: np.ndarray) -> np.ndarray:
        """Logit of the certain key in each row, -inf where there is none."""
        return np.where(rows < self.window, self.certain[rows], -np.inf) if self.certain.size else \
            np.full(len(rows), -np.inf)

    def first_rows(self) -> np.ndarray:
        """First row that counts for slash, by lag, for the lags that have one."""
        lags = np.arange(self.window)
        first = np.maximum(lags + self.skip, lags + 1 if self.certain.size else lags)
        return first[first < self.length]


def of_query(mean: np.ndarray, spread: np.ndarray, share: np.ndarray, at: Table, view: View) -> np.ndarray:
    """Totals of one query, with logits float64[T] of which row i holds the lags 0..i; rows count by share[i].

    O(T) to bin the keys, and a product (rows x columns) (columns x points of log t), see (M-rows).

    >>> from .laplace import table
    >>> everything = View(3, np.zeros(0), 0, 3)
    >>> of_query(np.zeros(3), np.zeros(3), np.ones(3), table(np.zeros(1)), everything)[3].round(3)
    array([1.   , 0.5  , 0.333])
    """
    mean, spread = mean[:view.window], spread[:view.window]
    change, sums = rise(mean + spread ** 2 / 2, view)
    rows = binned.picks(change + np.abs(np.diff(share, prepend=share[0])).cumsum() / share.max(), RISE)
    logits = binned.place(mean, spread, at)
    bins = np.cumsum(histogram(*logits[:3], view.counts(rows), len(logits.slab)), axis=0)
    sink = view.sink(rows)
    top = min(float(np.logaddexp.reduce(mean + spread ** 2 / 2)), float(np.max(mean + 5 * spread)) + 2)
    scores = binned.integrate(bins, logits, at, sink, *binned.limits(top, sink, float(mean[0] - 5 * spread[0])))
    scores = Scores(*(x * share[rows].reshape(-1, *[1] * (x.ndim - 1)) for x in alone_in_row_0(scores, view)))

    def at_lags(values: np.ndarray, row: np.ndarray, lags: slice) -> np.ndarray:
        return interpolate(values, row, logits.start[:, lags], logits.offset[lags], logits.share[lags])

    first = view.first_rows()
    counted = slice(0, len(first))
    following = np.searchsorted(rows, np.arange(view.length))          # the picked row at or after each
    weight = np.exp(sums[rows[following]] - sums)                       # of that one's scores, for those before it
    until = np.cumsum(weight)[rows[following]] - np.cumsum(weight) + weight
    slash = np.zeros(view.length)
    slash[counted] = at_lags(binned.suffix_sums(scores.score, binned.blocks(rows)), following[first], counted)
    slash[counted] += until[first] * at_lags(scores.score, following[first], counted)
    key_0 = binned.by_row(scores.first, rows, view.length)
    if not view.certain.size:
        own = slice(0, view.window)
        key_0[own] = weight[own] * at_lags(scores.score, following[own], own)
    out = [slash, key_0, *(binned.by_row(x, rows, view.length) for x in (scores.entropy, scores.square))]
    if view.received:
        each = (at_lags(scores.score, np.full(count, r), slice(0, count)) for r, count in enumerate(view.counts(rows)))
        out.append(by_key(rows, each, sums, key_0, view))
    return np.stack(out)


def alone_in_row_0(scores: Scores, view: View) -> Scores:
    """The same scores with those of row 0, the first, as they are for certain: it has one key.

    >>> alone_in_row_0(Scores(np.ones((1, 1)), *np.full((3, 1), 9.0)), View(1, np.ones(1), 0, 1)).first
    array([1.])
    """
    scores.first[0], scores.entropy[0], scores.square[0] = float(view.certain.size > 0), 0.0, 1.0
    return scores


def rise(logits: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """How much the logs of a row's length, its sum and its certain logit have changed up to it; and the log of its sum.

    logits: float64[window] by lag; float64[T] each.

    >>> rise(np.zeros(2), View(2, np.zeros(0), 0, 2))[1].round(3)
    array([0.   , 0.693])
    """
    every = np.arange(view.length)
    top = max(float(logits.max()), *view.certain) if view.certain.size else float(logits.max())
    cumulative = np.concatenate([np.zeros(1), np.cumsum(np.exp(logits - top))])[view.counts(every)]
    sums = np.log(np.maximum(cumulative + np.exp(view.sink(every) - top), 1e-300)) + top
    keys = np.log(np.maximum(cumulative, 1e-300))
    change = np.abs(np.diff(np.log(every + 1.0), prepend=0.0)) + np.abs(np.diff(keys, prepend=keys[0]))
    if view.certain.size:
        change += np.abs(np.diff(view.certain, prepend=view.certain[0]))
    change[view.window:] = 0.0
    change[view.window:view.window + 1] = 1.0               # the first row that does not see key 0 is one to look at
    return change.cumsum(), sums


def by_key(rows: np.ndarray, scores: Iterable[np.ndarray], sums: np.ndarray, key_0: np.ndarray,
           view: View) -> np.ndarray:
    """Sums by key over all rows, float64[T], from the scores by lag of the picked ones.

    Between picked rows scores are linear in the row, or follow the row's sum (its log: `sums`, by row) at
    lags that only the latter holds. O(R T).

    >>> everything = View(2, np.zeros(0), 0, 2)
    >>> by_key(np.arange(2), [np.ones(1), np.array([0.75, 0.25])], np.zeros(2), np.zeros(2), everything)
    array([1.25, 0.75])
    """
    total, above, last = np.zeros(view.length), np.zeros(0), -1
    for row, score in zip(rows.tolist(), scores):
        middle = score.copy()
        middle[:above.size] += (above - score[:above.size]) * (1 - 1 / (row - last)) / 2
        weight = np.exp(sums[row] - sums[last + 1:row + 1])[::-1].cumsum() / np.arange(1, row - last + 1)
        new = slice(above.size, score.size)
        middle[new] *= weight[::-1][:score.size - above.size]
        total_sums = np.zeros(row + 2)
        total_sums[1:score.size + 1] = np.cumsum(middle)
        total_sums[score.size + 1:] = total_sums[score.size]
        total[:row + 1] += total_sums[:0:-1]               # key j holds the lags up to row - j here,
        total[:last + 1] -= total_sums[last + 1:0:-1]      # less those of the rows up to the last one picked
        above, last = score, row
    if view.certain.size:
        total[0] = key_0.sum()
    return total
