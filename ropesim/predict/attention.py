"""Attention of a head whose logits depend on the lag alone, exactly and in O(T log T).

Row i holds lags 0..i; key 0 stands at lag i. With A_i the log-sum-exp over the lags n < i (every
key but key 0), which never falls with i, and Z_i that of the whole row, each quantity is a prefix
sum, a suffix sum or a correlation of exp(logit) with exp(-Z).
"""

import itertools

import numpy as np
from scipy import fft

from ..errors import RopesimError, array, number, whole
from ..patterns import Profile
from .cosines import curves
from .kernels import suffix_sums, weighted_sums
from .phases import rotations, turns
from .rows import STEP, Rows, cuts, row_sums, staircase

BLOCK = 1 << 19   # longest sequence that is transformed in one piece


def lag_logits(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, length: int, *,
               start: int = 0) -> np.ndarray:
    """Logits of constant heads at the lags start .. start + length - 1, float64[..., length].

    amplitude >= 0 and phase (rad): float64[..., B], one head for each leading index; theta
    (rad/token): float64[B], |theta| < 2**64; length >= 1, start >= 0, start + length <= 2**62.
    Raises RopesimError otherwise.

        logit(lag) = sum_b amplitude[b] cos(theta[b] lag + phase[b])              (A-lag)

    As `cosines.curves`, which takes amplitude exp(1j phase). The error is under 1e-15 sum(amplitude) at any lag.
    Source: Cheng et al. 2026 (2601.08297), section 4, eq. 9.

    >>> lag_logits([2.0, 1.0], [0.0, 0.0], [0.0, np.pi], 4).round(12)
    array([3., 1., 3., 1.])
    """
    amplitude, phase, theta = _constant(amplitude, phase, theta)
    return curves(amplitude * np.exp(1j * phase), theta, length, start=start)


def sink_logits(logits: np.ndarray, margin: float) -> np.ndarray:
    """Row i's logit for a sink at key 0 that exceeds the other keys' log-mean-exp by `margin`, float64[T].

    logits: float64[T], by lag; margin: finite, in nats. Raises RopesimError otherwise. O(T).

        sink(i) = margin + A_i - log i  for i >= 1,   sink(0) = 0                 (E-sink)

    >>> sink_logits(np.zeros(3), 4.0)
    array([0., 4., 4.])
    """
    logits, _, _, _ = _checked(logits, None, 0, 0)
    rows = row_sums(logits, logits, 0)
    return np.append(0.0, number("margin", margin) + rows.ref + rows.log_s - np.log(np.arange(1, logits.size)))


def rounding(amplitude: np.ndarray, length: int) -> np.ndarray:
    """Bound on what rounding does to any entry of a Profile of each constant head, float64[...].

    amplitude: float64[..., B] >= 0; length: T. An error of d in every logit moves a score by at most
    2 d, a participation by 4 d and an entropy by 4 d log T; the sums add a few hundred ulp.

        error = 1e-13 + 4 (1 + log T) 2e-15 sum(amplitude)                        (A-rounding)

    >>> bool(rounding(np.ones(64), 4096) < 1e-11)
    True
    """
    return np.asarray(1e-13 + 4 * (1 + np.log(length)) * 2e-15 * np.sum(amplitude, axis=-1))


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
    length, below = logits.size, max(skip, 1) - 1            # row d + max(skip, 1) is at index d + below
    lags = max(min(window or length, length - 1 - below), 0)  # lags beyond have no score, or none but key 0's
    row = slice(below, below + lags)
    total = np.zeros(length)
    total[:lags] = np.exp(np.minimum(logits[:lags] - rows.ref[row], STEP)) * suffix_sums(rows.v, rows.ref)[row]
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
        low = cut.start - (cut.lag + cut.weights.size - 1)   # key j = row - lag, from here; below key 1 there is none
        keys = slice(max(low, 1), max(cut.stop - cut.lag, 1))
        total[keys] += _convolve(cut.values[None], cut.weights[None, ::-1], keys.start - low, keys.stop - low)[0]
    total[0] = 1.0 + rows.first.sum()
    return np.maximum(total, 0.0) / np.arange(length, 0, -1)


def _convolve(a: np.ndarray, b: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Entries start .. stop - 1 of the linear convolution along the last axis; the first axes broadcast."""
    full = a.shape[1] + b.shape[1] - 1
    if min(a.shape[1], b.shape[1]) <= 16:
        short, long = (a, b) if a.shape[1] < b.shape[1] else (b, a)
        out = np.zeros((max(len(a), len(b)), full))
        for i, x in enumerate(short.T):
            out[:, i:i + long.shape[1]] += x[:, None] * long
        return out[:, start:stop]
    if full <= 2 * BLOCK:
        size = fft.next_fast_len(full, real=True)
        return fft.irfft(fft.rfft(a, size) * fft.rfft(b, size), size)[:, start:stop]
    return _convolve_blocks(_spectra(a), _spectra(b), start, stop)


def _spectra(x: np.ndarray) -> np.ndarray:
    blocks = -(-x.shape[1] // BLOCK)
    padded = np.zeros((len(x), blocks * BLOCK))
    padded[:, :x.shape[1]] = x
    return fft.rfft(padded.reshape(len(x), blocks, BLOCK), 2 * BLOCK)


def _convolve_blocks(a: np.ndarray, b: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The same from the spectra of blocks: transforms that fit the cache beat one that does not."""
    out = np.zeros((max(len(a), len(b)), stop - start))
    for n in range(start // BLOCK - 1, -(-stop // BLOCK)):          # fills the blocks n and n + 1 of the result
        first, last = max(n - b.shape[1] + 1, 0), min(n, a.shape[1] - 1)
        if first > last:
            continue
        other = b[:, n - last:n - first + 1][:, ::-1]
        piece = fft.irfft(np.einsum("dpf,dpf->df", a[:, first:last + 1], other), 2 * BLOCK)
        low, high = max(n * BLOCK, start), min((n + 2) * BLOCK, stop)
        out[:, low - start:high - start] += piece[:, low - n * BLOCK:high - n * BLOCK]
    return out


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
    inside = f * (rows.log_s - rows.weighted / rows.s)
    return np.append(0.0, np.maximum(inside - _x_log_x(f) - _x_log_x(rows.first), 0.0))


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.maximum(x, 1e-300))      # 0 log 0 = 0


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
        low = max(cut.start - (cut.lag + cut.weights.size - 1), 1)      # first key that a row of the cut can need
        keys = values[low:cut.stop - cut.lag]
        if len(keys):
            there = slice(cut.start - cut.lag - low, cut.stop - cut.lag - low)
            found = _convolve(keys.T, cut.weights[None], there.start, there.stop)
            out[cut.start:cut.stop] += cut.values[:, None] * found.T
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
    edges = np.arange(whole("blocks", blocks, least=1, most=length) + 1) * length // blocks
    rows = row_sums(logits, sink, window)
    ref, s = np.append(staircase(logits)[0], rows.ref), np.append(0.0, rows.s)      # from row 0 on
    v, first = np.append(1.0, rows.v), np.append(1.0, rows.first)
    out = np.zeros((blocks, blocks))
    for block, (start, stop) in enumerate(itertools.pairwise(edges)):
        i = np.arange(start, stop)[:, None]
        seen = np.clip(i + 1 - np.maximum(edges, 1), 0, i)
        inside = v[i] * s[seen] * np.exp(ref[seen] - ref[i])             # score of keys from each edge on
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
    amplitude, phase, theta = _constant(amplitude, phase, theta)
    lag = whole("lag", lag, least=0, most=2 ** 62)
    turn = rotations(turns(theta), np.array([lag], dtype=np.uint64))[0]
    return amplitude * (np.exp(1j * phase) * turn).real


def mean_pair_logits(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, length: int) -> np.ndarray:
    """Mean of `pair_logits` over the lags 0 .. length - 1, float64[B], by the Dirichlet kernel.

    Arguments and errors as for `lag_logits`.

        mean_n InP_b(n) = A_b cos(phase_b + (T - 1) theta_b / 2) sin(T theta_b / 2) / (T sin(theta_b / 2))
                                                                                  (A-dirichlet)

    >>> mean_pair_logits(np.ones(2), np.zeros(2), np.array([0.0, np.pi]), 4).round(12)
    array([1., 0.])
    """
    amplitude, phase, theta = _constant(amplitude, phase, theta)
    length = whole("length", length, least=1, most=2 ** 62)
    wrapped = turns(theta)[0].view(np.int64) * (2 * np.pi / 2.0 ** 64)    # near a turn, T theta / 2 loses all digits
    half = np.where(np.abs(theta) <= np.pi, theta, wrapped) / 2
    ratio = np.divide(np.sin(length * half), length * np.sin(half), out=np.ones(half.size), where=np.sin(half) != 0)
    return amplitude * np.cos(phase + (length - 1) * half) * ratio


def _constant(amplitude: np.ndarray, phase: np.ndarray,
              theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    theta = array("theta", theta, [None])
    amplitude = array("amplitude", amplitude, [None] * (np.ndim(amplitude) - 1) + [theta.size])
    phase = array("phase", phase, amplitude.shape)
    if (amplitude < 0).any():
        raise RopesimError("amplitude", amplitude.min(), "use amplitudes from 0 on and move the sign into the phase")
    if (np.abs(theta) >= 2.0 ** 64).any():
        raise RopesimError("theta", np.abs(theta).max(), "use frequencies below 2**64 rad/token")
    return amplitude, phase, theta


def _checked(logits: np.ndarray, sink: np.ndarray | None, skip: int,
             window: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    logits = array("logits", logits, [None])
    if not logits.size:
        raise RopesimError("length", 0, "use at least one lag")
    sink = logits if sink is None else array("sink", sink, [logits.size])
    skip, window = whole("skip", skip, least=0), whole("window", window, least=0)
    return logits, sink, min(skip, logits.size), min(window, logits.size)
