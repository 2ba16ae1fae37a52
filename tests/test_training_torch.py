"""Both gradients of slash training against autograd of Definition 5.2, every matrix written out.

Optional: it needs the extra test-torch. Gradients are compared to 1e-12 of answers of order 1.
"""

import math

import naive_training as naive
import numpy as np
import pytest
from tolerances import EXACT

from ropesim.simulate import disentangled, regression
from ropesim.slash_task import Task

torch = pytest.importorskip("torch")

PAIRS = 3
TASKS = [Task(classes=4, length=9), Task(classes=3, length=11), Task(classes=2, length=13, lag=0),
         Task(classes=4, length=13, lag=2), Task(classes=3, length=21, lag=6)]


def embedding(task, tokens, w):
    """Rows [c, x, mark, y]; inputs of an odd K have one more coordinate, that is 0."""
    K, d_c = task.classes, 2 * PAIRS
    d_x = K + K % 2
    shown, labelled = naive.prompt(tokens, task.length, task.lag, None)
    E = torch.zeros(task.length, d_c + d_x + 2, dtype=torch.float64)
    for j in range(task.length):
        E[j, :d_c] = 1 / math.sqrt(d_c)
        if shown[j] is not None:
            E[j, d_c + shown[j]] = 1.0
        if labelled[j] is not None:
            E[j, d_c + d_x] = 1.0
            E[j, d_c + d_x + 1] = w[labelled[j]]
    return E


def rotation(angles, position):
    """R = diag(rho(i theta_1), ...), eq. 3"""
    blocks = []
    for angle in angles:
        cos, sin = math.cos(position * angle), math.sin(position * angle)
        blocks.append(torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64))
    return torch.block_diag(*blocks)


def attention(H, W_Q, W_K, W_V, angles):
    """CSA(H) = softmax(mask(R Q (R K)^T)) H W_V, eqs. 4 and 5"""
    turns = torch.stack([rotation(angles, i) for i in range(len(H))])
    Q, K = (torch.einsum("nij,nj->ni", turns, H @ W) for W in (W_Q, W_K))
    mask = torch.full((len(H), len(H)), -math.inf, dtype=torch.float64).triu(1)
    return torch.softmax(Q @ K.T + mask, dim=1) @ H @ W_V


def squared_error(task, tokens, w, W_Q, theta, key, slow):
    """(TF(E)_{N,d} - <w, x_q>)^2 / 2 with the blocks of eqs. 15 and 16"""
    E = embedding(task, tokens, w)
    d, d_c = E.shape[1], 2 * PAIRS
    angles = [*theta, *[slow] * (d // 2 - PAIRS)]
    W_K = torch.zeros(d, d, dtype=torch.float64)
    W_K[:d_c, :d_c] = torch.tensor(np.outer(key, [1.0, 0.0] * PAIRS))
    H = torch.cat([E, attention(E, W_Q[0], W_K, torch.eye(d, dtype=torch.float64), angles)], dim=1)
    W_K = torch.zeros(2 * d, 2 * d, dtype=torch.float64)
    W_K[d:, :d] = torch.eye(d)
    H = torch.cat([H, attention(H, W_Q[1], W_K, torch.eye(2 * d, dtype=torch.float64), angles * 2)], dim=1)
    W_O = torch.zeros(4 * d, d, dtype=torch.float64)
    W_O[2 * d:3 * d] = torch.eye(d)
    return ((H @ W_O)[-1, -1] - w[tokens[-1]]) ** 2 / 2


def autograd(net, task, tokens, w):
    """Loss and its gradients in the two trained blocks."""
    d_c, K = 2 * PAIRS, task.classes
    d = d_c + K + K % 2 + 2
    first, second = np.zeros((d, d)), np.zeros((2 * d, 2 * d))
    first[:d_c, :d_c] = net.first
    at = np.ix_(*[[*range(d_c, d_c + K), d - 2, d - 1]] * 2)
    second[at] = net.second
    W_Q = [torch.tensor(W, requires_grad=True) for W in (first, second)]
    loss = squared_error(task, tokens, w, W_Q, net.theta, net.key, net.slow)
    loss.backward()
    return loss.item(), W_Q[0].grad.numpy()[:d_c, :d_c], W_Q[1].grad.numpy()[at]


def network(task, seed, slow=0.0):
    rng = np.random.default_rng(seed)
    net = disentangled.network(task, rng.uniform(0, 3, PAIRS), slow=slow)
    net.first[:] = rng.normal(size=net.first.shape)
    net.second[:] += rng.normal(size=net.second.shape)
    inputs = (task.length - 1) // task.period + 1
    return net, rng.integers(task.classes, size=inputs), rng


@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize("slow", [0.0, 0.1])
def test_gradients_of_the_matrices_are_those_of_autograd(task, slow):
    net, tokens, rng = network(task, task.length, slow)
    net, w = net._replace(key=rng.normal(size=net.key.size)), rng.normal(size=task.classes)
    for got, expected in zip(disentangled.gradients(net, task, tokens, w), autograd(net, task, tokens, w)):
        assert np.abs(expected).max() > 1e-6            # or little is compared
        np.testing.assert_allclose(got, expected, atol=EXACT)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_gradients_of_the_reduced_form_are_those_of_autograd(task):
    """In the mean over tasks plus and minus sqrt(K) times each unit vector."""
    net, tokens, rng = network(task, task.length)
    K, q = task.classes, rng.normal(size=2 * PAIRS)
    weights = regression.Weights(np.array(naive.lag_logits(q, net.theta, task.length)), net.second[:K, :K],
                                 net.second[:K, K])
    net.first[:] = np.outer(net.key, q)
    net.second[K:], net.second[:, K + 1] = 0, 0
    ways = [autograd(net, task, tokens, sign * math.sqrt(K) * np.eye(K)[n]) for n in range(K) for sign in (1, -1)]
    loss, first, second = (np.mean([way[i] for way in ways], axis=0) for i in range(3))
    shown, labelled = (np.array([row]) for row in naive.prompt(tokens, task.length, task.lag, K))
    prompts = regression.Prompts(shown, labelled, np.ones(1))
    done = regression.forward(weights, prompts)
    assert loss == pytest.approx(done.loss[0], rel=EXACT)
    x = np.outer(net.theta, np.arange(task.length))
    by_pair = np.stack([np.cos(x), -np.sin(x)], axis=1).reshape(2 * PAIRS, -1)
    by_pair = by_pair @ regression.by_lag(weights, prompts, done)
    assert np.abs(first).max() > 1e-6 and np.abs(second).max() > 1e-6
    np.testing.assert_allclose(first, -np.outer(net.key, by_pair), atol=EXACT)
    classes, label = regression.by_class(weights, prompts, done)
    np.testing.assert_allclose(second[:K, :K + 1], -np.column_stack([classes, label]), atol=EXACT)


def test_autograd_finds_no_gradient_in_layer_one_where_keys_miss_what_tokens_share():
    task = TASKS[0]
    net, tokens, rng = network(task, 0)
    net = net._replace(key=np.array([1.0, -1.0] * PAIRS))
    np.testing.assert_allclose(autograd(net, task, tokens, rng.normal(size=4))[1], 0, atol=EXACT)
