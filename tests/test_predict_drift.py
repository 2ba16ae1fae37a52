"""Heads whose keys share a path: of given queries and keys the totals are those of the score matrix itself."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT, SIGMAS

from ropesim import ensembles, processes, wrappers
from ropesim.ensembles import Moments, Part, Slow
from ropesim.predict import drift, totals
from ropesim.predict.nodes import wide

THETA = np.array([1.0, 0.2])
SIZE = 4
GRID = 1e-3                # of a score: columns, table and grid of log t
NONE = np.zeros((SIZE, SIZE))
NO_CROSS = np.zeros((0, SIZE, SIZE))
seeds = st.integers(0, 2 ** 32 - 1)


def view_of(length, certain=(), skip=0, window=0):
    return totals.View(length, np.array(certain, float), skip, min(window or length, length), True)


def queries(part, node, length):
    """The queries of a node whose every row is looked at: one draw a row, the first of the node's."""
    variance = np.diag(part.moments.cov_q) + np.outer(part.slow.drift, np.diag(part.slow.cov_q))
    return part.moments.q + np.sqrt(variance) * deviates(part, node, length)[:length]


def keys(part, node, length):
    return part.moments.k + part.slow.root_k * part.slow.path(deviates(part, node, length)[length:])


def deviates(part, node, length):
    return wide(node, (length + part.slow.size, SIZE))


def complex_pairs(x):
    return (x[:, :2] + 1j * x[:, 2:]).tolist()


def of_scores(q, k, scale, certain, skip, window):
    """Totals of the scores of real vectors, as printed; a certain key 0 by a pair of its own that never turns."""
    length, theta = len(q), THETA.tolist()
    q, k = complex_pairs(q), complex_pairs(k)
    if len(certain):
        theta = [*theta, 0.0]
        q = [[*row, logit / scale] for row, logit in zip(q, certain)]
        k = [[0.0, 0.0, 1.0]] + [[*key, 0.0] for key in k[1:]]
    matrix = naive.token_scores(q, k, theta, scale, window)
    first = max(skip, 1 if len(certain) else 0)
    slash = [sum(matrix[i][i - lag] for i in range(lag, length) if i - lag >= first) for lag in range(length)]
    return np.array([slash, [row[0] for row in matrix], naive.entropy(matrix), naive.participation(matrix),
                     np.sum(matrix, axis=0)])


def close(seen, want, certain):
    """Row 0 has a single key, which `moments` knows without asking: by row it is not looked at."""
    assert seen.shape == want.shape
    rest = slice(1 if len(certain) else 0, None)
    np.testing.assert_allclose(seen[0] / len(want[0]), want[0] / len(want[0]), rtol=0, atol=GRID)
    np.testing.assert_allclose(seen[4, rest] / len(want[0]), want[4, rest] / len(want[0]), rtol=0, atol=GRID)
    np.testing.assert_allclose(seen[1:4, 1:], want[1:4, 1:], rtol=0, atol=GRID)


lengths, windows, skips = st.integers(1, 10), st.integers(0, 11), st.integers(0, 3)
scales = st.sampled_from([0.5, 1.0, 2.0])


def drawn(length, seed, cov_q, drift_of_rows, slow_cov_q):
    rng = np.random.default_rng(seed)
    path = rng.normal(size=(length, SIZE))
    moments = Moments(rng.normal(size=SIZE), rng.normal(size=SIZE), cov_q, NONE, NO_CROSS)
    slow = Slow(2, lambda xi: path, rng.uniform(0, 2, SIZE), drift_of_rows, slow_cov_q)
    return Part(np.ones(length), moments, slow=slow), rng


@given(lengths, windows, skips, st.booleans(), scales, st.integers(0, 40), seeds)
def test_without_noise_totals_are_those_of_the_scores_of_the_path(length, window, skip, sink, scale, node, seed):
    part, rng = drawn(length, seed, NONE, np.zeros(length), NONE)
    certain = rng.uniform(-3, 3, length) if sink else np.zeros(0)
    seen = drift.of_path(part, part.slow, node, THETA, scale, view_of(length, certain, skip, window))
    q = np.tile(part.moments.q, (length, 1))
    want = of_scores(q, keys(part, node, length), scale, certain, skip, window)
    close(seen, want, certain)


@given(lengths, windows, skips, st.booleans(), scales, st.integers(0, 40), seeds)
def test_each_row_has_a_query_of_its_own_that_drifts(length, window, skip, sink, scale, node, seed):
    rng = np.random.default_rng(seed)
    own, more = (np.diag(np.tile(rng.uniform(0, 1, 2), 2)) for _ in range(2))
    part, rng = drawn(length, seed, own, rng.uniform(0, 3, length), more)
    certain = rng.uniform(-3, 3, length) if sink else np.zeros(0)
    seen = drift.of_path(part, part.slow, node, THETA, scale, view_of(length, certain, skip, window))
    want = of_scores(queries(part, node, length), keys(part, node, length), scale, certain, skip, window)
    close(seen, want, certain)


HEADS = {"random walk": processes.RandomWalk(step=0.5, length=9, lag=2),
         "ar1": processes.Ar1(rho_q=0.5, rho_k=0.8, sigma_q=0.7, sigma_k=0.6, lag=2),
         "seasonal": processes.Seasonal(period=3, sigma_q=0.7, sigma_k=0.6, lag=2),
         "factor": wrappers.Factor(processes.RandomWalk(step=0.5, length=9, lag=2), 1.3, 1)}


@pytest.mark.parametrize("node", [0, 1, 17])
@pytest.mark.parametrize("name", HEADS)
def test_totals_of_each_family_are_those_of_the_scores_of_its_paths(name, node):
    part, = HEADS[name].parts(9, THETA)
    seen = drift.of_path(part, part.slow, node, THETA, 1.0, view_of(9))
    close(seen, of_scores(queries(part, node, 9), keys(part, node, 9), 1.0, [], 0, 0), [])


@pytest.mark.parametrize("name", HEADS)
def test_queries_and_keys_of_a_node_are_distributed_as_sampled(name):
    """Variance of queries and of keys by position, covariance of neighbouring keys; standard error over 400 seeds."""
    length, head = 9, HEADS[name]
    part, = head.parts(length, THETA)
    variance = np.diag(part.moments.cov_q) + np.outer(part.slow.drift, np.diag(part.slow.cov_q))
    unit = np.moveaxis([part.slow.path(np.tile(row[:, None], SIZE)) for row in np.eye(part.slow.size)], 0, -1)
    shared = part.slow.root_k ** 2 * np.sum(unit ** 2, axis=-1)             # the path is linear in its deviates
    neighbours = part.slow.root_k ** 2 * np.sum(unit[1:] * unit[:-1], axis=-1)
    samples = [head.sample(length, np.random.default_rng(seed), THETA)[:2] for seed in range(400)]
    q, k = (np.array([ensembles.real(sample[n]) for sample in samples]) for n in (0, 1))
    dq, dk = q - part.moments.q, k - part.moments.k
    for products, want in ((dq ** 2, variance), (dk ** 2, shared), (dk[:, 1:] * dk[:, :-1], neighbours)):
        stderr = products.std(axis=0, ddof=1) / 400 ** 0.5
        assert (np.abs(products.mean(axis=0) - want) <= SIGMAS * stderr + FLOAT).all()


def test_the_drift_of_a_random_walk_grows_with_the_row_and_that_of_others_is_none():
    grown = {name: HEADS[name].parts(9, THETA)[0].slow.drift for name in HEADS}
    assert grown["random walk"].tolist() == list(range(9)) and grown["factor"].tolist() == list(range(9))
    assert not grown["ar1"].any() and not grown["seasonal"].any()


@given(st.integers(1, 3000), st.booleans(), st.integers(1, 3000))
def test_rows_to_look_at_grow_by_a_tenth(length, sink, window):
    view = totals.View(length, np.zeros(length if sink else 0), 0, min(window, length))
    rows, _ = drift.picked(np.zeros(view.window), view)
    assert rows[0] == 0 and rows[-1] == length - 1
    gaps = np.diff(rows)
    assert (gaps >= 1).all() and (np.diff(np.log(rows + 1))[gaps > 1] <= 2 * drift.GROWTH).all()
    assert np.isin(np.arange(min(length, 11)), rows).all()
    assert np.isin([view.window - 1, min(view.window, length - 1)], rows).all()
    assert len(rows) <= 15 + 2 * np.log(max(length / 10, 1)) / drift.GROWTH


def test_noise_on_the_keys_of_a_path_is_averaged_as_drawn():
    """One path and one query a row; the keys' own noise drawn 2000 times."""
    length, count, of_k = 8, 2000, 0.49
    rng = np.random.default_rng(3)
    part, _ = drawn(length, 3, NONE, np.zeros(length), NONE)
    part = part._replace(moments=part.moments._replace(cov_k=of_k * np.eye(SIZE)))
    seen = drift.of_path(part, part.slow, 0, THETA, 1.0, view_of(length))
    q, mean = queries(part, 0, length), keys(part, 0, length)
    k = mean + np.sqrt(of_k) * rng.standard_normal((count, length, SIZE))
    turn = np.exp(1j * np.outer(np.arange(length), THETA))
    z, w = (q[:, :2] + 1j * q[:, 2:]) * turn, (k[..., :2] + 1j * k[..., 2:]) * turn
    logits = np.einsum("ib,njb->nij", z, w.conj()).real
    power = np.tril(np.exp(logits))
    scores = power / power.sum(axis=2, keepdims=True)
    slash = np.stack([np.trace(scores, -lag, axis1=1, axis2=2) for lag in range(length)], axis=1)
    disorder = -np.sum(scores * np.log(np.where(scores > 0, scores, 1.0)), axis=2)
    drawn_totals = np.stack([slash, scores[:, :, 0], disorder, np.sum(scores ** 2, axis=2), scores.sum(axis=1)], axis=1)
    stderr = drawn_totals.std(axis=0, ddof=1) / count ** 0.5
    assert (np.abs(seen - drawn_totals.mean(axis=0)) <= SIGMAS * stderr + length * GRID).all()
