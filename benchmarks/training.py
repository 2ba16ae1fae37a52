"""Slash training: the reduced form against explicit matrices, its cost by length, and the figures of the notes."""

import time

import numpy as np

from ropesim import bands, compare_training, schedules
from ropesim.predict import slash_times
from ropesim.simulate import disentangled, regression, training
from ropesim.slash_task import Task
from ropesim.trainings import Training

from .timing import Line, at_least, at_most, seconds, told

BATCH, LAGS = 32, (0, 1, 2, 3, 5, 8)
EVEN = tuple(((1,) * K, N) for K, N in ((3, 51), (6, 101), (4, 201), (2, 401), (16, 401), (8, 801), (4, 1601)))
UNEVEN = (((1, 2, 3), 101), ((1, 2, 3, 4, 5, 6, 7, 8), 801), ((3, 1, 1, 1), 201), ((4, 1, 1, 1, 1), 401))
ROPE = 1e6 ** -(np.arange(64) / 64)


def lines() -> list[Line]:
    return [*speed(), *growth(), *times(), *spread(), *compared(), *lags(), *tables(), *long()]


def speed() -> list[Line]:
    """One gradient in the logits of layer 1 at K = 8, N = 801: three ways, per prompt."""
    task, theta, rng = Task(classes=8, length=801), schedules.half_dft(400), np.random.default_rng(0)
    prompts, weights = regression.draw(task, BATCH, rng), regression.start(task)
    weights.lags[1] = 3.0
    net, w = disentangled.network(task, theta), rng.choice([-1.0, 1.0], 8)
    tokens = prompts.shown[0][prompts.shown[0] < 8]
    np.testing.assert_allclose(reduced(weights, prompts), dense(weights, prompts), atol=1e-12)
    np.testing.assert_allclose(disentangled.answers(net, task, tokens, w)[0],
                               regression.forward(regression.start(task), prompts).answer[0] @ w, atol=1e-12)
    ours, theirs = seconds(lambda: reduced(weights, prompts), lambda: dense(weights, prompts))
    whole, = seconds(lambda: disentangled.gradients(net, task, tokens, w), rounds=1)
    return [at_least("training step, K = 8, N = 801: network with all matrices / ours", whole * BATCH / ours, 100),
            told("the same, the reduced form with one N x N matrix / ours", theirs / ours, "x")]


def reduced(weights: regression.Weights, prompts: regression.Prompts) -> np.ndarray:
    return regression.by_lag(weights, prompts, regression.forward(weights, prompts))


def dense(weights: regression.Weights, prompts: regression.Prompts) -> np.ndarray:
    """What one would write first: layer 1 as a matrix that all prompts share, summed along its diagonals."""
    N, K, query = len(weights.lags), len(weights.label), prompts.shown[:, -1]
    lag = np.arange(N)[:, None] - np.arange(N)
    first = np.where(lag >= 0, np.exp(weights.lags[np.maximum(lag, 0)]), 0.0)
    first /= first.sum(axis=1, keepdims=True)
    values = (prompts.shown == query[:, None]).astype(float)
    logits = values @ first.T
    second = np.exp(logits - logits.max(axis=1, keepdims=True))
    second /= second.sum(axis=1, keepdims=True)
    marks = np.eye(K + 1)[prompts.labelled][..., :K]
    miss = np.eye(K)[query] - np.einsum("nj,njk->nk", second, marks)
    answer = np.eye(K)[query] - miss
    pull = second * (np.einsum("njk,nk->nj", marks, miss) - (miss * answer).sum(axis=1, keepdims=True)) / len(query)
    each = first * (pull.T @ values - (pull * logits).sum(axis=0)[:, None])
    return np.bincount(np.maximum(lag, 0).ravel(), each.ravel(), minlength=N)


def growth() -> list[Line]:
    """A step of layer 1 at 8 prompts, over N log N, from N = 1025 to 65537."""
    costs = []
    for length in (1025, 65537):
        task = Task(classes=8, length=length)
        prompts, weights = regression.draw(task, 8, np.random.default_rng(0)), regression.start(task)
        cost, = seconds(lambda: reduced(weights, prompts), rounds=20)
        costs.append(cost / (length * np.log(length)))
    return [at_most("training step / N log N, N = 65537 over N = 1025", costs[1] / costs[0], 2)]


def times() -> list[Line]:
    """Stage 1 to the margins log N and log(N / eps), eps = N^-1/2, as ratios to the mean field."""
    out = []
    for parts, N in (*EVEN, *UNEVEN):
        K, p = len(parts), tuple(part / sum(parts) for part in parts)
        task = Task(classes=K, length=N, probabilities=p)
        run = training.descend(task, schedules.half_dft((N - 1) // 2), steps_2=0, batch=64)
        margins = np.log(N) * np.array([1, 1.5])
        i = np.minimum(np.searchsorted(np.maximum.accumulate(run.margin), margins), len(run.margin) - 1)
        share = (margins - run.margin[i - 1]) / (run.margin[i] - run.margin[i - 1])
        ratio = run.time[i - 1] + share * (run.time[i] - run.time[i - 1])
        ratio /= slash_times.stage_one(K, N, margins, probabilities=p)
        name = f"K = {K}" if len(set(parts)) == 1 else "p as " + ":".join(map(str, parts))
        out.append(at_most(f"times of stage 1, {name}, N = {N}: off the mean field by at most",
                           100 * np.abs(ratio - 1).max(), 8 if N >= 200 else 10, "%"))
    return out


def spread() -> list[Line]:
    """Stage 1 on frequencies that make no pulse, to margins from a quarter of log N, off (T-table)."""
    out = []
    for name, theta, sizes, most in (("40 random frequencies", bands.random(40, seed=1).theta, (5, 101, 2), 1.5),
                                     ("12 random frequencies", bands.random(12, seed=2).theta, (8, 201, 3), 1.5),
                                     ("a RoPE table", bands.preset("smollm2-135m").theta, (6, 301, 5), 0.5)):
        K, N, lag = sizes
        margins = np.log(N) * np.array([0.25, 0.5, 1.0, 1.5])
        margins = margins[margins <= most * np.log(N)]
        run = training.descend(Task(classes=K, length=N, lag=lag), theta, stop=float(margins[-1]), steps_2=0, batch=64)
        found = np.interp(margins, np.maximum.accumulate(run.margin), run.time)
        ratio = found / slash_times.stage_one_refined(K, N, margins, lag=lag, theta=theta)
        out.append(at_most(f"times of stage 1, {name}, K = {K}, N = {N}, lag {lag}: off their predictions by at most",
                           100 * np.abs(ratio - 1).max(), 3, "%"))
    return out


def compared() -> list[Line]:
    """The command on defaults, on unequal classes, and on frequencies that make no pulse."""
    out = []
    for name, given in (("the defaults", Training()),
                        ("p as 1:2:3, labels 2 behind", Training(task=Task(
                            classes=3, length=201, lag=2, probabilities=(1 / 6, 1 / 3, 1 / 2)))),
                        ("16 random frequencies", Training(task=Task(classes=4, length=101), steps=8000,
                                                           theta=bands.random(16).theta))):
        begun = time.perf_counter()
        times = compare_training.slash(given)[0]["times"].values()
        took = time.perf_counter() - begun
        off = max(abs(one["measured"] - one["predicted"]) / one["error"] for one in times)
        out += [at_most(f"train slash, {name}: times off their predictions, in stated errors", off, 1, ""),
                at_most("the same: seconds", took, 30, "s")]
    return out


def lags() -> list[Line]:
    """K = 4, N = 201, half a DFT: the least average slash score over lags, and how many are right."""
    runs = [training.descend(Task(classes=4, length=201, lag=lag), schedules.half_dft(100), steps_2=0) for lag in LAGS]
    right = sum(int(run.lags.argmax()) == lag for run, lag in zip(runs, LAGS))
    return [at_least(f"lags {', '.join(map(str, LAGS))}: argmax right", right, len(LAGS), ""),
            at_least("the same: least average slash score", min(run.slash[-1] for run in runs), 0.94, "")]


def tables() -> list[Line]:
    """Stage 1 on parts of a table, K = 4, N = 201, 600 steps of eta B = K N / 60."""
    task, out = Task(classes=4, length=201), []
    for name, theta, goal in (("half the period", schedules.half_dft(50), 0.7525),
                              ("64 RoPE pairs, 22 to 42", ROPE[21:42], None),
                              ("64 RoPE pairs, from 43", ROPE[42:], None)):
        run = training.descend(task, theta, eta=4 * 201 / 60 / len(theta), steps=600, steps_2=0)
        if goal:
            off = abs(run.slash[-1] - goal)
            out.append(at_most(f"{name}: average slash score, off its ceiling {goal}", off, 0.002, ""))
        else:
            out.append(at_most(f"{name}: average slash score / uniform", run.slash[-1] / run.slash[0], 1.15))
    return out


def long() -> list[Line]:
    task = Task(classes=8, length=65537)
    begun = time.perf_counter()
    run = training.descend(task, schedules.half_dft(32768), batch=4)
    return [at_most("both stages at K = 8, N = 65537, 4 prompts a step", (time.perf_counter() - begun) / 60, 5, "min"),
            at_least("the same: average slash score", run.slash[-1], 0.94, "")]
