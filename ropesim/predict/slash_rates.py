"""Speeds of gradient descent in both stages of slash training, in the mean field: what `slash_times` integrates.

Classes are equally likely. Logits of the second layer are at their mean over prompts, numbers of labels per class at
their mean or drawn.
"""

from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.special import gammaln

from ..errors import array
from ..slash_task import Task, layout

LEAST_CHANCE = 1e-14


class Prompt(NamedTuple):
    """What the rates read of a prompt, by row (0-based)."""

    classes: int
    lag: int
    inputs: np.ndarray      # float64[N], 1 at tokens that show an input
    labels: np.ndarray      # bool[N]
    own: np.ndarray         # bool[N], rows that hold their lag
    period: int


class _Weights(NamedTuple):
    """Minus the gradient of the loss by one logit of the second layer, per unit of e^logit; mean over class counts."""

    match: float
    other: float
    plain: float


def prompt(classes: int, length: int, lag: int) -> Prompt:
    """The rows of prompts of a `Task` with equally likely classes. Raises RopesimError as `Task`.

    >>> prompt(2, 5, 1).labels.tolist()
    [False, True, False, True, False]
    """
    task = Task(classes=classes, length=length, lag=lag)
    where = layout(task)
    return Prompt(classes, lag, (where.shown >= 0).astype(np.float64), where.labelled >= 0,
                  np.arange(length) >= lag, task.period)


def rate(classes: int, length: int, margins: np.ndarray, *, lag: int = 1) -> np.ndarray:
    """Mean-field speed of the margin of a slash head, float64[M], in units of eta C_1.

    classes: K >= 2; length: N > K tokens, odd; margins: float64[M], nats, of the lag's logit over all others, taken as
    equal; lag: of the label behind its input. Raises RopesimError otherwise. Rows j = 0 .. N-1, n(j) inputs among
    their keys apart from the lag's:

        S = e^m / (e^m + j),  b = (1 - S) n / (K j),  b' = S + b,  s_k = sum_labels e^b' / (K Z),
        s_m = sum_labels e^b / (K Z),  u = s_k^2 + (K - 1) s_m^2,
        G = sum_labels e^b' / (K Z) (1 - 2 s_k + u) S (1 - b') - sum_labels (1 - 1/K) e^b / Z (u - s_m - s_k) S b
            - sum_others e^b / Z (u - s_k) S b                                         (T-rate)

    with Z the sum of e^logit. Source: derived here for Cheng et al. 2026 (2601.08297), Stage I of Algorithm 1.

    >>> rate(8, 201, [0.0, 5.0]).round(5).tolist()
    [0.00138, 0.01813]
    """
    found = prompt(classes, length, lag)
    return np.array([mean_rate(found, m) for m in array("margins", margins, [None])])


def lag_rates(prompt: Prompt, logits: np.ndarray, numbers: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Mean-field speed of each lag's logit, float64[N], in units of eta C_1; logits: float64[N] at lags 0 to N-1.

    numbers: of labels of the question's class, and their chances, as from `label_numbers`. No checks. O(N log N).

        G(x) = sum_j E_n[g_j] S_{j,j-x} (v_{j-x} - b_j)                                 (T-lags)

    g_j: minus the gradient of the loss by row j's logit b_j, with n labels that match; v: for a label that matches 1 at
    its own input, 1/K at other inputs. Source: ours; slash.md 4.2 has the gradient by lag.

    >>> p = prompt(8, 201, 1)
    >>> g = lag_rates(p, np.zeros(201), label_numbers(p, drawn=False))
    >>> bool(abs(g.sum()) < 1e-15), bool(abs(g[1] - rate(8, 201, [0.0])[0]) < 1e-15)
    (True, True)
    """
    K, labels, length = prompt.classes, prompt.labels, logits.size
    size = fft.next_fast_len(2 * length, real=True)
    inputs = fft.rfft(prompt.inputs, size)
    weight = np.exp(logits - logits.max())
    others, total = weight.copy(), np.cumsum(weight)
    others[prompt.lag] = 0
    score = np.where(prompt.own, weight[prompt.lag] / total, 0.0)
    found = fft.irfft(fft.rfft(others, size) * inputs, size)[:length]
    blind = np.maximum(found, 0) / (K * total)          # a transform rounds zeros to either side
    match, other = np.exp(blind + score), np.exp(blind)
    by = _weights(prompt, match[labels].mean(), other[labels].mean(), other[~labels].sum(), *numbers)
    hit, miss = np.where(labels, by.match * match, 0.0), np.where(labels, by.other, by.plain) * other
    seen = fft.irfft(fft.rfft((hit + miss) / total, size) * inputs.conj(), size)[:length] / K
    seen[prompt.lag] = (hit / total)[prompt.own].sum()
    return weight * (seen - _tail((hit * (score + blind) + miss * blind) / total))


def mean_rate(prompt: Prompt, margin: float) -> float:
    """One entry of `rate`, (T-rate), of a prompt from `prompt`. No checks.

    >>> round(mean_rate(prompt(8, 201, 1), 5.0), 5)
    0.01813
    """
    K, rows = prompt.classes, np.arange(prompt.own.size)
    score = np.where(prompt.own, 1 / (1 + rows * np.exp(-margin)), 0.0)
    found = np.cumsum(prompt.inputs)
    found[prompt.lag:] -= prompt.inputs[:rows.size - prompt.lag]
    blind = (1 - score) * found / (K * np.maximum(np.where(prompt.own, rows, rows + 1), 1))
    other = np.exp(blind)
    match = other[prompt.labels] * np.exp(score[prompt.labels])
    weights = _weights(prompt, match.mean(), other[prompt.labels].mean(), other[~prompt.labels].sum(),
                       *label_numbers(prompt, drawn=False))
    slope = np.where(prompt.labels, weights.other, weights.plain) * other
    gain = weights.match * match * score[prompt.labels] * (1 - score[prompt.labels] - blind[prompt.labels])
    return float(gain.sum() - (slope * score * blind).sum())


def _weights(prompt: Prompt, match: float, other: float, plain: float, numbers: np.ndarray,
             chances: np.ndarray) -> _Weights:
    """match and other: mean of e^logit over labels of the question's class and of others; plain: the others' sum."""
    K, labels = prompt.classes, int(prompt.labels.sum())
    rest = labels - numbers
    total = numbers * match + rest * other + plain
    hit = numbers * match / total
    each = other ** 2 * _squares(rest, K, chances.size > 1) / total ** 2
    both = hit ** 2 + each
    return _Weights(float(chances @ (numbers * (1 - 2 * hit + both) / total)) / labels,
                    float(chances @ (rest * (both - hit) / total - each / other)) / labels,
                    float(chances @ ((both - hit) / total)))


def _squares(rest: np.ndarray, classes: int, counted: bool) -> np.ndarray:
    """Expected sum of squares of the other classes' numbers of labels."""
    return (rest ** 2 + (rest * (classes - 2) if counted else 0.0)) / (classes - 1)


def label_numbers(prompt: Prompt, *, drawn: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """How many labels are of the question's class, float64[n], and the chances: binomial, or the mean if not drawn.

    >>> [x.round(3).tolist() for x in label_numbers(prompt(2, 5, 1))]
    [[0.0, 1.0, 2.0], [0.25, 0.5, 0.25]]
    """
    labels, share = int(prompt.labels.sum()), 1 / prompt.classes
    if not drawn:
        return np.array([labels * share]), np.array([1.0])
    n = np.arange(labels + 1.0)
    chance = np.exp(gammaln(labels + 1) - gammaln(n + 1) - gammaln(labels - n + 1) + n * np.log(share)
                    + (labels - n) * np.log1p(-share))
    return n[chance > LEAST_CHANCE], chance[chance > LEAST_CHANCE]


def _tail(x: np.ndarray) -> np.ndarray:
    """Sums from each row to the last."""
    return np.cumsum(x[::-1])[::-1]


# Stage II

class MatchRows(NamedTuple):
    """What Stage II reads: nodes over first-layer scores, numbers of labels that match, and of each kind of row."""

    classes: int
    period: int
    score: np.ndarray       # S, and the share of the rows
    share: np.ndarray
    numbers: np.ndarray     # and their chances
    chances: np.ndarray
    labels: int
    sighted: int            # whose first layer sees a label
    blank: int
    first: np.ndarray       # of a row that is an input and sees itself: 1 if it is a match; nan where there is none


def match_loss(rows: MatchRows, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean-field loss of Stage II at logits x = (B, b, o), and its gradient, that by b per class. No checks.

        L = E_n ((1 - s_k)^2 + sum s_m^2) / 2,  logit of a row = S own + (1 - S) mean       (T-second-finite)

    own: B, b, o or 0, of a row that sees its match, another input, a label or nothing. A first row that is an input
    sees itself alone and is no label, nor is at lag 0 the question. Source: ours.

    >>> one = np.ones(1)
    >>> rows = MatchRows(4, 2, one, one, one, one, 4, 4, 0, one * np.nan)
    >>> loss, gradient = match_loss(rows, np.array([1.0, 0.0, 0.0]))
    >>> round(loss, 3), gradient.round(3).tolist()
    (0.275, [-0.154, 0.028, 0.07])
    """
    K, S = rows.classes, rows.score[:, None]
    mean = np.array([1 / K, 1 - 1 / K, 1.0 if rows.period > 1 else 0.0]) / rows.period
    match, other, sighted, blank = (S * own + (1 - S) * mean for own in np.vstack([np.eye(3), np.zeros(3)]))
    kinds = [np.exp(kind @ x) * rows.share for kind in (match, other, sighted, blank)]
    E = [kind.sum() for kind in kinds]
    slopes = np.array([kind @ slope for kind, slope in zip(kinds, (match, other, sighted, blank))])
    n, rest = rows.numbers, rows.labels - rows.numbers
    edge = np.nan_to_num(np.array([rows.first * np.exp(x[0]), (1 - rows.first) * np.exp(x[1])]))
    total = n * E[0] + rest * E[1] + rows.sighted * E[2] + rows.blank * E[3] + edge.sum(axis=0)
    hit = n * E[0] / total
    each = E[1] ** 2 * _squares(rest, K, rows.chances.size > 1) / total ** 2
    pull = (1 - hit) * hit - each               # d loss by the log of the total, its parts held fixed
    by = np.array([rows.chances @ part for part in (
        (pull * n - (1 - hit) * n) / total, pull * rest / total + each / E[1],
        pull * rows.sighted / total, pull * rows.blank / total)])
    gradient = by @ slopes + np.append((pull * edge / total) @ rows.chances, 0.0)
    return float(rows.chances @ ((1 - hit) ** 2 + each)) / 2, gradient / np.array([1.0, K - 1.0, 1.0])
