"""The slow, obvious twin of the chain from variance to a sink: Python floats and loops, one sequence at a time."""

import math


def mean(values):
    return math.fsum(values) / len(values)


def rms(vector):
    return math.sqrt(mean([x * x for x in vector]))


def mean_value(width, subspace, size):
    return [size if subspace <= c < width - 1 else 0.0 for c in range(width)]


def aggregated(noise, subspace, size, spread, at, intervene, factor):
    """Outputs of the first layer's uniform causal rows, for standard normal noise[T][d]."""
    width = len(noise[0])
    centre = mean_value(width, subspace, size)
    values = [[centre[c] + (spread if c < subspace else 1.0) * z[c] for c in range(width)] for z in noise]
    outputs = []
    for i in range(len(values)):
        seen = [i] if intervene == "mask" and i == at else range(i + 1)
        o = [mean([values[j][c] for j in seen]) for c in range(width)]
        if intervene == "amplify" and i == at:
            o = [m + factor * (x - m) for x, m in zip(o, centre)]
        if intervene == "scale" and i == at:
            o = [factor * x for x in o]
        if intervene == "headnorm":
            o = [x / rms(o) for x in o]
        outputs.append(o)
    return outputs


def sequence(outputs, residual, noise, subspace, amplification, lock):
    """(energy, dominance, key, received) of one sequence, each by position."""
    energy, dominance, key = [], [], []
    for o, e in zip(outputs, noise):
        h = [x + residual * y for x, y in zip(o, e)]
        inside = [x / rms(h) for x in h[:subspace]]
        energy.append(mean([x * x for x in inside]))
        h[-1] += amplification * sum(x * x for x in inside)
        dominance.append(max(abs(x) for x in h) / mean([abs(x) for x in h]))
        key.append(h[-1] / math.sqrt(sum(x * x for x in h)))
    logits = [lock * math.sqrt(len(h)) * x for x in key]
    scores = []
    for i in range(len(logits)):
        top = max(logits[:i + 1])
        total = sum(math.exp(x - top) for x in logits[:i + 1])
        scores.append([math.exp(x - top) / total for x in logits[:i + 1]])
    received = [mean([scores[i][j] for i in range(j, len(scores))]) for j in range(len(scores))]
    return energy, dominance, key, received


def variance(batch):
    """Unbiased variance over the sequences of a batch, mean over coordinates, by position."""
    found = []
    for i in range(len(batch[0])):
        per_coordinate = []
        for c in range(len(batch[0][0])):
            column = [outputs[i][c] for outputs in batch]
            centre = mean(column)
            per_coordinate.append(sum((x - centre) ** 2 for x in column) / (len(column) - 1))
        found.append(mean(per_coordinate))
    return found
