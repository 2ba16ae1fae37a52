"""The simulation: profiles of actual queries and keys, in time and in memory."""

import subprocess
import sys

import numpy as np
from threadpoolctl import threadpool_limits

from ropesim import bands
from ropesim.simulate import attention

from . import dense
from .timing import Line, at_least, at_most, seconds

TOKENS, PAIRS, ROWS = 8192, 64, 128


def lines() -> list[Line]:
    theta = bands.preset("llama-3-8b").theta
    q, k = np.random.default_rng(0).standard_normal((2, TOKENS, 2 * PAIRS)).view(np.complex128) / 8 ** 0.5
    turn = np.exp(1j * np.outer(np.arange(TOKENS), theta))
    real_q, real_k = (np.hstack([x.real, x.imag]) for x in (q * turn, k * turn))
    for seen, want in zip(attention.profile(q, k, theta), by_matrix(q, k, theta)):
        assert np.abs(seen - want).max() < 1e-12
    out = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            ours, unit = seconds(lambda: attention.profile(q, k, theta), lambda: causal_half(real_q, real_k), rounds=7)
        out.append(at_most(f"simulate profile, T = 8192, 64 pairs, {threads} thread(s): ours / (causal products + exp)",
                           ours / unit, 1.5))
    with threadpool_limits(1):
        ours, slow = seconds(lambda: attention.profile(q, k, theta), lambda: by_matrix(q, k, theta), rounds=1)
    return [*out, at_least("simulate profile, T = 8192: dense NumPy / ours", slow / ours, 5),
            at_most("simulate profile, T = 65536, 32 pairs: memory above the inputs", memory(), 400, "MB")]


def causal_half(q: np.ndarray, k: np.ndarray) -> None:
    """What nobody can do without: the products of the causal half and an exp of as many values."""
    flat = np.empty(ROWS * TOKENS)
    for start in range(0, TOKENS, ROWS):
        stop = start + ROWS
        tile = flat[:ROWS * stop].reshape(ROWS, stop)
        np.matmul(q[start:stop], k[:stop].T, out=tile)
        np.exp(tile, out=tile)


def by_matrix(q: np.ndarray, k: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, ...]:
    turn = np.exp(1j * np.outer(np.arange(len(q)), theta))
    logits = ((q * turn) @ (k * turn).conj().T).real
    logits[np.triu_indices(len(q), 1)] = -np.inf
    return dense.profile(logits)


MEMORY = """
import tracemalloc, numpy as np
from ropesim.simulate import attention
theta = 1e4 ** (-np.arange(32) / 32)
q, k = np.random.default_rng(0).standard_normal((2, 65536, 64)).view(np.complex128)
attention.profile(q[:256], k[:256], theta)
tracemalloc.start()
attention.profile(q, k, theta)
print(tracemalloc.get_traced_memory()[1] / 1e6)
"""


def memory() -> float:
    """Peak of what NumPy and Python allocate in MB, once inputs and compiled code are there."""
    return float(subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout)
