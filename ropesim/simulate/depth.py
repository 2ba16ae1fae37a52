"""A transformer stack on given weights and tokens, layer by layer, with what each layer does to them.

Attention runs in blocks of rows over visible keys only. Positions count from 0.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .. import bands, masks
from ..errors import RopesimError, array, number, whole
from ..stacks import KINDS, NORMS
from .attention import rotation
from .blocks import affordable, bound, logistic, tiles, weigh
from .weights import Layer, checked

CHUNK = 1024        # tokens of one pass through the feed-forward
SUM = {"f8": 1e-9, "f4": 1e-5}       # how far given rows may be from the sum 1


class Measures(NamedTuple):
    """Of T tokens: |x_i|^2 and dominance ratio by position, float[T]; mean cosine over pairs; disagreement."""

    norm: np.ndarray
    dominance: np.ndarray
    cosine: float
    disagreement: float


class Pass(NamedTuple):
    """One layer: tokens float[T, d] after it and their measures; by head, variance of the aggregated values [H, T].

    variance: |o_i|^2/dh with o_i what a head has aggregated, before head-wise RMSNorm; received: float[H, T], mean
    score of key k over the rows i >= k (the importance score). Their mean over axis 0 is that of the heads.
    """

    x: np.ndarray
    measures: Measures
    variance: np.ndarray
    received: np.ndarray


class Sight(NamedTuple):
    """What a stack runs with beside weights and tokens, checked; made by `sight`."""

    cos: np.ndarray
    sin: np.ndarray
    order: np.ndarray
    window: int
    visible: np.ndarray | None
    kind: str
    norm: str


def forward(x: np.ndarray, layers: Sequence[Layer], *, theta: np.ndarray, layout: str = "half", window: int = 0,
            visible: np.ndarray | None = None, kind: str = "softmax", norm: str = "pre",
            rows: Sequence[np.ndarray | None] | None = None) -> Iterator[Pass]:
    """What each layer in turn makes of the tokens, one `Pass` per layer.

    x: float[T, d], float64 or float32, and so are the weights and all that comes out; theta: float64[dh/2], rad/token,
    zeros for no positions; layout: how coordinates pair, as in `bands`; window: lags that a row sees (0: all);
    visible: bool[T, T] instead (`masks.visible`); kind: softmax, sigmoid or softmax-plus-one, see (D-scores); norm:
    pre, post or none; rows: for each layer scores float[H, T, T] that replace those of q and k, or None. A zero row
    stays zero under RMSNorm with epsilon 0. Raises RopesimError for anything else, for rows of softmax that do not sum
    to 1, and beyond 2**36 visible pairs a head. O(T min(T, window)) time, O(T) memory.

        x' = x + gain sum_h (A_h n(x) W_V^h) W_O^h,   x'' = x' + (SiLU(y W_gate) * (y W_up)) W_down,  y = n'(x')
        norm "post": x' = n(x + ..) of x itself, x'' = n'(x' + ..);   n(x) = scale x / sqrt(mean x^2 + epsilon)
                                                                                                          (D-layer)

    A_h from q_i . k_j / sqrt(dh) after RoPE; head-wise RMSNorm, if any, acts on A_h n(x) W_V^h.
    Source: pre-norm SwiGLU transformer; head-wise norm, Li et al. 2026 (2605.06611), section 5.1.

    >>> from .weights import random_layers
    >>> stack = random_layers(3, heads=2, width=8, rng=np.random.default_rng(0))
    >>> [step.x.shape for step in forward(np.eye(5, 8), stack, theta=[1.0, 0.1])]
    [(5, 8), (5, 8), (5, 8)]
    """
    x, layers = operands(x, layers)
    given = fixed_rows(rows, layers, len(x), kind)
    setting = sight(x, layers, theta, layout, window, visible, kind, norm)
    return _forward(x, layers, setting, given)


def _forward(x: np.ndarray, layers: Sequence[Layer], setting: Sight,
             given: Sequence[np.ndarray | None]) -> Iterator[Pass]:
    for layer, rows in zip(layers, given):
        pre, post = setting.norm == "pre", setting.norm == "post"
        seen = rms_norm(x, layer.attention_scale, layer.epsilon) if pre else x
        added, variance, received = _attention(seen, layer, setting, rows)
        x = x + added
        x = rms_norm(x, layer.attention_scale, layer.epsilon) if post else x
        if len(layer.down):
            seen = rms_norm(x, layer.feedforward_scale, layer.epsilon) if pre else x
            x = x + _feedforward(seen, layer)
        x = rms_norm(x, layer.feedforward_scale, layer.epsilon) if post else x
        yield Pass(x, measures(x), variance, received)


def _attention(x: np.ndarray, layer: Layer, setting: Sight,
               rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    heads, _, size = layer.query.shape
    variance, received = np.empty((2, heads, len(x)), x.dtype)
    out = np.zeros_like(x)
    for head in range(heads):
        v = x @ layer.value[head]
        if rows is None:
            q, k = rotated(x, layer, head, setting)
            o, received[head] = _attend(q, k, v, setting)
        else:
            o, received[head] = _attend_rows(rows[head], v)
        variance[head] = np.einsum("td,td->t", o, o) / size
        if layer.head_norm is not None:
            o = rms_norm(o, layer.head_norm, layer.epsilon)
        out += o @ layer.output[head]
    out *= layer.gain
    return out, variance, received / np.arange(len(x), 0, -1, dtype=x.dtype)


def _attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, setting: Sight) -> tuple[np.ndarray, np.ndarray]:
    out, received, largest = np.empty_like(v), np.zeros(len(v), v.dtype), bound(q, k)
    for start, first, tile in tiles(q, k, window=setting.window, visible=setting.visible):
        share = 1 / weigh(tile, setting.kind, largest)
        stop = start + len(tile)
        np.matmul(tile, v[first:stop], out=out[start:stop])
        out[start:stop] *= share[:, None]
        received[first:stop] += share @ tile
    return out, received


def _attend_rows(rows: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows @ v, rows.sum(axis=0)


def _feedforward(x: np.ndarray, layer: Layer) -> np.ndarray:
    out = np.empty_like(x)
    for start in range(0, len(x), CHUNK):
        some = x[start:start + CHUNK]
        gate = some @ layer.gate
        hidden = logistic(gate)
        hidden *= gate
        hidden *= some @ layer.up
        np.matmul(hidden, layer.down, out=out[start:start + CHUNK])
    return out


def rotated(x: np.ndarray, layer: Layer, head: int, setting: Sight) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys of one head after RoPE, first coordinates of the pairs before second ones, float[..., T, dh].

    x: float[..., T, d], what the layer's maps read; the queries are divided by sqrt(dh), their products are logits.

    >>> from .weights import random_layers
    >>> x, layers = np.eye(3, 4), random_layers(1, heads=2, width=4, rng=np.random.default_rng(0))
    >>> rotated(x, layers[0], 0, sight(x, layers, [0.0]))[0].shape
    (3, 2)
    """
    size = layer.query.shape[2]
    maps = layer.query[head][:, setting.order] * np.asarray(size ** -0.5, x.dtype), layer.key[head][:, setting.order]
    q, k = (_turned(x @ weights, setting) for weights in maps)
    return q, k


def _turned(z: np.ndarray, setting: Sight) -> np.ndarray:
    out = np.empty_like(z)
    half = z.shape[-1] // 2
    a, b = z[..., :half], z[..., half:]
    np.subtract(a * setting.cos, b * setting.sin, out=out[..., :half])
    np.add(a * setting.sin, b * setting.cos, out=out[..., half:])
    return out


def rms_norm(x: np.ndarray, scale: np.ndarray | float = 1.0, epsilon: float = 0.0) -> np.ndarray:
    """Rows of x over their root mean square, times the scale, float[..., d]; a zero row stays zero.

    x: float[..., d]; scale: float[d] or a number; epsilon >= 0 is added to the mean square.

        n(x)_c = scale_c x_c / sqrt(mean_c x_c^2 + epsilon);   scale 1, epsilon 0:  mean_c n(x)_c^2 = 1    (D-rms)

    Source: sinks.md R15 (head-wise RMSNorm).

    >>> rms_norm(np.array([[3.0, 4.0], [0.0, 0.0]])) ** 2
    array([[0.72, 1.28],
           [0.  , 0.  ]])
    """
    return x / root_mean_square(x, epsilon) * scale


def root_mean_square(x: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """sqrt(mean x^2 + epsilon) by row, float[..., 1]; 1 where that is 0.

    x: float[..., d]; epsilon >= 0. See (D-rms).

    >>> root_mean_square(np.array([[3.0, 3.0], [0.0, 0.0]]))
    array([[3.],
           [1.]])
    """
    root = np.sqrt(np.einsum("...d,...d->...", x, x) / x.shape[-1] + np.asarray(epsilon, x.dtype))[..., None]
    return np.where(root == 0, np.ones_like(root), root)


def measures(x: np.ndarray) -> Measures:
    """Norms, dominance ratios, mean cosine and disagreement of tokens; O(T d).

    x: float[T, d]. A zero token has no dominance ratio (nan) and the cosine 0; a single token has no pairs (nan).
    Raises RopesimError for other shapes.

        dominance_i = max_c |x_ic| / mean_c |x_ic|, from 1 to d;   disagreement = sum_i |x_i - mean x|^2 / T,
        cosine = (|sum_i u_i|^2 - sum_i |u_i|^2) / (T (T-1)),  u_i = x_i/|x_i|              (D-measures)

    Source: dominance ratio, Li et al. 2026 (2605.06611); disagreement is the square of their ||.||_F of rank collapse
    over T, Barbero et al. 2025 (2504.02732), Proposition 3.1; the sum of unit vectors is ours.

    >>> measures(np.array([[2.0, 0.0], [0.0, 1.0]])).dominance
    array([2., 2.])
    """
    x = array("x", x, [None, None], x.dtype if isinstance(x, np.ndarray) and x.dtype.kind == "f" else np.float64)
    length, width = x.shape
    if not x.size:
        raise RopesimError("shape of x", x.shape, "use at least one token and one coordinate")
    norm = np.einsum("td,td->t", x, x)
    size = np.abs(x)
    with np.errstate(invalid="ignore"):
        dominance = size.max(axis=1) / size.mean(axis=1)
    inverse = np.divide(1, np.sqrt(norm), out=np.zeros_like(norm), where=norm > 0)
    unit = inverse @ x
    pairs = float(unit @ unit) - float((norm > 0).sum())
    apart = x - x.mean(axis=0)
    return Measures(norm, dominance, pairs / (length * (length - 1)) if length > 1 else np.nan,
                    float(np.vdot(apart, apart)) / length)


def sink_share(steps: Sequence[Pass], *, key: int = 0, epsilon: float = 0.3) -> np.ndarray:
    """Share of the heads of each layer in which one key is a sink, float64[L]; its mean is the stack's sink metric.

    key: from 0 to T-1; epsilon from 0 to 1. Raises RopesimError otherwise. Uniform rows receive (1 + .. + 1/T)/T at key
    0, which is above .3 up to T = 9: quote it beside the metric.

        Sink_k^eps = mean_l mean_h [received^{l,h}_k > eps]                          (D-sink)

    Source: sinks.md 1.1 (the metric of Gu et al. 2025).

    >>> step = Pass(np.ones((2, 1)), measures(np.ones((2, 1))), np.ones((1, 2)), np.array([[0.75, 0.5]]))
    >>> sink_share([step]), sink_share([step], epsilon=0.8)
    (array([1.]), array([0.]))
    """
    epsilon, key = number("epsilon", epsilon, least=0, most=1), whole("key", key, least=0)
    if any(key >= step.received.shape[1] for step in steps):
        raise RopesimError("key", key, "use a position before the number of tokens")
    return np.array([(step.received[:, key] > epsilon).mean() for step in steps])


def operands(x: np.ndarray, layers: Sequence[Layer]) -> tuple[np.ndarray, list[Layer]]:
    """Tokens and layers, once checked to fit each other; see `forward`.

    >>> operands([[1, 2]], [])[0]
    array([[1., 2.]])
    """
    given = np.asarray(x)
    x = array("x", given, [None, None], np.float32 if given.dtype == np.float32 else np.float64)
    if not x.size:
        raise RopesimError("shape of x", x.shape, "use at least one token and one coordinate")
    return x, [checked(layer, x.shape[1], x.dtype) for layer in layers]


def sight(x: np.ndarray, layers: Sequence[Layer], theta: np.ndarray, layout: str = "half", window: int = 0,
          visible: np.ndarray | None = None, kind: str = "softmax", norm: str = "pre") -> Sight:
    """How rows see keys, checked; arguments and errors as for `forward`.

    >>> sight(np.ones((2, 4)), [], [0.0]).order
    array([0, 1])
    """
    length = len(x)
    for name, value, known in (("kind", kind, KINDS), ("norm", norm, NORMS)):
        if value not in known:
            raise RopesimError(name, value, f"use one of {', '.join(known)}")
    theta = array("theta", theta, [None])
    sizes = {layer.query.shape[2] for layer in layers} - {2 * theta.size}
    if sizes or not theta.size:
        raise RopesimError("shape of theta", theta.shape, f"use half a head's width {sorted(sizes)}, zeros for no RoPE")
    window = whole("window", window, least=0)
    if visible is not None:
        visible = masks.checked(visible)
        if window:
            raise RopesimError("window", window, "leave it out, the mask says what a row sees")
        if len(visible) != length:
            raise RopesimError("shape of visible", visible.shape, f"use the shape ({length}, {length})")
    affordable(length, window)
    turn = rotation(length, theta)
    pairs = bands.pair(np.arange(2 * theta.size), layout)
    order = np.concatenate([pairs.real, pairs.imag]).astype(np.intp)
    return Sight(turn.real.astype(x.dtype), turn.imag.astype(x.dtype), order, window, visible, kind, norm)


def fixed_rows(rows: Sequence[np.ndarray | None] | None, layers: Sequence[Layer], length: int,
               kind: str) -> Sequence[np.ndarray | None]:
    """The given rows of each layer, checked, None where they are computed; see `forward`.

    >>> fixed_rows(None, [], 3, "softmax")
    []
    """
    if rows is None:
        return [None] * len(layers)
    if len(rows) != len(layers):
        raise RopesimError("layers of rows", len(rows), f"use one entry for each of the {len(layers)} layers")
    return [None if some is None else _checked_rows(some, layer, length, kind) for some, layer in zip(rows, layers)]


def _checked_rows(rows: np.ndarray, layer: Layer, length: int, kind: str) -> np.ndarray:
    dtype = layer.query.dtype
    out = array("rows", rows, [len(layer.query), length, length], dtype)
    if (out < 0).any() or np.triu(out, 1).any():
        raise RopesimError("rows", float(out.min()), "use scores from 0 on, none for a key after its row")
    total, slack = out.sum(axis=2), SUM[dtype.str[1:]]
    wrong = np.abs(total - 1) > slack if kind == "softmax" else total > (length if kind == "sigmoid" else 1) + slack
    if wrong.any():
        remedy = "1" if kind == "softmax" else "at most 1" if kind == "softmax-plus-one" else "at most T"
        raise RopesimError("sum of a row", float(total[wrong][0]), f"use rows whose scores sum to {remedy}")
    return out
