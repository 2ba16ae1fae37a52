"""Names of patterns: the ideal ones get theirs, drawn heads what their parameters say."""

import math

import numpy as np
import pytest
from test_patterns import BAD, causal, diagonals, recurring, sink, slash_at, soft_sink, square
from tolerances import EXACT

from ropesim import classifier, patterns
from ropesim.classifier import classify
from ropesim.errors import RopesimError
from ropesim.simulate import attention


@pytest.mark.parametrize("scores, name", [
    (causal(np.ones((30, 30))), "diffuse"), (sink(30), "re-access"), (soft_sink(30, 0.7), "re-access"),
    (slash_at(30, 0), "sequential"), (slash_at(30, 1), "sequential"), (diagonals(48, 8), "periodic-sequential"),
    (recurring(60, 5), "seasonal"), (causal(np.random.default_rng(0).uniform(0, 1, (40, 40)) ** 9), "unpredictable"),
    ([[1.0]], "diffuse")])
def test_ideal_patterns_get_their_name(scores, name):
    assert classify(scores).name == name


def test_the_measures_are_those_of_patterns():
    scores = recurring(40, 5)
    found = classify(scores)
    assert found.re_access == patterns.re_access(scores) and found.sequential == patterns.sequential(scores)
    assert found.season == 5 and found.seasonal == patterns.seasonal(scores, 5) == max(
        patterns.seasonal(scores, period) for period in range(2, 21))
    slash = [np.diagonal(scores, -lag).mean() for lag in range(40)]
    assert found.periodic == patterns.periodic_sequential(slash)
    i, j = square(40)
    assert found.diffuse == pytest.approx(np.abs(scores - (j <= i) / (i + 1)).sum() / 80, rel=EXACT)


def test_a_constant_head_with_one_fast_channel_has_parallel_diagonals():
    """tappa.md X7: perfectly predictable, though its q-similarity after RoPE is near 0."""
    theta = 1e6 ** -(2 / 64)
    found = classify(attention.scores(np.full((200, 1), 4.0), np.ones((200, 1)), [theta]))
    assert found.name == "periodic-sequential" and found.sequential == pytest.approx(1, rel=EXACT)
    assert abs(found.periodic.lag - 2 * math.pi / theta) < 1


def test_a_slow_channel_makes_stripes():
    rng = np.random.default_rng(0)
    k = 4 * rng.normal(size=(60, 1)) * np.ones((1, 1))
    assert classify(attention.scores(np.ones((60, 1)), k, [1e-4])).name == "re-access"


def test_longer_seasons_than_the_longest_are_not_tried():
    assert classify(recurring(2 * classifier.LONGEST + 20, classifier.LONGEST)).season == classifier.LONGEST
    assert classify(np.eye(3)).season == 0 and math.isnan(classify(np.eye(3)).seasonal)


@pytest.mark.parametrize("scores", BAD)
def test_classify_refuses(scores):
    with pytest.raises(RopesimError, match="scores"):
        classify(scores)
