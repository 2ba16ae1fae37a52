"""Expected attention of random heads, by one integral over the Laplace variable of a row's sum.

Given its query, let the keys of a row be independent and their logits Gaussian. With Y the
exponentials of the logits and S their sum, 1 / S = int e^{-tS} dt turns every expected score into an
integral of products, exactly (M-laplace). Queries, and what keys share, are averaged over
deterministic nodes; the spread of groups of nodes is the stated error.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..ensembles import Moments, Part, real
from ..errors import array, number, whole
from . import binned, drift, totals
from .cosines import curves
from .laplace import table
from .logits import covariance, frequencies, pairs
from .nodes import normal

GROUPS = 8         # of nodes, whose means' spread is the error
WANTED = 0.003     # error of a score at which no more nodes are added
NEAR = 0.01        # the same for entropy and participation, relative
LEAST, MOST = 32, 288        # nodes of a head, in thirds: 32, 96, 288
WORK = 1 << 21     # most nodes times tokens
PATH = 16          # a path of keys costs about so many queries
TABLE = 4e-4       # error of a value by interpolation and the grid of log t, relative
BETWEEN = 4e-3     # the same of received, whose keys lie in rows that are not looked at


class Expected(NamedTuple):
    """Expected Profile of a random head and the error of each part.

    slash, slash_error: float64[T] by lag; sink is received[0]; entropy (nats) and participation are
    means over the rows >= T // 2; received, received_error: float64[T] by key, None unless asked for.
    `nodes` queries, or paths of keys, were averaged.
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
    received: np.ndarray | None = None
    received_error: np.ndarray | None = None


def expected(parts: Iterable[Part], theta: np.ndarray, length: int, *, scale: float = 1.0,
             sink: np.ndarray | None = None, skip: int = 0, window: int = 0, received: bool = False) -> Expected:
    """Expected slash, sink, entropy and participation of a head, given as the kinds of its rows (`Part`).

    theta: float64[B], rad/token; sink: float64[T], row i's certain logit for key 0, in place of a
    random one; scale, skip and window as for `simulate.attention.profile`. Raises RopesimError for
    other shapes and for covariances that are not positive semi-definite. O(T) per node; no random numbers.

        E[S_d] = int psi_d(t) prod_{m != d} phi_m(t) dt,  phi_m(t) = E e^{-t Y_m},  psi_m = -phi_m'   (M-laplace)

    The error is the standard error of the means of groups of nodes, plus what the scores of all
    rows miss of their sum, which is 1, plus 4e-4 of the value for the grid (4e-3 of received)   (M-error).

    >>> one, none = np.array([1.0, 0.0]), np.zeros((2, 2))
    >>> head = Part(np.ones(4), Moments(0 * one, one, none, none, np.zeros((0, 2, 2))))
    >>> expected([head], np.ones(1), 4).slash.round(3)
    array([0.521, 0.361, 0.292, 0.25 ])
    """
    theta, scale = frequencies(theta), number("scale", scale, above=0)
    length, skip = whole("length", length, least=1), whole("skip", skip, least=0)
    window = whole("window", window, least=0, most=1 << 62)
    certain = np.zeros(0) if sink is None else array("sink", sink, [length])
    view = totals.View(length, certain, skip, min(window or length, length), received)
    size = (5 if received else 4, length)
    parts = [_checked(part, theta.size, length) for part in parts]
    still = [part for part in parts if part.slow is None and not part.moments.cov_q.any()]      # one query is all
    moving = [part for part in parts if not any(part is one for one in still)]
    fixed = sum((total for part in still for total in _totals(part, 0, 1, theta, scale, view)), np.zeros(size))
    start = [GROUPS * max(1, round(LEAST / GROUPS * float(part.share.mean()))) for part in moving]
    most = min(MOST, WORK // (length * (PATH if any(part.slow for part in parts) else 1)))
    groups, thirds = np.zeros((GROUPS, *size)), 1
    while True:
        for part, first in zip(moving, start):
            before = first * (thirds // 3)
            for n, total in enumerate(_totals(part, before, first * thirds - before, theta, scale, view), before):
                groups[n % GROUPS] += total / first
        nodes = len(still) + thirds * sum(start)
        result = _summary(fixed + groups * (GROUPS / thirds), view, nodes)
        if not moving or 3 * nodes > most or _good(result):
            return result
        thirds *= 3


def _checked(part: Part, pairs: int, length: int) -> Part:
    size, m = 2 * pairs, part.moments
    checked = Moments(array("q", m.q, [size]), array("k", m.k, [size]), covariance("cov_q", m.cov_q, size),
                      covariance("cov_k", m.cov_k, size), array("cross", m.cross, [None, size, size]))
    nearest = whole("nearest", part.nearest, least=0)
    return part._replace(share=array("share", part.share, [length]), nearest=nearest,
                         moments=checked._replace(cross=checked.cross[:max(length - nearest, 0)]))


def _totals(part: Part, done: int, count: int, theta: np.ndarray, scale: float,
            view: totals.View) -> Iterator[np.ndarray]:
    """Totals (see `totals`) of the next nodes of a part."""
    if part.slow is not None:
        for node in range(done, done + count):
            yield drift.of_path(part, part.slow, node, theta, scale, view)
        return
    root = _root(part, theta, scale, view)
    queries = part.moments.q + normal(done, count, 2 * theta.size) @ root.T
    means, spreads = _logits(part, queries, theta, scale, view.length)
    at = table(binned.spreads(float(spreads.min()), float(spreads.max())))
    for mean, spread in zip(means, spreads):
        yield totals.of_query(mean, spread, part.share, at, view)


def _root(part: Part, theta: np.ndarray, scale: float, view: totals.View) -> np.ndarray:
    """A square root of cov_q whose first columns move the logits of the lags that matter most.

    Deterministic nodes fill their first directions best. A shift common to all lags is nothing,
    unless there is a sink to shift against.
    """
    values, vectors = np.linalg.eigh(part.moments.cov_q)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    if not root.any():
        return root
    mean, spread = _logits(part, part.moments.q[None], theta, scale, min(view.length, 4096))
    logits = mean[0] / (1 + spread[0])                     # noise of the keys lets lags compete from further below
    share = np.exp(logits - logits.max())
    lags = np.argsort(-share)[:512]
    curve = real(pairs(part.moments.k) * np.exp(-1j * np.outer(lags, theta))) @ root   # d logit / d node, by lag
    first = 1e3 * curve[:1] * (view.certain.size > 0)      # far above the others: a direction of its own
    curve = np.concatenate([first, np.sqrt(share[lags])[:, None] * (curve - curve[0])])
    return np.asarray(root @ np.linalg.eigh(curve.T @ curve)[1][:, ::-1])


def _logits(part: Part, queries: np.ndarray, theta: np.ndarray, scale: float,
            length: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the logit at each lag, for each query, float64[N, T] each.

        mu_m = a u_m . E[k | q],  s_m^2 = a^2 u_m' Cov[k | q] u_m,  u_m = R_m q                 (M-logits)
    """
    m, z = part.moments, scale * pairs(queries)
    product = z * pairs(m.k).conj()
    mean = curves(product, theta, length)
    first = m.cov_k[0, 0]
    if np.array_equal(m.cov_k, first * np.eye(len(m.k))):
        variance = np.repeat(first * np.sum(np.abs(z) ** 2, axis=1)[:, None], length, axis=1)
    else:
        variance = np.empty((len(z), length))
        for start in range(0, length, 4096):
            turn = np.exp(1j * np.outer(np.arange(start, min(start + 4096, length)), theta))
            for n, one in enumerate(z):
                u = real(one * turn)
                variance[n, start:start + 4096] = np.einsum("mi,mi->m", u @ m.cov_k, u)
    cross = m.cross[:max(length - part.nearest, 0)]
    if len(cross):
        near = slice(part.nearest, part.nearest + len(cross))
        gain = cross @ np.linalg.pinv(m.cov_q, rcond=1e-10, hermitian=True)
        u = real(z[:, None] * np.exp(1j * np.outer(np.arange(near.start, near.stop), theta)))
        u_gain = np.einsum("nmi,mij->nmj", u, gain)
        mean[:, near] += np.einsum("nmj,nj->nm", u_gain, queries - m.q)
        variance[:, near] -= np.einsum("nmj,nmj->nm", u_gain, np.einsum("nmi,mij->nmj", u, cross))
    return mean, np.sqrt(np.maximum(variance, 0.0))


def _good(result: Expected) -> bool:
    visible = np.nan_to_num(result.slash) > 0.05
    rows = ((result.entropy_error, result.entropy), (result.participation_error, result.participation))
    return (max(result.slash_error[visible].max(initial=0.0), result.sink_error) <= WANTED
            and all(error <= NEAR * value + WANTED for error, value in rows))


def _summary(groups: np.ndarray, view: totals.View, nodes: int) -> Expected:
    length, half = view.length, view.length // 2
    groups = (groups[:GROUPS // 2] + groups[:GROUPS // 2 - 1:-1]) / 2     # first and last: even about the middle
    slash, first, entropy, square = groups[:, :4].transpose(1, 0, 2)
    first[:, 0], entropy[:, 0], square[:, 0] = 1.0, 0.0, 1.0           # row 0 has one key
    if view.certain.size and view.skip == 0:
        slash = slash + first
    missing = float(np.abs(slash.sum(axis=1) / length - 1).max()) if view.skip == 0 else 1e-6
    left = np.arange(length, 0, -1)
    counted = np.maximum(left - view.skip, 0)
    seen = {"slash": np.divide(slash, counted, out=np.full(slash.shape, np.nan), where=counted > 0),
            "sink": first.mean(axis=1), "entropy": entropy[:, half:].mean(axis=1),
            "participation": square[:, half:].mean(axis=1)}
    if view.received:
        seen["received"] = groups[:, 4] / left
    result: dict[str, Any] = {name: x.mean(axis=0) for name, x in seen.items()}
    for name, x in seen.items():
        around = np.abs(result[name]) + (name == "entropy")            # p log p of a score near 1 is a difference
        spread = x.std(axis=0, ddof=1) / len(x) ** 0.5
        grid = BETWEEN if name == "received" else TABLE
        result[f"{name}_error"] = spread + grid * around + missing * np.abs(result[name])
    return Expected(**result, nodes=nodes)
