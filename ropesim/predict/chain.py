"""The chain from the variance of an aggregated value to a sink in the next layer, by quadrature.

A position's state enters through its squares in the subspace, in the channel and in the rest, whose laws are known: a
stage of one position is an integral over them. Scores need all positions together: independent ones by (M-laplace),
their correlation to first order.
"""

from functools import cache, reduce
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, gammaln, ndtr, roots_hermitenorm

from ..errors import RopesimError
from ..stacks import Chain

LONGEST = 512       # positions: the scores take T^3 steps
RULES = (32, 6, 5, 3), (24, 5, 4, 2)                                # nodes per direction, and fewer to compare
NORMED_RULES = (24, 3, 3, 2, 4, 3, 3, 2, 2), (16, 2, 3, 2, 3, 3, 2, 2, 2)
LIGHT = 1e-10       # weight of a node below which it is left out
QUANTILES, PARTS = (np.arange(64) + 0.5) / 64, 4                   # a maximum is its mean in each quarter
SLOPES = np.linspace(0, 6, 25)
STEADY = 0.05       # variance per term of sum |x| where sum x^2 is known, x ~ N(0, 1): 1 - 3/pi, rounded up
RULED = 0.1         # of a maximum's spread, for its mean in quarters
SECOND = 0.5        # of the first-order effect of correlation that is granted for the higher orders
STEP, COARSEST = 1 / 32, 4096       # nats between logits of a histogram, and their number at most
STRIDE = 4          # steps of the logits per step of log t
REACH = 26.0        # nats of log t below the largest sum
TINY = 1e-250

# For each function in `Law.shared` the correlation (0: in the subspace, 1: elsewhere) and its power in Mehler's series.
KERNELS = ((0, 2), (0, 4), (0, 6), (1, 1), (1, 1), (1, 2))


class Law(NamedTuple):
    """Nodes of one position's state, float64[nodes] each but the last two."""

    weight: np.ndarray
    inside: np.ndarray       # |h|^2 in the subspace
    channel: np.ndarray      # h in the channel
    outside: np.ndarray      # |h|^2 in the rest
    tilt: np.ndarray         # mean coordinate of the rest
    shared: np.ndarray       # float64[kernels, nodes]: orthonormal functions of the noise that positions share
    centre: float            # |mean of the aggregated value|^2 / d


def expected(chain: Chain) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Expectation of every stage by position and its error, float64[T] each; stages as in `simulate.chain.run`.

    length up to 512. Raises RopesimError otherwise. `variance` is exact except for headnorm; that, `energy` and `key`
    are exact up to quadrature; `dominance` takes the coordinates of a position as independent given their squares;
    `received` takes the correlation of positions to first order. O(T^3).

        energy = d/p E[Q/N],  key = E[(g + f) / sqrt(Q + R + (g + f)^2)],  f = amplification d Q/N,  N = Q + g^2 + R
                                                                                     (D-chain-state)

    with Q, g, R the square in the subspace of p coordinates, the channel and the square in the rest. Source: ours, for
    the model of sinks.md R18.

    >>> expected(Chain(length=2, spread=1.0, mean=0.0))["energy"][0].round(3)
    array([1., 1.])
    """
    if chain.length > LONGEST:
        raise RopesimError("length", chain.length, f"use a length of at most {LONGEST}")
    rows = weights(chain)
    normed = chain.intervene == "headnorm"
    p, d, largest = chain.subspace, chain.width, abs(chain.lock) * np.sqrt(chain.width)
    step = max(STEP, 2 * largest / COARSEST)
    stages, histograms = [], []
    for i, s2 in enumerate((rows ** 2).sum(axis=1)):
        mean = chain.mean * (chain.factor if chain.intervene == "scale" and i == chain.at else 1.0)
        laws = [normed_law(chain, s2, rule) for rule in NORMED_RULES] if normed else [
            law(chain, s2, mean, rule) for rule in RULES]
        states = [_state(chain, at) for at in laws]
        means = np.array([[at.centre, at.weight @ energy, at.weight @ key, *_dominance(at, p, d, top)]
                          for at, (energy, key, top) in zip(laws, states)])
        stages.append([*means[0], *np.abs(means[0] - means[1])])
        histograms.append(_histogram(laws[0], largest * np.sign(chain.lock) * states[0][1], largest, step))
    centre, energy, key, dominance, loose, off_centre, off_energy, off_key, off_dominance, _ = np.array(stages).T
    variance = (rows ** 2).sum(axis=1) * (p * chain.spread ** 2 + d - p) / d
    scores, shift = received(np.array(histograms), _correlations(chain, rows), -largest - step, step)
    off = SECOND * np.abs(shift) + (step ** 2 / 4 + largest * off_key) * scores
    return {"variance": (1 - centre, off_centre) if normed else (variance, 0 * variance),
            "energy": (energy, off_energy), "dominance": (dominance, loose + off_dominance), "key": (key, off_key),
            "received": (scores + shift, off)}


def weights(chain: Chain) -> np.ndarray:
    """What each position's aggregated value multiplies the centred values with, float64[T, T]; exact.

        A_ij = 1 / (i + 1) for j <= i;  row k: e_k with mask, lambda / (k + 1) with amplify and scale     (D-chain-rows)

    >>> weights(Chain(length=2, intervene="amplify", at=1, factor=4.0))
    array([[1., 0.],
           [2., 2.]])
    """
    rows = np.tril(np.ones((chain.length, chain.length))) / np.arange(1.0, chain.length + 1)[:, None]
    if chain.intervene == "mask":
        rows[chain.at] = np.arange(chain.length) == chain.at
    elif chain.intervene in ("amplify", "scale"):
        rows[chain.at] *= chain.factor
    return rows


def law(chain: Chain, s2: float, mean: float, rule: tuple[int, ...]) -> Law:
    """State of a position whose weights have this sum of squares, without HeadNorm.

    mean: of a coordinate of the rest; rule: nodes for chi^2 in the subspace, the channel, the mean direction and chi^2
    across it.

        Q = V_s chi^2_p,  g = sqrt(V) z,  R = (mean sqrt(n) + sqrt(V) y)^2 + V chi^2_{n-1},  n = d - p - 1,
        V_s = s2 spread^2 + residual^2,  V = s2 + residual^2                              (D-chain-state)

    >>> at = law(Chain(), 1.0, 0.0, (4, 2, 2, 2))
    >>> round(float(at.weight @ at.inside), 9) == 8 * (3.5 ** 2 + 1.5 ** 2)
    True
    """
    p, n = chain.subspace, chain.width - chain.subspace - 1
    inner, outer = s2 * chain.spread ** 2 + chain.residual ** 2, s2 + chain.residual ** 2
    weight, (q, z, y, x) = _product(_chi(p, rule[0]), _normal(rule[1]), _normal(rule[2]), _chi(n - 1, rule[3]))
    along = mean * np.sqrt(n) + np.sqrt(outer) * y
    return Law(weight, inner * q, np.sqrt(outer) * z, along ** 2 + outer * x, along / np.sqrt(n),
               _shared(q, p, z, y, x, n - 1), n * mean ** 2 / chain.width)


def normed_law(chain: Chain, s2: float, rule: tuple[int, ...]) -> Law:
    """State of such a position where the aggregated value o is divided by its root mean square before the residual.

    rule: nodes as for `law`, then for the residual along o in the subspace, across it, in the channel, in the mean
    direction and across it.

        Q = (c |o_s| + residual y)^2 + residual^2 chi^2_{p-1},  g = c o_g + residual z,  c = sqrt(d) / |o|,
        R = (c o_m + residual z')^2 + B,  E B = r + (n-1) residual^2,  Var B = 4 r residual^2 + 2 (n-1) residual^4
                                                                                     (D-chain-headnorm)

    with o_s, o_g, o_m the parts of o in the subspace, the channel and the mean direction, r the square of the rest of
    c o; B enters by its mean and variance, its law is in no stage's leading order.

    >>> at = normed_law(Chain(residual=0.0), 0.5, (4, 2, 2, 2, 1, 1, 1, 1, 1))
    >>> bool(np.allclose(at.inside + at.channel ** 2 + at.outside, 128))
    True
    """
    p, n, noise = chain.subspace, chain.width - chain.subspace - 1, chain.residual
    weight, (q, z, y, x, e, across, channel, lift, side) = _product(
        _chi(p, rule[0]), *(_normal(count) for count in rule[1:3]), _chi(n - 1, rule[3]),
        _normal(rule[4]), _chi(p - 1, rule[5]), *(_normal(count) for count in rule[6:]))
    along = chain.mean * np.sqrt(n) + np.sqrt(s2) * y
    inside, rest = s2 * chain.spread ** 2 * q, along ** 2 + s2 * x
    c = np.sqrt(chain.width / (inside + s2 * z * z + rest))
    lifted, beside = c * along + noise * lift, c * c * s2 * x
    beside += (n - 1) * noise ** 2 + side * noise * np.sqrt(4 * beside + 2 * (n - 1) * noise ** 2)
    return Law(weight, (c * np.sqrt(inside) + noise * e) ** 2 + noise ** 2 * across,
               c * np.sqrt(s2) * z + noise * channel,
               lifted ** 2 + np.maximum(beside, 0), lifted / np.sqrt(n), _shared(q, p, z, y, x, n - 1),
               float(weight @ (c * along)) ** 2 / chain.width)


def received(histograms: np.ndarray, correlations: list[np.ndarray], low: float,
             step: float) -> tuple[np.ndarray, np.ndarray]:
    """Expected mean score of each key over the rows that see it, for independent keys, and what correlation adds.

    histograms: float64[T, 1 + kernels, bins], E[1; u_k] over the bins of each key's logit, u_k orthonormal functions;
    correlations: float64[T, T] for each kernel, that of u_k at two positions; low: logit of the first bin; step: nats.

        E a_ij = int psi_j prod_{n<=i, n!=j} phi_n dt,  adding  sum_k sum_{a<b<=i} rho^k_ab E[u_k(a) u_k(b) a_ij]
                                                                                     (D-chain-received)

    The second expectation is over independent keys: the same integral with u_k inside phi or psi of the two keys.
    Source: ours.

    >>> received(np.ones((2, 1, 1)), [], 0.0, 0.1)[0].round(6)
    array([0.75, 0.5 ])
    """
    length, _, bins = histograms.shape
    start = -(low + step * bins + np.log(length)) - REACH
    count = int((5 - low - start) / (step * STRIDE)) + 1
    y = np.exp(np.minimum(start + low + step * np.arange(STRIDE * count + bins), 7.0))
    at = STRIDE * np.arange(count) + np.arange(bins)[:, None]
    phi, psi = histograms @ np.exp(-y)[at], histograms @ (y * np.exp(-y))[at]
    own = np.maximum(phi[:, 0], TINY)
    rest = np.exp(np.cumsum(np.log(own), axis=0)) * (step * STRIDE)          # prod phi dt / t of each row
    ratio, rows = psi[:, 0] / own, np.arange(length, 0, -1)
    scores = np.einsum("jx,jx->j", ratio, np.cumsum(rest[::-1], axis=0)[::-1]) / rows
    shift = np.zeros(length)
    for k, rho in enumerate(correlations, 1):
        shift += _shift(rho, phi[:, k] / own, psi[:, k] / own, ratio, rest)
    return scores, shift / rows


def _shift(rho: np.ndarray, u: np.ndarray, v: np.ndarray, ratio: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """What one kernel adds to the sum of each key's scores; u and v: its phi and psi over phi, float64[T, nodes]."""
    out, pairs, seen = np.zeros(len(u)), np.zeros(u.shape[1]), np.zeros_like(u)
    for i in range(len(u)):
        pairs += u[i] * (rho[i, :i] @ u[:i])                  # sum over a < b <= i
        seen[i] = rho[i, :i] @ u[:i]
        seen[:i] += rho[:i, i, None] * u[i]                   # sum over b <= i, b != j
        j = slice(i + 1)
        out[j] += (ratio[j] * (pairs - u[j] * seen[j]) + v[j] * seen[j]) @ rest[i]
    return out


def _correlations(chain: Chain, rows: np.ndarray) -> list[np.ndarray]:
    """Correlation of the functions in `Law.shared` at any two positions, one float64[T, T] for each."""
    shared = rows @ rows.T
    noise = 0.0 if chain.intervene == "headnorm" else chain.residual     # HeadNorm is followed by it
    inner = shared * chain.spread ** 2 + noise ** 2 * np.eye(chain.length)
    outer = shared + noise ** 2 * np.eye(chain.length)
    by_place = [x / np.sqrt(np.outer(np.diag(x), np.diag(x))) for x in (inner, outer)]
    return [by_place[place] ** power for place, power in KERNELS]


def _state(chain: Chain, at: Law) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy, cosine to the channel and size of the channel after the feed-forward, at each node."""
    share = at.inside / (at.inside + at.channel ** 2 + at.outside)
    top = at.channel + chain.amplification * chain.width * share
    return (chain.width / chain.subspace * share, top / np.sqrt(at.inside + at.outside + top ** 2), np.abs(top))


def _dominance(at: Law, p: int, d: int, top: np.ndarray) -> tuple[float, float]:
    """Expected DomRatio and its error: the largest of the channel, the subspace and the rest over their mean size.

        E[d max(w, M) / (w + a)],  w = |g + f|,  a = E[sum |x_c| given Q, R],  M = max |x_c|      (D-chain-dominance)

    M by its means in four quarters for the subspace and for the rest.
    """
    n = d - p - 1
    wider = np.sqrt(np.pi / 2 * (n - 1)) * _mean_size(n - 1) if n > 1 else 1.0      # E |x| from a known square
    spread = wider * np.sqrt(np.maximum(at.outside / n - at.tilt ** 2, 0))
    slope = np.abs(at.tilt) / np.where(spread > 0, spread, 1)
    size = (p * np.sqrt(at.inside) * _mean_size(p) + n * np.where(spread > 0, spread * _folded(slope), np.abs(at.tilt)))
    largest = spread * _largest(slope, n) + np.abs(at.tilt)
    within = np.sqrt(at.inside)
    first = second = np.zeros_like(top)
    for outside in np.maximum(top, largest):
        for share in _largest_share(p):
            most = np.maximum(outside, share * within)
            first, second = first + most, second + most * most
    first, second = first / PARTS ** 2, second / PARTS ** 2
    total = top + size
    wobble = np.sqrt(STEADY * ((p > 1) * at.inside + n * spread ** 2))
    loose = np.sqrt(np.maximum(second - first ** 2, 0))
    off = (first * wobble ** 2 / total + loose * wobble) / total + RULED * loose
    return float(d * at.weight @ (first / total)), float(d * at.weight @ (off / total))


def _largest(slope: np.ndarray, n: int) -> np.ndarray:
    """Max |slope + x_c| - slope over n standard normal x_c, its mean in each quarter, float64[4, nodes]."""
    return np.array([np.interp(slope, SLOPES, column) for column in _maxima(n)])


@cache
def _maxima(n: int) -> np.ndarray:
    """The same at SLOPES, from the exact law; beyond the last of them it no longer changes."""
    x = np.linspace(-8, 12, 1201)
    below = np.log(np.maximum(ndtr(x) - ndtr(-x - 2 * SLOPES[:, None]), TINY))
    return np.array([_quarters(np.interp(np.log(QUANTILES), n * row, x)) for row in below]).T


@cache
def _largest_share(p: int) -> np.ndarray:
    """Largest |x_c| of a random unit vector, its mean in each quarter, for independent coordinates but the right mean.

    A Gaussian vector's largest coordinate is that of its direction times its norm, which are independent.
    """
    if p == 1:
        return np.ones(PARTS)
    parts = _quarters(np.sqrt(betaincinv(0.5, (p - 1) / 2, QUANTILES ** (1 / p))))
    mean = _largest(np.zeros(1), p).mean() * _mean_size(p) * np.sqrt(np.pi / 2)
    return np.asarray(np.minimum(parts * mean / parts.mean(), 1.0))


def _quarters(quantiles: np.ndarray) -> np.ndarray:
    return np.asarray(quantiles.reshape(PARTS, -1).mean(axis=1))


def _mean_size(p: int) -> float:
    """E |x_c| of a random unit vector of p coordinates."""
    return float(np.exp(gammaln(p / 2) - gammaln((p + 1) / 2)) / np.sqrt(np.pi))


def _folded(slope: np.ndarray) -> np.ndarray:
    """E |slope + x| of a standard normal x."""
    return np.sqrt(2 / np.pi) * np.exp(-slope ** 2 / 2) + slope * (1 - 2 * ndtr(-slope))


def _histogram(at: Law, logits: np.ndarray, largest: float, step: float) -> np.ndarray:
    """Weights and weighted functions over the bins of the logits, shared linearly between neighbours."""
    bins = int(2 * largest / step) + 4
    place = (logits + largest) / step + 1
    index = np.minimum(place.astype(int), bins - 2)
    part = place - index
    return np.array([np.bincount(index, w * (1 - part), bins) + np.bincount(index + 1, w * part, bins)
                     for w in (at.weight, *(at.weight * at.shared))])


def _shared(q: np.ndarray, p: int, z: np.ndarray, y: np.ndarray, x: np.ndarray, df: int) -> np.ndarray:
    return np.array([*_laguerre(q, p), z, y, _laguerre(x, df)[0]])


def _laguerre(q: np.ndarray, df: int) -> list[np.ndarray]:
    """Orthonormal polynomials of degrees 1 to 3 of chi^2 with df degrees of freedom; zeros for none."""
    if df == 0:
        return [np.zeros_like(q)] * 3
    x, a = q / 2, df / 2
    one = a - x
    two = ((2 + a - x) * one - a) / 2
    three = ((4 + a - x) * two - (1 + a) * one) / 3
    square = np.cumprod([a, (1 + a) / 2, (2 + a) / 3])
    return [polynomial / np.sqrt(s) for polynomial, s in zip((one, two, three), square)]


def _product(*rules: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    weight = reduce(np.multiply.outer, (weight for _, weight in rules))
    kept = weight > LIGHT
    weight = weight[kept] / weight[kept].sum()
    return weight, [x[kept] for x in np.meshgrid(*(nodes for nodes, _ in rules), indexing="ij")]


def _chi(df: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss nodes and weights of chi^2 with df >= 0 degrees of freedom, by Golub and Welsch."""
    if df == 0:
        return np.zeros(1), np.ones(1)
    n, a = np.arange(count), df / 2 - 1
    beside = np.sqrt(n[1:] * (n[1:] + a))
    nodes, vectors = np.linalg.eigh(np.diag(2 * n + 1 + a) + np.diag(beside, 1) + np.diag(beside, -1))
    return 2 * nodes, vectors[0] ** 2


def _normal(count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weight = roots_hermitenorm(count)
    return nodes, weight / weight.sum()
