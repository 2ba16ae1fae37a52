"""Lemmas about one rotary pair in real coordinates, where a turn is a cosine and a sine as symbols of their own."""

from typing import Any

import sympy

from .proofs import zero

Pair = tuple[sympy.Expr, sympy.Expr]


def reals(names: str) -> tuple[Any, ...]:
    """Real symbols.

    >>> reals("a b")[1].is_real
    True
    """
    return sympy.symbols(names, real=True)


def times(x: Pair, y: Pair) -> Pair:
    """Product of two complex numbers.

    >>> times((0, 1), (0, 1))
    (-1, 0)
    """
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


def inner(q: Pair, k: Pair, turn: Pair) -> sympy.Expr:
    """Re q conj(k) turn.

    >>> inner((1, 2), (3, 4), (1, 0))
    11
    """
    return times(times(q, (k[0], -k[1])), turn)[0]


def cauchy_schwarz() -> str:
    """|x|^2 |y|^2 - <x, y>^2 is Lagrange's sum of squares, here for two pairs.

    >>> cauchy_schwarz()
    'proved'
    """
    x, y = reals("x1:5"), reals("y1:5")
    squares = sum((x[m] * y[n] - x[n] * y[m]) ** 2 for m in range(4) for n in range(m))
    product = sum(a * b for a, b in zip(x, y))
    return zero(sum(a * a for a in x) * sum(b * b for b in y) - product ** 2 - squares)


def chord() -> str:
    """|e^{1j theta} - 1| = 2 |sin(theta / 2)|.

    >>> chord()
    'proved'
    """
    theta = sympy.Symbol("theta", real=True)
    return zero((sympy.cos(theta) - 1) ** 2 + sympy.sin(theta) ** 2 - 4 * sympy.sin(theta / 2) ** 2)


def later_query() -> str:
    """logit(i+n, j) - logit(i, j) = <step, R k> + Re q conj(k) e^{1j lag theta} (e^{1j n theta} - 1), pair by pair.

    >>> later_query()
    'proved'
    """
    a, b, c, d, e, f, now, then, turn, over = reals("a b c d e f now then turn over")
    lag, more = (now, then), (turn, over)
    q, k, step = (a, b), (c, d), (e, f)
    after = times(lag, more)
    change = inner((a + e, b + f), k, after) - inner(q, k, lag)
    return zero(change - inner(step, k, after) - inner(q, k, times(lag, (turn - 1, over))))
