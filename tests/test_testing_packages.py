"""The checker on rotary functions that people use. Optional: each test needs its package (transformers with torch,
rotary-embedding-torch, x-transformers).
"""

import warnings

import numpy as np
import pytest

from ropesim import bands
from ropesim.testing import assert_is_rope

torch = pytest.importorskip("torch")

LENGTH = 512
FLOAT32 = 1e-4     # their angles are float32: 512 tokens off by half a unit in the last place are 1.5e-5 rad


def package(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")          # x-transformers still compiles with torch.jit
        return pytest.importorskip(name)


def check(fn, head_dim, **options):
    """The report on a function of torch tensors, float32[1, 1, T, head_dim] and int64[T]."""
    def adapted(x, positions):
        return fn(torch.from_numpy(x).float()[None, None], torch.from_numpy(positions)).detach()[0, 0]
    with torch.no_grad():
        return assert_is_rope(adapted, head_dim=head_dim, length=LENGTH, tolerance=FLOAT32, **options)


def of_transformers(family, **fields):
    """The rotary function of a family of models in transformers: its tables, and apply_rotary_pos_emb."""
    package("transformers")
    from importlib import import_module
    configuration = import_module(f"transformers.models.{family}.configuration_{family}")
    model = import_module(f"transformers.models.{family}.modeling_{family}")
    prefix = {"llama": "Llama", "glm": "Glm", "cohere": "Cohere"}[family]
    config = getattr(configuration, f"{prefix}Config")(head_dim=32, hidden_size=64, num_attention_heads=2,
                                                       num_key_value_heads=2, **fields)
    rotary = getattr(model, f"{prefix}RotaryEmbedding")(config)

    def fn(x, positions):
        cos, sin = rotary(x, positions[None])
        return model.apply_rotary_pos_emb(x, x, cos, sin)[0]
    return fn, config.to_dict()


@pytest.mark.parametrize("family, layout, rotary_dim", [("llama", "half", 32), ("glm", "interleaved", 16),
                                                        ("cohere", "interleaved", 32)])
def test_transformers_rotates(family, layout, rotary_dim):
    fn, config = of_transformers(family)
    report = check(fn, 32, base=config["rope_parameters"]["rope_theta"])
    assert (report.layout, report.rotary_dim, report.reversed) == (layout, rotary_dim, ())
    assert report.attention_factor == pytest.approx(1, abs=FLOAT32)


def test_transformers_scales_as_our_table_of_its_config_says():
    yarn = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "rope_theta": 1e4}
    fn, config = of_transformers("llama", rope_parameters=yarn)
    table = bands.from_config(config)
    report = check(fn, 32, theta=table.theta)
    assert report.attention_factor == pytest.approx(table.attention_factor, abs=FLOAT32)
    assert (report.layout, report.rotary_dim) == (table.layout, table.rotary_dim)


def test_rotary_embedding_torch_rotates_neighbours():
    library = package("rotary_embedding_torch")
    rotary = library.RotaryEmbedding(dim=16)

    def fn(x, positions):
        return library.apply_rotary_emb(rotary(positions), x)

    report = check(fn, 32, base=1e4)
    assert (report.layout, report.rotary_dim, report.reversed) == ("interleaved", 16, ())
    assert report.attention_factor == pytest.approx(1, abs=FLOAT32)


def x_transformers(**options):
    library = package("x_transformers.x_transformers")
    rotary = library.RotaryEmbedding(16, **options)

    def fn(x, positions):
        return library.apply_rotary_pos_emb(x, *rotary(positions))
    return fn


def test_x_transformers_rotates_neighbours():
    report = check(x_transformers(), 16, base=1e4)
    assert (report.layout, report.rotary_dim, report.reversed) == ("interleaved", 16, ())
    stretched = bands.geometric(16, 1e4, scaling={"type": "linear", "factor": 4.0})
    np.testing.assert_allclose(check(x_transformers(interpolation_factor=4.0), 16).theta, stretched.theta, atol=1e-6)


def test_the_decay_of_xpos_is_no_rotation():
    with pytest.raises(AssertionError, match="position zero is not the identity|norms are not kept"):
        check(x_transformers(use_xpos=True), 16)


def test_the_wrong_base_is_seen_in_their_functions():
    with pytest.raises(AssertionError, match="wrong frequency: at position"):
        check(x_transformers(), 16, base=10100.0)
