"""The slow, obvious twin of the row measures and of ropesim.similarity: Python floats and loops."""

import cmath
import math


def distance(p, q):
    return math.fsum(abs(a - b) for a, b in zip(p, q)) / 2


def agreement(pairs):
    """1 - mean TV of (later row, earlier row), the later renormalised, rows of no mass left out."""
    found = []
    for later, earlier in pairs:
        mass = math.fsum(later)
        if mass > 0:
            found.append(distance([s / mass for s in later], earlier))
    return 1 - math.fsum(found) / len(found) if found else math.nan


def re_access(matrix):
    return seasonal(matrix, 1)


def seasonal(matrix, period):
    return agreement([(matrix[i + period][:i + 1], matrix[i][:i + 1]) for i in range(len(matrix) - period)])


def sequential(matrix):
    return agreement([(matrix[i + 1][1:i + 2], matrix[i][:i + 1]) for i in range(len(matrix) - 1)])


def autocorrelation(slash, lag):
    mean = math.fsum(slash) / len(slash)
    x = [s - mean for s in slash]
    head, tail = x[:len(x) - lag], x[lag:]
    energy = math.sqrt(math.fsum(a * a for a in head) * math.fsum(a * a for a in tail))
    return math.fsum(a * b for a, b in zip(head, tail)) / energy if energy > 0 else 0.0


def norm(vector):
    return math.sqrt(math.fsum(abs(z) ** 2 for z in vector))


def cosine(a, b):
    return math.fsum((z * w.conjugate()).real for z, w in zip(a, b)) / (norm(a) * norm(b))


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def adjacent(q):
    return mean(cosine(a, b) for a, b in zip(q, q[1:]))


def all_pairs(q):
    return mean(cosine(a, b) for i, a in enumerate(q) for j, b in enumerate(q) if i != j)


def centred(q):
    middle = [sum(column) / len(q) for column in zip(*q)]
    return all_pairs([[z - m for z, m in zip(row, middle)] for row in q])


def norm_variation(x):
    norms = [norm(row) for row in x]
    average = mean(norms)
    return math.sqrt(mean((n - average) ** 2 for n in norms)) / average


def active(contribution):
    averages = [mean(column) for column in zip(*contribution)]
    return [b for b, a in enumerate(averages) if a > 0 and a > max(averages) / 10]


def mean_cosine(theta, length):
    """Mean of cos((t - t') theta) over the pairs t != t'."""
    return mean(math.cos((t - u) * theta) for t in range(length) for u in range(length) if t != u)


def predicted(energy, theta, length, kappa, rho):
    """q-similarity of a mean and an AR(1) fluctuation, pair of tokens by pair of tokens."""
    total = math.fsum(energy)
    return mean(math.fsum(w / total * (kappa + (1 - kappa) * rho ** abs(t - u)) * math.cos((t - u) * th)
                          for w, th in zip(energy, theta))
                for t in range(length) for u in range(length) if t != u)


def pair_logits(q, k, theta, lag):
    return [[(z * w.conjugate() * cmath.exp(1j * lag * th)).real for z, w, th in zip(a, b, theta)]
            for a, b in zip(q, k)]
