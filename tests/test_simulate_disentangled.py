"""The network with all its matrices, against differences and against the reduced form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim import schedules
from ropesim.errors import RopesimError
from ropesim.simulate import disentangled, regression, training
from ropesim.slash_task import Task, layout

seeds = st.integers(0, 2 ** 32 - 1)
PAIRS = 3


def drawn(task, seed, slow=0.0):
    """A network whose layers are as the reduced form has them, its weights there, and tokens of one prompt."""
    rng = np.random.default_rng(seed)
    K, theta = task.classes, rng.uniform(0, 3, PAIRS)
    q = rng.normal(size=2 * PAIRS)
    net = disentangled.network(task, theta, slow=slow)
    net.first[:] = np.outer(np.full(2 * PAIRS, 1 / np.sqrt(2 * PAIRS)), q)
    x = np.arange(task.length)[:, None] * theta
    weights = regression.Weights((np.cos(x) * q[::2] - np.sin(x) * q[1::2]).sum(axis=1), rng.normal(size=(K, K)),
                                 rng.normal(size=K))
    net.second[:K, :K], net.second[:K, K] = weights.classes, weights.label
    tokens = rng.integers(K, size=layout(task).shown.max() + 1)
    return net, weights, tokens, rng


def prompt(task, tokens):
    shown, labelled = layout(task)
    slots = np.append(tokens, task.classes)
    return regression.Prompts(slots[shown][None], slots[labelled][None], np.ones(1))


def mean_gradients(net, task, tokens):
    """Over tasks w with E w w^T = I, symmetric: plus and minus sqrt(K) times each unit vector."""
    K = task.classes
    parts = [disentangled.gradients(net, task, tokens, sign * np.sqrt(K) * np.eye(K)[n])
             for n in range(K) for sign in (1, -1)]
    return [sum(part[i] for part in parts) / (2 * K) for i in range(3)]


TASKS = st.builds(Task, classes=st.integers(2, 4), length=st.sampled_from([5, 9, 41]), lag=st.integers(0, 3))


@settings(max_examples=30)
@given(TASKS, seeds)
def test_the_reduced_form_is_exact_where_meanings_do_not_turn(task, seed):
    net, weights, tokens, rng = drawn(task, seed)
    done, w = regression.forward(weights, prompt(task, tokens)), rng.normal(size=task.classes)
    w_answer, first, _ = disentangled.answers(net, task, tokens, w)
    assert w_answer == pytest.approx(done.answer[0] @ w, abs=EXACT)
    np.testing.assert_allclose(first.mean(axis=0)[0], np.exp(weights.lags - np.logaddexp.accumulate(
        weights.lags)).mean(), rtol=EXACT)


@settings(max_examples=30)
@given(TASKS, seeds)
def test_the_reduced_gradients_are_those_of_the_matrices(task, seed):
    net, weights, tokens, _ = drawn(task, seed)
    prompts, K = prompt(task, tokens), task.classes
    done = regression.forward(weights, prompts)
    loss, first, second = mean_gradients(net, task, tokens)
    assert loss == pytest.approx(done.loss[0], abs=EXACT)
    z = -regression.features(net.theta, regression.by_lag(weights, prompts, done))
    q = np.stack([z.real, z.imag], axis=1).ravel()
    np.testing.assert_allclose(first, np.outer(np.full(2 * PAIRS, 1 / np.sqrt(2 * PAIRS)), q), atol=EXACT)
    classes, label = regression.by_class(weights, prompts, done)
    np.testing.assert_allclose(second[:K], -np.column_stack([classes, label, np.zeros(K)]), atol=EXACT)
    np.testing.assert_allclose(second[K:], 0, atol=EXACT)


@settings(max_examples=30)
@given(TASKS, seeds)
def test_keys_that_miss_what_tokens_share_leave_layer_one_untrained(task, seed):
    """The negative control W_K^T c = 0: scores stay uniform whatever W_Q is, and layer 2 is trained on those."""
    net, _, tokens, rng = drawn(task, seed)
    blind = rng.normal(size=2 * PAIRS)
    blind, w = net._replace(key=blind - blind.mean()), rng.normal(size=task.classes)
    _, first, second = disentangled.gradients(blind, task, tokens, w)
    np.testing.assert_allclose(first, 0, atol=EXACT)
    np.testing.assert_allclose(disentangled.answers(blind, task, tokens, w)[1].sum(axis=1), 1, rtol=EXACT)
    np.testing.assert_allclose(disentangled.answers(blind, task, tokens, w)[1][-1], 1 / task.length, rtol=FLOAT)
    still = net._replace(first=np.zeros_like(net.first))
    np.testing.assert_allclose(second, disentangled.gradients(still, task, tokens, w)[2], atol=FLOAT)


@given(st.lists(st.floats(-3.0, 3.0), min_size=2 * PAIRS, max_size=2 * PAIRS), seeds)
def test_at_the_start_layer_one_learns_by_how_much_keys_see_what_tokens_share(key, seed):
    task = Task(classes=2, length=9)
    still, _, tokens, rng = drawn(task, seed)
    still.first[:] = 0
    w, common = rng.normal(size=2), np.full(2 * PAIRS, 1 / np.sqrt(2 * PAIRS))
    whole = disentangled.gradients(still, task, tokens, w)[1]
    seen = disentangled.gradients(still._replace(key=np.array(key)), task, tokens, w)[1]
    assert np.abs(whole).max() > 0
    np.testing.assert_allclose(seen, common @ key * whole, atol=EXACT * np.abs(whole).max())


@pytest.mark.parametrize("lag, slow", [(1, 0.0), (0, 0.1), (2, 0.1)])
def test_gradients_of_the_matrices_are_differences(lag, slow):
    task, h = Task(classes=3, length=7, lag=lag), 1e-5
    net, _, tokens, rng = drawn(task, 2, slow)
    net = net._replace(key=net.key + 0.3 * rng.normal(size=net.key.size))
    w = rng.normal(size=3)
    net.second[:] += 0.3 * rng.normal(size=net.second.shape)
    _, *got = disentangled.gradients(net, task, tokens, w)
    for name, gradient in zip(("first", "second"), got):
        for at in np.ndindex(gradient.shape):
            sides = []
            for sign in (1, -1):
                moved = getattr(net, name).copy()
                moved[at] += sign * h
                sides.append(disentangled.gradients(net._replace(**{name: moved}), task, tokens, w)[0])
            assert gradient[at] == pytest.approx((sides[0] - sides[1]) / 2 / h, abs=1e-8)    # h^2, and rounding / h


@pytest.mark.parametrize("lag, p, theta", [
    (0, None, schedules.half_dft(3)), (1, None, schedules.half_dft(3)), (2, (0.3, 0.7), schedules.half_dft(3)),
    (1, (0.5, 0.3, 0.2), schedules.default(6, 100.0)), (3, (0.1, 0.9), np.array([2.0, 0.3, 1.1]))])
def test_both_descend_alike(lag, p, theta):
    """Three steps of stage 1 and three of stage 2, over all prompts and a balanced set of tasks."""
    K = len(p or (0, 0))
    task, eta, rate = Task(classes=K, length=7, lag=lag, probabilities=p), 20.0, 3.0
    net, listed = disentangled.network(task, theta), regression.every(task)
    tokens = [row[row < K] for row in listed.shown]
    for step in range(6):
        parts = [mean_gradients(net, task, row) for row in tokens]
        first, second = (np.tensordot(listed.weight, [part[i] for part in parts], 1) for i in (1, 2))
        net = net._replace(first=net.first - eta * first * (step < 3), second=net.second - rate * second * (step >= 3))
    run = training.descend(task, theta, eta=eta, eta_2=rate, stop=99.0, steps=3, steps_2=3, loss=0.0, batch=None)
    c = np.full(6, 1 / np.sqrt(6))
    q = c @ net.first
    np.testing.assert_allclose(net.first, np.outer(c, q), atol=EXACT)
    np.testing.assert_allclose(run.amplitude, np.hypot(q[::2], q[1::2]), rtol=EXACT)
    np.testing.assert_allclose(run.classes, net.second[:K, :K], atol=EXACT)
    np.testing.assert_allclose(run.label, net.second[:K, K], atol=EXACT)


def test_slow_rotations_change_answers_in_proportion():
    task = Task(classes=3, length=21)
    net, weights, tokens, rng = drawn(task, 4)
    w = rng.normal(size=3)
    exact = regression.forward(weights, prompt(task, tokens)).answer[0] @ w
    off = [abs(disentangled.answers(net._replace(slow=slow), task, tokens, w)[0] - exact) for slow in (1e-4, 1e-5)]
    assert 0 < off[0] <= 21 * 1e-4 * np.abs(w).sum() * np.abs(net.second).max()
    assert 9 < off[0] / off[1] < 101       # first order in the angle, or second where signs cancel


@pytest.mark.parametrize("seed", [0, 1])
def test_values_get_no_gradient_from_symmetric_tasks(seed):
    task = Task(classes=2, length=9)
    net, _, tokens, rng = drawn(task, seed)
    tasks = rng.choice([-1.0, 1.0], (200, 2))
    got = np.array([disentangled.gradients(net, task, tokens, w)[2][:2, 3] for w in tasks])
    error = got.std(axis=0, ddof=1) / np.sqrt(200)
    assert (np.abs(got.mean(axis=0)) <= SIGMAS * error + EXACT).all()


def test_rows_of_both_layers_are_causal_distributions():
    task = Task(classes=3, length=9)
    net, _, tokens, rng = drawn(task, 0)
    for scores in disentangled.answers(net, task, tokens, rng.normal(size=3))[1:]:
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=EXACT)
        assert (np.triu(scores, 1) == 0).all()


@pytest.mark.parametrize("call, name", [
    (lambda: disentangled.network(Task(length=1027), [1.0]), "length"),
    (lambda: disentangled.network(Task(), [1.0], slow=-1.0), "slow"),
    (lambda: disentangled.network(Task(), "x"), "theta"),
    (lambda: disentangled.network(Task(), []), "number of pairs"),
    (lambda: disentangled.network(Task(), [1.0], key=np.ones(3)), "shape of key"),
    (lambda: disentangled.answers(disentangled.network(Task(classes=2, length=5), [1.0]), Task(classes=2, length=5),
                                  np.array([0.0, 1.0, 0.0]), np.ones(2)), "tokens"),
    (lambda: disentangled.answers(disentangled.network(Task(classes=2, length=5), [1.0]), Task(classes=2, length=5),
                                  np.array([0, 1]), np.ones(2)), "tokens"),
    (lambda: disentangled.answers(disentangled.network(Task(classes=2, length=5), [1.0]), Task(classes=2, length=5),
                                  np.array([0, 1, 2]), np.ones(2)), "tokens"),
    (lambda: disentangled.gradients(disentangled.network(Task(classes=2, length=5), [1.0]), Task(classes=2, length=5),
                                    np.array([0, 1, 1]), np.ones(3)), "shape of w"),
])
def test_bad_input_is_refused(call, name):
    with pytest.raises(RopesimError) as caught:
        call()
    assert caught.value.name == name
