"""The mean field that claims about training lean on, beside the library's times and its descent."""

import numpy as np
import pytest
from tolerances import EXACT, FLOAT

from ropesim.claims import slash_controls
from ropesim.predict import slash_times
from ropesim.schedules import half_dft

K, N = slash_controls.K, slash_controls.N


@pytest.mark.parametrize("steps", [60, 120])
def test_small_steps_on_half_a_dft_take_the_refined_times(steps):
    theta, speed = half_dft(N // 2), 0.1
    logits = slash_controls._field(theta, steps, speed=speed)[0]
    step = speed * slash_controls._rate(theta) * N / 2
    margin = [logits[1] - np.delete(logits, 1).max()]
    time = slash_times.stage_one_refined(K, N, margin) + slash_times.step_delay(K, N, margin, step)
    assert steps * step == pytest.approx(time[0], rel=2e-3)       # of the delay's second order


@pytest.mark.parametrize("theta", [half_dft(N // 2), half_dft(25), slash_controls.ROPE, np.zeros(1)])
def test_gains_sum_to_nothing_and_make_the_logits(theta):
    logits, total = slash_controls._field(theta, 20)
    assert total.sum() == pytest.approx(0, abs=FLOAT)
    pairs = np.exp(-1j * np.outer(theta, np.arange(N))) @ total
    expected = (np.exp(1j * np.outer(np.arange(N), theta)) @ pairs).real
    np.testing.assert_allclose(logits, expected, atol=FLOAT * max(1, np.abs(expected).max()))


def test_the_mean_field_learns_nothing_from_pairs_that_do_not_turn():
    assert np.ptp(slash_controls._field(np.zeros(1), 20)[0]) < FLOAT


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_keys_that_miss_the_common_part_leave_no_gradient(share):
    (paper, other), _ = slash_controls._keys(3, share, 1.0, 0.0)
    np.testing.assert_allclose(other, share * paper, rtol=FLOAT, atol=EXACT)
    assert np.abs(paper).min() > 1e-4
