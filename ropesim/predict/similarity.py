"""q-similarity in closed form: queries with a mean and a fluctuation that forgets, before and after RoPE.

The query of token t is m + x_t. Pair b holds the share w_b of the energy of both; |m|^2 is the share kappa of the whole
and x_t is first-order autoregressive, corr(x_t, x_{t+n}) = rho^n. After RoPE means the frequencies theta of the head;
before RoPE is theta = 0.
"""

import numpy as np

from ..errors import RopesimError, array, number, whole
from .phases import turns

NEAR = 0.5      # length * |1 - z| below which the geometric sums are taken from their Taylor series
TERMS = 14      # of that series


def fejer(theta: np.ndarray, length: int) -> np.ndarray:
    """Mean cosine of the angle that RoPE turns between two different tokens, float64[B], from -1/(T - 1) to 1.

    theta: float64[B], rad/token, |theta| < 2**64; length: T >= 2. Raises RopesimError otherwise.

        F_T(theta) = (sin^2(T theta/2) / sin^2(theta/2) - T) / (T (T - 1)),  F_T(0) = 1   (A-fejer)

    Source: tappa.md X7; Fejer's kernel without its diagonal.

    >>> fejer([0.0, np.pi], 3).round(6)
    array([ 1.      , -0.333333])
    """
    length = whole("length", length, least=2)
    half = _angle(theta) / 2
    sine = np.sin(half)
    ratio = np.divide(np.sin(length * half), sine, out=np.full(half.size, float(length)), where=sine != 0)
    return (ratio ** 2 - length) / (length * (length - 1))


def all_pairs(energy: np.ndarray, theta: np.ndarray, length: int, *, kappa: float = 1.0, rho: float = 0.0) -> float:
    """Predicted mean cosine between two different queries of a text, from -1 to 1.

    energy: float64[B] >= 0, of each pair, positive sum (its scale does not matter); theta: float64[B], rad/token, zeros
    for the similarity before RoPE; length: T >= 2 tokens; kappa from 0 to 1, share of the mean; rho from -1 to 1.
    Raises RopesimError otherwise. Exact for a constant query, kappa = 1; else an approximation, see `error`.

        s = sum_b w_b [kappa F_T(theta_b) + (1-kappa) G_T(rho e^{1j theta_b})],
        G_T(z) = 2 Re z (T (1-z) - (1-z^T)) / (T (T - 1) (1-z)^2),  G_T(1) = 1       (A-similarity)

    Source: tappa.md X7.

    >>> theta = 1e4 ** -(np.arange(64) / 64)
    >>> round(all_pairs(np.ones(64), theta, 32), 4)
    0.7069
    """
    share, theta, kappa, rho = _operands(energy, theta, kappa, rho)
    mean = fejer(theta, length)
    drift = _geometric(rho * np.exp(1j * theta), length) if kappa < 1 else 0.0
    return float(share @ (kappa * mean + (1 - kappa) * drift))


def adjacent(energy: np.ndarray, theta: np.ndarray, *, kappa: float = 1.0, rho: float = 0.0) -> float:
    """Predicted cosine between a query and the next, from -1 to 1.

    Arguments, errors and accuracy as for `all_pairs`.

        s_1 = (kappa + (1-kappa) rho) sum_b w_b cos(theta_b)                      (A-similarity)

    Source: tappa.md X7.

    >>> round(adjacent([1.0, 1.0], [0.0, 0.0], kappa=0.5, rho=0.9), 12)
    0.95
    """
    share, theta, kappa, rho = _operands(energy, theta, kappa, rho)
    return float((kappa + (1 - kappa) * rho) * (share @ np.cos(theta)))


def error(energy: np.ndarray, *, kappa: float = 1.0) -> float:
    """How far the expected cosine of random queries may be from `all_pairs` or `adjacent`, from 0 to 2.

    energy and kappa as for `all_pairs`. A bound to leading order in the sum: the cosine is a ratio, the closed forms
    take the ratio of the means, and x_t is Gaussian with independent pairs, both coordinates of a pair alike. Wide: the
    gaps measured with 64 equal pairs are a fifth of it or less.

        error = 2 (1 - kappa^2) sum_b w_b^2                                        (A-similarity-error)

    Source: derived here (second-order expansion of the ratio).

    >>> error(np.ones(64)), error(np.ones(64), kappa=0.0)
    (0.0, 0.03125)
    """
    share, _, kappa, _ = _operands(energy, np.zeros(np.shape(energy)), kappa, 0.0)
    return float(2 * (1 - kappa ** 2) * (share @ share))


def _geometric(z: np.ndarray, length: int) -> np.ndarray:
    """2 Re sum_{n=1}^{T - 1} (T - n) z^n / (T(T - 1)); near z = 1, where the closed form cancels, a series."""
    gap = 1 - z
    near = length * np.abs(gap) < NEAR
    safe = np.where(near, 1.0, gap)
    total = z * (length * safe - (1 - z ** length)) / safe ** 2
    if near.any():
        total[near] = _series(gap[near], length)
    return 2 * total.real / (length * (length - 1))


def _series(gap: np.ndarray, length: int) -> np.ndarray:
    """sum_{n=1}^{T - 1} (T - n) (1-gap)^n = sum_k C(T+1, k+2) (-gap)^k - T."""
    term = np.full(gap.size, (length + 1) * length / 2, dtype=np.complex128)
    total = term - length
    for k in range(1, TERMS):
        term = term * -gap * (length - k) / (k + 2)
        total += term
    return total


def _angle(theta: np.ndarray) -> np.ndarray:
    """theta within half a turn either way: T theta / 2 loses no digits near a turn."""
    theta = array("theta", theta, [None])
    if (np.abs(theta) >= 2.0 ** 64).any():
        raise RopesimError("theta", np.abs(theta).max(), "use frequencies below 2**64 rad/token")
    wrapped = turns(theta)[0].view(np.int64) * (2 * np.pi / 2.0 ** 64)
    return np.where(np.abs(theta) <= np.pi, theta, wrapped)


def _operands(energy: np.ndarray, theta: np.ndarray, kappa: float,
              rho: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    theta = _angle(theta)
    energy = array("energy", energy, [theta.size])
    peak = energy.max(initial=0.0)
    if not peak or energy.min() < 0:
        raise RopesimError("energy", energy.min(initial=0.0), "use energies from 0 on, not all zero")
    share = energy / peak
    return share / share.sum(), theta, number("kappa", kappa, least=0, most=1), number("rho", rho, least=-1, most=1)
