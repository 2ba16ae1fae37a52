"""Compiled running sums over lags: the loops that NumPy cannot do in one stable pass.

A sum of exponentials is held as s * exp(ref), where `ref` is a staircase above the logits that
never falls; a sum is rescaled only where the staircase rises. Kahan's compensation keeps the
error of a sum at a few ulp however long it is.
"""

import math

import numpy as np

from ..jit import jit


@jit
def prefix_sums(x, ref):  # type: ignore[no-untyped-def]
    """Sums over n <= i of w, w**2 and w*x, where w = exp(x) and x = logit - ref, relative to ref[i]."""
    length = x.size
    out = np.empty((3, length))
    s = p = t = ds = dp = dt = 0.0
    for i in range(length):
        if i > 0 and ref[i] != ref[i - 1]:
            fall = ref[i - 1] - ref[i]
            c = math.exp(fall)
            t, dt = c * (t + fall * s), c * (dt + fall * ds)
            s, ds = c * s, c * ds
            p, dp = c * c * p, c * c * dp
        w = math.exp(x[i])
        y = w - ds
        total = s + y
        ds, s = (total - s) - y, total
        y = w * w - dp
        total = p + y
        dp, p = (total - p) - y, total
        y = w * x[i] - dt
        total = t + y
        dt, t = (total - t) - y, total
        out[0, i], out[1, i], out[2, i] = s, p, t
    return out


@jit
def suffix_sums(v, ref):  # type: ignore[no-untyped-def]
    """Sums over i' >= i of v[i'] * exp(ref[i] - ref[i'])."""
    out = np.empty(v.size)
    s = ds = 0.0
    for i in range(v.size - 1, -1, -1):
        if i + 1 < v.size and ref[i] != ref[i + 1]:
            c = math.exp(ref[i] - ref[i + 1])
            s, ds = c * s, c * ds
        y = v[i] - ds
        total = s + y
        ds, s = (total - s) - y, total
        out[i] = s
    return out


@jit
def weighted_sums(x, ref, u):  # type: ignore[no-untyped-def]
    """Sums over n <= i of exp(x[n]) * u[n] relative to exp(ref[i]), where x = logit - ref."""
    out = np.empty(x.size)
    s = ds = 0.0
    for i in range(x.size):
        if i > 0 and ref[i] != ref[i - 1]:
            c = math.exp(ref[i - 1] - ref[i])
            s, ds = c * s, c * ds
        y = math.exp(x[i]) * u[i] - ds
        total = s + y
        ds, s = (total - s) - y, total
        out[i] = s
    return out


@jit
def histogram(start, offset, share, ends, columns):  # type: ignore[no-untyped-def]
    """Cubic weights of the entries ends[r-1] <= n < ends[r] on an even grid, row by row, float64[R, columns].

    Entry n lies offset[n] of a step beyond the second of the four columns from start[0, n] on; the
    part share[n] of it goes to those from start[1, n] on.
    """
    out = np.zeros((ends.size, columns))
    n = 0
    for r in range(ends.size):
        while n < ends[r]:
            f = offset[n]
            w0, w1 = -f * (f - 1) * (f - 2) / 6, (f + 1) * (f - 1) * (f - 2) / 2
            w2, w3 = -(f + 1) * f * (f - 2) / 2, (f + 1) * f * (f - 1) / 6
            for side in range(2):
                g = share[n] if side else 1 - share[n]
                c = start[side, n]
                out[r, c] += g * w0
                out[r, c + 1] += g * w1
                out[r, c + 2] += g * w2
                out[r, c + 3] += g * w3
            n += 1
    return out


@jit
def interpolate(values, row, start, offset, share):  # type: ignore[no-untyped-def]
    """values[row[n]] between its columns at each entry n, with the weights of `histogram`, float64[N]."""
    out = np.empty(row.size)
    for n in range(row.size):
        f, v = offset[n], values[row[n]]
        w0, w1 = -f * (f - 1) * (f - 2) / 6, (f + 1) * (f - 1) * (f - 2) / 2
        w2, w3 = -(f + 1) * f * (f - 2) / 2, (f + 1) * f * (f - 1) / 6
        c = start[0, n]
        low = w0 * v[c] + w1 * v[c + 1] + w2 * v[c + 2] + w3 * v[c + 3]
        c = start[1, n]
        high = w0 * v[c] + w1 * v[c + 1] + w2 * v[c + 2] + w3 * v[c + 3]
        out[n] = low + share[n] * (high - low)
    return out
