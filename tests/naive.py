"""The slow, obvious twin of the two wings: Python floats and loops, every formula as printed. Imports nothing of ours.

A score matrix is a list of T rows of T floats. Complex queries and keys are nested sequences [token][pair].
"""

import cmath
import itertools
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


def cubic_weights(f):
    """Weights of the values at -1, 0, 1, 2 in the cubic through them at f: Lagrange's formula."""
    nodes = (-1, 0, 1, 2)
    return [math.prod((f - n) / (m - n) for n in nodes if n != m) for m in nodes]


def histogram(start, offset, share, ends, columns):
    """Row r counts the entries ends[r-1] <= n < ends[r], on four columns from start[0][n] and four from start[1][n]."""
    rows = []
    for first, end in zip([0, *ends], ends):
        row = [0.0] * columns
        for n in range(first, end):
            for m, w in enumerate(cubic_weights(offset[n])):
                row[start[0][n] + m] += (1 - share[n]) * w
                row[start[1][n] + m] += share[n] * w
        rows.append(row)
    return rows


def interpolate(values, row, start, offset, share):
    """The value of entry n in row row[n], from the same eight columns."""
    out = []
    for n, r in enumerate(row):
        sides = [math.fsum(w * values[r][start[side][n] + m] for m, w in enumerate(cubic_weights(offset[n])))
                 for side in (0, 1)]
        out.append((1 - share[n]) * sides[0] + share[n] * sides[1])
    return out


def expected_scores(means, spreads, certain, rule):
    """E p_d for each key, then of the certain one; E sum p^2 and -E sum p log p, of logits means[d] + spreads[d] eps_d.

    certain: a list of at most one logit; rule: nodes and weights for the mean over one standard normal eps.
    """
    score, square, disorder = [0.0] * (len(means) + len(certain)), 0.0, 0.0
    for point in itertools.product(rule, repeat=len(means)):
        weight = math.prod(w for _, w in point)
        p = softmax([m + s * eps for m, s, (eps, _) in zip(means, spreads, point)] + certain)
        score = [total + weight * x for total, x in zip(score, p)]
        square += weight * math.fsum(x * x for x in p)
        disorder -= weight * math.fsum(x * math.log(x) for x in p)
    return score, square, disorder


def rotation_matrix(theta, lag):
    """Rotation by theta_b lag of each pair of a real vector, real parts first, 2B x 2B."""
    pairs = len(theta)
    matrix = [[0.0] * (2 * pairs) for _ in range(2 * pairs)]
    for b, t in enumerate(theta):
        c, s = math.cos(t * lag), math.sin(t * lag)
        matrix[b][b], matrix[b][b + pairs], matrix[b + pairs][b], matrix[b + pairs][b + pairs] = c, -s, s, c
    return matrix


def gaussian_moment(mean, cov, which):
    """E of the product of the components `which` of a Gaussian vector: the first is its mean or meets another."""
    if not which:
        return 1.0
    first, *rest = which
    total = mean[first] * gaussian_moment(mean, cov, rest)
    for n, other in enumerate(rest):
        total += cov[first][other] * gaussian_moment(mean, cov, rest[:n] + rest[n + 1:])
    return total


def logit_moments(mean, cov, theta, lag, scale):
    """Mean and variance of scale sum_ij R[i][j] k_i q_j, where (q, k) is jointly Gaussian: E x^2 - (E x)^2."""
    size, r = 2 * len(theta), rotation_matrix(theta, lag)
    terms = [(scale * r[i][j], [size + i, j]) for i in range(size) for j in range(size) if r[i][j]]
    first = math.fsum(a * gaussian_moment(mean, cov, x) for a, x in terms)
    square = math.fsum(a * b * gaussian_moment(mean, cov, x + y) for a, x in terms for b, y in terms)
    return first, square - first * first


def batch(logits, sink, skip, window):
    """slash, received, and the means over the rows >= T // 2 of entropy and participation, of each head in turn."""
    heads = []
    for n, row in enumerate(logits):
        by_lag, by_key, disorder, square = profile(lag_scores(row, None if sink is None else sink[n], window), skip)
        half = len(row) // 2
        heads.append((by_lag, by_key, mean(disorder[half:]), mean(square[half:])))
    return heads


def early_rows(weights, values, rows):
    """total[j] = sum over the rows 1 <= i < rows of values[i] weights[i - j], for keys 1 <= j <= i; weights by lag."""
    return [math.fsum(values[i] * weights[i - j] for i in range(max(j, 1), rows)) if j else 0.0
            for j in range(len(values))]
