"""The one compile decorator.

`error_model="numpy"`: a division by zero gives inf or nan, as in NumPy, and never an exception.
Results are cached on disk unless the environment variable ROPESIM_NUMBA_CACHE is "0". Signatures
are lazy, because an eager one costs a second at import. `fastmath` as a whole stays off, because
it would drop checks for nan and inf without a word; a kernel whose reductions must vectorise names
`REORDER`, which only lets the compiler change the order of sums.
"""

import os
from collections.abc import Callable
from typing import Any

import numba

CACHE = os.environ.get("ROPESIM_NUMBA_CACHE", "1") != "0"
REORDER = frozenset({"reassoc", "nsz", "contract"})


def jit(function: Callable[..., Any], *, flags: frozenset[str] = frozenset()) -> Callable[..., Any]:
    """Compile `function` at its first call; it must not call a compiled function of another file."""
    return numba.njit(error_model="numpy", cache=CACHE, nogil=True, fastmath=set(flags))(function)
