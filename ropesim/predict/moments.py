"""Expected attention of random heads, by one integral over the Laplace variable of a row's sum.

Given its query, let the keys of a row be independent and their logits Gaussian. With Y the
exponentials of the logits and S their sum, 1 / S = int e^{-tS} dt turns every expected score into an
integral of products, exactly (M-laplace). All rows and lags share one pass per point of log t.
Queries are averaged over deterministic nodes; the spread of groups of nodes is the stated error.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from ..errors import RopesimError, array, number, whole
from .attention import lag_logits
from .kernels import add_expected
from .laplace import PER_UNIT, table

STEP = 0.65        # of the grid of log t: the trapezoid errs by about e^{-pi^2 / STEP}, 3e-7
DEEP = 14.0        # how far below the largest sum the grid of log t begins, in nats
GROUPS = 8         # of query nodes, whose means' spread is the error
WANTED = 0.002     # error at which no more nodes are added
LEAST, MOST = 32, 512        # query nodes


class Expected(NamedTuple):
    """Expected Profile of a random head and the error of each part.

    slash, slash_error: float64[T] by lag; sink is received[0]; entropy (nats) and participation are
    means over the rows >= T // 2. `nodes` queries were averaged.
    """

    slash: np.ndarray
    sink: float
    entropy: float
    participation: float
    slash_error: np.ndarray
    sink_error: float
    entropy_error: float
    participation_error: float
    nodes: int


def expected(q: np.ndarray, k: np.ndarray, cov_q: np.ndarray, cov_k: np.ndarray, cross: np.ndarray,
             theta: np.ndarray, length: int, *, scale: float = 1.0, sink: np.ndarray | None = None, skip: int = 0,
             window: int = 0) -> Expected:
    """Expected slash, sink, entropy and participation of a head with Gaussian queries and keys.

    q, k: float64[2B], mean query and key (real parts, then imaginary); cov_q, cov_k: float64[2B, 2B];
    cross: float64[N, 2B, 2B], Cov(k_{i-n}, q_i) at the lags n < N, zero beyond (N = 0: none); theta:
    float64[B], rad/token. Given its query, the keys of a row must be independent. sink: float64[T],
    row i's certain logit for key 0, in place of a random one; scale, skip and window as for
    `simulate.attention.profile`. Raises RopesimError for other shapes and for covariances that are
    not positive semi-definite. O(T) per query node and grid point; no random numbers.

        E[S_d] = int psi_d(t) prod_{m != d} phi_m(t) dt,  phi_m(t) = E e^{-t Y_m},  psi_m = -phi_m'   (M-laplace)

    The error is twice the standard error of the means of 8 groups of nodes, plus what the scores of
    all rows miss of their sum, which is 1 (M-error).

    >>> one, none = np.array([1.0, 0.0]), np.zeros((2, 2))
    >>> flat = expected(0 * one, one, none, none, np.zeros((0, 2, 2)), np.ones(1), 4)
    >>> flat.slash.round(5)
    array([0.52083, 0.36111, 0.29167, 0.25   ])
    """
    theta = array("theta", theta, [None])
    size = 2 * theta.size
    cross = array("cross", cross, [None, size, size])
    head = Head(array("q", q, [size]), array("k", k, [size]), _covariance("cov_q", cov_q, size),
                _covariance("cov_k", cov_k, size), cross[:length], theta, number("scale", scale, above=0))
    length = whole("length", length, least=1)
    skip, window = whole("skip", skip, least=0), whole("window", window, least=0, most=1 << 62)
    certain = np.zeros(0) if sink is None else array("sink", sink, [length])
    root = _root(head, length)
    groups, done = np.zeros((GROUPS, 4, length)), 0
    while True:
        for n in range(done, max(2 * done, LEAST) if root.any() else GROUPS):
            if n < GROUPS or root.any():
                groups[n % GROUPS] += _node(head, head.q + root @ _normal(n, size), length, certain, skip, window)
        done = n + 1
        result = _summary(groups * (GROUPS / done), certain.size > 0, skip, window, done)
        worst = max(float(np.nanmax(result.slash_error, initial=0.0)), result.sink_error)
        if worst <= WANTED or done >= MOST:
            return result


class Head(NamedTuple):
    """Moments of a head as real vectors, with what turns them into logits."""

    q: np.ndarray
    k: np.ndarray
    cov_q: np.ndarray
    cov_k: np.ndarray
    cross: np.ndarray
    theta: np.ndarray
    scale: float


def _covariance(name: str, value: np.ndarray, size: int) -> np.ndarray:
    matrix = array(name, value, [size, size])
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -1e-9 * max(1.0, float(np.abs(matrix).max())) or not np.allclose(matrix, matrix.T):
        raise RopesimError(f"smallest eigenvalue of {name}", least, "use a symmetric positive semi-definite matrix")
    return matrix


def _pairs(x: np.ndarray) -> np.ndarray:
    half = x.shape[-1] // 2
    return x[..., :half] + 1j * x[..., half:]


def _real(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x.real, x.imag], axis=-1)


def _root(head: Head, length: int) -> np.ndarray:
    """A square root of cov_q whose first columns move the logits of the lags that matter most.

    Deterministic nodes fill their first directions best.
    """
    values, vectors = np.linalg.eigh(head.cov_q)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    if not root.any():
        return root
    z = _pairs(head.q) * _pairs(head.k).conj() * head.scale
    logits = lag_logits(np.abs(z), np.angle(z), head.theta, min(length, 4096))
    share = np.exp(logits - logits.max())
    share = share / share.sum() + 0.1 / len(share)
    lags = np.argsort(-share)[:512]
    curve = _real(_pairs(head.k) * np.exp(-1j * np.outer(lags, head.theta))) @ root   # d logit / d node, by lag
    curve = np.sqrt(share[lags])[:, None] * (curve - share[lags] @ curve / share[lags].sum())
    return root @ np.linalg.svd(curve)[2].T


def _normal(n: int, size: int) -> np.ndarray:
    """Node n of a Kronecker sequence in `size` dimensions, mapped to the normal distribution."""
    return ndtri((0.5 + (n + 1) * np.sqrt(_primes(size))) % 1.0)


@cache
def _primes(count: int) -> np.ndarray:
    sieve = np.ones(max(30, int(count * (np.log(count + 2) + 3))), dtype=bool)
    sieve[:2] = False
    for n in range(2, int(len(sieve) ** 0.5) + 1):
        sieve[n * n::n] = False
    return np.flatnonzero(sieve)[:count].astype(np.float64)


def _node(head: Head, q: np.ndarray, length: int, certain: np.ndarray, skip: int, window: int) -> np.ndarray:
    """Sums over lags (slash) and by row (score of key 0, entropy, participation) for one query, float64[4, T]."""
    mean, spread = _logits(head, q, length)
    low, high = float(spread.min()), float(spread.max())
    at = table(np.linspace(low, high, 2 + int((high - low) / (0.04 * high + 0.01))))
    place = (spread - low) / max(high - low, 1e-300) * (len(at.spreads) - 1)
    slab = np.minimum(place.astype(np.int64), len(at.spreads) - 2)
    top = min(float(np.logaddexp.reduce(mean + spread ** 2 / 2)), float(np.max(mean + 8 * spread)) + 2)
    begin = -max(top, *certain[:window or None]) - DEEP if certain.size else -top - DEEP
    step = max(STEP, 0.1 * low)
    logs = np.arange(begin, max(8 * float(spread[0]) - float(mean[0]) + 4, begin + 1), step)
    out = np.zeros((4, length))
    add_expected(mean, slab, place - slab, at.values, at.low, PER_UNIT, logs, step, certain, window, skip, *out)
    return out


def _logits(head: Head, q: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the logit at each lag, given the query, float64[T] each.

        mu_m = a u_m . E[k | q],  s_m^2 = a^2 u_m' Cov[k | q] u_m,  u_m = R_m q                 (M-logits)
    """
    z = head.scale * _pairs(q)
    product = z * _pairs(head.k).conj()
    mean = lag_logits(np.abs(product), np.angle(product), head.theta, length)
    first = head.cov_k[0, 0]
    if np.array_equal(head.cov_k, first * np.eye(len(q))):
        variance = np.full(length, first * float(np.abs(z) @ np.abs(z)))
    else:
        variance = np.empty(length)
        for start in range(0, length, 4096):
            u = _real(z * np.exp(1j * np.outer(np.arange(start, min(start + 4096, length)), head.theta)))
            variance[start:start + 4096] = np.einsum("mi,mi->m", u @ head.cov_k, u)
    if len(head.cross):
        gain = head.cross @ np.linalg.pinv(head.cov_q, rcond=1e-10, hermitian=True)
        u = _real(z * np.exp(1j * np.outer(np.arange(len(gain)), head.theta)))
        mean[:len(gain)] += np.einsum("mi,mij,j->m", u, gain, q - head.q)
        variance[:len(gain)] -= np.einsum("mi,mij,mkj,mk->m", u, gain, head.cross, u)
    return mean, np.sqrt(np.maximum(variance, 0.0))


def _summary(groups: np.ndarray, certain: bool, skip: int, window: int, nodes: int) -> Expected:
    length = groups.shape[2]
    slash, first, entropy, square = groups.transpose(1, 0, 2)
    if certain:
        first[:, 0], entropy[:, 0], square[:, 0] = 1.0, 0.0, 1.0
        whole_sum = slash.sum(axis=1) + first.sum(axis=1)
        if skip == 0:
            slash = slash + first
    else:
        whole_sum = slash.sum(axis=1)
    missing = float(np.abs(whole_sum / length - 1).max()) if skip == 0 else 1e-6
    left = np.arange(length, 0, -1) - skip
    slash = np.divide(slash, left, out=np.full(slash.shape, np.nan), where=left > 0)
    half = length // 2
    parts = [(x.mean(axis=0), 2 * x.std(axis=0, ddof=1) / GROUPS ** 0.5 + (missing + 1e-6) * np.abs(x.mean(axis=0)))
             for x in (slash, first.mean(axis=1), entropy[:, half:].mean(axis=1), square[:, half:].mean(axis=1))]
    values, errors = zip(*parts)
    return Expected(values[0], *map(float, values[1:]), errors[0], *map(float, errors[1:]), nodes)
