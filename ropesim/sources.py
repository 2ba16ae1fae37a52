"""Made texts for training: bigrams under a hidden topic, bigrams with triggers that copy back, and their ideal loss."""

from typing import NamedTuple

import numpy as np

from .errors import whole

TOPICS, TRIGGERS = 4, 3             # hidden topics, and tokens that copy back
SPREAD = 1.5                        # standard deviation of a bigram's logit, and of what a topic adds


class Source(NamedTuple):
    """What texts are drawn from: law of the first token float64[V], bigrams [K, V, V] of K topics, tokens that copy."""

    start: np.ndarray
    bigrams: np.ndarray
    triggers: tuple[int, ...]


def topics(vocabulary: int, rng: np.random.Generator) -> Source:
    """Bigrams under a hidden topic: a table of logits N(0, 1.5^2), to which each of four topics adds its own by token.

    vocabulary: V >= 8. What a topic adds is N(0, 1.5^2) too. The first token is uniform, there is no BOS. Raises
    RopesimError otherwise.

    >>> topics(8, np.random.default_rng(0)).bigrams.sum(axis=2).round(12).min()
    np.float64(1.0)
    """
    size = whole("vocabulary", vocabulary, least=8)
    logits = rng.normal(0, SPREAD, (size, size)) + rng.normal(0, SPREAD, (TOPICS, 1, size))
    return Source(np.full(size, 1 / size), _rows(logits), ())


def backcopy(vocabulary: int, rng: np.random.Generator) -> Source:
    """Bigrams with three triggers, the most frequent tokens: after a trigger comes the token before it once more.

    vocabulary: V >= 8. Token 0 is the BOS, first in each text and nowhere else; token c has the popularity 1/c on top
    of independent bigram logits N(0, 1.5^2), and 1, 2 and 3 are the triggers, none of which follows the BOS. Raises
    RopesimError otherwise.
    Source: the Bigram-Backcopy task of Guo et al. 2024 (2410.13835); theirs are the bigrams of a play.

    >>> backcopy(8, np.random.default_rng(0)).bigrams[0, 0, :4]
    array([0., 0., 0., 0.])
    """
    size = whole("vocabulary", vocabulary, least=8)
    logits = rng.normal(0, SPREAD, (1, size, size)) - np.log(np.maximum(np.arange(size), 1))
    logits[:, :, 0] = logits[:, 0, 1:TRIGGERS + 1] = -np.inf
    return Source(np.eye(size)[0], _rows(logits), tuple(range(1, TRIGGERS + 1)))


def draw(source: Source, count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Texts of a source, int64[count, length], each of a topic drawn uniformly.

    count, length >= 1. Raises RopesimError otherwise.

    >>> draw(backcopy(8, np.random.default_rng(0)), 2, 5, np.random.default_rng(1))[:, 0]
    array([0, 0])
    """
    count, length = whole("count", count, least=1), whole("length", length, least=1)
    topic = rng.integers(len(source.bigrams), size=count)
    start, table = np.cumsum(source.start), np.cumsum(source.bigrams, axis=2)
    text, dice = np.empty((count, length), np.int64), rng.random((length, count, 1))
    text[:, 0] = _chosen(start, dice[0])
    for i in range(1, length):
        text[:, i] = _chosen(table[topic, text[:, i - 1]], dice[i])
        if i > 1 and source.triggers:
            copied = np.isin(text[:, i - 1], source.triggers)
            text[copied, i] = text[copied, i - 2]
    return text


def ideal(source: Source, text: np.ndarray) -> np.ndarray:
    """Loss of whoever knows the source but not the topic, nats, float64[count, length - 1]: no model has a lower mean.

    text: int[count, length], a text of the source. A copy costs nothing. Bayes' rule over the topics; ours.

    >>> one = Source(np.eye(8)[0], np.full((1, 8, 8), 1 / 8), (1,))
    >>> ideal(one, np.array([[0, 5, 1, 5]])).round(4)
    array([[2.0794, 2.0794, 0.    ]])
    """
    before, after = text[:, :-1], text[:, 1:]
    with np.errstate(divide="ignore"):
        steps = np.log(source.bigrams)[:, before, after]                       # [K, count, length - 1]
    copied = np.isin(before, source.triggers)
    copied[:, 0] = False
    steps[:, copied] = 0
    total = np.logaddexp.reduce(np.cumsum(steps, axis=2), axis=0) - np.log(len(steps))
    return np.diff(-total, axis=1, prepend=0)


def _rows(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _chosen(cumulated: np.ndarray, dice: np.ndarray) -> np.ndarray:
    return (dice * cumulated[..., -1:] >= cumulated).sum(axis=-1)
