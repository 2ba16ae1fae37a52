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
def add_expected(mu, slab, share, table, low, per_unit, logs, step, sink, window, skip, slash, first, entropy, square):  # type: ignore
    """Add one query's expected row sums over a grid of log t (M-rows); see `moments._node`.

    table[slab, x] = (log phi, psi / phi, ...) at x = low + index / per_unit; lag m mixes the slabs
    slab[m] and slab[m] + 1. sink is empty where there is none. slash sums rows, the others are by row.
    """
    length, last = mu.size, table.shape[1] - 2
    lags = min(window, length) if window > 0 else length
    certain = sink.size > 0
    ratio, weight = np.empty(lags), np.zeros(length + 1)
    for x in logs:
        total = sum2 = sum_log = 0.0
        weight[:] = 0.0
        seen = 0
        for row in range(length):
            count = min(row if certain else row + 1, lags)
            while seen < count:
                at = min(max((x + mu[seen] - low) * per_unit, 0.0), last + 0.999)
                n = int(at)
                f, g = at - n, share[seen]
                a, b = table[slab[seen], n], table[slab[seen], n + 1]
                c, d = table[slab[seen] + 1, n], table[slab[seen] + 1, n + 1]
                w0, w1, w2, w3 = (1 - g) * (1 - f), (1 - g) * f, g * (1 - f), g * f
                total += w0 * a[0] + w1 * b[0] + w2 * c[0] + w3 * d[0]
                ratio[seen] = w0 * a[1] + w1 * b[1] + w2 * c[1] + w3 * d[1]
                sum2 += w0 * a[2] + w1 * b[2] + w2 * c[2] + w3 * d[2]
                sum_log += w0 * a[3] + w1 * b[3] + w2 * c[3] + w3 * d[3]
                seen += 1
            if total < -45.0:
                break
            if certain and row < lags:
                y = math.exp(min(x + sink[row], 50.0))
                if total - y > -45.0:
                    p = step * math.exp(total - y)
                    weight[row] = p
                    first[row] += p * y
                    square[row] += p * (sum2 + y * y)
                    entropy[row] -= p * (sum_log + y * (x + sink[row] + np.euler_gamma))
            else:
                p = step * math.exp(total)
                weight[row] = p
                square[row] += p * sum2
                entropy[row] -= p * sum_log
                if not certain and row < lags:
                    first[row] += p * ratio[row]
        for row in range(length - 1, -1, -1):
            weight[row] += weight[row + 1]
        for lag in range(seen):
            slash[lag] += ratio[lag] * weight[min(max(lag + skip, lag + 1 if certain else lag), length)]
