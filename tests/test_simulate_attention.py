"""Brute force against its naive twin, and the two wings against each other where both are exact."""

import naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mpmath import expj, mpc, mpf, workdps
from tolerances import EXACT, FLOAT

from ropesim import ensembles, patterns, predict, simulate, wrappers
from ropesim.errors import RopesimError
from ropesim.patterns import Profile
from ropesim.predict import attention as closed
from ropesim.simulate import attention

lengths = st.integers(1, 20)
seeds = st.integers(0, 2 ** 32 - 1)
limits = st.integers(0, 24)
sizes = st.sampled_from([0.0, 0.3, 3.0, 30.0])
scales = st.sampled_from([-1.0, 0.0, 0.125, 1.0, 2.5])


def complex_normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


@st.composite
def texts(draw, size=sizes):
    """Queries, keys and frequencies of a few tokens and pairs."""
    length, pairs, size = draw(lengths), draw(st.integers(1, 4)), draw(size)
    rng = np.random.default_rng(draw(seeds))
    theta = np.where(rng.uniform(size=pairs) < 0.2, 0.0, np.exp(rng.uniform(-9, 1, pairs)))
    return size * complex_normal(rng, length, pairs), complex_normal(rng, length, pairs), theta


@st.composite
def constants(draw):
    """A constant head, by mean query and key, and frequencies."""
    q, k, theta = draw(texts())
    return q[0], k[0], theta


def dense(q, k, theta, scale=1.0, window=0):
    return naive.token_scores(q.tolist(), k.tolist(), theta.tolist(), scale, window)


def close(ours, theirs, atol=EXACT):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


# ---------------------------------------------------------------- naive twins

@given(texts(), scales, limits)
def test_scores_are_their_naive_twin(text, scale, window):
    ours = attention.scores(*text, scale=scale, window=window)
    assert ours.dtype == np.float64
    close(ours, dense(*text, scale, window), FLOAT)


@given(texts(), scales, limits, limits)
@example((np.ones((1, 1)), np.ones((1, 1)), np.ones(1)), 1.0, 0, 0)
@example((np.ones((2, 1)), np.ones((2, 1)), np.ones(1)), 1.0, 3, 1)
def test_the_profile_is_its_naive_twin(text, scale, skip, window):
    ours = attention.profile(*text, scale=scale, skip=skip, window=window)
    assert isinstance(ours, Profile)
    for fast, slow in zip(ours, naive.profile(dense(*text, scale, window), skip)):
        assert fast.dtype == np.float64
        close(fast, slow, FLOAT)


@given(texts(), scales, limits, st.floats(0, 1), seeds)
def test_outputs_and_the_pooled_map_are_their_naive_twins(text, scale, window, share, seed):
    length = len(text[0])
    matrix, values = dense(*text, scale, window), np.random.default_rng(seed).uniform(-1, 1, (length, 3))
    blocks = max(1, round(share * length))
    seen = {"scale": scale, "window": window}
    close(attention.outputs(*text, values, **seen), naive.outputs(matrix, values.tolist()), FLOAT)
    close(attention.pooled(*text, blocks, **seen), naive.pooled(matrix, blocks), FLOAT)


@pytest.mark.parametrize("length, window", [(129, 0), (150, 20), (300, 0), (300, 128), (300, 200)])
def test_a_text_of_several_blocks_is_the_sum_of_its_dense_scores(length, window):
    rng = np.random.default_rng(length)
    q, k, theta = complex_normal(rng, length, 3), complex_normal(rng, length, 3), np.array([1.0, 0.1, 0.0])
    positions = np.exp(1j * np.arange(length)[:, None] * theta)
    logits = ((q * positions) @ (k * positions).conj().T).real
    lag = np.arange(length)[:, None] - np.arange(length)
    logits[(lag < 0) | ((window > 0) & (lag >= window))] = -np.inf
    matrix = np.exp(logits - logits.max(axis=1, keepdims=True))
    matrix /= matrix.sum(axis=1, keepdims=True)
    close(attention.scores(q, k, theta, window=window), matrix)
    slash, received, _, participation = attention.profile(q, k, theta, skip=4, window=window)
    close(slash[:-4], [np.diagonal(matrix, -d)[4:].mean() for d in range(length - 4)])
    close(received, matrix.sum(axis=0) / np.arange(length, 0, -1))
    close(participation, (matrix ** 2).sum(axis=1))
    values = rng.normal(size=(length, 2))
    close(attention.outputs(q, k, theta, values, window=window), matrix @ values)
    halves = [slice(0, length // 2), slice(length // 2, None)]
    close(attention.pooled(q, k, theta, 2, window=window),
          [[matrix[rows, keys].sum(axis=1).mean() for keys in halves] for rows in halves])


@given(st.integers(1, 150), seeds)
def test_rotations_are_their_naive_twin(length, seed):
    theta = np.exp(np.random.default_rng(seed).uniform(-9, 1, 3))
    ours = attention.rotation(length, theta)
    assert ours.shape == (length, 3) and ours.dtype == np.complex128
    close(ours, naive.rotation(length, theta.tolist()))


@pytest.mark.parametrize("theta", [0.0, 1e-30, 1e-4, 0.65045927626781632, 0.9, 1.0, -0.3, np.pi, 7.5])
def test_the_phases_of_rotations_err_by_less_than_the_stated_1e_15(theta):
    turn = attention.rotation(100_000, np.array([theta]))[:, 0]
    with workdps(50):
        for i in [*range(0, 64, 3), 52, *range(64, 100_000, 4999), 99_999]:
            assert abs(mpc(complex(turn[i])) - expj(mpf(theta) * i)) < 1e-15


# ---------------------------------------------------------------- identities

@given(lengths, lengths, seeds)
def test_rotations_keep_norms_and_add_up(a, b, seed):
    theta = np.exp(np.random.default_rng(seed).uniform(-9, 1, 3))
    turn = attention.rotation(a + b, theta)
    close(np.abs(turn), 1)
    close(turn[a] * turn[b - 1], turn[a + b - 1])


@given(st.sampled_from([2, 3, 4, 7, 32]), lengths, seeds)
def test_interpolated_frequencies_at_stretched_positions_are_the_default(factor, length, seed):
    theta = np.exp(np.random.default_rng(seed).uniform(-9, 1, 3))
    stretched = attention.rotation(factor * length, theta / factor)[::factor]
    close(stretched, attention.rotation(length, theta), FLOAT)      # theta / factor is rounded


@given(texts(), limits)
def test_rows_are_causal_distributions(text, window):
    matrix = attention.scores(*text, window=window)
    assert (matrix >= 0).all() and not np.triu(matrix, 1).any()
    assert window == 0 or not np.tril(matrix, -window).any()
    close(matrix.sum(axis=1), 1)


@given(texts(), st.integers(0, 1000))
def test_shifting_all_positions_changes_nothing(text, shift):
    q, k, theta = text
    turn = attention.rotation(shift + 1, theta)[shift]
    close(attention.scores(q * turn, k * turn, theta), attention.scores(*text), FLOAT)


@given(texts(), st.integers(1, 8), limits, seeds)
def test_tokens_before_the_window_change_nothing(text, before, window, seed):
    q, k, theta = text
    rng = np.random.default_rng(seed)
    long_q, long_k = (np.concatenate([complex_normal(rng, before, theta.size), x]) for x in (q, k))
    window = window + 1
    longer = attention.scores(long_q, long_k, theta, window=window)[before:, before:]
    close(longer[window - 1:], attention.scores(*text, window=window)[window - 1:], FLOAT)


@given(texts(), st.floats(-10, 10))
def test_a_common_phase_of_queries_and_keys_cancels(text, phase):
    q, k, theta = text
    turn = np.exp(1j * phase)
    close(attention.scores(q * turn, k * turn, theta), attention.scores(*text), FLOAT)


@given(texts(), st.floats(-3, 3))
def test_scaling_the_queries_scales_the_logits(text, factor):
    q, k, theta = text
    close(attention.scores(factor * q, k, theta), attention.scores(*text, scale=factor), FLOAT)


def logits(text):
    """Logits less that of key 0, from scores that do not underflow."""
    score = np.log(attention.scores(*text), where=np.tri(len(text[0]), dtype=bool), out=np.zeros((len(text[0]),) * 2))
    return np.tril(score - score[:, :1])


@given(texts(st.just(0.3)), seeds)
def test_logits_add_over_disjoint_pairs(text, seed):
    q, k, theta = text
    rng = np.random.default_rng(seed)
    more = complex_normal(rng, len(q), 2), complex_normal(rng, len(q), 2), rng.uniform(0, 3, 2)
    both = tuple(np.concatenate(parts, axis=-1) for parts in zip(text, more))
    close(logits(both), logits(text) + logits(more), FLOAT)


@given(texts(), scales, limits, limits)
def test_identical_tokens_without_rotation_are_uniform_attention(text, scale, skip, window):
    q, k, theta = text
    q, k = np.tile(q[0], (len(q), 1)), np.tile(k[0], (len(k), 1))
    ours = attention.profile(q, k, 0 * theta, scale=scale, skip=skip, window=window)
    for part, expected in zip(ours, patterns.uniform(len(q), skip=skip, window=window)):
        close(part, expected)


@given(constants(), lengths)
def test_scores_of_identical_tokens_are_weights_by_lag_over_their_running_sum(head, length):
    q, k, theta = head
    by_lag = naive.lag_logits(np.abs(q * k), np.angle(q * k.conj()), theta, length)
    w = np.exp(np.array(by_lag) - max(by_lag))
    ours = attention.scores(np.tile(q, (length, 1)), np.tile(k, (length, 1)), theta)
    for i, row in enumerate(ours):
        close(row[:i + 1] * w[:i + 1].sum(), w[i::-1], FLOAT)


def test_one_token_attends_to_itself():
    text = np.array([[3 + 4j]]), np.array([[1j]]), np.ones(1)
    np.testing.assert_array_equal(attention.scores(*text), [[1]])
    np.testing.assert_array_equal(np.concatenate(attention.profile(*text)), [1, 1, 0, 1])
    np.testing.assert_array_equal(attention.outputs(*text, [[5.0]]), [[5]])
    np.testing.assert_array_equal(attention.pooled(*text, 1), [[1]])


@given(texts(), limits)
def test_a_window_as_long_as_the_text_is_no_window(text, more):
    wide = len(text[0]) + more
    for one, other in zip(attention.profile(*text), attention.profile(*text, window=wide)):
        np.testing.assert_array_equal(one, other)


@given(texts(), limits, seeds)
def test_arguments_are_left_as_they_were(text, window, seed):
    before = [x.copy() for x in text]
    attention.profile(*text, window=window)
    attention.scores(*text, window=window)
    attention.outputs(*text, np.ones((len(text[0]), 1)), window=window)
    attention.pooled(*text, 1, window=window)
    for x, y in zip(text, before):
        np.testing.assert_array_equal(x, y)


# ---------------------------------------------------------------- predict = simulate

def curve(q, k, theta, scale, length):
    product = scale * q * k.conj()
    return closed.lag_logits(np.abs(product), np.angle(product), theta, length)


def agree(head, theta, length, scale, skip, window, atol=FLOAT):
    """The closed forms for the means of `head` against brute force on its only sample."""
    mean = head.mean(theta)
    by_lag = curve(mean.q, mean.k, theta, scale, length)
    sink = None
    if mean.margin is not None:
        sink = closed.sink_logits(by_lag, mean.margin)
    elif mean.first_key is not None:
        sink = curve(mean.q, mean.first_key, theta, scale, length)
    q, k, sampled = head.sample(length, np.random.default_rng(0), theta)
    seen = {"scale": scale, "window": window}
    for predicted, simulated in zip(closed.profile(by_lag, sink=sink, skip=skip, window=window),
                                    attention.profile(q, k, sampled, skip=skip, **seen)):
        close(predicted, simulated, atol)
    values = np.random.default_rng(1).uniform(-1, 1, (length, 2))
    blocks = (length + 2) // 3
    close(closed.outputs(by_lag, values, sink=sink, window=window),
          attention.outputs(q, k, sampled, values, **seen), atol)
    close(closed.pooled(by_lag, blocks, sink=sink, window=window),
          attention.pooled(q, k, sampled, blocks, **seen), atol)


@given(constants(), lengths, scales, limits, limits)
def test_the_wings_agree_on_constant_heads(head, length, scale, skip, window):
    q, k, theta = head
    agree(ensembles.Constant(np.abs(q), np.angle(q)), theta, length, scale, skip, window)
    tokens = ensembles.Captured(np.tile(q, (length, 1)), np.tile(k, (length, 1)))
    agree(tokens, theta, length, scale, skip, window)


@given(constants(), lengths, st.sampled_from([0.125, 1.0, 2.5]), limits, limits, st.floats(-30, 30))
def test_the_wings_agree_on_heads_with_a_sink(head, length, scale, skip, window, margin):
    q, _, theta = head
    bare = ensembles.Constant(np.abs(q), np.angle(q))
    agree(wrappers.Sink(bare, margin, scale), theta, length, scale, skip, window)


@given(constants(), lengths, st.integers(0, 30), limits, st.floats(0.5, 2), st.integers(0, 4), st.floats(-5, 10))
def test_the_wings_agree_on_slash_heads_with_a_factor(head, length, lag, window, factor, pairs, margin):
    slashes = wrappers.Factor(ensembles.Slash(lag, 1.5), factor, pairs)
    agree(slashes, head[2], length, 1.0, 0, window)
    agree(wrappers.Sink(slashes, margin), head[2], length, 1.0, 0, window)


@given(constants(), lengths, limits, seeds)
def test_the_wings_agree_where_only_key_0_differs(head, length, window, seed):
    q, k, theta = head
    keys = np.tile(k, (length, 1))
    keys[0] = complex_normal(np.random.default_rng(seed), theta.size)
    agree(ensembles.Captured(np.tile(q, (length, 1)), keys), theta, length, 1.0, 0, window)


@given(constants(), lengths, st.floats(0.5, 3))
def test_an_attention_factor_multiplies_the_rotary_logits_by_its_square(head, length, factor):
    q, _, theta = head
    amplitude, phase = np.abs(q), np.angle(q)
    gain = np.where(np.arange(theta.size) < 2, factor ** 2, 1)
    squared = closed.profile(closed.lag_logits(gain * amplitude, phase, theta, length))
    sample = wrappers.Factor(ensembles.Constant(amplitude, phase), factor, 2).sample(length, None, theta)
    for predicted, simulated in zip(squared, attention.profile(*sample)):
        close(predicted, simulated, FLOAT)


@pytest.mark.parametrize("margin", [None, 4.0, 1e4, -1e4])
def test_the_wings_agree_at_logits_of_ten_thousand(margin):
    head = ensembles.Constant([6e3, 4e3], [0.3, -2.0])
    if margin is not None:
        head = wrappers.Sink(head, margin)
    agree(head, np.array([1.0, 0.01]), 60, 1.0, 2, 0, atol=2 * closed.rounding(np.array([1e4]), 60))


# ---------------------------------------------------------------- extremes and guards

@pytest.mark.parametrize("size", [1e4, -1e4])
def test_logits_of_ten_thousand_give_finite_numbers(size):
    rng = np.random.default_rng(0)
    text = size * np.exp(1j * rng.uniform(0, 7, (50, 2))), np.exp(1j * rng.uniform(0, 7, (50, 2))), np.array([1, 1e-4])
    for part in attention.profile(*text):
        assert np.isfinite(part).all()
    assert np.isfinite(attention.scores(*text)).all() and np.isfinite(attention.pooled(*text, 7)).all()
    assert np.isfinite(attention.outputs(*text, np.ones((50, 2)))).all()


ONES = np.ones((2, 1))
CALLS = (attention.scores, attention.profile, lambda *text, **seen: attention.pooled(*text, 1, **seen),
         lambda *text, **seen: attention.outputs(*text, np.ones((2, 1)), **seen))
GUARDS = [("shape of theta", (ONES, ONES, 1.0), {}), ("theta", (ONES, ONES, [np.nan]), {}),
          ("shape of q", (np.ones(2), ONES, [1]), {}), ("shape of q", (np.ones((2, 2)), ONES, [1]), {}),
          ("shape of q", (np.ones((0, 1)), np.ones((0, 1)), [1]), {}),
          ("shape of q", (np.ones((2, 0)), np.ones((2, 0)), []), {}), ("q", ([["a"], ["b"]], ONES, [1]), {}),
          ("shape of k", (ONES, np.ones((3, 1)), [1]), {}), ("k", (ONES, [[1], [np.inf]], [1]), {}),
          ("scale", (ONES, ONES, [1]), {"scale": np.inf}), ("scale", (ONES, ONES, [1]), {"scale": "1"}),
          ("window", (ONES, ONES, [1]), {"window": -1}), ("window", (ONES, ONES, [1]), {"window": 0.5})]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name, text, seen", GUARDS)
def test_bad_input_is_refused_by_name(call, name, text, seen):
    with pytest.raises(RopesimError, match=f"^{name} = .*: use ") as refused:
        call(*text, **seen)
    assert refused.value.name == name


@pytest.mark.parametrize("call, name", [
    (lambda: attention.profile(ONES, ONES, [1], skip=-1), "skip"),
    (lambda: attention.pooled(ONES, ONES, [1], 3), "blocks"),
    (lambda: attention.pooled(ONES, ONES, [1], 0), "blocks"),
    (lambda: attention.outputs(ONES, ONES, [1], np.ones(2)), "shape of values"),
    (lambda: attention.outputs(ONES, ONES, [1], [[np.nan], [1]]), "values"),
    (lambda: attention.rotation(0, [1]), "length"),
    (lambda: attention.rotation(3, 1.0), "shape of theta"),
])
def test_bad_input_of_one_function_is_refused_by_name(call, name):
    with pytest.raises(RopesimError, match=f"^{name} = .*: use ") as refused:
        call()
    assert refused.value.name == name


def test_a_window_or_skip_of_any_size_is_taken():
    huge = attention.profile(ONES, ONES, [1], window=2 ** 70, skip=2 ** 70)
    assert np.isnan(huge.slash).all()
    np.testing.assert_array_equal(huge.received, attention.profile(ONES, ONES, [1]).received)


def test_the_packages_name_their_modules_only():
    assert simulate.attention is attention and predict.attention is closed
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        simulate.nothing
