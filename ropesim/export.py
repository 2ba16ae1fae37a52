"""A store in a file for other programs: CSV, netCDF, Parquet. Extra `export`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .errors import RopesimError
from .views import ENDS, blocks

ROWS = 1 << 16                  # of a table that are in memory at one time


def write(results: Any, path: Path) -> None:
    """Write all of a store to a file, by its ending: .csv, .parquet or .nc. The file is whole or absent.

    CSV and Parquet: a long table, one row a point and lag (or key), with columns for the dims, their
    fields and the variables, every digit kept. A single number of a point is repeated in each of its
    rows; a store with lags and keys has first the rows of its lags, then those of its keys, with the
    other's columns empty. netCDF: the store as it is. Raises RopesimError for another ending, and for
    a library that is not installed.

    >>> import tempfile, xarray
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(xarray.Dataset({"y": ("x", [0.5, 0.1])}, {"x": [1, 2]}), Path(folder) / "a.csv")
    ...     (Path(folder) / "a.csv").read_text().split()
    ['x,y', '1,0.5', '2,0.1']
    """
    if path.suffix not in WRITERS:
        raise RopesimError("--out", str(path), f"use a name that ends in {', '.join(WRITERS)}")
    beside = path.with_name(f".{path.name}.part")
    try:
        WRITERS[path.suffix](results, beside)
        beside.replace(path)
    except ImportError as error:
        raise RopesimError("--out", str(path), f"{error.name or 'h5py'} is not installed: python -m pip install "
                           f"{LIBRARIES[path.suffix]}") from None
    finally:
        beside.unlink(missing_ok=True)


def frames(results: Any, rows: int = ROWS) -> Iterator[Any]:
    """The long table of a store as pandas.DataFrames of the same columns, about `rows` rows at a time.

    >>> import xarray
    >>> [len(part) for part in frames(xarray.Dataset({"y": ("x", [0.5, 0.1, 0.2])}), 2)]
    [2, 1]
    """
    swept = [dim for dim in results.sizes if dim not in ENDS]
    ends = [[end] for end in ENDS if end in results.sizes] or [[]]
    others = [name for name in results.coords if name not in results.sizes]
    names = [*swept, *(end for group in ends for end in group), *others, *results.data_vars]
    for end in ends:
        part = results.drop_dims([other for other in ENDS if other in results.sizes and other not in end])
        for block in blocks(max(part.data_vars.values(), key=lambda table: table.size), rows):
            table = part.isel(block) if part.sizes else part.expand_dims("point")
            frame = table.to_dataframe(dim_order=[*swept, *end] or None).reset_index(drop=not part.sizes)
            if len(ends) > 1:                        # whole numbers that may be absent
                frame = frame.reindex(columns=names).astype(dict.fromkeys(ENDS, "Int64"))
            yield frame[names]


def _csv(results: Any, path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        for n, frame in enumerate(frames(results)):
            frame.to_csv(file, index=False, header=n == 0, lineterminator="\n")


def _parquet(results: Any, path: Path) -> None:
    import pyarrow
    from pyarrow import parquet
    attrs = {name: json.dumps(value) for name, value in results.attrs.items()}
    writer = None
    try:
        for frame in frames(results):
            if writer is None:
                schema = pyarrow.Schema.from_pandas(frame, preserve_index=False)
                schema = schema.with_metadata({**(schema.metadata or {}), **attrs})
                writer = parquet.ParquetWriter(path, schema)
            writer.write_table(pyarrow.Table.from_pandas(frame, schema=schema, preserve_index=False))
    finally:
        if writer is not None:
            writer.close()


def _netcdf(results: Any, path: Path) -> None:
    import h5netcdf  # noqa: F401
    attrs = {name: value if isinstance(value, int | float | str) else json.dumps(value)
             for name, value in results.attrs.items()}
    results.drop_encoding().assign_attrs(attrs).to_netcdf(path, engine="h5netcdf")


LIBRARIES = {".csv": "pandas", ".parquet": "pandas pyarrow", ".nc": "h5netcdf h5py"}    # the extra `export`
WRITERS: dict[str, Callable[[Any, Path], None]] = {".csv": _csv, ".parquet": _parquet, ".nc": _netcdf}
