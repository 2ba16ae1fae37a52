"""Sweeps: the points of a grid of specs, what each holds, and computing some of them."""

import math
import threading
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import compare_training, trainings
from .case import Case, build, check_lags
from .errors import RopesimError
from .grid import Grid
from .point import KINDS, measure, measured
from .predictions import alike, captured
from .spec import parse
from .trainings import Training


class Layout(NamedTuple):
    """What every point of a sweep holds, and about how long one takes."""

    quantities: tuple[str, ...]
    lags: np.ndarray      # int64
    length: int           # most tokens of a point: the keys that are stored
    lengths: tuple[Any, ...]          # the swept lengths
    seconds: float = 0.0              # of the first point that can be built, on one core

    @property
    def names(self) -> list[str]:
        """Variables of the store that hold numbers."""
        return [f"{quantity}_{kind}" for quantity in self.quantities for kind in KINDS]

    def ends(self, name: str) -> tuple[str, ...]:
        """The dimension that a variable has beyond the swept ones.

        >>> Layout(("slash",), np.arange(2), 2, ()).ends("slash_error")
        ('lag',)
        """
        return {"slash": ("lag",), "received": ("key",)}.get(name.split("_")[0], ())

    def sizes(self, name: str) -> tuple[int, ...]:
        """Entries of a variable beyond the swept dimensions.

        >>> Layout(("slash",), np.arange(2), 2, ()).sizes("slash_error")
        (2,)
        """
        return tuple({"lag": len(self.lags), "key": self.length}[end] for end in self.ends(name))

    @property
    def bytes(self) -> int:
        """Bytes of one point."""
        return 8 * sum(math.prod(self.sizes(name)) for name in self.names)


def layout(points: Grid, folder: Path) -> Layout:
    """What the points of a grid hold. Raises the first point's RopesimError where no point can be built.

    >>> from .grid import grid
    >>> spec = {"rope": {"preset": "llama-3-8b"}, "run": {"length": 8},
    ...         "head": {"kind": "slash", "lag": 1, "strength": 1}}
    >>> layout(grid(spec), Path(".")).length
    8
    """
    swept = tuple(points.values("run.length"))
    first: RopesimError | None = None
    for n in range(points.size):
        try:
            if "train" in points.base:
                return _training(trainings.parse(points.tables(n), folder))
            case = _case(points.tables(n), folder, swept, {})
        except RopesimError as error:
            first = first or error
            continue
        known = [value for value in swept if isinstance(value, int) and value >= case.length]
        length = max([case.length, *known])
        asked = points.base.get("run", {}).get("lags") or range(length)
        return Layout(tuple(case.run.quantities), np.array(asked, dtype=np.int64), length, swept, _seconds(case))
    raise first or RopesimError("points of sweep", 0, "use at least one")


def _case(tables: dict[str, Any], folder: Path, lengths: tuple[Any, ...], before: dict[str, tuple[Any, Any]]) -> Case:
    """The case of a point; `before`: the last rope and run as given and as checked, for most points share theirs."""
    same = {name: checked for name, (table, checked) in before.items() if tables.get(name) is table}
    spec = parse({**tables, **same})
    if len(same) < 2:
        before |= {name: (tables[name], getattr(spec, name)) for name in ("rope", "run") if name in tables}
    if lengths and spec.run.lags:                 # a lag beyond the length of some points only is padding there
        check_lags(spec.run.lags, max(n for n in lengths if isinstance(n, int)))
        spec = spec._replace(run=spec.run.model_copy(update={"lags": []}))
    return build(spec, folder)


# Threads of one process take turns: BLAS, called from two at once, rounds otherwise.
_TURN = threading.Lock()


@cache
def _blas() -> Any:
    """The BLAS libraries of this process: to find them takes milliseconds, and a chunk may take less."""
    import scipy.linalg  # noqa: F401: brings its own
    from threadpoolctl import ThreadpoolController
    return ThreadpoolController()


class Block(NamedTuple):
    """Values of some points: float64[n, ...] by variable, nan where a point failed, and what failed."""

    values: dict[str, np.ndarray]
    messages: list[str]


def _training(given: Training) -> Layout:
    """A step costs about 10 passes over its prompts, and some hundred are taken."""
    seconds = 500 * (1e-3 + 4e-8 * given.batch * given.task.length * math.log(given.task.length))
    return Layout(trainings.QUANTITIES, np.arange(0), 0, (), seconds)


def block(tables: list[dict[str, Any]], folder: Path, what: Layout) -> Block:
    """Points computed on one BLAS thread, those that are alike together: what a worker does.

    >>> spec = {"rope": {"preset": "llama-3-8b"}, "run": {"length": 8},
    ...         "head": {"kind": "slash", "lag": 9, "strength": 1}}
    >>> block([spec], Path("."), Layout(("sink",), np.arange(8), 8, ())).messages
    ['head.lag = 9: use a lag below run.length = 8']
    """
    found = Block({}, [""] * len(tables))
    cases: dict[int, Case] = {}
    before: dict[str, tuple[Any, Any]] = {}
    with _TURN, _blas().limit(limits=1, user_api="blas"):
        if tables and "train" in tables[0]:
            return _trained(tables, folder)
        for n, table in enumerate(tables):
            try:
                case = _fitting(table, folder, what, before)
            except RopesimError as error:
                found.messages[n] = str(error)
                continue
            if captured(case):                       # as large as its text, and like no other: not kept
                _fill(found, [n], [case], what)
            else:
                cases[n] = case
        points = list(cases)
        for group in alike(cases.values()):
            rows = [points[n] for n in group]
            _fill(found, rows, [cases[n] for n in rows], what)
    for name in what.names:                          # what no point has, or has only one of, takes no memory
        found.values[name] = np.broadcast_to(found.values.get(name, np.nan), (len(tables), *what.sizes(name)))
    return found


def _trained(tables: list[dict[str, Any]], folder: Path) -> Block:
    found = Block({f"{name}_{kind}": np.full(len(tables), np.nan) for name in trainings.QUANTITIES for kind in KINDS},
                  [""] * len(tables))
    for n, table in enumerate(tables):
        try:
            for name, value in compare_training.values(trainings.parse(table, folder)).items():
                found.values[name][n] = value
        except RopesimError as error:
            found.messages[n] = str(error)
    return found


def _fitting(table: dict[str, Any], folder: Path, what: Layout, before: dict[str, tuple[Any, Any]]) -> Case:
    case = _case(table, folder, what.lengths, before)
    if case.length > what.length and any(what.ends(name) for name in what.names):
        raise RopesimError("run.length", case.length, "give the number of tokens")
    return case


def _fill(found: Block, rows: list[int], cases: list[Case], what: Layout) -> None:
    try:
        values = measured(cases)
    except RopesimError as error:
        if len(rows) == 1:
            found.messages[rows[0]] = str(error)
            return
        for row, case in zip(rows, cases):           # so that one bad point spoils no other
            _fill(found, [row], [case], what)
        return
    for name, value in values.items():
        sizes = what.sizes(name)
        flat = sizes != () and value.strides[1] == 0 and value.shape[1] >= what.length   # a number for all lags or keys
        if name not in found.values:
            found.values[name] = np.full((len(found.messages), *([1] if flat else sizes)), np.nan)
        elif not flat and found.values[name].shape[1:] != sizes:
            found.values[name] = np.repeat(found.values[name], sizes[0], axis=1)
        if found.values[name].shape[1:] == sizes:
            put(found.values[name], rows, value, what, name)
        else:
            found.values[name][rows] = value[:, :1]


def put(into: np.ndarray, rows: list[int], value: np.ndarray, what: Layout, name: str) -> None:
    """Write values float64[n, ...] into the rows of n points: the lags and keys that are stored.

    >>> into = np.zeros((1, 1))
    >>> put(into, [0], np.arange(3.0)[None], Layout(("slash",), np.array([2]), 3, ()), "slash_error")
    >>> into
    array([[2.]])
    """
    if not what.ends(name):
        into[rows] = value
        return
    kept = np.arange(what.length) if what.ends(name) == ("key",) else what.lags
    inside = np.flatnonzero(kept < value.shape[1])
    if np.array_equal(kept[:inside.size], np.arange(inside.size)):       # all that there are, as a rule: one copy
        into[rows, :inside.size] = value[:, :inside.size]
    else:
        into[np.ix_(np.array(rows), inside)] = value[:, kept[inside]]


def warm() -> None:
    """Compile, or find in the cache, what points need, so that workers need not all do it.

    >>> warm()
    """
    head = {"kind": "slash", "lag": 1, "strength": 1.0, "noise": 0.1}
    tiny = {"rope": {"kind": "custom", "theta": [1.0]}, "run": {"length": 4, "samples": 2}}
    for table in ({**tiny, "head": head}, {**tiny, "head": {**head, "noise": 0.0, "sink": {"margin": 1.0}}}):
        measure(_case(table, Path("."), (), {}))


def plan(points: Grid, what: Layout, chunk: tuple[int, ...]) -> dict[str, Any]:
    """What computing the points would take, before any is: counts, bytes, and seconds on one core.

    >>> from .grid import grid
    >>> one = grid({"rope": {"preset": "llama-3-8b"}, "run": {"length": 8},
    ...             "head": {"kind": "slash", "lag": 1, "strength": 1}})
    >>> plan(one, layout(one, Path(".")), ())["points"]
    1
    """
    size = math.prod(chunk)
    return {"points": points.size, "dims": dict(zip(points.dims, points.shape)),
            "chunks": math.prod(-(-n // step) for n, step in zip(points.shape, chunk)), "points_per_chunk": size,
            "quantities": list(what.quantities), "bytes": what.bytes * points.size,
            "bytes_per_chunk": what.bytes * size, "seconds_per_point": what.seconds,
            "seconds": what.seconds * points.size}


def _seconds(case: Case) -> float:
    """About how long one point takes on one core, a factor of two either way.

    A simulation is a product of 2 B T^2 / 2, and 4 ns for each score, a sample.
    """
    seen = min(case.window or case.length, case.length)
    scores = case.length * seen - seen * (seen - 1) / 2
    samples = case.run.samples if case.head.random else min(case.run.samples, 1)
    simulated = samples * (1e-3 + scores * (4e-9 + 0.06e-9 * 2 * case.theta.size))
    return float(simulated + (0.05 + 1e-5 * case.length if case.head.random else 5e-5 + 1e-7 * case.length))
