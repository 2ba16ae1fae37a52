"""Run every benchmark, or those named: python -m benchmarks [predict] [batch] [moments] [simulate] ..., see CASES."""

import platform
import sys
from datetime import date
from importlib import import_module

import numpy as np
from threadpoolctl import threadpool_info

from .timing import table

CASES = ("predict", "batch", "moments", "simulate", "similarity", "sweep", "scale", "depth", "mixing",
         "training", "commands")

blas = {info["internal_api"]: info.get("architecture", "") for info in threadpool_info()}
print(f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}, {blas}")
for name in sys.argv[1:] or CASES:
    print(table(import_module(f"benchmarks.{name}").lines()), flush=True)
