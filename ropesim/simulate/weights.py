"""Weights of transformer layers: random ones of stated size, and planted super neurons and locked queries."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import RopesimError, array, number, whole

SILU_SQUARE = 0.3557755198    # E SiLU(z)^2 of a standard normal z


class Layer(NamedTuple):
    """Weights of one layer, all float64 or all float32, rows times matrix; T tokens of width d, H heads of width dh.

    query, key, value [H, d, dh], output [H, dh, d]; gate, up [d, n], down [n, d], n may be 0; attention_scale,
    feedforward_scale [d]: the scales of the two RMSNorms; gain: factor on what attention adds; head_norm [dh]: the
    scale of head-wise RMSNorm, shared by the heads, or None for no such norm; epsilon >= 0 of all norms.
    """

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    output: np.ndarray
    gate: np.ndarray
    up: np.ndarray
    down: np.ndarray
    attention_scale: np.ndarray
    feedforward_scale: np.ndarray
    gain: float = 1.0
    head_norm: np.ndarray | None = None
    epsilon: float = 0.0


def checked(layer: Layer, width: int, dtype: Any) -> Layer:
    """The layer, once its shapes fit tokens of this width and its numbers are finite and of this dtype.

    Raises RopesimError otherwise.

    >>> layer = random_layers(1, heads=2, width=4, rng=np.random.default_rng(0))[0]
    >>> checked(layer, 4, np.float64).query.shape
    (2, 4, 2)
    """
    heads, _, size = np.shape(layer.query) if np.ndim(layer.query) == 3 else (0, 0, 0)
    if not heads or size < 2 or size % 2:
        raise RopesimError("shape of query", np.shape(layer.query), "use the shape (H, d, dh), H >= 1, dh even")
    hidden = np.shape(layer.down)[0] if np.ndim(layer.down) == 2 else None
    shapes: dict[str, Sequence[int | None]] = {
        "query": (heads, width, size), "key": (heads, width, size), "value": (heads, width, size),
        "output": (heads, size, width), "gate": (width, hidden), "up": (width, hidden), "down": (hidden, width),
        "attention_scale": (width,), "feedforward_scale": (width,)}
    if layer.head_norm is not None:
        shapes["head_norm"] = (size,)
    for name, shape in shapes.items():
        got = getattr(layer, name)
        if np.asarray(got).dtype != dtype:
            raise RopesimError(f"dtype of {name}", str(np.asarray(got).dtype), f"use {np.dtype(dtype)}, as the tokens")
        array(name, got, shape, dtype)
    number("gain", layer.gain)
    number("epsilon", layer.epsilon, least=0)
    return layer


def random_layers(count: int, *, heads: int, width: int, rng: np.random.Generator, head_dim: int | None = None,
                  hidden: int = 0, tau: float = 1.0, value: float = 1.0, output: float = 1.0,
                  feedforward: float = 1.0, dtype: Any = np.float64) -> list[Layer]:
    """Layers of independent normal weights, for tokens whose coordinates have second moment 1.

    count >= 0; heads, width >= 1; head_dim: even, width / heads unless given; hidden: n >= 0; tau >= 0: standard
    deviation of the logits of independent tokens; value, output, feedforward >= 0: root mean square per coordinate of
    a value, of what attention adds to tokens that see themselves only (if value is 1), of what the feed-forward adds;
    dtype: float64 or float32; scales are 1. Raises RopesimError otherwise.

        Var W_Q = Var W_K = tau/d,  Var W_V = value^2/d,  Var W_O = output^2/(H dh),
        Var W_gate = Var W_up = 1/d,  Var W_down = feedforward^2/(n E SiLU(z)^2)           (D-weights)

    >>> random_layers(2, heads=2, width=8, rng=np.random.default_rng(0))[1].output.shape
    (2, 4, 8)
    """
    heads, width = whole("heads", heads, least=1), whole("width", width, least=1)
    size = whole("head_dim", width // heads if head_dim is None else head_dim)
    if size < 2 or size % 2:
        raise RopesimError("head_dim", size, "use an even number from 2 on, a pair takes two coordinates")
    hidden = whole("hidden", hidden, least=0)
    if dtype not in (np.float64, np.float32):
        raise RopesimError("dtype", dtype, "use float64 or float32")
    logit = (number("tau", tau, least=0) / width) ** 0.5
    sizes = number("value", value, least=0) / width ** 0.5, number("output", output, least=0) / (heads * size) ** 0.5
    down = number("feedforward", feedforward, least=0) / (SILU_SQUARE * max(hidden, 1)) ** 0.5

    def normal(scale: float, *shape: int) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(dtype)

    into = heads, width, size
    return [Layer(normal(logit, *into), normal(logit, *into), normal(sizes[0], *into),
                  normal(sizes[1], heads, size, width), normal(width ** -0.5, width, hidden),
                  normal(width ** -0.5, width, hidden), normal(down, hidden, width),
                  np.ones(width, dtype), np.ones(width, dtype)) for _ in range(whole("count", count, least=0))]


def super_neurons(layer: Layer, directions: np.ndarray, amplification: float, channel: int) -> Layer:
    """The layer with pairs of opposite neurons that add the energy along some directions to one channel.

    directions: float[m, d]; amplification: any number; channel from 0 to d-1. Raises RopesimError otherwise. z is what
    the feed-forward reads, times a direction. The down-projection of the new neurons is zero but for the channel.

        SiLU(z) z + SiLU(-z) (-z) = z^2,   x_channel gains amplification sum_m z_m^2      (D-energy)

    Source: sinks.md R17; super neurons and channel-sparse down-projection, Li et al. 2026 (2605.06611).

    >>> layer = random_layers(1, heads=1, width=4, rng=np.random.default_rng(0))[0]
    >>> super_neurons(layer, np.eye(4)[:1], 3.0, 2).down
    array([[0., 0., 3., 0.],
           [0., 0., 3., 0.]])
    """
    width, dtype = len(layer.gate), layer.gate.dtype
    along = array("directions", directions, [None, width], dtype)
    channel = whole("channel", channel, least=0, most=width - 1)
    pairs = np.concatenate([along, -along])
    down = np.zeros((len(pairs), width), dtype)
    down[:, channel] = number("amplification", amplification)
    return layer._replace(gate=np.hstack([layer.gate, pairs.T]), up=np.hstack([layer.up, pairs.T]),
                          down=np.vstack([layer.down, down]))


def locked(layer: Layer, head: int, channel: int, *, source: np.ndarray, direction: np.ndarray,
           strength: float) -> Layer:
    """The layer with the queries of one head locked onto the key of a channel.

    head from 0 to H-1; channel from 0 to d-1, whose row alone is left of the head's key map; source: float[d], what
    the queries are made of; direction: float[dh], not zero, of queries and keys before RoPE; strength: any number.
    Raises RopesimError otherwise. x is what the layer's maps read; a pair b that RoPE does not rotate has cosine 1.

        logit(i, j) = strength (x_i . source) x_{j,channel} sum_b |u_b|^2 cos((i-j) theta_b),  u = direction/|direction|
                                                                                          (D-lock)

    Source: query lock-in of Li et al. 2026 (2605.06611), as modelled in sinks.md R18.

    >>> layer = random_layers(1, heads=1, width=4, rng=np.random.default_rng(0))[0]
    >>> locked(layer, 0, 1, source=[1, 0, 0, 0], direction=[2, 0, 0, 0], strength=0.5).key[0, 1]
    array([1., 0., 0., 0.])
    """
    heads, width, size = layer.query.shape
    head, channel = whole("head", head, least=0, most=heads - 1), whole("channel", channel, least=0, most=width - 1)
    source, direction = array("source", source, [width]), array("direction", direction, [size])
    length = float(np.linalg.norm(direction))
    if not length:
        raise RopesimError("direction", 0.0, "use a direction other than zero")
    query, key = layer.query.copy(), layer.key.copy()
    query[head] = number("strength", strength) * size ** 0.5 * np.outer(source, direction / length)
    key[head] = 0
    key[head, channel] = direction / length
    return layer._replace(query=query, key=key)
