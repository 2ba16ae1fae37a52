"""Expected scores of rows whose keys are independent, from histograms of the keys' logits.

A row's sum knows of its keys only how many have which mean logit and which spread. Means are put on an
even grid with cubic weights, so that a row is a short vector, and a batch of rows at all points of log t
is one matrix product. Nothing is checked here.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import digamma

from .laplace import PER_UNIT, Table

# At .75 the trapezoid over log t errs by 2.5e-5 of scores and 2.4e-4 of squares where keys have no spread.
STEP = 5           # of the grid of log t in table points, which is .625
LARGE = 0.2        # step per spread of the logits, where that is more: without a sink everything is smoother then
DEEP = 12.0        # how far below the largest sum the grid of log t begins, in nats
FAR = 40.0         # a mean further below the largest than this plus 8.5 spreads is raised to there
RATIO = 0.04       # between neighbouring spreads of the table, above
LOW = 0.25         # spreads; below it they lie evenly


class Logits(NamedTuple):
    """Gaussian logits on the grid of columns: entry n has its mean and spread at start, offset, share (`histogram`)."""

    start: np.ndarray     # int64[2, N]
    offset: np.ndarray    # float64[N]
    share: np.ndarray     # float64[N]
    place: np.ndarray     # int64[C]: each column's mean, in table points
    slab: np.ndarray      # int64[C]: and its spread, an index of the table


class Scores(NamedTuple):
    """Expected scores of R rows: of one key in each column, of the certain key, and sums over each row."""

    score: np.ndarray     # float64[R, C]
    first: np.ndarray     # float64[R]
    entropy: np.ndarray
    square: np.ndarray


def spreads(least: float, most: float) -> np.ndarray:
    """Spreads from least to most in steps of at most 4 % of the spread, or .01 where it is small.

    >>> spreads(1.0, 1.05).round(3)
    array([1.  , 1.05])
    """
    count = 1 + int(np.ceil(np.log((most + LOW) / (least + LOW)) / RATIO))
    return np.asarray(np.geomspace(least + LOW, most + LOW, count) - LOW) if count > 1 else np.array([least])


def place(mean: np.ndarray, spread: np.ndarray, at: Table) -> Logits:
    """Logits with means float64[N] and spreads float64[N] within those of the table, on columns of their own.

    >>> from .laplace import table
    >>> place(np.array([0.0]), np.array([0.0]), table(np.zeros(1))).place
    array([-1,  0,  1,  2])
    """
    low, high = float(at.spreads[0]), float(at.spreads[-1])
    whole_way = max(np.log((high + LOW) / (low + LOW)), 1e-300)
    step = np.log((spread + LOW) / (low + LOW)) / whole_way * (len(at.spreads) - 1)
    slab = np.clip(step.astype(np.int64), 0, max(len(at.spreads) - 2, 0))
    coarse = max(1, int(low))                    # table points between columns: all functions are smooth over a spread
    point = np.maximum(mean, mean.max(initial=-np.inf) - FAR - 8.5 * high) * (PER_UNIT / coarse)
    whole = np.floor(point).astype(np.int64)
    base = whole.min(initial=0) - 1
    width = int(whole.max(initial=base) - base) + 3
    upper = np.minimum(slab + 1, len(at.spreads) - 1)
    start = np.stack([slab, upper]) * width + (whole - 1 - base)
    used = np.zeros(len(at.spreads) * width + 3, dtype=bool)
    used[start.ravel()] = True
    used[1:] |= used[:-1]
    used[2:] |= used[:-2]
    columns = np.flatnonzero(used)
    return Logits((np.cumsum(used) - 1)[start], point - whole, step - slab, (columns % width + base) * coarse,
                  columns // width)


def integrate(rows: np.ndarray, logits: Logits, at: Table, sink: np.ndarray, begin: float, end: float) -> Scores:
    """Scores of rows given as histograms float64[R, C], by the trapezoid rule over log t from begin to end.

    sink: float64[R], the logit of one more key, certain; -inf where a row has none.

        E[S_c] = int (psi1 / phi)_c prod_m phi_m e^{-t e^sink} dlog t                     (M-rows)

    >>> from .kernels import histogram
    >>> from .laplace import table
    >>> at = table(np.zeros(1))
    >>> two = place(np.zeros(2), np.zeros(2), at)
    >>> bins = histogram(*two[:3], np.array([2]), 4)
    >>> integrate(bins, two, at, np.array([-np.inf]), *limits(0.7, np.zeros(0), 0.0)).square.round(3)
    array([0.5])
    """
    certain = np.isfinite(sink)
    # A sink makes the integrand as sharp as e^{-t e^sink}; spread alone makes it smooth.
    step = STEP if certain.any() else max(STEP, int(LARGE * PER_UNIT * at.spreads[0]))
    point = np.arange(int(np.floor(begin * PER_UNIT)), max(end, begin + 1) * PER_UNIT, step).astype(np.int64)
    index = np.clip(logits.place[:, None] + point - at.low, 0, at.values.shape[2] - 1)
    log_phi, one, two, log = at.values[:, logits.slab[:, None], index]
    width = np.full(point.size, step / PER_UNIT)
    width[0] /= 1 - np.exp(-width[0])            # below the grid the integrand falls as t: a geometric sum
    x = point / PER_UNIT + np.where(certain, sink, 0.0)[:, None]
    y = np.exp(np.minimum(x, 50.0)) * certain[:, None]
    weight = width * np.exp(rows @ log_phi - y)
    return Scores(weight @ one.T, (weight * y).sum(axis=1),
                  -(weight * (rows @ log + y * (x + np.euler_gamma))).sum(axis=1),
                  (weight * (rows @ two + y * y)).sum(axis=1))


def limits(top: float, sink: np.ndarray, least: float) -> tuple[float, float]:
    """Where the integrand over log t lives; top, least: logs of about the largest and the smallest sum of a row.

    >>> limits(2.0, np.zeros(0), -1.0)
    (-14.0, 5.0)
    """
    end = 4 - least                                        # where the smallest sum, or every row's sink, decides
    return -float(sink.max(initial=top)) - DEEP, min(end, 4.5 - float(sink.min())) if sink.size else end


def picks(rise: np.ndarray, step: float) -> np.ndarray:
    """Rows between which others are interpolated: both sides of each step of `rise`, float64[T], which never falls.

    >>> picks(np.array([0.0, 0.001, 0.002, 5.0, 5.001, 5.002]), 0.03)
    array([2, 3, 5])
    """
    stair = np.floor(rise / step)
    before = np.flatnonzero(np.diff(stair, append=np.inf) > 0)
    jumps = np.flatnonzero(np.diff(rise, append=rise[-1]) > step)
    return np.union1d(before, jumps + 1)


class Blocks(NamedTuple):
    """Sums over the rows of a context from those picked, taking (i + 1) g_i as linear in i between them.

    sum over rows first <= i < T of g_i = sum_r weight_r g_r, weight_r = partial (the rows up to it) + after[r] at
    the first picked row r >= first, and before[r] + after[r] at the later ones.                    (M-picks)
    """

    rows: np.ndarray      # int64[R], the last is T - 1
    before: np.ndarray    # float64[R]: weight for the rows above the one picked before, up to this
    after: np.ndarray     # float64[R]: weight for the rows below, up to the next picked


def blocks(rows: np.ndarray) -> Blocks:
    """Weights of picked rows, exact for scores that are constant or fall as 1 / (i + 1).

    >>> b = blocks(np.array([0, 4]))
    >>> round(float(b.after[0] + b.before[1] / 5), 12) == round(1/2 + 1/3 + 1/4 + 1/5, 12)
    True
    """
    start, end = rows[:-1], rows[1:]
    gap = end - start
    inverse = digamma(end + 2) - digamma(start + 2)          # sum of 1 / (i + 1) over start < i <= end
    after = (start + 1) / gap * ((end + 1) * inverse - gap)
    before = (end + 1) / gap * (gap - (start + 1) * inverse)
    return Blocks(rows, np.append(0.0, before), np.append(after, 0.0))


def suffix_sums(scores: np.ndarray, at: Blocks) -> np.ndarray:
    """Sums over the rows from each picked one on but for those that `partial` counts, float64[R, ...].

    >>> suffix_sums(np.ones((2, 1)), blocks(np.array([0, 4]))).ravel()
    array([4., 0.])
    """
    out = scores * np.reshape(at.before + at.after, (-1, *[1] * (scores.ndim - 1)))
    out = np.cumsum(out[::-1], axis=0)[::-1]
    return out - scores * np.reshape(at.before, (-1, *[1] * (scores.ndim - 1)))


def by_row(values: np.ndarray, rows: np.ndarray, length: int) -> np.ndarray:
    """Values at picked rows, continued to all: (i + 1) value linear in i between them.

    >>> by_row(np.array([1.0, 0.25]), np.array([0, 3]), 4)
    array([1.        , 0.5       , 0.33333333, 0.25      ])
    """
    every = np.arange(length)
    return np.interp(every, rows, (rows + 1) * values) / (every + 1)
