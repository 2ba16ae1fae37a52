"""What a claim is: a published statement, independent ways to check it, and one check that must fail.

Legs come in three kinds: `prove` is symbolic and imports no code of ours; `Inequality` or `Identity`
is tried on drawn inputs; `Simulation` holds a prediction against a simulation with its standard error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy

Sides = Callable[..., tuple[Any, Any]]
PROVED, SPOT_CHECKED, AGREES, HOLDS = "proved", "spot-checked", "agrees", "holds"      # from strong to weak
REFUTED, CORRECTED, UNTRUSTWORTHY = "refuted", "holds-as-corrected", "untrustworthy"
SLACK = 1e-12      # rounding that an inequality is granted, of the larger side


@dataclass(frozen=True)
class Inequality:
    """left <= right, elementwise, for every draw: sides(**draw) = (left, right).

    draw: names to hypothesis strategies; draw seeds and a few scalars, and build arrays from them. tight: a
    draw at which left is within 1 % of right, tried first: a constant that is 1 % too small fails there. None
    where no such case is known.
    """

    draw: Mapping[str, SearchStrategy[Any]]
    sides: Sides
    tight: Mapping[str, Any] | None = None

    def excess(self, left: Any, right: Any) -> tuple[bool, float]:
        """Whether it holds, and the largest left / right where right is positive.

        >>> Inequality({}, lambda: (1, 2)).excess(1.0, 2.0)
        (True, 0.5)
        """
        left, right = np.broadcast_arrays(np.asarray(left, dtype=float), np.asarray(right, dtype=float))
        holds = bool(np.all(left <= right + SLACK * np.maximum(np.abs(left), np.abs(right))))
        ratio = np.divide(left, right, out=np.full(left.shape, -np.inf), where=right > 0)
        return holds, float(ratio.max(initial=-np.inf))


@dataclass(frozen=True)
class Identity:
    """left == right for every draw, up to `tolerance` of the larger side (of all its entries)."""

    draw: Mapping[str, SearchStrategy[Any]]
    sides: Sides
    tolerance: float = 1e-9

    tight = None

    def excess(self, left: Any, right: Any) -> tuple[bool, float]:
        """Whether it holds, and the largest difference relative to the larger side.

        >>> Identity({}, lambda: (1, 2)).excess(1.0, 2.0)
        (False, 0.5)
        """
        left, right = np.asarray(left), np.asarray(right)
        scale = max(float(np.abs(left).max(initial=0.0)), float(np.abs(right).max(initial=0.0)))
        off = float(np.abs(left - right).max(initial=0.0)) / scale if scale > 0 else 0.0
        return bool(off <= self.tolerance), off


@dataclass(frozen=True)
class Simulation:
    """A prediction (values, errors) beside a simulation (means, standard errors), at the points x.

    x_name and y_name label the picture. predict knows nothing of the simulation; simulate draws
    from the generator alone.
    """

    x: Sequence[float]
    x_name: str
    y_name: str
    predict: Callable[[], tuple[Any, Any]]
    simulate: Callable[[np.random.Generator], tuple[Any, Any]]


Leg = Inequality | Identity | Simulation | Callable[[], str]


@dataclass(frozen=True)
class Control:
    """A broken variant of a claim, of the same kind as one of its legs, that the check must reject."""

    what: str
    leg: Leg


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published statement about RoPE attention.

    id: "<source>-<name>"; source: paper, section, equation; label: of the equation in docs/theory.md; statement:
    LaTeX that mathtext can draw, without dollars; assumes: the domain in words; expected: the status on record, with
    `note`, where that comes from. prove answers "proved", "spot-checked" or "refuted". printed: the published
    form where it is wrong and the other legs are its correction. tie: largest relative difference between the
    formula that is proved and the library, at random points. full: an exhaustive leg, minutes long, run only on
    request. alone: why one leg is all there can be.
    """

    id: str
    source: str
    label: str
    title: str
    statement: str
    assumes: str
    expected: str
    note: str
    control: Control
    prove: Callable[[], str] | None = None
    holds: Inequality | Identity | None = None
    simulate: Simulation | None = None
    printed: Leg | None = None
    tie: Callable[[], float] | None = None
    full: Leg | None = None
    alone: str = ""

    @property
    def legs(self) -> dict[str, Leg]:
        """The legs there are, by the name they go by in tables."""
        found = {"prove": self.prove, "property": self.holds, "simulate": self.simulate}
        return {name: leg for name, leg in found.items() if leg is not None}
