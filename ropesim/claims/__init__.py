"""The literature as objects that can be checked: one file per source, one `Claim` per published statement."""

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name in ("check", "claim", "mixing", "proofs", "registry", "rope", "sinks", "slash", "tappa"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
