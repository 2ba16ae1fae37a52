"""The two-layer transformer of slash training with all its matrices, and its gradients by the chain rule."""

from typing import NamedTuple

import numpy as np

from ..errors import RopesimError, array, number, whole
from ..slash_task import Task, layout

LONGEST = 1025    # tokens: matrices of twice as many columns


class Network(NamedTuple):
    """What is trained, and the angles of the rotations."""

    first: np.ndarray     # float64[2B, 2B], W_Q of layer 1 on the coordinates that all tokens share
    second: np.ndarray    # float64[K+2, K+2], W_Q of layer 2 on inputs, mark and value
    theta: np.ndarray     # float64[B]
    key: np.ndarray       # float64[2B], what W_K of layer 1 reads: W_K = key (1, 0, 1, 0, ...)^T
    slow: float           # angle of every pair of inputs, marks and values


def network(task: Task, theta: np.ndarray, *, key: np.ndarray | None = None, slow: float = 0.0) -> Network:
    """The network before training: 0 in layer 1, the identity in layer 2.

    theta: float64[B], rad/token, B >= 1; key: float64[2B], direction that the keys of layer 1 read, None: the tokens'
    common c, whose entries are (2B)^(-1/2), as in the paper; slow: rad/token, of the pairs that hold the meaning. At 0
    the reduced form is exact; the paper has at most N^-2. Raises RopesimError otherwise, and beyond 1025 tokens.

        W_K^T c = <key, c> (1, 0, 1, 0, ...): where that is 0, layer 1 gets no gradient        (T-network)

    Source: Cheng et al. 2026 (2601.08297), Algorithm 1.

    >>> network(Task(classes=2, length=5), [1.0]).first.shape
    (2, 2)
    """
    theta = array("theta", theta, [None])
    if not theta.size:
        raise RopesimError("number of pairs", 0, "use at least one frequency")
    key = _common(theta.size) if key is None else array("key", key, [2 * theta.size])
    whole("length", task.length, least=3, most=LONGEST)
    slow = number("slow", slow, least=0)
    return Network(np.zeros((2 * theta.size, 2 * theta.size)), np.eye(task.classes + 2), theta, key, slow)


def answers(net: Network, task: Task, tokens: np.ndarray, w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The answer to one prompt, and the scores of both layers, float64[N, N].

    tokens: int[inputs], classes from 0 to K-1, the question last; w: float64[K]. Raises RopesimError otherwise.

        H' = [H, S H W_V],  S = softmax(mask(R Q (R K)^T)),  answer = (H'' W_O)[N, d]          (T-network)

    Source: Cheng et al. 2026 (2601.08297), Definition 5.2, eqs. 12-16.

    >>> task = Task(classes=2, length=5)
    >>> answer, first, second = answers(network(task, [1.0]), task, np.array([0, 1, 0]), np.array([1.0, -1.0]))
    >>> first[-1]
    array([0.2, 0.2, 0.2, 0.2, 0.2])
    """
    done = _forward(net, task, tokens, w)
    return float(done.answer), done.first.scores, done.second.scores


def gradients(net: Network, task: Task, tokens: np.ndarray, w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Squared error of one prompt, halved, and its gradients in `first` and `second`.

        L = (answer - <w, x_q>)^2 / 2                                               (T-network)

    Source: Cheng et al. 2026 (2601.08297), eq. 17, for one prompt and one task.

    >>> task = Task(classes=2, length=5)
    >>> loss, first, second = gradients(network(task, [1.0]), task, np.array([0, 1, 0]), np.array([1.0, -1.0]))
    >>> bool(loss > 0), first.shape, second.shape
    (True, (2, 2), (4, 4))
    """
    done = _forward(net, task, tokens, w)
    error = done.answer - w[tokens[-1]]
    state, B = done.first.state, len(net.theta)
    d, D = state.shape[1], 2 * state.shape[1]
    up = np.zeros_like(done.second.state)                    # of S H, of which one entry is read out
    up[-1, d - 1] = error
    into, query = _backward(done.second, up)
    first = _backward(done.first, into[:, d:D])[1]
    return 0.5 * error ** 2, first[:2 * B, :2 * B], query[2 * B:d, 2 * B:d][_real(task)][:, _real(task)]


class _Layer(NamedTuple):
    state: np.ndarray      # [N, d]
    query: np.ndarray      # [N, d], rotated
    key: np.ndarray
    scores: np.ndarray     # [N, N]
    W_Q: np.ndarray
    W_K: np.ndarray
    turn: np.ndarray       # [N, d / 2], exp(i theta position)


class _Done(NamedTuple):
    first: _Layer
    second: _Layer
    answer: float


def _forward(net: Network, task: Task, tokens: np.ndarray, w: np.ndarray) -> _Done:
    B, state = len(net.theta), _embed(len(net.theta), task, tokens, w)
    N, d = state.shape
    W_Q, W_K = np.zeros((d, d)), np.zeros((d, d))
    W_Q[:2 * B, :2 * B] = net.first
    W_K[:2 * B, :2 * B] = np.outer(net.key, np.tile([1.0, 0.0], B))
    angles = np.append(net.theta, np.full(d // 2 - B, net.slow))
    first = _layer(state, W_Q, W_K, np.exp(1j * np.arange(N)[:, None] * angles))
    both = np.hstack([state, first.scores @ state])
    W_Q, W_K = np.zeros((2 * d, 2 * d)), np.zeros((2 * d, 2 * d))
    rest = 2 * B + np.flatnonzero(_real(task))
    W_Q[np.ix_(rest, rest)] = net.second
    W_K[d:, :d] = np.eye(d)                                  # keys are what layer 1 gathered
    second = _layer(both, W_Q, W_K, np.hstack([first.turn, first.turn]))
    W_O = np.zeros((4 * d, d))
    W_O[2 * d:3 * d] = np.eye(d)
    return _Done(first, second, (np.hstack([both, second.scores @ both]) @ W_O)[-1, -1])


def _embed(B: int, task: Task, tokens: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Rows [c, x, mark, value]; with an odd K a coordinate that is 0 follows x, so that pairs come out even."""
    shown, labelled = layout(task)
    tokens = np.asarray(tokens)
    if tokens.shape != (shown.max() + 1,) or tokens.dtype.kind not in "iu" or not (
            0 <= tokens.min() and tokens.max() < task.classes):
        raise RopesimError("tokens", tokens, f"give {shown.max() + 1} classes from 0 to {task.classes - 1}")
    w = array("w", w, [task.classes])
    state = np.zeros((task.length, 2 * B + len(_real(task))))
    state[:, :2 * B] = _common(B)
    at = np.flatnonzero(shown >= 0)
    state[at, 2 * B + tokens[shown[at]]] = 1
    at = np.flatnonzero(labelled >= 0)
    state[at, -2], state[at, -1] = 1, w[tokens[labelled[at]]]
    return state


def _common(B: int) -> np.ndarray:
    """c, which all tokens share."""
    return np.full(2 * B, 1 / np.sqrt(2 * B))


def _real(task: Task) -> np.ndarray:
    """Which coordinates of the meaning are used."""
    return np.array([True] * task.classes + [False] * (task.classes % 2) + [True, True])


def _layer(state: np.ndarray, W_Q: np.ndarray, W_K: np.ndarray, turn: np.ndarray) -> _Layer:
    query, key = _rotated(state @ W_Q, turn), _rotated(state @ W_K, turn)
    logits = np.where(np.tri(len(state), dtype=bool), query @ key.T, -np.inf)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return _Layer(state, query, key, scores / scores.sum(axis=1, keepdims=True), W_Q, W_K, turn)


def _backward(layer: _Layer, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients in the state and in W_Q, from that in the outputs S H."""
    scores = up @ layer.state.T
    logits = layer.scores * (scores - (layer.scores * scores).sum(axis=1, keepdims=True))
    query = _rotated(logits @ layer.key, layer.turn.conj())
    key = _rotated(logits.T @ layer.query, layer.turn.conj())
    state = layer.scores.T @ up + query @ layer.W_Q.T + key @ layer.W_K.T
    return state, layer.state.T @ query


def _rotated(x: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Coordinates (2b, 2b + 1) turned by the angle of a unit complex number."""
    turned = (x[:, ::2] + 1j * x[:, 1::2]) * turn
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)
