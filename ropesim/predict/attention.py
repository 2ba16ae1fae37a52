"""Attention of a head whose logits depend on the lag alone, exactly and in O(T log T).

Row i holds lags 0..i; key 0 stands at lag i. With A_i the log-sum-exp over the lags n < i (every
key but key 0), which never falls with i, and Z_i that of the whole row, each quantity is a prefix
sum, a suffix sum or a correlation of exp(logit) with exp(-Z).
"""

import itertools

import numpy as np
from scipy import fft
from scipy.special import entr

from ..errors import RopesimError, array, number, whole
from ..patterns import Profile
from .kernels import suffix_sums, weighted_sums
from .phases import rotations, turns
from .rows import STEP, Rows, cuts, row_sums, staircase


def lag_logits(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, length: int, *,
               start: int = 0) -> np.ndarray:
    """Logits of a constant head at the lags start .. start + length - 1, float64[length].

    amplitude >= 0, phase (rad) and theta (rad/token): float64[B], |theta| < 2**64; length >= 1,
    start >= 0, start + length <= 2**63. Raises RopesimError otherwise.

        logit(lag) = sum_b amplitude[b] cos(theta[b] lag + phase[b])              (A-lag)

    One matrix product of giant and baby steps (A-giant). The phases of both come from theta / 2 pi
    as a 128-bit fraction of a turn (A-turns), so the error, under 1e-15 sum(amplitude), does not
    grow with the lag; theta is taken as the exact value of its double.
    Source: Cheng et al. 2026 (2601.08297), section 4, eq. 9.

    >>> lag_logits([2.0, 1.0], [0.0, 0.0], [0.0, np.pi], 4).round(12)
    array([3., 1., 3., 1.])
    """
    theta = array("theta", theta, [None])
    pairs = theta.size
    amplitude, phase = array("amplitude", amplitude, [pairs]), array("phase", phase, [pairs])
    if amplitude.size and amplitude.min() < 0:
        raise RopesimError("amplitude", amplitude.min(), "use amplitudes from 0 on and move the sign into the phase")
    if pairs and np.abs(theta).max() >= 2.0 ** 64:
        raise RopesimError("theta", np.abs(theta).max(), "use frequencies below 2**64 rad/token")
    length = whole("length", length, least=1)
    start = whole("start", start, least=0, most=2 ** 63 - length)
    baby = 1 << ((length - 1).bit_length() + 1) // 2
    giants = -(-length // baby)
    fraction = turns(theta)
    steps = np.uint64(start) + np.arange(giants, dtype=np.uint64) * np.uint64(baby)
    giant = amplitude * np.exp(1j * phase) * rotations(fraction, steps)
    rest = rotations(fraction, np.arange(baby, dtype=np.uint64))
    return (np.hstack([giant.real, -giant.imag]) @ np.hstack([rest.real, rest.imag]).T).ravel()[:length]


def sink_logits(logits: np.ndarray, margin: float) -> np.ndarray:
    """Row i's logit for a sink at key 0 that exceeds the other keys' log-mean-exp by `margin`, float64[T].

    logits: float64[T], by lag; margin: finite, in nats. Raises RopesimError otherwise. O(T).

        sink(i) = margin + A_i - log i  for i >= 1,   sink(0) = 0                 (E-sink)

    >>> sink_logits(np.zeros(3), 4.0)
    array([0., 4., 4.])
    """
    logits, _, _, _ = _checked(logits, None, 0, 0)
    rows = row_sums(logits, logits, 0)
    return np.append(0.0, number("margin", margin) + rows.ref + np.log(rows.s) - np.log(np.arange(1, logits.size)))


def rounding(amplitude: np.ndarray, length: int) -> float:
    """Bound on what rounding does to any entry of a Profile of a constant head.

    amplitude: float64[B] >= 0; length: T. An error of d in every logit moves a score by at most
    2 d, a participation by 4 d and an entropy by 4 d log T; the sums add a few hundred ulp.

        error = 1e-13 + 4 (1 + log T) 2e-15 sum(amplitude)                        (A-rounding)

    >>> rounding(np.ones(64), 4096) < 1e-11
    True
    """
    return float(1e-13 + 4 * (1 + np.log(length)) * 2e-15 * np.sum(amplitude))


def slash(logits: np.ndarray, *, sink: np.ndarray | None = None, skip: int = 0, window: int = 0) -> np.ndarray:
    """Average slash score by lag, float64[T]: the mean over rows i >= lag of S[i, i - lag].

    Arguments, errors and source as for `profile`. O(T).

        slash(d) = (e^{l_d} sum_{i > d} e^{-Z_i} + first_d) / (T - d)            (A-slash)

    and with skip = s > 0 the sum starts at row d + s and the divisor is T - d - s (nan below 1).

    >>> slash(np.zeros(4)).round(6)
    array([0.520833, 0.361111, 0.291667, 0.25    ])
    """
    logits, sink, skip, window = _checked(logits, sink, skip, window)
    return _slash(row_sums(logits, sink, window), logits, skip, window)


def _slash(rows: Rows, logits: np.ndarray, skip: int, window: int) -> np.ndarray:
    length = logits.size
    sums = np.append(suffix_sums(rows.v, rows.ref), 0.0)     # index i - 1; none beyond the last row
    ref = np.append(rows.ref, 0.0)
    seen = min(window or length, max(length - skip, 0))      # lags beyond have no score or no pair
    row = np.minimum(np.arange(seen) + max(skip, 1), length) - 1
    total = np.zeros(length)
    total[:seen] = np.where(row < length - 1, np.exp(np.minimum(logits[:seen] - ref[row], STEP)) * sums[row], 0.0)
    if skip == 0:
        total += np.append(1.0, rows.first)
    left = np.arange(length, 0, -1) - skip
    return np.divide(total, left, out=np.full(length, np.nan), where=left > 0)


def received(logits: np.ndarray, *, sink: np.ndarray | None = None, window: int = 0) -> np.ndarray:
    """Mean score that each key receives from the rows that see it, float64[T].

    Arguments, errors and source as for `profile`. O(T log T): rows are cut where A has risen by 4
    nats; within a cut only keys within 44 nats matter, and one FFT correlates them (A-cuts).

        received(j) = 1 / (T - j) sum_{i >= j} S[i, j]                            (A-received)

    >>> received(np.zeros(4)).round(6)
    array([0.520833, 0.361111, 0.291667, 0.25    ])
    """
    logits, sink, _, window = _checked(logits, sink, 0, window)
    return _received(row_sums(logits, sink, window), logits, window)


def sink_score(logits: np.ndarray, *, sink: np.ndarray | None = None, window: int = 0) -> float:
    """Mean score that key 0 receives, received[0], in O(T).

    Arguments, errors and source as for `profile`.

        received(0) = 1/T sum_i S[i, 0],   S[i, 0] = 1 / (1 + e^{A_i - sink_i})   (A-sink)

    >>> round(sink_score(np.zeros(4)), 6)
    0.520833
    """
    logits, sink, _, window = _checked(logits, sink, 0, window)
    return float((1.0 + row_sums(logits, sink, window).first.sum()) / logits.size)


def _received(rows: Rows, logits: np.ndarray, window: int) -> np.ndarray:
    length = logits.size
    total = np.zeros(length)
    for cut in cuts(rows, logits, window):
        # key j = row - lag: correlate by reversing the weights; a result below key 1 is no key
        found = _convolve(cut.values[:, None], cut.weights[::-1, None])[:, 0]
        low = cut.start - (cut.lag + cut.weights.size - 1)
        missing = max(1 - low, 0)
        total[low + missing:cut.stop - cut.lag] += found[missing:]
    total[0] = 1.0 + rows.first.sum()
    return np.maximum(total, 0.0) / np.arange(length, 0, -1)


def _convolve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Linear convolution along the first axis; the second axes broadcast."""
    full = len(a) + len(b) - 1
    if min(len(a), len(b)) <= 16:
        short, long = (a, b) if len(a) < len(b) else (b, a)
        out = np.zeros((full, max(a.shape[1], b.shape[1])))
        for i, x in enumerate(short):
            out[i:i + len(long)] += x * long
        return out
    size = fft.next_fast_len(full, real=True)
    return fft.irfft(fft.rfft(a, size, axis=0) * fft.rfft(b, size, axis=0), size, axis=0)[:full]


def entropy(logits: np.ndarray, *, sink: np.ndarray | None = None, window: int = 0) -> np.ndarray:
    """Entropy of each row in nats, float64[T], within 0 .. log T.

    Arguments, errors and source as for `profile`. O(T). With f the score of all keys but key 0,

        H_i = f (A_i - <l>) - f log f - first log first                           (A-entropy)

    where <l> is the mean logit over the keys but key 0.

    >>> np.exp(entropy(np.zeros(4))).round(6)
    array([1., 2., 3., 4.])
    """
    logits, sink, _, window = _checked(logits, sink, 0, window)
    return _entropy(row_sums(logits, sink, window))


def _entropy(rows: Rows) -> np.ndarray:
    f = rows.v * rows.s
    inside = f * (np.log(rows.s) - rows.weighted / rows.s)
    return np.append(0.0, np.maximum(inside + entr(f) + entr(rows.first), 0.0))


def participation(logits: np.ndarray, *, sink: np.ndarray | None = None, window: int = 0) -> np.ndarray:
    """Sum of the squared scores of each row, float64[T], within 1/T .. 1.

    Arguments, errors and source as for `profile`. O(T).

        S2_i = e^{-2 Z_i} sum_{n < i} e^{2 l_n} + first_i^2                       (A-participation)

    >>> participation(np.zeros(4)).round(6)
    array([1.      , 0.5     , 0.333333, 0.25    ])
    """
    logits, sink, _, window = _checked(logits, sink, 0, window)
    return _participation(row_sums(logits, sink, window))


def _participation(rows: Rows) -> np.ndarray:
    return np.append(1.0, rows.v ** 2 * rows.square + rows.first ** 2)


def profile(logits: np.ndarray, *, sink: np.ndarray | None = None, skip: int = 0, window: int = 0) -> Profile:
    """Profile of the head whose logit at lag n is logits[n]: slash, received, entropy, participation.

    logits: float64[T], by lag. sink: float64[T], row i's logit for key 0, in place of logits[i]
    (None: key 0 is like any other). skip: keys j < skip are left out of the slash mean. window: a
    row sees the lags < window only; 0 means all. Raises RopesimError for wrong shapes, for numbers
    that are not finite and for a negative skip or window. No T x T array; stable at logits of 1e4.

        S[i, i - n] = e^{l_n - Z_i},  Z_i = log sum_{n <= i} e^{l_n}              (A-softmax)

    Source: Cheng et al. 2026 (2601.08297), Definition 4.1, eq. 6; Gu et al. 2024, section 3.2.

    >>> profile(np.zeros(2)).received
    array([0.75, 0.5 ])
    """
    logits, sink, skip, window = _checked(logits, sink, skip, window)
    rows = row_sums(logits, sink, window)
    return Profile(_slash(rows, logits, skip, window), _received(rows, logits, window), _entropy(rows),
                   _participation(rows))


def outputs(logits: np.ndarray, values: np.ndarray, *, sink: np.ndarray | None = None,
            window: int = 0) -> np.ndarray:
    """Outputs S V of the head for values given by key, float64[T, D].

    values: float64[T, D]; other arguments, errors and source as for `profile`. O(D T log T).

        o_i = sum_{j <= i} S[i, j] values[j]                                      (A-outputs)

    >>> outputs(np.zeros(2), np.array([[1.0], [3.0]]))
    array([[1.],
           [2.]])
    """
    logits, sink, _, window = _checked(logits, sink, 0, window)
    values = array("values", values, [logits.size, None])
    rows = row_sums(logits, sink, window)
    out = np.append(1.0, rows.first)[:, None] * values[:1]
    for cut in cuts(rows, logits, window):
        low = cut.start - (cut.lag + cut.weights.size - 1)          # first key that a row of the cut can need
        keys = values[max(low, 1):cut.stop - cut.lag]
        found = _convolve(keys, cut.weights[:, None])
        there = cut.start - cut.lag - max(low, 1)
        out[cut.start:cut.stop] += cut.values[:, None] * found[there:there + cut.stop - cut.start]
    return out


def lag_outputs(logits: np.ndarray, values: np.ndarray, *, sink: np.ndarray | None = None,
                window: int = 0) -> np.ndarray:
    """Outputs of the head for mean values that depend on the lag alone, float64[T, D].

    values: float64[T, D], by lag; key 0 has values[i] in row i like any other. Other arguments,
    errors and source as for `profile`. O(D T).

        o_i = sum_{n <= i} S[i, i - n] values[n]                                  (A-lag-outputs)

    >>> lag_outputs(np.zeros(2), np.array([[1.0], [3.0]]))
    array([[1.],
           [2.]])
    """
    logits, sink, _, window = _checked(logits, sink, 0, window)
    values = array("values", values, [logits.size, None])
    rows = row_sums(logits, sink, window)
    stairs = staircase(logits)
    row = np.minimum(np.arange(1, logits.size), window or logits.size) - 1
    sums = [weighted_sums(logits - stairs, stairs, column)[row] for column in values.T.copy()]
    out = np.append(1.0, rows.first)[:, None] * values
    out[1:] += rows.v[:, None] * np.array(sums).T
    return out


def pooled(logits: np.ndarray, blocks: int, *, sink: np.ndarray | None = None, window: int = 0) -> np.ndarray:
    """Attention map pooled to blocks of equal size: the score from a query block to a key block.

    blocks: whole, 1 .. T; other arguments and errors as for `profile`. float64[blocks, blocks],
    rows sum to 1. O(T blocks) time, no T x T array.

        M[I, J] = mean_{i in I} sum_{j in J} S[i, j]                              (A-pooled)

    >>> pooled(np.zeros(4), 2).round(6)
    array([[1.      , 0.      ],
           [0.583333, 0.416667]])
    """
    logits, sink, _, window = _checked(logits, sink, 0, window)
    length = logits.size
    edges = np.linspace(0, length, whole("blocks", blocks, least=1, most=length) + 1).astype(int)
    rows = row_sums(logits, sink, window)
    level = np.concatenate([[-np.inf], rows.ref + np.log(rows.s)])          # log-sum-exp over the lags n < m
    z = np.concatenate([[0.0], rows.ref - np.log(rows.v)])
    first = np.concatenate([[1.0], rows.first])
    out = np.zeros((blocks, blocks))
    for block, (start, stop) in enumerate(itertools.pairwise(edges)):
        i = np.arange(start, stop)[:, None]
        inside = np.exp(level[np.clip(i + 1 - np.maximum(edges, 1), 0, i)] - z[i])   # score of keys from each edge on
        out[block] = (inside[:, :-1] - inside[:, 1:]).mean(axis=0)
        out[block, 0] += first[start:stop].mean()
    return out


def pair_logits(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, lag: int) -> np.ndarray:
    """What each frequency pair adds to the logit at one lag, float64[B].

    Arguments and errors as for `lag_logits`.

        InP_b(lag) = amplitude_b cos(theta_b lag + phase_b)                       (A-pair)

    Source: Cheng et al. 2026 (2601.08297), section 4, eq. 9.

    >>> pair_logits(np.array([2.0]), np.zeros(1), np.array([np.pi]), 1)
    array([-2.])
    """
    theta = array("theta", theta, [None])
    turn = rotations(turns(theta), np.array([whole("lag", lag, least=0)], dtype=np.uint64))[0]
    return amplitude * (np.exp(1j * np.asarray(phase)) * turn).real


def mean_pair_logits(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, length: int) -> np.ndarray:
    """Mean of `pair_logits` over the lags 0 .. length - 1, float64[B], by the Dirichlet kernel.

    Arguments and errors as for `lag_logits`.

        mean_n InP_b(n) = Re A_b e^{i phase_b} e^{i (T-1) theta_b / 2} sin(T theta_b / 2) / (T sin(theta_b / 2))
                                                                                  (A-dirichlet)

    >>> mean_pair_logits(np.ones(2), np.zeros(2), np.array([0.0, np.pi]), 4).round(12)
    array([1., 0.])
    """
    half = array("theta", theta, [None]) / 2
    ratio = np.divide(np.sin(length * half), length * np.sin(half), out=np.ones(half.size), where=np.sin(half) != 0)
    return amplitude * (np.exp(1j * (np.asarray(phase) + (length - 1) * half))).real * ratio


def _checked(logits: np.ndarray, sink: np.ndarray | None, skip: int,
             window: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    logits = array("logits", logits, [None])
    if not logits.size:
        raise RopesimError("length", 0, "use at least one lag")
    sink = logits if sink is None else array("sink", sink, [logits.size])
    return logits, sink, whole("skip", skip, least=0), whole("window", window, least=0)
