"""Whole commands, as a user waits for them."""

import os
import subprocess
import sys
import tempfile
import time

from .timing import Line, at_most

COMMAND = [sys.executable, "-m", "ropesim.cli"]


def lines() -> list[Line]:
    with tempfile.TemporaryDirectory() as folder:
        empty = dict(os.environ, NUMBA_CACHE_DIR=os.path.join(folder, "cache"))
        run = [*COMMAND, "run", "slash-head", "--quiet", "--overwrite", "--out", os.path.join(folder, "out")]
        cold = waited(run, empty)
        warm = min(waited(run, empty) for _ in range(3))
        usual = min(waited([*COMMAND, "--help"], empty) for _ in range(5))
    return [at_most("ropesim --help, warm", usual, 0.3, "s"), at_most("ropesim run slash-head, cold", cold, 20, "s"),
            at_most("ropesim run slash-head, warm, with pictures", warm, 5, "s")]


def waited(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start
