"""In-context regression and its training in plain loops, as slash.md 4 prints it. Imports nothing of ours."""

import itertools
import math

import numpy as np


def rate(margin, classes, length, first=0.0):
    """slash.md 4.4, positions from 1; first: the logit of the first row, which is printed as 0."""
    K, e = classes, math.exp
    S, beta = {}, {}
    for j in range(2, length + 1):
        S[j] = e(margin) / (e(margin) + j - 1)
        inputs = j / 2 - 1 if j % 2 == 0 else (j - 1) / 2 + 1
        beta[j] = (1 - S[j]) * inputs / ((j - 1) * K)
    even, odd = range(2, length + 1, 2), range(3, length + 1, 2)
    Z = e(first)
    for j in even:
        Z += e(S[j] + beta[j]) / K + (1 - 1 / K) * e(beta[j])
    for j in odd:
        Z += e(beta[j])
    match = sum(e(S[j] + beta[j]) for j in even) / (K * Z)
    other = sum(e(beta[j]) for j in even) / (K * Z)
    square = match ** 2 + (K - 1) * other ** 2
    G = 0.0
    for j in even:
        G += e(S[j] + beta[j]) / (K * Z) * (1 - 2 * match + square) * S[j] * (1 - S[j] - beta[j])
        G -= (1 - 1 / K) * e(beta[j]) / Z * (square - other - match) * S[j] * beta[j]
    for j in odd:
        G -= e(beta[j]) / Z * (square - match) * S[j] * beta[j]
    return G


def recursion(classes, step, loss):
    """slash.md 4.6: times (steps times their size) until B >= log K and until L <= loss."""
    K, B, b, o, steps, crossed = classes, 1.0, 0.0, 0.0, 0, None
    while True:
        Z = math.exp(B) + (K - 1) * math.exp(b) + K * math.exp(o)
        match, other, plain = math.exp(B) / Z, math.exp(b) / Z, K * math.exp(o) / Z
        square = match ** 2 + (K - 1) * other ** 2
        L = (1 - 2 * match + square) / 2
        if crossed is None and B >= math.log(K):
            crossed = steps * step
        if L <= loss:
            return crossed, steps * step
        B += step / K * 2 * match * L
        b += step / K * other * (square - other - match)
        o += step / K * plain * (square - match)
        steps += 1


def prompt_loss(lags, inputs, question, classes):
    """Loss of one prompt x_1 y_1 ... x_q, mean over tasks: both layers token by token, the second untrained."""
    shown = []
    for x in inputs:
        shown += [x, None]
    shown.append(question)
    logits = []
    for j in range(len(shown)):
        scores = [math.exp(lags[j - i]) for i in range(j + 1)]
        logits.append(sum(s for s, x in zip(scores, shown) if x == question) / sum(scores))
    total = sum(map(math.exp, logits))
    classed = [0.0] * classes
    for i, x in enumerate(inputs):
        classed[x] += math.exp(logits[2 * i + 1]) / total
    return sum((s - (m == question)) ** 2 for m, s in enumerate(classed)) / 2


def exact_loss(lags, classes):
    """Mean over all prompts of len(lags) tokens."""
    examples = (len(lags) - 1) // 2
    prompts = itertools.product(range(classes), repeat=examples)
    return sum(prompt_loss(lags, inputs, 0, classes) for inputs in prompts) / classes ** examples


def descend(classes, length, margins, step, batch, rng):
    """Times at which gradient descent on fresh prompts passes each margin at lag 1, frequencies a perfect pulse."""
    lags, time, times, reached = np.zeros(length), 0.0, [], 0.0
    while len(times) < len(margins):
        lags = lags + step * gradient(lags, classes, batch, rng)
        margin = lags[1] - max(np.delete(lags, 1))
        while len(times) < len(margins) and margin >= margins[len(times)]:
            times.append(time + step * (margins[len(times)] - reached) / (margin - reached))
        time, reached = time + step, margin
    return np.array(times)


def gradient(lags, classes, batch, rng):
    """Minus the gradient of the loss by each lag's logit times the number of its entries, mean over prompts."""
    length = len(lags)
    labels = rng.integers(classes, size=(batch, (length - 1) // 2))
    seen = np.zeros((batch, length))
    seen[:, 0:-1:2] = labels == 0                           # the question is of class 0
    seen[:, -1] = 1
    distance = np.subtract.outer(np.arange(length), np.arange(length))
    first = np.where(distance >= 0, np.exp(lags[np.abs(distance)]), 0.0)
    first /= first.sum(axis=1, keepdims=True)
    logits = seen @ first.T
    second = np.exp(logits)
    second /= second.sum(axis=1, keepdims=True)
    pull = np.zeros((batch, length))                        # u . v of each token's value less u . v_question
    classed = np.stack([(second[:, 1::2] * (labels == m)).sum(axis=1) for m in range(classes)], axis=1)
    missing = np.eye(classes)[0] - classed
    pull[:, 1::2] = np.take_along_axis(missing, labels, axis=1)
    down = second * (pull - (second * pull).sum(axis=1, keepdims=True))       # minus d loss / d logits
    entries = np.einsum("bj,bi->ji", down, seen) * first - (down * logits).sum(axis=0)[:, None] * first
    return np.array([np.trace(entries, -lag) for lag in range(length)]) / batch


def match_loss(classes, length, margin, B, b, o, chances):
    """Loss of Stage II at lag 1 by rows, others of the first layer in the mean; chances: of n labels that match."""
    K, loss, half = classes, 0.0, (length - 1) // 2
    mean = (B / K + (1 - 1 / K) * b + o) / 2
    for n, chance in enumerate(chances):
        for first, share in ((B, n / half), (b, 1 - n / half)):
            kinds = [0.0, 0.0, 0.0]
            for row in range(4000):
                S = 1 / (1 + (row + 0.5) / 4000 * length * math.exp(-margin))
                for kind, own in enumerate((B, b, o)):
                    kinds[kind] += math.exp(S * own + (1 - S) * mean) / 4000
            total = n * kinds[0] + (half - n) * kinds[1] + half * kinds[2] + math.exp(first)
            squares = ((half - n) * (1 - 1 / (K - 1)) + (half - n) ** 2 / (K - 1)) * kinds[1] ** 2
            loss += chance * share * ((1 - n * kinds[0] / total) ** 2 + squares / total ** 2) / 2
    return loss
