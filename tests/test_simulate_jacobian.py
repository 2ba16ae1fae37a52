"""Exact derivatives of the stack, against differences, a closed form and the bounds of the theory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim import masks
from ropesim.errors import RopesimError
from ropesim.predict import depth as closed
from ropesim.simulate import blocks, depth, jacobian, weights
from ropesim.stacks import KINDS, NORMS

seeds = st.integers(0, 2 ** 32 - 1)
WIDTH, HEADS, SIZE, LENGTH = 6, 2, 4, 6
THETA, NOPE = np.array([1.0, 0.1]), np.zeros(2)
DIFFERENCE = 1e-7    # of central differences: rounding over the step meets the step squared near 1e-10, times curvature


def drawn(seed, *, layers=2, hidden=5, head_norm=False, dtype=np.float64):
    rng = np.random.default_rng(seed)
    stack = weights.random_layers(layers, heads=HEADS, width=WIDTH, head_dim=SIZE, hidden=hidden, tau=2.0, rng=rng)
    stack = [layer._replace(attention_scale=rng.uniform(0.5, 2, WIDTH), feedforward_scale=rng.uniform(0.5, 2, WIDTH),
                            gain=0.7, epsilon=0.1, head_norm=rng.uniform(0.5, 2, SIZE) if head_norm else None)
             for layer in stack]
    stack = [weights.Layer(*(x.astype(dtype) if isinstance(x, np.ndarray) else x for x in layer)) for layer in stack]
    return rng.standard_normal((LENGTH, WIDTH)).astype(dtype), stack, rng


def end(x, stack, **how):
    return list(depth.forward(x, stack, **how))[-1].x


def difference(x, tangent, stack, step, **how):
    return (end(x + step * tangent, stack, **how) - end(x - step * tangent, stack, **how)) / (2 * step)


@given(seeds, st.sampled_from(KINDS), st.sampled_from(NORMS), st.booleans(), st.sampled_from([0, 5]), st.booleans())
def test_the_derivative_is_the_limit_of_differences(seed, kind, norm, head_norm, hidden, alone):
    x, stack, rng = drawn(seed, head_norm=head_norm, hidden=hidden)
    tangents = rng.standard_normal((2, LENGTH, WIDTH))
    how = {"theta": THETA, "kind": kind, "norm": norm,
           "visible": masks.visible(LENGTH, window=4, shared=True, alone=[3] if alone else [])}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ROWS", 4)
        moved, exact = jacobian.jvp(x, tangents, stack, **how)
    np.testing.assert_allclose(moved, end(x, stack, **how), rtol=FLOAT, atol=EXACT)
    for tangent, want in zip(tangents, exact):
        steps = [np.abs(difference(x, tangent, stack, h, **how) - want).max() for h in (1e-3, 1e-4, 1e-5, 1e-6)]
        assert min(steps) < DIFFERENCE * (1 + np.abs(want).max()), steps


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_error_of_differences_falls_with_the_square_of_the_step(kind, seed):
    x, stack, rng = drawn(seed, head_norm=True)
    tangent, how = rng.standard_normal((LENGTH, WIDTH)), {"theta": THETA, "kind": kind}
    want = jacobian.jvp(x, tangent[None], stack, **how)[1][0]
    sweep = 10.0 ** -np.arange(1, 10)
    errors = np.array([np.abs(difference(x, tangent, stack, h, **how) - want).max() for h in sweep])
    falls = errors[2:4] / errors[3:5]                          # 1e-3 to 1e-5: before rounding is seen
    assert (falls > 90).all() and (falls < 110).all(), errors
    assert errors.min() < 1e-9 * np.abs(want).max()
    assert errors[-1] > 10 * errors.min()                      # at 1e-9 rounding has taken over


@given(seeds, st.sampled_from(KINDS), st.sampled_from(NORMS))
def test_given_rows_do_not_move(seed, kind, norm):
    x, stack, rng = drawn(seed)
    rows = np.tril(rng.random((2, HEADS, LENGTH, LENGTH))) + 1e-3 * np.eye(LENGTH)
    rows /= rows.sum(axis=-1, keepdims=True)
    tangent, how = rng.standard_normal((1, LENGTH, WIDTH)), {"theta": NOPE, "kind": kind, "norm": norm, "rows": rows}
    want = jacobian.jvp(x, tangent, stack, **how)[1][0]
    steps = [np.abs(difference(x, tangent[0], stack, h, **how) - want).max() for h in (1e-3, 1e-4, 1e-5, 1e-6)]
    assert min(steps) < DIFFERENCE * (1 + np.abs(want).max()), steps


@given(seeds)
def test_derivatives_are_linear_in_the_direction(seed):
    x, stack, rng = drawn(seed)
    a, b = rng.standard_normal((2, LENGTH, WIDTH))
    _, (one, two, both) = jacobian.jvp(x, np.array([a, b, 2 * a - b]), stack, theta=THETA)
    np.testing.assert_allclose(both, 2 * one - two, rtol=FLOAT, atol=FLOAT)


@given(seeds, st.integers(0, LENGTH - 1))
def test_the_jacobian_is_made_of_its_columns(seed, token):
    x, stack, rng = drawn(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jacobian, "BATCH", 2 * x.size)           # two directions at a time
        full = jacobian.jacobian(x, stack, token=token, theta=THETA, window=4)
        (sums,) = jacobian.sensitivity(x, stack, tokens=[token], theta=THETA, window=4)
    move = rng.standard_normal(WIDTH)
    tangent = np.zeros((1, LENGTH, WIDTH))
    tangent[0, token] = move
    np.testing.assert_allclose(full @ move, jacobian.jvp(x, tangent, stack, theta=THETA, window=4)[1][0], rtol=FLOAT,
                               atol=FLOAT)
    np.testing.assert_allclose(sums, (full ** 2).sum(axis=(1, 2)) / WIDTH, rtol=FLOAT)
    assert not full[:token].any()


@given(seeds, st.integers(0, LENGTH - 1))
def test_a_token_masked_to_itself_is_moved_by_no_other(seed, lone):
    x, stack, _ = drawn(seed)
    mask = masks.visible(LENGTH, alone=[lone])
    sums = jacobian.sensitivity(x, stack, tokens=range(LENGTH), theta=THETA, visible=mask)
    assert sums[lone, lone] > 0 and not np.delete(sums[:, lone], lone).any()


def one_head(seed):
    """A head whose output alone is added to the tokens, and all that its closed form needs."""
    rng = np.random.default_rng(seed)
    layer = weights.random_layers(1, heads=1, width=WIDTH, tau=4.0, rng=rng)[0]._replace(output=np.eye(WIDTH)[None])
    x = rng.standard_normal((LENGTH, WIDTH))
    q, k, v = (x @ maps[0] for maps in (layer.query, layer.key, layer.value))
    a = np.tril(np.exp(q @ k.T / WIDTH ** 0.5))
    a /= a.sum(axis=1, keepdims=True)
    return x, layer, a, q, v, a @ v


@given(seeds, st.integers(0, LENGTH - 2))
def test_one_head_has_the_printed_jacobian_and_keeps_its_bound(seed, j):
    # sinks.md R10: d o_i / d x_j = a_ij [W_V^T + (v_j - o_i) (W_K q_i)^T / sqrt(d_k)],  j < i
    x, layer, a, q, v, o = one_head(seed)
    full = jacobian.jacobian(x, [layer], token=j, theta=np.zeros(WIDTH // 2), norm="none")
    root = WIDTH ** 0.5
    for i in range(j + 1, LENGTH):
        key = layer.key[0] @ q[i]
        want = a[i, j] * (layer.value[0].T + np.outer(v[j] - o[i], key) / root)
        np.testing.assert_allclose(full[i], want, rtol=0, atol=FLOAT)
        limit = a[i, j] * (np.linalg.norm(layer.value[0], 2)
                           + np.linalg.norm(v[j] - o[i]) * np.linalg.norm(key) / root)
        assert np.linalg.norm(full[i], 2) <= limit * (1 + FLOAT)


def feedforward_norm(z, layer):
    """Largest spectral norm of the feed-forward's derivative at the tokens z: one token by itself at a time."""
    still = layer._replace(gain=0.0)
    return max(np.linalg.norm(jacobian.jacobian(token[None], [still], token=0, theta=NOPE, norm="none")[0]
                              - np.eye(WIDTH), 2) for token in z)


@given(seeds, st.integers(1, 3), st.integers(0, LENGTH - 1), st.floats(0.1, 3))
def test_path_sums_bound_the_derivative_with_scores_held_fixed(seed, layers, token, gain):
    # Theorem 3.2 of Barbero et al. with C = (1 + sigma_psi) max(sigma_W, H); SwiGLU has no global Lipschitz constant,
    # the proof asks for the one at the tokens that are there
    x, stack, rng = drawn(seed, layers=layers)
    stack = [layer._replace(gain=gain) for layer in stack]
    rows = np.tril(rng.random((layers, HEADS, LENGTH, LENGTH)) ** 4) + 1e-3 * np.eye(LENGTH)
    rows /= rows.sum(axis=-1, keepdims=True)
    how = {"theta": NOPE, "norm": "none"}
    full = jacobian.jacobian(x, stack, token=token, rows=rows, **how)
    values = max(np.linalg.norm(gain * v @ o, 2) for layer in stack for v, o in zip(layer.value, layer.output))
    sigma, here = 0.0, x
    for layer, some in zip(stack, rows):
        bare = layer._replace(gate=layer.gate[:, :0], up=layer.up[:, :0], down=layer.down[:0])
        sigma = max(sigma, feedforward_norm(end(here, [bare], rows=[some], **how), layer))
        here = end(here, [layer], rows=[some], **how)
    limit = closed.path_constant(HEADS, values=values, feedforward=sigma) ** layers * closed.path_sum(rows)[:, token]
    assert (np.linalg.norm(full, 2, axis=(1, 2)) <= limit * (1 + FLOAT)).all()


@given(seeds, st.integers(1, 4))
def test_path_sums_are_attained_by_one_head_that_copies(seed, layers):
    rng = np.random.default_rng(seed)
    plain = weights.random_layers(layers, heads=1, width=WIDTH, rng=rng)
    stack = [layer._replace(value=np.eye(WIDTH)[None], output=np.eye(WIDTH)[None]) for layer in plain]
    rows = np.tril(rng.random((layers, 1, LENGTH, LENGTH))) + 1e-3 * np.eye(LENGTH)
    rows /= rows.sum(axis=-1, keepdims=True)
    x, sums = rng.standard_normal((LENGTH, WIDTH)), closed.path_sum(rows)
    sensitivity = jacobian.sensitivity(x, stack, tokens=range(LENGTH), theta=np.zeros(3), norm="none", rows=rows)
    np.testing.assert_allclose(sensitivity.T, sums ** 2, rtol=FLOAT)


def test_float32_in_is_float32_out():
    x, stack, rng = drawn(1, dtype=np.float32, head_norm=True)
    tangent = rng.standard_normal((1, LENGTH, WIDTH)).astype(np.float32)
    moved, dx = jacobian.jvp(x, tangent, stack, theta=THETA)
    assert moved.dtype == dx.dtype == np.float32


# Bad input

@pytest.mark.parametrize("tangents, name", [
    (np.ones((LENGTH, WIDTH)), "tangents"), (np.ones((1, LENGTH, 5)), "tangents"),
    (np.full((1, LENGTH, WIDTH), np.nan), "tangents")])
def test_jvp_refuses_directions_that_do_not_fit(tangents, name):
    x, stack, _ = drawn(0)
    with pytest.raises(RopesimError, match=name):
        jacobian.jvp(x, tangents, stack, theta=THETA)


@pytest.mark.parametrize("token", [-1, LENGTH, 1.0])
def test_jacobian_and_sensitivity_refuse_a_token(token):
    x, stack, _ = drawn(0)
    for call in (lambda: jacobian.jacobian(x, stack, token=token, theta=THETA),
                 lambda: jacobian.sensitivity(x, stack, tokens=[token], theta=THETA)):
        with pytest.raises(RopesimError, match="token"):
            call()


def test_a_zero_row_has_no_derivative_without_an_epsilon():
    x, stack, _ = drawn(0)
    x[2] = 0
    with pytest.raises(RopesimError, match="epsilon"):
        jacobian.jvp(x, np.ones((1, LENGTH, WIDTH)), [layer._replace(epsilon=0.0) for layer in stack], theta=THETA)


@pytest.mark.parametrize("bad, name", [
    ({"kind": "hardmax"}, "kind"), ({"visible": np.tri(LENGTH, k=-1, dtype=bool)}, "mask"),
    ({"rows": np.ones((2, HEADS, LENGTH, LENGTH))}, "rows")])
def test_jvp_refuses_what_forward_refuses(bad, name):
    x, stack, _ = drawn(0)
    with pytest.raises(RopesimError, match=name):
        jacobian.jvp(x, np.ones((1, LENGTH, WIDTH)), stack, **{"theta": THETA} | bad)
