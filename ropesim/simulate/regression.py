"""The two-layer transformer of slash training in reduced form: losses and gradients of prompts, N log N each."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import fft

from ..errors import RopesimError, array, whole
from ..slash_task import Task, layout

RISE = 2.0           # of the largest logit seen so far, after which rows get their own exponentials
LARGEST = 1 << 16    # prompts that are listed one by one


class Prompts(NamedTuple):
    """Prompts as numbers of classes; K stands where there is none."""

    shown: np.ndarray       # int64[n, N], class of the input at a position; the question comes last
    labelled: np.ndarray    # int64[n, N], class whose label stands there
    weight: np.ndarray      # float64[n], sums to 1


class Weights(NamedTuple):
    """What is trained: logits of layer 1 by lag, and the two blocks of layer 2 that get a gradient."""

    lags: np.ndarray        # float64[N], a(x)
    classes: np.ndarray     # float64[K, K], from the question's class to that of a key's input
    label: np.ndarray       # float64[K], to the mark that a key's token is a label


class Pass(NamedTuple):
    """What one pass over prompts leaves for its gradients."""

    answer: np.ndarray      # float64[n, K], sum of the scores on the labels of each class
    loss: np.ndarray        # float64[n]
    logits: np.ndarray      # float64[n, N], of layer 2
    pull: np.ndarray        # float64[n, N], -dL/dlogits


class Rows(NamedTuple):
    """Rows start..stop-1 of layer 1, relative to one reference."""

    start: int
    stop: int
    size: int               # of the transforms
    powers: np.ndarray      # float64[stop], exp(a(x) - reference)
    total: np.ndarray       # float64[stop - start], their sums
    spectrum: np.ndarray


def draw(task: Task, count: int, rng: np.random.Generator) -> Prompts:
    """`count` prompts of one weight: inputs i.i.d. from p, and questions stratified over p.

    >>> draw(Task(classes=2, length=5), 3, np.random.default_rng(0)).shown.shape
    (3, 5)
    """
    count = whole("prompts", count, least=1)
    edges = np.cumsum(task.weights)[:-1]
    inputs = layout(task).shown.max() + 1
    points = rng.random((count, inputs))
    points[:, -1] = (np.arange(count) + points[:, -1]) / count
    return _prompts(task, np.searchsorted(edges, points, side="right"), np.full(count, 1 / count))


def every(task: Task) -> Prompts:
    """All prompts with their probabilities: expectations over them are exact.

    Raises RopesimError where there are more than 65536.

    >>> len(every(Task(classes=2, length=5)).weight)
    8
    """
    inputs = layout(task).shown.max() + 1
    if inputs * np.log(task.classes) > np.log(LARGEST) + 1e-9:
        raise RopesimError("length", task.length, f"use fewer tokens or classes: up to {LARGEST} prompts can be listed")
    tokens = np.indices((task.classes,) * inputs).reshape(inputs, -1).T
    return _prompts(task, tokens, task.weights[tokens].prod(axis=1))


def start(task: Task) -> Weights:
    """Before training: uniform attention in layer 1, the identity in layer 2.

    >>> start(Task(classes=2, length=5)).label
    array([0., 0.])
    """
    return Weights(np.zeros(task.length), np.eye(task.classes), np.zeros(task.classes))


def forward(weights: Weights, prompts: Prompts) -> Pass:
    """Answers, losses averaged over tasks w with E w w^T = I, and how the loss pulls at the logits of layer 2.

    Exact for scores that do not depend on w. O(n N log N); the transforms run on rows whose largest logit is
    about the same, so that errors stay near 1e-14 whatever the range of a(x).

        B_j = sum_m S_jm f_m,  f_m = C[k, shown_m] + o_k [m is a label],  L = |u - v_k|^2 / 2     (T-reduced)

    Source: derived here for Cheng et al. 2026 (2601.08297), section 5.1, eqs. 12-19.

    >>> task = Task(classes=2, length=5)
    >>> round(float(every(task).weight @ forward(start(task), every(task)).loss), 6)
    0.364183
    """
    K = len(weights.label)
    query, values = prompts.shown[:, -1], _values(weights, prompts)
    logits = np.empty(prompts.shown.shape)
    for rows in _rows(weights.lags):
        mixed = fft.irfft(fft.rfft(values[:, :rows.stop], rows.size) * rows.spectrum, rows.size)
        logits[:, rows.start:rows.stop] = mixed[:, rows.start:rows.stop] / rows.total
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    count = np.arange(len(query))
    cells = (K + 1) * count[:, None] + prompts.labelled
    answer = np.bincount(cells.ravel(), scores.ravel(), minlength=(K + 1) * len(query)).reshape(-1, K + 1)[:, :K]
    miss = np.zeros((len(query), K + 1))
    miss[:, :K] = -answer
    miss[count, query] += 1
    pull = miss.ravel()[cells]
    pull -= (miss[:, :K] * answer).sum(axis=1, keepdims=True)
    pull *= scores
    return Pass(answer, (miss ** 2).sum(axis=1) / 2, logits, pull)


def by_lag(weights: Weights, prompts: Prompts, done: Pass) -> np.ndarray:
    """Minus the gradient of the mean loss in the logits a(x) of layer 1, float64[N]; it sums to 0.

        G(u) = sum_j pull_j S_j,j-u (f_{j-u} - B_j)                                 (T-correlation)

    Source: derived here for Cheng et al. 2026 (2601.08297), section 5.1, eq. 17.

    >>> task = Task(classes=2, length=5)
    >>> G = by_lag(start(task), every(task), forward(start(task), every(task)))
    >>> int(G.argmax()), bool(abs(G.sum()) < 1e-15)
    (1, True)
    """
    values = _values(weights, prompts)
    out = np.zeros(len(weights.lags))
    for rows in _rows(weights.lags):
        here = slice(rows.start, rows.stop)
        pull = done.pull[:, here] * (prompts.weight[:, None] / rows.total)
        across = fft.rfft(_late(pull, rows), rows.size)
        across *= fft.rfft(values[:, :rows.stop], rows.size).conj()
        both = fft.irfft(across.sum(axis=0), rows.size)[:rows.stop]
        own = np.zeros(rows.stop)
        own[here] = np.einsum("nj,nj->j", pull, done.logits[:, here])
        out[:rows.stop] += rows.powers * (both - np.cumsum(own[::-1])[::-1])
    return out


def by_class(weights: Weights, prompts: Prompts, done: Pass) -> tuple[np.ndarray, np.ndarray]:
    """Minus the gradient of the mean loss in the blocks of layer 2, float64[K, K] and float64[K].

        g_m = sum_j pull_j S_jm, summed by the class shown at m, and over labels     (T-correlation)

    >>> task = Task(classes=2, length=5)
    >>> classes, label = by_class(start(task), every(task), forward(start(task), every(task)))
    >>> bool(classes[0, 0] > classes[0, 1]), label.shape
    (True, (2,))
    """
    K = len(weights.label)
    reach = np.zeros(prompts.shown.shape)
    for rows in _rows(weights.lags):
        pull = done.pull[:, rows.start:rows.stop] * (prompts.weight[:, None] / rows.total)
        back = fft.rfft(_late(pull, rows), rows.size) * rows.spectrum.conj()
        reach[:, :rows.stop] += fft.irfft(back, rows.size)[:, :rows.stop]
    query = prompts.shown[:, -1]
    cells = (K + 1) * query[:, None] + prompts.shown
    classes = np.bincount(cells.ravel(), reach.ravel(), minlength=K * (K + 1)).reshape(K, K + 1)[:, :K]
    label = np.bincount(query, (reach * (prompts.labelled < K)).sum(axis=1), minlength=K)
    return classes, label


def kernel(theta: np.ndarray, length: int) -> np.ndarray:
    """Inner products of two lags' features, by their difference: float64[N].

    theta: float64[B], rad/token, no two equal. Raises RopesimError otherwise. O(N B), as products of matrices.

        kappa(x) = sum_b cos(theta_b x)                                              (T-kernel)

    >>> kernel([2 * np.pi / 3], 3).round(12)
    array([ 1. , -0.5, -0.5])
    """
    theta = distinct(theta)
    small, large = _phases(theta, length)
    return (large @ small.T).real.ravel()[:length].copy()


def features(theta: np.ndarray, by_lags: np.ndarray) -> np.ndarray:
    """Weights of the pairs that a sum over lags amounts to, complex128[B]; their modulus is the amplitude.

        z_b = sum_u Gamma(u) exp(-i theta_b u),  a(x) = Re sum_b z_b exp(i theta_b x)     (T-kernel)

    >>> features([2.0], np.array([1.0, 0.0]))
    array([1.+0.j])
    """
    small, large = _phases(distinct(theta), len(by_lags))
    padded = np.zeros(len(large) * len(small))
    padded[:len(by_lags)] = by_lags
    return (large.conj() * (padded.reshape(len(large), -1) @ small.conj())).sum(axis=0)


def distinct(theta: np.ndarray) -> np.ndarray:
    """The frequencies as float64[B], B >= 1, or a RopesimError: a pair given twice would only learn twice as fast.

    >>> distinct([1, 2])
    array([1., 2.])
    """
    theta = array("theta", theta, [None])
    if not theta.size:
        raise RopesimError("number of pairs", 0, "use at least one frequency")
    values, counts = np.unique(theta, return_counts=True)
    if values.size < theta.size:
        raise RopesimError("theta", values[counts > 1][0], "give each frequency once")
    return theta


def _prompts(task: Task, tokens: np.ndarray, weight: np.ndarray) -> Prompts:
    slots = np.pad(tokens, ((0, 0), (0, 1)), constant_values=task.classes)       # -1 finds what was padded
    shown, labelled = layout(task)
    return Prompts(slots[:, shown], slots[:, labelled], weight)


def _values(weights: Weights, prompts: Prompts) -> np.ndarray:
    """f, float64[n, N]: what each token would be worth to the question."""
    query = prompts.shown[:, -1]
    table = np.pad(weights.classes, ((0, 0), (0, 1)))
    values = table.ravel()[table.shape[1] * query[:, None] + prompts.shown]
    if weights.label.any():
        values += weights.label[query][:, None] * (prompts.labelled < len(weights.label))
    return values


def _rows(lags: np.ndarray) -> Iterator[Rows]:
    """Layer 1, cut where its largest logit has risen by `RISE`: sums relative to a later maximum would lose digits."""
    top = np.maximum.accumulate(lags)
    begin = 0
    while begin < len(lags):
        stop = int(np.searchsorted(top, top[begin] + RISE, side="right"))
        powers = np.exp(lags[:stop] - top[begin])
        size = fft.next_fast_len(2 * stop - 1, real=True)
        yield Rows(begin, stop, size, powers, np.cumsum(powers)[begin:], fft.rfft(powers, size))
        begin = stop


def _late(pull: np.ndarray, rows: Rows) -> np.ndarray:
    """The pulls of some rows, with zeros in front."""
    return np.pad(pull, ((0, 0), (rows.start, 0))) if rows.start else pull


def _phases(theta: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """exp(i theta_b j), complex128[s, B] for j < s, and in strides of s up to the length."""
    side = int(np.ceil(np.sqrt(length)))
    return (np.exp(1j * np.arange(side)[:, None] * theta),
            np.exp(1j * side * np.arange(-(-length // side))[:, None] * theta))
