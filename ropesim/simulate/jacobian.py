"""Exact derivatives of the stack in `depth`: how a perturbed token moves every later one, in forward mode."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import RopesimError, array, whole
from .blocks import bound, logistic, tiles, weigh
from .depth import Sight, fixed_rows, operands, rms_norm, root_mean_square, rotated, sight
from .weights import Layer

BATCH = 1 << 22      # most numbers of the tangents that are carried at once


def jvp(x: np.ndarray, tangents: np.ndarray, layers: Sequence[Layer], *, theta: np.ndarray, layout: str = "half",
        window: int = 0, visible: np.ndarray | None = None, kind: str = "softmax", norm: str = "pre",
        rows: Sequence[np.ndarray | None] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Tokens after the last layer and their derivatives along given directions, float[T, d] and float[P, T, d].

    tangents: float[P, T, d], directions in which the first tokens x move; other arguments and errors as for
    `depth.forward`; given rows stay as they are. Raises RopesimError too for a zero row under RMSNorm with epsilon 0,
    which has no derivative. Exact. The tokens and one direction take two to three times a forward pass.

        do_i = sum_j a_ij dv_j + sum_j a_ij s_ij v_j,   s_ij = dl_ij - sum_m a_im dl_im for softmax and plus one,
        s_ij = (1 - a_ij) dl_ij for sigmoid,   dl_ij = (dq_i . k_j + q_i . dk_j)                     (D-jvp)

    Source: sinks.md R10; forward mode through norms and feed-forward is ours.

    >>> from .weights import random_layers
    >>> stack = random_layers(2, heads=2, width=8, rng=np.random.default_rng(0))
    >>> moved = np.zeros((1, 5, 8))
    >>> moved[0, 3, 0] = 1
    >>> jvp(np.eye(5, 8), moved, stack, theta=[1.0, 0.1])[1].any(axis=(0, 2))
    array([False, False, False,  True,  True])
    """
    x, layers = operands(x, layers)
    dx = array("tangents", tangents, [None, *x.shape], x.dtype)
    given = fixed_rows(rows, layers, len(x), kind)
    setting = sight(x, layers, theta, layout, window, visible, kind, norm)
    for layer, some in zip(layers, given):
        x, dx = _layer(x, dx, layer, setting, some)
    return x, dx


def jacobian(x: np.ndarray, layers: Sequence[Layer], *, token: int, **how: Any) -> np.ndarray:
    """Derivative of every token after the last layer by one token at first, float[T, d, d]: [j, a, b] = dx_ja / dx_ib.

    token: i from 0 to T-1; how: keywords of `depth.forward`, theta among them. Errors as for `jvp`, whose (D-jvp) this
    is along every coordinate. d directions, O(T d^2) memory.

    >>> from .weights import random_layers
    >>> stack = random_layers(1, heads=1, width=2, rng=np.random.default_rng(0), output=0.0)
    >>> jacobian(np.eye(2), stack, token=1, theta=[0.0])[1]
    array([[1., 0.],
           [0., 1.]])
    """
    x, layers = operands(x, layers)
    out = np.empty((*x.shape, x.shape[1]), x.dtype)
    for columns, moved in _columns(x, layers, token, how):
        out[:, :, columns] = np.moveaxis(moved, 0, 2)
    return out


def sensitivity(x: np.ndarray, layers: Sequence[Layer], *, tokens: Sequence[int], **how: Any) -> np.ndarray:
    """How much the tokens after the last layer depend on some tokens at first, float[len(tokens), T].

    tokens: positions i from 0 to T-1; how: keywords of `depth.forward`, theta among them. Errors as for `jvp`. Entry
    [n, j] of token i = tokens[n]; d directions of (D-jvp) each.

        ||dx_j / dx_i||_F^2 / d                                                     (D-sensitivity)

    Source: the Frobenius form of Barbero et al. 2025 (2504.02732), Theorem 3.2, is ours.

    >>> from .weights import random_layers
    >>> stack = random_layers(1, heads=1, width=2, rng=np.random.default_rng(0), output=0.0)
    >>> sensitivity(np.eye(3, 2) + 1, stack, tokens=[1], theta=[0.0])
    array([[0., 1., 0.]])
    """
    x, layers = operands(x, layers)
    out = np.zeros((len(tokens), len(x)), x.dtype)
    for row, token in zip(out, tokens):
        for _, moved in _columns(x, layers, token, how):
            row += np.einsum("ptd,ptd->t", moved, moved)
    return out / x.shape[1]


def _columns(x: np.ndarray, layers: Sequence[Layer], token: int, how: Any) -> Iterator[tuple[slice, np.ndarray]]:
    length, width = x.shape
    token = whole("token", token, least=0, most=length - 1)
    batch = max(BATCH // x.size, 1)
    for start in range(0, width, batch):
        columns = slice(start, min(start + batch, width))
        tangents = np.zeros((columns.stop - start, length, width), x.dtype)
        tangents[:, token, columns] = np.eye(columns.stop - start)
        yield columns, jvp(x, tangents, layers, **how)[1]


def _layer(x: np.ndarray, dx: np.ndarray, layer: Layer, setting: Sight,
           rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    pre, post, scales = setting.norm == "pre", setting.norm == "post", (layer.attention_scale, layer.feedforward_scale)
    seen, moved = _normed(x, dx, scales[0], layer.epsilon) if pre else (x, dx)
    added, dadded = _attention(seen, moved, layer, setting, rows)
    x, dx = x + added, dx + dadded
    x, dx = _normed(x, dx, scales[0], layer.epsilon) if post else (x, dx)
    if len(layer.down):
        seen, moved = _normed(x, dx, scales[1], layer.epsilon) if pre else (x, dx)
        added, dadded = _feedforward(seen, moved, layer)
        x, dx = x + added, dx + dadded
    return _normed(x, dx, scales[1], layer.epsilon) if post else (x, dx)


def _attention(x: np.ndarray, dx: np.ndarray, layer: Layer, setting: Sight,
               rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    out, dout = np.zeros_like(x), np.zeros_like(dx)
    for head, (values, output) in enumerate(zip(layer.value, layer.output)):
        v, dv = x @ values, dx @ values
        if rows is None:
            o, do = _attend(rotated(x, layer, head, setting), rotated(dx, layer, head, setting), v, dv, setting)
        else:
            o, do = rows[head] @ v, rows[head] @ dv
        if layer.head_norm is not None:
            o, do = _normed(o, do, layer.head_norm, layer.epsilon)
        out += o @ output
        dout += do @ output
    gain = np.asarray(layer.gain, x.dtype)
    return gain * out, gain * dout


def _attend(qk: tuple[np.ndarray, np.ndarray], dqk: tuple[np.ndarray, np.ndarray], v: np.ndarray, dv: np.ndarray,
            setting: Sight) -> tuple[np.ndarray, np.ndarray]:
    (q, k), (dq, dk) = qk, dqk
    out, dout, largest = np.empty_like(v), np.empty_like(dv), bound(q, k)
    sigmoid = setting.kind == "sigmoid"
    left = np.concatenate([dq, np.broadcast_to(q, dq.shape)], axis=2)        # one product gives dq . k + q . dk
    right = np.concatenate([np.broadcast_to(k, dk.shape), dk], axis=2)
    for start, first, tile in tiles(q, k, window=setting.window, visible=setting.visible):
        tile /= weigh(tile, setting.kind, largest)[:, None]
        here, seen = slice(start, start + len(tile)), slice(first, first + tile.shape[1])
        out[here] = tile @ v[seen]
        steep = tile * (1 - tile) if sigmoid else tile
        for n in range(len(dv)):
            slope = left[n, here] @ right[n, seen].T
            slope *= steep
            dout[n, here] = slope @ v[seen] + tile @ dv[n, seen]
            if not sigmoid:
                dout[n, here] -= slope.sum(axis=1, keepdims=True) * out[here]    # sum_j a_ij v_j of the mean slope
    return out, dout


def _feedforward(x: np.ndarray, dx: np.ndarray, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    gate, up = x @ layer.gate, x @ layer.up
    share = logistic(gate)
    silu = gate * share
    dsilu = share + silu * (1 - share)
    hidden = (dx @ layer.gate) * (dsilu * up) + silu * (dx @ layer.up)
    return (silu * up) @ layer.down, hidden @ layer.down


def _normed(x: np.ndarray, dx: np.ndarray, scale: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    if not epsilon and not x.any(axis=-1).all():
        raise RopesimError("epsilon", epsilon, "use a positive one: a zero row has no derivative under RMSNorm")
    unit, root = rms_norm(x, 1.0, epsilon), root_mean_square(x, epsilon)
    along = np.einsum("...d,...d->...", unit, dx)[..., None] / np.asarray(x.shape[-1], x.dtype)
    return unit * scale, (dx - unit * along) / root * scale
