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
def add_expected(mu, slab, share, table, low, per_unit, logs, step, sink, window, skip,  # type: ignore
                 slash, first, entropy, square):
    """Add one query's expected row sums over a grid of log t (M-rows).

    table[s, x] = (log phi, psi1 / phi, psi2 / phi, psi_log / phi) at x = low + index / per_unit; lag m
    mixes the tables slab[m] and slab[m] + 1 in the proportion share[m]. sink is empty where there is
    none. slash is summed over rows, the others are by row.
    """
    length, last = mu.size, table.shape[1] - 2
    lags = min(window, length) if window > 0 else length
    certain = sink.size > 0
    ratio, weight, sums = np.empty(lags), np.zeros(length + 1), np.zeros((lags + 1, 3))
    tail = step / (1 - math.exp(-step))                # below the grid the integrand falls as t: a geometric sum
    for n in range(logs.size):
        x, width = logs[n], step if n > 0 else tail
        total = sum2 = sum_log = 0.0
        seen = 0
        while seen < lags and total > -30.0:
            at = min(max((x + mu[seen] - low) * per_unit, 0.0), last + 0.999)
            i = int(at)
            f, g, k = at - i, share[seen], slab[seen]
            v0 = table[k, i, 0] + f * (table[k, i + 1, 0] - table[k, i, 0])
            v1 = table[k, i, 1] + f * (table[k, i + 1, 1] - table[k, i, 1])
            v2 = table[k, i, 2] + f * (table[k, i + 1, 2] - table[k, i, 2])
            v3 = table[k, i, 3] + f * (table[k, i + 1, 3] - table[k, i, 3])
            if g > 0.0:
                k += 1
                v0 += g * (table[k, i, 0] + f * (table[k, i + 1, 0] - table[k, i, 0]) - v0)
                v1 += g * (table[k, i, 1] + f * (table[k, i + 1, 1] - table[k, i, 1]) - v1)
                v2 += g * (table[k, i, 2] + f * (table[k, i + 1, 2] - table[k, i, 2]) - v2)
                v3 += g * (table[k, i, 3] + f * (table[k, i + 1, 3] - table[k, i, 3]) - v3)
            total += v0
            sum2 += v2
            sum_log += v3
            ratio[seen] = v1
            seen += 1
            sums[seen, 0], sums[seen, 1], sums[seen, 2] = total, sum2, sum_log
        reached = length if seen == lags and total > -30.0 else min(seen, length)
        for row in range(reached):
            count = min(row if certain else row + 1, lags)
            total = sums[count, 0]
            if certain and row < lags:
                y = math.exp(min(x + sink[row], 50.0))
                if total - y > -30.0:
                    p = width * math.exp(total - y)
                    weight[row] = p
                    first[row] += p * y
                    square[row] += p * (sums[count, 1] + y * y)
                    entropy[row] -= p * (sums[count, 2] + y * (x + sink[row] + np.euler_gamma))
            else:
                p = width * math.exp(total)
                weight[row] = p
                square[row] += p * sums[count, 1]
                entropy[row] -= p * sums[count, 2]
                if not certain and row < lags:
                    first[row] += p * ratio[row]
        for row in range(reached - 1, -1, -1):
            weight[row] += weight[row + 1]
        for lag in range(seen):
            slash[lag] += ratio[lag] * weight[min(max(lag + skip, lag + 1 if certain else lag), length)]
        weight[:reached] = 0.0
