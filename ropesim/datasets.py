"""Results in memory: labelled Datasets of a sweep and of a single run, and what a store says beside its numbers."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .chunks import machine
from .grid import Grid, grid
from .point import Progress
from .predictions import Values
from .sweep import Block, Layout, block, layout, put

LAYOUT = 1         # of a store; a larger one is from a newer version


def attributes(tables: Mapping[str, Any]) -> dict[str, Any]:
    """What a store says about itself: the spec and its hash, versions, seed, machine.

    >>> attributes({"run": {"seed": 7}})["seed"]
    7
    """
    text = json.dumps(tables, sort_keys=True)
    return {"spec": text, "spec_hash": hashlib.sha256(text.encode()).hexdigest(), "version": __version__,
            "layout": LAYOUT, "seed": tables.get("run", {}).get("seed", 0),
            "platform": machine()}


def coordinates(points: Grid, what: Layout) -> dict[str, tuple[str, Any]]:
    """The swept values by field, and lags and keys where they are stored, each with its dimension.

    >>> coordinates(grid({"head": {}}), Layout(("received",), np.arange(2), 2, ()))
    {'key': ('key', array([0, 1]))}
    """
    found: dict[str, tuple[str, Any]] = {axis.field: (dim, axis.values) for dim, group in points.dims.items()
                                         for axis in group}
    found |= {"lag": ("lag", what.lags)} if "slash" in what.quantities else {}
    return found | ({"key": ("key", np.arange(what.length))} if "received" in what.quantities else {})


def dataset(tables: Mapping[str, Any], folder: Path, progress: Progress = iter) -> Any:
    """Every point of a spec computed here, as an xarray.Dataset; its dimensions are the swept fields.

    A point that fails is nan with its reason in `message`. Raises RopesimError where no point can be built.

    >>> spec = {"rope": {"preset": "llama-3-8b"}, "run": {"length": 8}, "head": {"kind": "slash", "lag": 1},
    ...         "sweep": {"head.strength": [0.0, 1.0]}}
    >>> dict(dataset(spec, Path(".")).sizes)
    {'head.strength': 2, 'lag': 8}
    """
    points = grid(tables)
    what = layout(points, folder)
    blocks = [block([points.tables(n)], folder, what) for n in progress(range(points.size))]
    values = {name: np.concatenate([one.values[name] for one in blocks]) for name in what.names}
    return _labelled(points, what, Block(values, [one.messages[0] for one in blocks]), tables)


def one(values: Values, tables: Mapping[str, Any]) -> Any:
    """The values of a single run as an xarray.Dataset without swept dimensions.

    >>> one({"slash_predicted": np.ones(2)}, {})["slash_predicted"].dims
    ('lag',)
    """
    length = max((v.size for v in values.values() if v.ndim), default=0)
    asked = tables.get("run", {}).get("lags") or range(length)
    quantities = tuple(dict.fromkeys(name.split("_")[0] for name in values))
    what = Layout(quantities, np.array(asked, dtype=np.int64), length, ())
    rows = {name: np.full((1, *what.sizes(name)), np.nan) for name in values}
    for name, value in values.items():
        put(rows[name], [0], value[None], what, name)
    return _labelled(Grid({}, tables), what, Block(rows, [""]), tables)


def _labelled(points: Grid, what: Layout, found: Block, tables: Mapping[str, Any]) -> Any:
    import xarray
    variables: dict[str, Any] = {name: ([*points.dims, *what.ends(name)],
                                        rows.reshape((*points.shape, *rows.shape[1:])))
                                 for name, rows in found.values.items()}
    variables["done"] = ([*points.dims], np.ones(points.shape, dtype=np.uint8))
    variables["message"] = ([*points.dims], np.array(found.messages, dtype=object).reshape(points.shape))
    return xarray.Dataset(variables, coordinates(points, what), attrs=attributes(tables))
