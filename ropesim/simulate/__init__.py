"""Brute force. Never imports the closed forms."""

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name in ("attention", "blocks", "chain", "depth", "disentangled", "jacobian", "kernels", "mixing", "regression",
                "removal", "training", "weights"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
