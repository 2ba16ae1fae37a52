import math
from unittest import mock

import naive
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from mpmath import cos, exp, fsum, log, mp, mpf
from tolerances import EXACT, FLOAT

from ropesim import patterns, predict
from ropesim.errors import RopesimError
from ropesim.patterns import Profile
from ropesim.predict import attention

mp.dps = 60

lengths = st.integers(1, 40)
spreads = st.sampled_from([0.0, 0.1, 5.0, 88.0, 745.0, 1e4])
shapes = st.sampled_from(["uniform", "rising", "falling", "spikes", "constant"])
seeds = st.integers(0, 2 ** 32 - 1)
skips = st.integers(0, 45)
windows = st.integers(0, 45)
sinks = st.sampled_from([None, "like the rest", "above", "below", "both"])
starts = st.integers(0, 2 ** 20) | st.sampled_from([2 ** 40, 2 ** 60, 2 ** 62 - 8])
strange = [0.0, 1e-30, -1e-9, -0.3, 1.0, math.pi, 2 * math.pi, 7.5, -1234.5, 1e15]


@st.composite
def heads(draw):
    """Logits by lag and, maybe, a sink's logits by row."""
    length, spread, shape, sink = draw(lengths), draw(spreads), draw(shapes), draw(sinks)
    rng = np.random.default_rng(draw(seeds))
    logits = spread * rng.uniform(-1, 1, length)
    if shape in ("rising", "falling"):
        logits = np.sort(logits)[::1 if shape == "rising" else -1]
    elif shape == "spikes":
        logits = spread * (rng.uniform(size=length) < 0.2)
    elif shape == "constant":
        logits = np.full(length, spread)
    if sink is None:
        return logits, None
    sign = {"like the rest": 0, "above": 1, "below": -1, "both": rng.choice([-1, 1], length)}[sink]
    return logits, spread * rng.uniform(-1, 1, length) + 1e4 * sign


@st.composite
def constants(draw, most=8):
    """Amplitude, phase and theta of a constant head."""
    pairs = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(seeds))
    return rng.uniform(0, 5, pairs), rng.uniform(-4, 4, pairs), np.exp(rng.uniform(-12, 1, pairs))


def close(ours, theirs, atol=EXACT):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


def dense(head, window=0):
    logits, sink = head
    return naive.lag_scores(logits.tolist(), sink if sink is None else sink.tolist(), window)


# ---------------------------------------------------------------- lag logits

def exact_logit(amplitude, phase, theta, lag):
    """In 60 digits, with every parameter the exact value of its double."""
    terms = zip(amplitude.tolist(), phase.tolist(), theta.tolist())
    return fsum(mpf(a) * cos(mpf(t) * lag + mpf(p)) for a, p, t in terms)


@given(st.sampled_from([1, 64]), seeds, starts, st.booleans())
@example(64, 0, 0, False)
@example(64, 1, 2 ** 60, True)
@example(1, 3, 2 ** 60, False)
def test_lag_logits_are_exact_at_any_lag(pairs, seed, start, ordinary):
    rng = np.random.default_rng(seed)
    theta = np.exp(rng.uniform(-16, 1, pairs)) if ordinary else rng.choice(strange, pairs)
    amplitude, phase = rng.uniform(0, 5, pairs), rng.uniform(-4, 4, pairs)
    logits = attention.lag_logits(amplitude, phase, theta, 8, start=start)
    for n in (0, 3, 7):
        error = abs(exact_logit(amplitude, phase, theta, start + n) - mpf(logits[n]))
        assert error <= 1e-15 * amplitude.sum()


@pytest.mark.parametrize("theta", strange)
def test_lag_logits_of_a_strange_frequency_are_exact(theta):
    one, theta = np.ones(1), np.array([theta])
    for start in (0, 2 ** 20 - 40, 2 ** 40, 2 ** 60):
        logits = attention.lag_logits(one, one, theta, 40, start=start)
        assert max(abs(exact_logit(one, one, theta, start + n) - mpf(x)) for n, x in enumerate(logits)) <= 1e-15


@given(constants(), st.integers(1, 200))
def test_lag_logits_are_their_naive_twin_at_small_lags(head, length):
    close(attention.lag_logits(*head, length), naive.lag_logits(*head, length), FLOAT)


@given(constants(), st.integers(1, 60), st.integers(0, 2 ** 62 - 120), st.integers(0, 60))
def test_lag_logits_do_not_depend_on_where_they_start(head, length, start, offset):
    here = attention.lag_logits(*head, length, start=start + offset)
    close(here, attention.lag_logits(*head, length + offset, start=start)[offset:], EXACT * head[0].sum())


@given(constants(), constants(), st.integers(1, 40))
def test_lag_logits_add_over_disjoint_pairs(one, other, length):
    both = [np.concatenate(parts) for parts in zip(one, other)]
    together = attention.lag_logits(*one, length) + attention.lag_logits(*other, length)
    close(attention.lag_logits(*both, length), together, EXACT * both[0].sum())


@given(constants(), st.just(0.0) | st.floats(1e-4, 1e4), st.integers(1, 40))
def test_scaling_the_amplitudes_scales_the_logits(head, factor, length):
    amplitude, phase, theta = head
    scaled = attention.lag_logits(factor * amplitude, phase, theta, length)
    close(scaled, factor * attention.lag_logits(*head, length), EXACT * factor * amplitude.sum())


@given(constants(), st.integers(0, 2 ** 40), st.integers(1, 40))
def test_a_turn_of_the_phases_shifts_the_lags(head, shift, length):
    amplitude, phase, theta = head
    turn = np.array([float((mpf(t) * shift) % (2 * mp.pi)) for t in theta.tolist()])
    shifted = attention.lag_logits(amplitude, phase + turn, theta, length)
    close(shifted, attention.lag_logits(*head, length, start=shift), EXACT * amplitude.sum())


@given(constants(), st.integers(1, 40))
def test_lag_zero_and_frequency_zero_give_the_cosine_of_the_phase(head, length):
    amplitude, phase, theta = head
    expected = (amplitude * np.cos(phase)).sum()
    close(attention.lag_logits(*head, 1), expected, EXACT * amplitude.sum())
    for still in (0 * theta, 0 * theta + 1e-30):
        close(attention.lag_logits(amplitude, phase, still, length), expected, EXACT * amplitude.sum())


@given(constants(), st.sampled_from([2, 3, 4, 7.5, 32]), st.integers(1, 20))
def test_interpolated_frequencies_repeat_the_logits_at_stretched_lags(head, factor, length):
    amplitude, phase, theta = head
    stretched = attention.lag_logits(amplitude, phase, theta / factor, int(2 * factor * length))[::int(2 * factor)]
    # theta / factor is rounded: its ulp times the largest lag
    close(stretched, attention.lag_logits(*head, 2 * length)[::2], FLOAT)


@given(st.lists(st.integers(1, 24), min_size=1, max_size=4), st.integers(1, 24), st.integers(0, 1000))
def test_whole_fractions_of_a_turn_repeat_with_their_common_period(numerators, denominator, start):
    theta = 2 * np.pi * np.array(numerators) / denominator
    period = math.lcm(*(denominator // math.gcd(n, denominator) for n in numerators))
    logits = attention.lag_logits(np.ones(theta.size), np.ones(theta.size), theta, period + 5, start=start)
    close(logits[period:], logits[:5], FLOAT)


@given(st.floats(0, 1e4), st.floats(-10, 10), st.floats(-10, 10), st.integers(1, 40))
def test_one_pair_is_one_cosine(amplitude, phase, theta, length):
    expected = [amplitude * math.cos(theta * n + phase) for n in range(length)]
    close(attention.lag_logits([amplitude], [phase], [theta], length), expected, EXACT * max(amplitude, 1))


def test_a_head_without_pairs_is_indifferent():
    np.testing.assert_array_equal(attention.lag_logits([], [], [], 3), np.zeros(3))


@given(constants(), st.integers(0, 1000))
def test_pair_logits_are_their_naive_twin_and_add_up_to_the_logit(head, lag):
    pairs = attention.pair_logits(*head, lag)
    close(pairs, naive.pair_logits(*head, lag), FLOAT)
    close(pairs.sum(), attention.lag_logits(*head, 1, start=lag), EXACT * head[0].sum())


@given(constants(), st.integers(1, 300))
def test_mean_pair_logits_are_means_over_the_window(head, length):
    close(attention.mean_pair_logits(*head, length), naive.mean_pair_logits(*head, length), FLOAT)


@pytest.mark.parametrize("theta", strange)
@pytest.mark.parametrize("length", [1, 2, 11, 50, 100])
def test_mean_pair_logits_of_a_strange_frequency_are_means_over_the_window(theta, length):
    one, theta = np.ones(1), np.array([theta])
    exact = fsum(exact_logit(one, one, theta, n) for n in range(length)) / length
    close(attention.mean_pair_logits(one, one, theta, length), float(exact))


# ---------------------------------------------------------------- profiles

@given(heads(), skips, windows)
@example((np.zeros(1), None), 0, 0)
@example((np.zeros(1), np.array([1e4])), 3, 1)
@example((np.array([0.0, 1e4]), None), 0, 0)
@example((np.array([1e4, 0.0]), np.array([0.0, 2e4])), 1, 1)
def test_the_profile_is_its_naive_twin(head, skip, window):
    logits, sink = head
    ours = attention.profile(logits, sink=sink, skip=skip, window=window)
    assert isinstance(ours, Profile)
    for fast, slow in zip(ours, naive.profile(dense(head, window), skip)):
        assert fast.dtype == np.float64 and fast.shape == logits.shape
        close(fast, slow)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("window", [0, 70])
def test_the_profile_of_a_longer_text_is_its_naive_twin(seed, window):
    rng = np.random.default_rng(seed)
    logits = [rng.normal(size=200), 3 * np.sin(np.arange(200)), np.linspace(0, 60, 200), -np.arange(200.0)][seed]
    head = logits, rng.normal(size=200)
    ours = attention.profile(logits, sink=head[1], window=window)
    for fast, slow in zip(ours, naive.profile(dense(head, window))):
        close(fast, slow)


@given(heads(), skips, windows)
def test_single_quantities_are_those_of_the_profile(head, skip, window):
    logits, sink = head
    whole = attention.profile(logits, sink=sink, skip=skip, window=window)
    np.testing.assert_array_equal(attention.slash(logits, sink=sink, skip=skip, window=window), whole.slash)
    for name in ("received", "entropy", "participation"):
        np.testing.assert_array_equal(getattr(attention, name)(logits, sink=sink, window=window), getattr(whole, name))
    assert attention.sink_score(logits, sink=sink, window=window) == whole.received[0]


@given(heads(), windows)
def test_rows_sum_to_one(head, window):
    logits, sink = head
    pairs = np.arange(logits.size, 0, -1)
    whole = attention.profile(logits, sink=sink, window=window)
    np.testing.assert_allclose([whole.slash @ pairs, whole.received @ pairs], logits.size, rtol=EXACT)


@given(heads(), windows)
def test_profiles_stay_in_their_ranges(head, window):
    logits, sink = head
    slash, received, entropy, participation = attention.profile(logits, sink=sink, window=window)
    seen = np.minimum(np.arange(1, logits.size + 1), window or logits.size)
    for score in (slash, received):
        assert score.min() >= 0 and score.max() <= 1 + EXACT
    assert (entropy >= 0).all() and (entropy <= np.log(seen) + EXACT).all()
    assert (participation <= 1 + EXACT).all() and (participation * seen >= 1 - EXACT).all()


@given(heads(), st.sampled_from([-1e4, -1.5, 1e-3, 1e4]), windows)
def test_a_constant_added_to_all_logits_changes_nothing(head, constant, window):
    logits, sink = head
    moved, its_sink = logits + constant, None if sink is None else sink + constant
    fixed, back = moved - constant, None if sink is None else its_sink - constant    # without what rounding lost
    assume(np.array_equal(fixed + constant, moved) and (sink is None or np.array_equal(back + constant, its_sink)))
    for one, other in zip(attention.profile(moved, sink=its_sink, window=window),
                          attention.profile(fixed, sink=back, window=window)):
        close(one, other)


@given(heads())
def test_scores_are_exponentials_over_their_running_sum(head):
    logits = head[0]
    w = np.exp(logits - logits.max())
    assume(np.ptp(logits) < 300)     # the plain formula underflows beyond
    z = np.cumsum(w)
    pairs = np.arange(w.size, 0, -1)
    slash, _, entropy, participation = attention.profile(logits)
    close(slash, w * np.cumsum(1 / z[::-1])[::-1] / pairs, FLOAT)
    finite = np.cumsum(w * (logits - logits.max()))
    close(entropy, np.log(z) - finite / z, FLOAT)
    close(participation, np.cumsum(w ** 2) / z ** 2, FLOAT)


@given(lengths, st.sampled_from([-1e4, 0.0, 3.0, 1e4]), skips, windows)
def test_equal_logits_are_uniform_attention(length, logit, skip, window):
    flat = attention.profile(np.full(length, logit), skip=skip, window=window)
    for ours, expected in zip(flat, patterns.uniform(length, skip=skip, window=window)):
        close(ours, expected)


@given(heads())
def test_a_window_as_long_as_the_text_is_no_window(head):
    logits, sink = head
    for wide in (logits.size, logits.size + 1, 10 ** 9):
        for full, ours in zip(attention.profile(logits, sink=sink), attention.profile(logits, sink=sink, window=wide)):
            np.testing.assert_array_equal(full, ours)


@given(heads(), st.integers(1, 40))
def test_rows_beyond_the_window_do_not_see_the_sink(head, window):
    logits, sink = head
    assume(sink is not None and window < logits.size)
    raised = sink.copy()
    raised[window:] += 7
    for one, other in zip(attention.profile(logits, sink=sink, window=window),
                          attention.profile(logits, sink=raised, window=window)):
        np.testing.assert_array_equal(one, other)


@given(heads())
def test_the_logits_of_key_0_are_a_sink_that_changes_nothing(head):
    logits = head[0]
    for plain, same in zip(attention.profile(logits), attention.profile(logits, sink=logits)):
        np.testing.assert_array_equal(plain, same)


@pytest.mark.parametrize("height", [0.0, 3.0, 12.0, 30.0])
def test_scores_of_a_long_text_are_right_to_the_stated_rounding(height):
    length = 20_000
    spike = np.append(height, np.zeros(length - 1))
    diagonal = np.exp(height)
    off = [1 / (diagonal + i) for i in range(length)]                  # S[i, j] of every j < i
    pairs = np.arange(length, 0, -1)
    above = np.append(np.cumsum(off[:0:-1])[::-1], 0.0)                # sum over i > j
    received = (diagonal / (diagonal + np.arange(length)) + above) / pairs
    slash = np.append(diagonal * (above[0] + off[0]) / length, above[:-1] / pairs[1:])
    bound = attention.rounding(np.array([height]), length)
    close(attention.received(spike), received, bound)
    close(attention.slash(spike), slash, bound)


# ---------------------------------------------------------------- sinks

@given(heads(), st.floats(-20, 20))
def test_sink_logits_are_their_naive_twin(head, margin):
    logits = head[0]
    np.testing.assert_allclose(attention.sink_logits(logits, margin), naive.sink_logits(logits.tolist(), margin),
                               rtol=EXACT, atol=EXACT)


@given(heads(), st.floats(-20, 20))
def test_a_sink_score_is_the_logistic_of_margin_and_number_of_keys(head, margin):
    logits = head[0]
    assume(np.abs(logits).max() < 1000)
    rows = np.arange(1, logits.size)
    first = np.append(1.0, 1 / (1 + rows * np.exp(-margin)))
    score = attention.sink_score(logits, sink=attention.sink_logits(logits, margin))
    assert score == pytest.approx(first.mean(), abs=FLOAT)


def test_sinks_far_above_or_below_take_all_or_nothing():
    logits = np.sin(np.arange(20.0))
    above, below = (attention.profile(logits, sink=np.full(20, height)) for height in (1e4, -1e4))
    np.testing.assert_array_equal(above.received, np.eye(20)[0])
    np.testing.assert_array_equal(above.entropy, 0)
    assert below.received[0] == 1 / 20
    np.testing.assert_array_equal(attention.outputs(logits, np.eye(20), sink=np.full(20, 1e4)), np.eye(20)[[0] * 20])


# ---------------------------------------------------------------- outputs and maps

@given(heads(), windows, st.integers(1, 3), seeds)
def test_outputs_are_their_naive_twins(head, window, columns, seed):
    logits, sink = head
    values = np.random.default_rng(seed).uniform(-1, 1, (logits.size, columns))
    matrix = dense(head, window)
    for fast, slow in ((attention.outputs, naive.outputs), (attention.lag_outputs, naive.lag_outputs)):
        ours = fast(logits, values, sink=sink, window=window)
        assert ours.shape == values.shape
        close(ours, np.reshape(slow(matrix, values.tolist()), values.shape))


@given(heads(), windows)
def test_outputs_of_equal_values_are_that_value(head, window):
    logits, sink = head
    ones = np.ones((logits.size, 1))
    for outputs in (attention.outputs, attention.lag_outputs):
        close(outputs(logits, ones, sink=sink, window=window), ones)


@given(heads(), windows, st.floats(0, 1))
def test_the_pooled_map_is_its_naive_twin(head, window, share):
    logits, sink = head
    blocks = max(1, round(share * logits.size))
    ours = attention.pooled(logits, blocks, sink=sink, window=window)
    close(ours, naive.pooled(dense(head, window), blocks))
    close(ours.sum(axis=1), 1)


def test_the_pooled_map_of_a_sink_far_above_is_its_first_column():
    np.testing.assert_array_equal(attention.pooled(np.zeros(4), 2, sink=np.full(4, 1e4)), [[1, 0], [1, 0]])


def test_blocks_end_where_whole_numbers_say():
    close(attention.pooled(np.zeros(30), 22), naive.pooled(dense((np.zeros(30), None)), 22))


@given(st.integers(1, 100), st.sampled_from([0.0, 1.0, 20.0, 60.0]), st.integers(0, 120), seeds)
@example(100, 0.0, 0, 0)
@example(100, 60.0, 0, 1)
def test_texts_of_several_blocks_are_those_of_one(length, spread, window, seed):
    rng = np.random.default_rng(seed)
    logits, values = spread * rng.uniform(-1, 1, length), rng.uniform(-1, 1, (length, 2))
    matrix = dense((logits, None), window)
    for block in (8, 1 << 20):
        with mock.patch.object(attention, "BLOCK", block):
            close(attention.received(logits, window=window), naive.received(matrix))
            close(attention.outputs(logits, values, window=window), naive.outputs(matrix, values.tolist()))


# ---------------------------------------------------------------- stated error, extremes, guards

def exact_profile(logits, sink):
    """Profile in 60 digits, from logits in 60 digits."""
    length = len(logits)
    rows = []
    for i in range(length):
        power = [exp(logits[i - j] if j or sink is None else sink[i]) for j in range(i + 1)]
        rows.append([p / fsum(power) for p in power])
    return [[fsum(rows[i][i - d] for i in range(d, length)) / (length - d) for d in range(length)],
            [fsum(rows[i][j] for i in range(j, length)) / (length - j) for j in range(length)],
            [-fsum(s * log(s) for s in row) for row in rows],
            [fsum(s * s for s in row) for row in rows]]


@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 1e4])
@pytest.mark.parametrize("margin", [None, 4.0])
def test_rounding_bounds_the_error_of_a_profile(size, margin):
    rng = np.random.default_rng(7)
    length, pairs = 20, 16
    theta = 1e4 ** (-np.arange(pairs) / pairs)
    amplitude, phase = size / pairs * rng.uniform(0, 2, pairs), rng.uniform(-np.pi, np.pi, pairs)
    logits = attention.lag_logits(amplitude, phase, theta, length)
    sink = None if margin is None else attention.sink_logits(logits, margin)
    exact = [exact_logit(amplitude, phase, theta, n) for n in range(length)]
    exact_sink = None if margin is None else \
        [mpf(0)] + [margin + log(fsum(exp(x) for x in exact[:i]) / i) for i in range(1, length)]
    bound = attention.rounding(amplitude, length)
    for ours, truth in zip(attention.profile(logits, sink=sink), exact_profile(exact, exact_sink)):
        assert max(abs(mpf(x) - y) for x, y in zip(ours, truth)) <= bound


@pytest.mark.parametrize("logits", [np.full(50, 1e4), 1e4 * np.cos(np.arange(50)), np.linspace(-1e4, 1e4, 50),
                                    np.linspace(1e4, -1e4, 50)])
def test_logits_of_ten_thousand_give_finite_numbers(logits):
    for sink in (None, -logits, np.full(50, 1e4)):
        for part in attention.profile(logits, sink=sink):
            assert np.isfinite(part).all()
        assert np.isfinite(attention.pooled(logits, 7, sink=sink)).all()
        assert np.isfinite(attention.outputs(logits, np.ones((50, 2)), sink=sink)).all()
        assert np.isfinite(attention.lag_outputs(logits, np.ones((50, 2)), sink=sink)).all()
    assert np.isfinite(attention.sink_logits(logits, 4.0)).all()


ONE, ZERO = np.ones(1), np.zeros(1)
GUARDS = {
    "lag_logits: theta is no vector": (lambda: attention.lag_logits(ONE, ZERO, 1.0, 3), "shape of theta"),
    "lag_logits: another number of phases": (lambda: attention.lag_logits(ONE, [0, 0], ONE, 3), "shape of phase"),
    "lag_logits: another number of amplitudes": (lambda: attention.lag_logits([1, 1], ZERO, ONE, 3),
                                                 "shape of amplitude"),
    "lag_logits: a negative amplitude": (lambda: attention.lag_logits(-ONE, ZERO, ONE, 3), "amplitude"),
    "lag_logits: a complex amplitude": (lambda: attention.lag_logits([1j], ZERO, ONE, 3), "amplitude"),
    "lag_logits: a frequency too high": (lambda: attention.lag_logits(ONE, ZERO, [-2.0 ** 64], 3), "theta"),
    "lag_logits: an infinite frequency": (lambda: attention.lag_logits(ONE, ZERO, [np.inf], 3), "theta"),
    "lag_logits: no length": (lambda: attention.lag_logits(ONE, ZERO, ONE, 0), "length"),
    "lag_logits: a fractional length": (lambda: attention.lag_logits(ONE, ZERO, ONE, 2.0), "length"),
    "lag_logits: a negative start": (lambda: attention.lag_logits(ONE, ZERO, ONE, 3, start=-1), "start"),
    "lag_logits: the last lag too far": (lambda: attention.lag_logits(ONE, ZERO, ONE, 3, start=2 ** 62 - 2), "start"),
    "lag_logits: a length too long": (lambda: attention.lag_logits(ONE, ZERO, ONE, 2 ** 64), "length"),
    "pair_logits: a negative lag": (lambda: attention.pair_logits(ONE, ZERO, ONE, -1), "lag"),
    "pair_logits: a lag too far": (lambda: attention.pair_logits(ONE, ZERO, ONE, 2 ** 64), "lag"),
    "pair_logits: another number of amplitudes": (lambda: attention.pair_logits([1, 1], ZERO, ONE, 3),
                                                  "shape of amplitude"),
    "pair_logits: a negative amplitude": (lambda: attention.pair_logits(-ONE, ZERO, ONE, 3), "amplitude"),
    "mean_pair_logits: another number of phases": (lambda: attention.mean_pair_logits(ONE, [0, 0], ONE, 3),
                                                   "shape of phase"),
    "mean_pair_logits: no length": (lambda: attention.mean_pair_logits(ONE, ZERO, ONE, 0), "length"),
    "sink_logits: no lags": (lambda: attention.sink_logits([], 4.0), "length"),
    "sink_logits: no margin": (lambda: attention.sink_logits(ZERO, np.nan), "margin"),
    "pooled: no blocks": (lambda: attention.pooled(ZERO, 0), "blocks"),
    "pooled: more blocks than tokens": (lambda: attention.pooled(ZERO, 2), "blocks"),
    "outputs: another number of values": (lambda: attention.outputs(ZERO, np.ones((2, 1))), "shape of values"),
    "lag_outputs: values without columns": (lambda: attention.lag_outputs(ZERO, ONE), "shape of values"),
    "slash: a negative skip": (lambda: attention.slash(ZERO, skip=-1), "skip"),
}
SEEN = (attention.slash, attention.received, attention.sink_score, attention.entropy, attention.participation,
        attention.profile, lambda x, **seen: attention.pooled(x, 1, **seen),
        lambda x, **seen: attention.outputs(x, np.ones((1, 1)), **seen),
        lambda x, **seen: attention.lag_outputs(x, np.ones((1, 1)), **seen))


@pytest.mark.parametrize("call, name", GUARDS.values(), ids=GUARDS.keys())
def test_bad_input_is_refused_by_name(call, name):
    with pytest.raises(RopesimError, match=f"^{name} = .*: use ") as refused:
        call()
    assert refused.value.name == name


@pytest.mark.parametrize("call", SEEN)
def test_every_quantity_refuses_the_same_input(call):
    for name, logits, seen in [("length", [], {}), ("shape of logits", np.zeros((1, 1)), {}), ("logits", [np.nan], {}),
                               ("logits", ["a"], {}), ("shape of sink", ZERO, {"sink": np.zeros(2)}),
                               ("sink", ZERO, {"sink": [-np.inf]}), ("window", ZERO, {"window": -1}),
                               ("window", ZERO, {"window": 1.5})]:
        with pytest.raises(RopesimError, match=f"^{name} = .*: use "):
            call(logits, **seen)


@pytest.mark.parametrize("call", SEEN)
def test_a_window_of_any_size_is_taken(call):
    np.testing.assert_array_equal(call(ZERO, window=2 ** 70), call(ZERO))


def test_a_skip_of_any_size_is_taken():
    assert np.isnan(attention.slash(np.zeros(3), skip=2 ** 70)).all()


def test_the_package_names_its_modules_only():
    assert predict.attention is attention
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        predict.nothing
