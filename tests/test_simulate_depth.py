"""The streamed stack against loops, and what must hold of every stack."""

import naive_depth
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim import masks
from ropesim.errors import RopesimError
from ropesim.predict import depth as closed
from ropesim.predict import sinks
from ropesim.simulate import attention, blocks, depth, weights
from ropesim.stacks import KINDS, NORMS

seeds = st.integers(0, 2 ** 32 - 1)
layouts = st.sampled_from(["half", "interleaved"])
WIDTH, HEADS, SIZE = 6, 2, 4
NOPE = np.zeros(2)


def drawn(seed, *, layers=2, length=6, hidden=5, head_norm=False, tau=2.0, dtype=np.float64, epsilon=0.01):
    """Tokens and layers with scales other than 1."""
    rng = np.random.default_rng(seed)
    stack = weights.random_layers(layers, heads=HEADS, width=WIDTH, head_dim=SIZE, hidden=hidden, tau=tau, rng=rng)
    stack = [layer._replace(attention_scale=rng.uniform(0.5, 2, WIDTH), feedforward_scale=rng.uniform(0.5, 2, WIDTH),
                            gain=0.7, epsilon=epsilon, head_norm=rng.uniform(0.5, 2, SIZE) if head_norm else None)
             for layer in stack]
    stack = [weights.Layer(*(x.astype(dtype) if isinstance(x, np.ndarray) else x for x in layer)) for layer in stack]
    return rng.standard_normal((length, WIDTH)).astype(dtype), stack


def as_lists(layer):
    names = {"attention_scale": "scale1", "feedforward_scale": "scale2"}
    return {names.get(name, name): x.tolist() if isinstance(x, np.ndarray) else x
            for name, x in layer._asdict().items()}


@st.composite
def masked(draw, length=6):
    """A mask, and the arguments of `forward` that ask for it."""
    if draw(st.booleans()):
        window = draw(st.integers(0, length + 1))
        return masks.visible(length, window=window), {"window": window}
    mask = masks.visible(length, window=draw(st.integers(0, length)), document=draw(st.integers(0, length)),
                         shared=draw(st.booleans()), alone=draw(st.lists(st.integers(0, length - 1), max_size=2)))
    return mask, {"visible": mask}


@given(seeds, masked(), st.sampled_from(KINDS), st.sampled_from(NORMS), layouts, st.booleans(), st.sampled_from([0, 5]))
def test_the_streamed_stack_is_its_naive_twin(seed, mask, kind, norm, layout, head_norm, hidden):
    x, stack = drawn(seed, head_norm=head_norm, hidden=hidden)
    theta = np.random.default_rng(seed).uniform(0, 3, SIZE // 2)
    slow = naive_depth.forward(x.tolist(), list(map(as_lists, stack)), theta.tolist(), mask[0].tolist(), layout=layout,
                               kind=kind, norm=norm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ROWS", 4)
        patch.setattr(depth, "CHUNK", 4)
        fast = list(depth.forward(x, stack, theta=theta, layout=layout, kind=kind, norm=norm, **mask[1]))
    assert len(fast) == len(slow)
    for step, (tokens, variance, received, _) in zip(fast, slow):
        np.testing.assert_allclose(step.x, tokens, rtol=FLOAT, atol=FLOAT)
        np.testing.assert_allclose(step.variance, variance, rtol=FLOAT, atol=FLOAT)
        np.testing.assert_allclose(step.received, received, rtol=FLOAT, atol=FLOAT)
        for got, want in zip(step.measures, naive_depth.measures(tokens)):
            np.testing.assert_allclose(got, want, rtol=FLOAT, atol=FLOAT)


@given(seeds, st.sampled_from(KINDS), st.sampled_from(NORMS))
@example(16423728, "softmax", "none")                          # logits beyond what exp takes
def test_given_rows_replace_those_of_queries_and_keys(seed, kind, norm):
    x, stack = drawn(seed)
    mask = masks.visible(6)
    slow = naive_depth.forward(x.tolist(), list(map(as_lists, stack)), [0.3, 2.0], mask.tolist(), kind=kind, norm=norm)
    live = list(depth.forward(x, stack, theta=[0.3, 2.0], kind=kind, norm=norm))
    fixed = list(depth.forward(x, stack, theta=NOPE, kind=kind, norm=norm, rows=[s[3] for s in slow]))
    half = list(depth.forward(x, stack, theta=[0.3, 2.0], kind=kind, norm=norm, rows=[None, slow[1][3]]))
    for a, b, c in zip(live, fixed, half):
        for got in (b, c):
            np.testing.assert_allclose(got.x, a.x, rtol=FLOAT, atol=FLOAT)
            np.testing.assert_allclose(got.variance, a.variance, rtol=FLOAT, atol=FLOAT)
            np.testing.assert_allclose(got.received, a.received, rtol=FLOAT, atol=FLOAT)


@given(seeds, masked(), st.sampled_from(NORMS), st.floats(0, 50))
def test_scores_of_softmax_sum_to_one_over_visible_keys(seed, mask, norm, tau):
    # values of 1 on one channel: what a head aggregates is the sum of its scores
    x, stack = drawn(seed, layers=1, tau=tau)
    ones = np.zeros((HEADS, WIDTH, SIZE))
    ones[:, 0] = 1
    x[:, 0] = 1
    (step,) = depth.forward(x, [stack[0]._replace(value=ones)], theta=[1.0, 0.1], norm="none", **mask[1])
    np.testing.assert_allclose(step.variance, 1, rtol=FLOAT)
    np.testing.assert_allclose((step.received * np.arange(6, 0, -1)).sum(axis=1), 6, rtol=FLOAT)


@given(seeds, masked(), st.sampled_from(["sigmoid", "softmax-plus-one"]))
def test_scores_of_the_other_kinds_lie_between_zero_and_one(seed, mask, kind):
    x, stack = drawn(seed)
    for step in depth.forward(x, stack, theta=[1.0, 0.1], kind=kind, **mask[1]):
        assert (step.received >= 0).all() and (step.received <= 1).all()
        if kind == "softmax-plus-one":
            assert ((step.received * np.arange(6, 0, -1)).sum(axis=1) < 6).all()


@given(seeds, st.integers(1, 9))
def test_received_mass_of_the_first_key_is_at_least_uniform(seed, length):
    x, stack = drawn(seed, length=length)
    for step in depth.forward(x, stack, theta=[1.0, 0.1]):
        assert (step.received[:, 0] >= 1 / length * (1 - EXACT)).all()
        assert (step.received <= 1 + EXACT).all()


@given(seeds, st.integers(1, 12))
def test_head_norm_has_the_second_moment_one(seed, length):
    x, stack = drawn(seed, layers=1, length=length, hidden=0)
    square = weights.random_layers(1, heads=3, width=WIDTH, head_dim=2, rng=np.random.default_rng(seed))[0]
    # every head writes into coordinates of its own
    square = square._replace(output=np.eye(6).reshape(3, 2, 6), head_norm=np.ones(2))
    (step,) = depth.forward(x, [square], theta=[0.5], norm="none")
    energy = ((step.x - x) ** 2).reshape(length, 3, 2).mean(axis=2)
    np.testing.assert_allclose(energy, 1, rtol=FLOAT)
    np.testing.assert_allclose((depth.rms_norm(x) ** 2).mean(axis=1), 1, rtol=EXACT)


@given(seeds, st.integers(1, 8), st.integers(1, 8), st.sampled_from([1e-30, 1.0, 1e30]))
def test_the_dominance_ratio_lies_between_one_and_the_width(seed, length, width, size):
    x = size * np.random.default_rng(seed).standard_cauchy((length, width))
    got = depth.measures(x).dominance
    assert (got >= 1 - EXACT).all() and (got <= width * (1 + EXACT)).all()
    np.testing.assert_allclose(depth.measures(np.eye(4)).dominance, 4, rtol=EXACT)
    np.testing.assert_allclose(depth.measures(np.ones((2, 5))).dominance, 1, rtol=EXACT)


@given(seeds, st.integers(1, 20), st.sampled_from(NORMS))
def test_repeated_tokens_without_positions_receive_the_uniform_share(seed, length, norm):
    x, stack = drawn(seed, length=1)
    for step in depth.forward(np.repeat(x, length, axis=0), stack, theta=NOPE, norm=norm):
        share = np.cumsum(1 / np.arange(length, 0, -1.0))      # sum over rows i >= k of 1/(i+1), from the last k on
        np.testing.assert_allclose(step.received, np.tile((share / np.arange(1, length + 1))[::-1], (HEADS, 1)),
                                   rtol=FLOAT)
        np.testing.assert_allclose(step.measures.disagreement, 0, atol=EXACT)


@given(seeds, st.sampled_from(NORMS), st.sampled_from(KINDS))
def test_a_token_masked_to_itself_depends_on_no_other(seed, norm, kind):
    x, stack = drawn(seed)
    other = np.random.default_rng(seed + 1).standard_normal(x.shape)
    other[3] = x[3]
    mask = masks.visible(6, alone=[3])
    ends = [list(depth.forward(tokens, stack, theta=[1.0, 0.1], norm=norm, kind=kind, visible=mask))[-1].x
            for tokens in (x, other)]
    np.testing.assert_allclose(ends[0][3], ends[1][3], rtol=FLOAT)
    assert not np.allclose(ends[0][4], ends[1][4])


@given(seeds, st.sampled_from(NORMS))
def test_no_token_depends_on_a_later_one(seed, norm):
    x, stack = drawn(seed)
    ends = [list(depth.forward(tokens, stack, theta=[1.0, 0.1], norm=norm))[-1].x for tokens in (x, x[:4])]
    np.testing.assert_allclose(ends[0][:4], ends[1], rtol=FLOAT, atol=EXACT)


@given(seeds, layouts, st.integers(0, 9))
def test_received_scores_are_those_of_one_head(seed, layout, window):
    # simulate.attention on complex queries and keys, made here
    x, stack = drawn(seed, layers=1, length=8)
    theta = np.random.default_rng(seed).uniform(0, 3, SIZE // 2)
    (step,) = depth.forward(x, stack, theta=theta, layout=layout, norm="none", window=window)
    cut = (slice(0, 2), slice(2, 4)) if layout == "half" else (slice(0, 4, 2), slice(1, 4, 2))
    for head in range(HEADS):
        q, k = (x @ maps[head] for maps in (stack[0].query, stack[0].key))
        q, k = (z[:, cut[0]] + 1j * z[:, cut[1]] for z in (q, k))
        want = attention.profile(q, k, theta, scale=SIZE ** -0.5, window=window).received
        np.testing.assert_allclose(step.received[head], want, rtol=FLOAT, atol=FLOAT)


@given(seeds, st.sampled_from(KINDS), st.sampled_from(NORMS), st.booleans())
def test_float32_in_is_float32_out(seed, kind, norm, head_norm):
    x, stack = drawn(seed, head_norm=head_norm, dtype=np.float32)
    single = list(depth.forward(x, stack, theta=[1.0, 0.1], kind=kind, norm=norm))
    wide = [weights.Layer(*(w.astype(float) if isinstance(w, np.ndarray) else w for w in layer)) for layer in stack]
    double = list(depth.forward(x.astype(float), wide, theta=[1.0, 0.1], kind=kind, norm=norm))
    for a, b in zip(single, double):
        for got in (a.x, a.variance, a.received, a.measures.norm, a.measures.dominance):
            assert got.dtype == np.float32
        np.testing.assert_allclose(a.x, b.x, rtol=1e-3, atol=1e-3)       # two layers of float32 sums
        np.testing.assert_allclose(a.received, b.received, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_uniform_rows_aggregate_the_predicted_variance(rho):
    length, width, seed = 32, 64, 7
    rng = np.random.default_rng(seed)
    one = weights.random_layers(1, heads=1, width=width, rng=rng, tau=0.0)[0]._replace(
        value=np.eye(width)[None], output=np.eye(width)[None])
    draws = []
    for _ in range(60):
        common, own = rng.standard_normal((1, width)), rng.standard_normal((length, width))
        (step,) = depth.forward(rho ** 0.5 * common + (1 - rho) ** 0.5 * own, [one], theta=np.zeros(32), norm="none")
        draws.append(step.variance[0])
    draws = np.array(draws)
    want = [sinks.uniform_covariance(i, i, rho=rho) for i in range(length)]
    stderr = draws.std(axis=0, ddof=1) / len(draws) ** 0.5
    assert (np.abs(draws.mean(axis=0) - want) < SIGMAS * stderr).all()


def test_random_orthogonal_values_follow_the_gram_recursion():
    length, width, layers, draws = 16, 256, 4, 12
    rng = np.random.default_rng(3)
    rows = np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]
    x = np.linalg.qr(rng.standard_normal((width, length)))[0].T
    want = closed.gram(np.eye(length), rows, layers)[-1].diagonal()
    got = []
    for _ in range(draws):
        stack = []
        for layer in weights.random_layers(layers, heads=1, width=width, rng=rng):
            turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
            # RMSNorm makes rows of norm sqrt(d), the recursion wants norm 1
            stack.append(layer._replace(value=turn[None], output=np.eye(width)[None], gain=width ** -0.5))
        steps = list(depth.forward(x, stack, theta=np.zeros(width // 2), rows=[rows[None]] * layers))
        got.append(steps[-1].measures.norm)
    got = np.array(got)
    # the recursion neglects O(1/d): norms fluctuate
    assert (np.abs(got.mean(axis=0) - want) < SIGMAS * got.std(axis=0, ddof=1) / draws ** 0.5 + 3 / width).all()
    np.testing.assert_allclose(want[0], 1 + layers, rtol=EXACT)


def test_cosine_and_disagreement_of_special_tokens():
    same, opposite = depth.measures(np.ones((5, 3))), depth.measures(np.array([[1.0, 0], [-1.0, 0]]))
    np.testing.assert_allclose([same.cosine, same.disagreement], [1, 0], atol=EXACT)
    np.testing.assert_allclose([opposite.cosine, opposite.disagreement], [-1, 1], rtol=EXACT)
    with_zero = depth.measures(np.array([[1.0, 0], [1.0, 0], [0, 0]]))
    np.testing.assert_allclose(with_zero.cosine, 2 / 6, rtol=EXACT)
    assert np.isnan(with_zero.dominance[2]) and np.isnan(depth.measures(np.ones((1, 2))).cosine)


def test_a_zero_row_stays_zero_under_rms_norm():
    x, stack = drawn(1, epsilon=0.0, head_norm=True)
    x[0] = 0
    for step in depth.forward(x, stack, theta=NOPE):
        assert not step.x[0].any() and np.isfinite(step.x).all()


@given(seeds, st.lists(st.floats(0, 1), min_size=2, max_size=6).map(sorted))
def test_the_sink_share_falls_with_its_threshold(seed, thresholds):
    steps = list(depth.forward(*drawn(seed), theta=[1.0, 0.1]))
    shares = np.array([depth.sink_share(steps, key=0, epsilon=epsilon) for epsilon in thresholds])
    assert shares.shape == (len(thresholds), 2) and (np.diff(shares, axis=0) <= 0).all()
    assert (depth.sink_share(steps, epsilon=1.0) == 0).all()


def test_long_texts_run_under_a_window():
    x, stack = drawn(1, layers=1, length=3000, hidden=0)
    (step,) = depth.forward(x, stack, theta=[1.0, 0.1], window=5)
    (end,) = depth.forward(x[-5:], stack, theta=[1.0, 0.1])
    np.testing.assert_allclose(step.x[-1], end.x[-1], rtol=FLOAT, atol=FLOAT)   # scores depend on lags only


# Bad input

GIVEN = np.tril(np.ones((HEADS, 6, 6))) / np.arange(1, 7)[:, None]


@pytest.mark.parametrize("bad, name", [
    ({"theta": [1.0]}, "shape of theta"), ({"theta": []}, "shape of theta"), ({"layout": "odd"}, "layout"),
    ({"window": -1}, "window"), ({"kind": "hardmax"}, "kind"), ({"norm": "both"}, "norm"),
    ({"visible": np.tri(6)}, "mask"), ({"visible": np.ones((6, 6), bool)}, "mask"),
    ({"visible": np.tri(6, k=-1, dtype=bool)}, "mask"), ({"visible": np.tri(5, dtype=bool)}, "shape of visible"),
    ({"visible": np.tri(6, dtype=bool), "window": 3}, "window"),
    ({"rows": [GIVEN]}, "layers of rows"), ({"rows": [GIVEN, GIVEN[:1]]}, "shape of rows"),
    ({"rows": [GIVEN, 1.01 * GIVEN]}, "sum of a row"), ({"rows": [0.99 * GIVEN, None]}, "sum of a row"),
    ({"rows": [GIVEN.swapaxes(1, 2), None]}, "rows"), ({"rows": [GIVEN * [2, -1, 1, 1, 1, 1], None]}, "rows"),
    ({"rows": [1.01 * GIVEN, None], "kind": "softmax-plus-one"}, "sum of a row"),
    ({"rows": [9 * GIVEN, None], "kind": "sigmoid"}, "sum of a row"),
    ({"rows": [np.full_like(GIVEN, np.nan), None]}, "rows")])
def test_forward_refuses(bad, name):
    with pytest.raises(RopesimError) as caught:
        depth.forward(*drawn(0), **{"theta": NOPE} | bad)      # before the first layer is asked for
    assert caught.value.name == name


@pytest.mark.parametrize("x, name", [
    (np.ones(6), "shape of x"), (np.ones((0, 6)), "shape of x"), (np.full((2, 6), np.inf), "x"),
    (np.ones((2, 5)), "shape of query"), (np.ones((2, 6), np.float32), "dtype of query")])
def test_forward_refuses_tokens_that_do_not_fit(x, name):
    with pytest.raises(RopesimError) as caught:
        depth.forward(x, drawn(0)[1], theta=NOPE)
    assert caught.value.name == name


def test_ten_million_tokens_are_refused_without_a_window():
    x = np.broadcast_to(1.0, (10 ** 7, 1))
    with pytest.raises(RopesimError, match="window") as caught:
        depth.forward(x, [], theta=[0.0])
    assert (caught.value.name, caught.value.value) == ("length", 10 ** 7)


@pytest.mark.parametrize("x", [np.ones(3), np.ones((0, 3)), [[np.nan]]])
def test_measures_refuse(x):
    with pytest.raises(RopesimError, match="x"):
        depth.measures(x)


@pytest.mark.parametrize("bad", [{"key": 6}, {"key": -1}, {"epsilon": 1.1}, {"epsilon": -0.1}])
def test_sink_share_refuses(bad):
    steps = list(depth.forward(*drawn(0), theta=NOPE))
    with pytest.raises(RopesimError, match=next(iter(bad))):
        depth.sink_share(steps, **bad)
