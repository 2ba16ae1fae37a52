"""Attention applied layer after layer in closed form: how fast tokens mix, and what a sink and the residual change.

C is the uniform causal matrix, C[i, j] = 1/(i+1) for j <= i; one layer is (1 - mixing) I + mixing C unless it says
otherwise. Scores are frozen: they do not depend on what is mixed.
"""

import math
from fractions import Fraction

import numpy as np

from ..errors import RopesimError, array, number, whole

LARGEST = 700.0      # nats that exp takes in float64
DEEPEST = 1 << 16    # layers that `collapse_depth` tries


def power_exact(length: int, depth: int, *, mixing: Fraction | float = 1) -> list[list[Fraction]]:
    """Depth-th power of (1 - mixing) I + mixing C in exact rationals, T rows of T entries.

    length: T >= 1; depth: layers L >= 0; mixing from 0 to 1, a float as the rational that it is. Raises RopesimError
    otherwise. O(T^2) differences of the eigenvalues; in float64 these would lose all digits from T = 50 on.

        P[i, j] = C(i, j) sum_{r=0}^{i-j} (-1)^r C(i-j, r) e_{j+r}^L,
        e_k = 1 - mixing + mixing/(k+1)                                              (C-mixing-powers)

    Source: sinks.md R6.

    >>> power_exact(2, 3)[1]
    [Fraction(7, 8), Fraction(1, 8)]
    """
    length, depth = whole("length", length, least=1), whole("depth", depth, least=0)
    checked = number("mixing", mixing, least=0, most=1)
    share = mixing if isinstance(mixing, Fraction) else Fraction(checked)
    column = [(1 - share + share / (k + 1)) ** depth for k in range(length)]
    rows = [[Fraction(0)] * length for _ in range(length)]
    for order in range(length):                                # the differences of this order fill this diagonal
        for j, difference in enumerate(column):
            rows[j + order][j] = math.comb(j + order, j) * difference
        column = [a - b for a, b in zip(column, column[1:])]
    return rows


def power(length: int, depth: int, *, mixing: float = 1.0) -> np.ndarray:
    """The same power in float64[T, T], good to T L roundings: every term is positive.

    Arguments and errors as for `power_exact`. O(L T^2).

        P[i, j] = h_{L-1}(1/(j+1), ..., 1/(i+1)) / (i+1)  for mixing = 1                 (C-mixing-powers)

    with h the complete homogeneous polynomial, summed over the paths from i down to j.
    Source: sinks.md R6; the positive form is ours.

    >>> power(2, 3)
    array([[1.   , 0.   ],
           [0.875, 0.125]])
    """
    length, depth, mixing = _layers(length, depth, mixing)
    seen = np.arange(1.0, length + 1)[:, None]
    out = np.eye(length)
    for _ in range(depth):
        out = (1 - mixing) * out + mixing * (np.cumsum(out, axis=0) / seen)
    return out


def first_mass(length: int, depth: int, *, mixing: float = 1.0, sink: float = 0.0) -> np.ndarray:
    """Share of each token that has come from token 0 after so many layers, float64[T], from 0 to 1.

    sink: from 0 to 1, score that every row gives to key 0 ahead of C, with key 0's own value; other arguments and
    errors as for `power_exact`. O(L T).

        m_i = 1 - (1 - mixing sink)^L (1 - (P'^L)[i, 0])                            (C-mixing-sink)

    with P' the layer without the sink's part: its mixing is mixing (1 - sink) / (1 - mixing sink).
    Source: sinks.md R6, R7.

    >>> first_mass(256, 8).round(4)[-1]
    np.float64(0.7181)
    """
    length, depth, mixing = _layers(length, depth, mixing)
    sink = number("sink", sink, least=0, most=1)
    away = np.append(0.0, np.ones(length - 1))                 # 1 - m: positive terms again
    seen = np.arange(1.0, length + 1)
    for _ in range(depth):
        away = (1 - mixing) * away + mixing * (1 - sink) * (np.cumsum(away) / seen)
    return 1 - away


def mean_key(length: int, depth: int, *, mixing: float = 1.0) -> np.ndarray:
    """Mean index of the tokens that each token is made of after so many layers, float64[T].

    Arguments and errors as for `power_exact`. Exact. It bounds what has not yet come from token 0.

        sum_j j P[i, j] = i (1 - mixing/2)^L >= 1 - P[i, 0]                          (C-mixing-mean-key)

    Source: sinks.md R6.

    >>> mean_key(5, 2)
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    length, depth, mixing = _layers(length, depth, mixing)
    return np.arange(length) * (1 - mixing / 2) ** depth


def mean_depth(length: int, *, mixing: float = 1.0) -> np.ndarray:
    """Mean number of layers until the walk behind each token has come to token 0, float64[T]; infinite for mixing 0.

    length: T >= 1; mixing from 0 to 1. Raises RopesimError otherwise. Exact.

        sum_{L >= 0} (1 - (P^L)[i, 0]) = (1 + 1/2 + ... + 1/i + 1) / mixing,  0 for i = 0       (C-mixing-depth)

    Source: ours; it grows as ln T, as sinks.md R6 has it.

    >>> mean_depth(3)
    array([0. , 2. , 2.5])
    """
    length, _, mixing = _layers(length, 0, mixing)
    harmonic = np.cumsum(1 / np.arange(1.0, length))
    return np.append(0.0, (1 + harmonic) / mixing if mixing > 0 else np.full(length - 1, np.inf))


def collapse_depth(length: int, *, mass: float = 0.5, mixing: float = 1.0, sink: float = 0.0) -> int:
    """Fewest layers after which the last token is made of token 0 to this share.

    mass: from 0 to 1, 1 excluded; mixing above 0; other arguments and errors as for `first_mass`. Raises RopesimError
    too where 2**16 layers do not do. O(L T).

        min {L : m_{T-1} >= mass} <= ceil(log((T - 1) / (1-mass)) / -log(1 - mixing/2))   (C-mixing-depth)

    Source: sinks.md R6.

    >>> [collapse_depth(length) for length in (8, 32, 128, 512, 2048)]
    [3, 5, 6, 8, 9]
    """
    length, _, mixing = _layers(length, 0, mixing)
    mass, sink = number("mass", mass, least=0, most=1), number("sink", sink, least=0, most=1)
    if mass == 1 or mixing == 0:
        name, value = ("mass", mass) if mass == 1 else ("mixing", mixing)
        raise RopesimError(name, value, "use a mass below 1 and a mixing above 0, or no depth is enough")
    away = np.append(0.0, np.ones(length - 1))
    seen = np.arange(1.0, length + 1)
    enough = (1 - mixing) ** DEEPEST <= 1 - mass or length == 1       # else too many tokens have not moved at all
    for depth in range(DEEPEST if enough else 0):
        if 1 - away[-1] >= mass:
            return depth
        away = (1 - mixing) * away + mixing * (1 - sink) * (np.cumsum(away) / seen)
    raise RopesimError("mixing", mixing, f"use a larger one: {DEEPEST} layers are not enough")


def effective_mixing(gain: float, *, sink: float = 0.0) -> float:
    """Mixing of a residual layer x + gain (scores x) whose scores lose the share `sink` to a key of zero value.

    gain >= 0; sink from 0 to 1. Raises RopesimError otherwise. A pure number from 0 to 1. Exact: the layer is
    (1 + gain (1-sink)) times one of this mixing. (1-mixing) x + mixing (scores x) has gain mixing / (1-mixing).

        l = g (1-a) / (1 + g (1-a))                                                  (C-mixing-residual)

    Source: sinks.md R8.

    >>> effective_mixing(1.0), round(effective_mixing(1.0, sink=0.8), 6)
    (0.5, 0.166667)
    """
    content = number("gain", gain, least=0) * (1 - number("sink", sink, least=0, most=1))
    return content / (1 + content)


def contraction(mixing: float, *, sink: float = 0.0) -> float:
    """Factor of the disagreement, relative to the mean token, in one layer of uniform mixing *without* a causal mask.

    mixing, sink: from 0 to 1, not both 1; the layer is (1-mixing) x + mixing (1-sink) mean(x). Raises RopesimError
    otherwise. From 0 to 1, exact.

        (1-l) / (1-l a)                                                              (C-mixing-contraction)

    Source: sinks.md R8.

    >>> round(contraction(0.3), 6), contraction(0.3, sink=1.0)
    (0.7, 1.0)
    """
    mixing, sink = number("mixing", mixing, least=0, most=1), number("sink", sink, least=0, most=1)
    if mixing * sink == 1:
        raise RopesimError("sink", sink, "use a sink below 1 where mixing is 1: nothing is left to compare")
    return (1 - mixing) / (1 - mixing * sink)


def least_sink(mixing: float, depth: int, *, kept: float) -> float:
    """Least score on a sink of zero value that keeps this share of the disagreement through so many layers.

    mixing, kept: above 0, up to 1; depth: L >= 1. Raises RopesimError otherwise. From 0 to 1, exact for the layers of
    `contraction`; 0 where no sink is needed.

        a = max(0, (1 - (1-l) kept^(-1/L)) / l)                                      (C-mixing-least-sink)

    Source: sinks.md R8, where the clip is not printed.

    >>> [round(least_sink(0.3, depth, kept=0.1), 3) for depth in (4, 8, 16, 32, 64, 126)]
    [0.0, 0.222, 0.639, 0.826, 0.915, 0.957]
    """
    mixing, kept = number("mixing", mixing, above=0, most=1), number("kept", kept, above=0, most=1)
    rate = -math.log(kept) / whole("depth", depth, least=1)
    return max(0.0, 1 - (1 - mixing) * math.expm1(min(rate, LARGEST)) / mixing)


def path_sum(scores: np.ndarray) -> np.ndarray:
    """Sum over all paths of what passes from token i up to token j through heads and residual, float64[T, T].

    scores: float64[L, H, T, T], layer 0 first, H >= 1. Raises RopesimError for other shapes. Entry [j, i].

        sum over paths of prod_l abar^l = [prod_l (sum_h |S^{l,h}| + I/H)]_{ji}, layer 0 rightmost   (C-mixing-path-sum)

    Times `path_constant` to the power L it bounds the norm of d x_j / d x_i, *with the scores held fixed*.
    Source: Barbero et al. 2025 (2504.02732), Theorem 3.2.

    >>> path_sum(np.ones((3, 1, 1, 1)))
    array([[8.]])
    """
    scores = array("scores", scores, [None, None, None, None])
    _, heads, length, keys = scores.shape
    if heads == 0 or length != keys:
        raise RopesimError("shape of scores", scores.shape, "use the shape (L, H, T, T) with at least one head")
    out = np.eye(length)
    for layer in np.abs(scores).sum(axis=1) + np.eye(length) / heads:
        out = layer @ out
    return out


def path_constant(heads: int, *, values: float, feedforward: float = 0.0) -> float:
    """Constant of each layer in the path-sum bound.

    heads: H >= 1; values: largest spectral norm >= 0 of a head's value map; feedforward: Lipschitz constant >= 0 of the
    branch f in x + f(x). Raises RopesimError otherwise.

        c = (1 + feedforward) max(values, H)                                         (C-mixing-path-sum)

    Source: sinks.md 2.2; the paper names the constant, the value is a reconstruction.

    >>> path_constant(4, values=1.5, feedforward=0.5)
    6.0
    """
    heads = whole("heads", heads, least=1)
    return (1 + number("feedforward", feedforward, least=0)) * max(number("values", values, least=0), float(heads))


def sensitivity(length: int, depth: int, *, heads: int = 1, sink: float = 0.0) -> np.ndarray:
    """Path sums of uniform heads into each token from all the tokens before it, float64[T].

    length: T >= 1; depth: L >= 0; heads: H >= 1; sink: from 0 to 1, score that each head spends outside. Raises
    RopesimError otherwise. Exact. It grows with the layers, the heads and the row; a single pair's share falls as 1/i.

        t_i = (a+b)^L - (b + a/(i+1))^L,  a = H (1-sink), b = 1/H                     (C-mixing-sensitivity)

    Source: sinks.md R9.

    >>> sensitivity(64, 6, heads=4)[-1].round(2), sensitivity(64, 6, heads=4, sink=0.8)[-1].round(3)
    (np.float64(5892.96), np.float64(1.34))
    """
    length, depth, _ = _layers(length, depth, 1.0)
    heads = whole("heads", heads, least=1)
    a, b = heads * (1 - number("sink", sink, least=0, most=1)), 1 / heads
    rows = np.arange(length)
    fall = np.log1p(-a / (a + b) * (rows / (rows + 1.0)))
    return -np.expm1(depth * fall) * (a + b) ** depth


def gram(start: np.ndarray, scores: np.ndarray, depth: int, *, gain: float = 1.0) -> np.ndarray:
    """Expected inner products of the tokens after each layer of random orthogonal value maps, float64[L+1, T, T].

    start: float64[T, T], inner products of the tokens at first, positive diagonal; scores: float64[T, T], the same in
    each layer; depth: L >= 0; gain >= 0. Raises RopesimError otherwise. A layer adds gain (scores x/|x|) W to x. Exact
    for one layer and for the norm of a token that sees itself alone; else up to O(1/d) for width d, as |x| fluctuates.

        K' = K + g^2 S D^(-1/2) K D^(-1/2) S^T,  D = diag K                           (C-mixing-gram)

    Source: sinks.md R11.

    >>> gram(np.eye(2), np.eye(2), 3)[-1]
    array([[4., 0.],
           [0., 4.]])
    """
    start = array("start", start, [None, None])
    scores = array("scores", scores, [len(start), len(start)])
    start = array("start", start, scores.shape)
    if (start.diagonal() <= 0).any():
        raise RopesimError("start", start.diagonal().min(), "use tokens of positive norm")
    depth, gain = whole("depth", depth, least=0), number("gain", gain, least=0)
    out = np.empty((depth + 1, *start.shape))
    out[0] = start
    for layer in range(depth):
        norm = np.sqrt(out[layer].diagonal())
        out[layer + 1] = out[layer] + gain ** 2 * scores @ (out[layer] / np.outer(norm, norm)) @ scores.T
    return out


def exchangeable(rho: float, depth: int, *, length: int, gain: float = 1.0, sink: float = 0.0,
                 value: float = 0.0) -> np.ndarray:
    """Cosine between any two of T exchangeable tokens after each layer, float64[L+1], from rho up to 1.

    rho: from 0 to 1, at first; depth: L >= 0; length: T >= 1; gain >= 0; sink: from 0 to 1, share of a key whose value
    has the norm `value` >= 0, at right angles to all tokens. Raises RopesimError otherwise. Uniform scores without a
    causal mask, random orthogonal value maps, tokens rescaled to norm 1 after each layer.

        1 - rho' = (1-rho) / (1 + g^2 ((1-a)^2 q + a^2 c^2)),  q = rho + (1-rho)/T     (C-mixing-exchangeable)

    Source: sinks.md R12.

    >>> exchangeable(0.1, 24, length=1024, sink=0.8)[-1].round(2)
    np.float64(0.22)
    """
    rho, depth = number("rho", rho, least=0, most=1), whole("depth", depth, least=0)
    length, gain = whole("length", length, least=1), number("gain", gain, least=0)
    sink, value = number("sink", sink, least=0, most=1), number("value", value, least=0)
    apart = np.full(depth + 1, 1 - rho)                         # 1 - rho, which keeps its digits as rho nears 1
    for layer in range(depth):
        q = 1 - apart[layer] * (1 - 1 / length)
        apart[layer + 1] = apart[layer] / (1 + gain ** 2 * ((1 - sink) ** 2 * q + (sink * value) ** 2))
    return 1 - apart


def best_sink(rho: float, *, length: int, value: float) -> float:
    """Share of the sink that mixes exchangeable tokens least in one layer, from 0 to 1.

    rho: from 0 to 1; length: T >= 1; value >= 0, norm of the sink's value. Raises RopesimError otherwise. Exact for
    the layers of `exchangeable`.

        a = q / (q + c^2),  q = rho + (1-rho)/T                                      (C-mixing-best-sink)

    Source: sinks.md R12.

    >>> best_sink(0.5, length=8, value=0.0), best_sink(1.0, length=8, value=1.0)
    (1.0, 0.5)
    """
    rho = number("rho", rho, least=0, most=1)
    q = rho + (1 - rho) / whole("length", length, least=1)
    return 1 / (1 + number("value", value, least=0) ** 2 / q)


def absorbing(scores: np.ndarray) -> int:
    """Number of tokens that attend to themselves alone: how many different tokens are left at infinite depth.

    scores: float64[T, T], causal, scores >= 0 with rows that sum to 1 up to 1e-9. Raises RopesimError otherwise.

        multiplicity of the eigenvalue 1 = #{i : S[i, i] = 1}                         (C-mixing-absorbing)

    Source: sinks.md 2.2 (Lemma B.6 there), R14.

    >>> absorbing([[1.0, 0.0], [0.5, 0.5]])
    1
    """
    scores = array("scores", scores, [None, None])
    scores = array("scores", scores, [len(scores), len(scores)])
    if (scores < 0).any() or np.triu(scores, 1).any() or (np.abs(scores.sum(axis=1) - 1) > 1e-9).any():
        raise RopesimError("scores", scores.min(initial=0.0), "use causal scores from 0 on, rows that sum to 1")
    return int(np.count_nonzero(~np.tril(scores, -1).any(axis=1)))


def absorbed(length: int, key: int) -> np.ndarray:
    """Share of key `key` in each token at infinite depth, where that token sees itself alone and all others uniformly.

    length: T; key: from 1 to T - 1 (key 0 gets the rest, and 0 takes all by itself). Raises RopesimError otherwise.
    float64[T], exact.

        lim_L (P^L)[i, k] = 1/(k+1) for i > k, 1 for i = k, 0 before                 (C-mixing-mask-limit)

    Source: sinks.md R13.

    >>> absorbed(5, 1)
    array([0. , 1. , 0.5, 0.5, 0.5])
    """
    length = whole("length", length, least=2)
    key = whole("key", key, least=1, most=length - 1)
    return np.repeat([0.0, 1.0, 1 / (key + 1)], [key, 1, length - 1 - key])


def packed_participation(length: int, document: int, *, shared: bool = False) -> np.ndarray:
    """Participation of each row of uniform heads over packed documents that do not see each other, float64[T].

    length: T >= 1 content tokens; document: tokens of each, >= 1 (T for plain causal rows); shared: whether a first
    token that is not counted is seen by all. Raises RopesimError otherwise. Exact.

        sum_j S[i, j]^2 = 1/(r+1), with a shared token 1/(r+2),  r = i mod document     (C-mixing-packing)

    Source: sinks.md R14.

    >>> packed_participation(4, 2)
    array([1. , 0.5, 1. , 0.5])
    """
    length, document = whole("length", length, least=1), whole("document", document, least=1)
    return 1 / (np.arange(length) % document + (2.0 if shared else 1.0))


def _layers(length: int, depth: int, mixing: float) -> tuple[int, int, float]:
    return (whole("length", length, least=1), whole("depth", depth, least=0),
            number("mixing", mixing, least=0, most=1))
