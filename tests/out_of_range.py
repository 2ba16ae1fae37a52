"""Reads past the end of an array in compiled code, and exits 0 only where that raises.

A run with NUMBA_BOUNDSCHECK=1 proves nothing if the switch does nothing, as when a kernel compiled without it comes out
of the cache. CI runs this file first, in the same environment as the checked run.
"""

import numpy as np

from ropesim.jit import jit


@jit
def element(x, i):
    return x[i]


def main() -> str | None:
    inner = np.zeros(8)[:4]  # index 5 lies outside this array and inside its memory
    try:
        element(inner, 5)
    except IndexError:
        return None
    return "an out-of-range read went through: bounds are not checked"


if __name__ == "__main__":
    raise SystemExit(main())
