"""Studies of depth from TOML: a [stack], a [chain] and how often each is drawn, checked field by field."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from .compare import Study
from .errors import RopesimError, known, table, whole
from .stacks import Chain, Rows, Stack

TABLES: dict[str, Any] = {"stack": Stack, "rows": Rows, "chain": Chain}
RUN = {"samples": 32, "sequences": 32, "seed": 0}         # least of each: 5 standard errors of fewer hold too little


def read(path: str | None) -> Study:
    """The study of a TOML file; without one the defaults of `stacks.Stack` and `stacks.Chain`.

    [stack], [stack.rows] and [chain] hold the fields of `stacks`, [run] samples, sequences and seed. A file with one of
    [stack] and [chain] is about that one. Raises RopesimError for anything else.

    >>> read(None).stack.layers
    8
    """
    if path is None:
        return Study()
    if not path.endswith(".toml"):
        raise RopesimError("STUDY", path, "use a file that ends in .toml")
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RopesimError("STUDY", path, f"use a file that can be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise RopesimError("STUDY", path, f"use valid TOML ({error})") from None
    return study(tables)


def study(tables: dict[str, Any]) -> Study:
    """The study that plain tables describe. Raises RopesimError naming the field.

    >>> study({"chain": {"mean": 0.0}}).stack is None
    True
    """
    known("", tables, ["stack", "chain", "run"])
    given = {name: table(name, tables[name]) for name in tables}
    run = given.get("run", {})
    known("run.", run, list(RUN))
    often: dict[str, Any] = {name: whole(f"run.{name}", value, least=RUN[name]) for name, value in run.items()}
    found = Study(**often)
    if "stack" not in given and "chain" not in given:
        return found
    stack = dict(given.get("stack", {}))
    if "rows" in stack:
        stack["rows"] = _made("stack.rows", Rows, table("stack.rows", stack["rows"]))
    return found._replace(stack=_made("stack", Stack, stack) if "stack" in given else None,
                          chain=_made("chain", Chain, given["chain"]) if "chain" in given else None)


def _made(name: str, kind: Any, given: dict[str, Any]) -> Any:
    known(f"{name}.", given, [field.name for field in fields(kind)])
    try:
        return kind(**{field: tuple(value) if isinstance(value, list) else value for field, value in given.items()})
    except RopesimError as error:
        raise RopesimError(f"{name}.{error.name}", error.value, error.remedy) from None
    except TypeError:
        raise RopesimError(name, given, "use a number, a word or a list as its field asks") from None


def described() -> str:
    """The fields of a study and their defaults, by table, as text.

    >>> described().splitlines()[0]
    '[stack]'
    """
    lines = []
    for title, kind in (("[stack]", Stack), ("[stack.rows]", Rows), ("[chain]", Chain)):
        lines.append(title)
        lines += [f"  {field.name} = {getattr(kind(), field.name)!r}" for field in fields(kind) if field.name != "rows"]
    lines += ["[run]", *(f"  {name} = {getattr(Study(), name)}" for name in RUN)]
    return "\n".join(lines)
