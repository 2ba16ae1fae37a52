"""A spec: one head described in TOML, checked field by field.

`read` gives the tables of a file or of a shipped example, `parse` checks them; `case.build` makes
the frequencies and the ensemble. Only this module and those above it know the bundle.
"""

import os
import re
import tomllib
from difflib import get_close_matches
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from .errors import RopesimError

LONGEST = 1 << 24
LARGEST = 1e30        # of a number that multiplies logits: products of all of them stay within float64
SMALLEST = 1e-30      # of run.scale, which divides
Quantity = Literal["slash", "sink", "entropy", "participation", "received"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
Whole = Annotated[int, Field(strict=True)]
Size = Annotated[int, Field(strict=True, le=LONGEST)]
Real = Annotated[FiniteFloat, Field(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[FiniteFloat, Field(ge=0, le=LARGEST)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Correlation = Annotated[FiniteFloat, Field(ge=-1, le=1)]
Frequency = Annotated[FiniteFloat, Field(gt=-2.0 ** 64, lt=2.0 ** 64)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), ser_json_inf_nan="constants")


class Rope(_Table):
    """Frequency bands: exactly one of preset, kind and config."""

    preset: str | None = None
    kind: Literal["geometric", "half-dft", "random", "custom"] | None = None
    config: str | None = None                       # a Hugging Face config.json
    layer_type: str | None = None                   # with config
    base: FiniteFloat | None = None                 # with preset: overrides it
    head_dim: Size | None = None
    rotary_dim: Whole | None = None
    scaling: dict[str, Any] | None = None
    context: Whole | None = None
    pairs: Size | None = None                       # half-dft, random
    seed: Annotated[Whole, Field(ge=0)] | None = None           # random
    theta: list[Frequency] | None = None            # custom

    @cached_property
    def text(self) -> str:
        """What it says, as JSON: a key for what is made of it."""
        return self.model_dump_json(exclude_none=True)


FIELDS_OF_ROPE = {                                   # what goes with each way to give the bands: required, optional
    "preset": ((), ("base",)),
    "config": ((), ("layer_type",)),
    "geometric": (("head_dim", "base"), ("rotary_dim", "scaling", "context")),
    "half-dft": (("pairs",), ()),
    "random": (("pairs",), ("seed",)),
    "custom": (("theta",), ("rotary_dim",)),
}


class SinkTable(_Table):
    """A sink at key 0."""

    margin: Real


class _Head(_Table):
    noise: Positive = 0.0
    sink: SinkTable | None = None


class ConstantHead(_Head):
    """The same query and key at every token."""

    kind: Literal["constant"]
    amplitude: list[Positive]
    phase: list[FiniteFloat]


class SlashHead(_Head):
    """A head that looks `lag` tokens back, with a strength or with the average slash score to reach."""

    kind: Literal["slash"]
    lag: Annotated[Whole, Field(ge=0)]
    score: Share | None = None
    strength: Positive | None = None


class RandomHead(_Head):
    """A head of `gaussians` or `processes`: random queries and keys around a slash head."""

    lag: Annotated[Whole, Field(ge=0)] = 0
    strength: Positive = 1.0


class GaussianHead(RandomHead):
    """Independent normal tokens."""

    kind: Literal["gaussian"]
    sigma_q: Positive
    sigma_k: Positive
    correlation: Correlation = 0.0                  # of a token's own query and key


class ConeHead(RandomHead):
    """Tokens in a cone around one direction, through a planted projection."""

    kind: Literal["cone"]
    cosine: Share                                   # of each token to the axis
    width: Annotated[Whole, Field(ge=2, le=1 << 16)] = 512
    sigma: Positive = 1.0                           # of the unplanted weights
    weights_seed: Annotated[Whole, Field(ge=0)] = 0


class Ar1Head(RandomHead):
    """Queries and keys that drift and return."""

    kind: Literal["ar1"]
    rho_q: Correlation                              # of neighbouring tokens
    rho_k: Correlation
    sigma_q: Positive
    sigma_k: Positive


class RandomWalkHead(RandomHead):
    """Queries and keys that drift away."""

    kind: Literal["random-walk"]
    step: Positive                                  # relative to the root mean square component


class SeasonalHead(RandomHead):
    """Queries and keys that repeat."""

    kind: Literal["seasonal"]
    period: Annotated[Whole, Field(ge=1)]
    sigma_q: Positive
    sigma_k: Positive


class JumpingHead(RandomHead):
    """Queries that jump to the content of one key."""

    kind: Literal["jumping"]
    rate: Share                                     # probability of a jump, per row
    gain: Positive
    sigma_k: Positive
    reach: Annotated[Whole, Field(ge=1, le=1024)] = 64


class MassiveHead(RandomHead):
    """One constant and large pair, the others random."""

    kind: Literal["massive"]
    pair: Annotated[Whole, Field(ge=0)]
    massive_q: Real
    massive_k: Real
    sigma_q: Positive
    sigma_k: Positive


class CapturedHead(_Table):
    """A recorded head of a real model, see captures."""

    kind: Literal["captured"]
    file: str
    layer: Whole
    head: Whole


HEADS: dict[str, type[_Table]] = {
    "constant": ConstantHead, "slash": SlashHead, "cone": ConeHead, "gaussian": GaussianHead, "ar1": Ar1Head,
    "random-walk": RandomWalkHead, "seasonal": SeasonalHead, "jumping": JumpingHead, "massive": MassiveHead,
    "captured": CapturedHead}
Head = Annotated[
    ConstantHead | SlashHead | ConeHead | GaussianHead | Ar1Head | RandomWalkHead | SeasonalHead | JumpingHead |
    MassiveHead | CapturedHead, Field(discriminator="kind")]


class Run(_Table):
    """What to compute."""

    length: Annotated[Whole, Field(ge=1, le=LONGEST)] | None = None
    samples: Annotated[Whole, Field(ge=0)] = 16     # 0: predict only
    seed: Annotated[Whole, Field(ge=0)] = 0
    replicate: Annotated[Whole, Field(ge=0)] = 0
    skip: Annotated[Whole, Field(ge=0, le=1 << 62)] = 0
    window: Annotated[Whole, Field(ge=0, le=1 << 62)] = 0
    scale: Annotated[FiniteFloat, Field(ge=SMALLEST, le=LARGEST)] = 1.0
    quantities: list[Quantity] = Field(min_length=1, default_factory=lambda: [*QUANTITIES[:4]])      # all but received
    lags: list[Annotated[Whole, Field(ge=0)]] = Field(default_factory=list)


class Spec(NamedTuple):
    """One point: a head and a run, and the bands unless a captured head brings its own."""

    rope: Rope | None
    head: Any            # one of HEADS
    run: Run


_DEFAULT = Run()
_TABLES = frozenset(Spec._fields)
_HEAD: TypeAdapter[_Table] = TypeAdapter(Head)


def examples() -> list[str]:
    """Names of the shipped examples.

    >>> "slash-head" in examples()
    True
    """
    return sorted(p.name.removesuffix(".toml") for p in shipped().iterdir() if p.name.endswith(".toml"))


def read(source: str) -> tuple[dict[str, Any], Path]:
    """The tables of a spec and the folder its file names start from.

    source: a path that ends in .toml, or the name of a shipped example. Raises RopesimError for a
    file that is missing or is not TOML, and for an unknown example.

    >>> read("slash-head")[0]["head"]["lag"]
    7
    """
    if not source.endswith(".toml"):
        if source not in examples():
            raise RopesimError("SPEC", source, f"use a file that ends in .toml or an example: {', '.join(examples())}")
        with as_file(shipped()) as folder:
            return read(str(folder / f"{source}.toml"))
    try:
        return tomllib.loads(Path(source).read_text(encoding="utf-8")), Path(source).resolve().parent
    except OSError as error:
        raise RopesimError("SPEC", source, f"use a file that can be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:      # not TOML, not UTF-8, a number of 5000 digits, nested too deep
        raise RopesimError("SPEC", source, f"use valid TOML ({error})") from None


def parse(tables: dict[str, Any]) -> Spec:
    """The checked spec of one point. Raises RopesimError naming the first bad field.

    The rope and the run of another checked spec may stand for their tables, which are then not checked again.

    >>> parse({"rope": {"preset": "llama-3-8b"}, "head": {"kind": "slash", "lag": 1, "strength": 1.0},
    ...        "run": {"length": 8}}).head.lag
    1
    """
    for name in tables:
        if name not in _TABLES:
            raise RopesimError(name, tables[name], "unknown field" + _known(name, [*Spec._fields, "sweep"]))
    if "head" not in tables:
        raise RopesimError("head", None, "add this field")
    given, run = tables.get("rope"), tables.get("run", _DEFAULT)
    spec = Spec(given if given is None or isinstance(given, Rope) else rope(given),
                _checked(_HEAD.validator, tables["head"], "head"),
                run if isinstance(run, Run) else _checked(Run.__pydantic_validator__, run, "run"))
    _check_head(spec)
    return spec


def _checked(validator: Any, table: Any, name: str) -> Any:
    try:
        return validator.validate_python(table, strict=True)
    except ValidationError as error:
        raise _sentence(error, table, name) from None


def dump(spec: Spec) -> dict[str, Any]:
    """The spec as plain tables with every default written out; `parse` gives the same spec back.

    >>> dump(parse(read("slash-head")[0]))["run"]["seed"]
    0
    """
    tables = {name: table.model_dump(exclude_none=True) for name, table in spec._asdict().items() if table is not None}
    if spec.head.kind == "captured":
        tables["run"] = {k: v for k, v in tables["run"].items() if k not in ("samples", "seed", "replicate", "scale")}
    return tables


def shipped() -> Any:
    """The folder of shipped examples.

    >>> (shipped() / "slash-head.toml").is_file()
    True
    """
    return files("ropesim") / "examples"


def located(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The tables with file names that hold from any folder (those of shipped examples stay bare).

    >>> located({"head": {"file": "smollm2_heads.npz"}}, Path("."))["head"]["file"]
    'smollm2_heads.npz'
    """
    tables = {name: dict(table) if isinstance(table, dict) else table for name, table in tables.items()}
    for table, field in (("head", "file"), ("rope", "config")):
        given = tables.get(table)
        if not isinstance(given, dict):
            continue
        name = given.get(field)
        if name and isinstance(name, str) and os.path.exists(folder / name) and folder != Path(str(shipped())):
            tables[table] = {**given, field: str((folder / name).resolve())}
    return tables


def rope(table: Any) -> Rope:
    """A checked [rope] table alone. Raises RopesimError naming the first bad field.

    >>> rope({"kind": "half-dft", "pairs": 8}).pairs
    8
    """
    found: Rope = _checked(Rope.__pydantic_validator__, table, "rope")
    given = {name: value for name in Rope.model_fields if (value := getattr(found, name)) is not None}
    ways = [way for way in ("preset", "kind", "config") if way in given]
    if len(ways) != 1:
        raise RopesimError("rope", " and ".join(ways) or None, "give exactly one of preset, kind and config")
    way = given.pop("kind", ways[0])
    required, optional = FIELDS_OF_ROPE[way]
    for name in required:
        if name not in given:
            raise RopesimError(f"rope.{name}", None, f"give it with {way}")
    for name in given:
        if name not in (way, *required, *optional):
            raise RopesimError(f"rope.{name}", given[name], f"leave it out, it does not go with {way}")
    return found


def _check_head(spec: Spec) -> None:
    if spec.rope is None and spec.head.kind != "captured":
        raise RopesimError("rope", None, "add a [rope] table with a preset, a kind or a config")
    if isinstance(spec.head, SlashHead) and (spec.head.score is None) == (spec.head.strength is None):
        seen = None if spec.head.score is None else (spec.head.score, spec.head.strength)
        raise RopesimError("head.score, head.strength", seen, "give one of the two")
    if isinstance(spec.head, CapturedHead):
        for name in sorted(spec.run.model_fields_set & {"samples", "seed", "replicate", "scale"}):
            raise RopesimError(f"run.{name}", getattr(spec.run, name), "leave it out, a captured head has its own")


BOUNDS = {"ge": "{:.16g} or more", "gt": "more than {:.16g}", "le": "{:.16g} or less", "lt": "less than {:.16g}"}
REMEDIES = {
    "missing": "add this field",
    "int_type": "use a whole number",
    "int_from_float": "use a whole number",
    "float_type": "use a number",
    "finite_number": "use a finite number",
    "string_type": "use a string in quotes",
    "list_type": "use a list [..]",
    "dict_type": "use a table",
    "model_type": "use a table",
    "model_attributes_type": "use a table",
    "too_short": "use at least one value",
}


def _sentence(error: ValidationError, table: Any, name: str) -> RopesimError:
    """The first finding of pydantic in a table of this name, as field, value, remedy."""
    found = error.errors()[0]
    where = [name, *(str(part) for part in found["loc"])]
    if where[0] == "head" and where[1:2] != [] and where[1] in HEADS:       # pydantic's tag of the union
        del where[1]
    kind, value, context = found["type"], found["input"], found.get("ctx", {})
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        where.append("kind")
        value = value.get("kind") if isinstance(value, dict) else value
        return RopesimError(".".join(where), value, f"use one of {', '.join(HEADS)}" + _close(value, list(HEADS)))
    if kind == "missing":
        value = None
    remedy = REMEDIES.get(kind, "")
    if kind == "extra_forbidden":
        models: dict[str, type[_Table]] = {"rope": Rope, "run": Run, "head.sink": SinkTable}
        model = models.get(".".join(where[:-1])) or HEADS[table["kind"]]
        remedy = "unknown field" + _known(where[-1], list(model.model_fields))
        if model is CapturedHead and where[-1] in ("noise", "sink"):
            remedy = "leave it out, a captured head has its own"
    elif kind == "literal_error":
        remedy = f"use {context['expected']}" + _close(value, re.findall("'(.*?)'", context["expected"]))
    for bound, word in BOUNDS.items():
        if bound in context:
            remedy = f"use {word.format(context[bound])}"
    return RopesimError(".".join(where), value, remedy or found["msg"][0].lower() + found["msg"][1:])


def _known(word: Any, names: list[str]) -> str:
    return _close(word, names) or f"; known here: {', '.join(names)}"


def _close(word: Any, known: list[str]) -> str:
    close = get_close_matches(word, known, 1) if isinstance(word, str) else []
    return f"; did you mean {close[0]}?" if close else ""
