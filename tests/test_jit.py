import os
import subprocess
import sys

import numpy as np
import pytest

from ropesim import jit
from ropesim.predict import kernels as predicted
from ropesim.simulate import kernels as simulated

KERNELS = [predicted.prefix_sums, predicted.suffix_sums, predicted.weighted_sums, simulated.add_rows]


def cached(setting):
    """Whether a fresh process caches compiled code where ROPESIM_NUMBA_CACHE is `setting`."""
    environment = {name: value for name, value in os.environ.items() if name != "ROPESIM_NUMBA_CACHE"}
    environment |= {} if setting is None else {"ROPESIM_NUMBA_CACHE": setting}
    command = [sys.executable, "-c", "from ropesim import jit; print(jit.CACHE)"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip() == "True"


@pytest.mark.parametrize("setting, expected", [(None, True), ("1", True), ("0", False)])
def test_the_cache_is_on_unless_the_environment_says_0(setting, expected):
    assert cached(setting) is expected


def test_a_compiled_function_computes_what_its_source_says():
    @jit.jit
    def double(x):
        return 2 * x
    assert double(21) == 42


def test_reordered_sums_keep_nan_and_infinity():
    assert jit.REORDER.isdisjoint({"fast", "nnan", "ninf"})


@pytest.mark.compiled
def test_a_division_by_zero_is_no_exception():
    @jit.jit
    def inverse(x):
        return 1.0 / x
    assert inverse(0.0) == np.inf and inverse(-0.0) == -np.inf


@pytest.mark.compiled
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_no_kernel_is_compiled_with_fast_math_as_a_whole(kernel):
    assert kernel.targetoptions["fastmath"] in (set(), set(jit.REORDER))
    assert kernel.targetoptions["error_model"] == "numpy" and kernel.targetoptions["nogil"] is True


@pytest.mark.compiled
def test_only_the_pass_over_the_scores_may_reorder_sums():
    assert [kernel for kernel in KERNELS if kernel.targetoptions["fastmath"]] == [simulated.add_rows]
