"""Made texts: do they follow their law, and is the ideal loss that of Bayes' rule?"""

import numpy as np
import pytest
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim import sources
from ropesim.errors import RopesimError
from ropesim.sources import Source

FAIR = Source(np.full(8, 1 / 8), np.full((1, 8, 8), 1 / 8), ())
TASKS = {"topics": sources.topics, "backcopy": sources.backcopy}


@pytest.mark.parametrize("task", TASKS)
def test_bigrams_are_probabilities(task):
    source = TASKS[task](12, np.random.default_rng(0))
    assert source.bigrams.min() >= 0 and source.start.sum() == 1
    np.testing.assert_allclose(source.bigrams.sum(axis=2), 1, rtol=EXACT)


@pytest.mark.parametrize("task", TASKS)
def test_texts_follow_their_bigrams(task):
    source = TASKS[task](8, np.random.default_rng(1))
    for topic in range(len(source.bigrams)):
        one = source._replace(bigrams=source.bigrams[topic:topic + 1])
        text = sources.draw(one, 4000, 9, np.random.default_rng(2))
        before, after = text[:, 1:-1].ravel(), text[:, 2:].ravel()
        for token in set(range(8)) - set(source.triggers) - set(source.triggers and (0,)):
            count = (before == token).sum()
            share = np.bincount(after[before == token], minlength=8) / count
            law = one.bigrams[0, token]
            assert (np.abs(share - law) <= SIGMAS * np.sqrt(law * (1 - law) / count) + 1 / count).all()


def test_a_trigger_is_followed_by_the_token_before_it():
    source = sources.backcopy(16, np.random.default_rng(0))
    text = sources.draw(source, 200, 40, np.random.default_rng(1))
    triggered = np.isin(text[:, 1:-1], source.triggers)
    assert 0.1 < triggered.mean() < 0.5
    assert (text[:, 2:][triggered] == text[:, :-2][triggered]).all()


def test_the_bos_comes_first_and_never_again_nor_does_a_trigger_follow_it():
    source = sources.backcopy(16, np.random.default_rng(0))
    text = sources.draw(source, 200, 40, np.random.default_rng(1))
    assert (text[:, 0] == 0).all() and (text[:, 1:] != 0).all() and not np.isin(text[:, 1], source.triggers).any()


def test_the_same_seed_draws_the_same_texts():
    source = sources.topics(8, np.random.default_rng(0))
    a, b, c = (sources.draw(source, 3, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


def test_the_ideal_loss_is_the_mean_over_all_texts_of_minus_the_log_of_their_law():
    """Every text of length 4 over 2 tokens and 2 topics, with its probability in plain loops."""
    source = Source(np.array([0.25, 0.75]), np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.5, 0.5]]]), ())
    for code in range(16):
        text = [code >> n & 1 for n in range(4)]
        law = [np.mean([np.prod([table[a, b] for a, b in zip(text[:n], text[1:n + 1])]) for table in source.bigrams])
               for n in range(4)]
        expected = [-np.log(law[n + 1] / law[n]) for n in range(3)]
        np.testing.assert_allclose(sources.ideal(source, np.array([text]))[0], expected, rtol=FLOAT, atol=FLOAT)


@pytest.mark.parametrize("task", TASKS)
def test_knowing_the_wrong_bigrams_costs_more_than_the_ideal(task):
    source, other = (TASKS[task](16, np.random.default_rng(seed)) for seed in (0, 1))
    text = sources.draw(source, 200, 40, np.random.default_rng(1))
    extra = (sources.ideal(other, text) - sources.ideal(source, text)).mean(axis=1)
    assert extra.mean() > SIGMAS * extra.std() / len(extra) ** 0.5


def test_a_copy_costs_the_ideal_nothing():
    source = sources.backcopy(16, np.random.default_rng(0))
    text = sources.draw(source, 50, 40, np.random.default_rng(1))
    loss = sources.ideal(source, text)
    triggered = np.isin(text[:, :-1], source.triggers)
    assert np.abs(loss[triggered]).max() < FLOAT and loss[~triggered].min() > 0


@pytest.mark.parametrize("call, name", [
    (lambda: sources.topics(7, np.random.default_rng(0)), "vocabulary"),
    (lambda: sources.backcopy(3, np.random.default_rng(0)), "vocabulary"),
    (lambda: sources.draw(FAIR, 0, 4, np.random.default_rng(0)), "count"),
    (lambda: sources.draw(FAIR, 4, 0, np.random.default_rng(0)), "length")])
def test_bad_input_is_refused(call, name):
    with pytest.raises(RopesimError, match=f"^{name} = "):
        call()
