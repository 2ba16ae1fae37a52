import itertools
from unittest import mock

import naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT

from ropesim import patterns
from ropesim.errors import RopesimError
from ropesim.predict import attention, batch

spreads = st.sampled_from([0.0, 0.1, 5.0, 30.0, 88.0, 745.0, 1e4])
shapes = st.sampled_from(["uniform", "rising", "falling", "spikes", "constant"])
seeds = st.integers(0, 2 ** 32 - 1)
sinks = st.sampled_from([None, 0.0, 1e4, -1e4])
skips = st.integers(0, 45)
windows = st.integers(0, 45)


def drawn(heads, length, spread, shape, above, seed):
    """Logits of several heads and, maybe, of sinks that lie `above` a like number."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.uniform(-1, 1, (heads, length))
    if shape in ("rising", "falling"):
        logits = np.sort(logits)[:, ::1 if shape == "rising" else -1]
    elif shape == "spikes":
        logits = spread * (rng.uniform(size=logits.shape) < 0.2)
    elif shape == "constant":
        logits = np.full(logits.shape, spread)
    return logits, None if above is None else above + spread * rng.uniform(-1, 1, logits.shape)


def mixed(heads, length, seed=0):
    """Heads of every kind, one after the other."""
    kinds = list(itertools.product((0.1, 5.0, 88.0, 1e4), ("uniform", "rising", "falling", "spikes")))
    return np.concatenate([drawn(1, length, *kinds[n % len(kinds)], None, seed + n)[0] for n in range(heads)])


def parts(seen):
    return [part for part in seen if part is not None]


def agree(seen, heads, atol=EXACT):
    """heads: a Profile of each."""
    half = seen.slash.shape[1] // 2
    for n, (slash, received, entropy, participation) in enumerate(heads):
        for ours, theirs in [(seen.slash[n], slash), (seen.received[n], received), (seen.sink[n], received[0]),
                             (seen.entropy[n], entropy[half:].mean()),
                             (seen.participation[n], participation[half:].mean())]:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


@given(st.integers(1, 3), st.integers(1, 24), spreads, shapes, sinks, skips, windows, seeds)
@example(2, 1, 1.0, "uniform", None, 0, 0, 0)
@example(2, 1, 1.0, "uniform", 1e4, 1, 1, 0)
@example(2, 24, 1e4, "rising", -1e4, 3, 0, 0)
def test_a_batch_is_its_naive_twin(heads, length, spread, shape, above, skip, window, seed):
    logits, sink = drawn(heads, length, spread, shape, above, seed)
    seen = batch.profiles(logits, sink=sink, skip=skip, window=window, received=True)
    slow = naive.batch(logits.tolist(), sink if sink is None else sink.tolist(), skip, window)
    for n, want in enumerate(slow):
        got = seen.slash[n], seen.received[n], seen.entropy[n], seen.participation[n]
        for ours, theirs in zip(got, want):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=EXACT)


@pytest.mark.parametrize("window", [0, 1, 40, 299])
@pytest.mark.parametrize("above", [None, 0.0, 1e4, -1e4])
def test_a_batch_is_a_loop_over_profiles(above, window):
    logits = mixed(16, 300)
    sink = None if above is None else above + logits[::-1]
    seen = batch.profiles(logits, sink=sink, skip=2, window=window, received=True)
    loop = [attention.profile(row, sink=None if sink is None else sink[n], skip=2, window=window)
            for n, row in enumerate(logits)]
    agree(seen, loop)


@pytest.mark.parametrize("spread", [0.5, 2.0, 8.0])
def test_heads_of_rope_are_a_loop_over_profiles(spread):
    rng = np.random.default_rng(3)
    theta = 5e5 ** (-np.arange(64) / 64)
    logits = attention.lag_logits(rng.uniform(0, spread, (20, 64)), rng.uniform(-4, 4, (20, 64)), theta, 1024)
    agree(batch.profiles(logits, received=True), [attention.profile(row) for row in logits])


@pytest.mark.compiled
@pytest.mark.parametrize("received", [False, True])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_head_does_not_depend_on_its_batch(size, received):
    logits, rng = mixed(64, 150), np.random.default_rng(1)
    sink = logits[::-1].copy()
    options = [{"skip": 0, "window": 0}, {"skip": 5, "window": 0}, {"skip": 1, "window": 60}]
    for seen in options:
        whole = parts(batch.profiles(logits, sink=sink, received=received, **seen))
        for order in (np.arange(64), rng.permutation(64)):
            for start in range(0, 64, size):
                some = order[start:start + size]
                piece = parts(batch.profiles(logits[some], sink=sink[some], received=received, **seen))
                for one, other in zip(piece, whole):
                    np.testing.assert_array_equal(one, other[some])


def test_asking_for_received_changes_nothing_else():
    logits = mixed(20, 100)
    plain, full = batch.profiles(logits), batch.profiles(logits, received=True)
    assert plain.received is None
    for one, other in zip(parts(plain), parts(full)):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(full.received[:, 0], full.sink)


def test_the_logits_of_key_0_are_a_sink_that_changes_nothing():
    logits = mixed(20, 100)
    for one, other in zip(batch.profiles(logits, received=True), batch.profiles(logits, sink=logits, received=True)):
        np.testing.assert_array_equal(one, other)


@given(st.integers(1, 40), spreads, shapes, windows, seeds)
def test_rows_sum_to_one(length, spread, shape, window, seed):
    logits = drawn(2, length, spread, shape, None, seed)[0]
    pairs = np.arange(length, 0, -1)
    seen = batch.profiles(logits, window=window, received=True)
    np.testing.assert_allclose([seen.slash @ pairs, seen.received @ pairs], length, rtol=EXACT)


@given(st.integers(1, 40), st.sampled_from([-1e4, 0.0, 1e4]), skips, windows)
def test_equal_logits_are_uniform_attention(length, logit, skip, window):
    seen = batch.profiles(np.full((1, length), logit), skip=skip, window=window, received=True)
    agree(seen, [patterns.uniform(length, skip=skip, window=window)])


def test_sinks_far_above_or_below_take_all_or_nothing():
    logits = np.sin(np.arange(40.0)).reshape(2, 20)
    above, below = (batch.profiles(logits, sink=np.full((2, 20), height), received=True) for height in (1e4, -1e4))
    np.testing.assert_allclose(above.received, np.eye(20)[[0, 0]], rtol=0, atol=EXACT)
    np.testing.assert_allclose(above.entropy, 0, rtol=0, atol=EXACT)
    np.testing.assert_array_equal(below.sink, 1 / 20)


@pytest.mark.parametrize("name, value", [("LIMIT", 0.0), ("LIMIT", 1.0), ("DIRECT", 0), ("DIRECT", 20), ("TILE", 200),
                                         ("LAST", 0), ("LAST", 20)])
def test_the_ways_of_summing_received_scores_agree(name, value):
    logits = mixed(20, 100)
    usual = batch.profiles(logits, received=True)
    with mock.patch.object(batch, name, value):
        other = batch.profiles(logits, received=True)
    for one, two in zip(usual, other):
        np.testing.assert_allclose(one, two, rtol=0, atol=EXACT)


def test_heads_with_too_many_early_rows_are_cut():
    logits = np.stack([np.zeros(200), np.linspace(0, 1e3, 200)])
    with mock.patch.object(batch, "DIRECT", 50), \
            mock.patch.object(batch.attention, "received", wraps=attention.received) as cut:
        seen = batch.profiles(logits, received=True)
    assert cut.call_count == 1
    np.testing.assert_array_equal(seen.received[1, 1:], attention.received(logits[1])[1:])


def test_a_batch_of_no_heads_is_empty():
    seen = batch.profiles(np.zeros((0, 5)), received=True)
    assert seen.slash.shape == seen.received.shape == (0, 5)
    assert seen.sink.shape == seen.entropy.shape == seen.participation.shape == (0,)


@pytest.mark.parametrize("name, logits, seen", [
    ("length", np.zeros((1, 0)), {}), ("shape of logits", np.zeros(3), {}), ("logits", [[np.nan]], {}),
    ("logits", [["a"]], {}), ("shape of sink", np.zeros((1, 1)), {"sink": np.zeros(1)}),
    ("sink", np.zeros((1, 1)), {"sink": [[np.inf]]}), ("skip", np.zeros((1, 1)), {"skip": -1}),
    ("window", np.zeros((1, 1)), {"window": 1.5})])
def test_bad_input_is_refused_by_name(name, logits, seen):
    with pytest.raises(RopesimError, match=f"^{name} = .*: use ") as refused:
        batch.profiles(logits, **seen)
    assert refused.value.name == name


def test_a_skip_and_a_window_of_any_size_are_taken():
    seen = batch.profiles(np.zeros((1, 3)), skip=2 ** 70, window=2 ** 70)
    assert np.isnan(seen.slash).all() and np.isfinite(seen.sink).all()


margins = st.floats(-1e4, 1e4)


@given(st.lists(margins, min_size=1, max_size=4), st.integers(1, 40), spreads, shapes, seeds)
@example([0.0], 1, 1.0, "uniform", 0)
def test_sink_logits_are_a_loop(above, length, spread, shape, seed):
    logits = drawn(len(above), length, spread, shape, None, seed)[0]
    loop = [attention.sink_logits(row, margin) for row, margin in zip(logits, above)]
    size = 1 + spread + np.abs(above).max()
    np.testing.assert_allclose(batch.sink_logits(logits, above), loop, rtol=0, atol=EXACT * size)


@pytest.mark.compiled
@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_sink_does_not_depend_on_its_batch(size):
    logits, above = mixed(64, 150), np.random.default_rng(1).normal(size=64)
    whole = batch.sink_logits(logits, above)
    for start in range(0, 64, size):
        some = slice(start, start + size)
        np.testing.assert_array_equal(batch.sink_logits(logits[some], above[some]), whole[some])


@pytest.mark.parametrize("name, logits, above", [
    ("length", np.zeros((1, 0)), [0.0]), ("shape of logits", np.zeros(3), [0.0]), ("logits", [[np.inf]], [0.0]),
    ("shape of margins", np.zeros((2, 3)), [0.0]), ("shape of margins", np.zeros((1, 3)), 0.0),
    ("margins", np.zeros((1, 3)), [np.nan])])
def test_bad_margins_are_refused_by_name(name, logits, above):
    with pytest.raises(RopesimError, match=f"^{name} = .*: use ") as refused:
        batch.sink_logits(logits, above)
    assert refused.value.name == name
