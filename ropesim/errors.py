"""The one exception of this package, and the few checks that its doors share."""

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import numpy as np

TRUTH, WHOLE, REAL = (bool, np.bool_), (int, Integral), (float, int, Real)      # what is asked most comes first


class RopesimError(ValueError):
    """Bad input: names the field, shows the value seen, says what to do about it.

    >>> raise RopesimError("lag", -1, "use a whole number from 0 on")
    Traceback (most recent call last):
    ropesim.errors.RopesimError: lag = -1: use a whole number from 0 on
    """

    def __init__(self, name: str, value: object, remedy: str) -> None:
        self.name, self.value, self.remedy = name, value, remedy
        super().__init__(f"{name} = {shown(value)}: {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:    # pickled on the way back from a worker
        return type(self), (self.name, self.value, self.remedy)


def shown(value: object) -> str:
    """The value on one short line.

    >>> shown(np.float64(0.5))
    '0.5'
    """
    try:
        text = " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())
    except ValueError:                            # Python prints no integer of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def number(name: str, value: Any, *, least: float = -np.inf, most: float = np.inf, above: float = -np.inf) -> float:
    """`value` as a finite float with above < value and least <= value <= most, or a RopesimError.

    >>> number("noise", 0, least=0)
    0.0
    """
    try:
        result = float(value) if isinstance(value, REAL) and not isinstance(value, TRUTH) else math.nan
    except OverflowError:                         # an integer beyond the largest double
        result = math.inf
    if not math.isfinite(result):
        raise RopesimError(name, value, "use a finite number")
    if result < least or result > most or result <= above:
        raise RopesimError(name, value, "use a number " + _interval(least, most, above))
    return result


def whole(name: str, value: Any, *, least: float = -np.inf, most: float = np.inf) -> int:
    """`value` as an int with least <= value <= most, or a RopesimError.

    >>> whole("lag", np.int64(7))
    7
    """
    if isinstance(value, TRUTH) or not isinstance(value, WHOLE) or not least <= int(value) <= most:
        raise RopesimError(name, value, "use a whole number " + _interval(least, most, -np.inf))
    return int(value)


def array(name: str, value: Any, shape: Sequence[int | None], dtype: Any = np.float64) -> np.ndarray:
    """`value` as a finite array of `dtype`; None in `shape` leaves that length free.

    >>> array("theta", [1, 2], [None])
    array([1., 2.])
    """
    try:
        out = np.asarray(value)
        if out.dtype.kind not in "biufc" or (out.dtype.kind == "c" and np.dtype(dtype).kind != "c"):
            raise TypeError
        out = out.astype(dtype, copy=False)
    except (TypeError, ValueError):
        kind = "complex" if np.dtype(dtype).kind == "c" else "real"
        raise RopesimError(name, value, f"use an array of {kind} numbers") from None
    if len(shape) != out.ndim or any(want is not None and want != got for want, got in zip(shape, out.shape)):
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise RopesimError(f"shape of {name}", out.shape, f"use the shape {wanted}")
    if not np.isfinite(out).all():
        raise RopesimError(name, out[~np.isfinite(out)].ravel()[0], "use finite numbers only")
    return out


def table(name: str, value: Any) -> dict[str, Any]:
    """The value if it is a table, or a RopesimError.

    >>> table("run", {})
    {}
    """
    if not isinstance(value, dict):
        raise RopesimError(name, value, f"use a table [{name}]")
    return value


def known(prefix: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise RopesimError for a field that is none of these names.

    >>> known("run.", {"seed": 1}, ["seed"])
    """
    for name, value in given.items():
        if name not in names:
            close = get_close_matches(name, names, 1)
            remedy = f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"
            raise RopesimError(prefix + name, value, f"unknown field; {remedy}")


def _interval(least: float, most: float, above: float) -> str:
    words = [f"above {_said(above)}"] if above > -np.inf else [f"from {_said(least)} on"] if least > -np.inf else []
    return " ".join(words + ([f"up to {_said(most)}"] if most < np.inf else [])) or "of any size"


def _said(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
