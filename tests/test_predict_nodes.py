"""Deterministic nodes: they fill the normal distribution, evenly where they are few, like draws where they are many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from tolerances import EXACT, SIGMAS

from ropesim.predict.nodes import normal, wide


@pytest.mark.parametrize("size", [1, 4, 16, 128])
@pytest.mark.parametrize("count", [32, 96, 288])
def test_nodes_have_mean_zero_and_unit_covariance(count, size):
    x = normal(0, count, size)
    assert x.shape == (count, size)
    # no worse than independent draws; the even direction is far better
    assert np.abs(x.mean(axis=0)).max() <= SIGMAS / np.sqrt(count)
    off = x.T @ x / count - np.eye(size)
    assert np.sqrt(np.mean(off ** 2)) <= 1.2 / np.sqrt(count)
    # the directions that matter come first; far out a few pairs of roots almost differ by a whole number
    assert np.abs(off[:16, :16]).max() <= SIGMAS / np.sqrt(count)
    assert abs(x[:, 0].mean()) <= EXACT and abs(x[:, 0].var() - 1) <= 1.5 / count


@given(st.integers(1, 100), st.integers(1, 9))
def test_nodes_that_triple_are_midpoints_and_the_sequence_goes_on(count, size):
    both = np.concatenate([normal(0, count, size), normal(count, 2 * count, size)])
    middle = norm.ppf((np.arange(3 * count) + 0.5) / (3 * count))
    np.testing.assert_allclose(np.sort(both[:, 0]), middle, rtol=0, atol=1e-9)     # the quantile function's own error
    np.testing.assert_array_equal(both[:, 1:], normal(0, 3 * count, size)[:, 1:])


def deviations(count):
    return np.stack([wide(node, (1000, 4)).ravel() for node in range(count)])


def test_wide_nodes_are_standard_normal_in_thousands_of_dimensions():
    x = deviations(32)
    assert abs(x.mean()) <= SIGMAS / np.sqrt(x.size)
    # Fractions of a few thousand square roots are as uneven as draws, the same for all nodes: no better than one node's
    assert np.abs(x.mean(axis=1)).max() <= SIGMAS / np.sqrt(x.shape[1])
    assert np.abs(x.var(axis=1) - 1).max() <= SIGMAS * np.sqrt(2 / x.shape[1])
    assert np.abs(np.quantile(x, [0.05, 0.5, 0.95]) - norm.ppf([0.05, 0.5, 0.95])).max() < 0.02


@pytest.mark.parametrize("count", [8, 32, 96])
def test_dimensions_of_wide_nodes_are_about_as_little_correlated_as_draws(count):
    x = deviations(count)
    second = x.T @ x / count
    off = second[~np.eye(len(second), dtype=bool)]
    # independent draws give 1 / sqrt(count); 1.2 leaves room for the few pairs of fractions with a small whole relation
    assert np.sqrt(np.mean(off ** 2)) <= 1.2 / np.sqrt(count)
    assert abs(off.mean()) <= 0.001
    neighbours = np.diag(second, 1)
    assert np.sqrt(np.mean(neighbours ** 2)) <= 1.2 / np.sqrt(count)
    assert abs(neighbours.mean()) <= SIGMAS / np.sqrt(neighbours.size * count)


def test_a_mean_over_wide_nodes_errs_no_more_than_one_over_draws():
    """Of a sum over 1000 dimensions, a step of it and its square: root mean square error over 200 directions."""
    x, rng = deviations(96), np.random.default_rng(0)
    along = x @ rng.normal(size=(x.shape[1], 200)) / np.sqrt(x.shape[1])
    for value, mean, spread in ((along, 0, 1), (along > 1, norm.sf(1), np.sqrt(norm.sf(1) * norm.cdf(1))),
                                (along ** 2, 1, np.sqrt(2))):
        error = np.sqrt(np.mean((value.mean(axis=0) - mean) ** 2))
        assert error <= 1.3 * spread / np.sqrt(96)


def test_equal_calls_give_equal_bits_and_no_two_nodes_are_equal():
    assert np.array_equal(wide(5, (30, 4)), wide(5, (30, 4)))
    assert np.array_equal(normal(8, 16, 4), normal(8, 16, 4))
    seen = [wide(node, (30, 4)) for node in range(64)]
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for n, a in enumerate(seen) for b in seen[:n]]
    assert max(alike) < 0.9
    assert len(np.unique(normal(0, 288, 4), axis=0)) == 288


def test_the_first_dimensions_do_not_depend_on_how_many_there_are():
    np.testing.assert_array_equal(wide(3, (5, 4)), wide(3, (50, 4))[:5])


@given(st.integers(0, 400), st.integers(1, 50), st.integers(1, 40))
def test_nodes_are_finite(node, rows, columns):
    x = wide(node, (rows, columns))
    assert x.shape == (rows, columns) and np.isfinite(x).all()
