"""Expected attention of random heads, by one integral over the Laplace variable of a row's sum.

Given its query, let the keys of a row be independent and their logits Gaussian. With Y the
exponentials of the logits and S their sum, 1 / S = int e^{-tS} dt turns every expected score into an
integral of products, exactly (M-laplace). All rows and lags share one pass per point of log t.
Queries are averaged over deterministic nodes; the spread of groups of nodes is the stated error.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from ..ensembles import real
from ..errors import RopesimError, array, number, whole
from .attention import lag_logits
from .kernels import add_expected
from .laplace import PER_UNIT, table

STEP = 0.75        # of the grid of log t: the trapezoid errs by about e^{-pi^2 / STEP}, 2e-6, of squares 8 times that
LARGE = 0.2        # step per spread of the logits, where that is more: without a sink everything is smoother then
DEEP = 12.0        # how far below the largest sum the grid of log t begins, in nats
GROUPS = 8         # of query nodes, whose means' spread is the error
WANTED = 0.003     # error of a score at which no more nodes are added
NEAR = 0.01        # the same for entropy and participation, relative
LEAST, MOST = 32, 288        # query nodes, in thirds: 32, 96, 288
WORK = 1 << 19     # most nodes times tokens


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

    The error is the standard error of the means of 4 groups of nodes (more than the error of all of
    them together, which fill the space of queries more evenly than a group), plus what the scores
    of all rows miss of their sum, which is 1, plus 3e-4 of the value for the table (M-error).

    >>> one, none = np.array([1.0, 0.0]), np.zeros((2, 2))
    >>> flat = expected(0 * one, one, none, none, np.zeros((0, 2, 2)), np.ones(1), 4)
    >>> flat.slash.round(3)
    array([0.521, 0.361, 0.292, 0.25 ])
    """
    theta = array("theta", theta, [None])
    size = 2 * theta.size
    cross = array("cross", cross, [None, size, size])
    head = Head(array("q", q, [size]), array("k", k, [size]), _covariance("cov_q", cov_q, size),
                _covariance("cov_k", cov_k, size), cross[:length], theta, number("scale", scale, above=0))
    length = whole("length", length, least=1)
    skip, window = whole("skip", skip, least=0), whole("window", window, least=0, most=1 << 62)
    certain = np.zeros(0) if sink is None else array("sink", sink, [length])
    root = _root(head, length, certain.size > 0)
    groups, done = np.zeros((GROUPS, 4, length)), 0
    while True:
        count = max(2 * done, LEAST) if root.any() else 1
        queries = head.q + _normal(done, count, size) @ root.T
        for n, sums in enumerate(_sums(head, queries, length, certain, skip, window)):
            groups[(done + n) % GROUPS] += sums
        done += count
        if not root.any():                             # one query is all there is
            return _summary(np.repeat(groups[:1], GROUPS, axis=0), certain.size > 0, skip, done)
        result = _summary(groups * (GROUPS / done), certain.size > 0, skip, done)
        if 3 * done > min(MOST, WORK // length) or _good(result):
            return result


def _good(result: Expected) -> bool:
    visible = np.nan_to_num(result.slash) > 0.05
    rows = ((result.entropy_error, result.entropy), (result.participation_error, result.participation))
    return (max(result.slash_error[visible].max(initial=0.0), result.sink_error) <= WANTED
            and all(error <= NEAR * value + WANTED for error, value in rows))


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


def _root(head: Head, length: int, sink: bool) -> np.ndarray:
    """A square root of cov_q whose first columns move the logits of the lags that matter most.

    Deterministic nodes fill their first directions best. A shift common to all lags is nothing,
    unless there is a sink to shift against.
    """
    values, vectors = np.linalg.eigh(head.cov_q)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    if not root.any():
        return root
    mean, spread = _logits(head, head.q[None], min(length, 4096))
    logits = mean[0] / (1 + spread[0])                     # noise of the keys lets lags compete from further below
    share = np.exp(logits - logits.max())
    lags = np.argsort(-share)[:512]
    curve = real(_pairs(head.k) * np.exp(-1j * np.outer(lags, head.theta))) @ root   # d logit / d node, by lag
    first = 1e3 * curve[:1] * sink                     # far above the others: a direction of its own
    curve = np.sqrt(share[lags])[:, None] * (curve - curve[0])
    return root @ np.linalg.svd(np.concatenate([first, curve]))[2].T


def _normal(done: int, count: int, size: int) -> np.ndarray:
    """The next `count` nodes after `done`, in `size` dimensions of the normal distribution, float64[count, size].

    Midpoints of an even grid in the first direction (three times as fine where nodes come in
    addition: the earlier ones then stay midpoints), a Kronecker sequence in the others.
    """
    total = done + count
    even = (np.arange(total) + 0.5) / total
    steps = np.arange(done + 1, total + 1)[:, None]
    unit = (0.5 + steps * np.sqrt(_primes(size))) % 1.0
    unit[:, 0] = even if done == 0 else even[np.arange(total) % 3 != 1]
    return ndtri(unit)


@cache
def _primes(count: int) -> np.ndarray:
    sieve = np.ones(max(30, int(count * (np.log(count + 2) + 3))), dtype=bool)
    sieve[:2] = False
    for n in range(2, int(len(sieve) ** 0.5) + 1):
        sieve[n * n::n] = False
    return np.flatnonzero(sieve)[:count].astype(np.float64)


def _sums(head: Head, queries: np.ndarray, length: int, certain: np.ndarray, skip: int,
          window: int) -> Iterator[np.ndarray]:
    """For each query the sums over lags (slash) and by row (key 0, entropy, participation), float64[4, T].

    All share one table of spreads at steps of 4 %; the grid of log t spans every row's sum (M-rows).
    """
    means, spreads = _logits(head, queries, length)
    low, high = float(spreads.min()), float(spreads.max())
    at = table(np.linspace(low, high, 1 + int(np.ceil((high - low) / (0.04 * high + 0.01)))))
    for mean, spread in zip(means, spreads):
        place = (spread - low) / max(high - low, 1e-300) * (len(at.spreads) - 1)
        slab = np.minimum(place.astype(np.int64), max(len(at.spreads) - 2, 0))
        top = min(float(np.logaddexp.reduce(mean + spread ** 2 / 2)), float(np.max(mean + 6 * spread)) + 2)
        begin = -max(top, *certain[:window or None]) - DEEP if certain.size else -top - DEEP
        step = STEP if certain.size else max(STEP, LARGE * float(spread.min()))
        logs = np.arange(begin, max(6 * float(spread[0]) - float(mean[0]) + 4, begin + 1), step)
        out = np.zeros((4, length))
        add_expected(mean, slab, place - slab, at.values, at.low, PER_UNIT, logs, step, certain, window, skip, *out)
        yield out


def _logits(head: Head, queries: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the logit at each lag, for each query, float64[N, T] each.

        mu_m = a u_m . E[k | q],  s_m^2 = a^2 u_m' Cov[k | q] u_m,  u_m = R_m q                 (M-logits)
    """
    z = head.scale * _pairs(queries)
    product = z * _pairs(head.k).conj()
    mean = lag_logits(np.abs(product), np.angle(product), head.theta, length)
    first = head.cov_k[0, 0]
    if np.array_equal(head.cov_k, first * np.eye(len(head.k))):
        variance = np.repeat(first * np.sum(np.abs(z) ** 2, axis=1)[:, None], length, axis=1)
    else:
        variance = np.empty((len(z), length))
        for start in range(0, length, 4096):
            turn = np.exp(1j * np.outer(np.arange(start, min(start + 4096, length)), head.theta))
            for n, one in enumerate(z):
                u = real(one * turn)
                variance[n, start:start + 4096] = np.einsum("mi,mi->m", u @ head.cov_k, u)
    if len(head.cross):
        gain = head.cross @ np.linalg.pinv(head.cov_q, rcond=1e-10, hermitian=True)
        u = real(z[:, None] * np.exp(1j * np.outer(np.arange(len(gain)), head.theta)))
        u_gain = np.einsum("nmi,mij->nmj", u, gain)
        mean[:, :len(gain)] += np.einsum("nmj,nj->nm", u_gain, queries - head.q)
        variance[:, :len(gain)] -= np.einsum("nmj,nmj->nm", u_gain, np.einsum("nmi,mij->nmj", u, head.cross))
    return mean, np.sqrt(np.maximum(variance, 0.0))


def _summary(groups: np.ndarray, certain: bool, skip: int, nodes: int) -> Expected:
    length = groups.shape[2]
    groups = (groups[:GROUPS // 2] + groups[:GROUPS // 2 - 1:-1]) / 2     # first and last: even about the middle
    slash, first, entropy, square = groups.transpose(1, 0, 2)
    first[:, 0], entropy[:, 0], square[:, 0] = 1.0, 0.0, 1.0           # row 0 has one key
    if certain:
        whole_sum = slash.sum(axis=1) + first.sum(axis=1)
        if skip == 0:
            slash = slash + first
    else:
        whole_sum = slash.sum(axis=1)
    missing = float(np.abs(whole_sum / length - 1).max()) if skip == 0 else 1e-6
    left = np.arange(length, 0, -1) - skip
    slash = np.divide(slash, left, out=np.full(slash.shape, np.nan), where=left > 0)
    half = length // 2
    rows = (slash, first.mean(axis=1), entropy[:, half:].mean(axis=1), square[:, half:].mean(axis=1))
    value = [x.mean(axis=0) for x in rows]
    error = [x.std(axis=0, ddof=1) / len(x) ** 0.5 + (missing + 3e-4) * np.abs(v) for x, v in zip(rows, value)]
    error[2] = error[2] + 3e-4                         # p log p of a score near 1 is a difference
    return Expected(value[0], float(value[1]), float(value[2]), float(value[3]),
                    error[0], float(error[1]), float(error[2]), float(error[3]), nodes)
