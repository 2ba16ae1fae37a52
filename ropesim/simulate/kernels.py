"""Compiled pass over a block of rows of one score matrix, while the block is in the cache."""

from functools import partial

import numpy as np

from ..jit import REORDER, jit


@partial(jit, flags=REORDER)
def add_rows(x, e, first_row, first_key, skip, window, slash, received, entropy, participation):  # type: ignore
    """Add the scores of a block of rows to each sum; x are logits less their row's largest, e = exp(x)."""
    for r in range(x.shape[0]):
        row = first_row + r
        low = max(row - window + 1, 0) if window > 0 else 0
        count = row + 1 - low
        logit, power = x[r, low - first_key:][:count], e[r, low - first_key:][:count]
        z = square = weighted = 0.0
        for c in range(count):
            z += power[c]
            square += power[c] * power[c]
            weighted += power[c] * logit[c]
        entropy[row] = np.log(z) - weighted / z
        participation[row] = square / (z * z)
        share = 1 / z
        by_key = received[low:]
        for c in range(count):
            by_key[c] += power[c] * share
        backward = power[::-1]                 # lag 0 first; slices let the compiler vectorise
        for lag in range(min(count, row + 1 - skip)):
            slash[lag] += backward[lag] * share
