"""The chunks of a sweep: which points each holds, and computing them on any executor."""

import platform
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .grid import Grid
from .sweep import Block, Layout, block

BYTES = 1 << 26    # most bytes of a chunk by default
POINTS = 4096      # most points of a chunk by default
SECONDS = 4.0      # about how long a chunk takes by default
LIBRARIES = ("numpy", "scipy", "numba")


def chunked(points: Grid, what: Layout, most: int | None = None) -> tuple[int, ...]:
    """Points of a chunk along each dimension: whole rows of the last dimensions, at most `most` points.

    >>> from .grid import grid
    >>> spec = {"head": {}, "sweep": {"head.lag": [1, 2, 3], "head.noise": [0.0, 0.1]}}
    >>> chunked(grid(spec), Layout(("sink",), np.arange(8), 8, ()), 4)
    (2, 2)
    """
    usual = min(POINTS, BYTES // max(what.bytes, 1), int(SECONDS / max(what.seconds, 1e-9)), points.size // 8)
    left = most if most is not None else max(1, usual)
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


class Computed(NamedTuple):
    """A chunk, its arrays of length 1 along what has one value throughout, and where it was computed."""

    host: str
    machine: str
    block: Block


def computed(tables: list[dict[str, Any]], folder: Path, what: Layout) -> Computed:
    """What is sent to an executor: points, and the host and the machine that computed them.

    >>> computed([], Path("."), Layout(("sink",), np.arange(8), 8, ())).machine == machine()
    True
    """
    found = block(tables, folder, what)
    narrow = {name: rows[tuple(slice(None if step else 1) for step in rows.strides)]
              for name, rows in found.values.items()}              # what is repeated is not sent repeatedly
    return Computed(platform.node(), machine(), found._replace(values=narrow))


def _spread(found: Computed, what: Layout) -> Computed:
    """A chunk with every array at its full size again, in no more memory."""
    values = {name: np.broadcast_to(rows, (len(found.block.messages), *what.sizes(name)))
              for name, rows in found.block.values.items()}
    return found._replace(block=found.block._replace(values=values))


@cache
def machine() -> str:
    """All that the last bits of a number depend on: system, processor as BLAS sees it, versions.

    >>> machine().split()[0] == platform.system()
    True
    """
    import scipy.linalg  # noqa: F401: loads its BLAS, so that the answer does not depend on when it is asked for
    from threadpoolctl import threadpool_info
    kinds = {found.get("architecture") for found in threadpool_info() if found["user_api"] == "blas"} - {None}
    return " ".join([platform.system(), platform.machine(), *sorted(kinds), f"python {platform.python_version()}",
                     *(f"{name} {version(name)}" for name in LIBRARIES)])


def results(points: Grid, folder: Path, what: Layout, wanted: Iterable[tuple[slice, ...]], executor: Executor | None,
            ahead: int = 4) -> Generator[tuple[tuple[slice, ...], Computed], None, None]:
    """Chunks of a grid as they are finished; at most `ahead` are with the executor at any time.

    Without an executor they are computed here, one by one. An interrupt lets chunks in flight finish, gives
    them, and then is raised; a second one is raised at once. Raises OSError where the executor has died. Close it
    when it is left early: it stands between this process and its interrupts.

    >>> from .grid import grid
    >>> from .sweep import layout
    >>> points = grid({"rope": {"preset": "llama-3-8b"}, "run": {"length": 8},
    ...                "head": {"kind": "slash", "lag": 1, "strength": 1}, "sweep": {"head.lag": [1, 2, 3]}})
    >>> [region for region, _ in results(points, Path("."), layout(points, Path(".")), regions((3,), (2,)), None)]
    [(slice(0, 2, None),), (slice(2, 3, None),)]
    """
    jobs = ((region, points.part(region)) for region in wanted)
    with _interruptible() as stopped:
        if executor is None:
            for region, tables in jobs:
                yield region, _spread(computed(tables, folder, what), what)
                if stopped():
                    raise KeyboardInterrupt
            return
        flying: dict[Future[Computed], tuple[slice, ...]] = {}
        while True:
            with _workers_alive():
                while len(flying) < ahead and not stopped() and (job := next(jobs, None)) is not None:
                    flying[executor.submit(computed, job[1], folder, what)] = job[0]
            if not flying:
                break
            for future in wait(flying, timeout=0.5, return_when=FIRST_COMPLETED).done:
                with _workers_alive():
                    found = future.result()
                yield flying.pop(future), _spread(found, what)
        if stopped():
            raise KeyboardInterrupt


@contextmanager
def _workers_alive() -> Iterator[None]:
    try:
        yield
    except (BrokenExecutor, CancelledError) as error:
        raise OSError(f"lost the workers or their scheduler ({str(error) or type(error).__name__})") from error


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
