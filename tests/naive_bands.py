"""Frequency bands, slowly: every formula as printed, 50 digits, one pair at a time. Imports nothing of ours."""

import math
from fractions import Fraction

from mpmath import atan2, ceil, cos, floor, log, mp, mpf, pi, sin, sqrt

mp.dps = 50


def default(d, b):
    return [mpf(b) ** (-mpf(2 * i) / d) for i in range(d // 2)]


def linear(d, b, s):
    return [theta / mpf(s) for theta in default(d, b)]


def ntk(d, b, s):
    return default(d, mpf(b) * mpf(s) ** (mpf(d) / (d - 2)))


def dynamic(d, b, s, L, n):
    n = max(n, L)
    return default(d, mpf(b) * (mpf(s) * n / L - (mpf(s) - 1)) ** (mpf(d) / (d - 2)))


def correction(d, b, L, r):
    return d * log(L / (2 * pi * mpf(r))) / (2 * log(mpf(b)))


def yarn(d, b, s, L, fast, slow, truncate):
    low, high = correction(d, b, L, fast), correction(d, b, L, slow)
    if truncate:
        low, high = floor(low), ceil(high)
    low, high = max(low, 0), min(high, d - 1)
    if low == high:
        high += mpf("0.001")
    out = []
    for i, theta in enumerate(default(d, b)):
        ramp = min(max((i - low) / (high - low), 0), 1)
        out.append(theta * (1 - ramp) + theta / mpf(s) * ramp)
    return out


def g(s, m):
    return mpf("0.1") * mpf(m) * log(mpf(s)) + 1 if s > 1 else mpf(1)


def yarn_attention(s, mscale, all_dim):
    if mscale and all_dim:
        return g(s, mscale) / g(s, all_dim)
    return g(s, 1)


def longrope(d, b, factors):
    return [theta / mpf(f) for theta, f in zip(default(d, b), factors)]


def longrope_attention(s, L):
    return sqrt(1 + log(mpf(s)) / log(mpf(L))) if s > 1 else mpf(1)


def llama3(d, b, s, low, high, L):
    out = []
    for theta in default(d, b):
        wavelength = 2 * pi / theta
        if wavelength < L / mpf(high):
            out.append(theta)
        elif wavelength > L / mpf(low):
            out.append(theta / mpf(s))
        else:
            m = (L / wavelength - mpf(low)) / (mpf(high) - mpf(low))
            out.append((1 - m) * theta / mpf(s) + m * theta)
    return out


def proportional(d, b, p, s):
    kept = math.floor(Fraction(p) * d / 2)
    return [theta / mpf(s) if i < kept else mpf(0) for i, theta in enumerate(default(d, b))]


def half_dft(M):
    return [2 * pi * s / (2 * M + 1) for s in range(1, M + 1)]


def cosine_sum(theta, lag):
    return sum(cos(mpf(t) * lag) for t in theta)


def first_negative_lag(theta, context):
    """In Python floats: the lags of the tests are small."""
    for lag in range(1, context):
        if math.fsum(math.cos(t * lag) for t in theta) < 0:
            return lag
    return None


def rotate(x, position, theta, layout, rotary_dim):
    """RoPE by the book on one vector: the two coordinates of each rotary pair turn by position * theta."""
    out = list(x)
    for b in range(rotary_dim // 2):
        first, second = (b, b + rotary_dim // 2) if layout == "half" else (2 * b, 2 * b + 1)
        c, s = math.cos(position * theta[b]), math.sin(position * theta[b])
        out[first] = x[first] * c - x[second] * s
        out[second] = x[first] * s + x[second] * c
    return out


def bfloat16(x):
    """The nearest number of 8 significant bits, ties to even (normal range)."""
    if x == 0:
        return 0.0
    exponent = math.frexp(x)[1] - 8
    return math.ldexp(float(round(Fraction(x) / Fraction(2) ** exponent)), exponent)


def phase_error(theta, cosine, sine, position):
    """|implemented phase - exact phase|, wrapped to [0, pi]."""
    exact = mpf(theta) * position
    difference = atan2(sine, cosine) - exact
    return abs(atan2(sin(difference), cos(difference)))
