"""What one picture of a sweep shows: a quantity of a store along one dim or two, every other dim fixed."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import trainings
from .errors import RopesimError
from .spec import QUANTITIES

KINDS = ("predicted", "error", "simulated", "stderr")
ENDS = ("lag", "key")           # dims of a quantity, beside the swept ones


class Along(NamedTuple):
    """What stands along one axis of a picture, sorted: the name of a field, and its values."""

    name: str
    values: np.ndarray          # numbers, or strings


class View(NamedTuple):
    """The part of a store that one picture shows; arrays are float64[x, hue]."""

    quantity: str
    x: Along
    hue: Along | None           # None: one column
    fixed: dict[str, Any]       # the other dims, lag and key among them, by their values
    predicted: np.ndarray
    error: np.ndarray
    simulated: np.ndarray
    stderr: np.ndarray
    missing: int                # points shown that are not computed yet
    failed: int                 # points shown that failed
    about: str                  # the head, in a few words


def opened(path: Path) -> Any:
    """A store as a lazy xarray.Dataset. Raises RopesimError for what is no store of ours.

    >>> opened(Path("nowhere.zarr"))
    Traceback (most recent call last):
    ropesim.errors.RopesimError: STORE = 'nowhere.zarr': use the store of a sweep, there is nothing here
    """
    import xarray
    if not path.exists():
        raise RopesimError("STORE", str(path), "use the store of a sweep, there is nothing here")
    try:
        with warnings.catch_warnings():             # metadata that are not consolidated are as good
            warnings.simplefilter("ignore")
            results = xarray.open_zarr(path, chunks=None)
        if not isinstance(json.loads(results.attrs["spec"]), dict) or not {"done", "message"} <= set(results):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise RopesimError("STORE", str(path), "use the store of a sweep (NAME.zarr), this is none") from None
    if results.done.dtype.kind == "f":              # 0 stood for "not written", and came back as nan
        results["done"] = results.done.fillna(0).astype("uint8")
    return results


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """While something is read: a chunk that is damaged becomes a RopesimError.

    >>> with readable(Path("a.zarr")):
    ...     raise RuntimeError("error during decompression")
    Traceback (most recent call last):
    ropesim.errors.RopesimError: STORE = 'a.zarr': compute it again, it is damaged (error during decompression)
    """
    try:
        yield
    except RopesimError:
        raise
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        words = " ".join(str(error).split())[:200]
        raise RopesimError("STORE", str(path), f"compute it again, it is damaged ({words})") from None


def quantities(results: Any) -> list[str]:
    """The quantities that a store holds: those of a head in the order of a spec, or those of a training.

    >>> import xarray
    >>> quantities(xarray.Dataset({"sink_predicted": 0.5, "slash_predicted": ("lag", [0.5])}))
    ['slash', 'sink']
    """
    return [name for name in (*QUANTITIES, *trainings.QUANTITIES) if f"{name}_predicted" in results]


def unfinished(results: Any, at: Mapping[str, int] = {}) -> tuple[int, int]:
    """How many points are missing, and how many failed, among those at the given places of some dims.

    >>> import xarray
    >>> both = {"done": ("x", [1, 0, 0]), "message": ("x", ["", "", "too long"])}
    >>> unfinished(xarray.Dataset(both))
    (1, 1)
    """
    part = results[["done", "message"]].isel({dim: place for dim, place in at.items() if dim in results.done.dims})
    failed = np.array([isinstance(text, str) and text != "" for text in part.message.values.ravel()], dtype=bool)
    missing = ~(part.done.values.ravel() > 0) & ~failed
    return int(missing.sum()), int(failed.sum())


def view(results: Any, *, x: str | None = None, y: str | None = None, hue: str | None = None,
         at: Sequence[tuple[str, str]] = (), heat: bool = False) -> View:
    """The part of a store that a picture shows.

    x, hue: a dim, or a field that runs along one; by default the first and the second swept dim of
    more than one value. y: a quantity (by default slash, else the first one), or with heat the dim
    that goes upwards. at: (name, value) of the dims to fix. Those of size 1 need no value, and a
    lag that is not given is the one with the largest predicted score in the picture. Raises
    RopesimError for a name or a value that is not there, for a dim left open, and where no value
    is finite.

    >>> import xarray
    >>> one = xarray.Dataset({f"sink_{kind}": ("head.lag", [0.5, 0.25]) for kind in KINDS} | {
    ...     "done": ("head.lag", [1, 1]), "message": ("head.lag", ["", ""])}, {"head.lag": [3, 2]})
    >>> view(one).x, view(one).predicted.ravel()
    (Along(name='head.lag', values=array([2, 3])), array([0.25, 0.5 ]))
    """
    if heat and hue is None and y not in quantities(results) and y in {*results.dims, *results.coords}:
        y, hue = None, y
    quantity = _quantity(results, y, heat)
    table = results[f"{quantity}_predicted"]
    places = _fixed(results, table, at)
    shown = _axes(results, table, (("--x", x), ("--y" if heat else "--hue", hue)), places)
    if heat and len(shown) == 1:
        raise RopesimError("--map", shown[0], "give a second dim of more than one value, or leave out --map for lines")
    dims = [_dim(results, table, "", name) for name in shown]
    rest = [str(dim) for dim in table.dims if dim not in dims and dim not in places]
    places |= {dim: 0 for dim in rest if table.sizes[dim] == 1}
    rest = [dim for dim in rest if dim not in places]
    if rest == ["lag"]:
        places["lag"], rest = _top_lag(table.isel(places)), []
    if rest:
        raise RopesimError(rest[0], _listed(_values(results, rest[0], rest[0])[1]),
                           f"fix it with --at {rest[0]}=VALUE, or draw along it with --x or --hue")
    return _filled(results, quantity, list(zip(dims, shown)), places)


def _quantity(results: Any, y: str | None, heat: bool) -> str:
    known = quantities(results)
    if not known:
        raise RopesimError("--y", y, "use the store of a sweep, this one holds no quantity")
    if y is not None and y not in known:
        dims = [str(dim) for dim in results.sizes] if heat else []
        what = f"{', '.join(known)}" + (f", or a dim, {', '.join(dims)}" if dims else "")
        raise RopesimError("--y", y, f"use a quantity of this store, {what}" + _close(y, known + dims))
    return y or known[0]


def _dim(results: Any, table: Any, option: str, name: str) -> str:
    """The dim of a quantity that a name means: its own, or the one that a coordinate of this name runs along."""
    if name in table.dims:
        return name
    if name in results.coords and results[name].ndim == 1 and results[name].dims[0] in table.dims:
        return str(results[name].dims[0])
    known = [str(dim) for dim in table.dims] + [str(c) for c in table.coords if c not in table.dims]
    raise RopesimError(option, name, f"use a dim of {table.name}: {', '.join(known) or 'it has none'}"
                       + _close(name, known))


def _values(results: Any, dim: str, name: str) -> tuple[str, np.ndarray]:
    """The values of a field along a dim; of a dim without any, those of its first field, or places 0, 1, ..."""
    if name not in results.coords:
        name = str(next((field for field in results.coords if results[field].dims == (dim,)), name))
    found = results[name].values if name in results.coords else np.arange(results.sizes[dim])
    return name, found if found.dtype.kind in "iuf" else np.array([str(value) for value in found.tolist()])


def _fixed(results: Any, table: Any, at: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The places that names and values mean, by dim."""
    places: dict[str, int] = {}
    for name, value in at:
        dim = _dim(results, table, "--at", name)
        if dim in places:
            raise RopesimError("--at", f"{name}={value}", f"give one value for {dim}")
        places[dim] = _place(results, dim, name, value)
    return places


def _place(results: Any, dim: str, name: str, value: str) -> int:
    """The place of the one value along a dim that is the given one."""
    _, found = _values(results, dim, name)
    try:
        same = found == value if found.dtype.kind == "U" else np.isclose(found, float(value), rtol=1e-9, atol=0)
    except ValueError:
        same = np.zeros(len(found), dtype=bool)
    if same.sum() == 1:
        return int(same.argmax())
    remedy = f"use one of {_listed(found)}"
    if same.any():
        remedy = f"{same.sum()} points have it, so fix another field of them"
    raise RopesimError(f"--at {name}", value, remedy)


def _axes(results: Any, table: Any, given: Sequence[tuple[str, str | None]], fixed: Iterable[str]) -> list[str]:
    """The names along x and hue, given with their options or chosen."""
    taken = set(fixed)
    for option, name in given:
        if name is not None:
            dim = _dim(results, table, option, name)
            if dim in taken:
                raise RopesimError(option, name, f"use another dim, {dim} is fixed or drawn along already")
            taken.add(dim)
    free = [str(dim) for dim, size in table.sizes.items() if size > 1 and dim not in taken]
    swept = [dim for dim in free if dim not in ENDS]
    (_, x), (_, hue) = given
    if x is None:
        if not free:
            raise RopesimError("--x", None, "no dim of more than one value is left to draw along; ropesim run without "
                               "--out prints a single point")
        x = swept.pop(0) if swept else free[0]
    return [x, *([hue] if hue is not None else swept[:1])]


def _top_lag(table: Any) -> int:
    """The place of the largest value along lag, read block by block."""
    best = np.full(table.sizes["lag"], -np.inf)
    for block in blocks(table):
        values = table.isel(block).transpose("lag", ...).values.reshape(len(best), -1)
        best = np.fmax(best, np.fmax.reduce(values, axis=1, initial=-np.inf))
    return int(best.argmax())


def blocks(table: Any, most: int = 1 << 22) -> Iterator[dict[str, slice]]:
    """Parts of a Dataset or DataArray that follow its chunks along its first dim, of about `most` numbers.

    >>> import xarray
    >>> list(blocks(xarray.DataArray(np.zeros((5, 4)), dims=("a", "b")), 8))
    [{'a': slice(0, 2, None)}, {'a': slice(2, 4, None)}, {'a': slice(4, 6, None)}]
    """
    first = next((dim for dim in table.sizes if dim not in ENDS), None)
    if first is None:
        yield {}
        return
    chunk = table.encoding.get("preferred_chunks", {}).get(first, 1)
    each = max(1, int(np.prod([size for dim, size in table.sizes.items() if dim != first])))
    step = max(1, most // each // chunk) * chunk
    for start in range(0, table.sizes[first], step):
        yield {first: slice(start, start + step)}


def _filled(results: Any, quantity: str, shown: list[tuple[str, str]], places: dict[str, int]) -> View:
    """The view along the shown (dim, name), at the places of the other dims."""
    axes = [Along(*_values(results, dim, name)) for dim, name in shown]
    order = [np.arange(len(values)) if values.dtype.kind == "U" else np.argsort(values, kind="stable")
             for _, values in axes]
    parts = {kind: results[f"{quantity}_{kind}"].isel(places).transpose(*(dim for dim, _ in shown)).values
             [np.ix_(*order)].reshape(len(order[0]), -1) for kind in KINDS}
    missing, failed = unfinished(results, places)
    if not np.isfinite([parts["predicted"], parts["simulated"]]).any():
        raise RopesimError("--y", quantity, "draw something else, no value of it is finite here; of these points "
                           f"{missing} are missing and {failed} failed")
    sorted_axes = [Along(name, values[rank]) for (name, values), rank in zip(axes, order)]
    fixed = dict((name, values[place].item()) for dim, place in places.items()
                 for name, values in [_values(results, dim, dim)])
    return View(quantity, sorted_axes[0], sorted_axes[1] if len(axes) > 1 else None, fixed, **parts, missing=missing,
                failed=failed, about=about(results))


def about(results: Any) -> str:
    """The head of a store, or its training, in a few words, without what is swept.

    >>> import xarray
    >>> about(xarray.Dataset(attrs={"spec": '{"head": {"kind": "slash"}, "rope": {"preset": "llama-3-8b"}}'}))
    'slash head, llama-3-8b'
    """
    spec = json.loads(results.attrs.get("spec", "{}"))
    swept = spec.get("sweep", {})
    head, rope, run, train = (spec.get(name, {}) for name in ("head", "rope", "run", "train"))
    task = [f"{letter} = {train[name]}" for name, letter in (("classes", "K"), ("length", "N"), ("lag", "lag"))
            if name in train and f"train.{name}" not in swept]
    words = [f"{head['kind']} head" if "kind" in head and "head.kind" not in swept else "",
             rope.get("preset", "") if "rope.preset" not in swept else "",
             f"{run['length']} tokens" if "length" in run and "run.length" not in swept else "",
             f"{train['kind']} training" if "kind" in train else "", *task]
    return ", ".join(word for word in words if word)


def _listed(values: Iterable[Any]) -> str:
    words = [f"{value:.12g}" if isinstance(value, float) else str(value) for value in np.asarray(values).tolist()]
    return ", ".join(words if len(words) <= 8 else [*words[:6], "...", words[-1]])


def _close(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""
