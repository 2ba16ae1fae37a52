"""Stores of sweeps made by hand: known numbers, nothing computed. Imports nothing of ours."""

import json

import numpy as np
import xarray

KINDS = ("predicted", "error", "simulated", "stderr")


def store(swept, quantities=("sink",), *, lags=(0, 3, 7), keys=4, spec=None, fields=None):
    """A Dataset as a sweep leaves it. swept: dim -> values; fields: name -> (dim, values) of zipped fields.

    Values are 1, 2, 3, ... in the order of the array, divided by 100; simulations are 1 % larger,
    errors 0.001 and standard errors 0.0002.
    """
    shape = tuple(len(values) for values in swept.values())
    ends = {"slash": ("lag", list(lags)), "received": ("key", list(range(keys)))}
    variables, coordinates = {}, {dim: (dim, values) for dim, values in swept.items() if values != [None] * len(values)}
    coordinates |= fields or {}
    for name in quantities:
        end, along = ends.get(name, (None, []))
        dims = [*swept, *([end] if end else [])]
        full = shape + ((len(along),) if end else ())
        middle = (1 + np.arange(np.prod(full, dtype=int)).reshape(full)) / 100
        parts = (middle, np.full(full, 0.001), middle * 1.01, np.full(full, 0.0002))
        variables |= {f"{name}_{kind}": (dims, part) for kind, part in zip(KINDS, parts)}
        coordinates |= {end: (end, along)} if end else {}
    variables["done"] = (list(swept), np.ones(shape, dtype=np.uint8))
    variables["message"] = (list(swept), np.full(shape, "", dtype=object))
    spec = spec or {"head": {"kind": "slash"}, "rope": {"preset": "llama-3-8b"}, "run": {"length": 64}}
    return xarray.Dataset(variables, coordinates, attrs={"spec": json.dumps(spec), "seed": 0})


def spoil(results, place, message=""):
    """The store with one point missing, or failed with a message."""
    for name, table in results.data_vars.items():
        if name.endswith(KINDS):
            table.values[place] = np.nan
    results.done.values[place] = 0
    results.message.values[place] = message
    return results
