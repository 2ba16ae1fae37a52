"""What the scores of a head look like: the Profile that both wings return, its uniform baseline,
and the slash and sink criteria of the literature.

S[i, j] is the score of query i and key j, lag = i - j >= 0, T tokens.
"""

from typing import NamedTuple

import numpy as np

from .errors import RopesimError, array, number, whole

SLACK = 1e-9  # how far above 1 rounding may lift a mean of scores
ROW_SUM = 1e-4    # how far the sum of a row may lie from 1, as in a float32 capture
FIRST_PEAK = 0.9  # share of the highest peak of an autocorrelation that an earlier one needs to be the period


class Profile(NamedTuple):
    """Four summaries of a score matrix S, float64[T] each; scores are pure numbers from 0 to 1.

        slash[d]         = mean_{i >= d} S[i, i-d]; skip = s leaves keys j < s out; nan without a pair
        received[j]      = mean_{i >= j} S[i, j]; received[0] is the sink mass
        entropy[i]       = -sum_j S[i, j] log S[i, j], nats
        participation[i] = sum_j S[i, j]^2, from 1/(i+1) to 1                     (P-profile)

    Source: slash, Cheng et al. 2026 (2601.08297), eq. 6; received, Gu et al. 2024 (2410.10781), section 3.2.

    >>> uniform(2)._fields
    ('slash', 'received', 'entropy', 'participation')
    """

    slash: np.ndarray
    received: np.ndarray
    entropy: np.ndarray
    participation: np.ndarray


def uniform(length: int, *, skip: int = 0, window: int = 0) -> Profile:
    """Profile of a head that does not care: row i spreads its score evenly over the keys it sees.

    length: tokens T >= 1; skip: keys j < skip are left out of the slash mean; window: a row sees the
    lags < window only (0: all). O(T), exact up to rounding. Raises RopesimError for other values.
    It is what a measured slash or sink has to beat.

        S[i, j] = 1/n_i, n_i = min(i+1, window):
        slash(d) = sum_{i >= d+skip} (1/n_i) / (T - d - skip), 0 for d >= window,
        received(j) = sum_{j <= i < j+window} (1/n_i) / (T - j), H_i = log n_i, S2_i = 1/n_i   (P-uniform)

    Without a window received(0) = (1 + 1/2 + ... + 1/T) / T.
    Source: derived here; the slash paper's null is its case skip = window = 0.

    >>> uniform(3).received.round(3)
    array([0.611, 0.417, 0.333])
    """
    length = whole("length", length, least=1)
    skip, window = whole("skip", skip, least=0), whole("window", window, least=0)
    width = min(window or length, length)
    seen = np.minimum(np.arange(1.0, length + 1), width)
    return Profile(_uniform_slash(1 / seen, width, skip), _uniform_received(1 / seen, width), np.log(seen), 1 / seen)


def slash_dominant(slash: np.ndarray, lag: int, kappa: float) -> bool:
    """Whether a head is kappa slash-dominant at `lag`.

    slash: average scores by lag, float[T], as in Profile (average it over prompts first); lag from 0
    to T-1, in tokens; kappa from 0 to 1. A lag without pairs (nan) is never dominant. Raises
    RopesimError for other values.

        slash(lag) >= kappa                                                       (P-dominant)

    Source: Cheng et al. 2026 (2601.08297), Definition 4.1, eq. 6; there keys 0..3 are left out (skip = 4).

    >>> slash_dominant([0.1, 0.8, 0.1], 1, 0.8)
    True
    """
    scores = _averages("slash", slash)
    return bool(_reaches(scores, kappa)[whole("lag", lag, least=0, most=scores.size - 1)])


def dominant_lags(slash: np.ndarray, kappa: float) -> np.ndarray:
    """Lags at which a head is kappa slash-dominant, int[number of such lags], ascending.

    slash, kappa, errors and equation (P-dominant) as for `slash_dominant`.
    A profile taken with skip = 0 counts a sink as slash at the lags near T-1, whose few pairs include key 0.

    >>> dominant_lags([0.1, 0.8, np.nan], 0.1)
    array([0, 1])
    """
    return np.flatnonzero(_reaches(_averages("slash", slash), kappa))


def sink_metric(received_first: np.ndarray, epsilon: float = 0.3) -> float:
    """Share of heads, from 0 to 1, whose first token receives more than epsilon on average.

    received_first: Profile.received[0] of each head, float array of any shape with at least one
    entry; epsilon from 0 to 1. Raises RopesimError for other values.

        Sink_1^epsilon = mean over heads of [received(0) > epsilon]               (P-sink)

    Source: Gu et al. 2024 (2410.10781), section 3.2, with epsilon = 0.3 at T = 64.
    Uniform attention has received(0) = H_T/T (P-uniform), which exceeds 0.3 up to T = 9: on so short
    a text every head counts as a sink at the default epsilon, and the metric says nothing.

    >>> sink_metric([[0.9, 0.1], [0.3, 0.4]])
    0.5
    """
    epsilon = number("epsilon", epsilon, least=0, most=1)
    heads = _averages("received_first", received_first, flat=False)
    if np.isnan(heads).any():
        raise RopesimError("received_first", np.nan, "use finite numbers only")
    return float(np.mean(heads > epsilon))


class Period(NamedTuple):
    """Where the average score by lag repeats, in lags, and how well, up to 1; (0, 0.0): nowhere.

    Made by `periodic_sequential`, equation (P-periodic).

    >>> periodic_sequential([1, 0, 0, 1, 0, 0, 1, 0, 0, 1])._fields
    ('lag', 'strength')
    """

    lag: int
    strength: float


def re_access(scores: np.ndarray) -> float:
    """How well a row repeats the one before, key by key, from 0 to 1: vertical stripes and sinks score 1.

    scores: float64[T, T], causal, rows that sum to 1 (to 1e-4), zero above the diagonal. A row without mass on the keys
    of its predecessor is left out; nan if no row is left. O(T^2). Raises RopesimError for other matrices.

        1 - mean_i TV(A_{i+1} on the keys 0..i, renormalised; A_i),  TV(p, q) = 1/2 sum |p - q|   (P-re-access)

    Uniform attention scores 1 as well.
    Source: the pattern, Yang et al. 2026 (2601.21709), section 5; the measure is ours.

    >>> re_access([[1, 0], [0.5, 0.5]])
    1.0
    """
    scores = _matrix(scores)
    return _agreement(np.tril(scores[1:, :-1]), scores[:-1, :-1])


def sequential(scores: np.ndarray) -> float:
    """How well a row repeats the one before, lag by lag, from 0 to 1: diagonals score 1.

    scores, errors and rows left out as for `re_access`, here those without mass on the keys 1..i+1.

        1 - mean_i TV(A_{i+1} on the keys 1..i+1, renormalised; A_i shifted by one key)   (P-sequential)

    Uniform attention scores 1 as well; any head whose logits depend on the lag alone does, a pure sink is nan.
    Source: the pattern, Yang et al. 2026 (2601.21709), section 5; the measure is ours.

    >>> sequential(np.eye(3))
    1.0
    """
    scores = _matrix(scores)
    return _agreement(scores[1:, 1:], scores[:-1, :-1])


def seasonal(scores: np.ndarray, period: int) -> float:
    """How well a row repeats the one `period` rows before, key by key, from 0 to 1.

    scores, errors and rows left out as for `re_access`; period: L from 1 to T, in tokens (nan at T, where no two rows
    are L apart).

        1 - mean_i TV(A_{i+L} on the keys 0..i, renormalised; A_i)                (P-seasonal)

    L = 1 is `re_access`, and whatever scores 1 there scores 1 at every L.
    Source: the pattern, Yang et al. 2026 (2601.21709), section 5; the measure is ours.

    >>> seasonal([[1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]], 2)
    1.0
    """
    scores = _matrix(scores)
    period = whole("period", period, least=1, most=len(scores))
    return _agreement(np.tril(scores[period:, :-period]), scores[:-period, :-period])


def periodic_sequential(slash: np.ndarray) -> Period:
    """Spacing of parallel diagonals, and the autocorrelation of the average score there.

    slash: average scores by lag, float[T], as in Profile, up to the first nan; take skip > 0 where there is a sink.
    Peaks are sought at the lags 2 .. T/2. (0, 0.0) without a peak, as for constant, falling or short averages. O(T^2).
    Raises RopesimError for other arrays.

        r(L) = sum_d x_d x_{d+L} / sqrt(sum_d x_d^2 sum_d x_{d+L}^2),  d = 0 .. T - 1 - L,  x = slash - its mean,
        lag = the first peak with r(L) >= 0.9 max over the peaks of r             (P-periodic)

    A peak, r(L - 1) < r(L) >= r(L + 1) and above 0: a smooth curve is most like itself two lags on, and has no period
    there. The first of the high ones: diagonals spaced 9.68 lags apart fit best at 29, three of their spacings.
    Source: the pattern, Yang et al. 2026 (2601.21709), section 5; the measure is ours, the choice of the peak that of
    McLeod and Wyvill 2005 for the pitch of a sound.

    >>> periodic_sequential([1, 0, 0, 1, 0, 0, 1, 0, 0, 1]).lag
    3
    """
    averages = _averages("slash", slash)
    missing = np.isnan(averages)
    seen = averages[:np.argmax(missing)] if missing.any() else averages
    if seen.size < 4:
        return Period(0, 0.0)
    r = _autocorrelation(seen - seen.mean())
    here = r[2:-1]
    peaks = np.flatnonzero((r[1:-2] < here) & (here >= r[3:]) & (here > 0)) + 2
    if not peaks.size:
        return Period(0, 0.0)
    lag = int(peaks[np.argmax(r[peaks] >= FIRST_PEAK * r[peaks].max())])
    return Period(lag, float(min(r[lag], 1.0)))


def _agreement(later: np.ndarray, earlier: np.ndarray) -> float:
    """1 - mean TV between the rows of `later`, renormalised, and those of `earlier`; nan without a row with mass."""
    mass = later.sum(axis=1)
    rows = mass > 0
    if not rows.any():
        return float("nan")
    distance = np.abs(later[rows] / mass[rows, None] - earlier[rows]).sum(axis=1) / 2
    return float(np.clip(1 - distance.mean(), 0.0, 1.0))


def _autocorrelation(x: np.ndarray) -> np.ndarray:
    """r(L) of (P-periodic) for L = 0 .. T/2 + 1 at most; 0 where a side has no variation."""
    lags = min(x.size // 2 + 2, x.size)
    product = np.array([x[:x.size - lag] @ x[lag:] for lag in range(lags)])
    energy = np.append(0.0, np.cumsum(x ** 2))
    head, tail = energy[x.size - np.arange(lags)], np.append(0.0, np.cumsum(x[::-1] ** 2))[x.size - np.arange(lags)]
    scale = np.sqrt(head * tail)
    return np.divide(product, scale, out=np.zeros(lags), where=scale > SLACK * energy[-1])


def _matrix(scores: np.ndarray) -> np.ndarray:
    scores = array("scores", scores, [None, None])
    if scores.shape[0] != scores.shape[1] or not scores.size:
        raise RopesimError("shape of scores", scores.shape, "use a square matrix, a row and a column for each token")
    if scores.min() < 0 or scores.max() > 1 + ROW_SUM:
        worst = scores.min() if scores.min() < 0 else scores.max()
        raise RopesimError("scores", float(worst), "use scores from 0 to 1 (not logits)")
    after = np.triu(scores, 1).max()
    if after:
        raise RopesimError("scores", float(after), "use 0 for the keys after the query")
    wrong = np.abs(scores.sum(axis=1) - 1).max()
    if wrong > ROW_SUM:
        raise RopesimError("scores", f"a row that misses a sum of 1 by {wrong:.2g}", "use rows that sum to 1")
    return scores


def _uniform_slash(score: np.ndarray, width: int, skip: int) -> np.ndarray:
    """Mean of the rows' scores along each diagonal, as sums from the end: no difference cancels."""
    length = score.size
    slash = np.full(length, np.nan)
    pairs = length - skip
    if pairs > 0:
        slash[:pairs] = score[skip:][::-1].cumsum()[::-1] / np.arange(pairs, 0, -1)
        slash[width:pairs] = 0.0
    return slash


def _uniform_received(score: np.ndarray, width: int) -> np.ndarray:
    """Key j gets the growing rows j..width-1, then 1/width from each row width..j+width-1."""
    length = score.size
    key = np.arange(length)
    full_rows = np.minimum(key + width, length) - np.maximum(key, width)
    total = np.maximum(full_rows, 0) / width
    total[:width] += score[:width][::-1].cumsum()[::-1]
    return total / (length - key)


def _reaches(slash: np.ndarray, kappa: float) -> np.ndarray:
    """Where the average score is at least kappa; a comparison with nan is False."""
    return slash >= number("kappa", kappa, least=0, most=1)


def _averages(name: str, value: np.ndarray, *, flat: bool = True) -> np.ndarray:
    """`value` as an array of mean scores, at least one, nan allowed; `flat`: with one dimension."""
    try:
        given = np.asarray(value)
    except ValueError:   # ragged
        raise RopesimError(name, value, "use an array of real numbers") from None
    missing = given != given
    scores = array(name, np.where(missing, 0.0, given) if missing.any() else given, [None] if flat else given.shape)
    if scores.size == 0:
        raise RopesimError(name, value, "give at least one score")
    wrong = scores[(scores < -SLACK) | (scores > 1 + SLACK)]
    if wrong.size:
        raise RopesimError(name, float(wrong[0]), "use average scores, each from 0 to 1 (not logits)")
    return np.where(missing, np.nan, scores)
