"""Mean and variance of the logits of a random head, exactly, over its query and its keys.

A logit is bilinear in a Gaussian query and a Gaussian key, so its first two moments need no more
than theirs (Isserlis). As functions of the lag they are sums of cosines: of theta_b in the mean, of
theta_b - theta_c and theta_b + theta_c in the variance.
"""

from typing import NamedTuple

import numpy as np

from ..ensembles import real
from ..errors import RopesimError, array, number, whole
from .cosines import curves
from .phases import rotations, turns

LAGS = 4096        # of a block whose variances are one matrix product
ENTRIES = 1 << 20  # most entries of cross matrices that are rotated at a time: bounds the memory


class LogitMoments(NamedTuple):
    """Mean and variance of the logit at each lag, float64[T]."""

    mean: np.ndarray
    variance: np.ndarray


def mean_and_variance(q: np.ndarray, k: np.ndarray, cov_q: np.ndarray, cov_k: np.ndarray, cross: np.ndarray,
                      theta: np.ndarray, length: int, *, scale: float = 1.0) -> LogitMoments:
    """Mean and variance of the logit at the lags 0 .. length - 1, over Gaussian queries and keys.

    q, k: float64[2B], mean query and key (real parts, then imaginary); cov_q, cov_k: float64[2B, 2B];
    cross: float64[N, 2B, 2B], Cov(k_{i-n}, q_i) at the lags n < N, zero beyond (N = 0: none); theta:
    float64[B], rad/token, |theta| < 2**63; scale > 0. Raises RopesimError for other shapes and for
    covariances that are not positive semi-definite. Whether query and key of a lag have a joint
    covariance is not checked: where they have none, a negative variance is returned as 0.

        logit_n = a q_i^T R_n^T k_{i-n},   R_n = the rotation by theta n,   C_n = Cov(k_{i-n}, q_i)
        E logit_n   = a (q'^T R_n^T k' + tr(R_n^T C_n))                      (M-logit-moments)
        Var logit_n = a^2 (k'^T R_n S_q R_n^T k' + q'^T R_n^T S_k R_n q' + 2 q'^T R_n^T C_n R_n^T k'
                           + tr(R_n^T S_k R_n S_q) + tr(R_n^T C_n R_n^T C_n))

    with q', k' the means and S_q, S_k the covariances. O(T sqrt B) memory and O(T B) time where the
    covariances do not couple pairs, O(T B^2) where they do. Source: Isserlis 1918; derivation ours.

    >>> one, eye = np.array([1.0, 0.0]), np.eye(2)
    >>> mean_and_variance(one, 0 * one, 0.5 * eye, 2 * eye, np.zeros((0, 2, 2)), np.ones(1), 2)
    LogitMoments(mean=array([0., 0.]), variance=array([4., 4.]))
    """
    theta, length, scale = frequencies(theta), whole("length", length, least=1), number("scale", scale, above=0)
    size = 2 * theta.size
    q, k = array("q", q, [size]), array("k", k, [size])
    cov_q, cov_k = covariance("cov_q", cov_q, size), covariance("cov_k", cov_k, size)
    cross = array("cross", cross, [None, size, size])[:length]
    product = pairs(q) * pairs(k).conj()
    mean = curves(product, theta, length)
    variance = _independent(*_couplings(pairs(q), pairs(k), cov_q, cov_k), theta, length)
    more_mean, more_variance = _dependent(q, k, cross, theta)
    mean[:len(cross)] += more_mean
    variance[:len(cross)] += more_variance
    return LogitMoments(scale * mean, scale ** 2 * np.maximum(variance, 0.0))


def pairs(x: np.ndarray) -> np.ndarray:
    """Real vectors [..., 2B] as complex pairs [..., B], the inverse of `ensembles.real`.

    >>> pairs(np.array([1.0, 2.0, 3.0, 4.0]))
    array([1.+3.j, 2.+4.j])
    """
    half = x.shape[-1] // 2
    return x[..., :half] + 1j * x[..., half:]


def covariance(name: str, value: np.ndarray, size: int) -> np.ndarray:
    """`value` as a covariance, float64[size, size], symmetric and positive semi-definite to 1e-9, or a RopesimError.

    >>> covariance("cov_q", [[1, 0], [0, 0]], 2)
    array([[1., 0.],
           [0., 0.]])
    """
    matrix = array(name, value, [size, size])
    rounding = 1e-9 * float(np.abs(matrix).max(initial=0.0))
    uneven = float(np.abs(matrix - matrix.T).max(initial=0.0))
    if uneven > rounding:
        raise RopesimError(f"asymmetry of {name}", uneven, "use a symmetric positive semi-definite matrix")
    least = float(np.linalg.eigvalsh(matrix).min(initial=0.0))
    if least < -rounding:
        raise RopesimError(f"smallest eigenvalue of {name}", least, "use a symmetric positive semi-definite matrix")
    return matrix


def frequencies(theta: np.ndarray) -> np.ndarray:
    """`theta` as float64[B] of which sums of two have exact phases, or a RopesimError.

    >>> frequencies([1, 0])
    array([1., 0.])
    """
    theta = array("theta", theta, [None])
    if (np.abs(theta) >= 2.0 ** 63).any():
        raise RopesimError("theta", np.abs(theta).max(), "use frequencies below 2**63 rad/token")
    return theta


def _couplings(q: np.ndarray, k: np.ndarray, cov_q: np.ndarray, cov_k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P and M, complex128[B, B], of the variance with independent query and key, z_b = e^{1j n theta_b}:

        Var = Re sum_bc (P_bc z_b conj(z_c) + M_bc z_b z_c)

    One product of complex second moments, of deviations and of means, covers the two mean terms and the trace.
    """
    both_q, both_k = _complex_moments(cov_q), _complex_moments(cov_k)
    means_q, means_k = (np.outer(q, q.conj()), np.outer(q, q)), (np.outer(k, k.conj()), np.outer(k, k))
    plus, minus = (0.5 * (s_q * (s_k + m_k).conj() + m_q * s_k.conj())
                   for s_q, s_k, m_q, m_k in zip(both_q, both_k, means_q, means_k))
    return plus, minus


def _complex_moments(cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E x_b conj(x_c) and E x_b x_c of complex pairs with mean zero."""
    half = len(cov) // 2
    rr, ri, ir, ii = cov[:half, :half], cov[:half, half:], cov[half:, :half], cov[half:, half:]
    return rr + ii + 1j * (ir - ri), rr - ii + 1j * (ir + ri)


def _independent(plus: np.ndarray, minus: np.ndarray, theta: np.ndarray, length: int) -> np.ndarray:
    """Re sum_bc (plus_bc z_b conj(z_c) + minus_bc z_b z_c) at each lag; a sum of cosines if pairs do not mix."""
    own = np.diag(minus)
    if np.array_equal(plus, np.diag(np.diag(plus))) and np.array_equal(minus, np.diag(own)):
        constant = np.full(length, np.trace(plus).real)
        return constant + curves(own, 2 * theta, length) if own.any() else constant
    fraction = turns(theta)
    turn = rotations(fraction, np.arange(min(LAGS, length), dtype=np.uint64))
    curve = np.hstack([turn.real, turn.imag])
    starts = np.arange(0, length, LAGS, dtype=np.uint64)
    blocks = [np.einsum("ni,ni->n", curve @ _form(plus * np.outer(z, z.conj()), minus * np.outer(z, z)), curve)
              for z in rotations(fraction, starts)]              # lags from each start: its turn goes into the form
    return np.concatenate(blocks)[:length]


def _form(plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """The same sum as a quadratic form in (Re z, Im z), float64[2B, 2B]."""
    return np.block([[plus + minus, 1j * (minus - plus)], [1j * (plus + minus), plus - minus]]).real


def _dependent(q: np.ndarray, k: np.ndarray, cross: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the dependence of query and key adds to mean and variance at the lags of `cross`, float64[N] each."""
    mean, variance = np.zeros((2, len(cross)))
    step = max(ENTRIES // max(q.size ** 2, 1), 1)
    for start in range(0, len(cross), step):
        lags = slice(start, start + step)
        back = rotations(turns(theta), np.arange(len(cross), dtype=np.uint64)[lags]).conj()
        turned = real(pairs(cross[lags].swapaxes(1, 2)) * back[:, None]).swapaxes(1, 2)      # R_n^T C_n
        mean[lags] = np.einsum("nii->n", turned)
        variance[lags] = 2 * np.einsum("ni,ni->n", q @ turned, real(pairs(k) * back))
        variance[lags] += np.einsum("nij,nji->n", turned, turned)
    return mean, variance
