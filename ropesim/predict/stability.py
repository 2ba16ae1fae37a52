"""How far logits and scores can move from one row to a later one, and where the peaks of a periodic head stand.

Bounds and exact spacings for given queries and keys, after Yang et al. 2026 (2601.21709) with the constants that the
paper leaves open and its two wrong steps put right. Logits are those before any scale: multiply a bound by the scale.
"""

from typing import NamedTuple

import numpy as np

from ..errors import RopesimError, array, number, whole


class Interval(NamedTuple):
    """The least and the most that a quantity can be."""

    least: float
    most: float


def total_variation(osc: float) -> float:
    """Largest total variation between two rows of scores whose logits differ by changes in a range osc, from 0 to 1.

    osc >= 0: the largest less the smallest change of a logit, in nats. Raises RopesimError otherwise. Attained by two
    keys of odds e^{-osc/2}. An equal change of all logits moves nothing.

        TV <= tanh(osc / 4)                                                       (C-tappa-tv)

    Source: tappa.md X2.

    >>> round(total_variation(4.0), 6)
    0.761594
    """
    return float(np.tanh(number("osc", osc, least=0) / 4))


def chord(theta: np.ndarray, lag: int = 1) -> np.ndarray:
    """Distance that RoPE moves a pair of norm 1 in `lag` tokens, float64[B], from 0 to 2.

    theta: float64[B], rad/token; lag: whole, from 0 on. Raises RopesimError otherwise.

        |e^{1j lag theta} - 1| = 2 |sin(lag theta / 2)|                           (C-tappa-5.1)

    Source: tappa.md X1 and X3.

    >>> chord([0.0, np.pi])
    array([0., 2.])
    """
    return 2 * np.abs(np.sin(whole("lag", lag, least=0) * array("theta", theta, [None]) / 2))


def jump(q: np.ndarray, step: np.ndarray, k: np.ndarray, theta: np.ndarray) -> Interval:
    """Bounds on the largest change of a logit from row N - 1 to row N, over the keys 0 .. N - 1.

    q: complex128[B], query N - 1; step: complex128[B], query N less query N - 1, not zero; k: complex128[N, B]; theta:
    float64[B], rad/token; queries and keys before RoPE. Raises RopesimError otherwise. The least may be negative, and
    then says nothing.

        c1 |step| - c2 <= max_j |logit(N, j) - logit(N-1, j)| <= max_j |k_j| |step| + c2,
        c1 = max_j |Re sum_b step_b conj(k_jb) e^{1j (N-j) theta_b}| / |step|,
        c2 = max_j sum_b 2 |sin(theta_b/2)| |q_b| |k_jb|                          (C-tappa-4.1)

    Source: Yang et al. 2026 (2601.21709), Proposition 4.1, which leaves c1 and c2 open; tappa.md X1.

    >>> jump([1.0], [0.5], [[2.0]], [0.0])
    Interval(least=1.0, most=1.0)
    """
    theta = array("theta", theta, [None])
    q, step = (array(name, x, [theta.size], np.complex128) for name, x in (("q", q), ("step", step)))
    k = array("k", k, [None, theta.size], np.complex128)
    if not len(k) or not step.any():
        raise RopesimError("step", step if len(k) else len(k), "use a step that is not zero, and at least one key")
    lags = np.arange(len(k), 0, -1)[:, None]
    along = np.abs(((step * k.conj() * np.exp(1j * lags * theta)).real).sum(axis=1)).max()
    turned = (np.abs(k) @ (np.abs(q) * chord(theta))).max()
    return Interval(float(along - turned), float(np.linalg.norm(k, axis=1).max() * np.linalg.norm(step) + turned))


def vertical(step: float, norm: float, amplitude: np.ndarray, theta: np.ndarray, *, lag: int = 1) -> float:
    """Largest change of the logit of one key between a row and the row `lag` later.

    step >= 0: |q_{i+lag} - q_i|; norm >= 0: |k_j|; amplitude: float64[B] >= 0, |q_ib| |k_jb|; theta: float64[B],
    rad/token; lag: whole, from 0 on. Raises RopesimError otherwise. At lag 1 that is re-access; at the lag L of a
    season, its pairs with L theta_b near whole turns drop out and the others stay.

        |logit(i+lag, j) - logit(i, j)| <= step norm + sum_b 2 |sin(lag theta_b/2)| amplitude_b   (C-tappa-5.1)

    Source: Yang et al. 2026 (2601.21709), Theorems 5.1 and 5.4, corrected; tappa.md X3 and X6.

    >>> vertical(0.1, 2.0, [1.0], [np.pi])
    2.2
    """
    turned = chord(theta, lag)
    amplitude = _from_zero("amplitude", amplitude, turned.size)
    return float(number("step", step, least=0) * number("norm", norm, least=0) + turned @ amplitude)


def phase_drift(phase: np.ndarray, theta: float) -> np.ndarray:
    """Change in one token of cos(phase), the contribution of a pair of amplitude 1 to a logit, float64[n].

    phase: float64[n], rad; theta: rad/token. Raises RopesimError otherwise. theta^2 / 2 in size at phase 0, where query
    and key are aligned, and theta at a right angle.

        cos(phase + theta) - cos(phase) = -2 sin(theta/2) sin(phase + theta/2)    (C-tappa-5.1-aligned)

    Source: tappa.md X3.

    >>> phase_drift([0.0, np.pi / 2], 0.01).round(6)
    array([-5.e-05, -1.e-02])
    """
    theta = number("theta", theta)
    return -2 * np.sin(theta / 2) * np.sin(array("phase", phase, [None]) + theta / 2)


def angle(step: float, norm: float) -> float:
    """Largest angle between two vectors of at least this norm that lie `step` apart, rad, from 0 to pi.

    step >= 0; norm > 0. Raises RopesimError otherwise. Attained by equal norms; above step / norm, by up to pi / 2.

        angle <= 2 arcsin(min(1, step / (2 norm))) <= (pi/2) step / norm          (C-tappa-5.1-angle-corrected)

    Source: Yang et al. 2026 (2601.21709), proof of Theorem 5.1, where step / norm is printed; tappa.md X3.

    >>> round(angle(2.0, 1.0), 6)
    3.141593
    """
    half = number("step", step, least=0) / (2 * number("norm", norm, above=0))
    return float(2 * np.arcsin(min(1.0, half)))


def diagonal(step_q: float, step_k: float, norm_q: float, norm_k: float) -> float:
    """Largest change of a logit from row i and key j to row i + 1 and key j + 1, whatever the frequencies.

    step_q, step_k >= 0: |q_{i+1} - q_i| and |k_{j+1} - k_j|; norm_q >= 0: |q_i|; norm_k >= 0: |k_{j+1}|. Raises
    RopesimError otherwise. The same for any other common shift, with the steps over it.

        |logit(i+1, j+1) - logit(i, j)| <= step_q norm_k + step_k norm_q          (C-tappa-5.2)

    Source: Yang et al. 2026 (2601.21709), Theorem 5.2, whose constant is open; tappa.md X4.

    >>> diagonal(0.1, 0.1, 2.0, 3.0)
    0.5
    """
    return (number("step_q", step_q, least=0) * number("norm_k", norm_k, least=0)
            + number("step_k", step_k, least=0) * number("norm_q", norm_q, least=0))


def peak_gap(amplitude: np.ndarray, theta: np.ndarray) -> float:
    """How far a constant head's logit next to a crest of its largest pair exceeds that next to a trough, at least.

    amplitude: float64[B] >= 0; theta: float64[B], rad/token, that of the largest amplitude above 0 and up to pi. Raises
    RopesimError otherwise. Not positive: no peak is certain. Lags are whole numbers, the nearest within half a token of
    a crest or trough.

        gap >= 2 (A cos(theta/2) - R),  A and theta of the largest, R the sum of the others   (C-tappa-5.3-dominance)

    Source: Yang et al. 2026 (2601.21709), Theorem 5.3; tappa.md X5.

    >>> round(peak_gap([2.0, 0.5], [np.pi / 3, 0.1]), 6)
    2.464102
    """
    most, rest, turn = _dominant(amplitude, theta)
    return float(2 * (most * np.cos(turn / 2) - rest))


def displacement(amplitude: np.ndarray, theta: np.ndarray) -> float:
    """How far the largest logit of a period can lie from the crest of the largest pair, in tokens, at most.

    Arguments and errors as for `peak_gap`; half a period where nothing better is certain.

        2 arcsin(min(1, sqrt(sin^2(theta/4) + R/A))) / theta                      (C-tappa-5.3-displacement)

    Source: tappa.md X5.

    >>> displacement([1.0, 0.0], [0.1, 0.2])
    0.5
    """
    most, rest, turn = _dominant(amplitude, theta)
    share = np.sin(turn / 4) ** 2 + rest / most if most else 1.0
    return float(2 * np.arcsin(min(1.0, np.sqrt(share))) / turn)


def visible_limit(length: int, base: float, head_dim: int) -> float:
    """Index of the pair, in fractions, whose period is the context: those below it repeat within the context.

    length: N >= 1 tokens; base > 1; head_dim: d, even, >= 2. Raises RopesimError otherwise. Negative below 2 pi tokens;
    beyond d/2 every pair repeats.

        2 pi base^{2m/d} < N  if and only if  m < m_c = (d/2) log(N / 2 pi) / log base   (C-tappa-5.3-visible)

    Source: tappa.md X5; half of (R-critical) before it is rounded up.

    >>> round(visible_limit(4096, 1e4, 128), 1)
    45.0
    """
    length, base = whole("length", length, least=1), number("base", base, above=1)
    if whole("head_dim", head_dim, least=2) % 2:
        raise RopesimError("head_dim", head_dim, "use an even number")
    return float(head_dim / 2 * np.log(length / (2 * np.pi)) / np.log(base))


def _from_zero(name: str, value: np.ndarray, size: int) -> np.ndarray:
    value = array(name, value, [size])
    if (value < 0).any():
        raise RopesimError(name, value.min(), "use numbers from 0 on")
    return value


def _dominant(amplitude: np.ndarray, theta: np.ndarray) -> tuple[float, float, float]:
    """The largest amplitude, the sum of the others, and the frequency of the largest."""
    theta = array("theta", theta, [None])
    amplitude = _from_zero("amplitude", amplitude, theta.size)
    if not theta.size:
        raise RopesimError("number of pairs", 0, "use at least one")
    top = int(np.argmax(amplitude))
    return (float(amplitude[top]), float(np.delete(amplitude, top).sum()),
            number("theta of the largest amplitude", theta[top], above=0, most=np.pi))
