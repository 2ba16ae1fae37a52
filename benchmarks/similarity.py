"""q-similarity by its identity against the Gram matrix, as the code of the paper takes it."""

import numpy as np

from ropesim import similarity

from .timing import Line, at_least, seconds

HEADS, LENGTH, PAIRS = 64, 1024, 64


def lines() -> list[Line]:
    rng = np.random.default_rng(0)
    shape = HEADS, LENGTH, PAIRS
    queries = rng.standard_normal(shape) + 1j * rng.standard_normal(shape) + 0.5

    def ours() -> list[float]:
        return [similarity.all_pairs(q) for q in queries]

    def by_head() -> list[float]:
        return [gram(q[None])[0] for q in queries]

    def batched() -> list[float]:
        return gram(queries)

    assert np.abs(np.subtract(ours(), by_head())).max() < 1e-12
    assert np.abs(np.subtract(ours(), batched())).max() < 1e-12
    fast, one, all_heads = seconds(ours, by_head, batched, rounds=5)
    case = f"q-similarity, T = {LENGTH}, {HEADS} heads, {PAIRS} pairs"
    return [at_least(f"{case}: Gram matrix of all heads at once / ours", all_heads / fast, 50),
            at_least(f"{case}: Gram matrix head by head / ours", one / fast, 50)]


def gram(queries: np.ndarray) -> list[float]:
    """Mean off the diagonal of u u^T, for each head of complex128[H, T, B]."""
    x = queries.view(np.float64)
    u = x / np.linalg.norm(x, axis=-1, keepdims=True)
    product = u @ u.transpose(0, 2, 1)
    length = product.shape[-1]
    total = product.sum(axis=(1, 2)) - np.trace(product, axis1=1, axis2=2)
    return (total / (length * (length - 1))).tolist()
