"""Which keys a row of attention sees: causal masks with windows, packed documents, a shared first token, lone rows."""

from collections.abc import Sequence

import numpy as np

from .errors import RopesimError, whole

LONGEST = 1 << 15    # tokens of a T x T mask, 1 GB


def visible(length: int, *, window: int = 0, document: int = 0, shared: bool = False,
            alone: Sequence[int] = ()) -> np.ndarray:
    """Whether row i sees key j, bool[T, T].

    length: T from 1 to 2**15; window: lags that a row sees (0: all); document: tokens of each packed document (0: one
    document); shared: position 0 belongs to no document, the first of which begins at 1, and every row sees it;
    alone: rows that see themselves only, each from 0 to T-1. Raises RopesimError otherwise.

        M_ij = [j <= i] [i - j < window] [i div m = j div m] or [j = 0, shared];  M_ij = [i = j] for i alone   (D-mask)

    Source: sinks.md sections 2.2 (packing) and 4.

    >>> visible(4, document=2).astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [0, 0, 1, 0],
           [0, 0, 1, 1]])
    """
    length = whole("length", length, least=1)
    if length > LONGEST:
        raise RopesimError("length", length, f"use at most {LONGEST} tokens, or a window without a T x T mask")
    window, document = whole("window", window, least=0), whole("document", document, least=0)
    position = np.arange(length)
    lag = position[:, None] - position
    mask = lag >= 0
    if window:
        mask &= lag < window
    if document:
        number = (position - bool(shared)) // document         # -1 for a shared first token
        mask &= number[:, None] == number
    if shared:
        mask[:, 0] = True
    for row in alone:
        mask[whole("alone", row, least=0, most=length - 1)] = position == row
    return mask


def checked(mask: np.ndarray) -> np.ndarray:
    """Your own mask, bool[T, T], once it is seen to be one.

    mask: bool[T, T], True where row i sees key j; no key after its row, a key for every row. Raises RopesimError
    otherwise.

    >>> checked([[True, False], [False, True]]).shape
    (2, 2)
    """
    out = np.asarray(mask)
    if out.dtype != np.bool_:
        raise RopesimError("mask", out.dtype.name, "use booleans, True where row i sees key j")
    if out.ndim != 2 or out.shape[0] != out.shape[1] or not out.size:
        raise RopesimError("shape of mask", out.shape, "use the shape (T, T)")
    if len(out) > LONGEST:
        raise RopesimError("length", len(out), f"use at most {LONGEST} tokens, or a window without a T x T mask")
    for row, keys in enumerate(out):
        if keys[row + 1:].any():
            raise RopesimError("mask", (row, int(keys.nonzero()[0][-1])), "let no row see a key after itself")
        if not keys.any():
            raise RopesimError("mask", row, "let this row see a key, such as its own")
    return out
