"""Times as ratios within one run, and the lines of the table."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Line(NamedTuple):
    """One row of the table: what was measured, the figure, and the target it is held against."""

    case: str
    figure: float
    target: str
    met: bool | None      # None: there is none


VERDICT = {True: "met", False: "MISSED", None: ""}


def at_most(case: str, figure: float, limit: float, unit: str = "x") -> Line:
    return Line(case, figure, f"<= {limit:g} {unit}", figure <= limit)


def at_least(case: str, figure: float, limit: float, unit: str = "x") -> Line:
    return Line(case, figure, f">= {limit:g} {unit}", figure >= limit)


def told(case: str, figure: float, unit: str) -> Line:
    """A figure without a target."""
    return Line(case, figure, unit, None)


def seconds(*functions: Callable[[], object], rounds: int = 5) -> list[float]:
    """The best time of each function, taken in turn so that a slow spell of the machine hits all."""
    for function in functions:
        function()
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for n, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[n] = min(best[n], time.perf_counter() - start)
    return best


def table(lines: list[Line]) -> str:
    width = max(len(line.case) for line in lines)
    return "\n".join(f"{line.case:<{width}}  {line.figure:>10.3g}  {line.target:<16}{VERDICT[line.met]}"
                     for line in lines)
