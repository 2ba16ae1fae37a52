"""The reduced form of slash training, against plain loops, differences and its exact symmetries."""

import math

import naive_training as naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim.errors import RopesimError
from ropesim.simulate import regression
from ropesim.slash_task import Task, layout

seeds = st.integers(0, 2 ** 32 - 1)
tasks = st.builds(Task, classes=st.integers(2, 4), length=st.sampled_from([5, 9, 13]), lag=st.integers(0, 3))
scales = st.sampled_from([0.0, 0.5, 3.0, 30.0, 100.0])


def drawn(task, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    K = task.classes
    weights = regression.Weights(scale * rng.normal(size=task.length), rng.normal(size=(K, K)), rng.normal(size=K))
    return weights, regression.draw(task, 3, rng)


def plain(weights, prompts):
    """Arguments of the naive twin, prompt by prompt."""
    for shown, labelled in zip(prompts.shown.tolist(), prompts.labelled.tolist()):
        yield weights.lags.tolist(), weights.classes.tolist(), weights.label.tolist(), shown, labelled


@given(tasks, seeds, scales)
def test_losses_and_answers_are_their_naive_twin(task, seed, scale):
    weights, prompts = drawn(task, seed, scale)
    done = regression.forward(weights, prompts)
    for n, arguments in enumerate(plain(weights, prompts)):
        u, _, _, _, logits = naive.answer(*arguments)
        np.testing.assert_allclose(done.answer[n], u, atol=EXACT)
        np.testing.assert_allclose(done.logits[n], logits, atol=EXACT)
        assert done.loss[n] == pytest.approx(naive.loss(*arguments), abs=EXACT)


@given(tasks, seeds, scales)
def test_gradients_are_their_naive_twin(task, seed, scale):
    weights, prompts = drawn(task, seed, scale)
    done = regression.forward(weights, prompts)
    twins = [naive.gradients(*arguments) for arguments in plain(weights, prompts)]
    got = regression.by_lag(weights, prompts, done), *regression.by_class(weights, prompts, done)
    for part, value in enumerate(got):
        np.testing.assert_allclose(value, np.mean([np.array(twin[part]) for twin in twins], axis=0), atol=EXACT)


@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_gradients_are_differences_of_the_loss(lag):
    task, h = Task(classes=3, length=9, lag=lag), 1e-5
    weights, prompts = drawn(task, 1)
    done = regression.forward(weights, prompts)
    got = regression.Weights(regression.by_lag(weights, prompts, done), *regression.by_class(weights, prompts, done))
    for name, gradient in got._asdict().items():
        for at in np.ndindex(gradient.shape):
            sides = []
            for sign in (1, -1):
                moved = getattr(weights, name).copy()
                moved[at] += sign * h
                sides.append(regression.forward(weights._replace(**{name: moved}), prompts).loss.mean())
            assert gradient[at] == pytest.approx((sides[1] - sides[0]) / 2 / h, abs=1e-9)   # h^2, and rounding / h


@given(tasks, seeds)
def test_a_constant_on_all_lags_changes_nothing_and_has_no_gradient(task, seed):
    weights, prompts = drawn(task, seed)
    done = regression.forward(weights, prompts)
    up = regression.forward(weights._replace(lags=weights.lags + 7), prompts)
    np.testing.assert_allclose(up.loss, done.loss, atol=EXACT)
    assert abs(regression.by_lag(weights, prompts, done).sum()) < EXACT


def test_a_perfect_slash_gathers_the_input_of_each_label():
    task = Task(classes=3, length=21, lag=5)
    weights, prompts = drawn(task, 0)
    lags = np.zeros(21)
    lags[5] = 200.0
    logits = regression.forward(weights._replace(lags=lags), prompts).logits
    marked = layout(task).labelled >= 0
    for n, k in enumerate(prompts.shown[:, -1]):
        np.testing.assert_allclose(logits[n, marked], weights.classes[k, prompts.labelled[n, marked]], rtol=EXACT)


def test_rows_before_a_strong_lag_keep_their_digits():
    """Sums relative to e^500 would lose the first 7 rows."""
    task = Task(classes=2, length=15, lag=7)
    weights, prompts = drawn(task, 0, 0.5)
    weights.lags[7] = 500.0
    done = regression.forward(weights, prompts)
    for n, arguments in enumerate(plain(weights, prompts)):
        np.testing.assert_allclose(done.logits[n], naive.answer(*arguments)[-1], atol=EXACT)


@given(st.lists(st.floats(0.0, math.pi), min_size=1, max_size=5, unique=True), st.integers(2, 40))
def test_the_kernel_is_a_sum_of_cosines(theta, length):
    expected = [math.fsum(math.cos(t * x) for t in theta) for x in range(length)]
    np.testing.assert_allclose(regression.kernel(np.array(theta), length), expected, atol=EXACT)


@given(st.lists(st.floats(0.0, math.pi), min_size=1, max_size=5, unique=True), st.integers(2, 40), seeds)
def test_features_are_the_weights_of_the_pairs(theta, length, seed):
    total, theta = np.random.default_rng(seed).normal(size=length), np.array(theta)
    z = regression.features(theta, total)
    kernel = regression.kernel(theta, length)
    for x in range(length):
        pairs = (z * np.exp(1j * theta * x)).real.sum()
        assert pairs == pytest.approx(sum(g * kernel[abs(x - u)] for u, g in enumerate(total)), abs=FLOAT)


@given(tasks, seeds)
def test_slow_pairs_get_small_gradients(task, seed):
    weights, prompts = drawn(task, seed)
    G = regression.by_lag(weights, prompts, regression.forward(weights, prompts))
    for theta in (1e-2, 1e-5):
        x = np.arange(task.length)
        bound = theta * (x * np.abs(G)).sum()
        assert abs((G * np.cos(theta * x)).sum()) <= bound + EXACT
        assert abs((G * np.sin(theta * x)).sum()) <= bound + EXACT


def test_all_prompts_weigh_one_and_hold_each_once():
    task = Task(classes=3, length=9, probabilities=(0.5, 0.3, 0.2))
    prompts = regression.every(task)
    assert prompts.weight.sum() == pytest.approx(1, rel=EXACT)
    assert len({tuple(row) for row in prompts.shown.tolist()}) == len(prompts.shown) == 3 ** 5
    for k, chance in enumerate(task.weights):
        assert prompts.weight[prompts.shown[:, -1] == k].sum() == pytest.approx(chance, rel=EXACT)
        assert prompts.weight[prompts.shown[:, 0] == k].sum() == pytest.approx(chance, rel=EXACT)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_drawn_prompts_have_the_gradient_of_all_prompts(seed):
    task = Task(classes=2, length=9, probabilities=(0.7, 0.3))
    weights = regression.start(task)
    listed = regression.every(task)
    exact = regression.by_lag(weights, listed, regression.forward(weights, listed))
    rng, means = np.random.default_rng(seed), []
    for _ in range(400):
        prompts = regression.draw(task, 4, rng)
        means.append(regression.by_lag(weights, prompts, regression.forward(weights, prompts)))
    error = np.std(means, axis=0, ddof=1) / 20
    assert (np.abs(np.mean(means, axis=0) - exact) <= SIGMAS * error).all()


def test_questions_are_stratified():
    prompts = regression.draw(Task(classes=4, length=9), 40, np.random.default_rng(0))
    assert np.bincount(prompts.shown[:, -1]).tolist() == [10] * 4


@pytest.mark.parametrize("call, name", [
    (lambda: regression.kernel([], 5), "number of pairs"),
    (lambda: regression.kernel([1.0, 2.0, 1.0], 5), "theta"),
    (lambda: regression.kernel([np.inf], 5), "theta"),
    (lambda: regression.kernel([[1.0]], 5), "shape of theta"),
    (lambda: regression.every(Task()), "length"),
    (lambda: regression.draw(Task(), 0, np.random.default_rng(0)), "prompts"),
])
def test_bad_input_is_refused(call, name):
    with pytest.raises(RopesimError) as caught:
        call()
    assert caught.value.name == name
