"""Gradient descent on in-context regression: a first layer that learns a slash, then a second that learns to match."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import fft

from ..errors import array, number, whole
from ..slash_task import Task
from .regression import (
    Pass, Prompts, Weights, by_class, by_lag, distinct, draw, every, features, forward, kernel, start)

STRIDE = 0.02        # nats that a logit moves in one step, unless a learning rate is given
STRIDE_2 = 0.05
LIMIT = 300.0        # of logits either way, whose differences have exponentials in doubles
TINY = 1e-300
RISEN = 0.03         # of the loss above its start: no descent any more, where it is five standard errors too
HELD = 16            # batches that tell whether a loss is reached
POOL = 64            # prompts, at least, for the loss at the start


class Row(NamedTuple):
    """The measures of one step, as in a trajectory."""

    time: float
    loss: float
    margin: float
    slash: float
    logit: float
    match: float


Watch = Callable[[Row], object]


class Trajectory(NamedTuple):
    """One entry per step, taken before it; then the weights at the end, and at which step the run diverged."""

    stage: np.ndarray        # int64[n], 1 or 2; 0 where both layers are trained at once
    steps: np.ndarray        # int64[n], from 0 in each stage
    time: np.ndarray         # float64[n], sum of eta C_1 in stage 1, of eta_2 in stage 2
    loss: np.ndarray         # float64[n], of the step's prompts; of 16 times as many where it nears the one to reach
    margin: np.ndarray       # float64[n], a(lag) less the largest other
    slash: np.ndarray        # float64[n], average score of layer 1 at the lag
    logit: np.ndarray        # float64[n], of layer 2 for a key that saw the question's input alone, B_k, mean over k
    match: np.ndarray        # float64[n], B_k less the larger of those for another input (their mean) and a label
    lags: np.ndarray         # float64[N], a(x)
    scores: np.ndarray       # float64[N], average score of layer 1 by lag
    amplitude: np.ndarray    # float64[B], of each pair
    classes: np.ndarray      # float64[K, K], of layer 2
    label: np.ndarray        # float64[K]
    diverged_at: int | None


def descend(task: Task, theta: np.ndarray, *, eta: float | None = None, eta_2: float | None = None,
            stop: float | None = None, loss: float = 0.01, steps: int = 4000, steps_2: int = 2000,
            batch: int | None = 32, seed: int = 0, watch: Watch | None = None) -> Trajectory:
    """Train layer 1 until its margin reaches `stop`, then layer 2 until the loss does.

    theta: float64[B], rad/token, no two equal; eta, eta_2 > 0: learning rates, None: as large as lets no logit move by
    more than 0.02 or 0.05 in a step, and eta at most K N / 60 B; stop: nats, None: log(N / eps) with eps = N^-1/2;
    steps, steps_2 >= 0: at most; batch: fresh prompts per step, None: all there are, so that the gradient is exact;
    watch: called with every step's measures.
    Raises RopesimError otherwise. A run whose weights leave [-300, 300] ends before that step, one whose loss rises
    above its stage's start by 0.03 and five standard errors ends at it: `diverged_at` counts steps over both stages.

        a' = a + eta kappa * G                                                       (T-descent)

    Source: Cheng et al. 2026 (2601.08297), Algorithm 1; the function-space form is ours.

    >>> run = descend(Task(classes=2, length=9), 2 * np.pi * np.arange(1, 5) / 9, steps=50, steps_2=0, batch=None)
    >>> int(run.lags.argmax()), bool(run.loss[-1] < run.loss[0])
    (1, True)
    """
    stop = 1.5 * np.log(task.length) if stop is None else number("stop", stop)
    loss, (eta, eta_2) = number("loss", loss, least=0), _rates(eta, eta_2)
    steps, steps_2 = whole("steps", steps, least=0), whole("steps_2", steps_2, least=0)
    prompts, weights, theta = _prompts(task, batch, seed), start(task), distinct(theta)
    learner = _Lags(kernel(theta, task.length), eta, task)
    weights, first, diverged = _run(weights, prompts, learner.move, partial(_measure, task), steps,
                                    lambda row: row.margin >= stop, watch)
    second: list[Row] = []
    if diverged is None and steps_2:
        measure = _closely(task, loss, batch, seed)
        weights, second, diverged = _run(weights, prompts, partial(_match, rate=eta_2), measure, steps_2,
                                         lambda row: row.loss <= loss, watch)
        diverged = None if diverged is None else diverged + len(first)
    return _trajectory({1: first, 2: second}, weights, np.abs(features(theta, learner.kept(weights))), diverged)


def together(task: Task, theta: np.ndarray, *, eta: float | None = None, eta_2: float | None = None,
             loss: float = 0.01, steps: int = 6000, batch: int | None = 32, seed: int = 0,
             watch: Watch | None = None) -> Trajectory:
    """Train both layers at once until the loss is reached; `stage` is 0, and time counts as in stage 1.

    Arguments and errors as for `descend`.

    >>> run = together(Task(classes=2, length=9), 2 * np.pi * np.arange(1, 5) / 9, steps=50, batch=None)
    >>> bool(run.logit[-1] > run.logit[0])
    True
    """
    loss, (eta, eta_2) = number("loss", loss, least=0), _rates(eta, eta_2)
    steps = whole("steps", steps, least=0)
    prompts, theta = _prompts(task, batch, seed), distinct(theta)
    learner = _Lags(kernel(theta, task.length), eta, task)

    def move(weights: Weights, drawn: Prompts, done: Pass) -> tuple[Weights, float]:
        lower, passed = learner.move(weights, drawn, done)
        upper, _ = _match(weights, drawn, done, rate=eta_2)
        return upper._replace(lags=lower.lags), passed

    weights, rows, diverged = _run(start(task), prompts, move, _closely(task, loss, batch, seed), steps,
                                   lambda row: row.loss <= loss, watch)
    return _trajectory({0: rows}, weights, np.abs(features(theta, learner.kept(weights))), diverged)


def errors(task: Task, run: Trajectory, w: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the answers for tasks of any kind, and the losses of the prompts: float64[n] each.

    w: float64[n, K], a task for each of n drawn prompts. Raises RopesimError otherwise.

        answer - <w, v_k> = <w, u - v_k>,  L = |u - v_k|^2 / 2                          (T-reduced)

    Source: Cheng et al. 2026 (2601.08297), eq. 19; the losses bound the errors, see (C-slash-ood-bound).

    >>> task = Task(classes=2, length=9)
    >>> run = descend(task, [1.0], steps=0, steps_2=0)
    >>> error, loss = errors(task, run, np.full((3, 2), 5.0))
    >>> bool((abs(error) <= 50 ** 0.5 * (2 * loss) ** 0.5).all())
    True
    """
    w = array("w", w, [None, task.classes])
    prompts = draw(task, len(w), np.random.default_rng(whole("seed", seed, least=0)))
    done = forward(Weights(run.lags, run.classes, run.label), prompts)
    return (w * done.answer).sum(axis=1) - w[np.arange(len(w)), prompts.shown[:, -1]], done.loss


def height(kappa: np.ndarray) -> float:
    """By how much lag 0 of a kernel stands above the mean of the others, C_1: the unit of time of stage 1.

        C_1 = kappa(0) - mean_{1 <= x < N} kappa(x), N / 2 for half a DFT           (T-height)

    >>> height(np.array([1.0, -0.5, -0.5]))
    1.5
    """
    return float(kappa[0] - kappa[1:].mean())


def scores(lags: np.ndarray) -> np.ndarray:
    """Average score of layer 1 by lag, float64[N], for logits a(x) of any range.

    >>> scores(np.zeros(2))
    array([0.75, 0.5 ])
    """
    inverse = -np.logaddexp.accumulate(lags)
    rows = np.arange(len(lags), 0, -1)
    return np.exp(lags + np.logaddexp.accumulate(inverse[::-1])[::-1]) / rows


Move = Callable[[Weights, Prompts, Pass], tuple[Weights, float]]
Measure = Callable[[Weights, Prompts, Pass, float], Row]


class _Lags:
    """Descent of layer 1 as a table of logits by lag: the weights of the pairs are `total`, seen through the kernel."""

    def __init__(self, kappa: np.ndarray, rate: float | None, task: Task) -> None:
        self.rate, self.height = rate, height(kappa)
        self.total = self.before = np.zeros(task.length)
        self.lags: np.ndarray | None = None
        self.most = task.classes * task.length / (60 * kappa[0])
        self.size = fft.next_fast_len(2 * task.length - 1, real=True)
        around = np.zeros(self.size)
        around[:task.length], around[self.size - task.length + 1:] = kappa, kappa[:0:-1]
        self.spectrum = fft.rfft(around)

    def move(self, weights: Weights, prompts: Prompts, done: Pass) -> tuple[Weights, float]:
        gradient = by_lag(weights, prompts, done)
        push = fft.irfft(fft.rfft(gradient, self.size) * self.spectrum, self.size)[:len(gradient)]
        rate = self.rate or min(self.most, STRIDE / max(np.ptp(push), TINY))
        self.before, self.total = self.total, self.total + rate * gradient
        self.lags = weights.lags + rate * push
        return weights._replace(lags=self.lags), rate * self.height

    def kept(self, weights: Weights) -> np.ndarray:
        """The total behind these weights: the last step may have been refused."""
        return self.total if weights.lags is self.lags else self.before


def _match(weights: Weights, prompts: Prompts, done: Pass, *, rate: float | None) -> tuple[Weights, float]:
    classes, label = by_class(weights, prompts, done)
    rate = rate or STRIDE_2 / max(np.abs(classes).max(), np.abs(label).max(), TINY)
    return weights._replace(classes=weights.classes + rate * classes, label=weights.label + rate * label), rate


def _run(weights: Weights, prompts: Callable[[], Prompts], move: Move, measure: Measure, steps: int,
         finished: Callable[[Row], bool], watch: Watch | None) -> tuple[Weights, list[Row], int | None]:
    """Steps until one is finished or leaves descent: the last good weights, the measures, and where it diverged."""
    rows: list[Row] = []
    time, limit = 0.0, _limit(weights, prompts)
    for step in range(steps + 1):
        drawn = prompts()
        done = forward(weights, drawn)
        rows.append(measure(weights, drawn, done, time))
        if watch is not None:
            watch(rows[-1])
        if rows[-1].loss > limit:
            return weights, rows, step
        if step == steps or finished(rows[-1]):
            break
        with np.errstate(over="ignore", invalid="ignore"):
            moved, passed = move(weights, drawn, done)
        if not _sound(moved):
            return weights, rows, step + 1
        weights, time = moved, time + passed
    return weights, rows, None


def _limit(weights: Weights, prompts: Callable[[], Prompts]) -> float:
    """Loss of a batch above which a run has left descent."""
    first = prompts()
    pool = [first] + [prompts() for _ in range(POOL // len(first.weight))]
    losses = [forward(weights, drawn).loss for drawn in pool]
    mean = float(np.mean([drawn.weight @ loss for drawn, loss in zip(pool, losses)]))
    noise = float(np.std(losses)) * np.sqrt(1 / len(first.weight) + 1 / np.size(losses))
    return mean + max(RISEN, 5 * noise)


def _sound(weights: Weights) -> bool:
    parts = weights.lags, weights.classes, weights.label
    return all(bool(np.isfinite(part).all()) and float(np.abs(part).max()) < LIMIT for part in parts)


def _measure(task: Task, weights: Weights, prompts: Prompts, done: Pass, time: float) -> Row:
    lags, lag = weights.lags, task.lag
    margin = lags[lag] - max(lags[:lag].max(initial=-np.inf), lags[lag + 1:].max())
    slash = np.exp(lags[lag] - np.logaddexp.accumulate(lags)[lag:]).mean()
    K, own = task.classes, np.diag(weights.classes)
    rest = np.maximum((weights.classes.sum(axis=1) - own) / (K - 1), weights.label)
    return Row(time, float(prompts.weight @ done.loss), float(margin), float(slash), float(own.mean()),
               float((own - rest).mean()))


def _closely(task: Task, loss: float, batch: int | None, seed: int) -> Measure:
    """Measures whose loss, where it is within twice the one to reach, is that of many prompts: one batch is noisy."""
    def measure(weights: Weights, prompts: Prompts, done: Pass, time: float) -> Row:
        row = _measure(task, weights, prompts, done, time)
        if batch is None or row.loss > 2 * loss:
            return row
        rng = np.random.default_rng([1, seed])                # drawn again each time: kept, they would fill the memory
        held = (draw(task, batch, rng) for _ in range(HELD))
        return row._replace(loss=float(np.mean([drawn.weight @ forward(weights, drawn).loss for drawn in held])))
    return measure


def _prompts(task: Task, batch: int | None, seed: int) -> Callable[[], Prompts]:
    if batch is None:
        listed = every(task)
        return lambda: listed
    count, rng = whole("batch", batch, least=1), np.random.default_rng(whole("seed", seed, least=0))
    return lambda: draw(task, count, rng)


def _rates(*rates: float | None) -> tuple[float | None, ...]:
    return tuple(None if rate is None else number("learning rate", rate, above=0) for rate in rates)


def _trajectory(stages: dict[int, list[Row]], weights: Weights, amplitude: np.ndarray,
                diverged: int | None) -> Trajectory:
    counts = [len(rows) for rows in stages.values()]
    columns = np.array(sum(stages.values(), [])).reshape(-1, len(Row._fields)).T
    time, loss, margin, slash, logit, match = columns
    return Trajectory(
        np.repeat(list(stages), counts), np.concatenate([np.arange(count) for count in counts]), time, loss, margin,
        slash, logit, match, weights.lags, scores(weights.lags), amplitude, weights.classes, weights.label, diverged)
