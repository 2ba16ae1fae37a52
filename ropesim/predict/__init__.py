"""Closed forms. Never imports the simulation."""

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name in ("attention", "batch", "chain", "context", "cosines", "depth", "kernels", "logits", "mixing", "moments",
                "removal", "row_moments", "similarity", "sinks", "slash_match", "slash_rates", "slash_times",
                "stability", "training"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
