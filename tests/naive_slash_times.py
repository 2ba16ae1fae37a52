"""In-context regression and its training in plain loops, as slash.md 4 prints it. Imports nothing of ours."""

import itertools
import math

import numpy as np


def shares(weights):
    return tuple(float(x) for x in np.array(weights) / np.sum(weights))


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


def class_rate(margin, p, k, length):
    """The same for questions of class k, of classes with chances p, label by label; the first row sees itself."""
    e, K = math.exp, len(p)
    S = {j: e(margin) / (e(margin) + j - 1) for j in range(2, length + 1)}
    beta = {}
    for j in S:
        inputs = j / 2 - 1 if j % 2 == 0 else (j - 1) / 2 + 1
        beta[j] = (1 - S[j]) * inputs / (j - 1) * p[k]
    even, odd = range(2, length + 1, 2), range(3, length + 1, 2)
    logit = {(j, m): beta[j] + S[j] * (m == k) for j in even for m in range(K)}
    Z = e(p[k]) + sum(p[m] * e(x) for (_, m), x in logit.items()) + sum(e(beta[j]) for j in odd)
    s = [sum(p[m] * e(logit[j, m]) for j in even) / Z for m in range(K)]
    square = sum(x ** 2 for x in s)
    G = sum(e(beta[j]) / Z * (square - s[k]) * -S[j] * beta[j] for j in odd)
    for (j, m), x in logit.items():
        pull = p[m] * e(x) / Z * ((m == k) - s[m] - s[k] + square)
        G += pull * S[j] * ((m == k) - logit[j, m])
    return G


def recursion_by_class(p, step, loss):
    """slash.md 4.6 with a row of logits per class of the question: times until their mean B >= log K, and L <= loss."""
    K = len(p)
    C, o = [[float(k == m) for m in range(K)] for k in range(K)], [0.0] * K
    steps, crossed = 0, None
    while True:
        total, moves = 0.0, []
        for k in range(K):
            Z = sum(p[m] * math.exp(C[k][m]) for m in range(K)) + math.exp(o[k])
            s = [p[m] * math.exp(C[k][m]) / Z for m in range(K)]
            square = sum(x ** 2 for x in s)
            total += p[k] * (1 - 2 * s[k] + square) / 2
            moves.append([x * ((m == k) - x - s[k] + square) for m, x in enumerate(s)] + [
                math.exp(o[k]) / Z * (square - s[k])])
        if crossed is None and sum(C[k][k] for k in range(K)) / K >= math.log(K):
            crossed = steps * step
        if total <= loss:
            return crossed, steps * step
        for k in range(K):
            for m in range(K):
                C[k][m] += step * p[k] * moves[k][m]
            o[k] += step * p[k] * moves[k][K]
        steps += 1


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


def exact_loss(lags, p):
    """Mean over all prompts of len(lags) tokens, of classes with chances p."""
    examples, K = (len(lags) - 1) // 2, len(p)
    return sum(math.prod(p[x] for x in drawn) * prompt_loss(lags, drawn[:-1], drawn[-1], K)
               for drawn in itertools.product(range(K), repeat=examples + 1))


def descend(p, length, margins, step, batch, rng):
    """Times at which gradient descent on fresh prompts passes each margin at lag 1, frequencies a perfect pulse."""
    lags, time, times, reached = np.zeros(length), 0.0, [], 0.0
    while len(times) < len(margins):
        lags = lags + step * gradient(lags, p, batch, rng)
        margin = lags[1] - max(np.delete(lags, 1))
        while len(times) < len(margins) and margin >= margins[len(times)]:
            times.append(time + step * (margins[len(times)] - reached) / (margin - reached))
        time, reached = time + step, margin
    return np.array(times)


def gradient(lags, p, batch, rng):
    """Minus the gradient of the loss by each lag's logit times the number of its entries, mean over prompts."""
    length, K = len(lags), len(p)
    labels = rng.choice(K, size=(batch, (length - 1) // 2), p=p)
    question = np.searchsorted(np.cumsum(p)[:-1], (np.arange(batch) + rng.random(batch)) / batch)    # stratified
    seen = np.zeros((batch, length))
    seen[:, 0:-1:2] = labels == question[:, None]
    seen[:, -1] = 1
    distance = np.subtract.outer(np.arange(length), np.arange(length))
    first = np.where(distance >= 0, np.exp(lags[np.abs(distance)]), 0.0)
    first /= first.sum(axis=1, keepdims=True)
    logits = seen @ first.T
    second = np.exp(logits)
    second /= second.sum(axis=1, keepdims=True)
    pull = np.zeros((batch, length))                        # u . v of each token's value less u . v_question
    classed = np.stack([(second[:, 1::2] * (labels == m)).sum(axis=1) for m in range(K)], axis=1)
    missing = np.eye(K)[question] - classed
    pull[:, 1::2] = np.take_along_axis(missing, labels, axis=1)
    down = second * (pull - (second * pull).sum(axis=1, keepdims=True))       # minus d loss / d logits
    entries = np.einsum("bj,bi->ji", down, seen) * first - (down * logits).sum(axis=0)[:, None] * first
    return np.array([np.trace(entries, -lag) for lag in range(length)]) / batch


def match_loss(p, k, length, margin, B, b, o, chances):
    """Loss of Stage II at lag 1 by rows, of questions of class k; b[m] is of another class; means of all else.

    chances: of n labels that match.
    """
    loss, half, rest = 0.0, (length - 1) // 2, [m for m in range(len(p)) if m != k]
    q = {m: p[m] / sum(p[n] for n in rest) for m in rest}
    mean = (p[k] * B + sum(p[m] * b[m] for m in rest) + o) / 2
    nodes = [1 / (1 + (row + 0.5) / 4000 * length * math.exp(-margin)) for row in range(4000)]

    def row(own):
        return sum(math.exp(S * own + (1 - S) * mean) for S in nodes) / 4000
    match, other, plain = row(B), {m: row(b[m]) for m in rest}, row(o)
    for n, chance in enumerate(chances):
        left = half - n
        for first, share in ((math.exp(B), n / half), (sum(q[m] * math.exp(b[m]) for m in rest), 1 - n / half)):
            total = n * match + left * sum(q[m] * other[m] for m in rest) + half * plain + first
            squares = sum((left * q[m] * (1 - q[m]) + (left * q[m]) ** 2) * other[m] ** 2 for m in rest)
            loss += chance * share * ((1 - n * match / total) ** 2 + squares / total ** 2) / 2
    return loss
