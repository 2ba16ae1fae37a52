"""Symbolic verdicts: what a simplification proves, and what it leaves open. Imports no code of ours but this."""

from collections.abc import Sequence
from typing import Any

import sympy

from .claim import PROVED, REFUTED, SPOT_CHECKED

DIGITS = 30


def zero(expression: Any, *, tries: int = 5) -> str:
    """Whether an expression vanishes identically: proved, refuted by numbers, or only spot-checked.

    Symbols are given random values in their domain (positive, integer or real, as they are declared):
    a value that is not zero to 30 digits refutes, and only a form that becomes 0 by itself proves.

    >>> x = sympy.Symbol("x", real=True)
    >>> zero(sympy.sin(x) ** 2 + sympy.cos(x) ** 2 - 1), zero(sympy.sin(x) - x)
    ('proved', 'refuted')
    """
    expression = sympy.sympify(expression)
    if isinstance(expression, sympy.MatrixBase):
        return every(zero(entry, tries=tries) for entry in expression)
    if _nonzero(expression, tries):
        return REFUTED
    attempts = (lambda e: e, sympy.expand, sympy.simplify, lambda e: sympy.simplify(e.rewrite(sympy.exp)),
                lambda e: sympy.simplify(sympy.expand(e, func=True, trig=True, complex=True)))
    return PROVED if any(attempt(expression) == 0 for attempt in attempts) else SPOT_CHECKED


def _nonzero(expression: Any, tries: int) -> bool:
    symbols = sorted(expression.free_symbols, key=str)
    for n in range(tries):
        point = {symbol: _value(symbol, 7 * n + 3 * m + 2) for m, symbol in enumerate(symbols)}
        value = expression.evalf(DIGITS, subs=point)
        size = sum(abs(term.evalf(DIGITS, subs=point)) for term in sympy.Add.make_args(expression))
        if value.is_number and abs(value) > sympy.Float(10) ** (10 - DIGITS) * (1 + abs(size)):
            return True
    return False


def _value(symbol: sympy.Symbol, n: int) -> Any:
    if symbol.is_integer:
        return sympy.Integer(n % 11 + 1)
    spread = sympy.Rational(n * 37 % 101 + 1, 53)
    return spread if symbol.is_positive or symbol.is_nonnegative else spread - 1


def every(verdicts: Any) -> str:
    """The weakest of several verdicts.

    >>> every(["proved", "spot-checked"])
    'spot-checked'
    """
    found = set(verdicts)
    return next(name for name in (REFUTED, SPOT_CHECKED, PROVED) if name in found)


def true(conditions: Sequence[Any]) -> str:
    """Proved where sympy decides every condition as true; refuted where it decides one as false.

    >>> x = sympy.Symbol("x", positive=True)
    >>> true([x > 0]), true([x > 1])
    ('proved', 'spot-checked')
    """
    found = [sympy.sympify(condition) for condition in conditions]
    return every(PROVED if one == sympy.true else REFUTED if one == sympy.false else SPOT_CHECKED for one in found)
