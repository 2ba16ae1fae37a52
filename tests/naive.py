"""The slow, obvious twin of the two wings: Python floats and loops, every formula as printed. Imports nothing of ours.

A score matrix is a list of T rows of T floats. Complex queries and keys are nested sequences [token][pair].
"""

import cmath
import math

from naive_patterns import entropy, mean, participation, received, slash


def pair_logits(amplitude, phase, theta, lag):
    return [a * math.cos(t * lag + p) for a, p, t in zip(amplitude, phase, theta)]


def lag_logits(amplitude, phase, theta, length, start=0):
    return [math.fsum(pair_logits(amplitude, phase, theta, start + n)) for n in range(length)]


def mean_pair_logits(amplitude, phase, theta, length):
    return [mean([a * math.cos(t * n + p) for n in range(length)]) for a, p, t in zip(amplitude, phase, theta)]


def log_sum_exp(values):
    top = max(values)
    return top + math.log(math.fsum(math.exp(x - top) for x in values))


def softmax(values):
    top = max(values)
    power = [math.exp(x - top) for x in values]
    return [p / math.fsum(power) for p in power]


def scores(logit, length, window=0):
    """S[i][j] = softmax over the keys j that row i sees, 0 elsewhere; logit is a function of row and key."""
    matrix = []
    for i in range(length):
        seen = [j for j in range(i + 1) if window == 0 or i - j < window]
        row = [0.0] * length
        for j, score in zip(seen, softmax([logit(i, j) for j in seen])):
            row[j] = score
        matrix.append(row)
    return matrix


def lag_scores(logits, sink=None, window=0):
    """Scores of a head whose logits depend on the lag, but for those of a sink at key 0."""
    def logit(i, j):
        return sink[i] if sink is not None and j == 0 else logits[i - j]
    return scores(logit, len(logits), window)


def token_scores(q, k, theta, scale=1.0, window=0):
    """logit(i, j) = scale Re sum_b q[i][b] conj(k[j][b]) e^{1j (i-j) theta[b]}"""
    def logit(i, j):
        terms = [a * b.conjugate() * cmath.exp(1j * (i - j) * t) for a, b, t in zip(q[i], k[j], theta)]
        return scale * math.fsum(term.real for term in terms)
    return scores(logit, len(q), window)


def rotation(length, theta):
    return [[cmath.exp(1j * t * i) for t in theta] for i in range(length)]


def sink_logits(logits, margin):
    """margin + log-mean-exp of the logits of the keys 1..i; row 0: 0"""
    return [0.0] + [margin + log_sum_exp(logits[:i]) - math.log(i) for i in range(1, len(logits))]


def profile(matrix, skip=0):
    return slash(matrix, skip), received(matrix), entropy(matrix), participation(matrix)


def outputs(matrix, values):
    """o_i = sum_j S[i][j] values[j]"""
    columns = range(len(values[0]))
    return [[math.fsum(s * v[c] for s, v in zip(row, values)) for c in columns] for row in matrix]


def lag_outputs(matrix, values):
    """o_i = sum_n S[i][i - n] values[n]"""
    columns = range(len(values[0]))
    return [[math.fsum(row[i - n] * values[n][c] for n in range(i + 1)) for c in columns]
            for i, row in enumerate(matrix)]


def pooled(matrix, blocks):
    """M[I][J] = mean over the rows of block I of the sum over the keys of block J; blocks end at floor(T n / blocks)"""
    length = len(matrix)
    edges = [length * n // blocks for n in range(blocks + 1)]
    parts = [range(a, b) for a, b in zip(edges, edges[1:])]
    return [[mean([math.fsum(matrix[i][j] for j in keys) for i in rows]) for keys in parts] for rows in parts]


def prefix_sums(logits, ref):
    """Sums over n <= i of w, w^2 and w x, where x = logits[n] - ref[i] and w = e^x."""
    rows = [[x - ref[i] for x in logits[:i + 1]] for i in range(len(logits))]
    return [[math.fsum(math.exp(x) for x in row) for row in rows],
            [math.fsum(math.exp(2 * x) for x in row) for row in rows],
            [math.fsum(x * math.exp(x) for x in row) for row in rows]]


def suffix_sums(v, ref):
    return [math.fsum(v[n] * math.exp(ref[i] - ref[n]) for n in range(i, len(v))) for i in range(len(v))]


def weighted_sums(logits, ref, u):
    return [math.fsum(math.exp(logits[n] - ref[i]) * u[n] for n in range(i + 1)) for i in range(len(logits))]


def expected_sums(mu, slab, share, table, low, per_unit, logs, step, sink, window, skip):
    """Sums of one query's expected scores over a grid of log t, row by row and lag by lag.

    Returns (slash summed over rows, key 0's score, entropy, participation) as lists. The table is
    read by interpolating linearly in x and between two slabs; below the grid the integrand falls as t.
    """
    length = len(mu)
    gamma = 0.5772156649015329

    def read(lag, x):
        at = min(max((x + mu[lag] - low) * per_unit, 0.0), len(table[0]) - 2 + 0.999)
        i, k = int(at), slab[lag]
        f, g = at - i, share[lag]

        def line(k, column):
            return (1 - f) * table[k][i][column] + f * table[k][i + 1][column]
        return [(1 - g) * line(k, c) + (g * line(k + 1, c) if g else 0.0) for c in range(4)]

    slash, first, entropy, square = ([0.0] * length for _ in range(4))
    for n, x in enumerate(logs):
        width = step / (1 - math.exp(-step)) if n == 0 else step
        for row in range(length):
            lags = [lag for lag in range(row + 1) if (window == 0 or lag < window) and not (len(sink) and lag == row)]
            seen = [read(lag, x) for lag in lags]
            certain = len(sink) > 0 and (window == 0 or row < window)
            y = math.exp(x + sink[row]) if certain else 0.0
            weight = width * math.exp(sum(one[0] for one in seen) - y)
            for lag, one in zip(lags, seen):
                if row - lag >= skip:
                    slash[lag] += weight * one[1]
                if row == lag:
                    first[row] += weight * one[1]
            first[row] += weight * y
            square[row] += weight * (sum(one[2] for one in seen) + y * y)
            own = y * (x + sink[row] + gamma) if certain else 0.0
            entropy[row] -= weight * (sum(one[3] for one in seen) + own)
    return slash, first, entropy, square
