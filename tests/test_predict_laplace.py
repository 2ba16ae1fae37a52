"""Laplace transforms of log-normal scores, against integrals in many digits."""

import mpmath
import numpy as np
import pytest

from ropesim.predict.laplace import PER_UNIT, table


def exact(x, s, power, log=False):
    """E[y^power (log y + gamma if log) e^{-y}], y = e^{x + s eps}."""
    def integrand(eps):
        y = mpmath.exp(x + s * eps)
        return mpmath.npdf(eps) * y ** power * mpmath.exp(-y) * (mpmath.log(y) + mpmath.euler if log else 1)
    with mpmath.workdps(20):
        return float(mpmath.quad(integrand, np.linspace(-9, 9, 25).tolist()))


@pytest.mark.parametrize("s", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("x", [-8.0, -1.0, 0.0, 1.5])
def test_each_column_is_its_expectation(x, s):
    at = table(np.array([0.0, s])) if s else table(np.array([0.0]))
    log_phi, psi1, psi2, psi_log = at.values[:, -1, round(x * PER_UNIT) - at.low]
    phi = exact(x, s, 0)
    assert np.exp(log_phi) == pytest.approx(phi, rel=1e-9)            # FLOOR, and the rounding of the FFT
    assert psi1 * phi == pytest.approx(exact(x, s, 1), rel=1e-6, abs=1e-11)
    assert psi2 * phi == pytest.approx(exact(x, s, 2), rel=1e-6, abs=1e-11)
    assert psi_log * phi == pytest.approx(exact(x, s, 1, log=True), rel=1e-6, abs=1e-11)


@pytest.mark.parametrize("most", [0.0, 1.0, 30.0])
def test_a_table_reaches_to_where_nothing_changes(most):
    at = table(np.array([0.0, most]))
    start, end = at.values[:, :, 0], at.values[:, :, -1]
    assert isinstance(at.low, int) and at.values.shape[:2] == (4, 2)
    np.testing.assert_allclose(start, 0, atol=1e-9)                   # every key is as good as absent
    # the widest table rounds to the floor; narrower ones are sure to lose any row that holds such a key
    assert (end[0] <= np.log(1e-12)).all()


def test_log_phi_never_rises_with_x_and_is_never_positive():
    values = table(np.linspace(0, 30, 4)).values[0]
    assert (values <= 0).all()
    assert (np.diff(values, axis=1) <= 1e-9).all()


@pytest.mark.parametrize("s", [1.0, 2.0, 6.0])
def test_psi_is_minus_the_slope_of_phi(s):
    values = table(np.array([s])).values[:, 0]
    phi = np.exp(values[0])
    # five-point slope: its error, a 30th of the fifth derivative times the step to the fourth, is below 1e-5 at s = 1
    slope = PER_UNIT * (8 * (phi[3:-1] - phi[1:-3]) - (phi[4:] - phi[:-4])) / 12
    np.testing.assert_allclose((values[1] * phi)[2:-2], -slope, atol=1e-5)
