"""Against the library everybody uses. Optional: it needs the extra test-hf (transformers and torch)."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ropesim import bands

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from transformers import Gemma3TextConfig, GPTNeoXConfig, LlamaConfig  # noqa: E402
from transformers import logging as their_log  # noqa: E402
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS  # noqa: E402
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding  # noqa: E402

their_log.set_verbosity_error()  # they print an opinion on every drawn config
EPS = float(np.finfo(np.float32).eps)

dims = st.integers(4, 128).map(lambda pairs: 2 * pairs)
bases = st.floats(1e3, 1e7)
factors = st.floats(1.0, 64.0)
originals = st.integers(256, 1 << 16)


def theirs(dim, base, parameters, *, context=4096, length=None, **more):
    kind = parameters["rope_type"]
    config = LlamaConfig(head_dim=dim, hidden_size=dim, num_attention_heads=1, max_position_embeddings=context,
                         rope_parameters={**parameters, "rope_theta": base}, **more)
    make = LlamaRotaryEmbedding.compute_default_rope_parameters if kind == "default" else ROPE_INIT_FUNCTIONS[kind]
    theta, attention = make(config, **({} if kind == "default" else {"device": "cpu", "seq_len": length}))
    return theta.double().numpy(), float(attention), config.to_dict()


def rounded_exponent(dim, base):
    """They round 2i/d to float32 first, exact for a power of two: up to 2^-25 ln base relative, a unit being 2^-24."""
    return 0.0 if dim & (dim - 1) == 0 else math.log(base)


def compare(dim, base, parameters, *, units=4.0, **options):
    theta, attention, config = theirs(dim, base, parameters, **options)
    ours = bands.from_config(config, length=options.get("length"))
    assert ours.attention_factor == pytest.approx(attention, rel=1e-12)
    apart = np.abs(ours.theta - theta) / np.spacing(ours.theta.astype(np.float32)).astype(float)
    assert apart.max() <= units + rounded_exponent(dim, base)


@given(dims, bases)
def test_default_is_theirs(d, b):
    compare(d, b, {"rope_type": "default"})


@given(dims, bases, factors)
def test_linear_is_theirs(d, b, s):
    compare(d, b, {"rope_type": "linear", "factor": s})


@given(dims, bases, factors, originals, st.none() | st.integers(1, 1 << 18))
def test_dynamic_is_theirs(d, b, s, context, length):
    compare(d, b, {"rope_type": "dynamic", "factor": s}, context=context, length=length)


@given(dims, bases, factors, originals, st.floats(4, 64), st.floats(0.25, 2), st.booleans(),
       st.none() | st.floats(0.1, 2), st.none() | st.floats(0.1, 2))
def test_yarn_is_theirs(d, b, s, original, fast, slow, truncate, mscale, all_dim):
    ends = [d * math.log(original / (2 * math.pi * r)) / (2 * math.log(b)) for r in (fast, slow)]
    assume(ends[1] > 0.01 and ends[0] < d - 1)  # elsewhere their ramp turns round
    low, high = max(ends[0], 0), min(ends[1], d - 1)
    # Where the ramp nears its end, their float32 index / width loses high / (high - low) units, which theta / s sees s
    # times as large. The published configs of the next test stay within 32 all the same.
    units = max(32, 2 * s * high / (high - low))
    compare(d, b, {"rope_type": "yarn", "factor": s, "original_max_position_embeddings": original, "beta_fast": fast,
                   "beta_slow": slow, "truncate": truncate, "mscale": mscale, "mscale_all_dim": all_dim}, units=units)


BLENDED = [name for name in bands.names() if (bands.preset(name).scaling or {}).get("type") in ("yarn", "llama3")]


@pytest.mark.parametrize("name", BLENDED)
def test_published_blends_are_theirs(name):
    b = bands.preset(name)
    parameters = {"rope_type" if key == "type" else key: value for key, value in b.scaling.items()}
    compare(b.head_dim, b.base, parameters, units=32, context=b.context)


@given(dims, bases, originals, st.integers(1, 32), st.none() | st.integers(1, 1 << 18), st.data())
def test_longrope_is_theirs(d, b, original, stretch, length, data):
    lists = {name: data.draw(st.lists(st.floats(1, 70, width=32), min_size=d // 2, max_size=d // 2))
             for name in ("short_factor", "long_factor")}
    compare(d, b, {"rope_type": "longrope", "original_max_position_embeddings": original} | lists,
            context=stretch * original, length=length)


@given(dims, bases, factors, st.floats(0.5, 2), st.floats(3, 8), originals)
@example(64, 5e5, 32.0, 1.0, 4.0, 8192)
def test_llama3_is_theirs(d, b, s, low, high, original):
    # Where the blend begins, an error of theta comes out 1 + (s - 1) low / (high - low) times as large.
    units = max(32, (4 + rounded_exponent(d, b)) * (1 + (s - 1) * low / (high - low)))
    compare(d, b, {"rope_type": "llama3", "factor": s, "low_freq_factor": low, "high_freq_factor": high,
                   "original_max_position_embeddings": original}, units=units)


@given(dims, bases, factors, st.floats(0.01, 1))
def test_proportional_is_theirs(d, b, s, p):
    compare(d, b, {"rope_type": "proportional", "factor": s, "partial_rotary_factor": p})


@given(st.integers(1, 32), st.integers(1, 4), bases)
def test_partial_rotary_is_theirs(quarter, share, b):
    d, p = 8 * quarter, share / 4
    theta, _, config = theirs(d, b, {"rope_type": "linear", "factor": 1.0, "partial_rotary_factor": p})
    ours = bands.from_config(config)
    assert ours.rotary_dim == 2 * len(theta) == d * p
    np.testing.assert_allclose(ours.theta[: len(theta)], theta, rtol=(4 + math.log(b)) * EPS)


def test_layer_types_and_left_out_defaults_are_theirs():
    config = Gemma3TextConfig(rope_scaling={"rope_type": "linear", "factor": 8.0}).to_dict()
    assert bands.from_config(config, layer_type="full_attention").equals(bands.preset("gemma-3-4b-global"))
    assert bands.from_config(config, layer_type="sliding_attention").equals(bands.preset("gemma-3-4b-local"))
    assert bands.from_config(GPTNeoXConfig().to_dict()).rotary_dim == 24
    neox = {"model_type": "gpt_neox", "hidden_size": 6144, "num_attention_heads": 64}
    assert bands.from_config(neox).rotary_dim == 24


GPT_OSS = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "rope_theta": 150000.0}


def test_their_nested_yarn_forgets_truncate_and_ours_does_not():
    """transformers 5.23 reads `truncate` beside the layer types, not inside them."""
    nested = {"full_attention": GPT_OSS | {"truncate": False}, "sliding_attention": GPT_OSS | {"truncate": False}}
    config = LlamaConfig(head_dim=64, layer_types=["full_attention", "sliding_attention"], num_hidden_layers=2,
                         rope_parameters=nested)
    theta, _ = ROPE_INIT_FUNCTIONS["yarn"](config, "cpu", layer_type="full_attention")
    ours = bands.from_config(config.to_dict(), layer_type="full_attention")
    flat = bands.geometric(64, 150000.0, scaling=dict(list(GPT_OSS.items())[:3]) | {"truncate": False})
    assert ours.equals(flat)
    truncated = bands.geometric(64, 150000.0, scaling=dict(list(GPT_OSS.items())[:3]))
    np.testing.assert_allclose(theta.double().numpy(), truncated.theta, rtol=32 * EPS)
    assert np.abs(truncated.theta / flat.theta - 1).max() == pytest.approx(0.76, abs=0.005)


def test_their_yarn_takes_a_beta_of_zero_for_the_default_and_ours_does_not():
    parameters = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096, "beta_slow": 0}
    theta, _, config = theirs(128, 1e4, parameters)
    with_default = bands.from_config({**config, "rope_parameters": {**config["rope_parameters"], "beta_slow": 1}})
    np.testing.assert_allclose(theta, with_default.theta, rtol=32 * EPS)
    assert not np.allclose(bands.from_config(config).theta, with_default.theta, rtol=0.01)
