import copy
import json
import math
import pickle
import re
import runpy
from pathlib import Path

import naive_bands as naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tolerances import EXACT, FLOAT

from ropesim import bands
from ropesim.errors import RopesimError

layouts = st.sampled_from(["half", "interleaved"])
sizes = st.integers(1, 12).flatmap(lambda b: st.tuples(st.just(2 * b), st.integers(0, b).map(lambda r: 2 * r)))
reals = st.floats(-8, 8)


def rejects(call, name, value, remedy):
    with pytest.raises(RopesimError, match=re.escape(remedy)) as caught:
        call()
    assert caught.value.name == name
    np.testing.assert_equal(caught.value.value, value)


# Pairs

@given(sizes, layouts, st.data())
def test_pair_and_unpair_are_inverse(size, layout, data):
    x = data.draw(hnp.arrays(float, (2, 3, size[0]), elements=reals))
    z = bands.pair(x, layout, rotary_dim=size[1])
    assert z.shape == (2, 3, size[0] // 2) and z.dtype == complex
    np.testing.assert_array_equal(bands.unpair(z, layout, rotary_dim=size[1]), x)


@given(sizes, layouts, st.integers(0, 50), st.data())
def test_turning_pairs_is_rope_by_the_book(size, layout, position, data):
    head_dim, rotary_dim = size
    x = data.draw(st.lists(reals, min_size=head_dim, max_size=head_dim))
    theta = data.draw(st.lists(st.floats(0, 2), min_size=rotary_dim // 2, max_size=rotary_dim // 2))
    angle = position * np.array(theta + [0.0] * ((head_dim - rotary_dim) // 2))
    turned = bands.pair(x, layout, rotary_dim=rotary_dim) * np.exp(1j * angle)
    np.testing.assert_allclose(bands.unpair(turned, layout, rotary_dim=rotary_dim),
                               naive.rotate(x, position, theta, layout, rotary_dim), rtol=0, atol=FLOAT)


@given(sizes, st.data())
def test_half_split_is_a_permutation_of_interleaved(size, data):
    x = data.draw(hnp.arrays(float, size[0], elements=reals))
    as_interleaved = bands.unpair(bands.pair(x, "half", rotary_dim=size[1]), "interleaved", rotary_dim=size[1])
    np.testing.assert_array_equal(bands.pair(as_interleaved, "interleaved"), bands.pair(x, "half", rotary_dim=size[1]))
    np.testing.assert_array_equal(np.sort(as_interleaved), np.sort(x))


@pytest.mark.parametrize("name, partner", [("pythia-6.9b", 16), ("phi-2", 16)])
def test_a_partial_head_pairs_within_its_rotary_part(name, partner):
    b = bands.preset(name)
    z = bands.pair(np.arange(b.head_dim), b.layout, rotary_dim=b.rotary_dim)
    assert [z[0], z[partner - 1]] == [partner * 1j, partner - 1 + (2 * partner - 1) * 1j]
    assert [z[partner], z[-1]] == [32 + 33j, b.head_dim - 2 + (b.head_dim - 1) * 1j]
    assert not np.array_equal(z, bands.pair(np.arange(b.head_dim), "half"))  # splitting the whole head is the mistake


@given(sizes, layouts, st.data())
def test_products_of_pairs_are_products_of_vectors(size, layout, data):
    x, y = (data.draw(hnp.arrays(float, size[0], elements=reals)) for _ in range(2))
    p, q = (bands.pair(v, layout, rotary_dim=size[1]) for v in (x, y))
    assert (p * q.conj()).sum().real == pytest.approx(x @ y, abs=FLOAT)


@pytest.mark.parametrize("call, name, value, remedy", [
    (lambda: bands.pair([1.0, 2.0, 3.0], "half"), "last axis of x", 3, "even"),
    (lambda: bands.pair([1.0, 2.0], "halves"), "layout", "halves", "did you mean 'half'?"),
    (lambda: bands.pair([1.0, 2.0], None), "layout", None, "'half' or 'interleaved'"),
    (lambda: bands.pair([1.0, 2.0], "half", rotary_dim=4), "rotary_dim", 4, "up to 2"),
    (lambda: bands.pair([1.0, 2.0], "half", rotary_dim=1), "rotary_dim", 1, "even"),
    (lambda: bands.pair([1.0, np.nan], "half"), "x", np.nan, "finite"),
    (lambda: bands.pair(3.0, "half"), "shape of x", (), "(any)"),
    (lambda: bands.unpair([], "half"), "last axis of x", 0, "from 2 on"),
])
def test_pairing_refuses_what_has_no_pairs(call, name, value, remedy):
    rejects(call, name, value, remedy)


# Objects

def test_bands_are_read_only_and_keep_no_alias():
    mine = np.array([1.0, 0.5])
    b = bands.custom(mine)
    mine[0] = 9.0
    assert b.theta[0] == 1.0
    with pytest.raises(ValueError):
        b.theta[0] = 2.0
    with pytest.raises(AttributeError):
        b.rotary_dim = 2


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_a_copy_is_equal_and_read_only_too(clone):
    b = bands.preset("phi-4-mini")
    twin = clone(b)
    assert twin.equals(b) and twin.scaling == b.scaling and twin.source == b.source
    assert not twin.theta.flags.writeable


def test_bands_compare_by_identity_and_by_value_on_request():
    a, b = bands.half_dft(3), bands.half_dft(3)
    assert a != b and a.equals(b)
    louder = bands.custom(a.theta, attention_factor=2)
    for other in (bands.half_dft(4), bands.half_dft(3, layout="interleaved"), louder):
        assert not a.equals(other)


def test_a_pair_beyond_the_rotary_part_stands_still():
    b = bands.geometric(8, 1e4, rotary_dim=4)
    assert b.theta.tolist() == [1.0, 0.01, 0.0, 0.0]
    assert b.wavelength[2] == math.inf and b.head_dim == 8


def test_whole_and_partial_coincide_when_everything_rotates():
    assert bands.geometric(8, 1e4).equals(bands.geometric(8, 1e4, rotary_dim=8))
    assert bands.geometric(8, 1e4).equals(bands.geometric(8, 1e4, scaling={"type": "default"}))
    assert bands.geometric(8, 1e4, scaling={"rope_type": "default"}).scaling is None


def test_thirds_are_those_of_the_slash_paper():
    high, medium, low = bands.preset("qwen2.5-7b").thirds
    assert (high[0], high[-1], medium[0], medium[-1], low[0], low[-1]) == (0, 20, 21, 41, 42, 63)
    assert bands.half_dft(3).thirds.high.tolist() == [2]  # fastest first, whatever the order of theta
    assert len(np.concatenate(bands.preset("gemma-4-global").thirds)) == 64


@pytest.mark.parametrize("call, name, value, remedy", [
    (lambda: bands.custom([]), "theta", [], "at least one"),
    (lambda: bands.custom([[1.0]]), "shape of theta", (1, 1), "(any)"),
    (lambda: bands.custom([np.inf]), "theta", np.inf, "finite"),
    (lambda: bands.custom(["a"]), "theta", ["a"], "real numbers"),
    (lambda: bands.custom([1.0, 2.0], rotary_dim=2), "theta", 2.0, "use 0 for the pairs beyond rotary_dim"),
    (lambda: bands.custom([1.0], rotary_dim=4), "rotary_dim", 4, "up to 2"),
    (lambda: bands.custom([1.0], rotary_dim=1), "rotary_dim", 1, "even"),
    (lambda: bands.custom([1.0], attention_factor=0), "attention_factor", 0, "above 0"),
    (lambda: bands.custom([1.0], layout="interleave"), "layout", "interleave", "did you mean 'interleaved'?"),
    (lambda: bands.custom([1.0], context=0), "context", 0, "from 1 on"),
    (lambda: bands.geometric(7, 1e4), "head_dim", 7, "even"),
    (lambda: bands.geometric(8, 1.0), "base", 1.0, "above 1"),
    (lambda: bands.geometric(8, 1e4, rotary_dim=0), "rotary_dim", 0, "from 2 on"),
    (lambda: bands.geometric(8, 1e4, rotary_dim=10), "rotary_dim", 10, "up to 8"),
    (lambda: bands.geometric(8, 1e4, context=-1, scaling={"type": "dynamic", "factor": 2}), "context", -1, "from 1 on"),
    (lambda: bands.geometric(8, 1e4, scaling="yarn"), "scaling", "yarn", "use a mapping"),
    (lambda: bands.geometric(8, 1e4, scaling={"type": "ntk", "factr": 4}), "scaling.factr", 4, "factor"),
    (lambda: bands.geometric(8, 1e4, rotary_dim=4, scaling={"type": "proportional"}), "rotary_dim", 4, "leave it out"),
    (lambda: bands.half_dft(0), "pairs", 0, "from 1 on"),
    (lambda: bands.preset("llama-3.1-8"), "preset", "llama-3.1-8", "did you mean 'llama-3.1-8b'?"),
    (lambda: bands.preset("llama-2-7b", base=0), "base", 0, "above 1"),
])
def test_bad_bands_are_refused_with_field_value_and_remedy(call, name, value, remedy):
    rejects(call, name, value, remedy)


# Turns, critical dimension, first negative lag

@given(st.integers(1, 64), st.floats(2, 1e7), st.integers(7, 1 << 20))
@example(64, 1e4, 4096)
def test_critical_dimension_is_the_closed_form(pairs, base, context):
    d = 2 * pairs
    exact = pairs * naive.log(context / (2 * naive.pi)) / naive.log(naive.mpf(base))
    counted = bands.geometric(d, base, context=context).critical_dim
    if abs(exact - round(exact)) > 1e-9:
        assert counted == 2 * min(int(naive.ceil(exact)), pairs)


@pytest.mark.parametrize("d, base, context, critical", [
    (128, 1e4, 4096, 92), (128, 1e4, 2048, 82), (128, 5e5, 8192, 70), (256, 1e4, 8192, 200), (128, 1e6, 32768, 80),
    (128, 1e6, 16384, 74), (32, 1e4, 2048, 22), (64, 1e4, 4096, 46), (64, 1.5e5, 4096, 36)])
def test_critical_dimensions_of_the_literature(d, base, context, critical):
    assert bands.geometric(d, base, context=context).critical_dim == critical


def test_a_pair_of_exactly_one_turn_counts():
    for pairs in range(1, 200):
        assert bands.half_dft(pairs).critical_dim == 2 * pairs


@given(st.lists(st.floats(0.01, 3), min_size=1, max_size=6), st.integers(1, 300))
def test_first_negative_lag_is_the_first(theta, context):
    assert bands.custom(theta, context=context).first_negative_lag == naive.first_negative_lag(theta, context)


@pytest.mark.parametrize("quarter_turns", [1, 3, 5])
def test_a_sum_of_zero_is_not_negative_by_rounding(quarter_turns):
    assert bands.custom([quarter_turns * math.pi / 2], context=9).first_negative_lag == 2


def test_first_negative_lag_beyond_the_first_chunk_is_the_first():
    theta = bands.preset("llama-3.1-8b").theta
    sums = np.cos(np.outer(np.arange(85000, 85200), theta)).sum(axis=1)
    assert sums[:133].min() > 0 > sums[133]
    assert np.cos(np.outer(np.arange(1, 85000, 7), theta)).sum(axis=1).min() > 0
    assert bands.preset("llama-3.1-8b").first_negative_lag == 85133


def test_without_a_context_there_are_no_turns():
    b = bands.custom([1.0])
    assert b.turns is b.critical_dim is b.first_negative_lag is None


def test_pairs_at_rest_have_no_part_in_a_negative_lag():
    assert bands.custom([0.0, 0.0], context=100).first_negative_lag is None


# Presets: name, longest wavelength, pairs with a turn, pairs, first negative lag, attention factor.
# The figures of the notes were computed in float32 by transformers 5.23.
TABLE = """
pythia-70m 19869 6 8 91 1
pythia-6.9b 35333 11 16 474 1
gpt-j-6b 47117 21 32 725 1
falcon-7b 47117 21 32 725 1
phi-2 35333 11 16 474 1
stablelm-2-1.6b 19869 6 8 91 1
llama-2-7b 54410 46 64 1707 1
codellama-7b 5063256 37 64 - 1
mistral-7b-v0.1 54410 60 64 1707 1
mistral-7b-v0.3 5063256 40 64 27115 1
mixtral-8x7b 5063256 40 64 27115 1
llama-3-8b 2559196 35 64 - 1
llama-3.1-8b 20473565 39 64 85133 1
llama-3.1-70b 20473565 39 64 85133 1
llama-3.1-405b 20473565 39 64 85133 1
llama-3.2-1b 66712474 18 32 110699 1
llama-3.2-3b 81894260 35 64 - 1
gemma-7b 58470 100 128 2653 1
gemma-2-9b 58470 100 128 2653 1
gemma-3-4b-global 45122675 73 128 - 1
gemma-3-4b-local 58470 71 128 - 1
gemma-4-global 188 64 256 21 1
qwen2.5-7b 5063256 47 64 27115 1
qwen2.5-7b-instruct-yarn 20253023 40 64 66234 1.1386
qwen2.5-7b-instruct-1m 48843285 48 64 144660 1
qwen3-8b 5063256 41 64 27115 1
qwen3-8b-yarn 20253023 40 64 66234 1.1386
phi-3-mini-4k 51862 34 48 1046 1
phi-3.5-mini 3362711 31 48 39894 1.1902
phi-4-mini 2477433 34 48 22980 1.1902
phi-4 1293532 41 64 12318 1
olmo-2-7b 2559196 32 64 - 1
smollm2-135m 438460 20 32 3616 1
smollm2-1.7b 565344 20 32 3853 1
falcon3-7b 5640570 80 128 - 1
deepseek-v2 1884690 23 32 4119 1
deepseek-v2-lite 1884690 23 32 4119 1
deepseek-v3 1884690 23 32 4119 1
gpt-oss-20b 20781087 18 32 64255 1.3466
gpt-oss-120b 20781087 18 32 64255 1.3466
ministral-3-3b 81012093 37 64 177347 1
modernbert-base-global 691307 20 32 5205 1
glm-4-9b 47117 32 32 725 1
"""
ROWS = [line.split() for line in TABLE.split("\n") if line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_preset_has_the_figures_of_its_model(row):
    b = bands.preset(row[0])
    longest = b.wavelength[np.isfinite(b.wavelength)].max()
    assert longest == pytest.approx(float(row[1]), rel=1e-6, abs=0.5)
    assert [int((b.turns >= 1).sum()), b.rotary_dim // 2] == [int(row[2]), int(row[3])]
    assert b.first_negative_lag == (None if row[4] == "-" else int(row[4]))
    assert b.attention_factor == pytest.approx(float(row[5]), abs=5e-5)


def test_every_preset_is_checked_and_says_where_it_comes_from():
    assert [row[0] for row in ROWS] == bands.names() and len(ROWS) >= 30
    for name in bands.names():
        b = bands.preset(name)
        assert re.search("litgpt|mlc-llm|transformers|model card|config.json|captures", b.source)
        assert b.name == name and b.context and re.fullmatch(r"[a-z0-9.-]+", name)


def test_pairs_at_rest_are_why_gemma_4_was_once_said_to_have_no_negative_lag():
    theta = bands.preset("gemma-4-global").theta
    sums = [float(naive.cosine_sum(theta[:64], lag)) for lag in range(1, 22)]
    assert min(sums[:-1]) > 0 > sums[-1]
    assert sums[-1] + np.count_nonzero(theta == 0) > 0


def test_longrope_presets_hold_the_long_factors():
    for name in ("phi-3.5-mini", "phi-4-mini"):
        b = bands.preset(name)
        pairs = b.rotary_dim // 2
        ratio = bands.geometric(b.rotary_dim, b.base).theta / b.theta[:pairs]
        np.testing.assert_allclose(ratio, b.scaling["long_factor"], rtol=EXACT)


def test_another_base_recomputes_the_whole_schedule():
    a = bands.preset("qwen3-8b-yarn", base=5e5)
    assert a.equals(bands.geometric(128, 5e5, scaling=bands.preset("qwen3-8b-yarn").scaling))
    assert a.base == 5e5 and bands.preset("qwen3-8b-yarn").base == 1e6


def test_smollm2_135m_is_base_1e5():
    assert bands.preset("smollm2-135m").equals(bands.geometric(64, 1e5))


FIELDS = ["schema", "name", "head_dim", "rotary_dim", "base", "scaling", "attention_factor", "layout", "source",
          "context", "theta", "wavelength", "turns", "critical_dim", "first_negative_lag"]


@pytest.mark.parametrize("b", [bands.preset("gemma-4-global"), bands.preset("phi-4-mini"), bands.custom([1, 0]),
                               bands.geometric(8, 10**4, rotary_dim=np.int64(4), context=np.int64(9))])
def test_a_description_is_strict_json_of_the_agreed_fields(b):
    told = bands.describe(b)
    assert list(told) == FIELDS and told["schema"] == 1
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again["theta"] == b.theta.tolist() and len(again["wavelength"]) == b.head_dim // 2
    assert [tokens is None for tokens in again["wavelength"]] == [not t for t in again["theta"]]


# Precision

def test_half_precision_tables_err_as_reported_for_gpt_neox():
    """EleutherAI/gpt-neox issue 1003: float16 frequencies and angles, 2048 positions, 32 dimensions."""
    b, m = bands.geometric(32, 1e4), np.arange(2048)
    cos, _ = bands.as_implemented(b, m, freq_dtype="float16", angle_dtype="float16", table_dtype="float32")
    exact, _ = bands.as_implemented(b, m, freq_dtype="float32", angle_dtype="float32", table_dtype="float32")
    error = np.abs(cos - exact).max()
    assert error == pytest.approx(0.78189254, abs=1e-7)
    assert bands.as_implemented(b, [1857], freq_dtype="float16", angle_dtype="float16")[0][0, 1] == pytest.approx(
        math.cos(1045), abs=1e-7)


@pytest.mark.parametrize("length, error", [(512, 0.625), (2048, 2.5038), (4096, 3.1411)])
def test_bfloat16_frequencies_err_as_reported_for_modalities(length, error):
    """Modalities/modalities pull request 462: bfloat16 frequencies against float64, 128 dimensions."""
    b, m = bands.geometric(128, 1e4), np.arange(length)
    cos, sin = bands.as_implemented(b, m, freq_dtype="bfloat16", angle_dtype="float32", table_dtype="float32")
    phase = np.angle((cos + 1j * sin) * np.exp(-1j * np.outer(m, b.theta)))
    assert np.abs(phase).max() == pytest.approx(error, abs=5e-5)


@given(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-30))
@example(256.0 + 1)  # a tie, to even
@example(258.0 + 1)
@example(0.1)
def test_bfloat16_rounds_to_nearest_even(x):
    x = float(np.float32(x))
    cos, sin = bands.as_implemented(bands.custom([1.0]), [x], freq_dtype="bfloat16", angle_dtype="bfloat16",
                                    table_dtype="float64")
    assert (cos[0, 0], sin[0, 0]) == (np.cos(naive.bfloat16(x)), np.sin(naive.bfloat16(x)))


def test_float64_tables_are_cosines_and_sines_times_the_attention_factor():
    b = bands.preset("phi-4-mini")
    cos, sin = bands.as_implemented(b, [0, 5], freq_dtype="float64", angle_dtype="float64", table_dtype="float64")
    gain = np.where(np.arange(64) < 48, b.attention_factor, 1.0)
    np.testing.assert_allclose(cos[1], gain * np.cos(5 * b.theta), rtol=EXACT)
    np.testing.assert_allclose(sin[1], gain * np.sin(5 * b.theta), rtol=EXACT)
    assert cos[0].tolist() == gain.tolist() and not sin[0].any()


@pytest.mark.parametrize("dtype, digits", [("float32", 24), ("float16", 11), ("bfloat16", 8)])
def test_tables_hold_no_more_than_their_digits(dtype, digits):
    cos, _ = bands.as_implemented(bands.geometric(16, 1e4), np.arange(64), freq_dtype="float64", table_dtype=dtype)
    big = np.abs(cos[np.abs(cos) > 2.0**-10])
    assert np.all(np.frexp(big)[0] * 2**digits % 1 == 0)


def test_an_overflowing_angle_gives_nan_and_no_warning():
    cos, sin = bands.as_implemented(bands.custom([1.0]), [70000], freq_dtype="float16", angle_dtype="float16")
    assert np.isnan(cos).all() and np.isnan(sin).all()


@pytest.mark.parametrize("options, name, value, remedy", [
    ({"freq_dtype": "half"}, "freq_dtype", "half", "use 'bfloat16' or"),
    ({"freq_dtype": "bfloat"}, "freq_dtype", "bfloat", "did you mean 'bfloat16'?"),
    ({"freq_dtype": "float32", "angle_dtype": "float8"}, "angle_dtype", "float8", "did you mean"),
    ({"freq_dtype": "float32", "table_dtype": "int8"}, "table_dtype", "int8", "use"),
])
def test_an_unknown_precision_is_refused(options, name, value, remedy):
    rejects(lambda: bands.as_implemented(bands.custom([1.0]), [0], **options), name, value, remedy)


def test_positions_are_one_axis_of_finite_numbers():
    rejects(lambda: bands.as_implemented(bands.custom([1.0]), [[0]], freq_dtype="float32"),
            "shape of positions", (1, 1), "(any)")


def test_the_page_of_presets_is_up_to_date():
    script = Path(__file__).parent.parent / "docs" / "presets.py"
    page = runpy.run_path(str(script))["page"]()
    assert script.with_suffix(".md").read_text(encoding="utf-8") == page, "run python docs/presets.py"
    assert "`llama-2-7b`" in page and page.count("\n| `") == len(bands.names())


def test_random_bands_fall_over_half_a_turn_and_repeat_by_seed():
    theta = bands.random(2000, seed=4).theta
    assert (np.diff(theta) < 0).all() and 0 < theta.min() and theta.max() <= np.pi
    assert abs(theta.mean() - np.pi / 2) < 5 * np.pi / np.sqrt(12 * 2000)         # five standard errors
    assert bands.random(9, seed=4).equals(bands.random(9, seed=4))
    assert not bands.random(9).equals(bands.random(9, seed=4))
    for wrong in ({"pairs": 0}, {"pairs": 2, "seed": -1}):
        with pytest.raises(RopesimError):
            bands.random(**wrong)
