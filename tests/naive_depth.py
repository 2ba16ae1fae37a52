"""A transformer stack as its formulas are printed, in plain loops over lists. Imports nothing of ours.

A layer is a dict of nested lists: query[h][c][a], key, value, output[h][a][c], gate[c][m], up, down[m][c], scale1[c],
scale2[c], gain, head_norm (list or None), epsilon. rows[h][i][j] are given scores.
"""

import cmath
import math


def visible(length, window, document, shared, alone):
    def sees(i, j):
        if i in alone:
            return i == j
        if j > i:
            return False
        if shared and j == 0:
            return True
        if window and i - j >= window:
            return False
        first = 1 if shared else 0
        if document:
            own_i, own_j = math.floor((i - first) / document), math.floor((j - first) / document)
            return own_i == own_j
        return True
    return [[sees(i, j) for j in range(length)] for i in range(length)]


def times(row, matrix):
    return [math.fsum(x * matrix[c][a] for c, x in enumerate(row)) for a in range(len(matrix[0]))] if matrix else []


def rms_norm(row, scale, epsilon):
    mean = math.fsum(x * x for x in row) / len(row) + epsilon
    return [x / math.sqrt(mean) * s if mean else 0.0 for x, s in zip(row, scale)]


def pairs(row, layout):
    half = len(row) // 2
    if layout == "half":
        return [complex(row[b], row[b + half]) for b in range(half)]
    return [complex(row[2 * b], row[2 * b + 1]) for b in range(half)]


def logistic(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def scores(logits, kind):
    if kind == "sigmoid":
        return [logistic(x - math.log(len(logits))) for x in logits]
    top = max(logits + [0.0])
    if kind == "softmax":
        top = max(logits)
    powers = [math.exp(x - top) for x in logits]
    total = math.fsum(powers) + (math.exp(-top) if kind == "softmax-plus-one" else 0)
    return [x / total for x in powers]


def attention_row(q, k, i, seen, theta, layout, kind):
    """Scores of row i over the keys, zero for those it does not see."""
    logits = []
    for j in seen:
        products = [a * b.conjugate() * cmath.exp(1j * (i - j) * t)
                    for a, b, t in zip(pairs(q[i], layout), pairs(k[j], layout), theta)]
        logits.append(math.fsum(z.real for z in products) / math.sqrt(len(q[i])))
    row = [0.0] * len(q)
    for j, score in zip(seen, scores(logits, kind)):
        row[j] = score
    return row


def forward(x, layers, theta, mask, *, layout="half", kind="softmax", norm="pre", rows=None):
    """[(x, variance[h][i], received[h][k], scores[h][i][j])] after each layer."""
    out = []
    for number, layer in enumerate(layers):
        x, *rest = one_layer(x, layer, theta, mask, layout, kind, norm, None if rows is None else rows[number])
        out.append((x, *rest))
    return out


def one_layer(x, layer, theta, mask, layout, kind, norm, rows):
    length = len(x)
    epsilon = layer["epsilon"]
    seen = [rms_norm(row, layer["scale1"], epsilon) for row in x] if norm == "pre" else x
    added = [[0.0] * len(row) for row in x]
    variance, received, every = [], [], []
    for h in range(len(layer["query"])):
        q, k, v = ([times(row, layer[name][h]) for row in seen] for name in ("query", "key", "value"))
        if rows is None:
            a = [attention_row(q, k, i, [j for j in range(length) if mask[i][j]], theta, layout, kind)
                 for i in range(length)]
        else:
            a = rows[h]
        o = [times(a[i], v) for i in range(length)]
        variance.append([math.fsum(z * z for z in row) / len(row) for row in o])
        received.append([math.fsum(a[i][j] for i in range(j, length)) / (length - j) for j in range(length)])
        every.append(a)
        if layer["head_norm"] is not None:
            o = [rms_norm(row, layer["head_norm"], epsilon) for row in o]
        for i in range(length):
            for c, z in enumerate(times(o[i], layer["output"][h])):
                added[i][c] += layer["gain"] * z
    x = [[a + b for a, b in zip(*both)] for both in zip(x, added)]
    if norm == "post":
        x = [rms_norm(row, layer["scale1"], epsilon) for row in x]
    x = [[a + b for a, b in zip(row, feedforward(row, layer, norm))] for row in x]
    if norm == "post":
        x = [rms_norm(row, layer["scale2"], epsilon) for row in x]
    return x, variance, received, every


def feedforward(row, layer, norm):
    if not layer["down"]:
        return [0.0] * len(row)
    y = rms_norm(row, layer["scale2"], layer["epsilon"]) if norm == "pre" else row
    gate, up = times(y, layer["gate"]), times(y, layer["up"])
    return times([g * logistic(g) * u for g, u in zip(gate, up)], layer["down"])


def cosine(x, y):
    dot = math.fsum(a * b for a, b in zip(x, y))
    return dot / math.sqrt(math.fsum(a * a for a in x) * math.fsum(b * b for b in y))


def measures(x):
    """norm[i], dominance[i], mean cosine over pairs i != j, disagreement"""
    length, width = len(x), len(x[0])
    norm = [math.fsum(a * a for a in row) for row in x]
    dominance = [max(map(abs, row)) / (math.fsum(map(abs, row)) / width) for row in x]
    cosines = [cosine(x[i], x[j]) for i in range(length) for j in range(length) if i != j]
    mean = [math.fsum(row[c] for row in x) / length for c in range(width)]
    apart = math.fsum((a - m) ** 2 for row in x for a, m in zip(row, mean)) / length
    return norm, dominance, math.fsum(cosines) / len(cosines) if cosines else math.nan, apart
