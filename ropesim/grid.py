"""The grid of a sweep: which fields take which values, along which dimensions, and the tables of each point."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .errors import RopesimError

MOST_POINTS = 1_000_000


class Axis(NamedTuple):
    """One swept field: its dotted name, its values, and the dimension it runs along."""

    field: str
    values: list[Any]
    dim: str


def axes(tables: Mapping[str, Any]) -> list[Axis]:
    """The axes of a [sweep] table. Raises RopesimError for a value that is no list and no range.

    A list; {linspace = [a, b, n]}, {geomspace = [a, b, n]}, {range = [a, b, step]} (b left out) or
    {values = [..]}, each with an optional dim: axes that share a dim zip, the others multiply.

    >>> axes({"run.length": {"range": [8, 33, 8]}})[0].values
    [8, 16, 24, 32]
    """
    return [_axis(field, given) for field, given in tables.items()]


def _axis(field: str, given: Any) -> Axis:
    name, options = f"sweep.{field}", dict(given) if isinstance(given, dict) else {"values": given}
    dim = options.pop("dim", field)
    if len(options) != 1 or not isinstance(dim, str):
        raise RopesimError(name, given, "give one of values, linspace, geomspace, range, and perhaps a dim")
    (kind, numbers), = options.items()
    if not isinstance(numbers, list) or not numbers or not all(isinstance(x, int | float | str) for x in numbers):
        raise RopesimError(name, given, "give a list of at least one value, each a number or a string")
    if any(isinstance(x, int) and abs(x) >= 1 << 63 for x in numbers):
        raise RopesimError(name, given, "use whole numbers below 2**63, a store holds no larger ones")
    if kind == "values":
        return Axis(field, numbers, dim)
    makers: dict[str, Callable[..., Any]] = {"linspace": np.linspace, "geomspace": np.geomspace, "range": range}
    remedy = "use linspace, geomspace = [first, last, count] or range = [first, end, step]"
    try:
        if kind != "range" and (len(numbers) != 3 or numbers[2] > MOST_POINTS):
            raise ValueError
        with np.errstate(all="ignore"):
            found = makers[kind](*numbers)
        if len(found) > MOST_POINTS:
            raise ValueError
        values = list(np.asarray(found).tolist())
    except (KeyError, TypeError, ValueError, OverflowError):
        values = []
    if not values or not np.isfinite(values).all() or np.iscomplexobj(values):
        raise RopesimError(name, given, remedy)
    return Axis(field, values, dim)


class Grid(NamedTuple):
    """The axes of a sweep by dimension, in the order of the spec, and the tables that they change.

    Points are counted in row-major order: the last dimension runs fastest.
    """

    dims: Mapping[str, list[Axis]]
    base: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each dimension."""
        return tuple(len(group[0].values) for group in self.dims.values())

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    def tables(self, n: int) -> dict[str, Any]:
        """The tables of point n.

        >>> grid({"head": {}, "sweep": {"head.noise": [0.0, 0.1]}}).tables(1)
        {'head': {'noise': 0.1}}
        """
        corner: list[slice] = []
        for size in reversed(self.shape):
            n, i = divmod(n, size)
            corner.insert(0, slice(i, i + 1))
        return self.part(tuple(corner))[0]

    def part(self, region: tuple[slice, ...]) -> list[dict[str, Any]]:
        """The tables of the points in a box, in their order; a table that several have alike is one object.

        >>> grid({"head": {}, "sweep": {"head.noise": [0.0, 0.1]}}).part((slice(1, 2),))
        [{'head': {'noise': 0.1}}]
        """
        found = [dict(self.base)]
        for group, run in zip(self.dims.values(), region):
            found = [_with(here, group, i) for here in found for i in range(run.start, run.stop)]
        return found

    def values(self, field: str) -> Sequence[Any]:
        """The values of a swept field, none where it is not swept.

        >>> grid({"head": {}, "sweep": {"head.noise": [0.0, 0.1]}}).values("run.length")
        []
        """
        return next((axis.values for group in self.dims.values() for axis in group if axis.field == field), [])


def grid(tables: Mapping[str, Any]) -> Grid:
    """The grid of a spec, one point without dimensions where it has no [sweep].

    Raises RopesimError where axes that share a dim differ in length, a field cannot be set, or there
    are too many points.

    >>> grid({"head": {}, "sweep": {"head.noise": [0.0, 0.1]}}).shape
    (2,)
    """
    given = tables.get("sweep", {})
    if not isinstance(given, dict) or (not given and "sweep" in tables):
        raise RopesimError("sweep", given, "use a table of dotted fields, at least one")
    dims: dict[str, list[Axis]] = {}
    for axis in axes(given):
        dims.setdefault(axis.dim, []).append(axis)
    for dim, group in dims.items():
        if dim in ("lag", "key", "done", "message") or not re.fullmatch(r"[\w.-]+", dim) or \
                dim.endswith(("_predicted", "_error", "_simulated", "_stderr")) or \
                any(axis.field == dim for other in dims.values() if other is not group for axis in other):
            raise RopesimError(f"sweep.{group[0].field}", dim, "use another dim, this one has a meaning of its own"
                               if dim else "use a dim of at least one letter")
        if len({len(axis.values) for axis in group}) > 1:
            raise RopesimError(f"sweep dim {dim}", [len(a.values) for a in group], "give its axes equal lengths")
    found = Grid(dims, {name: table for name, table in tables.items() if name != "sweep"})
    if found.size > MOST_POINTS:
        raise RopesimError("points of sweep", found.size, f"use at most {MOST_POINTS}")
    found.tables(0)                                        # a field that cannot be set says so at once
    return found


def _with(tables: dict[str, Any], group: list[Axis], i: int) -> dict[str, Any]:
    here = dict(tables)
    for axis in group:
        _set(here, axis.field, axis.values[i])
    return here


def _set(tables: dict[str, Any], field: str, value: Any) -> None:
    """Set a dotted field; the tables on its way are copied, for points share them."""
    *path, last = field.split(".")
    for part in path:
        inner = tables.get(part, {})
        if not isinstance(inner, dict):
            raise RopesimError(f"sweep.{field}", value, f"{part} is no table; name a field as table.field")
        tables[part] = tables = dict(inner)
    tables[last] = value
