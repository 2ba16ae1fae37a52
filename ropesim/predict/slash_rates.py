"""Speeds of gradient descent in both stages of slash training, in the mean field: what `slash_times` integrates.

Logits of the second layer are at their mean over prompts, numbers of labels per class at their mean or drawn. Classes
of one probability share their numbers: K equally likely ones cost as much as one.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.special import gammaln

from ..errors import array
from ..slash_task import Task, layout

LEAST_CHANCE = 1e-14
EARLY = 64          # first rows without the lag that are taken exactly


class Prompt(NamedTuple):
    """What the rates read of a prompt, by class and by row (0-based)."""

    p: np.ndarray           # float64[g], probabilities of classes, each value once
    alike: np.ndarray       # int64[g], how many classes have it
    square: np.ndarray      # float64[g], chance that two labels, neither of such a class, are of one class
    lag: int
    inputs: np.ndarray      # float64[N], 1 at tokens that show an input
    labels: np.ndarray      # bool[N]
    own: np.ndarray         # bool[N], rows that hold their lag
    period: int


Numbers = tuple[np.ndarray, np.ndarray]     # of labels of the question's class, and their chances


class _Weights(NamedTuple):
    """Minus the gradient of the loss by one logit of the second layer, per unit of e^logit; mean over class counts."""

    match: float
    other: float
    plain: float


def prompt(classes: int, length: int, lag: int, probabilities: tuple[float, ...] | None = None) -> Prompt:
    """The classes and the rows of prompts of a `Task`. Raises RopesimError as `Task`.

    >>> prompt(2, 5, 1).labels.tolist()
    [False, True, False, True, False]
    """
    task = Task(classes=classes, length=length, lag=lag, probabilities=probabilities)
    where = layout(task)
    p, alike = np.unique(task.weights, return_counts=True)
    others = alike - np.eye(p.size)
    return Prompt(p, alike, others @ p ** 2 / (others @ p) ** 2, lag, (where.shown >= 0).astype(np.float64),
                  where.labelled >= 0, np.arange(length) >= lag, task.period)


def rate(classes: int, length: int, margins: np.ndarray, *, lag: int = 1,
         probabilities: tuple[float, ...] | None = None) -> np.ndarray:
    """Mean-field speed of the margin of a slash head, float64[M], in units of eta C_1.

    classes: K >= 2; length: N > K tokens, odd; margins: float64[M], nats, of the lag's logit over all others, taken as
    equal; lag: of the label behind its input; probabilities: p_k > 0 of the classes, None: 1 / K. Raises RopesimError
    otherwise. Rows j = 0 .. N-1, n(j) inputs among their keys apart from the lag's; by class k of the question:

        S = e^m / (e^m + j),  b = (1 - S) p_k n / j,  b' = S + b,  s_k = p_k sum_labels e^b' / Z,
        s_m = p_m sum_labels e^b / Z,  u = sum_m s_m^2,  r = (u - s_k^2) / sum_{m != k} s_m,
        G_k = p_k sum_labels e^b' / Z (1 - 2 s_k + u) S (1 - b')
              - (1 - p_k) sum_labels e^b / Z (u - r - s_k) S b - sum_others e^b / Z (u - s_k) S b
        G = sum_k p_k G_k                                                              (T-rate)

    with Z the sum of e^logit. Source: derived here for Cheng et al. 2026 (2601.08297), Stage I of Algorithm 1.

    >>> rate(8, 201, [0.0, 5.0]).round(5).tolist()
    [0.00138, 0.01813]
    """
    found = prompt(classes, length, lag, probabilities)
    return np.array([mean_rate(found, m) for m in array("margins", margins, [None])])


def lag_rates(prompt: Prompt, logits: np.ndarray, numbers: list[Numbers]) -> np.ndarray:
    """Mean-field speed of each lag's logit, float64[N], in units of eta C_1; logits: float64[N] at lags 0 to N-1.

    numbers: of labels of the question's class, as from `label_numbers`. No checks. O(N log N).

        G(x) = sum_k p_k sum_j E_n[g_j] S_{j,j-x} (v_{j-x} - b_j)                       (T-lags)

    g_j: minus the gradient of the loss by row j's logit b_j, with n labels that match; v: for a label that matches 1 at
    its own input, p_k at other inputs. The first rows, without the lag, are exact.
    Source: ours; slash.md 4.2 has the gradient by lag.

    >>> p = prompt(8, 201, 1)
    >>> g = lag_rates(p, np.zeros(201), label_numbers(p, drawn=False))
    >>> bool(abs(g.sum()) < 1e-15), bool(abs(g[1] - rate(8, 201, [0.0])[0]) < 1e-15)
    (True, True)
    """
    labels, length = prompt.labels, logits.size
    size = fft.next_fast_len(2 * length, real=True)
    inputs = fft.rfft(prompt.inputs, size)
    weight = np.exp(logits - logits.max())
    others, total = weight.copy(), np.cumsum(weight)
    others[prompt.lag] = 0
    score = np.where(prompt.own, weight[prompt.lag] / total, 0.0)
    found = fft.irfft(fft.rfft(others, size) * inputs, size)[:length]
    found = np.maximum(found, 0) / total                # a transform rounds zeros to either side
    hits, guesses, mean = np.zeros((3, length))
    early, gains = min(prompt.lag, EARLY), np.zeros(length)
    for p, share, (match, other), by in _classes(prompt, score, found, numbers):
        hit, miss = np.where(labels, by.match * match, 0.0), np.where(labels, by.other, by.plain) * other
        miss[:early] = 0
        gains[:early] += share * by.plain * _early(weight[:early], total[:early], prompt.inputs[:early], p)
        hits += share * hit
        guesses += share * p * (hit + miss)
        mean += share * (hit * (score + p * found) + miss * p * found)
    seen = fft.irfft(fft.rfft(guesses / total, size) * inputs.conj(), size)[:length]
    seen[prompt.lag] = (hits / total)[prompt.own].sum()
    return weight * (seen - _tail(mean / total)) + gains


def _early(weight: np.ndarray, total: np.ndarray, inputs: np.ndarray, p: float) -> np.ndarray:
    """What rows that do not hold the lag yet add to each lag, per unit of their weight: exact, they see few inputs.

    E e^b f_m = t_m prod_n (1 + p (e^{S_n} - 1)), t_m = p e^{S_m} / (1 + p (e^{S_m} - 1)), f_m = 1 with chance p.
    """
    rows = np.arange(weight.size)
    lag = rows[:, None] - rows
    S = np.where(lag >= 0, weight[np.maximum(lag, 0)], 0.0) / total[:, None]
    up = 1 + p * np.expm1(S * inputs)
    tilted = inputs * p * np.exp(S) / up
    each = up.prod(axis=1)[:, None] * S * (tilted - (S * tilted).sum(axis=1, keepdims=True))
    return np.bincount(np.maximum(lag, 0).ravel(), each.ravel(), minlength=weight.size)


def mean_rate(prompt: Prompt, margin: float) -> float:
    """One entry of `rate`, (T-rate), of a prompt from `prompt`. No checks.

    >>> round(mean_rate(prompt(8, 201, 1), 5.0), 5)
    0.01813
    """
    rows, labels = np.arange(prompt.own.size), prompt.labels
    score = np.where(prompt.own, 1 / (1 + rows * np.exp(-margin)), 0.0)
    found = np.cumsum(prompt.inputs)
    found[prompt.lag:] -= prompt.inputs[:rows.size - prompt.lag]
    found *= (1 - score) / np.maximum(np.where(prompt.own, rows, rows + 1), 1)
    speed = 0.0
    for p, share, (match, other), by in _classes(prompt, score, found, label_numbers(prompt, drawn=False)):
        gain = by.match * (match * score * (1 - score - p * found))[labels].sum()
        speed += share * (gain - (np.where(labels, by.other, by.plain) * other * score * p * found).sum())
    return float(speed)


def _classes(prompt: Prompt, score: np.ndarray, found: np.ndarray, numbers: list[Numbers],
             ) -> Iterator[tuple[float, float, tuple[np.ndarray, np.ndarray], _Weights]]:
    """p of a class, the chance of a question alike, e^logit of rows that match and do not, and what they weigh.

    score: float64[N], of a row on its lag; found: float64[N], of a row on other inputs.
    """
    labels = prompt.labels
    for p, alike, square, drawn in zip(prompt.p, prompt.alike, prompt.square, numbers):
        match, other = np.exp(p * found + score), np.exp(p * found)
        sums = match[labels].mean(), other[labels].mean(), other[~labels].sum()
        by = _weights(int(labels.sum()), square, *sums, *drawn)
        yield p, alike * p, (match, other), by


def _weights(labels: int, square: float, match: float, other: float, plain: float, numbers: np.ndarray,
             chances: np.ndarray) -> _Weights:
    """match and other: mean of e^logit over labels of the question's class and of others; plain: the others' sum."""
    rest = labels - numbers
    total = numbers * match + rest * other + plain
    hit = numbers * match / total
    each = (other / total) ** 2 * (rest ** 2 * square + (rest * (1 - square) if chances.size > 1 else 0.0))
    both = hit ** 2 + each
    return _Weights(float(chances @ (numbers * (1 - 2 * hit + both) / total)) / labels,
                    float(chances @ (rest * (both - hit) / total - each / other)) / labels,
                    float(chances @ ((both - hit) / total)))


def label_numbers(prompt: Prompt, *, drawn: bool = True) -> list[Numbers]:
    """How many labels are of the question's class, float64[n], and the chances, for each p: binomial, or the mean.

    >>> [[x.round(3).tolist() for x in pair] for pair in label_numbers(prompt(2, 5, 1))]
    [[[0.0, 1.0, 2.0], [0.25, 0.5, 0.25]]]
    """
    labels = int(prompt.labels.sum())
    return [_binomial(labels, p) if drawn else (np.array([labels * p]), np.ones(1)) for p in prompt.p]


def _binomial(trials: int, p: float) -> Numbers:
    n = np.arange(trials + 1.0)
    chance = np.exp(gammaln(trials + 1) - gammaln(n + 1) - gammaln(trials - n + 1) + n * np.log(p)
                    + (trials - n) * np.log1p(-p))
    return n[chance > LEAST_CHANCE], chance[chance > LEAST_CHANCE]


def _tail(x: np.ndarray) -> np.ndarray:
    """Sums from each row to the last."""
    return np.cumsum(x[::-1])[::-1]


# Stage II

class MatchRows(NamedTuple):
    """What Stage II reads of questions whose class has one probability; numbers may be per example of a long prompt."""

    p: float
    alike: int              # how many classes have it
    rest: np.ndarray        # float64[g], probabilities of the other classes, each value once
    classes: np.ndarray     # int64[g], how many other classes have it
    period: int
    score: np.ndarray       # S, and the share of the rows
    share: np.ndarray
    numbers: np.ndarray     # of labels that match, and their chances
    chances: np.ndarray
    labels: float
    sighted: float          # whose first layer sees a label
    blank: float
    first: np.ndarray       # of a row that is an input and no label: 1 if it is a match; nan where there is none
    itself: float           # its score on itself


def match_loss(rows: MatchRows, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean-field loss of Stage II at logits x = (B, b_1 .. b_g, o), and its gradient, those by b per class. No checks.

        L_k = E_n ((1 - s_k)^2 + sum s_m^2) / 2,  logit of a row = S own + (1 - S) mean     (T-second-finite)

    own: B, b_m, o or 0, of a row that sees its match, another input, a label or nothing. A first row that is an input
    sees itself alone and is no label. At lag 0 (period 1) rows see inputs with their labels, B + o or b_m + o, and the
    question, the last row, has no label. Source: ours.

    >>> one = np.ones(1)
    >>> rows = MatchRows(1 / 4, 4, one / 4, np.array([3]), 2, one, one, one, one, 4, 4, 0, one * np.nan, 1)
    >>> loss, gradient = match_loss(rows, np.array([1.0, 0.0, 0.0]))
    >>> round(loss, 3), gradient.round(3).tolist()
    (0.275, [-0.154, 0.028, 0.07])
    """
    S, q = rows.score, rows.rest / (rows.classes @ rows.rest)
    mean, own = np.concatenate([[rows.p], rows.classes * rows.rest, [1.0]]) / rows.period, np.append(x, 0.0)
    own[:-2] += x[-1] * (rows.period == 1)
    kinds = rows.share * np.exp(np.multiply.outer(own, S) + (1 - S) * (mean @ x))
    E, share = kinds.sum(axis=1), rows.classes * q
    n, left, seen = rows.numbers, rows.labels - rows.numbers, np.nan_to_num(np.array([rows.first, 1 - rows.first]))
    first = np.append(1.0, share) * np.exp(rows.itself * x[:-1] + (1 - rows.itself) * (mean @ x))
    total = (n * E[0] + left * (share @ E[1:-2]) + rows.sighted * E[-2] + rows.blank * E[-1]
             + first[0] * seen[0] + first[1:].sum() * seen[1])
    hit = n * E[0] / total
    squares = np.multiply.outer(share * q, left ** 2)        # of the numbers of labels, summed over a value's classes
    if rows.chances.size > 1:
        squares += np.multiply.outer(share * (1 - q), left)
    each = squares * (E[1:-2, None] / total) ** 2
    every = each.sum(axis=0)
    loss = rows.chances @ ((1 - hit) ** 2 + every) / 2
    pull = rows.chances * ((1 - hit) * hit - every) / total          # d loss by the total, its parts held fixed
    by = np.concatenate([
        [pull @ n - (rows.chances * (1 - hit) / total) @ n], pull @ left * share + each @ rows.chances / E[1:-2],
        [pull.sum() * rows.sighted, pull.sum() * rows.blank]])
    gradient = by[:-1] * (kinds[:-1] @ S)
    gradient[-1] += gradient[:-1].sum() * (rows.period == 1)
    gradient += by @ (kinds @ (1 - S)) * mean
    first *= np.repeat(seen @ pull, [1, q.size])
    gradient += first.sum() * (1 - rows.itself) * mean
    gradient[:-1] += rows.itself * first
    return float(loss), gradient / np.concatenate([[1], rows.classes, [1]])
