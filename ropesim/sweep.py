"""Sweeps: the points of a grid of specs, in chunks, on any executor."""

import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .case import build, check_lags
from .errors import RopesimError
from .grid import Grid
from .point import KINDS, measure
from .spec import parse

BYTES = 1 << 26    # most bytes of a chunk by default
POINTS = 64        # most points of a chunk by default


class Layout(NamedTuple):
    """What every point of a sweep holds: its quantities, the lags that are stored, the most tokens, the lengths."""

    quantities: tuple[str, ...]
    lags: np.ndarray      # int64
    length: int           # most tokens of a point: the keys that are stored
    lengths: tuple[Any, ...]

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
            case = _case(points.tables(n), folder, swept)
        except RopesimError as error:
            first = first or error
            continue
        known = [value for value in swept if isinstance(value, int) and value >= case.length]
        length = max([case.length, *known])
        asked = points.base.get("run", {}).get("lags") or range(length)
        return Layout(tuple(case.run.quantities), np.array(asked, dtype=np.int64), length, swept)
    raise first or RopesimError("points of sweep", 0, "use at least one")


def _case(tables: dict[str, Any], folder: Path, lengths: tuple[Any, ...]) -> Any:
    spec = parse(tables)
    if lengths and spec.run.lags:                 # a lag beyond the length of some points only is padding there
        check_lags(spec.run.lags, max(n for n in lengths if isinstance(n, int)))
        spec = spec.model_copy(update={"run": spec.run.model_copy(update={"lags": []})})
    return build(spec, folder)


# Threads of one process take turns: BLAS, called from two at once, rounds otherwise.
_TURN = threading.Lock()


class Block(NamedTuple):
    """Values of some points: float64[n, ...] by variable, nan where a point failed, and what failed."""

    values: dict[str, np.ndarray]
    messages: list[str]


def block(tables: list[dict[str, Any]], folder: Path, what: Layout) -> Block:
    """Points computed one after the other on one BLAS thread: what a worker does.

    >>> spec = {"rope": {"preset": "llama-3-8b"}, "run": {"length": 8},
    ...         "head": {"kind": "slash", "lag": 9, "strength": 1}}
    >>> block([spec], Path("."), Layout(("sink",), np.arange(8), 8, ())).messages
    ['head.lag = 9: use a lag below run.length = 8']
    """
    from threadpoolctl import threadpool_limits
    values = {name: np.full((len(tables), *what.sizes(name)), np.nan) for name in what.names}
    messages = []
    with _TURN, threadpool_limits(1, "blas"):
        for n, table in enumerate(tables):
            try:
                found = measure(_case(table, folder, what.lengths))
                longest = max((value.size for name, value in found.items() if what.ends(name)), default=0)
                if longest > what.length:
                    raise RopesimError("run.length", longest, "give the number of tokens")
            except RopesimError as error:
                messages.append(str(error))
                continue
            messages.append("")
            for name, value in found.items():
                put(values[name][n:n + 1], value, what, name)
    return Block(values, messages)


def put(row: np.ndarray, value: np.ndarray, what: Layout, name: str) -> None:
    """Write a point's value into its row, float64[1, ...]: the lags and keys that are stored.

    >>> row = np.zeros((1, 1))
    >>> put(row, np.arange(3.0), Layout(("slash",), np.array([2]), 3, ()), "slash_error")
    >>> row
    array([[2.]])
    """
    if not what.ends(name):
        row[0] = value
        return
    kept = what.lags if what.ends(name) == ("lag",) else np.arange(what.length)
    inside = kept < value.size
    row[0, inside] = value[kept[inside]]


def chunked(points: Grid, what: Layout, most: int | None = None) -> tuple[int, ...]:
    """Points of a chunk along each dimension: whole rows of the last dimensions, at most `most` points.

    >>> from .grid import grid
    >>> spec = {"head": {}, "sweep": {"head.lag": [1, 2, 3], "head.noise": [0.0, 0.1]}}
    >>> chunked(grid(spec), Layout(("sink",), np.arange(8), 8, ()), 4)
    (2, 2)
    """
    left = most if most is not None else max(1, min(POINTS, BYTES // max(what.bytes, 1), points.size // 8))
    sizes: list[int] = []
    for size in reversed(points.shape):
        sizes.insert(0, max(1, min(size, left)))
        left = left // size if left >= size else 0
    return tuple(sizes)


def regions(shape: tuple[int, ...], chunk: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """The chunks of a grid as slices, in row-major order.

    >>> regions((3,), (2,))
    [(slice(0, 2, None),), (slice(2, 3, None),)]
    """
    starts = [range(0, size, step) for size, step in zip(shape, chunk)]
    return [tuple(slice(start, min(start + step, size)) for start, step, size in zip(corner, chunk, shape))
            for corner in product(*starts)]


def inside(region: tuple[slice, ...], shape: tuple[int, ...]) -> list[int]:
    """The points of a chunk, in row-major order.

    >>> inside((slice(1, 2), slice(0, 2)), (3, 2))
    [2, 3]
    """
    if not shape:
        return [0]
    corners = np.ix_(*(np.arange(part.start, part.stop) for part in region))
    return [int(n) for n in np.ravel_multi_index(corners, shape).ravel()]


def results(points: Grid, folder: Path, what: Layout, wanted: Iterable[tuple[slice, ...]], executor: Executor | None,
            ahead: int = 4) -> Iterator[tuple[tuple[slice, ...], Block]]:
    """Chunks of a grid as they are finished; at most `ahead` are with the executor at any time.

    Without an executor they are computed here, one by one. An interrupt lets chunks in flight finish, gives
    them, and then is raised; a second one is raised at once. Raises OSError where the executor has died.

    >>> from .grid import grid
    >>> points = grid({"rope": {"preset": "llama-3-8b"}, "run": {"length": 8},
    ...                "head": {"kind": "slash", "lag": 1, "strength": 1}, "sweep": {"head.lag": [1, 2, 3]}})
    >>> [region for region, _ in results(points, Path("."), layout(points, Path(".")), regions((3,), (2,)), None)]
    [(slice(0, 2, None),), (slice(2, 3, None),)]
    """
    jobs = ((region, [points.tables(n) for n in inside(region, points.shape)]) for region in wanted)
    with _interruptible() as stopped:
        if executor is None:
            for region, tables in jobs:
                yield region, block(tables, folder, what)
                if stopped():
                    raise KeyboardInterrupt
            return
        flying: dict[Future[Block], tuple[slice, ...]] = {}
        while True:
            with _workers_alive():
                while len(flying) < ahead and not stopped() and (job := next(jobs, None)) is not None:
                    flying[executor.submit(block, job[1], folder, what)] = job[0]
            if not flying:
                break
            for future in wait(flying, timeout=0.5, return_when=FIRST_COMPLETED).done:
                with _workers_alive():
                    found = future.result()
                yield flying.pop(future), found
        if stopped():
            raise KeyboardInterrupt


@contextmanager
def _workers_alive() -> Iterator[None]:
    try:
        yield
    except (BrokenExecutor, CancelledError) as error:
        raise OSError(f"a worker has died ({str(error) or type(error).__name__})") from error


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Whether an interrupt has come; the second is an exception at once."""
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)
    if threading.current_thread() is not threading.main_thread():       # signals come to the main thread alone
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


def warm() -> None:
    """Compile, or find in the cache, what points need, so that workers need not all do it.

    >>> warm()
    """
    head = {"kind": "slash", "lag": 1, "strength": 1.0, "noise": 0.1}
    tiny = {"rope": {"kind": "custom", "theta": [1.0]}, "run": {"length": 4, "samples": 2}}
    for table in ({**tiny, "head": head}, {**tiny, "head": {**head, "noise": 0.0, "sink": {"margin": 1.0}}}):
        measure(_case(table, Path("."), ()))


def plan(points: Grid, folder: Path, what: Layout, chunk: tuple[int, ...]) -> dict[str, Any]:
    """What computing the points would take, before any is: counts, bytes, and seconds on one core.

    The time is that of the first point that can be built, from the operations of its simulation
    (a product of 2 B T^2 / 2, and 4 ns for each score, a sample) and of its prediction; a factor of two either way.

    >>> from .grid import grid
    >>> one = grid({"rope": {"preset": "llama-3-8b"}, "run": {"length": 8},
    ...             "head": {"kind": "slash", "lag": 1, "strength": 1}})
    >>> plan(one, Path("."), layout(one, Path(".")), ())["points"]
    1
    """
    seconds = 0.0
    for n in range(points.size):
        try:
            seconds = _seconds(_case(points.tables(n), folder, what.lengths))
            break
        except RopesimError:
            continue
    size = math.prod(chunk)
    return {"points": points.size, "dims": dict(zip(points.dims, points.shape)),
            "chunks": math.prod(-(-n // step) for n, step in zip(points.shape, chunk)), "points_per_chunk": size,
            "quantities": list(what.quantities), "bytes": what.bytes * points.size,
            "bytes_per_chunk": what.bytes * size, "seconds_per_point": seconds, "seconds": seconds * points.size}


def _seconds(case: Any) -> float:
    """About how long one point takes on one core."""
    seen = min(case.window or case.length, case.length)
    scores = case.length * seen - seen * (seen - 1) / 2
    samples = case.run.samples if case.head.random else 1
    simulated = samples * scores * (4e-9 + 0.06e-9 * 2 * case.theta.size)
    return float(1e-3 + simulated + (0.05 + 1e-5 * case.length if case.head.random else 2e-7 * case.length))
