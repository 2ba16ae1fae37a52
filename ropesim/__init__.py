"""Attention of RoPE heads, computed twice: in closed form and by simulation.

Submodules load when first used, so that `import ropesim` itself stays light.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_MODULES = (
    "bands", "captures", "case", "charts", "chunks", "claims", "classifier", "compare", "compare_training", "datasets",
    "depth_charts", "ensembles", "errors", "export", "gaussians", "grid", "masks", "patterns", "plots", "point", "pool",
    "predict", "predictions", "pretraining", "processes", "removal", "report", "similarity", "simulate", "slash_task",
    "sources", "spec", "stacks", "store", "strategies", "studies", "sweep", "testing", "training_charts", "trainings",
    "views", "wrappers")
__all__ = ["RopesimError", "__version__", *_MODULES]


def __getattr__(name: str) -> ModuleType | type:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "RopesimError":
        from .errors import RopesimError
        return RopesimError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
