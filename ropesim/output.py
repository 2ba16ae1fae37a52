"""What the commands write: files that are whole or absent, and strict JSON."""

import json
import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from .errors import RopesimError


def check_parents(out: Path) -> None:
    """Raise RopesimError if a parent of this path is a file.

    >>> check_parents(Path("new") / "table.csv")
    """
    for parent in out.absolute().parents:
        if parent.exists() and not parent.is_dir():
            raise RopesimError("--out", str(out), f"choose another path, {parent} is a file")


def holds(out: Path, tables: dict[str, Any]) -> bool:
    """Whether the results in a folder are those of this spec: its spec.toml says the same.

    >>> holds(Path("nowhere"), {})
    False
    """
    try:
        found: dict[str, Any] = tomllib.loads((out / "spec.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return found == tables


def check_folder(out: Path, tables: dict[str, Any], names: Iterable[str], overwrite: bool) -> None:
    """Raise RopesimError where the results of this spec would go over those of another one, files of these names.

    >>> check_folder(Path("nowhere"), {}, ["table.csv"], overwrite=False)
    """
    check_parents(out)
    if not out.exists():
        return
    if not out.is_dir():
        raise RopesimError("--out", str(out), "use a folder, this is a file")
    if any((out / name).exists() for name in names) and not overwrite and not holds(out, tables):
        raise RopesimError("--out", str(out), "holds results of another spec; choose another folder or add --overwrite")


def replace(path: Path, content: bytes) -> None:
    """Write a file, or leave the old one if that fails: the content goes to a file beside it, which is then renamed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replace(Path(folder) / "a", b"new")
    ...     [(path.name, path.read_bytes()) for path in Path(folder).iterdir()]
    [('a', b'new')]
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def strict(value: Any) -> Any:
    """The value with every number that is not finite as None, for strict JSON.

    >>> strict({"z": [1.0, float("nan")]})
    {'z': [1.0, None]}
    """
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_json(value: Any) -> None:
    """Print a value as one line of strict JSON.

    >>> print_json({"error": float("inf")})
    {"error": null}
    """
    click.echo(json.dumps(strict(value), allow_nan=False))
