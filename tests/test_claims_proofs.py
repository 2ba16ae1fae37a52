"""Symbolic verdicts: proved only where it is so, refuted only by numbers."""

import pytest
import sympy

from ropesim.claims.proofs import every, true, zero

x, y = sympy.symbols("x y", real=True)
p = sympy.Symbol("p", positive=True)
n = sympy.Symbol("n", integer=True, positive=True)


@pytest.mark.parametrize(("expression", "verdict"), [
    (0, "proved"), ((x + y) ** 2 - x ** 2 - 2 * x * y - y ** 2, "proved"),
    (sympy.cos(x + y) - sympy.cos(x) * sympy.cos(y) + sympy.sin(x) * sympy.sin(y), "proved"),
    (sympy.log(p ** 2) - 2 * sympy.log(p), "proved"),
    (sympy.sqrt(x ** 2) - x, "refuted"), (sympy.Rational(1, 10 ** 15) * x, "refuted"),
    (sympy.sin(sympy.pi * n) + 1, "refuted"),
    (sympy.Matrix([[x - x, sympy.sin(x) ** 2 + sympy.cos(x) ** 2 - 1]]), "proved"), (sympy.Matrix([0, x]), "refuted"),
    (sympy.atan(sympy.Rational(1, 2)) + sympy.atan(sympy.Rational(1, 3)) - sympy.pi / 4, "spot-checked"),
])
def test_zero_says_whether_an_expression_vanishes(expression, verdict):
    assert zero(expression) == verdict


def test_conditions_are_true_only_where_they_are_decided():
    assert true([p > 0, p + 1 > 0]) == "proved" and true([p > 1]) == "spot-checked" and true([p < 0]) == "refuted"


def test_the_weakest_verdict_counts():
    assert every(["proved", "spot-checked", "refuted"]) == "refuted" and every(["proved"]) == "proved"
