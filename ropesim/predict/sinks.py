"""Attention sinks in closed form: variance of aggregation, sink score and margin, dominance of a channel, SwiGLU gain.

Values have mean 0, standard deviation sigma and correlation rho between any two of them, coordinate by coordinate. A
sink is key 0 with a logit that lies `margin` above the mean of the other keys' logits, which are N(0, tau^2).
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma

from ..errors import RopesimError, array, number, whole

MEAN_ABS = float(np.sqrt(2 / np.pi))     # of a standard normal number
WIDEST = 16.0      # largest tau: the integrand of gaussian_participation is then 1400 x 960 numbers
REACH = 10.0       # standard deviations of a logit that are integrated over
STEP = 0.25        # of log t


def variance(weights: np.ndarray, *, sigma: float = 1.0, rho: float = 0.0) -> np.ndarray:
    """Variance of one coordinate of the output of each row, float64[...].

    weights: float64[..., n], what each value is multiplied with: scores, or scores times a scale of the value;
    sigma >= 0; rho from -1/(n-1) to 1. Raises RopesimError otherwise. Exact.

        Var(o) = sigma^2 (rho (sum_j w_j)^2 + (1 - rho) sum_j w_j^2)              (C-sinks-variance)

    Source: sinks.md R1 (weights that sum to 1).

    >>> variance([[1.0, 0.0], [0.5, 0.5]], rho=0.2)
    array([1. , 0.6])
    """
    weights = array("weights", weights, [None] * (np.ndim(weights) or 1))
    rho = _correlation(rho, weights.shape[-1])
    return number("sigma", sigma, least=0) ** 2 * (rho * weights.sum(-1) ** 2 + (1 - rho) * (weights ** 2).sum(-1))


def uniform_covariance(i: int, k: int, *, sigma: float = 1.0, rho: float = 0.0) -> float:
    """Covariance of one coordinate of the outputs of rows i and k, each of them a plain mean of its values.

    i, k >= 0: rows, of i + 1 and k + 1 keys; other arguments as for `variance`. i = k gives the variance. Exact.

        Cov(o_i, o_k) = sigma^2 (rho + (1 - rho) / (max(i, k) + 1))               (C-sinks-variance-uniform)

    Source: sinks.md R1, R2.

    >>> uniform_covariance(0, 3)
    0.25
    """
    keys = max(whole("i", i, least=0), whole("k", k, least=0)) + 1
    rho = _correlation(rho, keys)
    return number("sigma", sigma, least=0) ** 2 * (rho + (1 - rho) / keys)


def sink_row_variance(mass: float, keys: int, *, scale: float = 1.0, sigma: float = 1.0, rho: float = 0.0) -> float:
    """Variance of one coordinate of the output of a row with a sink.

    mass: score of key 0, from 0 to 1, whose value is multiplied with `scale`; the rest is even over the keys - 1
    others; keys >= 2; other arguments as for `variance`. Exact.

        Var(o) = sigma^2 (rho (c a + 1 - a)^2 + (1 - rho) (c^2 a^2 + (1 - a)^2 / (keys - 1)))   (C-sinks-variance-sink)

    Source: sinks.md R3.

    >>> sink_row_variance(0.5, 3, scale=0.0)
    0.125
    """
    mass, scale = number("mass", mass, least=0, most=1), number("scale", scale)
    keys = whole("keys", keys, least=2)
    rho, own, rest = _correlation(rho, keys), scale * mass, 1 - mass
    return number("sigma", sigma, least=0) ** 2 * (rho * (own + rest) ** 2
                                                   + (1 - rho) * (own ** 2 + rest ** 2 / (keys - 1)))


def gaussian_participation(keys: int, tau: float) -> tuple[float, float]:
    """Expected sum of squared scores of a row with independent logits N(0, tau^2), and its error.

    keys: 1 .. 2**30; tau: 0 .. 16 nats. Raises RopesimError otherwise. Exact up to the error: how far the expected sum
    of the scores, by the same rule, is from 1, and rounding.

        E S2 = N int_0^oo t phi_2(t) phi_0(t)^{N-1} dt,  phi_m(t) = E e^{m s - t e^s},  s ~ N(0, tau^2)
                                                                                  (C-sinks-variance-gaussian)

    Both the integral over log t and the expectation are trapezoid sums of analytic functions, whose errors are below
    1e-12. Source: sinks.md R4; the integral is a case of (M-laplace).

    >>> value, error = gaussian_participation(64, 2.0)
    >>> round(value, 4), error < 1e-12
    (0.1607, True)
    """
    keys, tau = whole("keys", keys, least=1, most=1 << 30), number("tau", tau, least=0, most=WIDEST)
    normal = np.linspace(-REACH, REACH, 1 + 2 * int(REACH * max(2.0, 3 * tau)))
    weight = np.exp(-normal ** 2 / 2)
    weight /= weight.sum()
    x = np.arange(-REACH * tau - 32 - np.log(keys), REACH * tau + 5, STEP)
    y = np.exp(x[:, None] + tau * normal)
    decay = np.exp(-y)
    phi, short = decay @ weight, -np.expm1(-y) @ weight           # short = 1 - phi, to its own digits
    log_phi = np.where(phi < 0.5, np.log(np.maximum(phi, 1e-300)), np.log1p(-np.minimum(short, 0.5)))
    others = keys * STEP * np.exp((keys - 1) * log_phi)
    value, total = others @ (y * y * decay @ weight), others @ (y * decay @ weight)
    return float(value), float((abs(1 - total) + 1e-13) * value)


def gaussian_participation_series(keys: int, tau: float) -> tuple[float, float]:
    """The same by its expansion in 1/keys, and the size of the next term as its error.

    keys >= 1; tau >= 0. Raises RopesimError otherwise. An approximation, for e^{2 tau^2} far below keys only: beyond
    that the error exceeds the value.

        E S2 = e^{tau^2} / N (1 + (3 v - 2 (e^{2 tau^2} - 1)) / N + O(N^-2)),  v = e^{tau^2} - 1
                                                                                  (C-sinks-variance-series)

    Source: sinks.md R4; the next term is ours.

    >>> gaussian_participation_series(64, 0.0)
    (0.015625, 0.0)
    """
    keys, tau = whole("keys", keys, least=1), number("tau", tau, least=0, most=8.0)
    e = float(np.exp(tau ** 2))
    v, c = e - 1, e ** 2 - 1
    second = 3 * (e ** 5 - 2 * e ** 2 - e + 2) - 4 * (e ** 3 - 3 * e + 2) + 15 * v ** 2 - 12 * c * v
    return e / keys * (1 + (3 * v - 2 * c) / keys), e / keys * abs(second) / keys ** 2


def sink_mass(margin: float, keys: int, *, tau: float = 0.0) -> tuple[float, float]:
    """Expected score of a sink in a row with this many other keys, and a bound on its error.

    margin: nats; keys >= 0; tau >= 0. Raises RopesimError otherwise. Exact for tau = 0, else the expected score lies
    between the value and the value + error.

        a_n = 1 / (1 + n kappa),  kappa = e^{tau^2/2 - margin};  0 <= E a - a_n <= (1 - a_n)^2 (e^{tau^2} - 1) / n
                                                                                  (C-sinks-score-noise)

    Source: sinks.md R5; the bound is ours.

    >>> round(sink_mass(np.log(3.0), 9)[0], 12)
    0.25
    """
    keys, tau = whole("keys", keys, least=0), _spread(tau)
    mass = float(_masses(_odds(margin, tau), np.array([float(keys)]))[0])
    return mass, float(_gaps(np.array([mass]), np.array([float(keys)]), tau)[0])


def sink_score(margin: float, length: int, *, tau: float = 0.0) -> tuple[float, float]:
    """Mean score that a sink at key 0 receives over the rows 0 .. length - 1, and a bound on its error.

    Arguments and errors as for `sink_mass`; length >= 1. Exact for tau = 0, else the expected score lies between the
    value and the value + error. O(1) for tau = 0, else O(length).

        (1/T) sum_i 1 / (1 + i kappa) = (psi(T + 1/kappa) - psi(1/kappa)) / (T kappa)   (C-sinks-score)

    with psi the digamma function. Source: sinks.md R5.

    >>> round(sink_score(3.0, 64)[0], 4)
    0.4554
    """
    length, tau = whole("length", length, least=1), _spread(tau)
    odds = _odds(margin, tau)
    score = (1 + odds * _digamma_rise(odds + 1, length - 1)) / length       # row 0 has no other key
    if tau == 0:
        return score, 0.0
    keys = np.arange(length, dtype=float)
    return score, float(_gaps(_masses(odds, keys), keys, tau).mean())


def margin_for_mass(mass: float, keys: int, *, tau: float = 0.0) -> float:
    """Margin, in nats, with which a sink has at least this expected score beside so many other keys.

    mass above 0 and below 1; keys >= 1; tau >= 0. Raises RopesimError otherwise. Exact for tau = 0, enough for tau > 0.

        margin = ln(n a / (1 - a)) + tau^2 / 2                                    (C-sinks-margin-row)

    It is what the last of n + 1 rows needs. Source: sinks.md R5.

    >>> round(margin_for_mass(0.3, 63), 2)
    3.3
    """
    mass, keys = _share(mass, 0.0), whole("keys", keys, least=1)
    return float(np.log(keys) + np.log(mass) - np.log1p(-mass) + _spread(tau) ** 2 / 2)


def margin_for_score(score: float, length: int, *, tau: float = 0.0) -> float:
    """Margin, in nats, with which a sink receives at least this expected score on average over all rows.

    score above 1/length and below 1; length >= 2; tau >= 0. Raises RopesimError otherwise. Exact for tau = 0, enough
    for tau > 0. It is less than `margin_for_mass` in the last row, for the rows before have fewer other keys.

        margin = ln T - ln c + tau^2 / 2 + O(1/T),  ln(1 + c) / c = score         (C-sinks-margin-score)

    The value is the root of (C-sinks-score), without the O. Source: ours.

    >>> round(margin_for_score(0.3, 64), 2)
    2.19
    """
    length, tau = whole("length", length, least=2), _spread(tau)
    score = _share(score, 1 / length)
    high = margin_for_mass(score, length - 1)
    rest = (1 - score) * length / (length - 1)                # mean loss of the rows with other keys: row 1 loses less
    low = float(np.log1p(-rest) - np.log(rest)) if rest < 1 else -700.0
    root = brentq(lambda b: sink_score(b, length)[0] - score, low - 1e-9, high + 1e-9, xtol=1e-13)
    return float(root) + tau ** 2 / 2


def baseline(length: int) -> float:
    """Mean score that key 0 receives under uniform attention, H_T / T, in O(1).

    length: T >= 1. Raises RopesimError otherwise. Exact; above 0.3 up to T = 9 (P-uniform).

    >>> round(baseline(64), 4)
    0.0741
    """
    return sink_score(0.0, length)[0]


def centred_share(participation: float, mean: float, size: int) -> tuple[float, float]:
    """Share of the second moment of a HeadNorm output that is variance about its mean, and its error.

    participation: sum of the squared scores of the row, above 0 and up to 1; mean: |E v| / (sigma sqrt(size)) >= 0;
    size: d >= 1 channels; uncorrelated Gaussian values. Raises RopesimError otherwise. An approximation for many
    channels; the error is its next term, of order 1/d. HeadNorm divides the output by its own rms: the second moment is
    1 in every row, this share is not the same.

        D = S2 / (m^2 + S2)                                                       (C-sinks-headnorm-centred)

    Source: sinks.md R15; HeadNorm is Li et al. 2026 (2605.06611), section 5.1.

    >>> centred_share(1.0, 0.5, 128)[0], round(centred_share(1 / 64, 0.5, 128)[0], 3)
    (0.8, 0.059)
    """
    s2 = number("participation", participation, above=0, most=1)
    square, size = number("mean", mean, least=0) ** 2, whole("size", size, least=1)
    total = square + s2
    spread = (4 * square * s2 + 2 * s2 ** 2) / total ** 2     # size * relative variance of the mean square
    return s2 / total, square / total * (0.75 * spread + 2 * s2 / total) / size


def dominance(strength: float, size: int) -> tuple[float, float]:
    """DomRatio of a vector with one channel of this strength among Gaussian ones, and the error of its expectation.

    strength: |x_c| over the standard deviation of the other channels, >= 0 (the channel is the largest only well above
    sqrt(2 ln size)); size: d >= 2 channels. Raises RopesimError otherwise. The ratio of the means; the expectation of
    the ratio is above it by at most the error, to leading order.

        DomRatio = max_j |x_j| / mean_k |x_k| = d s / (s + (d - 1) sqrt(2/pi))    (C-sinks-domratio-gaussian)

    Source: sinks.md R16; the ratio is Li et al. 2026 (2605.06611), section not recorded.

    >>> round(dominance(224.07, 4096)[0], 1)
    262.9
    """
    strength, size = number("strength", strength, least=0), whole("size", size, least=2)
    total = strength + (size - 1) * MEAN_ABS
    ratio = size * strength / total
    return ratio, ratio * (size - 1) * (1 - MEAN_ABS ** 2) / total ** 2


def strength_for_dominance(ratio: float, size: int) -> float:
    """Strength at which `dominance` is this ratio: above 0 and below size.

    >>> round(strength_for_dominance(262.88, 4096), 1)
    224.1
    """
    size = whole("size", size, least=2)
    ratio = number("ratio", ratio, above=0)
    if ratio >= size:
        raise RopesimError("ratio", ratio, f"use a ratio below the {size} channels")
    return (size - 1) * MEAN_ABS * ratio / (size - ratio)


def alignment(strength: float, size: int) -> float:
    """Cosine between a vector as in `dominance` and the axis of its channel, from 0 to 1.

        cos = 1 / sqrt(1 + eta^2),  eta = sqrt(d - 1) / s                         (C-sinks-domratio-gaussian)

    >>> round(alignment(224.07, 4096), 3)
    0.962
    """
    strength, size = number("strength", strength, least=0), whole("size", size, least=2)
    return strength / float(np.hypot(strength, np.sqrt(size - 1)))


def alignment_bounds(ratio: float, size: int) -> tuple[float, float]:
    """Least and largest cosine between any vector of this DomRatio and the axis of its largest channel.

    ratio from 1 to size; size: d >= 2. Raises RopesimError otherwise. No distribution is assumed; both are attained,
    the least where it takes whole numbers of channels.

        r / d <= cos^2 <= 1 / (1 + (d / r - 1)^2 / (d - 1))                       (C-sinks-domratio-cosine)

    Source: ours.

    >>> [round(x, 3) for x in alignment_bounds(262.88, 4096)]
    [0.253, 0.975]
    """
    size = whole("size", size, least=2)
    ratio = number("ratio", ratio, least=1, most=size)
    return float(np.sqrt(ratio / size)), float(1 / np.sqrt(1 + (size / ratio - 1) ** 2 / (size - 1)))


def swiglu_gain(size: int, cosine: float, norm: float) -> tuple[float, float]:
    """Activation of a SwiGLU neuron for an input along it over the rms for random inputs, and a bound on its error.

    The neuron has parallel gate and up weights, each of this norm, and the input cosine `cosine` to both. Inputs are
    normalised to sqrt(size). size: d >= 2; cosine above 0 and up to 1; norm above 0, well above 1 and above
    1 / (cosine sqrt(size)). Raises RopesimError otherwise.

        h / rms(h) = d c^2 sqrt(2/3),  h = SiLU(z) z,  z = norm sqrt(d) c         (C-sinks-swiglu-gain)

    The error holds what SiLU and the finite size change. Source: sinks.md R17; the error is ours.

    >>> round(swiglu_gain(1024, 0.5, 8.0)[0])
    209
    """
    size, cosine = whole("size", size, least=2), number("cosine", cosine, above=0, most=1)
    norm = number("norm", norm, above=0)
    gain = size * cosine ** 2 * float(np.sqrt(2 / 3))
    lost = 7 * np.pi ** 4 / 22.5 / (np.sqrt(2 * np.pi) * norm ** 5)    # of the mean square, at most: SiLU is no ReLU
    more = np.sqrt((1 + 2 / size) / (1 - lost)) - 1 if lost < 1 else np.inf
    less = np.exp(-min(norm * cosine * np.sqrt(size), 700.0))              # the gate that the input leaves closed
    return gain, gain * float(max(more, less))


def _correlation(rho: float, keys: int) -> float:
    return number("rho", rho, least=-1 / (keys - 1) if keys > 1 else -1.0, most=1)


def _spread(tau: float) -> float:
    return number("tau", tau, least=0, most=WIDEST)


def _share(value: float, above: float) -> float:
    value = number("share", value, above=above)
    if value >= 1:
        raise RopesimError("share", value, "use a share below 1")
    return value


def _odds(margin: float, tau: float) -> float:
    """1 / kappa, within what doubles hold."""
    return float(np.exp(np.clip(number("margin", margin) - tau ** 2 / 2, -700.0, 700.0)))


def _masses(odds: float, keys: np.ndarray) -> np.ndarray:
    return odds / (odds + keys)


def _gaps(masses: np.ndarray, keys: np.ndarray, tau: float) -> np.ndarray:
    """Bound on what the noise of the logits adds to each mass: (1 - a)^2 v / n, and never more than 1 - a."""
    with np.errstate(over="ignore"):
        excess = np.minimum(np.expm1(tau ** 2), 1e300)
    return np.minimum((1 - masses) ** 2 * excess / np.maximum(keys, 1), 1 - masses)


def _digamma_rise(x: float, n: int) -> float:
    """psi(x + n) - psi(x) for x >= 1, by its asymptotic series where the two are close."""
    if x < 100:
        return float(digamma(x + n) - digamma(x))
    above = [(n / x) / (x + n) / 2]                   # -1/(2x) and the even powers, as differences without cancellation
    for power, factor in ((2, -1 / 12), (4, 1 / 120), (6, -1 / 252)):
        above.append(factor * x ** -power * np.expm1(-power * np.log1p(n / x)))
    return float(np.log1p(n / x) + sum(above))
