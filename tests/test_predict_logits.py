"""Moments of the logits of a random head: twin, exact quadrature, closed cases, simulation."""

import itertools

import mpmath
import naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim.ensembles import real
from ropesim.errors import RopesimError
from ropesim.predict import cosines
from ropesim.predict.logits import LAGS, covariance, frequencies, mean_and_variance, pairs

THETA = np.array([1.0, 0.2])
NONE = np.zeros((0, 4, 4))
LENGTH = 3
TINY = 1e-300      # below lie numbers of fewer digits


def numbers(*shape):
    return hnp.arrays(float, shape, elements=st.floats(-2, 2))


def joined(root_q, root_k, weights):
    """Covariances S_q, S_k and, for each W in `weights` (made a contraction), the cross matrix that it allows."""
    weights = [w / max(np.linalg.norm(w, 2), 1.0) for w in weights]
    return root_q @ root_q.T, root_k @ root_k.T, np.array([root_k @ w @ root_q.T for w in weights])


@st.composite
def heads(draw):
    """(q, k, cov_q, cov_k, cross), theta of one or two pairs, of any rank, with two lags of cross matrices."""
    size = 2 * draw(st.integers(1, 2))
    moments = [draw(numbers(size)), draw(numbers(size)),
               *joined(*(draw(numbers(size, size)) for _ in range(2)), [draw(numbers(size, size)) for _ in range(2)])]
    return moments, draw(hnp.arrays(float, size // 2, elements=st.floats(-4, 4)))


def joint(moments, lag):
    """Mean and covariance of (q_i, k_{i - lag}) as one vector."""
    q, k, cov_q, cov_k, cross = moments
    between = cross[lag] if lag < len(cross) else 0 * cov_q
    return np.append(q, k), np.block([[cov_q, between.T], [between, cov_k]])


def logit(q, k, theta, lag):
    """The definition, for real vectors [..., 2B]."""
    return (pairs(q) * pairs(k).conj() * np.exp(1j * lag * theta)).real.sum(axis=-1)


def quadrature(mean, cov, theta, lag):
    """Mean and variance of the logit by Gauss-Hermite nodes in every direction: three are exact up to degree 5."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    weights = np.array(list(itertools.product(weights / weights.sum(), repeat=len(mean)))).prod(axis=1)
    values, vectors = np.linalg.eigh(cov)
    points = mean + np.array(list(itertools.product(nodes, repeat=len(mean)))) @ (
        vectors * np.sqrt(np.maximum(values, 0))).T
    x = logit(points[:, :len(mean) // 2], points[:, len(mean) // 2:], theta, lag)
    return weights @ x, weights @ (x - weights @ x) ** 2


def size_of(moments):
    """Bound of a mean square logit, against which errors are measured: a variance is a difference of such sizes."""
    q, k, cov_q, cov_k, _ = moments
    return 1 + (q @ q + np.trace(cov_q)) * (k @ k + np.trace(cov_k))


# Against quadrature and twin

@given(heads())
def test_it_is_the_exact_quadrature_over_query_and_key(head):
    moments, theta = head
    seen = mean_and_variance(*moments, theta, LENGTH)
    want = [quadrature(*joint(moments, lag), theta, lag) for lag in range(LENGTH)]
    np.testing.assert_allclose(np.array(seen).T, want, rtol=0, atol=FLOAT * size_of(moments))


@given(heads(), st.floats(0.1, 3))
@example(([np.ones(2), np.ones(2), np.eye(2), np.eye(2), np.zeros((2, 2, 2))], np.zeros(1)), 1.0)
def test_it_is_the_twin_that_pairs_index_by_index(head, scale):
    moments, theta = head
    seen = mean_and_variance(*moments, theta, LENGTH, scale=scale)
    for lag in {0, LENGTH - 1}:
        mean, cov = joint(moments, lag)
        want = naive.logit_moments(mean.tolist(), cov.tolist(), theta.tolist(), lag, scale)
        got = seen.mean[lag], seen.variance[lag]
        assert got == pytest.approx(want, rel=EXACT, abs=100 * EXACT * (1 + scale) ** 2 * size_of(moments))


@pytest.mark.parametrize("rank", [4, 1])
def test_blocks_of_lags_join_without_a_seam(rank):
    rng = np.random.default_rng(rank)
    root_q, root_k = rng.normal(size=(2, 4, rank))
    moments = [*rng.normal(size=(2, 4)), root_q @ root_q.T, root_k @ root_k.T, NONE]
    length = 2 * LAGS + 3
    seen = mean_and_variance(*moments, THETA, length)
    assert seen.mean.shape == seen.variance.shape == (length,)
    for lag in (0, LAGS - 1, LAGS, 2 * LAGS - 1, 2 * LAGS, length - 1):
        want = quadrature(*joint(moments, lag), THETA, lag)
        assert (seen.mean[lag], seen.variance[lag]) == pytest.approx(want, rel=FLOAT)


@pytest.mark.parametrize("sign", [1, -1])
def test_pairs_that_are_coupled_by_differences_or_by_sums_of_frequencies_alone_are_seen(sign):
    """Real and imaginary parts with the correlation +-1/2: E x_b x_c = 0 or E x_b conj(x_c) = 0 between pairs."""
    between = np.array([[0.0, 0.5], [0.5, 0.0]])
    cov_k = np.eye(4) + np.block([[between, 0 * between], [0 * between, sign * between]])
    moments = [np.array([1.0, 2.0, 0.5, 0.0]), np.zeros(4), np.zeros((4, 4)), cov_k, NONE]
    seen = mean_and_variance(*moments, THETA, LENGTH)
    want = [quadrature(*joint(moments, lag), THETA, lag) for lag in range(LENGTH)]
    np.testing.assert_allclose(np.array(seen).T, want, rtol=EXACT, atol=EXACT)


def test_many_lags_of_cross_matrices_are_taken_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    moments = [*rng.normal(size=(2, 4)), *joined(*rng.normal(size=(2, 4, 4)), rng.normal(size=(7, 4, 4)))]
    whole = mean_and_variance(*moments, THETA, 9)
    monkeypatch.setattr("ropesim.predict.logits.ENTRIES", 40)          # two lags at a time
    np.testing.assert_array_equal(mean_and_variance(*moments, THETA, 9), whole)


# Closed cases

@given(numbers(4), numbers(4), st.integers(1, 20))
def test_certain_queries_and_keys_have_their_logits_and_no_variance(q, k, length):
    none = np.zeros((4, 4))
    seen = mean_and_variance(q, k, none, none, NONE, THETA, length)
    product = pairs(q) * pairs(k).conj()
    np.testing.assert_array_equal(seen.mean, cosines.curves(product, THETA, length))
    np.testing.assert_array_equal(seen.variance, np.zeros(length))


@given(numbers(4), numbers(4), st.floats(0, 3), st.floats(0, 3))
def test_isotropic_noise_has_the_same_variance_at_every_lag(q, k, noise_q, noise_k):
    """s_q |k|^2 + s_k |q|^2 + 2B s_q s_k"""
    seen = mean_and_variance(q, k, noise_q * np.eye(4), noise_k * np.eye(4), NONE, THETA, 50)
    want = noise_q * (k @ k) + noise_k * (q @ q) + 4 * noise_q * noise_k
    np.testing.assert_allclose(seen.variance, want, rtol=EXACT, atol=TINY)


@given(numbers(4), numbers(4, 4))
def test_a_token_that_meets_itself_has_the_moments_of_a_square(mean, root):
    """q = k: the logit at lag 0 is |q|^2, with mean tr S + |m|^2 and variance 2 tr S^2 + 4 m^T S m."""
    cov = root @ root.T
    seen = mean_and_variance(mean, mean, cov, cov, cov[None], THETA, 1)
    assert seen.mean[0] == pytest.approx(np.trace(cov) + mean @ mean, rel=EXACT)
    assert seen.variance[0] == pytest.approx(2 * np.trace(cov @ cov) + 4 * mean @ cov @ mean, rel=100 * EXACT)


@given(heads(), st.floats(0.1, 10))
def test_scale_multiplies_means_and_its_square_variances(head, scale):
    moments, theta = head
    one, other = mean_and_variance(*moments, theta, LENGTH), mean_and_variance(*moments, theta, LENGTH, scale=scale)
    np.testing.assert_allclose(other.mean, scale * one.mean, rtol=EXACT, atol=TINY)
    np.testing.assert_allclose(other.variance, scale ** 2 * one.variance, rtol=EXACT, atol=TINY)


@given(heads())
def test_without_rotation_every_lag_of_equal_moments_is_the_same(head):
    (q, k, cov_q, cov_k, cross), theta = head
    seen = mean_and_variance(q, k, cov_q, cov_k, np.array([cross[0]] * LENGTH), 0 * theta, LENGTH)
    assert np.ptp(seen.mean) == np.ptp(seen.variance) == 0


@given(heads())
def test_query_and_key_change_places_when_theta_changes_sign(head):
    (q, k, cov_q, cov_k, cross), theta = head
    one = mean_and_variance(q, k, cov_q, cov_k, cross, theta, LENGTH)
    other = mean_and_variance(k, q, cov_k, cov_q, cross.swapaxes(1, 2), -theta, LENGTH)
    np.testing.assert_allclose(one, other, rtol=0, atol=100 * EXACT * size_of((q, k, cov_q, cov_k, cross)))


@given(heads())
def test_lags_beyond_the_cross_matrices_are_independent(head):
    (q, k, cov_q, cov_k, cross), theta = head
    seen = mean_and_variance(q, k, cov_q, cov_k, cross, theta, LENGTH)
    apart = mean_and_variance(q, k, cov_q, cov_k, cross[:0], theta, LENGTH)
    np.testing.assert_array_equal([seen.mean[2:], seen.variance[2:]], [apart.mean[2:], apart.variance[2:]])
    shorter = mean_and_variance(q, k, cov_q, cov_k, cross, theta, 1)
    atol = EXACT * size_of((q, k, cov_q, cov_k, cross))
    np.testing.assert_allclose(shorter, np.array(seen)[:, :1], rtol=EXACT, atol=atol)


@pytest.mark.parametrize("coupled", [False, True])
def test_a_million_tokens_back_the_phase_is_still_exact(coupled):
    """cov_k = u u^T has the variance (q_n . u)^2; one pair for the sum of cosines, two for the quadratic form."""
    lag = (1 << 20) - 1
    u, theta = (np.array([1.0, 2.0, 0.0, 0.0]), THETA) if coupled else (np.array([1.0, 0.0]), np.ones(1))
    q = real(np.ones(theta.size))
    seen = mean_and_variance(q, 0 * q, np.zeros((u.size, u.size)), np.outer(u, u), np.zeros((0, u.size, u.size)), theta,
                             lag + 1)
    with mpmath.workdps(30):
        want = mpmath.fsum(a * mpmath.cos(mpmath.mpf(float(t)) * lag) for a, t in zip(u, theta)) ** 2
    assert seen.variance[lag] == pytest.approx(float(want), rel=EXACT)


@pytest.mark.parametrize("strength", [1e4, 1e30])
def test_large_logits_keep_their_relative_accuracy(strength):
    q, eye = np.array([strength, 0.0, 0.0, 0.0]), np.eye(4)
    seen = mean_and_variance(q, q / strength, eye, eye, NONE, THETA, 2)
    np.testing.assert_allclose(seen.mean, strength * np.cos([0.0, 1.0]), rtol=EXACT)
    np.testing.assert_allclose(seen.variance, strength ** 2 + 5, rtol=EXACT)


def test_a_head_without_pairs_has_no_logit():
    empty = [np.zeros((0,) * axes) for axes in (1, 1, 2, 2, 3, 1)]
    seen = mean_and_variance(*empty, 3)
    np.testing.assert_array_equal(seen, np.zeros((2, 3)))


def test_a_dependence_that_no_covariance_allows_leaves_no_variance_below_zero():
    none = np.zeros((4, 4))
    turn = np.block([[0 * np.eye(2), -np.eye(2)], [np.eye(2), 0 * np.eye(2)]])     # tr(C C) = -4 without S_q and S_k
    assert mean_and_variance(np.zeros(4), np.zeros(4), none, none, turn[None], THETA, 1).variance[0] == 0


# Against simulation

@pytest.mark.parametrize("seed", [0, 1, 2])
def test_drawn_logits_have_these_moments_within_their_standard_errors(seed):
    """Standard error of a mean: sd / sqrt N; of a variance: sqrt((m_4 - m_2^2) / N), moments about the mean."""
    rng = np.random.default_rng(seed)
    moments = [*rng.normal(size=(2, 4)), *joined(*rng.normal(size=(2, 4, 4)), rng.normal(size=(2, 4, 4)))]
    seen = mean_and_variance(*moments, THETA, LENGTH)
    for lag in range(LENGTH):
        both = rng.multivariate_normal(*joint(moments, lag), size=40_000)
        x = logit(both[:, :4], both[:, 4:], THETA, lag)
        square = (x - x.mean()) ** 2
        assert abs(seen.mean[lag] - x.mean()) <= SIGMAS * x.std() / len(x) ** 0.5
        assert abs(seen.variance[lag] - square.mean()) <= SIGMAS * square.std() / len(x) ** 0.5


# Guards

@pytest.mark.parametrize(("change", "words"), [
    ({"q": np.ones(3)}, "shape of q"),
    ({"k": np.ones((4, 1))}, "shape of k"),
    ({"q": np.array([1.0, np.nan, 0.0, 0.0])}, "q = nan"),
    ({"cov_q": -np.eye(4)}, "smallest eigenvalue of cov_q = -1.0: use a symmetric positive semi-definite matrix"),
    ({"cov_k": np.triu(np.ones((4, 4)))}, "asymmetry of cov_k = 1.0: use a symmetric positive semi-definite matrix"),
    ({"cov_q": np.eye(2)}, "shape of cov_q"),
    ({"cross": np.zeros((1, 2, 2))}, "shape of cross"),
    ({"theta": np.ones(3)}, "shape of q"),
    ({"theta": np.array([1.0, 2.0 ** 63])}, "theta = 9.2.*e.18: use frequencies below"),
    ({"length": 0}, "length = 0"),
    ({"length": 2.0}, "length = 2.0"),
    ({"scale": 0.0}, "scale = 0.0"),
])
def test_bad_arguments_are_named(change, words):
    good = {"q": np.ones(4), "k": np.ones(4), "cov_q": np.eye(4), "cov_k": np.eye(4), "cross": NONE, "theta": THETA,
            "length": 5}
    assert np.isfinite(mean_and_variance(**good)).all()
    with pytest.raises(RopesimError, match=words):
        mean_and_variance(**good | change)


@given(numbers(3, 3), st.floats(-100, 100))
def test_every_product_of_a_root_with_its_transpose_is_a_covariance_at_any_size(root, power):
    cov = 10.0 ** power * (root @ root.T)
    assert covariance("cov", cov, 3) is cov


@given(st.floats(-100, 100))
def test_a_small_matrix_that_is_no_covariance_is_seen_as_well_as_a_large_one(power):
    with pytest.raises(RopesimError, match="smallest eigenvalue of cov"):
        covariance("cov", 10.0 ** power * np.diag([1.0, -1e-6]), 2)
    with pytest.raises(RopesimError, match="asymmetry of cov"):
        covariance("cov", 10.0 ** power * np.array([[1.0, 1e-6], [0.0, 1.0]]), 2)


def test_frequencies_end_where_their_sums_have_no_exact_phase():
    largest = np.nextafter(2.0 ** 63, 0)
    assert frequencies([-largest])[0] == -largest
    with pytest.raises(RopesimError, match="theta"):
        frequencies([-2.0 ** 63])


@given(hnp.arrays(float, hnp.array_shapes(max_dims=3).map(lambda shape: (*shape, 6)), elements=st.floats(-9, 9)))
def test_pairs_are_the_inverse_of_real(x):
    np.testing.assert_array_equal(real(pairs(x)), x)
