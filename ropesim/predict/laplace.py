"""Laplace transforms of log-normal scores, tabulated: what a key with a Gaussian logit adds to a row.

With y = t Y = e^{x + s eps}, x = log t + mu and eps ~ N(0, 1), each function of (x, s) is a known
function of x smoothed by a Gaussian of width s, so one FFT tabulates it for all x at once.
"""

from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.special import ndtr

PER_UNIT = 8       # table points per unit of x: the functions are analytic, their spectrum ends below 1e-12 there
FLOOR = 1e-13      # of phi, below which rounding of the FFT would show


class Table(NamedTuple):
    """values[:, s, x] = (log phi, psi1 / phi, psi2 / phi, psi_log / phi) at x = (low + index) / PER_UNIT."""

    low: int
    spreads: np.ndarray
    values: np.ndarray


def table(spreads: np.ndarray) -> Table:
    """Table for a rising array of spreads s >= 0, in nats.

        phi = E e^{-y},  psi1 = E y e^{-y},  psi2 = E y^2 e^{-y},  psi_log = E y (log y + gamma) e^{-y}   (M-table)

    >>> at = table(np.array([0.0, 1.0]))
    >>> at.values[:, 0, -at.low].round(6) + 0.0        # y = 1, as s = 0
    array([-1.      ,  1.      ,  1.      ,  0.577216])
    """
    reach = 8.5 * float(spreads[-1])
    low = -int((36.0 + reach) * PER_UNIT)
    size = fft.next_fast_len(int((48.0 + 3 * reach) * PER_UNIT), real=True)
    x = (low + np.arange(size)) / PER_UNIT
    with np.errstate(over="ignore", under="ignore"):
        y = np.exp(np.minimum(x, 30.0))
        decay = np.exp(-y)
        known = np.array([decay - ndtr(-x), y * decay, y * y * decay, y * (x + np.euler_gamma) * decay])
    spectrum = fft.rfft(known)
    frequency = 2 * np.pi * fft.rfftfreq(size, 1 / PER_UNIT)
    kept = int((44.0 + 2 * reach) * PER_UNIT)            # the rest only keeps the smoothing from wrapping round
    values = np.empty((4, len(spreads), kept))
    for n, s in enumerate(spreads):
        smooth = fft.irfft(spectrum * np.exp(-0.5 * (s * frequency) ** 2), size)[:, :kept]
        phi = np.maximum(smooth[0] + ndtr(-x[:kept] / np.hypot(1.0, s)), FLOOR)
        values[0, n] = np.minimum(np.log(phi), 0.0)
        values[1:, n] = np.where(phi > FLOOR, smooth[1:] / phi, 0.0)
    return Table(low, spreads, values)
