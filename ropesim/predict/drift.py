"""Totals over the rows of heads whose keys share a path: given it and a query, they are independent.

Each node is one path of the keys through the context and, for each of some rows, one query. Rows grow
in steps of about a tenth, so all of them together hold about 11 T keys.
"""

import numpy as np

from ..ensembles import Part, Slow, real
from . import binned
from .cosines import curves
from .kernels import histogram, interpolate
from .laplace import table
from .logits import pairs
from .nodes import wide
from .phases import rotations, turns
from .totals import View, alone_in_row_0, by_key, rise

GROWTH = 0.1       # of a row's length over that looked at before
RISE = 0.2         # change of the logs of a row's length and of its sum after which one is looked at anyhow


def of_path(part: Part, slow: Slow, node: int, theta: np.ndarray, scale: float, view: View) -> np.ndarray:
    """Totals float64[4, T] of one path of keys and a query for each row, see `totals`.

    Covariances of queries, and of keys given the path, are diagonal and the same for both components of a pair.

        k_j = k_ + root_k path(xi)_j + N(0, S_k),   q_i ~ N(q_, S_q + drift_i S)            (M-path)

    >>> from ..processes import Ar1
    >>> part = Ar1(rho_q=0.0, rho_k=1.0, sigma_q=0.0, sigma_k=1.0, strength=0.0).parts(2, np.ones(1))[0]
    >>> of_path(part, part.slow, 0, np.ones(1), 1.0, View(2, np.zeros(0), 0, 2))[3].round(3)
    array([1. , 0.5])
    """
    rows, sums = picked(_mean_logits(part, theta, scale, view), view)
    counts, shift = view.counts(rows), np.zeros(len(rows))
    means, spread = _logits(part, slow, wide(node, (len(rows) + slow.size, 2 * theta.size)), rows, counts, theta, scale)
    for r, mean in enumerate(means):                       # softmax sees differences only: each row's top is 0
        shift[r] = mean.max(initial=-np.inf) if mean.size else 0.0
        mean -= shift[r]
    at = table(binned.spreads(float(spread.min()), float(spread.max())))
    logits = binned.place(np.concatenate(means), np.repeat(spread, counts), at)
    top = np.minimum(np.log(np.maximum(counts, 1)) + spread ** 2 / 2, 5 * spread + 2).max()
    sink = view.sink(rows) - shift
    begin, end = binned.limits(float(top), sink, float(-5 * spread.max()))
    ends = np.cumsum(counts)
    bins = histogram(logits.start, logits.offset, logits.share, ends, len(logits.slab))
    scores = alone_in_row_0(binned.integrate(bins, logits, at, sink, begin, end), view)
    flat = interpolate(scores.score, np.repeat(np.arange(len(rows)), counts), *logits[:3])
    key_0 = scores.first
    if not view.certain.size:
        seen = rows < view.window
        key_0[seen] = flat[ends[seen] - 1]
    split = np.split(flat, ends[:-1])
    out = [_slash(split, rows, view)]
    out += [binned.by_row(x, rows, view.length) for x in (key_0, scores.entropy, scores.square)]
    return np.stack(out + [by_key(rows, split, sums, out[1], view)] if view.received else out)


def picked(logits: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Rows to look at, each a tenth longer or with a changed sum of its logits by lag; and the log of every row's sum.

    >>> picked(np.zeros(20), View(20, np.zeros(0), 0, 20))[0]
    array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 15, 17, 19])
    """
    change, sums = rise(logits, view)
    growth = binned.picks(np.log(np.arange(1.0, view.length + 1)), GROWTH)
    return np.union1d(growth, binned.picks(change, RISE)), sums


def _mean_logits(part: Part, theta: np.ndarray, scale: float, view: View) -> np.ndarray:
    """Logits of the mean query and key, at the lags that a row sees."""
    product = scale * pairs(part.moments.q) * pairs(part.moments.k).conj()
    return curves(product, theta, view.window)


def _logits(part: Part, slow: Slow, xi: np.ndarray, rows: np.ndarray, counts: np.ndarray, theta: np.ndarray,
            scale: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Means of the logits at each row's lags, and each row's spread float64[R]."""
    m = part.moments
    variance = np.diag(m.cov_q) + np.outer(slow.drift[rows], np.diag(slow.cov_q))
    q = m.q + np.sqrt(variance) * xi[:len(rows)]
    k = m.k + slow.root_k * slow.path(xi[len(rows):])
    turn = rotations(turns(theta), np.arange(len(k), dtype=np.uint64))
    q_turned, k_turned = scale * real(pairs(q) * turn[rows]), real(pairs(k) * turn)[::-1]
    last = len(k) - 1 - rows                               # of the reversed keys, the row's own
    means = [k_turned[start:start + count] @ one for start, count, one in zip(last, counts, q_turned)]
    return means, scale * np.sqrt(q * q @ np.diag(m.cov_k))


def _slash(scores: list[np.ndarray], rows: np.ndarray, view: View) -> np.ndarray:
    """Sums by lag over all rows, float64[T], from the scores of the picked ones."""
    at, first, total = binned.blocks(rows), view.first_rows(), np.zeros(view.length)
    full = 0                                               # lags that the row before holds
    for row, score, before, after in zip(rows, scores, at.before, at.after):
        seen = int(np.searchsorted(first, row, side="right"))
        total[:full] += (before + after) * score[:full]
        total[full:seen] += (row - first[full:seen] + 1 + after) * score[full:seen]
        full = seen
    return total
