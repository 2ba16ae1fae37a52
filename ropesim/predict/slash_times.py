"""When gradient descent makes a slash head: times of both training stages, mean field and the next order.

Classes are equally likely. Stage I is in units of 1 / (eta C_1), Stage II of 1 / eta_2; steps are small throughout.
"""

import numpy as np
from scipy.integrate import solve_ivp

from ..errors import RopesimError, array, number, whole
from ..slash_task import Task
from .slash_rates import MatchRows, label_numbers, lag_rates, match_loss, mean_rate
from .slash_rates import prompt as rows_of

NODES = 24          # Gauss-Legendre nodes from one margin to the next; doubling them changes nothing in 1e-9
STRIDE = 0.5        # nats of margin in a Runge-Kutta step of the refined Stage I; halving it: 1e-5
HIGHEST = 25        # nats: beyond, 1 - S drowns in rounding
STALLED = 3         # times as many steps as the margin alone would need
ROWS = 8            # nodes over the rows in the refined Stage II


# Stage I

def stage_one(classes: int, length: int, margins: np.ndarray, *, lag: int = 1) -> np.ndarray:
    """Mean-field times at which the margin of a slash head passes `margins`, float64[M], in units of 1 / (eta C_1).

    classes: K >= 2; length: N > K tokens, odd; margins: float64[M], nats, from 0 to 25; lag: of the label behind its
    input. Raises RopesimError otherwise. For frequencies that make a pulse of height C_1 (half a DFT: N / 2) and
    small steps. Its error is `stage_one_error`.

        tau(m) = int_0^m dx / G(x)                                                     (T-time)

    Source: derived here; the phases end at log N, log KN and log(N / epsilon) in Cheng et al. 2026 (2601.08297),
    Theorem 5.3.

    >>> stage_one(4, 201, np.log([201, 201 ** 1.5])).round().tolist()
    [591.0, 821.0]
    """
    prompt, margins = rows_of(classes, length, lag), _margins(margins)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    ends, where = np.unique(np.append(0.0, margins), return_inverse=True)
    widths = np.diff(ends)
    pieces = [width / 2 * sum(w / mean_rate(prompt, start + width * (x + 1) / 2) for x, w in zip(nodes, weights))
              for start, width in zip(ends, widths)]
    return np.append(0.0, np.cumsum(pieces))[where[1:]]


def stage_one_refined(classes: int, length: int, margins: np.ndarray, *, lag: int = 1,
                      counted: bool = True) -> np.ndarray:
    """Times of `stage_one` to the next order: every lag has its own logit, and the numbers of labels per class vary.

    Arguments as for `stage_one`; counted = False leaves the numbers at their mean. The margin is over the largest of
    the other lags. O(N log N) a step. nan beyond a margin at which another lag catches up, far above log(N^1.5): the
    first rows do not hold the lag, and strengthen those they hold.

        da(x) / dtau = G(x),  G(x) = sum_j E_n[g_j] S_{j,j-x} (v_{j-x} - b_j)            (T-lags)

    g_j: minus the gradient by the logit of row j, given the n of N_in labels that match; v: 1 at the lag's own input
    and 1/K at others. Source: ours.

    >>> stage_one_refined(4, 51, np.log([51, 51 ** 1.5])).round().tolist()
    [248.0, 395.0]
    """
    prompt, margins = rows_of(classes, length, lag), _margins(margins)
    numbers = label_numbers(prompt, drawn=counted)
    others = np.flatnonzero(np.arange(length) != lag)
    last = max(margins.max(initial=0.0), 1e-9)
    steps = int(np.ceil(last / STRIDE))
    logits, now, margin = np.zeros(length), 0.0, 0.0
    path: list[tuple[float, float, float]] = []
    while len(path) <= STALLED * steps:
        first = lag_rates(prompt, logits, numbers)
        rival = others[np.lexsort((first[others], logits[others]))[-1]]
        path.append((logits[lag] - logits[rival], now, 1 / (first[lag] - first[rival])))
        if path[-1][0] >= last or path[-1][0] < margin or path[-1][2] <= 0:
            break
        margin, step = path[-1][0], last / steps * path[-1][2]
        second = lag_rates(prompt, logits + step / 2 * first, numbers)
        third = lag_rates(prompt, logits + step / 2 * second, numbers)
        fourth = lag_rates(prompt, logits + step * third, numbers)
        logits, now = logits + step / 6 * (first + 2 * second + 2 * third + fourth), now + step
    reached, times, slopes = np.array(path).T
    found = _hermite(np.minimum(margins, reached.max()), reached, times, slopes)
    return np.where(margins <= reached.max(), found, np.nan)


def stage_one_error(classes: int, length: int, margins: np.ndarray, *, lag: int = 1) -> np.ndarray:
    """Error of `stage_one`, float64[M], in its units: the sizes of what `stage_one_refined` adds, summed.

    Arguments as for `stage_one`. nan as there. Not in it: steps that are not small, the noise of batches.

        |tau_lags - tau| + |tau_counts - tau_lags|                                     (T-time-error)

    Source: ours.

    >>> (stage_one_error(4, 51, np.log([51, 51 ** 1.5])) / stage_one(4, 51, np.log([51, 51 ** 1.5]))).round(3).tolist()
    [0.043, 0.082]
    """
    plain = stage_one(classes, length, margins, lag=lag)
    lags = stage_one_refined(classes, length, margins, lag=lag, counted=False)
    return np.abs(lags - plain) + np.abs(stage_one_refined(classes, length, margins, lag=lag) - lags)


def step_delay(classes: int, length: int, margins: np.ndarray, step: float, *, lag: int = 1) -> np.ndarray:
    """By how much steps of gradient descent delay `stage_one`, float64[M], in its units, to first order in the step.

    Arguments as for `stage_one`; step >= 0: eta C_1 of one step.

        (step / 2) log(G(m) / G(0))                                                    (T-step)

    Source: the modified equation of Euler's method, for (T-time).

    >>> step_delay(4, 201, [np.log(201)], 8.2).round(1).tolist()
    [9.8]
    """
    speeds = np.array([mean_rate(rows_of(classes, length, lag), m) for m in np.append(0.0, _margins(margins))])
    return number("step", step, least=0) / 2 * np.log(speeds[1:] / speeds[0])


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
    return float(2 * classes * length / np.log(length)), float(4 * classes / (np.e * epsilon))


def last_phase(classes: int, epsilon: float) -> float:
    """Duration of Stage I's last phase, margin log N to log(N / epsilon), for long prompts, in units of 1 / (eta C_1).

    classes: K >= 2; 0 < epsilon < 1. Raises RopesimError otherwise. At lag 1.

        2 (1 / epsilon - 1) / (2 L_I s (1 - 1 / (2K))),   s = e / (2K - 1 + e)            (T-last-phase)

    Source: derived here for Cheng et al. 2026 (2601.08297), Theorem 5.3.

    >>> round(last_phase(4, 1601 ** -0.5))
    579
    """
    classes, epsilon = whole("classes", classes, least=2), _share(epsilon)
    others = 2 * classes - 1
    match = np.e / (others + np.e)
    twice_loss = (1 - match) ** 2 + (classes - 1) / (others + np.e) ** 2
    return float(2 * (1 / epsilon - 1) / (twice_loss * match * (1 - 1 / (2 * classes))))


# Stage II

def stage_two(classes: int, loss: float = 0.01, *, lag: int = 1) -> np.ndarray:
    """Times of Stage II after a perfect slash head, long prompts, small steps: float64[2], in units of 1 / eta_2.

    The first is when the match's logit B reaches log K, the second when the loss falls to `loss`. classes: K >= 2; loss
    above 0; lag as for `stage_one`. Raises RopesimError otherwise. Either is 0 where the start is there. With b and o
    the logits of other labels and of tokens that see a label, and L = (1 - 2 s_k + u) / 2:

        dB = (2/K) s_k L,  db = (1/K) s_m (u - s_m - s_k),  do = (1/K) s_o (u - s_k) per time     (T-second)

    from (1, 0, 0). Source: derived here for Cheng et al. 2026 (2601.08297), Stage II of Algorithm 1.

    >>> stage_two(8).round(1).tolist()
    [61.1, 344.0]
    """
    loss = number("loss", loss, above=0)
    classes, lag = whole("classes", classes, least=2), whole("lag", lag, least=0)
    period = Task(classes=classes, length=4 * (classes + lag) + 1, lag=lag).period
    one = np.array([1.0])
    return _second(MatchRows(classes, period, one, one, one, one, labels=classes, sighted=classes * min(period - 1, 1),
                             blank=classes * max(period - 2, 0), first=one * np.nan), loss)


def stage_two_refined(classes: int, length: int, loss: float = 0.01, *, margin: float | None = None,
                      lag: int = 1) -> np.ndarray:
    """Times of `stage_two` at a finite length: the slash has only its `margin`, the numbers of labels per class vary.

    classes, length and lag as for `stage_one`; margin >= 0 of the first layer when Stage II starts, log(N^1.5) unless
    given. A time is inf where the loss stays above: a prompt may hold no label of its question's class.

        L(B, b, o) = E_n E_rows[...] at S = e^m / (e^m + j),  d(B, b, o) = -(1/K) (dL/dB, dL/db / (K - 1), dL/do)
                                                                                       (T-second-finite)

    Source: ours.

    >>> stage_two_refined(8, 401).round().tolist()
    [64.0, 386.0]
    """
    prompt, loss = rows_of(classes, length, lag), number("loss", loss, above=0)
    margin = 1.5 * np.log(length) if margin is None else number("margin", margin, least=0)
    nodes, weights = np.polynomial.legendre.leggauss(ROWS)
    score = 1 / (1 + (nodes + 1) / 2 * length * np.exp(-margin))
    labels = int(prompt.labels.sum())
    numbers, chances = label_numbers(prompt)
    edge = int(not lag or prompt.inputs[0] == 1)
    first = np.full(numbers.size, 1.0 if edge else np.nan)      # the question, at lag 0
    if lag and edge:
        first = np.repeat([1.0, 0.0], numbers.size)
        chances = np.concatenate([chances * numbers, chances * (labels - numbers)]) / labels
        numbers = np.tile(numbers, 2)
    sighted = min(labels, length - labels - edge) if lag else 0
    return _second(MatchRows(classes, prompt.period, score, weights / 2, numbers, chances, labels, sighted,
                             blank=length - labels - sighted - edge, first=first), loss)


def stage_two_error(classes: int, length: int, loss: float = 0.01, *, margin: float | None = None,
                    lag: int = 1) -> np.ndarray:
    """Error of `stage_two` at a finite length, float64[2], in its units: what `stage_two_refined` adds.

    Arguments as for `stage_two_refined`. Not in it: steps that are not small and the noise of batches.

        |T_finite - T|                                                                 (T-second-error)

    Source: ours.

    >>> stage_two_error(8, 401).round().tolist()
    [3.0, 42.0]
    """
    return np.abs(stage_two_refined(classes, length, loss, margin=margin, lag=lag) - stage_two(classes, loss, lag=lag))


def match_time(classes: int) -> float:
    """Leading time at which the match's logit reaches log K in Stage II, in units of 1 / eta_2; it nears 2 K^2 / e.

    classes: K >= 3, as below its start is above. Raises RopesimError otherwise. 7 to 13 % late at K from 4 to 128.

        K (F(1) - F(e / K)),   F(y) = y^2 / 8 + 3 y / 2 + 3 log y - 2 / y                   (T-second-match)

    Source: derived here; K^2 log K in Cheng et al. 2026 (2601.08297), Theorem 5.3.

    >>> round(match_time(8), 1)
    65.8
    """
    classes = whole("classes", classes, least=3)

    def F(y: float) -> float:
        return float(y ** 2 / 8 + 3 * y / 2 + 3 * np.log(y) - 2 / y)
    return classes * (F(1) - F(np.e / classes))


def loss_time(classes: int, loss: float) -> float:
    """Leading time at which Stage II reaches a loss that tends to 0, in units of 1 / eta_2; the true one is larger.

    classes: K >= 2; loss above 0. Raises RopesimError otherwise. What lasts are the scores of other classes.

        K^2 / (4 (K + 1) loss)                                                         (T-second-loss)

    Source: ours; K log(K loss^(-1/2)) / loss in Cheng et al. 2026 (2601.08297), Theorem 5.3.

    >>> round(loss_time(4, 1e-5)), round(stage_two(4, 1e-5)[1])
    (80000, 80974)
    """
    classes = whole("classes", classes, least=2)
    return classes ** 2 / (4 * (classes + 1) * number("loss", loss, above=0))


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


# integration

def _hermite(x: np.ndarray, at: np.ndarray, values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    i = np.clip(np.searchsorted(at, x, side="right") - 1, 0, at.size - 2)
    width = at[i + 1] - at[i]
    s = (x - at[i]) / width
    return (values[i] * (1 + 2 * s) * (1 - s) ** 2 + values[i + 1] * s ** 2 * (3 - 2 * s)
            + width * s * (1 - s) * (slopes[i] * (1 - s) - slopes[i + 1] * s))


def _second(rows: MatchRows, loss: float) -> np.ndarray:
    """Times at which B = log K and at which the loss is reached; inf where that is never."""
    def reached(_: float, x: np.ndarray) -> float:
        return float(x[0] - np.log(rows.classes))

    def done(_: float, x: np.ndarray) -> float:
        return match_loss(rows, x)[0] - loss
    start, end = np.array([1.0, 0.0, 0.0]), 100 * (rows.classes ** 2 + rows.classes / loss)
    done.terminal = True    # type: ignore[attr-defined]
    if done(0, start) <= 0:
        end = 0.0 if reached(0, start) >= 0 else end
        done.terminal = False   # type: ignore[attr-defined]
    found = solve_ivp(lambda _, x: -match_loss(rows, x)[1] / rows.classes, (0.0, end), start, "LSODA",
                      events=[reached, done], rtol=1e-9, atol=1e-9)
    times = [float(t[0]) if t.size else np.inf for t in found.t_events]
    return np.array([0.0 if f(0, start) <= 0 else t for f, t in zip((lambda t, x: -reached(t, x), done), times)])


# input

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
