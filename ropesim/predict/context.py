"""Base and context length: the decay bound, the criterion that ties both, and moments over a window of lags."""

from typing import NamedTuple

import numpy as np

from ..errors import RopesimError, array, number, whole
from .attention import mean_pair_logits
from .cosines import curves

UNIT = 2.0 ** -52     # spacing of doubles at 1
WITNESSES = 64        # lags that a search keeps to show the next base infeasible


class Worst(NamedTuple):
    """The lag < T with the least sum of cosines, that sum, and a bound on its rounding."""

    lag: int
    value: float
    error: float


class Edge(NamedTuple):
    """The least feasible base from `first_feasible`, the lag that fails just below it (0 for none), the steps taken."""

    base: float
    lag: int
    steps: int


def decay_curve(theta: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Mean length of the partial sums of exp(1j theta lag), float64[n], between 0 and (B + 1) / 2.

    theta: float64[B], rad/token, the fastest pair first; lags: real[n], tokens. Raises RopesimError otherwise.

        decay(n) = 1/B sum_{j=1..B} |S_j(n)|,   S_j(n) = sum_{b<j} e^{1j n theta_b}   (C-rope-decay-monotone)

    Source: Su et al. 2021 (2104.09864), section 3.4.3, the curve of its figure 2.

    >>> decay_curve([1.0, 0.01], [0.0])
    array([1.5])
    """
    return _partial(theta, lags).mean(axis=1)


def decay_bound(coefficients: np.ndarray, theta: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Bound on |sum_b h_b exp(1j theta_b lag)| by the differences of h, float64[n].

    coefficients: h, complex128[B], q_b conj(k_b); theta: float64[B], rad/token; lags: real[n], tokens. Raises
    RopesimError otherwise.

        |sum_b h_b e^{1j n theta_b}| <= max_b |h_{b+1} - h_b| sum_{j=1..B} |S_j(n)|,  h_B = 0
                                                                                  (C-rope-decay-bound)

    Source: Su et al. 2021 (2104.09864), section 3.4.3.

    >>> decay_bound([1.0, 1.0], [1.0, 0.0], [0.0])
    array([3.])
    """
    theta = array("theta", theta, [None])
    h = array("coefficients", coefficients, [theta.size], np.complex128)
    return np.abs(np.diff(np.append(h, 0.0))).max() * _partial(theta, lags).sum(axis=1)


def _partial(theta: np.ndarray, lags: np.ndarray) -> np.ndarray:
    theta, lags = array("theta", theta, [None]), array("lags", lags, [None])
    if not theta.size:
        raise RopesimError("theta", [], "use at least one frequency")
    return np.abs(np.cumsum(np.exp(1j * lags[:, None] * theta), axis=1))


def worst_sum(theta: np.ndarray, length: int) -> Worst:
    """The lag n < T at which the cosines of theta n sum to least, with the sum and a bound on its rounding.

    theta: float64[B], rad/token, each good to 4 ulp; length: T >= 1. Raises RopesimError otherwise. The context is
    feasible for these frequencies if value >= error, and infeasible if value < -error; O(T B).

        C(n) = sum_b cos(theta_b n) >= 0  for n = 0 .. T-1                       (C-rope-men-criterion)

    Source: Men et al. 2024 (2405.14591).

    >>> worst_sum([1.0, 0.0], 4).lag
    3
    """
    sums = curves(np.ones(np.size(theta)), theta, length)
    lag = int(sums.argmin())
    return Worst(lag, float(sums[lag]), _error(np.asarray(theta, dtype=float), length))


def feasible(base: float, length: int, *, head_dim: int = 128) -> bool:
    """Whether no sum of cosines is negative within the context, for the geometric frequencies of a base.

    base > 1; length: T >= 1; head_dim even and >= 2, all of it rotated. Raises RopesimError otherwise, and where
    rounding leaves it open.

        C_b(n) = sum_i cos(n b^{-2i/d}) >= 0  for n = 0 .. T-1                    (C-rope-men-criterion)

    Source: Men et al. 2024 (2405.14591). A larger base need not be feasible where a smaller one is.

    >>> [feasible(base, 1000) for base in (4000, 4300, 6000)]
    [False, True, False]
    """
    worst = worst_sum(_geometric(number("base", base, above=1), _powers(head_dim)), length)
    if abs(worst.value) < worst.error:
        raise RopesimError("base", base, f"use another base: the sum at lag {worst.lag} is 0 within rounding")
    return worst.value > 0


def first_feasible(length: int, low: float, high: float, *, head_dim: int = 128) -> Edge | None:
    """The least feasible base within low .. high, to 11 digits; None if there is none.

    Arguments and errors as for `feasible`; 1 < low <= high. No base is passed over unseen: with x = ln b and a
    lag n whose sum C is negative at x, the sum stays negative up to x + s for

        C + C' s + M s^2 / 2 < 0,   M = sum_i t_i^2 (n theta_i + n^2 theta_i^2),   t_i = 2i/d   (C-rope-men-bases)

    and the search steps to the largest such x + s: some 30 / T at a time, each step O(T d) at most.
    Source of the criterion: Men et al. 2024 (2405.14591); the search is ours.

    >>> round(first_feasible(1000, 4000.0, 5000.0).base, 1)
    4206.0
    """
    powers, length = _powers(head_dim), whole("length", length, least=1)
    x, stop = np.log(number("low", low, above=1)), np.log(number("high", high, least=low))
    lags, steps, last = np.arange(0), 0, 0
    while x <= stop:
        theta = np.exp(-x * powers)
        step, lag = _step(theta, powers, lags, length)
        if step * length < 4:                               # the lags at hand show little: look at all of them
            lags = _lowest(theta, length)
            step, lag = _step(theta, powers, lags, length)
        if step <= 1e-15:
            return Edge(float(np.exp(x)), last, steps)
        x, last, steps = x + step, lag, steps + 1
    return None


def _lowest(theta: np.ndarray, length: int) -> np.ndarray:
    sums = curves(np.ones(theta.size), theta, length)
    return np.argpartition(sums, WITNESSES)[:WITNESSES] if length > WITNESSES else np.arange(length)


def _step(theta: np.ndarray, powers: np.ndarray, lags: np.ndarray, length: int) -> tuple[float, int]:
    """How far ln b may rise with one of these lags staying negative, and that lag; 0 where none is negative."""
    angle = lags[:, None] * theta
    value = np.cos(angle).sum(axis=1) + _error(theta, length)
    low = value < 0
    if not low.any():
        return 0.0, 0
    angle, value = angle[low], value[low]
    slope = (np.sin(angle) * angle) @ powers
    bend = (angle + angle ** 2) @ powers ** 2
    root = np.sqrt(slope ** 2 - 2 * bend * value)
    with np.errstate(divide="ignore", invalid="ignore"):       # a single pair of theta = 1 never changes: inf
        reach = np.where(slope > 0, -2 * value / (slope + root), (root - slope) / bend)    # neither form cancels
    reach[bend == 0] = np.inf
    return float(reach.max()), int(lags[low][reach.argmax()])


def _error(theta: np.ndarray, length: int) -> float:
    """Bound on the rounding of a sum of cosines: 4 ulp of each theta, and of the sum."""
    return float(4 * UNIT * (length * np.abs(theta).sum() + theta.size))


def _powers(head_dim: int) -> np.ndarray:
    if whole("head_dim", head_dim, least=2) % 2:
        raise RopesimError("head_dim", head_dim, "use an even number, a pair takes two coordinates")
    return np.arange(0, head_dim, 2) / head_dim


def _geometric(base: float, powers: np.ndarray) -> np.ndarray:
    return base ** -powers


def window_moments(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, length: int) -> tuple[float, float]:
    """Mean and variance of the logit over the lags 0 .. length - 1, all equally likely.

    amplitude >= 0, phase (rad), theta (rad/token): float64[B]; length: T >= 1. Raises RopesimError otherwise. O(B^2)
    for any T; the variance is good to about 1e-15 (sum of amplitudes)^2.

        mean = Re sum_b c_b D(theta_b),   c = A e^{1j phase},   D(w) = 1/T sum_{n<T} e^{1j n w}
        var = 1/2 Re sum_{a,b} [c_a conj(c_b) D(theta_a - theta_b) + c_a c_b D(theta_a + theta_b)] - mean^2
                                                                                  (C-rope-window-variance)

    Source: Wu et al. 2026 (2609.39929), section not recorded.

    >>> [round(x, 12) for x in window_moments(np.ones(2), np.zeros(2), np.array([0.0, np.pi]), 4)]
    [1.0, 1.0]
    """
    theta = array("theta", theta, [None])
    mean = float(mean_pair_logits(amplitude, phase, theta, length).sum())
    size, angle = array("amplitude", amplitude, [theta.size]), array("phase", phase, [theta.size])
    total = 0.0
    for sign in (-1.0, 1.0):
        other = (theta[:, None] + sign * theta).ravel()
        both = np.outer(size, size).ravel()
        total += mean_pair_logits(both, (angle[:, None] + sign * angle).ravel(), other, length).sum()
    return mean, float(max(total / 2 - mean ** 2, 0.0))
