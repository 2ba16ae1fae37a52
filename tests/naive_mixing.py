"""A stack of attention layers token by token, in loops. Slow on purpose; imports nothing of ours.

A stack is a plain dictionary with the fields of ropesim.stacks.Stack, its rows another one.
"""

import math

import numpy as np


def keys_of(stack, i):
    if i in stack["alone"]:
        return [i]
    seen = []
    for j in range(i + 1):
        near = stack["window"] == 0 or i - j < stack["window"]
        if stack["document"]:
            shift = 1 if stack["shared"] else 0
            near = near and (i - shift) // stack["document"] == (j - shift) // stack["document"]
        if near or (j == 0 and stack["shared"]):
            seen.append(j)
    return seen


def row_of(rows, keys, rng):
    """Scores by key."""
    logits = {}
    for j in keys:
        logits[j] = rows["tau"] * rng.standard_normal()
        if j == 0 and rows["margin"] is not None:
            logits[j] = rows["margin"] + rows["tau"] ** 2 / 2
    if rows["kind"] == "sigmoid":
        return {j: 1 / (1 + len(keys) * math.exp(-x)) for j, x in logits.items()}
    given = 0.0
    if rows["mass"] is not None and 0 in keys and len(keys) > 1:
        given = rows["mass"]
        del logits[0]
    total = sum(math.exp(x) for x in logits.values()) + (1.0 if rows["kind"] == "softmax-plus-one" else 0.0)
    scores = {j: (1 - given) * math.exp(x) / total for j, x in logits.items()}
    return scores if len(scores) == len(keys) else {0: given, **scores}


def orthogonal(width, rng):
    """Gram-Schmidt, which makes Gaussian matrices Haar-distributed."""
    rows = []
    for _ in range(width):
        v = rng.standard_normal(width)
        for row in rows:
            v = v - (v @ row) * row
        rows.append(v / math.sqrt(v @ v))
    return np.array(rows)


def tokens(stack, rng):
    """In expectation of cosine rho: a common direction and own ones at right angles to it."""
    turn = orthogonal(stack["width"], rng)
    out = []
    for _ in range(stack["length"]):
        own = np.append(0.0, rng.standard_normal(stack["width"] - 1))
        own /= math.sqrt(own @ own)
        own = math.sqrt(1 - stack["rho"]) * own
        own[0] = math.sqrt(stack["rho"])
        out.append(own @ turn)
    return out


def sample(stack, rng):
    """Every quantity of one drawn stack; the Jacobian by the chain rule, block by block, norms held fixed."""
    length, width, heads = stack["length"], stack["width"], stack["heads"]
    x = tokens(stack, rng)
    jacobian = [[np.eye(width) * (i == j) for j in range(length)] for i in range(length)]   # d x_i / d x_j(0)
    out = {name: [] for name in ("variance", "norm", "cosine", "disagreement", "received", "sink")}
    note(out, x)
    for _ in range(stack["layers"]):
        scale = [1 / math.sqrt(v @ v) if stack["norm"] == "pre" else 1.0 for v in x]
        scale[0] *= stack["value"]
        fresh = list(x)
        slopes = [list(row) for row in jacobian]
        variance, mean_scores, sinks = [0.0] * length, [], 0
        for _ in range(heads):
            turn = orthogonal(width, rng)
            first = []
            for i in range(length):
                row = row_of(stack["rows"], keys_of(stack, i), rng)
                first.append(row.get(0, 0.0))
                o = sum(a * scale[j] * x[j] for j, a in row.items())
                size = math.sqrt(o @ o)
                variance[i] += size ** 2 / heads
                factor = stack["gain"] / math.sqrt(heads)
                if stack["head_norm"]:
                    factor = factor / size if size > 0 else 0.0
                fresh[i] = fresh[i] + factor * o @ turn
                for k in range(length):
                    slope = sum(a * scale[j] * jacobian[j][k] for j, a in row.items())
                    slopes[i][k] = slopes[i][k] + factor * turn.T @ slope
            sinks += sum(first) / length > 0.3
            mean_scores += [a for i, a in enumerate(first) if 0 in keys_of(stack, i)]
        if stack["norm"] == "post":
            for i in range(length):
                size = math.sqrt(fresh[i] @ fresh[i])
                fresh[i] = fresh[i] / size
                slopes[i] = [slope / size for slope in slopes[i]]
        x, jacobian = fresh, slopes
        out["variance"].append(variance)
        out["received"].append(sum(mean_scores) / len(mean_scores))
        out["sink"].append(sinks / heads)
        note(out, x)
    out["sensitivity"] = [(jacobian[-1][k] ** 2).sum() / width for k in range(length)]
    return {name: np.array(value) for name, value in out.items()}


def note(out, x):
    count = len(x)
    norms = [v @ v for v in x]
    mean = sum(x) / count
    out["norm"].append(norms)
    out["cosine"].append(sum(x[i] @ x[j] / math.sqrt(norms[i] * norms[j])
                             for i in range(count) for j in range(count) if i != j) / (count * (count - 1)))
    out["disagreement"].append(sum((v - mean) @ (v - mean) for v in x) / count)


def aggregate(gram, first, other, first2, cross, other2, pair, keys):
    """Expected inner products of rows of which only the moments are known; keys: what each row sees."""
    length = len(gram)
    out = np.zeros((length, length))
    for i in range(length):
        for k in range(length):
            for j in keys[i]:
                for n in keys[k]:
                    if i != k:
                        weight = (other[i] if j else first[i]) * (other[k] if n else first[k])
                    elif j == n:
                        weight = other2[i] if j else first2[i]
                    else:
                        weight = pair[i] if j and n else cross[i]
                    out[i, k] += weight * gram[j, n]
    return out
