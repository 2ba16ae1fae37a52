"""Exact phases: theta times a lag modulo a turn, in fixed point, at any lag below 2**64."""

import numpy as np

PER_TURN = 0x28be60db9391054a7f09d5f47d4d377036d8a5664f10e4107f9458eaf7aef1586dc91b8e909374b8  # 2**320 / (2 pi)


def turns(theta: np.ndarray) -> np.ndarray:
    """theta / 2 pi modulo one turn as uint64[2, B]: the upper and the lower half of 128 bits.

    theta: float64[B], rad/token, below 2**64 in size.

        u = floor( 2**128 (theta / 2 pi mod 1) )                                  (A-turns)

    >>> turns(np.array([np.pi / 2]))[0] >> np.uint64(61)
    array([1], dtype=uint64)
    """
    fraction = []
    for value in theta.tolist():
        over, under = value.as_integer_ratio()
        fraction.append((over * PER_TURN * (1 << 128) // (under << 320)) % (1 << 128))
    return np.array([[f >> 64 for f in fraction], [f % (1 << 64) for f in fraction]], dtype=np.uint64)


def rotations(fraction: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """exp(1j theta n) for each n of `steps`, complex128[steps, B], from fractions of a turn.

    fraction: as of `turns`; steps: uint64[steps].

    >>> rotations(turns(np.array([np.pi])), np.array([1], dtype=np.uint64)).real
    array([[-1.]])
    """
    upper, lower = fraction
    n = steps[:, None]
    angle = n * upper + _upper_half(n, lower)          # 64-bit fraction of a turn; wraps by itself
    quarter = (angle + np.uint64(1 << 61)) >> np.uint64(62)
    rest = (angle - (quarter << np.uint64(62))).view(np.int64) * (2 * np.pi / 2.0 ** 64)   # |rest| <= pi / 4
    return np.array([1, 1j, -1, -1j])[quarter] * (np.cos(rest) + 1j * np.sin(rest))


def _upper_half(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The upper 64 of the 128 bits of a * b, by halves of 32 bits."""
    half, mask = np.uint64(32), np.uint64((1 << 32) - 1)
    a1, a0, b1, b0 = a >> half, a & mask, b >> half, b & mask
    middle = a1 * b0 + (a0 * b0 >> half)
    return a1 * b1 + (middle >> half) + ((a0 * b1 + (middle & mask)) >> half)
