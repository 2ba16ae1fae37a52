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
    log_phi, psi1, psi2, psi_log = at.values[-1, round((x - at.low) * PER_UNIT)]
    x = at.low + round((x - at.low) * PER_UNIT) / PER_UNIT        # the grid point itself
    phi = exact(x, s, 0)
    assert np.exp(log_phi) == pytest.approx(phi, rel=1e-9)
    assert psi1 * phi == pytest.approx(exact(x, s, 1), rel=1e-6, abs=1e-11)
    assert psi2 * phi == pytest.approx(exact(x, s, 2), rel=1e-6, abs=1e-11)
    assert psi_log * phi == pytest.approx(exact(x, s, 1, log=True), rel=1e-6, abs=1e-11)


def test_log_phi_never_rises_with_x_and_is_never_positive():
    values = table(np.linspace(0, 30, 4)).values[:, :, 0]
    assert (values <= 0).all()
    assert (np.diff(values, axis=1) <= 1e-9).all()


def test_psi_is_minus_the_slope_of_phi():
    at = table(np.array([2.0]))
    phi = np.exp(at.values[0, :, 0])
    middle = slice(20 * PER_UNIT, 50 * PER_UNIT)
    slope = np.gradient(phi, 1 / PER_UNIT)[middle]
    assert np.abs(at.values[0, :, 1] * phi)[middle] == pytest.approx(-slope, abs=2e-4)
