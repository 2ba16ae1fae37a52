"""The house: which module may import which. Every rule is shown an edit that it must reject."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ropesim"
SUBPACKAGES = {"predict", "simulate", "claims"}

# Imports go strictly down. A new file needs a line here, unless it belongs to a wing or to the claims.
LEVEL = {
    "errors": 0, "jit": 0,
    "schedules": 1.0, "configs": 1.1,
    "bands": 2, "patterns": 2, "captures": 2,
    "similarity": 2, "removal": 2.1, "classifier": 2.1, "masks": 2.1, "sources": 2.1,
    "ensembles": 3, "wrappers": 3.05, "gaussians": 3.1, "processes": 3.2, "stacks": 3.3, "slash_task": 3.3,
    "predict.kernels": 4.0, "predict.phases": 4.0, "predict.laplace": 4.0, "predict.nodes": 4.0,
    "predict.rows": 4.05, "predict.binned": 4.05, "predict.cosines": 4.05, "predict.attention": 4.1,
    "predict.logits": 4.15, "predict.totals": 4.16, "predict.drift": 4.17, "predict.row_moments": 4.18,
    "predict.slash_rates": 4.18, "predict.training": 4.19, "predict.*": 4.2, "predict.mixing": 4.25,
    "simulate.kernels": 4.0, "simulate.attention": 4.1, "simulate.weights": 4.15, "simulate.blocks": 4.15,
    "simulate.regression": 4.15, "simulate.jacobian": 4.25, "simulate.*": 4.2,
    "strategies": 4.0, "testing": 4.0,
    "claims.claim": 5, "claims.proofs": 5.1, "claims.pairs": 5.15, "claims.*": 5.2, "heads": 5,
    "claims.rope": 5.3, "claims.slash": 5.3, "claims.tappa": 5.3, "claims.sinks": 5.3, "claims.mixing": 5.3,
    "claims.registry": 5.4, "claims.check": 5.5,
    "spec": 6, "case": 6.2,
    "grid": 6.1, "pool": 6.1, "predictions": 6.4, "point": 6.5, "sweep": 7, "chunks": 7.05, "datasets": 7.08,
    "store": 7.1,
    "trainings": 6.45, "compare_training": 6.6, "compare": 7, "studies": 7.05,
    "views": 7.5, "export": 8, "plots": 8, "charts": 8.1, "depth_charts": 8.1, "training_charts": 8.15, "report": 8.5,
    "capture": 8, "pretraining": 8,
    "output": 8.9, "cli_bands": 8.95, "cli_check": 8.95, "cli_depth": 8.95, "cli_plot": 8.95,
    "cli_train": 8.95, "cli": 9,
}
# Lines above that wait for their file.
PLANNED = {"heads", "capture"}

# The wings meet here and nowhere else; case solves a slash head's strength for a score.
MAY_IMPORT = {
    "claims": {"predict", "simulate"}, "heads": {"predict", "simulate"},
    "predictions": {"predict"}, "point": {"predict", "simulate"}, "compare": {"predict", "simulate"},
    "compare_training": {"predict", "simulate"},
    "predict": {"predict"}, "simulate": {"simulate"},
    "case": {"predict.attention", "predict.cosines"}, "pretraining": {"simulate"},
}

# A heavy library -> the modules (or subpackages) that may load it.
HOMES = {
    "numba": {"jit", "predict.kernels", "simulate.kernels"},
    "sympy": {"claims"},
    "hypothesis": {"strategies", "testing", "claims"},
    "matplotlib": {"plots", "charts", "depth_charts", "training_charts"},
    "torch": {"capture", "pretraining"}, "transformers": {"capture"},
    "pydantic": {"spec"},
    "click": {"cli", "cli_bands", "cli_check", "cli_depth", "cli_plot", "cli_train", "output"},
    "xarray": {"datasets", "store", "views", "plots", "compare_training"}, "zarr": {"store"},
    "pandas": {"export"}, "pyarrow": {"export"}, "h5netcdf": {"export"},
}


def floor(module: str) -> float | None:
    return LEVEL.get(module, LEVEL.get(module.split(".")[0] + ".*") if "." in module else None)


def module_name(path: Path) -> str:
    """"predict.kernels" for ropesim/predict/kernels.py; "predict" and "" for the __init__ files."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_package(module: str) -> bool:
    return module == "" or module in SUBPACKAGES


def targets(module: str, node: ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Each name a relative import binds, with the module of ours that it makes `module` depend on."""
    here = module.split(".") if module else []
    package = here if is_package(module) else here[:-1]
    base = package[:len(package) + 1 - node.level] + (node.module.split(".") if node.module else [])
    for alias in node.names:
        full = ".".join([*base, alias.name])
        # after a package comes one of its modules; after a module, a name inside it
        yield alias.asname or alias.name, full if is_package(".".join(base)) else ".".join(base)


def is_jit(node: ast.expr) -> bool:
    """Whether a decorator or a called function compiles: jit, njit, numba.njit(...), vectorize, ..."""
    while isinstance(node, ast.Call):
        node = node.func
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name.lstrip("_") in {"jit", "njit", "vectorize", "guvectorize", "cfunc", "stencil"}


def complaints(module: str, source: str) -> list[str]:
    """What is wrong with the imports of one file, in words."""
    tree, found, ours = ast.parse(source), [], {}
    lazy = {id(inner) for outer in ast.walk(tree) if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.walk(outer)}
    for node in ast.walk(tree):
        outside = []
        if isinstance(node, ast.Import):
            outside = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            outside = [node.module or ""]
        elif isinstance(node, ast.ImportFrom):
            if is_package(module) and id(node) not in lazy:
                found.append("an __init__ imports nothing of ours at the top")
            for name, target in targets(module, node):
                ours[name] = target
                found += [] if is_package(module) else dependence(module, target)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in {"import_module", "__import__"} and not is_package(module):
                found.append(f"{name} hides what is imported")
        for name in outside:
            root = name.split(".")[0]
            if root == "ropesim":
                found.append(f"use a relative import for {name}")
            if is_package(module) and id(node) not in lazy and root not in {"importlib", "types"}:
                found.append(f"an __init__ may not load {name}")
            if not {module, module.split(".")[0]} & HOMES.get(root, {module}):
                found.append(f"{module} may not load {root}")
    return found + [f"compiled code uses {name} of {ours[name]}: its cache would go stale"
                    for name in names_in_compiled_code(tree) if name in ours]


def dependence(module: str, target: str) -> list[str]:
    """What is wrong with `module` depending on `target`."""
    if target == "__version__":
        return []
    if is_package(target):
        return [f"import a module of {target or 'ropesim'}, not the package"]
    here, there = floor(module), floor(target)
    if here is None or there is None:
        return [f"{module if here is None else target} has no floor"]
    found = [] if there < here else [f"{module} may not import {target}: it is not below"]
    wing = target.split(".")[0]
    if wing in {"predict", "simulate"} and not {wing, target} & MAY_IMPORT.get(module.split(".")[0], set()):
        found.append(f"{module} may not import the wing {wing}")
    return found


def names_in_compiled_code(tree: ast.Module) -> Iterator[str]:
    handed = {arg.id for node in ast.walk(tree) if isinstance(node, ast.Call) and is_jit(node.func)
              for arg in node.args if isinstance(arg, ast.Name)}  # fast = jit(slow)
    yield from handed
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (node.name in handed or any(map(is_jit, node.decorator_list))):
            yield from (inner.id for line in node.body for inner in ast.walk(line) if isinstance(inner, ast.Name))


def misplaced(modules: Iterable[str]) -> list[str]:
    """Files without a floor, and floors without a file."""
    modules = {m for m in modules if not is_package(m)}
    named = {m for m in LEVEL if not m.endswith(".*")}
    return ([f"{m} has no floor" for m in sorted(modules) if floor(m) is None]
            + [f"{m} has a floor and no file" for m in sorted(named - modules - PLANNED)])


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_a_floor_and_every_floor_a_module():
    assert misplaced(map(module_name, FILES)) == []


def test_a_file_without_a_floor_and_a_floor_without_a_file_are_seen():
    modules = {m for m in LEVEL if "*" not in m} | {"", "predict", "claims.su2024"}
    assert misplaced(modules) == []
    assert misplaced(modules | {"helpers"}) == ["helpers has no floor"]
    assert misplaced(modules - {"errors"}) == ["errors has a floor and no file"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path) or "__init__")
def test_imports_keep_to_the_house(path):
    assert complaints(module_name(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module, source", [
    ("", "import importlib\nfrom types import ModuleType"),
    ("", "def __getattr__(name):\n    from .errors import RopesimError"),
    ("bands", "from .errors import RopesimError\nfrom . import schedules\nfrom importlib import resources"),
    ("predict.attention", "from ..errors import RopesimError\nfrom . import kernels\nfrom ..patterns import Profile"),
    ("predict.depth", "from .attention import profile\nfrom .kernels import walk as _walk"),
    ("simulate.kernels", "from ..jit import jit\n@jit\ndef f(x):\n    return g(x)\n@jit\ndef g(x):\n    return x"),
    ("simulate.kernels", "from ..errors import number\ndef f(x):\n    return number('x', x)"),
    ("claims.slash", "import sympy\nfrom ..predict import attention\nfrom ..simulate.attention import profile"),
    ("case", "import json\nfrom .predict import attention"),
    ("plots", "def f(ax):\n    import matplotlib.pyplot"),
    ("cli", "import click\nfrom . import __version__\ndef run():\n    from . import sweep"),
])
def test_the_house_permits(module, source):
    assert complaints(module, source) == []


@pytest.mark.parametrize("module, source, complaint", [
    # absolute, or not a module of the house
    ("cli", "import ropesim.sweep", "use a relative import"),
    ("cli", "import ropesim", "use a relative import"),
    ("cli", "from ropesim import sweep", "use a relative import"),
    ("cli", "from ropesim.sweep import run", "use a relative import"),
    ("cli", "import importlib\nimportlib.import_module('ropesim.predict.attention')", "hides what is imported"),
    ("cli", "__import__('ropesim.sweep')", "hides what is imported"),
    ("cli", "from . import helpers", "helpers has no floor"),
    ("cli", "from .helpers import useful", "helpers has no floor"),
    ("sweep", "from . import predict", "not the package"),
    ("predict.depth", "from .. import simulate", "not the package"),
    # upwards and sideways
    ("errors", "from .bands import Bands", "not below"),
    ("bands", "from . import captures", "not below"),
    ("schedules", "from .bands import Bands", "not below"),
    ("sweep", "from . import compare", "not below"),
    ("predict.kernels", "from .attention import profile", "not below"),
    ("predict.depth", "from . import context", "not below"),
    ("predict.attention", "from ..spec import load", "not below"),
    ("ensembles", "def f():\n    from .sweep import run", "not below"),
    ("ensembles", "if TYPE_CHECKING:\n    from .sweep import Sweep", "not below"),
    # the wings
    ("predict.depth", "from ..simulate.kernels import rows", "the wing simulate"),
    ("predict.attention", "from ..simulate import kernels", "the wing simulate"),
    ("simulate.depth", "from ..predict import attention", "the wing predict"),
    ("simulate.attention", "def f():\n    from ..predict.kernels import lags", "the wing predict"),
    ("spec", "from .simulate import attention", "the wing simulate"),
    ("spec", "from .predict import moments", "the wing predict"),
    ("cli", "def run():\n    from .predict.attention import profile", "the wing predict"),
    ("plots", "from .simulate.attention import scores", "the wing simulate"),
    # the __init__ files
    ("", "from . import bands", "nothing of ours"),
    ("", "import numpy", "may not load numpy"),
    ("predict", "from .attention import profile", "nothing of ours"),
    ("simulate", "from numba import njit", "may not load numba"),
    # compiled code
    ("simulate.kernels", "from ..patterns import f\n@jit\ndef g(x):\n    return f(x)", "stale"),
    ("simulate.attention", "from . import kernels\n@njit(cache=True)\ndef g(x):\n    return kernels.f(x)", "stale"),
    ("predict.attention", "from .kernels import f as h\n@numba.njit\ndef g(x):\n    for i in x: h(i)", "stale"),
    ("predict.attention", "from .kernels import TINY\ndef g(x):\n    return x + TINY\nfast = jit(g)", "stale"),
    ("predict.attention", "from .kernels import g\nfast = jit(g)", "stale"),
    # heavy libraries
    ("bands", "from numba import njit", "may not load numba"),
    ("heads", "import sympy", "may not load sympy"),
    ("ensembles", "import hypothesis.strategies as st", "may not load hypothesis"),
    ("cli", "def run():\n    import matplotlib.pyplot as plt", "may not load matplotlib"),
    ("heads", "from torch import nn", "may not load torch"),
    ("bands", "import pydantic", "may not load pydantic"),
    ("spec", "import click", "may not load click"),
    ("spec", "import xarray as xr", "may not load xarray"),
    ("plots", "import zarr", "may not load zarr"),
    ("views", "from matplotlib.figure import Figure", "may not load matplotlib"),
    ("views", "import pandas", "may not load pandas"),
    ("charts", "def f():\n    import xarray", "may not load xarray"),
    ("cli_plot", "def plot():\n    import pyarrow", "may not load pyarrow"),
    ("cli_plot", "from .cli import commands", "not below"),
    ("report", "import click", "may not load click"),
])
def test_the_house_rejects(module, source, complaint):
    assert any(complaint in found for found in complaints(module, source))
