"""A stack of attention layers by brute force: tokens, rows and value maps are drawn, and all is multiplied out."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from .. import masks
from ..errors import RopesimError, whole
from ..stacks import Rows, Stack

LARGEST = 1 << 27    # scores of one sample that are kept for the way back (1 GB)
STRONG = 0.3         # mean score on key 0 above which a head counts as a sink


class Layer(NamedTuple):
    """What a drawn layer did, all that its tangent needs."""

    scores: np.ndarray       # [H, T, T]; [1, T, T] where all heads are alike
    scale: np.ndarray        # [T], of the values
    heads: np.ndarray        # [H, T], of the aggregated values
    maps: np.ndarray         # [H, d, d]
    after: np.ndarray        # [T], of the sum


def run(stack: Stack, samples: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Mean of every quantity over samples, and its standard error, by name.

    samples >= 2. "variance" float64[L, T] (of the aggregated values, mean over heads), "norm" [L+1, T] (squared),
    "cosine" and "disagreement" [L+1], "received" and "sink" [L], "sensitivity" [T]: E |d x_{T-1} / d x_i|_F^2 / d, rows
    and norms held fixed. Sample k is drawn from SeedSequence(seed, spawn_key=(k,)) and nothing else. Raises
    RopesimError where the scores of one sample exceed 1 GB. O(samples L H (T^2 d + d^3)).

        x' = x + g / sqrt(H) sum_h (A_h V) W_h                                      (D-stack)

    >>> means, errors = run(Stack(layers=3, length=4, width=8), samples=2, seed=0)
    >>> means["norm"].shape, means["sensitivity"].shape
    ((4, 4), (4,))
    """
    samples, seed = whole("samples", samples, least=2), whole("seed", seed, least=0)
    if stack.layers * stack.heads * stack.length ** 2 > LARGEST:
        raise RopesimError("length", stack.length, f"use fewer tokens, heads or layers: L H T^2 up to {LARGEST}")
    mask = masks.visible(stack.length, window=stack.window, document=stack.document, shared=stack.shared,
                         alone=stack.alone)
    found: dict[str, list[np.ndarray]] = {}
    for k in range(samples):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))
        for name, value in _sample(stack, mask, rng).items():
            found.setdefault(name, []).append(value)
    return ({name: np.mean(values, axis=0) for name, values in found.items()},
            {name: np.std(values, axis=0, ddof=1) / np.sqrt(samples) for name, values in found.items()})


def tokens(stack: Stack, rng: np.random.Generator) -> np.ndarray:
    """Tokens of norm 1 whose expected cosine is rho, float64[T, d].

        x_i = sqrt(rho) z + sqrt(1 - rho) u_i,  u_i random unit vectors at right angles to z          (D-stack)

    >>> bool(np.allclose(np.linalg.norm(tokens(Stack(rho=0.5), np.random.default_rng(0)), axis=1), 1))
    True
    """
    common, own = rng.normal(size=stack.width), rng.normal(size=(stack.length, stack.width))
    common /= np.linalg.norm(common)
    own -= np.outer(own @ common, common)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    return np.sqrt(stack.rho) * common + np.sqrt(1 - stack.rho) * own


def scores(rows: Rows, mask: np.ndarray, heads: int, rng: np.random.Generator) -> np.ndarray:
    """Drawn rows of each head, float64[H, T, T]; float64[1, T, T] where nothing is random.

    mask: bool[T, T], as of `masks.visible`; heads: H >= 1.

        logit(i, 0) = margin + tau^2/2,   logit(i, j) ~ N(0, tau^2)                  (D-rows)

    >>> scores(Rows(), np.tril(np.ones((2, 2), dtype=bool)), 1, np.random.default_rng(0))
    array([[[1. , 0. ],
            [0.5, 0.5]]])
    """
    logits = (rows.tau * rng.normal(size=(heads, *mask.shape)) if rows.tau else np.zeros((1, *mask.shape)))
    if rows.margin is not None:
        logits[:, :, 0] = rows.margin + rows.tau ** 2 / 2
    if rows.kind == "sigmoid":
        out: np.ndarray = expit(logits - np.log(mask.sum(axis=1))[:, None]) * mask
        return out
    sink = mask[:, 0] & (mask.sum(axis=1) > 1)           # rows that have another key to give the rest to
    if rows.mass is not None:
        logits[:, sink, 0] = -np.inf
    logits = np.where(mask, logits, -np.inf)
    outside = -np.inf if rows.kind == "softmax" else 0.0
    top = np.maximum(logits.max(axis=2, keepdims=True), outside)
    out = np.exp(logits - top)
    out /= out.sum(axis=2, keepdims=True) + np.exp(outside - top)
    if rows.mass is not None:
        out[:, sink] *= 1 - rows.mass
        out[:, sink, 0] = rows.mass
    return out


def _sample(stack: Stack, mask: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    x = tokens(stack, rng)
    states, layers, variance, received = [_state(x)], [], [], []
    for _ in range(stack.layers):
        x, layer, spread = _layer(stack, x, mask, rng)
        states.append(_state(x))
        layers.append(layer)
        variance.append(spread)
        received.append(layer.scores[:, :, 0])
    norm, cosine, disagreement = (np.array(column) for column in zip(*states))
    first = np.array(received).reshape(stack.layers, stack.heads if stack.rows.tau else 1, stack.length)
    return {"variance": np.array(variance).reshape(stack.layers, stack.length), "norm": norm, "cosine": cosine,
            "disagreement": disagreement,
            "received": first.mean(axis=1)[:, mask[:, 0]].mean(axis=1),
            "sink": (first.mean(axis=2) > STRONG).mean(axis=1),
            "sensitivity": _sensitivity(stack, layers, rng)}


def _layer(stack: Stack, x: np.ndarray, mask: np.ndarray,
           rng: np.random.Generator) -> tuple[np.ndarray, Layer, np.ndarray]:
    """The next tokens, how they came about, and the variance of the aggregated values."""
    scale = 1 / np.linalg.norm(x, axis=1) if stack.norm == "pre" else np.ones(len(x))
    scale[0] *= stack.value
    rows = scores(stack.rows, mask, stack.heads, rng)
    mixed = np.broadcast_to(rows @ (scale[:, None] * x), (stack.heads, *x.shape))
    size = np.linalg.norm(mixed, axis=2)
    heads = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0) if stack.head_norm else np.ones_like(size)
    maps = _orthogonal(rng, stack.heads, stack.width)
    out = x + stack.gain / np.sqrt(stack.heads) * np.einsum("hti,hij->tj", heads[:, :, None] * mixed, maps,
                                                            optimize=True)
    after = 1 / np.linalg.norm(out, axis=1) if stack.norm == "post" else np.ones(len(x))
    return after[:, None] * out, Layer(rows, scale, heads, maps, after), (size ** 2).mean(axis=0)


def _sensitivity(stack: Stack, layers: list[Layer], rng: np.random.Generator) -> np.ndarray:
    """Squares of what a random unit direction of the last token's output pulls back to each token at the start.

    The maps are transposed, nothing is a finite difference; over directions its mean is |d x_{T-1} / d x_i|_F^2 / d.
    """
    direction = rng.normal(size=stack.width)
    back = np.zeros((stack.length, stack.width))
    back[-1] = direction / np.linalg.norm(direction)
    for layer in reversed(layers):
        back = layer.after[:, None] * back
        pulled = np.einsum("tj,hij->hti", back, layer.maps, optimize=True) * layer.heads[:, :, None]
        added = (layer.scores.transpose(0, 2, 1) @ pulled).sum(axis=0)
        back = back + stack.gain / np.sqrt(stack.heads) * layer.scale[:, None] * added
    return (back ** 2).sum(axis=1)


def _state(x: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Squared norms, mean cosine over pairs, mean squared distance from the mean token."""
    norm, count = (x ** 2).sum(axis=1), len(x)
    total = (x / np.sqrt(norm)[:, None]).sum(axis=0)
    return norm, (total @ total - count) / (count * (count - 1)), ((x - x.mean(axis=0)) ** 2).sum() / count


def _orthogonal(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Haar-distributed orthogonal matrices, float64[count, d, d]."""
    q, r = np.linalg.qr(rng.normal(size=(count, width, width)))
    return q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
