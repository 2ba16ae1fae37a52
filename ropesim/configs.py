"""A Hugging Face config.json, v4 (`rope_scaling`) or v5 (`rope_parameters`), as the arguments of bands.geometric.

Documented meaning first: where transformers 5.23 departs from its own documentation (a nested `truncate`, a beta of 0)
the documentation wins; tests/test_bands_hf.py pins both.
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from . import schedules
from .errors import RopesimError, number, whole
from .schedules import nearest

PASSED_OVER = ("type", "rope_type", "rope_theta", "max_position_embeddings")
LAYER_TYPES = ("full_attention", "sliding_attention")


def arguments(config: Mapping[str, Any], *, length: int | None = None, layer_type: str | None = None) -> dict[str, Any]:
    """Keyword arguments of bands.geometric for one layer type of a config; raises RopesimError naming the config's key.

    >>> arguments({"hidden_size": 8, "num_attention_heads": 2, "rope_theta": 500.0})["base"]
    500.0
    """
    if not isinstance(config, Mapping):
        raise RopesimError("config", config, "use the mapping that config.json holds")
    model = _text_model(config)
    parameters = _parameters(model, layer_type)
    head_dim = _head_dim(model, layer_type)
    scaling = _scaling(model, parameters)
    spans_head = scaling["type"] == "proportional"
    return {
        "head_dim": head_dim,
        "base": number("rope_theta", parameters["rope_theta"], above=1),
        "rotary_dim": head_dim if spans_head else _rotary_dim(model, parameters, head_dim),
        "scaling": scaling,
        "context": _context(model, layer_type),
        "length": length,
        "layout": _layout(model),
        "name": str(config.get("_name_or_path") or config.get("model_type") or "config"),
        "source": "config.json",
    }


def _text_model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)


def _default(config: Mapping[str, Any], table: str) -> Any:
    return _model_types()[table].get(str(config.get("model_type")))


def _parameters(config: Mapping[str, Any], layer_type: str | None) -> dict[str, Any]:
    """The rope parameters of one layer type, rope_theta and the original context filled in."""
    given = _first(config, "rope_parameters", "rope_scaling") or {}
    if not isinstance(given, Mapping):
        raise RopesimError("rope_parameters", given, "use a mapping")
    if any(isinstance(value, Mapping) for value in given.values()):
        chosen = dict(given[_layer_type(layer_type, list(given))] or {})
    else:
        chosen = _flat(config, given, layer_type)
    if chosen.get("rope_theta") is None:
        chosen["rope_theta"] = _base(config, layer_type)
    return chosen


def _flat(config: Mapping[str, Any], given: Mapping[str, Any], layer_type: str | None) -> dict[str, Any]:
    if _two_bases(config):
        kind = _layer_type(layer_type, list(LAYER_TYPES))
        # A v4 Gemma 3 scales its global layers only; ModernBERT both kinds.
        unscaled = kind == "sliding_attention" and config.get("model_type") != "modernbert"
        return {} if unscaled else dict(given)
    if layer_type is not None:
        _layer_type(layer_type, list(config.get("layer_types") or LAYER_TYPES))
    # Phi-3 keeps the original context outside, and it has precedence there.
    outside = config.get("original_max_position_embeddings")
    return dict(given) if outside is None else {**given, "original_max_position_embeddings": outside}


def _two_bases(config: Mapping[str, Any]) -> bool:
    named = _first(config, "rope_local_base_freq", "local_rope_theta", "global_rope_theta") is not None
    return named or _default(config, "full_attention") is not None


def _base(config: Mapping[str, Any], layer_type: str | None) -> Any:
    if _two_bases(config) and layer_type == "sliding_attention":
        return _first(config, "rope_local_base_freq", "local_rope_theta") or 10000.0
    written = _first(config, "global_rope_theta", "rope_theta", "rotary_emb_base")
    return written or _default(config, "full_attention") or _default(config, "rope_theta") or 10000.0


def _layer_type(layer_type: str | None, known: list[str]) -> str:
    kinds = list(dict.fromkeys(known))
    if layer_type is None and len(kinds) == 1:
        return kinds[0]
    if layer_type is None:
        raise RopesimError("layer_type", None, "the layers differ; use " + " or ".join(map(repr, kinds)))
    if layer_type not in kinds:
        raise RopesimError("layer_type", layer_type, nearest(layer_type, kinds))
    return layer_type


def _head_dim(config: Mapping[str, Any], layer_type: str | None) -> int:
    own = ("qk_rope_head_dim",) + ("global_head_dim",) * (layer_type == "full_attention") + ("head_dim",)
    head_dim = _first(config, *own) or _default(config, "head_dim")
    if head_dim is not None:
        return whole("head_dim", head_dim, least=2)
    width, heads = _first(config, "hidden_size", "n_embd"), _first(config, "num_attention_heads", "n_head")
    if width is None or heads is None:
        raise RopesimError("head_dim", None, "give head_dim, or hidden_size and num_attention_heads")
    return whole("hidden_size", width, least=2) // whole("num_attention_heads", heads, least=1)


def _partial(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> float:
    written = _first(parameters, "partial_rotary_factor")
    written = _first(config, "partial_rotary_factor", "rotary_pct") if written is None else written
    fraction = _default(config, "partial_rotary_factor") if written is None else written
    return number("partial_rotary_factor", 1.0 if fraction is None else fraction, least=0, most=1)


def _rotary_dim(config: Mapping[str, Any], parameters: Mapping[str, Any], head_dim: int) -> int:
    if config.get("rotary_dim") is not None:
        return whole("rotary_dim", config["rotary_dim"], least=2, most=head_dim)
    return int(head_dim * _partial(config, parameters))


def _context(config: Mapping[str, Any], layer_type: str | None) -> int | None:
    tokens = _first(config, "max_position_embeddings", "n_positions")
    window = config.get("sliding_window") if layer_type == "sliding_attention" else None
    found = [value for value in (tokens, window) if value is not None]
    return min(whole("max_position_embeddings", value, least=1) for value in found) if found else None


def _layout(config: Mapping[str, Any]) -> str:
    if config.get("rope_interleave") is not None:
        return "interleaved" if config["rope_interleave"] else "half"
    return _default(config, "layout") or "half"


def _scaling(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The scaling mapping of bands.geometric: foreign keys dropped, as transformers does, misspelt ones refused."""
    kind = schedules.scaling_type({"type": "default", **parameters})
    _refuse_misspelt(parameters, schedules.keys(kind))
    own = {key: parameters[key] for key in schedules.keys(kind) if parameters.get(key) is not None}
    scaling = {"type": kind, **own}
    tokens = _first(config, "max_position_embeddings", "n_positions")
    if kind == "dynamic":  # transformers: always the current limit, whatever the original one
        scaling["original_max_position_embeddings"] = tokens
    elif "original_max_position_embeddings" in schedules.keys(kind) and tokens is not None:
        scaling.setdefault("original_max_position_embeddings", tokens)
    if kind in schedules.ATTENTION and scaling.get("factor") is None and tokens is not None:
        original = number("original_max_position_embeddings", scaling["original_max_position_embeddings"], above=0)
        scaling["factor"] = tokens / original
    if kind == "proportional":
        scaling["partial_rotary_factor"] = _partial(config, parameters)
    return scaling


def _refuse_misspelt(parameters: Mapping[str, Any], own: list[str]) -> None:
    known = {key for kind in schedules.SCHEDULES for key in schedules.keys(kind)} | set(PASSED_OVER)
    for key in parameters:
        if key not in known and get_close_matches(key, own, 1, cutoff=0.8):
            raise RopesimError(f"rope_parameters.{key}", parameters[key], nearest(key, own))


@cache
def _model_types() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("ropesim").joinpath("data", "model_types.toml").read_text(encoding="utf-8"))
