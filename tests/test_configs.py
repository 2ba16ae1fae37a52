import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropesim import bands, configs
from ropesim.errors import RopesimError

LLAMA = {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "max_position_embeddings": 131072}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
YARN = {"factor": 4.0, "original_max_position_embeddings": 32768}
V4 = LLAMA | {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **LLAMA3}}
V5 = LLAMA | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}}
V5_NESTED = LLAMA | {"sliding_window": 512, "layer_types": ["full_attention", "sliding_attention"], "rope_parameters": {
    "full_attention": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}


def test_v4_v5_and_nested_configs_give_the_preset():
    preset = bands.preset("llama-3.1-8b")
    nested = bands.from_config(V5_NESTED, layer_type="full_attention")
    for b in (bands.from_config(V4), bands.from_config(V5), nested):
        assert b.equals(preset) and b.context == preset.context and dict(b.scaling) == dict(preset.scaling)


def test_a_sliding_layer_sees_its_window():
    local = bands.from_config(V5_NESTED, layer_type="sliding_attention")
    assert local.equals(bands.geometric(128, 1e4)) and local.context == 512


def test_a_flat_config_serves_every_layer_type_it_lists():
    config = V5 | {"layer_types": ["full_attention", "linear_attention"]}
    assert bands.from_config(config, layer_type="linear_attention").equals(bands.preset("llama-3.1-8b"))


@pytest.mark.parametrize("config, preset", [
    ({"model_type": "gpt_neox", "hidden_size": 512, "num_attention_heads": 8, "rotary_pct": 0.25,
      "rotary_emb_base": 10000, "max_position_embeddings": 2048}, "pythia-70m"),
    ({"model_type": "gpt_neox", "hidden_size": 4096, "num_attention_heads": 32, "max_position_embeddings": 2048},
     "pythia-6.9b"),
    ({"model_type": "gptj", "n_embd": 4096, "n_head": 16, "rotary_dim": 64, "n_positions": 2048}, "gpt-j-6b"),
    ({"model_type": "phi", "hidden_size": 2560, "num_attention_heads": 32, "partial_rotary_factor": 0.4,
      "rope_theta": 10000.0, "rope_scaling": None, "max_position_embeddings": 2048}, "phi-2"),
    ({"model_type": "deepseek_v3", "hidden_size": 7168, "num_attention_heads": 128, "qk_rope_head_dim": 64,
      "max_position_embeddings": 163840, "rope_theta": 10000, "rope_scaling": {
          "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
          "original_max_position_embeddings": 4096, "type": "yarn"}}, "deepseek-v3"),
    ({"model_type": "gpt_oss", "head_dim": 64, "rope_theta": 150000, "max_position_embeddings": 131072,
      "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "truncate": False, "beta_fast": 32.0, "beta_slow": 1.0,
                       "original_max_position_embeddings": 4096}}, "gpt-oss-20b"),
    ({"model_type": "glm4", "head_dim": 128, "max_position_embeddings": 131072, "rope_theta": 10000.0,
      "partial_rotary_factor": 0.5}, "glm-4-9b"),
    ({"model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28, "max_position_embeddings": 131072,
      "rope_theta": 1000000.0, "rope_scaling": {"type": "yarn", **YARN}}, "qwen2.5-7b-instruct-yarn"),
])
def test_a_config_gives_the_bands_of_its_model(config, preset):
    b = bands.from_config(config)
    assert b.equals(bands.preset(preset)) and b.context == bands.preset(preset).context


def longrope(name):
    scaling = dict(bands.preset(name).scaling)
    original = scaling.pop("original_max_position_embeddings")
    return LLAMA | {"model_type": "phi3", "hidden_size": 3072, "num_attention_heads": 24, "rope_scaling": scaling,
                    "original_max_position_embeddings": original, "partial_rotary_factor": 0.75}


def test_a_phi3_config_takes_the_list_of_its_length():
    config, long = longrope("phi-4-mini"), bands.preset("phi-4-mini")
    assert bands.from_config(config, length=4097).equals(long)
    for within in (None, 4096):
        short = bands.from_config(config, length=within)
        np.testing.assert_array_equal(short.theta[:48], bands.geometric(96, 1e4).theta)
        assert short.attention_factor == long.attention_factor


def test_dynamic_ntk_grows_beyond_the_current_limit_not_the_original():
    scaling = {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 1024}
    config = LLAMA | {"max_position_embeddings": 4096, "rope_scaling": scaling}
    assert bands.from_config(config, length=4096).equals(bands.geometric(128, 1e4))
    expected = bands.geometric(128, 1e4, context=4096, length=8192, scaling={"type": "dynamic", "factor": 2.0})
    assert bands.from_config(config, length=8192).equals(expected)


def test_a_left_out_yarn_factor_is_the_ratio_of_the_contexts():
    scaling = {"type": "yarn", "factor": None, "original_max_position_embeddings": 32768}
    b = bands.from_config(LLAMA | {"rope_theta": 1e6, "rope_scaling": scaling})
    assert b.equals(bands.preset("qwen3-8b-yarn"))


def test_a_left_out_original_context_is_the_current_one():
    b = bands.from_config(LLAMA | {"rope_scaling": {"type": "yarn", "factor": 4.0}})
    assert b.scaling["original_max_position_embeddings"] == 131072


GEMMA3 = {"model_type": "gemma3_text", "sliding_window": 1024, "max_position_embeddings": 131072,
          "rope_scaling": {"rope_type": "linear", "factor": 8.0}}


@pytest.mark.parametrize("extra", [{}, {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "head_dim": 256}])
@pytest.mark.parametrize("wrapped", [False, True])
def test_gemma_3_has_two_kinds_of_layer(extra, wrapped):
    config = GEMMA3 | extra
    config = {"model_type": "gemma3", "text_config": config} if wrapped else config
    assert bands.from_config(config, layer_type="full_attention").equals(bands.preset("gemma-3-4b-global"))
    local = bands.from_config(config, layer_type="sliding_attention")
    assert local.equals(bands.preset("gemma-3-4b-local")) and local.context == 1024


def test_modernbert_names_its_two_bases():
    config = {"model_type": "modernbert", "hidden_size": 768, "num_attention_heads": 12, "global_rope_theta": 160000.0,
              "local_rope_theta": 5000.0, "max_position_embeddings": 8192}
    assert bands.from_config(config, layer_type="full_attention").equals(bands.preset("modernbert-base-global"))
    assert bands.from_config(config, layer_type="sliding_attention").base == 5000.0


def test_gemma_4_global_layers_are_proportional_over_their_own_head():
    config = {"model_type": "gemma4_text", "head_dim": 256, "global_head_dim": 512, "max_position_embeddings": 131072,
              "rope_parameters": {
                  "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                  "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6}}}
    assert bands.from_config(config, layer_type="full_attention").equals(bands.preset("gemma-4-global"))
    assert bands.from_config(config, layer_type="sliding_attention").head_dim == 256


def test_keys_that_mean_nothing_here_are_passed_over():
    scaling = {"type": "mrope", "rope_type": "default", "mrope_section": [16, 24, 24], "finetuned": True, "mscale": 1.0}
    assert bands.from_config(LLAMA | {"rope_scaling": scaling}).equals(bands.geometric(128, 1e4))
    scaling = {"type": "yarn", **YARN, "max_position_embeddings": 131072, "llama_4_scaling_beta": 0.1}
    assert "max_position_embeddings" not in bands.from_config(LLAMA | {"rope_scaling": scaling}).scaling


@given(st.sampled_from([16, 64, 80, 128]), st.sampled_from([0.25, 0.5, 0.75, 1.0]), st.floats(100, 1e7))
def test_a_partial_factor_counts_coordinates(head_dim, fraction, base):
    b = bands.from_config({"head_dim": head_dim, "rope_parameters": {"rope_theta": base,
                                                                     "partial_rotary_factor": fraction}})
    assert b.equals(bands.geometric(head_dim, base, rotary_dim=int(head_dim * fraction)))


@pytest.mark.parametrize("own, layout", [({"model_type": "cohere"}, "interleaved"), ({}, "half"),
                                         ({"model_type": "deepseek_v3", "rope_interleave": False}, "half")])
def test_the_layout_follows_the_model_type(own, layout):
    assert bands.from_config({"head_dim": 64, **own}).layout == layout


@pytest.mark.parametrize("config, layer_type, name, value, remedy", [
    ([], None, "config", [], "mapping"),
    ({}, None, "head_dim", None, "hidden_size and num_attention_heads"),
    ({"head_dim": 63}, None, "head_dim", 63, "even"),
    ({"head_dim": "64"}, None, "head_dim", "64", "whole number"),
    ({"head_dim": 64, "rope_theta": "1e4"}, None, "rope_theta", "1e4", "finite number"),
    ({"head_dim": 64, "rope_scaling": "yarn"}, None, "rope_parameters", "yarn", "use a mapping"),
    ({"head_dim": 64, "partial_rotary_factor": 2}, None, "partial_rotary_factor", 2, "up to 1"),
    ({"head_dim": 52, "partial_rotary_factor": 0.25}, None, "rotary_dim", 13, "even"),
    ({"head_dim": 64, "max_position_embeddings": 0}, None, "max_position_embeddings", 0, "from 1 on"),
    (LLAMA | {"rope_scaling": {"type": "yarm"}}, None, "scaling.type", "yarm", "did you mean 'yarn'?"),
    (LLAMA | {"rope_scaling": {"type": "yarn", "beta_fats": 9, **YARN}}, None, "rope_parameters.beta_fats", 9,
     "did you mean 'beta_fast'?"),
    (LLAMA | {"rope_scaling": {"type": "linear"}}, None, "scaling.factor", None, "a linear scaling needs it"),
    (LLAMA | {"rope_scaling": {"type": "dynamic", "factor": 2}, "max_position_embeddings": None}, None,
     "scaling.original_max_position_embeddings", None, "a dynamic scaling needs it"),
    (V5_NESTED, None, "layer_type", None, "use 'full_attention' or 'sliding_attention'"),
    (V5_NESTED, "full_atention", "layer_type", "full_atention", "did you mean 'full_attention'?"),
    (V5, "slidin_attention", "layer_type", "slidin_attention", "did you mean 'sliding_attention'?"),
    (GEMMA3, None, "layer_type", None, "use 'full_attention' or 'sliding_attention'"),
])
def test_a_bad_config_is_refused_with_field_value_and_remedy(config, layer_type, name, value, remedy):
    with pytest.raises(RopesimError, match=re.escape(remedy)) as caught:
        bands.from_config(config, layer_type=layer_type)
    assert (caught.value.name, caught.value.value) == (name, value)


def test_a_config_is_only_read():
    before = repr(V5_NESTED)
    configs.arguments(V5_NESTED, layer_type="full_attention")
    assert repr(V5_NESTED) == before
