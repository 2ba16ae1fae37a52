"""What loading the package costs, seen from a fresh interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"scipy", "numba", "sympy", "matplotlib", "hypothesis", "xarray", "zarr", "pandas", "pydantic", "torch"}
HELP = """
import sys
from ropesim.cli import main
sys.argv = ["ropesim", "--help"]
try:
    main()
except SystemExit:
    pass
"""


def run(code: str) -> str:
    """What `code` prints in a fresh interpreter that finds this checkout first."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str) -> set[str]:
    """The heavy libraries that are in memory after `code`."""
    return HEAVY & set(run(code + "\nimport sys\nprint(*sys.modules)").split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded("import ropesim") == set()


def test_the_check_sees_a_heavy_library():
    assert "numba" in loaded("import ropesim.jit")


def test_help_loads_nothing_heavy():
    assert "Usage" in run(HELP)
    assert loaded(HELP) == set()


@pytest.mark.parametrize("name", ["bands", "errors", "predict.attention", "simulate.attention"])
def test_modules_load_when_first_named(name):
    assert run(f"import ropesim\nprint(ropesim.{name}.__name__)") == f"ropesim.{name}\n"


def test_every_public_name_resolves():
    assert run("import ropesim\nfor name in dir(ropesim):\n    getattr(ropesim, name)") == ""


def test_a_name_that_is_not_there_is_an_attribute_error():
    names = run("import ropesim\nprint(hasattr(ropesim, 'simulat'), hasattr(ropesim.predict, 'attentio'))")
    assert names == "False False\n"
