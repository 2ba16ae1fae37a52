"""The slow, obvious twin of ropesim.patterns: Python floats and loops over an explicit score matrix."""

import math


def uniform_scores(length, window=0):
    """Row i as a list of `length` scores: equal over the keys it sees, zero elsewhere."""
    matrix = []
    for i in range(length):
        seen = [j for j in range(length) if j <= i and (window == 0 or i - j < window)]
        matrix.append([1 / len(seen) if j in seen else 0.0 for j in range(length)])
    return matrix


def mean(values):
    return math.fsum(values) / len(values) if values else math.nan


def slash(matrix, skip=0):
    length = len(matrix)
    return [mean([matrix[i][i - lag] for i in range(lag, length) if i - lag >= skip]) for lag in range(length)]


def received(matrix):
    return [mean([matrix[i][j] for i in range(j, len(matrix))]) for j in range(len(matrix))]


def entropy(matrix):
    return [-math.fsum(s * math.log(s) for s in row if s > 0) for row in matrix]


def participation(matrix):
    return [math.fsum(s * s for s in row) for row in matrix]
