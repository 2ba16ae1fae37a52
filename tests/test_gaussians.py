"""Heads whose tokens are drawn one by one: what is special to each; what all share is in test_processes."""

import numpy as np
import pytest
from tolerances import EXACT

from ropesim.ensembles import real
from ropesim.gaussians import Cone, FullGaussian, Gaussian, Massive

THETA = np.array([1.0, 0.3, 0.0])


@pytest.mark.parametrize("cosine, share", [(0.15, 0.860), (0.3, 0.963), (0.6, 0.993)])
def test_queries_of_a_cone_are_almost_of_rank_one(cosine, share):
    theta = 10.0 ** -np.linspace(0, 4, 32)                # 64 components; the figures: slash.md 4.7, within .005 there
    q = real(Cone(cosine=cosine).sample(600, np.random.default_rng(0), theta)[0])
    value = np.linalg.svd(q, compute_uv=False) ** 2
    assert abs(value[0] / value.sum() - share) <= 0.01    # one draw of weights of 512 x 64


def test_a_cone_keeps_its_weights_whatever_the_sample_draws():
    one, other = Cone(cosine=0.5), Cone(cosine=0.5, weights_seed=1)
    assert np.array_equal(one.mean(THETA).q, Cone(cosine=0.5).mean(THETA).q)
    assert not np.array_equal(one.mean(THETA).q, other.mean(THETA).q)


@pytest.mark.parametrize("correlation", [-1.0, 1.0])
def test_full_correlation_makes_a_key_of_its_query(correlation):
    head = Gaussian(sigma_q=2.0, sigma_k=0.5, correlation=correlation, strength=0.0)
    q, k, _ = head.sample(5, np.random.default_rng(0), THETA)
    np.testing.assert_allclose(k - head.mean(THETA).k, correlation * q / 4, rtol=EXACT, atol=EXACT)


def test_a_singular_covariance_is_drawn_on_its_plane():
    ones = np.ones((2, 2))
    q, k, _ = FullGaussian([0], [0], ones, ones, -ones).sample(9, np.random.default_rng(0), np.ones(1))
    np.testing.assert_allclose(q.real, q.imag, atol=1e-7)       # a root of rounding: sqrt(1e-16) is 1e-8
    np.testing.assert_allclose(k, -q, atol=1e-7)


def test_the_massive_channel_is_the_same_at_every_token():
    head = Massive(massive_q=7.0, massive_k=-4.0, pair=1, sigma_q=0.5, sigma_k=0.8)
    q, k, theta = head.sample(5, np.random.default_rng(0), THETA)
    assert (q[:, 1] == 7).all() and (k[:, 1] == -4).all() and theta is THETA
    assert np.unique(q[:, 0]).size == np.unique(k[:, 2]).size == 5


def test_arrays_of_a_full_gaussian_are_copied_and_can_not_be_changed():
    mine = np.eye(2)
    head = FullGaussian([0], [0], mine, np.eye(2), np.zeros((2, 2)))
    mine[0] = 7
    assert head.cov_q[0, 0] == 1 and head != FullGaussian([0], [0], np.eye(2), np.eye(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="read-only"):
        head.cov_q[0] = 7
