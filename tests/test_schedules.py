import re

import naive_bands as naive
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tolerances import EXACT

from ropesim import schedules
from ropesim.errors import RopesimError

dims = st.integers(2, 40).map(lambda pairs: 2 * pairs)
bases = st.floats(10.0, 1e8)
factors = st.floats(1.0, 64.0)
contexts = st.integers(64, 1 << 20)


def close(theta, exact):
    np.testing.assert_allclose(theta, [float(t) for t in exact], rtol=EXACT, atol=0)


def rejects(call, name, value, remedy):
    with pytest.raises(RopesimError, match=re.escape(remedy)) as caught:
        call()
    assert (caught.value.name, caught.value.value) == (name, value)


@given(dims, bases)
def test_default_is_the_geometric_sequence(d, b):
    close(schedules.default(d, b), naive.default(d, b))


@given(dims, bases, factors)
def test_linear_divides_every_frequency(d, b, s):
    close(schedules.linear(d, b, factor=s), naive.linear(d, b, s))


@given(dims, bases, factors, st.integers(0, 1000))
def test_linear_at_a_stretched_position_is_the_default_at_the_position(d, b, s, n):
    close(schedules.linear(d, b, factor=s) * (s * n), schedules.default(d, b) * n)


@given(dims, bases, factors)
def test_ntk_stretches_the_base(d, b, s):
    close(schedules.ntk(d, b, factor=s), naive.ntk(d, b, s))


@given(dims, bases, factors)
def test_ntk_keeps_the_fastest_pair_and_interpolates_the_slowest(d, b, s):
    theta, before = schedules.ntk(d, b, factor=s), schedules.default(d, b)
    close(theta[[0, -1]], [before[0], before[-1] / s])


@given(dims, bases, factors, contexts, st.integers(1, 1 << 21))
def test_dynamic_follows_the_length(d, b, s, trained, n):
    theta = schedules.dynamic(d, b, factor=s, original_max_position_embeddings=trained, length=n)
    close(theta, naive.dynamic(d, b, s, trained, n))


@given(dims, bases, factors, contexts, st.floats(0, 1))
def test_dynamic_within_the_trained_context_is_the_default(d, b, s, trained, share):
    theta = schedules.dynamic(d, b, factor=s, original_max_position_embeddings=trained, length=share * trained or None)
    close(theta, schedules.default(d, b))


@given(dims, bases, factors, contexts, st.floats(2, 64), st.floats(0.1, 1.9), st.booleans())
@example(128, 1e6, 4.0, 32768, 32.0, 1.0, True)
@example(64, 1.5e5, 32.0, 4096, 32.0, 1.0, False)
@example(64, 1e4, 40.0, 131072, 32.0, 0.001, True)  # high is cut at d - 1, not at d/2 - 1
def test_yarn_is_the_printed_ramp(d, b, s, trained, fast, slow, truncate):
    low, high = naive.correction(d, b, trained, fast), naive.correction(d, b, trained, slow)
    assume(high > 0 and low < d - 2)  # elsewhere the printed ramp turns round: next test
    if truncate:
        assume(min(abs(x - round(x)) for x in (low, high)) > 1e-9)
    theta = schedules.yarn(d, b, factor=s, original_max_position_embeddings=trained, beta_fast=fast, beta_slow=slow,
                           truncate=truncate)
    close(theta, naive.yarn(d, b, s, trained, fast, slow, truncate))


@given(dims, st.floats(1.5, 3.0), factors)
def test_yarn_keeps_pairs_that_all_turn_often_where_the_printed_ramp_turns_round(d, b, s):
    trained = 40 * 2 * np.pi * b**2  # even a pair at index d would turn more than 32 times
    theta = schedules.yarn(d, b, factor=s, original_max_position_embeddings=trained)
    close(theta, schedules.default(d, b))


def test_a_slow_beta_of_zero_puts_the_end_of_the_ramp_at_the_last_coordinate():
    options = {"factor": 4, "original_max_position_embeddings": 4096}
    theta = schedules.yarn(8, 1e4, beta_slow=0, **options)
    before = schedules.default(8, 1e4)
    low = np.floor(float(naive.correction(8, 1e4, 4096, 32)))
    mix = np.clip((np.arange(4) - low) / (7 - low), 0, 1)
    close(theta, before * (1 - mix) + before / 4 * mix)
    assert not np.allclose(theta, schedules.yarn(8, 1e4, beta_slow=1, **options))  # what a silent default gives


def test_yarn_correction_ends_are_those_of_the_golden_cases():
    assert float(naive.correction(128, 1e6, 32768, 32)) == pytest.approx(23.5959, abs=5e-5)
    assert float(naive.correction(128, 1e6, 32768, 1)) == pytest.approx(39.6509, abs=5e-5)
    assert float(naive.correction(64, 1.5e5, 4096, 32)) == pytest.approx(8.0928, abs=5e-5)
    assert float(naive.correction(64, 1.5e5, 4096, 1)) == pytest.approx(17.3980, abs=5e-5)


@given(st.floats(0.5, 64), st.none() | st.floats(0, 2), st.none() | st.floats(0, 2))
@example(40.0, 1.0, 0.0)  # one mscale alone counts as none
def test_yarn_attention_is_a_ratio_of_temperatures(s, mscale, all_dim):
    ours = schedules.yarn_attention(factor=s, mscale=mscale, mscale_all_dim=all_dim)
    assert ours == pytest.approx(float(naive.yarn_attention(s, mscale, all_dim)), rel=EXACT)


@pytest.mark.parametrize("s, m, value", [(16, 1, 1.2772588722), (32, 1, 1.3465735903), (40, 1, 1.3688879454),
                                         (40, 0.707, 1.2608037774)])
def test_yarn_temperatures_are_the_known_scalars(s, m, value):
    # g(s, m) = g(s, m) / g(s, tiny), to the digits given
    assert schedules.yarn_attention(factor=s, mscale=m, mscale_all_dim=1e-30) == pytest.approx(value, abs=5e-11)


@pytest.mark.parametrize("factor, base", [(4, 40889.942), (8, 82684.623)])
def test_ntk_bases_are_the_known_scalars(factor, base):
    theta = schedules.ntk(128, 1e4, factor=factor)
    assert theta[32] ** -2 == pytest.approx(base, rel=1e-7)


@given(st.lists(st.tuples(st.floats(0.5, 80), st.floats(0.5, 80)), min_size=1, max_size=30), bases, contexts,
       st.floats(0, 3))
def test_longrope_divides_by_the_list_of_its_length(pairs, b, original, share):
    short, long = map(list, zip(*pairs))
    length = max(1, int(share * original))
    theta = schedules.longrope(2 * len(short), b, short_factor=short, long_factor=long,
                               original_max_position_embeddings=original, length=length)
    close(theta, naive.longrope(2 * len(short), b, long if length > original else short))


@given(st.floats(0.5, 64), contexts)
def test_longrope_attention_is_the_printed_root(s, original):
    ours = schedules.longrope_attention(factor=s, original_max_position_embeddings=original)
    assert ours == pytest.approx(float(naive.longrope_attention(s, original)), rel=EXACT)


@given(dims, bases, st.floats(1, 32), st.floats(0.5, 2), st.floats(3, 8), contexts)
def test_llama3_keeps_blends_and_divides(d, b, s, low, high, original):
    theta = schedules.llama3(d, b, factor=s, low_freq_factor=low, high_freq_factor=high,
                             original_max_position_embeddings=original)
    close(theta, naive.llama3(d, b, s, low, high, original))


def test_llama3_8b_keeps_29_blends_6_and_divides_29():
    theta, before = schedules.scaled(128, 5e5, LLAMA3)[0], schedules.default(128, 5e5)
    kept, divided = theta == before, theta == before / 8
    assert kept[:29].all() and divided[35:].all() and not (kept | divided)[29:35].any()


LLAMA3 = {"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
          "original_max_position_embeddings": 8192}
QWEN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
DEEPSEEK = {"type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096}
GPT_OSS = {"type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096}

# Computed by transformers 5.23 in float32: case, attention factor, sum, middle, last.
GOLDEN = [
    ((128, 1e4, {"type": "linear", "factor": 4}), 1, 1.864988551, 2.499999944e-3, 2.886954826e-5),
    ((128, 1e6, QWEN), 1.1386294361, 5.144034828, 6.029411452e-4, 3.102344408e-7),
    ((64, 1.5e5, GPT_OSS | {"truncate": False}), 1.3465735903, 3.180438256, 4.564839182e-4, 3.023511397e-7),
    ((64, 1.5e5, GPT_OSS), 1.3465735903, 3.181659471, 5.809474969e-4, 3.023511397e-7),
    ((64, 1e4, DEEPSEEK | {"mscale": 1, "mscale_all_dim": 1}), 1, 3.948936266, 5.500000436e-3, 3.333803534e-6),
    ((64, 1e4, DEEPSEEK | {"mscale": 1, "mscale_all_dim": 0.707}), 1.0857263993, 3.948936266, 5.500000436e-3,
     3.333803534e-6),
    ((128, 5e5, LLAMA3), 1, 5.386058263, 5.248460220e-4, 3.068925878e-7),
    ((64, 5e5, LLAMA3 | {"factor": 32}), 1, 2.968202397, 4.295567051e-4, 9.418306490e-8),
    ((512, 1e6, {"type": "proportional", "partial_rotary_factor": 0.25}), 1, 18.43247467, 0, 0),
]


@pytest.mark.parametrize("case, attention, total, middle, last", GOLDEN)
def test_golden_values_of_the_reference_implementation(case, attention, total, middle, last):
    theta, factor = schedules.scaled(*case)
    assert factor == pytest.approx(attention, abs=5e-11)
    rtol = 32 * np.finfo(np.float32).eps
    np.testing.assert_allclose([theta.sum(), theta[len(theta) // 2], theta[-1]], [total, middle, last], rtol=rtol)


def test_golden_values_of_dynamic_ntk():
    theta, factor = schedules.scaled(128, 1e4, {"type": "dynamic", "factor": 2}, context=4096, length=8192)
    assert factor == 1
    np.testing.assert_allclose([theta.sum(), theta[32], theta[-1]], [6.710932415, 5.723381881e-3, 3.849273344e-5],
                               rtol=4 * np.finfo(np.float32).eps)
    assert theta[32] ** -2 == pytest.approx(30527.7367, abs=5e-5)


@given(dims, bases, st.integers(0, 64), factors)
def test_proportional_keeps_the_fastest_and_stops_the_rest(d, b, steps, s):
    p = steps / 64  # exact in binary: the floor is the same in both readings
    close(schedules.proportional(d, b, partial_rotary_factor=p, factor=s), naive.proportional(d, b, p, s))


def test_partial_and_proportional_rotate_as_many_pairs_at_other_frequencies():
    partial = schedules.default(32, 1e4)
    whole = schedules.proportional(128, 1e4, partial_rotary_factor=0.25)
    assert np.count_nonzero(whole) == len(partial) == 16
    assert whole[15] > partial[15]


@given(st.integers(1, 200))
def test_half_dft_is_the_printed_grid(pairs):
    close(schedules.half_dft(pairs), naive.half_dft(pairs))


@given(st.integers(1, 30), st.integers(1, 500))
def test_half_dft_cosines_sum_to_a_pulse(pairs, lag):
    total = float(naive.cosine_sum(naive.half_dft(pairs), lag))
    assert total == pytest.approx(-0.5 if lag % (2 * pairs + 1) else pairs, abs=EXACT)


@given(dims, bases, contexts)
def test_a_factor_of_one_changes_nothing(d, b, context):
    rest = {"original_max_position_embeddings": context}
    for scaling in ({"type": "linear"}, {"type": "ntk"}, {"type": "dynamic"}, {"type": "yarn"} | rest,
                    {"type": "llama3", "low_freq_factor": 1, "high_freq_factor": 4} | rest, {"type": "proportional"}):
        theta, attention = schedules.scaled(d, b, scaling | {"factor": 1}, context=context)
        close(theta, schedules.default(d, b))
        assert attention == 1


def test_rope_type_su_and_mrope_are_accepted_names():
    lists = {"short_factor": [1.0], "long_factor": [2.0], "original_max_position_embeddings": 8, "factor": 2}
    assert schedules.scaled(2, 10.0, {"rope_type": "su"} | lists, length=9)[0] == [0.5]
    assert schedules.scaled(2, 10.0, {"type": "mrope"})[0] == [1.0]
    assert schedules.scaling_type({"rope_type": "yarn", "type": "linear"}) == "yarn"


def test_the_context_completes_dynamic_yarn_and_longrope():
    assert schedules.scaled(8, 1e4, {"type": "yarn", "original_max_position_embeddings": 64}, context=256)[1] == (
        schedules.yarn_attention(factor=4))
    stretched = schedules.scaled(8, 1e4, {"type": "dynamic", "factor": 2}, context=64, length=128)[0]
    close(stretched, naive.dynamic(8, 1e4, 2, 64, 128))


LISTS = {"type": "longrope", "short_factor": [1.0], "original_max_position_embeddings": 8, "factor": 2}
BAD_MAPPINGS = [
    ({"type": "yarm"}, "scaling.type", "yarm", "did you mean 'yarn'?"),
    ({"factor": 2}, "scaling.type", None, "'linear'"),
    ({"type": "linear", "fator": 2}, "scaling.fator", 2, "did you mean 'factor'?"),
    ({"type": "linear", "factor": 2, "truncate": True}, "scaling.truncate", True, "use 'factor'"),
    ({"type": "default", "zzz": 2}, "scaling.zzz", 2, "use none"),
    ({"type": "linear", "rotary_dim": 4}, "scaling.rotary_dim", 4, "a linear scaling has no such key"),
    ({"type": "linear"}, "scaling.factor", None, "a linear scaling needs it"),
    ({"type": "dynamic", "factor": 2}, "scaling.original_max_position_embeddings", None, "a dynamic scaling needs it"),
    ({"type": "linear", "factor": 0}, "factor", 0, "above 0"),
    ({"type": "linear", "factor": "4"}, "factor", "4", "use a finite number"),
    ({"type": "linear", "factor": True}, "factor", True, "use a finite number"),
    (QWEN | {"beta_fast": 0}, "beta_fast", 0, "above 0"),
    (QWEN | {"beta_slow": 33}, "beta_slow", 33, "up to 32"),
    (QWEN | {"truncate": 0}, "truncate", 0, "use true or false"),
    (QWEN | {"mscale": -1}, "mscale", -1, "from 0 on"),
    (QWEN | {"attention_factor": 0}, "attention_factor", 0, "above 0"),
    (QWEN | {"original_max_position_embeddings": -1}, "original_max_position_embeddings", -1, "above 0"),
    (LLAMA3 | {"high_freq_factor": 1}, "high_freq_factor", 1, "above 1"),
    (LISTS | {"long_factor": [1.0, 2.0]}, "shape of long_factor", (2,), "use the shape (1)"),
    (LISTS | {"long_factor": [0.0]}, "long_factor", 0.0, "use numbers above 0"),
    (LISTS | {"long_factor": ["a"]}, "long_factor", ["a"], "use an array of real numbers"),
    ({"type": "proportional", "partial_rotary_factor": 1.5}, "partial_rotary_factor", 1.5, "up to 1"),
]


@pytest.mark.parametrize("scaling, name, value, remedy", BAD_MAPPINGS)
def test_a_bad_scaling_is_refused_with_field_value_and_remedy(scaling, name, value, remedy):
    rejects(lambda: schedules.scaled(2, 1e4, scaling), name, value, remedy)


@pytest.mark.parametrize("call, name, value, remedy", [
    (lambda: schedules.default(3, 1e4), "rotary_dim", 3, "even"),
    (lambda: schedules.default(0, 1e4), "rotary_dim", 0, "from 2 on"),
    (lambda: schedules.default(4.0, 1e4), "rotary_dim", 4.0, "whole"),
    (lambda: schedules.default(4, 1.0), "base", 1.0, "above 1"),
    (lambda: schedules.ntk(2, 1e4, factor=2), "rotary_dim", 2, "from 4 on"),
    (lambda: schedules.half_dft(0), "pairs", 0, "from 1 on"),
    (lambda: schedules.longrope_attention(original_max_position_embeddings=8), "factor", None, "finite number"),
])
def test_a_bad_argument_is_refused_with_field_value_and_remedy(call, name, value, remedy):
    rejects(call, name, value, remedy)
