"""Sweeps: every point of a grid of specs, computed and given back as a labelled table.

A single run is a grid of one point without axes.
"""

import hashlib
import itertools
import json
import math
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import __version__
from .case import build, check_lags
from .errors import RopesimError
from .point import Progress, Values, measure
from .spec import dump, parse

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


def grid(tables: Mapping[str, Any]) -> tuple[dict[str, list[Axis]], list[dict[str, Any]]]:
    """The axes of a spec by dimension, and the tables of every point in row-major order.

    Raises RopesimError where axes that share a dim differ in length or a field cannot be set.

    >>> dims, points = grid({"head": {}, "sweep": {"head.noise": [0.0, 0.1]}})
    >>> list(dims), points
    (['head.noise'], [{'head': {'noise': 0.0}}, {'head': {'noise': 0.1}}])
    """
    given = tables.get("sweep", {})
    if not isinstance(given, dict) or (not given and "sweep" in tables):
        raise RopesimError("sweep", given, "use a table of dotted fields, at least one")
    dims: dict[str, list[Axis]] = {}
    for axis in axes(given):
        dims.setdefault(axis.dim, []).append(axis)
    for dim, group in dims.items():
        if dim in ("lag", "key", "done", "message") or not re.fullmatch(r"[\w.-]+", dim) or \
                any(axis.field == dim for other in dims.values() if other is not group for axis in other):
            raise RopesimError(f"sweep.{group[0].field}", dim, "use another dim, this one has a meaning of its own"
                               if dim else "use a dim of at least one letter")
        if len({len(axis.values) for axis in group}) > 1:
            raise RopesimError(f"sweep dim {dim}", [len(a.values) for a in group], "give its axes equal lengths")
    base = {name: table for name, table in tables.items() if name != "sweep"}
    count = math.prod(len(group[0].values) for group in dims.values())
    if count > MOST_POINTS:
        raise RopesimError("points of sweep", count, f"use at most {MOST_POINTS}")
    points = []
    for index in itertools.product(*(range(len(group[0].values)) for group in dims.values())):
        here = deepcopy(base)
        for i, group in zip(index, dims.values()):
            for axis in group:
                _set(here, axis.field, axis.values[i])
        points.append(here)
    return dims, points


def _set(tables: dict[str, Any], field: str, value: Any) -> None:
    *path, last = field.split(".")
    for part in path:
        tables = tables.setdefault(part, {})
        if not isinstance(tables, dict):
            raise RopesimError(f"sweep.{field}", value, f"{part} is no table; name a field as table.field")
    tables[last] = value


def dataset(tables: Mapping[str, Any], folder: Path, progress: Progress = iter) -> Any:
    """Every point of a spec computed, as an xarray.Dataset; its dimensions are the swept fields.

    A point that fails is nan with its reason in `message`; `done` is 1 where a point was computed.
    Raises RopesimError where every point fails.

    >>> spec = {"rope": {"preset": "llama-3-8b"}, "run": {"length": 8}, "head": {"kind": "slash", "lag": 1},
    ...         "sweep": {"head.strength": [0.0, 1.0]}}
    >>> dict(dataset(spec, Path(".")).sizes)
    {'head.strength': 2, 'lag': 8}
    """
    dims, points = grid(tables)
    lengths = [n for group in dims.values() for axis in group if axis.field == "run.length" for n in axis.values]
    results: list[Values] = []
    messages: list[str] = []
    failure: RopesimError | None = None
    for n in progress(range(len(points))):
        try:
            results.append(_point(points[n], folder, lengths))
            messages.append("")
        except RopesimError as error:
            failure = failure or error
            results.append({})
            messages.append(str(error))
    if failure and not any(results):
        raise failure
    return _labelled(dims, results, messages, tables)


def _point(tables: dict[str, Any], folder: Path, lengths: list[Any]) -> Values:
    spec = parse(tables)
    if lengths and spec.run.lags:                 # a lag beyond the length of some points only is padding there
        check_lags(spec.run.lags, max(n for n in lengths if isinstance(n, int)))
        spec = spec.model_copy(update={"run": spec.run.model_copy(update={"lags": []})})
    return measure(build(spec, folder))


def one(values: Values, tables: Mapping[str, Any]) -> Any:
    """The values of a single run as an xarray.Dataset without swept dimensions.

    >>> one({"slash_predicted": np.ones(2)}, {})["slash_predicted"].dims
    ('lag',)
    """
    return _labelled({}, [values], [""], tables)


def _labelled(dims: Mapping[str, list[Axis]], results: list[Values], messages: list[str],
              tables: Mapping[str, Any]) -> Any:
    import xarray

    shape = [len(group[0].values) for group in dims.values()]
    names = next(values for values in results if values)
    length = max((v.size for values in results for v in values.values() if v.ndim), default=0)
    lags = tables.get("run", {}).get("lags") or list(range(length))
    variables: dict[str, Any] = {}
    for name in names:
        ends = {"slash": "lag", "received": "key"}.get(name.split("_")[0])
        kept = np.array(lags) if ends == "lag" else np.arange(length)
        table = np.full((len(results), len(kept)) if ends else len(results), np.nan)
        for n, values in enumerate(results):
            if values and ends:
                inside = kept < values[name].size
                table[n, inside] = values[name][kept[inside]]
            elif values:
                table[n] = values[name]
        variables[name] = ([*dims, ends] if ends else [*dims], table.reshape((*shape, *table.shape[1:])))
    variables["done"] = ([*dims], np.array([bool(v) for v in results], dtype=np.uint8).reshape(shape))
    variables["message"] = ([*dims], np.array(messages, dtype=object).reshape(shape))
    coordinates: dict[str, Any] = {axis.field: (dim, axis.values) for dim, group in dims.items() for axis in group}
    coordinates |= {"lag": lags} if any(n.startswith("slash") for n in names) else {}
    coordinates |= {"key": np.arange(length)} if any(n.startswith("received") for n in names) else {}
    return xarray.Dataset(variables, coordinates, attrs=_attributes(tables))


def _attributes(tables: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(tables, sort_keys=True)
    return {"spec": text, "spec_hash": hashlib.sha256(text.encode()).hexdigest(), "version": __version__,
            "seed": tables.get("run", {}).get("seed", 0), "platform": f"{platform.system()} {platform.machine()}"}


def stored_spec(path: Path) -> dict[str, Any] | None:
    """The spec that a store was computed from, or None where there is no store of ours.

    >>> stored_spec(Path("nowhere.zarr"))
    """
    import xarray
    try:
        with xarray.open_zarr(path) as store:
            return dict(json.loads(store.attrs["spec"]))
    except (OSError, ValueError, KeyError):
        return None


def save(results: Any, path: Path) -> None:
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
        results.to_zarr(beside / "new", mode="w", consolidated=True, zarr_format=2)
        if path.exists():
            path.rename(beside / "old")
        try:
            (beside / "new").rename(path)
        except BaseException:
            if (beside / "old").exists():
                (beside / "old").rename(path)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def resolved(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a spec with every default written out; a sweep's stay as they are, below them.

    >>> resolved({"rope": {"preset": "llama-3-8b"}, "head": {"kind": "slash", "lag": 1, "strength": 1.0},
    ...           "run": {"length": 8}})["run"]["samples"]
    16
    """
    first = grid(tables)[1][0]
    if "sweep" not in tables:
        return dump(parse(first))
    return dict(tables)
