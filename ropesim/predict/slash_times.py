"""When gradient descent makes a slash head: times of Stage I, mean field and the next order, and the printed bounds.

Times are in units of 1 / (eta C_1); steps are small throughout. Classes are equally likely unless their probabilities
are given; the closed forms know no others.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline

from ..errors import RopesimError, array, number, whole
from ..slash_task import Task
from .slash_rates import Prompt, label_numbers, lag_rates, mean_rate
from .slash_rates import prompt as rows_of
from .training import cosines

NODES = 24          # Gauss-Legendre nodes from one margin to the next; doubling them changes nothing in 1e-9
STRIDE = 0.5        # nats of margin in a Runge-Kutta step of the refined Stage I; halving it: 1e-5
HIGHEST = 25        # nats: beyond, 1 - S drowns in rounding
TURN = 1.0          # nats that any two logits move against each other in such a step, at most
STALLED = 30        # times as many steps as the margin alone would need
STILL = 1e-9        # of the fastest speed: less is rounding
KNOTS = 0.25        # nats between speeds that a spline joins, for steps of descent; FINE times as many for its integral
FINE = 16
MOST = 10_000       # steps of descent that are followed one by one


def stage_one(classes: int, length: int, margins: np.ndarray, *, lag: int = 1,
              probabilities: tuple[float, ...] | None = None) -> np.ndarray:
    """Mean-field times at which the margin of a slash head passes `margins`, float64[M], in units of 1 / (eta C_1).

    classes: K >= 2; length: N > K tokens, odd; margins: float64[M], nats, from 0 to 25; lag: of the label behind its
    input; probabilities: p_k > 0 of the K classes, None: 1 / K each. Raises RopesimError otherwise. For frequencies
    that make a pulse of height C_1 (half a DFT: N / 2) and small steps. Its error is `stage_one_error`.

        tau(m) = int_0^m dx / G(x)                                                     (T-time)

    Source: derived here; the phases end at log N, log KN and log(N / epsilon) in Cheng et al. 2026 (2601.08297),
    Theorem 5.3.

    >>> stage_one(4, 201, np.log([201, 201 ** 1.5])).round().tolist()
    [591.0, 821.0]
    """
    prompt, margins = rows_of(classes, length, lag, probabilities), _margins(margins)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    ends, where = np.unique(np.append(0.0, margins), return_inverse=True)
    widths = np.diff(ends)
    pieces = [width / 2 * sum(w / mean_rate(prompt, start + width * (x + 1) / 2) for x, w in zip(nodes, weights))
              for start, width in zip(ends, widths)]
    return np.append(0.0, np.cumsum(pieces))[where[1:]]


def stage_one_refined(classes: int, length: int, margins: np.ndarray, *, lag: int = 1,
                      probabilities: tuple[float, ...] | None = None, theta: np.ndarray | None = None,
                      counted: bool = True) -> np.ndarray:
    """Times of `stage_one` to the next order: every lag has its own logit, and the numbers of labels per class vary.

    Arguments as for `stage_one`; theta: float64[B], any frequencies, rad/token, None: a pulse; counted = False leaves
    the numbers at their mean. The margin is over the largest of the other lags. O(N log N) a step. nan beyond a margin
    at which another lag catches up: the first rows do not hold the lag, and strengthen those they hold, of a pulse at
    margins far above log(N^1.5); and frequencies with a common period below N never tell some lags apart.

        da(x) / dtau = G(x),  G(x) = sum_k p_k sum_j E_n[g_j] S_{j,j-x} (v_{j-x} - b_j)   (T-lags)

    g_j: minus the gradient by the logit of row j, given the n of N_in labels that match; v: 1 at the lag's own input
    and p_k at others. With theta the speeds are those of (T-table). Source: ours.

    >>> stage_one_refined(4, 51, np.log([51, 51 ** 1.5])).round().tolist()
    [248.0, 395.0]
    """
    prompt, margins = rows_of(classes, length, lag, probabilities), _margins(margins)
    reached, times, slopes = _course(prompt, margins.max(initial=0.0), theta, counted)
    if reached.size < 2:
        return np.where(margins == 0, 0.0, np.nan)
    found = _hermite(np.minimum(margins, reached.max()), reached, times, slopes)
    return np.where(margins <= reached.max(), found, np.nan)


def _course(prompt: Prompt, last: float, theta: np.ndarray | None, counted: bool) -> np.ndarray:
    """Margins, times and d time / d margin until `last` is reached or the margin stalls, float64[3, n]."""
    numbers = label_numbers(prompt, drawn=counted)
    lag, length = prompt.lag, len(prompt.inputs)
    mixed = np.array if theta is None else mixing(theta, length)
    others = np.flatnonzero(np.arange(length) != lag)
    last = max(last, 1e-9)
    steps = int(np.ceil(last / STRIDE))
    logits, now, margin = np.zeros(length), 0.0, 0.0
    path: list[tuple[float, float, float]] = []

    def speeds(logits: np.ndarray) -> np.ndarray:
        return mixed(lag_rates(prompt, logits, numbers))
    while len(path) <= STALLED * steps:
        first = speeds(logits)
        rival = others[np.lexsort((first[others], logits[others]))[-1]]
        speed, before, margin = first[lag] - first[rival], margin, logits[lag] - logits[rival]
        if speed <= STILL * np.ptp(first) or margin < before:
            break
        path.append((margin, now, 1 / speed))
        if margin >= last:
            break
        step = min(last / steps / speed, TURN / np.ptp(first))
        second = speeds(logits + step / 2 * first)
        third = speeds(logits + step / 2 * second)
        fourth = speeds(logits + step * third)
        logits, now = logits + step / 6 * (first + 2 * second + 2 * third + fourth), now + step
    return np.array(path).reshape(-1, 3).T


def mixing(theta: np.ndarray, length: int) -> Callable[[np.ndarray], np.ndarray]:
    """What frequencies make of speeds by lag, float64[N] to float64[N], both in units of eta C_1.

    theta: float64[B], rad/token; length: N >= 2 tokens. Raises RopesimError otherwise. Where C_1 is 0 nothing moves.

        da(x) / dtau = (1 / C_1) sum_u kappa(x - u) G(u),  C_1 = kappa(0) - mean_{1 <= x < N} kappa(x)     (T-table)

    Source: ours; Cheng et al. 2026 (2601.08297), eq. 11, have a pulse, for which it changes nothing.

    >>> mixing(2 * np.pi / 3 * np.ones(1), 3)(np.array([1.0, -0.5, -0.5])).round(12).tolist()
    [1.0, -0.5, -0.5]
    """
    kappa = cosines(theta, length)
    height = kappa[0] - kappa[1:].mean()
    if height <= STILL * kappa[0]:
        return np.zeros_like
    size = fft.next_fast_len(3 * length, real=True)
    spectrum = fft.rfft(np.concatenate([kappa[:0:-1], kappa]) / height, size)

    def mixed(rates: np.ndarray) -> np.ndarray:
        return np.array(fft.irfft(fft.rfft(rates, size) * spectrum, size)[length - 1:2 * length - 1])
    return mixed


def stage_one_error(classes: int, length: int, margins: np.ndarray, *, lag: int = 1,
                    probabilities: tuple[float, ...] | None = None, theta: np.ndarray | None = None) -> np.ndarray:
    """Error of `stage_one`, float64[M], in its units: the sizes of what `stage_one_refined` adds, summed.

    Arguments as for `stage_one_refined`, of which it is the error where theta is given: twice what the numbers of
    labels change. nan as there. Not in it: steps that are not small, the noise of batches.

        |tau_lags - tau| + |tau_counts - tau_lags|;  2 |tau_counts - tau_lags| with theta       (T-time-error)

    Source: ours.

    >>> (stage_one_error(4, 51, np.log([51, 51 ** 1.5])) / stage_one(4, 51, np.log([51, 51 ** 1.5]))).round(3).tolist()
    [0.043, 0.082]
    """
    lags, counts = (stage_one_refined(classes, length, margins, lag=lag, probabilities=probabilities, theta=theta,
                                      counted=counted) for counted in (False, True))
    if theta is not None:
        return 2 * np.abs(counts - lags)
    plain = stage_one(classes, length, margins, lag=lag, probabilities=probabilities)
    return np.abs(lags - plain) + np.abs(counts - lags)


def step_delay(classes: int, length: int, margins: np.ndarray, step: float, *, lag: int = 1,
               probabilities: tuple[float, ...] | None = None, theta: np.ndarray | None = None) -> np.ndarray:
    """By how much steps of gradient descent delay `stage_one`, float64[M], in its units.

    Arguments as for `stage_one_refined`; step >= 0: eta C_1 of one step, of any size. nan as there. Between two steps
    the margin is taken as linear, and the time in steps; below a 10,000th of the time, to first order in the step.

        m' = m + step G(m);   (step / 2) log(G(m) / G(0)) for small steps              (T-step)

    Source: Euler's method for (T-time) and its modified equation.

    >>> step_delay(4, 201, [np.log(201)], 8.2).round(1).tolist()
    [9.8]
    """
    prompt, margins = rows_of(classes, length, lag, probabilities), _margins(margins)
    step, last = number("step", step, least=0), margins.max(initial=0.0)
    if theta is None:
        at = np.linspace(0, max(last, 1.0), int(np.ceil(last / KNOTS)) + 4)
        speeds = np.array([mean_rate(prompt, m) for m in at])
        up = int(np.argmin(np.append(speeds > 0, False)))        # beyond, it does not grow
        at, speeds = at[:up], speeds[:up]
    else:
        at, _, slopes = _course(prompt, last, theta, True)
        speeds = 1 / slopes
    if at.size < 4:
        return np.where(margins == 0, 0.0, np.nan)
    known = margins <= at[-1]
    return np.where(known, _delay(at, speeds, np.where(known, margins, 0.0), step), np.nan)


def _delay(at: np.ndarray, speeds: np.ndarray, margins: np.ndarray, step: float) -> np.ndarray:
    """Euler's times less the true ones at margins up to at[-1], from the speeds at the margins `at`."""
    speed = CubicSpline(at, np.log(speeds))
    fine = np.linspace(0, at[-1], FINE * at.size)
    times = CubicSpline(fine, np.exp(-speed(fine))).antiderivative()(margins)
    if step * MOST < times.max(initial=0.0):
        return step / 2 * (speed(margins) - speed(0))
    path = [0.0]
    while path[-1] < margins.max(initial=0.0):
        path.append(path[-1] + step * math.exp(float(speed(path[-1]))))
    return np.interp(margins, path, step * np.arange(len(path))) - times


def phases(classes: int, length: int, epsilon: float) -> tuple[float, float]:
    """Leading durations in Stage I of the first phase (margin 0 to log N) and the last (log N to log(N / epsilon)).

    classes: K >= 2; length: N > K tokens, odd; 0 < epsilon < 1; lag 1. Raises RopesimError otherwise. In units of
    1 / (eta C_1). Limits for N and K to infinity, and K and then epsilon; the first is approached as 1 / log N.

        2 K N / log N,   4 K / (e epsilon)                                             (T-phases)

    Source: derived here; Cheng et al. 2026 (2601.08297), Theorem 5.3, bound them by `paper_bounds`.

    >>> [round(t) for t in phases(8, 801, 801 ** -0.5)]
    [1917, 333]
    """
    task, epsilon = Task(classes=classes, length=length), _share(epsilon)
    classes, length = task.classes, task.length
    return float(2 * classes * length / np.log(length)), float(4 * classes / (math.e * epsilon))


def last_phase(classes: int, epsilon: float) -> float:
    """Duration of Stage I's last phase, margin log N to log(N / epsilon), for long prompts, in units of 1 / (eta C_1).

    classes: K >= 2, equally likely; 0 < epsilon < 1. Raises RopesimError otherwise. At lag 1; the limit for small
    epsilon, approached as epsilon log(1 / epsilon).

        2 (1 / epsilon - 1) / (2 L_I s),   s = e / (2K - 1 + e)                          (T-last-phase)

    Source: derived here for Cheng et al. 2026 (2601.08297), Theorem 5.3.

    >>> round(last_phase(4, 1601 ** -0.5))
    507
    """
    classes, epsilon = whole("classes", classes, least=2), _share(epsilon)
    others = 2 * classes - 1
    match = math.e / (others + math.e)
    twice_loss = (1 - match) ** 2 + (classes - 1) / (others + math.e) ** 2
    return float(2 * (1 / epsilon - 1) / (twice_loss * match))


def paper_bounds(classes: int, length: int, epsilon: float, loss: float) -> tuple[float, float]:
    """Times of both stages as printed, without the constants of their O(): units of 1 / (eta C_1) and 1 / eta_2.

    classes: K >= 2; length: N > K tokens, odd; 0 < epsilon < 1 and loss > 0, its epsilon_1 and epsilon_2. Raises
    RopesimError otherwise. The second logarithm of the first is negative where K epsilon > 1.

        K N log N + K log(1 / (K epsilon)) / epsilon,   K^2 log K + K log(K loss^(-1/2)) / loss     (T-bounds)

    Source: Cheng et al. 2026 (2601.08297), Theorem 5.3.

    >>> [round(t) for t in paper_bounds(8, 801, 801 ** -0.5, 0.01)]
    [43129, 3639]
    """
    task, epsilon = Task(classes=classes, length=length), _share(epsilon)
    classes, length = task.classes, task.length
    loss = number("loss", loss, above=0)
    return (float(classes * length * np.log(length) - classes * np.log(classes * epsilon) / epsilon),
            float(classes ** 2 * np.log(classes) + classes * np.log(classes / np.sqrt(loss)) / loss))


def _hermite(x: np.ndarray, at: np.ndarray, values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    i = np.clip(np.searchsorted(at, x, side="right") - 1, 0, at.size - 2)
    width = at[i + 1] - at[i]
    s = (x - at[i]) / width
    return (values[i] * (1 + 2 * s) * (1 - s) ** 2 + values[i + 1] * s ** 2 * (3 - 2 * s)
            + width * s * (1 - s) * (slopes[i] * (1 - s) - slopes[i + 1] * s))


def _margins(margins: np.ndarray) -> np.ndarray:
    margins = array("margins", margins, [None])
    for margin in margins:
        number("margin", margin, least=0, most=HIGHEST)
    return margins


def _share(epsilon: float) -> float:
    epsilon = number("epsilon", epsilon, above=0)
    if epsilon >= 1:
        raise RopesimError("epsilon", epsilon, "use a number below 1")
    return epsilon
