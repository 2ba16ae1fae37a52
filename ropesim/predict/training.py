"""Closed forms about training a slash head: what a table of frequencies can express, and the loss between stages."""

import math

import numpy as np

from ..errors import RopesimError, array, number, whole
from ..slash_task import Task
from .cosines import curves

ROUNDING = 4e-15     # of a sum of cosines, per pair


def peak_gap(theta: np.ndarray, length: int) -> float:
    """How far the sum of cosines at lag 0 stands above all others in a context, from 0 to 2B.

    theta: float64[B], rad/token; length: T >= 2 tokens. To 4e-15 B: less counts as 0, and means that another lag
    cannot be told from 0. Raises RopesimError otherwise. An unrotated pair adds nothing.

        gap = kappa(0) - max_{1 <= u < T} kappa(u),   kappa(u) = sum_b cos(theta_b u)   (C-slash-synthesis)

    Source: ours, in place of the pulse of Cheng et al. 2026 (2601.08297), Assumption 5.1, eq. 11.

    >>> round(peak_gap([2 * np.pi / 3], 3), 12), peak_gap([2 * np.pi / 3], 4)
    (1.5, 0.0)
    """
    kappa = cosines(theta, length)
    gap = float(kappa[0] - kappa[1:].max())
    return gap if gap > ROUNDING * np.size(theta) else 0.0


def peak_gap_strength(theta: np.ndarray, length: int, epsilon: float) -> float:
    """Strength at which a slash head puts at least 1 - epsilon on its lag, in every row that has it, at any lag.

    theta and length as for `peak_gap`; 0 < epsilon < 1. Raises RopesimError otherwise, and where the gap is 0.

        strength = log(T / epsilon) / gap                                         (C-slash-synthesis)

    Source: derived here for the heads (E-slash) of Cheng et al. 2026 (2601.08297), section 5.

    >>> round(peak_gap_strength([2 * np.pi / 3], 3, 0.01), 6)
    3.802522
    """
    epsilon = number("epsilon", epsilon, above=0)
    if epsilon >= 1:
        raise RopesimError("epsilon", epsilon, "use a number below 1")
    gap = peak_gap(theta, length)
    if not gap:
        raise RopesimError("peak gap", gap, "use frequencies without a common period below the length")
    return float(np.log(length / epsilon) / gap)


def alias_ceiling(period: int, length: int, lag: int) -> float:
    """Largest average slash score that a head whose logits repeat every `period` lags can have, from 0 to 1.

    period: P >= 1 tokens, common to all its frequencies; length: T tokens; lag from 0 to T-1. Raises RopesimError
    otherwise. It is approached by strong heads, and is 1 while no row holds an alias of the lag.

        mean_{i >= lag} 1 / n_i,   n_i = number of lags n <= i with n = lag mod P   (C-slash-alias)

    Source: derived here; it binds the heads of Cheng et al. 2026 (2601.08297), section 5.

    >>> alias_ceiling(101, 201, 1) == (101 + 99 / 2) / 200
    True
    """
    period, length = whole("period", period, least=1), whole("length", length, least=1)
    lag = whole("lag", lag, least=0, most=length - 1)
    return float(np.mean(1.0 / (1 + (np.arange(lag, length) - lag % period) // period)))


def pulse_constant(theta: np.ndarray, length: int) -> float:
    """Least constant L with which a table of frequencies is a pulse in the sense of Assumption 5.1, from 0 to T/2.

    theta: float64[B], rad/token; length: T >= 2 tokens, whose lags are below T. Raises RopesimError otherwise. L is
    least over the pulse's height C_1 > 0 and level C_2 as well.

        |kappa(x) - C_1 [x = 0] - C_2| <= L C_1 / T for |x| < T:
        L = T (high - low) / (2 (kappa(0) - low)),  high, low = extremes of kappa(x), x >= 1   (C-slash-pulse)

    Source: the condition, Cheng et al. 2026 (2601.08297), Assumption 5.1, eq. 11; its least constant is ours.

    >>> pulse_constant([2 * np.pi / 3], 3) < 1e-14
    True
    """
    kappa = cosines(theta, length)
    high, low = kappa[1:].max(), kappa[1:].min()
    fall = kappa[0] - low
    share = (high - low) / (2 * fall) if fall > ROUNDING * np.size(theta) else 0.5
    return float(length * min(share, 0.5))


def pulse_bound(pairs: int, length: int) -> float:
    """What no table of so many pairs goes below with its `pulse_constant`.

    pairs: B >= 1; length: T >= 2 tokens. Raises RopesimError otherwise.

        L >= sqrt(T - 1 - 2B), or 0                                               (C-slash-rank-bound)

    Source: ours, for Cheng et al. 2026 (2601.08297), Assumption 5.1, eq. 11.

    >>> pulse_bound(64, 6000) ** 2
    5871.0
    """
    pairs, length = whole("pairs", pairs, least=1), whole("length", length, least=2)
    return float(np.sqrt(max(length - 1 - 2 * pairs, 0)))


def start_loss(classes: int, *, period: int = 2, probabilities: tuple[float, ...] | None = None) -> float:
    """Loss of in-context regression before training, for infinitely long prompts.

    classes: K >= 1 inputs, orthonormal; period: P >= 1 tokens to an example, 2 at odd lags; probabilities: p_k > 0 of
    the inputs, None: 1 / K each. Raises RopesimError otherwise.

        L = 1/2 - 1 / (P K) + 1 / (2 P^2 K),  at P = 2: 1/2 - 3 / (8 K)           (C-slash-loss-start)
        L = 1/2 - (1 / P - 1 / (2 P^2)) sum_k p_k^2                               (T-loss)

    Source: derived here for Cheng et al. 2026 (2601.08297), section 5, eq. 17.

    >>> start_loss(3)
    0.375
    """
    p, period = _probabilities(classes, probabilities), whole("period", period, least=1)
    return 0.5 - (2 * period - 1) / (2 * period ** 2) * float(p @ p)


def plateau_loss(classes: int, *, period: int = 2, probabilities: tuple[float, ...] | None = None) -> float:
    """Loss of in-context regression between the stages: a perfect first layer, an untrained second; long prompts.

    Arguments and errors as for `start_loss`.

        L_I = ((P K - 1)^2 + K - 1) / (2 (P K - 1 + e)^2)                         (C-slash-loss-plateau)
        L_I = sum_k p_k ((P - p_k)^2 + sum_{m != k} p_m^2) / (2 (P - p_k + e p_k)^2)           (T-loss)

    Source: derived here for Cheng et al. 2026 (2601.08297), section 5, eq. 17 and Theorem 5.3.

    >>> round(plateau_loss(4), 3)
    0.275
    """
    p, period = _probabilities(classes, probabilities), whole("period", period, least=1)
    others = (p ** 2).sum() - p ** 2
    return float(p @ (((period - p) ** 2 + others) / (2 * (period - p + math.e * p) ** 2)))


def ood_bound(norm: float, loss: float) -> float:
    """Largest error of an answer on a task of the given norm, in distribution or not.

    norm: |w| >= 0; loss: L_k >= 0 of the prompt, mean over tasks with E w w^T = I. Raises RopesimError otherwise.

        |y - <w, v_k>| <= |w| sqrt(2 L_k)                                         (C-slash-ood-bound)

    Source: derived here for Cheng et al. 2026 (2601.08297), Theorem 5.3's remark on tasks.

    >>> ood_bound(2.0, 0.02)
    0.4
    """
    return number("norm", norm, least=0) * float(np.sqrt(2 * number("loss", loss, least=0)))


def _probabilities(classes: int, probabilities: tuple[float, ...] | None) -> np.ndarray:
    """p_k, float64[K]; checked as a task's."""
    classes = whole("classes", classes, least=1)
    if probabilities is None:
        return np.full(classes, 1 / classes)
    return Task(classes=classes, length=2 * classes + 1, probabilities=probabilities).weights


def cosines(theta: np.ndarray, length: int) -> np.ndarray:
    """Sum of the cosines of all pairs by lag, float64[T].

    theta: float64[B], rad/token; length: T >= 2 tokens. Raises RopesimError otherwise.

        kappa(x) = sum_b cos(theta_b x)                                              (T-kernel)

    >>> cosines([2 * np.pi / 3], 3).round(12).tolist()
    [1.0, -0.5, -0.5]
    """
    theta = array("theta", theta, [None])
    if not theta.size:
        raise RopesimError("number of pairs", 0, "use at least one frequency")
    return curves(np.ones(theta.size), theta, whole("length", length, least=2))
