"""Compiled running sums over lags: the loops that NumPy cannot do in one stable pass.

A sum of exponentials is held as s * exp(ref), where `ref` is a staircase above the logits that
never falls; a sum is rescaled only where the staircase rises. Kahan's compensation keeps the
error of a sum at a few ulp however long it is.
"""

import math
from functools import partial

import numpy as np

from ..jit import REORDER, jit


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


LANES = 16     # heads side by side at most: the state of a pass over a tile is one array, LANES apart
STRIP = 32     # lags that are turned at a time between heads by row and heads by column


@jit
def _add(total, lost, term):  # type: ignore[no-untyped-def]
    """Kahan's step: the new total and what it lost."""
    term -= lost
    more = total + term
    return more, (more - total) - term


@jit
def lag_tiles(logits, sink, first, window, step, x, ref, rises):  # type: ignore[no-untyped-def]
    """Write heads first, first + 1, ... side by side: logits less their stair, to x[0], and key 0's, to x[1].

    ref[i]: the staircase of prefix_sums; rises[i]: whether a head's is higher than at i - 1. Row i's
    logit of key 0 is held against ref[i-1] and ends at 100. Lags from `window` on get no weight.
    Lanes beyond the last head repeat it.
    """
    length, lanes = ref.shape
    rises[:] = False
    stair = np.full(lanes, -np.inf)
    for start in range(0, length, STRIP):
        stop = min(start + STRIP, length)
        for k in range(lanes):
            head = min(first + k, logits.shape[0] - 1)
            top = stair[k]
            for i in range(start, stop):
                if i < window:
                    x[1, i, k] = min(sink[head, i] - top, 100.0)
                    if logits[head, i] > top:
                        top = step * math.ceil(logits[head, i] / step)
                        if not 0 <= top - logits[head, i] <= step:      # beyond 2**53 multiples lie far apart
                            top = logits[head, i]
                        rises[i] = i > 0
                    x[0, i, k] = logits[head, i] - top
                else:
                    x[0, i, k] = x[1, i, k] = -1e4
                ref[i, k] = top
            stair[k] = top


@jit
def row_tiles(x, e, ref, rises, v, means):  # type: ignore[no-untyped-def]
    """Pass down the rows of a tile, e = exp(x): v[i] = exp(ref[i-1] - Z_i), and means over rows, float64[4, lanes].

    means: of the score of key 0 over all rows; of the sum of squared scores and of the entropy over
    the rows >= T // 2; last, the sum of e[0]**2 over the lags < T - 1 relative to ref[T-2].
    """
    length, lanes = ref.shape
    half = length // 2
    q = np.zeros(13 * LANES)                # s, p, t of prefix_sums, three sums over rows, what each lost; a product
    for k in range(lanes):
        e[1, 0, k] = v[0, k] = q[k + 6 * LANES] = q[k + 12 * LANES] = 1.0
        q[k + 8 * LANES] = 1.0 if half == 0 else 0.0
    for i in range(1, length):
        if rises[i - 1]:
            for k in range(lanes):
                fall = ref[i - 2, k] - ref[i - 1, k]
                c = math.exp(fall)
                q[k + 4 * LANES] = c * (q[k + 4 * LANES] + fall * q[k])
                q[k + 5 * LANES] = c * (q[k + 5 * LANES] + fall * q[k + LANES])
                q[k], q[k + LANES] = c * q[k], c * q[k + LANES]
                q[k + 2 * LANES], q[k + 3 * LANES] = c * c * q[k + 2 * LANES], c * c * q[k + 3 * LANES]
        for k in range(lanes):
            w = e[0, i - 1, k]
            q[k], q[k + LANES] = _add(q[k], q[k + LANES], w)
            q[k + 2 * LANES], q[k + 3 * LANES] = _add(q[k + 2 * LANES], q[k + 3 * LANES], w * w)
            q[k + 4 * LANES], q[k + 5 * LANES] = _add(q[k + 4 * LANES], q[k + 5 * LANES], w * x[0, i - 1, k])
        for k in range(lanes):
            v[i, k] = 1 / (q[k] + e[1, i, k])
            q[k + 6 * LANES], q[k + 7 * LANES] = _add(q[k + 6 * LANES], q[k + 7 * LANES], e[1, i, k] * v[i, k])
        if i < half:
            continue
        for k in range(lanes):
            share, key0 = v[i, k], e[1, i, k] * v[i, k]
            square = share * share * q[k + 2 * LANES] + key0 * key0
            rest = -share * q[k + 4 * LANES] - key0 * x[1, i, k]
            q[k + 8 * LANES], q[k + 9 * LANES] = _add(q[k + 8 * LANES], q[k + 9 * LANES], square)
            q[k + 10 * LANES], q[k + 11 * LANES] = _add(q[k + 10 * LANES], q[k + 11 * LANES], rest)
            q[k + 12 * LANES] *= q[k] + e[1, i, k]
        if i % 4 == 3 or i == length - 1:   # one logarithm for up to four rows: each factor is within e^-16 .. e^101
            for k in range(lanes):
                log_z = math.log(q[k + 12 * LANES])
                q[k + 10 * LANES], q[k + 11 * LANES] = _add(q[k + 10 * LANES], q[k + 11 * LANES], log_z)
                q[k + 12 * LANES] = 1.0
    for k in range(lanes):
        means[0, k] = q[k + 6 * LANES] / length
        means[1, k] = q[k + 8 * LANES] / (length - half)
        means[2, k] = q[k + 10 * LANES] / (length - half)
        means[3, k] = q[k + 2 * LANES]


@jit
def sum_tiles(e, ref, rises, s):  # type: ignore[no-untyped-def]
    """Pass down the rows of a tile: sums of e over the lags n < i, relative to the stair of lag i - 1, to s[i]."""
    length, lanes = ref.shape
    q = np.zeros(2 * LANES)
    for k in range(lanes):
        s[0, k] = 0.0
    for i in range(1, length):
        for k in range(lanes if rises[i - 1] else 0):
            c = math.exp(ref[i - 2, k] - ref[i - 1, k])
            q[k], q[k + LANES] = c * q[k], c * q[k + LANES]
        for k in range(lanes):
            q[k], q[k + LANES] = _add(q[k], q[k + LANES], e[i - 1, k])
            s[i, k] = q[k]


@jit
def slash_tiles(e, ref, rises, v, skip, out, slash, first):  # type: ignore[no-untyped-def]
    """Pass up the rows of a tile: average slash scores to slash[first:], by way of out[T, lanes]; skip <= T."""
    length, lanes = ref.shape
    below = max(skip, 1)
    q, share = np.zeros(2 * LANES), np.full(length, np.nan)
    for i in range(max(length - below, 0), length):           # lags without a row that has a key but key 0
        for k in range(lanes):
            out[i, k] = e[1, i, k] * v[i, k] if skip == 0 else 0.0
    for d in range(length - skip):
        share[d] = 1 / (length - d - skip)
    for i in range(length - 1, 0, -1):
        if i + 1 < length and rises[i]:
            for k in range(lanes):
                c = math.exp(ref[i - 1, k] - ref[i, k])
                q[k], q[k + LANES] = c * q[k], c * q[k + LANES]
        for k in range(lanes):
            q[k], q[k + LANES] = _add(q[k], q[k + LANES], v[i, k])
        d = i - below
        if skip == 0:
            for k in range(lanes):
                out[d, k] = e[0, d, k] * q[k] + e[1, d, k] * v[d, k]
        elif d >= 0:
            for k in range(lanes):
                out[d, k] = e[0, d, k] * q[k]
            for k in range(lanes if skip > 1 else 0):
                if ref[d, k] != ref[i - 1, k]:
                    out[d, k] *= math.exp(ref[d, k] - ref[i - 1, k])
    for start in range(0, length, STRIP):
        for k in range(min(lanes, slash.shape[0] - first)):
            for d in range(start, min(start + STRIP, length)):
                slash[first + k, d] = out[d, k] * share[d]


@jit
def turned(e, v, weights, values):  # type: ignore[no-untyped-def]
    """Turn a tile to one head a row: weights[k, T-1-n] = e[0, n, k] for n < T - 1, values[k, i] = v[i, k] for i > 0."""
    length, lanes = v.shape
    weights[:, 0] = values[:, 0] = 0.0
    for start in range(0, length, STRIP):
        stop = min(start + STRIP, length)
        for k in range(lanes):
            for i in range(max(start, 1), stop):
                weights[k, length - i] = e[0, i - 1, k]
                values[k, i] = v[i, k]


@jit
def _split(v, ref, rises, k, limit):  # type: ignore[no-untyped-def]
    """First row from which on the sum of v**2, relative to the stair of row T - 1, is at most `limit`."""
    length = ref.shape[0]
    norm, c, i = 0.0, 1.0, length - 1
    while i > 0:
        if i < length - 1 and rises[i]:
            c = math.exp(min(ref[length - 2, k] - ref[i - 1, k], 300.0))
        # four rows under one stair; `rises`, which is about other heads too, only saves a look at `ref`
        if i > 4 and (not (rises[i - 1] or rises[i - 2] or rises[i - 3]) or ref[i - 4, k] == ref[i - 1, k]):
            a, b, u, w = c * v[i], c * v[i - 1], c * v[i - 2], c * v[i - 3]
            more = (a * a + b * b) + (u * u + w * w)
            if norm + more <= limit:
                norm += more
                i -= 4
                continue
        norm += (c * v[i]) ** 2
        if norm > limit:
            break
        i -= 1
    return i + 1


@partial(jit, flags=REORDER)
def _add_rows(weights, values, start, stop, total):  # type: ignore[no-untyped-def]
    """Add values[i] * weights[T-1-i+j] to total[j] for 1 <= j <= i and the rows start <= i < stop, eight at a time."""
    last = total.size - 1
    i = start
    while i + 8 <= stop:
        v0, v1, v2, v3 = values[i], values[i + 1], values[i + 2], values[i + 3]
        v4, v5, v6, v7 = values[i + 4], values[i + 5], values[i + 6], values[i + 7]
        w = weights[last - i - 7:]
        for j in range(1, i + 1):
            total[j] += ((v0 * w[j + 7] + v1 * w[j + 6]) + (v2 * w[j + 5] + v3 * w[j + 4])
                         + (v4 * w[j + 3] + v5 * w[j + 2]) + (v6 * w[j + 1] + v7 * w[j]))
        for r in range(i + 1, i + 8):
            for j in range(i + 1, r + 1):
                total[j] += values[r] * weights[last - r + j]
        i += 8
    for r in range(i, stop):
        for j in range(1, r + 1):
            total[j] += values[r] * weights[last - r + j]


@jit
def early_rows(weights, values, ref, rises, squares, limit, most, total):  # type: ignore[no-untyped-def]
    """Sums over early rows, to total[k, j] for key j >= 1, until one transform is accurate for the rest; int64[lanes].

    Returns the first row left for the transform, after which the norms of weights and values have
    a product of at most `limit`, and brings both to the stair of row T - 1; values of rows done
    become 0. Where more than `most` rows would be needed none is done and values are all 0.
    """
    length, lanes = ref.shape
    split = np.ones(lanes, np.int64)
    total[:] = 0.0
    for k in range(lanes if length > 1 else 0):
        end = split[k] = _split(values[k], ref, rises, k, limit * limit / max(squares[k], 1e-300))
        start = 1 if end - 1 <= most else end
        while start < end:
            if start > 1:
                weights[k, length - start + 1:length] *= math.exp(ref[start - 2, k] - ref[start - 1, k])
            stop = start + 1
            while stop < end and ref[stop - 1, k] == ref[start - 1, k]:
                stop += 1
            _add_rows(weights[k], values[k], start, stop, total[k])
            start = stop
        values[k, :end if end - 1 <= most else length] = 0.0
        top, factor, back, n = ref[length - 2, k], 1.0, 1.0, 0
        while ref[max(n, end - 2), k] != top:
            if n == 0 or ref[max(n, end - 2), k] != ref[max(n - 1, end - 2), k]:
                fall = ref[max(n, end - 2), k] - top
                factor, back = math.exp(fall), math.exp(min(-fall, 300.0))
            weights[k, length - 1 - n] *= factor
            if n + 1 >= end:
                values[k, n + 1] *= back
            n += 1
    return split


@jit
def twisted(rows, twist, skip, out):  # type: ignore[no-untyped-def]
    """Write rows[k, n] * twist[skip + n] to out[k, skip + n], and zeros to the rest of `out`."""
    stop = skip + rows.shape[1]
    for k in range(rows.shape[0]):
        out[k, :skip] = out[k, stop:] = 0.0
        for n in range(rows.shape[1]):
            z = twist[skip + n]
            out[k, skip + n] = complex(rows[k, n] * z.real, rows[k, n] * z.imag)


@jit
def half_products(one, other):  # type: ignore[no-untyped-def]
    """Spectra of the sums from those of halves, in place: one[:, 0] late lags, one[:, 1] early lags; other: rows.

    The later keys need early lags and late rows, whose real part is due to the earlier keys; hence the 1j.
    """
    for k in range(one.shape[0]):
        for f in range(one.shape[2]):
            late, early, x, y = one[k, 0, f], one[k, 1, f], other[k, 0, f], other[k, 1, f]
            z = early * y
            one[k, 0, f] = early * x + late * y + complex(-z.imag, z.real)
            one[k, 1, f] = z


@jit
def last_keys(weights, values, most, total):  # type: ignore[no-untyped-def]
    """Add the rows left for the transform to total[k, j] for the last keys j, at most `most`."""
    base = max(total.shape[1] - 1 - most, 0)
    for k in range(total.shape[0]):
        _add_rows(weights[k, base:], values[k, base:], 1, total.shape[1] - base, total[k, base:])


@jit
def received_rows(sums, twist, total, most, means, first, received):  # type: ignore[no-untyped-def]
    """Mean scores of the keys to received[first:]: of key 0 as it is, of key j from total[k, j].

    To all keys but the last `most`, the imaginary part of sums[k, j - 1] without its twist is added.
    """
    length = total.shape[1]
    for k in range(min(total.shape[0], received.shape[0] - first)):
        for j in range(1, length - most):
            z = sums[k, j - 1]
            total[k, j] += z.imag * twist[j - 1].real - z.real * twist[j - 1].imag
        for j in range(1, length):
            received[first + k, j] = max(total[k, j], 0.0) / (length - j)
        received[first + k, 0] = means[k]
