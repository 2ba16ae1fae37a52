"""When the second layer of slash training learns to match: times of Stage II, for long prompts and at a finite length.

Times are in units of 1 / eta_2; steps are small throughout. Classes are equally likely unless their probabilities are
given; the closed forms know no others.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from ..errors import number, whole
from .slash_rates import MatchRows, Prompt, label_numbers, match_loss
from .slash_rates import prompt as rows_of

ROWS = 8            # nodes over the rows at a finite length
MOST = 10_000       # steps of descent that are followed


def stage_two(classes: int, loss: float = 0.01, *, lag: int = 1,
              probabilities: tuple[float, ...] | None = None) -> np.ndarray:
    """Times of Stage II after a perfect slash head, long prompts, small steps: float64[2], in units of 1 / eta_2.

    The first is when the match's logit, its mean over classes, reaches log K, the second when the loss falls to `loss`.
    classes: K >= 2; loss above 0; lag and probabilities as for `stage_one`. Raises RopesimError otherwise. Either is 0
    where the start is there. With B, b_m and o the logits of a match, of other labels and of tokens that see a label,
    all by the question's class k, u = sum_m s_m^2 and L_k = (1 - 2 s_k + u) / 2:

        dB = 2 p_k s_k L_k,  db_m = p_k s_m (u - s_m - s_k),  do = p_k s_o (u - s_k) per time     (T-second)

    from (1, 0, 0). Source: derived here for Cheng et al. 2026 (2601.08297), Stage II of Algorithm 1.

    >>> stage_two(8).round(1).tolist()
    [61.1, 344.0]
    """
    loss = number("loss", loss, above=0)
    classes, lag = whole("classes", classes, least=2), whole("lag", lag, least=0)
    prompt, one = rows_of(classes, 4 * (classes + lag) + 1, lag, probabilities), np.ones(1)
    return _second(prompt, [MatchRows(
        *kind, prompt.period, one, one, numbers=kind[0] * one, chances=one, labels=1, sighted=min(prompt.period - 1, 1),
        blank=max(prompt.period - 2, 0), first=np.nan * one, itself=1.0) for kind in _kinds(prompt)], loss)


def stage_two_refined(classes: int, length: int, loss: float = 0.01, *, margin: float | None = None,
                      lag: int = 1, probabilities: tuple[float, ...] | None = None,
                      step: float | None = None) -> np.ndarray:
    """Times of `stage_two` at a finite length: the slash has only its `margin`, the numbers of labels per class vary.

    classes, length, lag and probabilities as for `stage_one`; margin >= 0 of the first layer when Stage II starts,
    log(N^1.5) unless given; step > 0: eta_2 of steps of descent, None: small ones. A time is inf where the loss stays
    above: a prompt may hold no label of the question's class; nan where steps leave descent, or there are too many.

        L_k(B, b, o) = E_n E_rows[...] at S = e^m / (e^m + j),
        d(B, b_m, o) = -p_k (dL_k/dB, dL_k/db_m, dL_k/do)                              (T-second-finite)

    Source: ours.

    >>> stage_two_refined(8, 401).round().tolist()
    [64.0, 386.0]
    """
    prompt, loss = rows_of(classes, length, lag, probabilities), number("loss", loss, above=0)
    rows = _finite(prompt, length, margin)
    return _second(prompt, rows, loss, None if step is None else number("step", step, above=0))


def stage_two_error(classes: int, length: int, loss: float = 0.01, *, margin: float | None = None,
                    lag: int = 1, probabilities: tuple[float, ...] | None = None) -> np.ndarray:
    """Error of `stage_two` at a finite length, float64[2], in its units: what `stage_two_refined` adds.

    Arguments as for `stage_two_refined`. Not in it: steps that are not small and the noise of batches.

        |T_finite - T|                                                                 (T-second-error)

    Source: ours.

    >>> stage_two_error(8, 401).round().tolist()
    [3.0, 42.0]
    """
    finite = stage_two_refined(classes, length, loss, margin=margin, lag=lag, probabilities=probabilities)
    return np.abs(finite - stage_two(classes, loss, lag=lag, probabilities=probabilities))


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
    return classes * (F(1) - F(math.e / classes))


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


def _finite(prompt: Prompt, length: int, margin: float | None) -> list[MatchRows]:
    margin = 1.5 * np.log(length) if margin is None else number("margin", margin, least=0)
    nodes, weights = np.polynomial.legendre.leggauss(ROWS)
    *score, last = 1 / (1 + np.append((nodes + 1) / 2, 1.0) * length * np.exp(-margin))
    labels, edge = int(prompt.labels.sum()), int(not prompt.lag or prompt.inputs[0] == 1)
    sighted = min(labels, length - labels - edge) if prompt.lag else 0
    rows = []
    for kind, (numbers, chances) in zip(_kinds(prompt), label_numbers(prompt)):
        first = np.full(numbers.size, 1.0 if edge else np.nan)      # the question, at lag 0
        if prompt.lag and edge:
            first = np.repeat([1.0, 0.0], numbers.size)
            chances = np.concatenate([chances * numbers, chances * (labels - numbers)]) / labels
            numbers = np.tile(numbers, 2)
        rows.append(MatchRows(*kind, prompt.period, np.array(score), weights / 2, numbers, chances, labels, sighted,
                              blank=length - labels - sighted - edge, first=first,
                              itself=1.0 if prompt.lag else last))
    return rows


def plateau(classes: int, length: int, *, margin: float | None = None, lag: int = 1,
            probabilities: tuple[float, ...] | None = None) -> float:
    """Loss between the stages at a finite length: that of `stage_two_refined` where Stage II starts.

    Arguments and errors as for `stage_two_refined`. `training.plateau_loss` is its limit for long prompts.

        sum_k p_k L_k(1, 0, 0)                                                         (T-second-finite)

    Source: ours.

    >>> round(plateau(4, 101), 3)
    0.289
    """
    rows = _finite(rows_of(classes, length, lag, probabilities), length, margin)
    return sum(one.alike * one.p * match_loss(one, np.eye(one.rest.size + 2)[0])[0] for one in rows)


def _second(prompt: Prompt, rows: list[MatchRows], loss: float, step: float | None = None) -> np.ndarray:
    """Times at which the mean of B is log K and at which the loss is reached; inf where that is never."""
    ends = np.cumsum([one.rest.size + 2 for one in rows])
    parts = [slice(end - one.rest.size - 2, end) for end, one in zip(ends, rows)]
    start, heads, classes = np.zeros(ends[-1]), [part.start for part in parts], prompt.alike.sum()
    start[heads] = 1.0

    def speed(_: float, x: np.ndarray) -> np.ndarray:
        return np.concatenate([-one.p * match_loss(one, x[part])[1] for one, part in zip(rows, parts)])

    def matched(_: float, x: np.ndarray) -> float:
        return float(prompt.alike @ x[heads] / classes - np.log(classes))

    def learnt(_: float, x: np.ndarray) -> float:
        return loss - sum(one.alike * one.p * match_loss(one, x[part])[0] for one, part in zip(rows, parts))

    def both(_: float, x: np.ndarray) -> float:
        return min(matched(_, x), learnt(_, x))
    both.terminal = True    # type: ignore[attr-defined]
    found = solve_ivp(speed, (0.0, 100 * (classes + 1 / loss) / prompt.p[0]), start, "DOP853",
                      events=[matched, learnt, both], rtol=1e-9, atol=1e-9)
    crossed = [float(t[0]) if t.size else np.inf for t in found.t_events]
    times = np.array([0.0 if f(0, start) >= 0 else t for f, t in zip((matched, learnt), crossed)])
    if step is None or step * MOST < times[np.isfinite(times)].max(initial=0.0):        # small: they change nothing
        return times
    return _stepped(start, lambda x: speed(0, x), lambda x: np.array([matched(0, x), learnt(0, x)]), step)


def _stepped(x: np.ndarray, speed: Callable[[np.ndarray], np.ndarray], above: Callable[[np.ndarray], np.ndarray],
             step: float) -> np.ndarray:
    """Times at which each of `above` is first 0 or more, linear between steps of descent; nan where it never is."""
    times, before = np.full(2, np.nan), above(x)
    times[before >= 0] = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for n in range(MOST):
            x = x + step * speed(x)
            now = above(x)
            if not np.isnan(times).any() or not np.isfinite(now).all():
                break
            times = np.where(np.isnan(times) & (now >= 0), step * (n + before / (before - now)), times)
            before = now
    return times


def _kinds(prompt: Prompt) -> list[tuple[float, int, np.ndarray, np.ndarray]]:
    """For each p: how many classes have it, and the other classes' probabilities, each once, with their numbers."""
    others = prompt.alike - np.eye(prompt.p.size, dtype=int)
    return [(float(p), int(alike), prompt.p[rest > 0], rest[rest > 0])
            for p, alike, rest in zip(prompt.p, prompt.alike, others)]
