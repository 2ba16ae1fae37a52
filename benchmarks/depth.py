"""The simulated stack: one layer with all that is measured, against its matrix products and exponentials alone.

All layers do the same work, so that the ratio of one is that of 24.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from ropesim.simulate import depth
from ropesim.simulate.weights import Layer, random_layers

from .timing import Line, at_most, seconds

TOKENS, HEADS, WIDTH, HIDDEN, ROWS = 4096, 8, 512, 1408, 128


def lines() -> list[Line]:
    out = []
    for dtype in (np.float64, np.float32):
        for hidden in (0, HIDDEN):
            rng = np.random.default_rng(0)
            layer = random_layers(1, heads=HEADS, width=WIDTH, hidden=hidden, rng=rng, dtype=dtype)[0]
            x = rng.standard_normal((TOKENS, WIDTH)).astype(dtype)
            theta = 1e4 ** (-np.arange(32) / 32)
            check(x, layer, theta)
            for threads in (1, 2):
                with threadpool_limits(threads):
                    ours, unit = seconds(lambda: list(depth.forward(x, [layer], theta=theta)),
                                         lambda: products(x, layer), rounds=3)
                case = f"depth layer, T = 4096, 8 heads, d = 512, n = {hidden}, {np.dtype(dtype)}, {threads} thread(s)"
                out.append(at_most(f"{case}: ours / (full products + exp of the causal half)", ours / unit, 2))
    return out


def products(x: np.ndarray, layer: Layer) -> None:
    """Every matrix product of a layer, T x T in full but in blocks, and exp of as many numbers as half of that has."""
    logits, half = np.empty((ROWS, TOKENS), x.dtype), np.linspace(-3, 3, ROWS * TOKENS // 2, dtype=x.dtype)
    power = np.empty_like(half)
    for maps in zip(layer.query, layer.key, layer.value, layer.output):
        q, k, v = (x @ weights for weights in maps[:3])
        o = np.empty_like(v)
        for start in range(0, TOKENS, ROWS):
            np.matmul(q[start:start + ROWS], k.T, out=logits)
            np.exp(half, out=power)
            np.matmul(logits, v, out=o[start:start + ROWS])
        o @ maps[3]
    gate, up = x @ layer.gate, x @ layer.up
    assert (gate @ layer.down).shape == x.shape and up.shape == gate.shape


def check(x: np.ndarray, layer: Layer, theta: np.ndarray) -> None:
    """The first head's received scores, from its whole matrix."""
    (step,) = depth.forward(x, [layer], theta=theta, norm="none")
    q, k = (x.astype(float) @ maps[0] for maps in (layer.query, layer.key))
    turn = np.exp(1j * np.outer(np.arange(TOKENS), theta))
    q, k = (turn * (z[:, :32] + 1j * z[:, 32:]) for z in (q, k))
    power = np.tril(np.exp((q @ k.conj().T).real / 8))
    power /= power.sum(axis=1, keepdims=True)
    want = power.sum(axis=0) / np.arange(TOKENS, 0, -1)
    assert np.abs(step.received[0] - want).max() < (1e-12 if x.dtype == np.float64 else 1e-4)
