"""Stores: labelled results as zarr, written chunk by chunk so that a sweep can be killed at any moment and resumed.

A chunk is whole or absent: its `done` is written last. One process writes, and holds a lock on the folder that
the system drops when it dies. All chunks carry checksums.
"""

import fcntl
import json
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from . import __version__
from .chunks import Computed, chunked, regions, results
from .datasets import LAYOUT, attributes, coordinates
from .errors import RopesimError
from .grid import Grid, grid
from .point import Progress
from .sweep import Block, Layout, layout


class Counts(NamedTuple):
    """Points of a sweep: all of them, those computed now, and those that failed, now or before."""

    points: int
    computed: int
    failed: int


def run(tables: Mapping[str, Any], folder: Path, path: Path, *, executor: Executor | None = None, ahead: int = 4,
        chunk: int | None = None, overwrite: bool = False, progress: Progress = iter,
        warn: Callable[[str], None] = warnings.warn) -> Counts:
    """Compute a sweep into the store at `path`, or what is missing in it.

    executor: any of concurrent.futures, with at most `ahead` chunks in flight (None: here, one by one);
    chunk: most points of one, for a new store. A point that fails is nan with its reason in `message`;
    warn is told of a host whose values are not those of the store's platform to the last bit.
    Raises RopesimError for bad input, for a store of another spec or version (unless overwrite), for a damaged
    one, and while another process writes to it. After an interrupt or a fault the same call resumes.

    >>> spec = {"rope": {"preset": "llama-3-8b"}, "run": {"length": 8}, "head": {"kind": "slash", "lag": 1},
    ...         "sweep": {"head.strength": [0.0, 1.0]}}
    >>> with tempfile.TemporaryDirectory() as place:
    ...     run(spec, Path("."), Path(place) / "a.zarr"), run(spec, Path("."), Path(place) / "a.zarr").computed
    (Counts(points=2, computed=2, failed=0), 0)
    """
    points = grid(tables)
    what = layout(points, folder)
    with _Lock(path, overwrite) as lock:
        if lock.new:
            _create(lock.place, tables, points, what, chunked(points, what, chunk))
            lock.publish()
        store = _open(path, tables, points, what)
        wanted = _pending(store, path, [*what.names, "message"])
        computed = 0
        with closing(results(points, folder, what, wanted, executor, ahead)) as chunks:
            for region, found in _shown(_compared(chunks, path, warn), len(wanted), progress):
                _write(store, path, region, found)
                computed += len(found.messages)
        failed = sum(message != "" for message in _read(store, "message", (...,), path).ravel().tolist())
    return Counts(points.size, computed, failed)


def _compared(chunks: Iterator[tuple[tuple[slice, ...], Computed]], path: Path,
              warn: Callable[[str], None]) -> Iterator[tuple[tuple[slice, ...], Block]]:
    """The blocks; each host whose machine is not that of the store is told of once."""
    mine = json.loads((path / ".zattrs").read_text(encoding="utf-8"))["platform"]
    told = set()
    for region, found in chunks:
        if found.machine != mine and found.host not in told:
            told.add(found.host)
            warn(f"{path}: not all values come from one kind of machine and agree to 1e-12 only; {found.host} has "
                 f"{found.machine}, the store says {mine}")
        yield region, found.block


def _shown(chunks: Any, count: int, progress: Progress) -> Any:
    for _, chunk in zip(progress(range(count)), chunks):
        yield chunk


class _Lock:
    """The folder of a store, new or old, held against other processes for as long as this one lives."""

    def __init__(self, path: Path, overwrite: bool) -> None:
        self.path, self.overwrite, self.new = path, overwrite, overwrite or not path.exists()
        self.place = path.with_name(f".{path.name}.new") if self.new else path
        self.held: list[int] = []

    def __enter__(self) -> "_Lock":
        if self.path.exists() and not is_store(self.path):
            raise RopesimError("store", str(self.path), "choose another name, this is none of ours and stays as it is")
        try:
            if self.new:
                self.place.mkdir(parents=True, exist_ok=True)
                self._hold(self.place)
            if self.path.exists():                         # also where it has come to be since
                self._hold(self.path)
                if self.new and not self.overwrite:
                    self._busy()
        except BaseException:
            self.__exit__()
            raise
        for left in (self._old, *([] if self.new else [self.path.with_name(f".{self.path.name}.new")])):
            shutil.rmtree(left, ignore_errors=True)        # by a process that died: who has the lock is alone
        if self.new:
            _empty(self.place)
        return self

    def __exit__(self, *_: Any) -> None:
        if self.new and self.place != self.path and self.held:         # ours, and not published
            shutil.rmtree(self.place, ignore_errors=True)
        for handle in self.held:
            os.close(handle)
        self.held.clear()

    @property
    def _old(self) -> Path:
        return self.path.with_name(f".{self.path.name}.old")

    def _busy(self) -> NoReturn:
        raise RopesimError("store", str(self.path), "wait, another process is writing to it")

    def _hold(self, place: Path) -> None:
        """Lock a folder; one that another process has, or puts elsewhere meanwhile, is refused."""
        try:
            handle = os.open(place, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(handle), os.stat(place)):
                    self._busy()
            except BaseException:
                os.close(handle)
                raise
        except (BlockingIOError, FileNotFoundError):
            self._busy()
        self.held.append(handle)

    def publish(self) -> None:
        """Put the new store in the place of the old one."""
        if self.path.exists():
            self.path.rename(self._old)
        self.place.rename(self.path)
        self.place = self.path
        shutil.rmtree(self._old, ignore_errors=True)


def _empty(folder: Path) -> None:
    for inner in folder.iterdir():
        if inner.is_dir():
            shutil.rmtree(inner)
        else:
            inner.unlink()


def _create(place: Path, tables: Mapping[str, Any], points: Grid, what: Layout, chunk: tuple[int, ...]) -> None:
    import numcodecs
    import zarr
    beside = " ".join(name for name, (dim, _) in coordinates(points, what).items() if name != dim)
    group = zarr.create_group(str(place), zarr_format=2, attributes=attributes(tables) | (
        {"coordinates": beside} if beside else {}))                # xarray's mark of one that is not named like its dim
    options: dict[str, Any] = {"compressors": numcodecs.Zstd(level=3, checksum=True),
                               "config": {"write_empty_chunks": True}}

    def array(name: str, dims: list[str], shape: tuple[int, ...], chunks: tuple[int, ...], dtype: Any,
              fill: float | None = None) -> Any:
        return group.create_array(name, shape=shape, chunks=tuple(max(n, 1) for n in chunks), dtype=dtype,
                                  fill_value=fill, attributes={"_ARRAY_DIMENSIONS": dims}, **options)
    for name, (dim, values) in coordinates(points, what).items():
        numbers = np.asarray(values)
        if numbers.dtype.kind == "U":
            array(name, [dim], numbers.shape, numbers.shape, str)[...] = numbers.astype(object)
        else:
            array(name, [dim], numbers.shape, numbers.shape, numbers.dtype)[...] = numbers
    for name in what.names:
        sizes = what.sizes(name)
        array(name, [*points.dims, *what.ends(name)], points.shape + sizes, chunk + sizes, "f8", float("nan"))
    array("message", [*points.dims], points.shape, chunk, str)
    array("done", [*points.dims], points.shape, chunk, "u1")
    zarr.consolidate_metadata(str(place))


def _open(path: Path, tables: Mapping[str, Any], points: Grid, what: Layout) -> dict[str, Any]:
    """The arrays of the store, if it is that of this spec and can be trusted."""
    import zarr
    try:
        found = json.loads((path / ".zattrs").read_text(encoding="utf-8"))
        known = {name: found[name] for name in ("layout", "spec", "spec_hash", "version", "platform")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f".zattrs: {error}") from None
    mine = attributes(tables)
    if (known["layout"], known["version"]) != (LAYOUT, __version__):
        raise RopesimError("store", str(path), f"choose another or add --overwrite, ropesim {known['version']} wrote "
                                               f"it in layout {known['layout']}, this is {__version__} with {LAYOUT}")
    if (known["spec"], known["spec_hash"]) != (mine["spec"], mine["spec_hash"]):
        raise RopesimError("store", str(path), "holds something else; choose another store or add --overwrite")
    try:
        whole = json.loads((path / ".zmetadata").read_text(encoding="utf-8"))["metadata"]
        for name, content in whole.items():
            if json.loads((path / name).read_text(encoding="utf-8")) != content:
                raise ValueError(f"{name} differs from .zmetadata")
        group: Any = zarr.open_group(str(path), mode="r", zarr_format=2, use_consolidated=False)
        store: dict[str, Any] = {name: group[name] for name in
                                 (*coordinates(points, what), *what.names, "message", "done")}
        done = store["done"]
        if done.shape != points.shape or done.attrs["_ARRAY_DIMENSIONS"] != [*points.dims]:
            raise ValueError(f"done has the shape {done.shape} along {done.attrs['_ARRAY_DIMENSIONS']}")
        for name in [*what.names, "message"]:
            sizes = what.sizes(name) if name != "message" else ()
            if (store[name].shape, store[name].chunks) != (done.shape + sizes, done.chunks + sizes):
                raise ValueError(f"{name} has the shape {store[name].shape} in chunks {store[name].chunks}")
        for name, (_, values) in coordinates(points, what).items():
            if repr(store[name][...].tolist()) != repr(np.asarray(values).tolist()):      # nan is itself here
                raise ValueError(f"the values of {name} are others")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise _damaged(path, str(error)) from None
    return store


def _damaged(path: Path, reason: str) -> RopesimError:
    return RopesimError("store", str(path), f"choose another or add --overwrite, its metadata is damaged ({reason})")


def _pending(store: dict[str, Any], path: Path, names: list[str]) -> list[tuple[slice, ...]]:
    """The chunks that are not done, after those that are have been checked; what a killed write left is removed."""
    for part in path.rglob("*.partial"):
        part.unlink()
    done, step = _read(store, "done", (...,), path), store["done"].chunks
    chunks = {name: store[name].chunks for name in names}
    wanted = []
    for region in regions(done.shape, step):
        if not done[region].all():
            wanted.append(region)
            continue
        for name in names:
            _check(path, name, region, chunks[name])
    return wanted


def _file(path: Path, name: str, region: tuple[slice, ...], chunk: tuple[int, ...]) -> str:
    """Where the chunk of a variable is; plain text, for a Path costs more than what is done with it."""
    corner = [part.start // size for part, size in zip(region, chunk)]
    return f"{path}/{name}/" + (".".join(map(str, [*corner, *[0] * (len(chunk) - len(corner))])) or "0")


def _check(path: Path, name: str, region: tuple[slice, ...], chunk: tuple[int, ...]) -> None:
    """Hold a chunk's file against its checksum and size: zarr takes ten times as long, and reads nan for none."""
    from numcodecs import Zstd
    size = None if name == "message" else 8 * math.prod(chunk)
    try:
        with open(_file(path, name, region, chunk), "rb") as file:
            found = len(Zstd().decode(file.read()))
        if found != (size or found):
            raise ValueError(f"{found} bytes for {size}")
    except (OSError, ValueError, RuntimeError) as error:
        raise _broken(path, name, region, str(error)) from None


def _read(store: dict[str, Any], name: str, region: Any, path: Path) -> np.ndarray:
    try:
        return np.asarray(store[name][region])
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise _broken(path, name, region, str(error)) from None


def _broken(path: Path, name: str, region: Any, reason: str) -> RopesimError:
    where = ", ".join(f"{part.start}:{part.stop}" if isinstance(part, slice) else "..." for part in region)
    return RopesimError("store", str(path), f"remove that chunk of {name} and of done, or add --overwrite: it is "
                                            f"damaged at [{where}] ({reason})")


def _write(store: dict[str, Any], path: Path, region: tuple[slice, ...], found: Block) -> None:
    """Write a chunk file by file, as zarr would and in a tenth of its time; `done` comes last."""
    shape = tuple(part.stop - part.start for part in region)
    done = {"message": np.array(found.messages, dtype=object), "done": np.ones(len(found.messages), dtype=np.uint8)}
    for name, rows in (found.values | done).items():
        array = store[name]
        values = rows.reshape((*shape, *rows.shape[1:]))
        if values.shape != array.chunks:                               # at the edge of the grid
            inner, values = values, np.full(array.chunks, {"message": "", "done": 0}.get(name, np.nan), rows.dtype)
            values[tuple(map(slice, shape))] = inner
        data: Any = values.ravel().astype(object if name == "message" else array.dtype, copy=False)
        for codec in (*array.filters, *array.compressors):
            data = codec.encode(data)
        _put(_file(path, name, region, array.chunks), data)


def _put(file: str, data: Any) -> None:
    """Write a file that is whole or absent."""
    beside = f"{file}.partial"
    try:
        with open(beside, "wb") as part:
            part.write(data)
        os.replace(beside, file)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def is_store(path: Path) -> bool:
    """Whether a path is a store of ours, readable or damaged.

    >>> is_store(Path("nowhere.zarr"))
    False
    """
    return path.is_dir() and (path / ".zgroup").exists() and (path / "done").is_dir()


def sizes(path: Path) -> dict[str, int]:
    """Entries along each dimension of a store.

    >>> from .datasets import one
    >>> with tempfile.TemporaryDirectory() as place:
    ...     save(one({"slash_predicted": np.ones(2)}, {}), Path(place) / "a.zarr")
    ...     sizes(Path(place) / "a.zarr")
    {'lag': 2}
    """
    import xarray
    with xarray.open_zarr(path) as found:
        return {str(name): int(size) for name, size in found.sizes.items()}


def save(found: Any, path: Path) -> None:
    """Write a Dataset as a zarr store that is either whole or absent: built beside, then renamed.

    >>> import xarray
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(xarray.Dataset({"x": ("lag", [1.0])}), Path(folder) / "a.zarr")
    ...     float(xarray.open_zarr(Path(folder) / "a.zarr").x[0])
    1.0
    """
    if path.is_file():
        raise RopesimError("store", str(path), "choose another name, this is a file")
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        found.to_zarr(beside / "new", mode="w", consolidated=True, zarr_format=2)
        if path.exists():
            path.rename(beside / "old")
        try:
            (beside / "new").rename(path)
        except BaseException:
            if (beside / "old").exists():
                (beside / "old").rename(path)
            raise
    finally:
        until = time.monotonic() + 10
        while beside.exists() and time.monotonic() < until:     # after a fault threads of zarr may write on
            shutil.rmtree(beside, ignore_errors=True)
