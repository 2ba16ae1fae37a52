"""A spec: one head described in TOML, checked field by field, and built into objects.

`read` gives the tables of a file or of a shipped example, `parse` checks them, `build` makes the
frequencies and the ensemble. Only this module and those above it know the bundle.
"""

import json
import math
import os
import re
import tomllib
from difflib import get_close_matches
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError
from scipy.optimize import brentq

from . import bands, captures, ensembles
from .bands import Bands
from .errors import RopesimError, shown
from .predict import attention

LONGEST = 1 << 24
LARGEST = 1e30        # of a number that multiplies logits: products of all of them stay within float64
SMALLEST = 1e-30      # of run.scale, which divides
QUANTITIES = ("slash", "sink", "entropy", "participation", "received")
Whole = Annotated[int, Field(strict=True)]
Size = Annotated[int, Field(strict=True, le=LONGEST)]
Frequency = Annotated[FiniteFloat, Field(gt=-2.0 ** 64, lt=2.0 ** 64)]
Quantity = Literal["slash", "sink", "entropy", "participation", "received"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Rope(_Table):
    """Frequency bands: exactly one of preset, kind and config."""

    preset: str | None = None
    kind: Literal["geometric", "half-dft", "custom"] | None = None
    config: str | None = None                       # a Hugging Face config.json
    layer_type: str | None = None                   # with config
    base: FiniteFloat | None = None                 # with preset: overrides it
    head_dim: Size | None = None
    rotary_dim: Whole | None = None
    scaling: dict[str, Any] | None = None
    context: Whole | None = None
    pairs: Size | None = None                       # half-dft
    theta: list[Frequency] | None = None            # custom


FIELDS_OF_ROPE = {                                   # what goes with each way to give the bands: required, optional
    "preset": ((), ("base",)),
    "config": ((), ("layer_type",)),
    "geometric": (("head_dim", "base"), ("rotary_dim", "scaling", "context")),
    "half-dft": (("pairs",), ()),
    "custom": (("theta",), ("rotary_dim",)),
}


class SinkTable(_Table):
    """A sink at key 0."""

    margin: Annotated[FiniteFloat, Field(ge=-LARGEST, le=LARGEST)]


class _Head(_Table):
    noise: Annotated[FiniteFloat, Field(ge=0, le=LARGEST)] = 0.0
    sink: SinkTable | None = None


class ConstantHead(_Head):
    """The same query and key at every token."""

    kind: Literal["constant"]
    amplitude: list[Annotated[FiniteFloat, Field(ge=0, le=LARGEST)]]
    phase: list[FiniteFloat]


class SlashHead(_Head):
    """A head that looks `lag` tokens back, with a strength or with the average slash score to reach."""

    kind: Literal["slash"]
    lag: Annotated[Whole, Field(ge=0)]
    score: Annotated[FiniteFloat, Field(ge=0, le=1)] | None = None
    strength: Annotated[FiniteFloat, Field(ge=0, le=LARGEST)] | None = None


class CapturedHead(_Table):
    """A recorded head of a real model, see captures."""

    kind: Literal["captured"]
    file: str
    layer: Whole
    head: Whole


HEADS: dict[str, type[_Table]] = {"constant": ConstantHead, "slash": SlashHead, "captured": CapturedHead}
Head = Annotated[ConstantHead | SlashHead | CapturedHead, Field(discriminator="kind")]


class Run(_Table):
    """What to compute."""

    length: Annotated[Whole, Field(ge=1, le=LONGEST)] | None = None
    samples: Annotated[Whole, Field(ge=1)] = 16
    seed: Annotated[Whole, Field(ge=0)] = 0
    replicate: Annotated[Whole, Field(ge=0)] = 0
    skip: Annotated[Whole, Field(ge=0, le=1 << 62)] = 0
    window: Annotated[Whole, Field(ge=0, le=1 << 62)] = 0
    scale: Annotated[FiniteFloat, Field(ge=SMALLEST, le=LARGEST)] = 1.0
    quantities: Annotated[list[Quantity], Field(min_length=1)] = ["slash", "sink", "entropy", "participation"]
    lags: list[Annotated[Whole, Field(ge=0)]] = []


class Spec(_Table):
    """One point: a head and a run. `folder` is where relative file names start."""

    rope: Rope | None = None
    head: Head
    run: Run = Run()


class Case(NamedTuple):
    """What a spec builds: everything both wings need."""

    theta: np.ndarray             # frequencies without those that the ensemble appends
    head: ensembles.Ensemble
    length: int
    scale: float
    window: int
    run: Run


def examples() -> list[str]:
    """Names of the shipped examples.

    >>> "slash-head" in examples()
    True
    """
    return sorted(p.name.removesuffix(".toml") for p in _shipped().iterdir() if p.name.endswith(".toml"))


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
        with as_file(_shipped()) as folder:
            return read(str(folder / f"{source}.toml"))
    try:
        return tomllib.loads(Path(source).read_text(encoding="utf-8")), Path(source).resolve().parent
    except OSError as error:
        raise RopesimError("SPEC", source, f"use a file that can be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:      # not TOML, not UTF-8, a number of 5000 digits, nested too deep
        raise RopesimError("SPEC", source, f"use valid TOML ({error})") from None


def parse(tables: dict[str, Any]) -> Spec:
    """The checked spec of one point. Raises RopesimError naming the first bad field.

    >>> parse({"rope": {"preset": "llama-3-8b"}, "head": {"kind": "slash", "lag": 1, "strength": 1.0},
    ...        "run": {"length": 8}}).head.lag
    1
    """
    try:
        spec = TypeAdapter(Spec).validate_python(tables, strict=True)
    except ValidationError as error:
        raise _sentence(error, tables) from None
    _check_rope(spec)
    _check_head(spec)
    return spec


def dump(spec: Spec) -> dict[str, Any]:
    """The spec as plain tables with every default written out; `parse` gives the same spec back.

    >>> dump(parse(read("slash-head")[0]))["run"]["seed"]
    0
    """
    tables = spec.model_dump(exclude_none=True)
    if spec.head.kind == "captured":
        tables["run"] = {k: v for k, v in tables["run"].items() if k not in ("samples", "seed", "replicate", "scale")}
    return tables


def build(spec: Spec, folder: Path) -> Case:
    """Frequencies, ensemble and length of a spec; file names start from `folder` or the shipped examples.

    Raises RopesimError for a field that only shows itself wrong together with others: a lag beyond
    the length, a score that no strength reaches, amplitudes that do not match the pairs, a file.

    >>> build(parse(read("slash-head")[0]), Path(".")).length
    4096
    """
    if isinstance(spec.head, CapturedHead):
        return _captured(spec, spec.head, folder)
    table, length = _bands(spec, folder), _length(spec)
    check_lags(spec.run.lags, length)
    pairs = table.theta.size
    wrap = _Wrap(spec.head, spec.run, table)
    if isinstance(spec.head, ConstantHead):
        for name in ("amplitude", "phase"):
            given = getattr(spec.head, name)
            if len(given) != pairs:
                raise RopesimError(f"head.{name}", given, f"give one for each of the {pairs} pairs, not {len(given)}")
        head = wrap(_prefixed("head", ensembles.Constant, spec.head.amplitude, spec.head.phase))
    else:
        if spec.head.lag >= length:
            raise RopesimError("head.lag", spec.head.lag, f"use a lag below run.length = {length}")
        strength = spec.head.strength
        head = wrap(ensembles.Slash(spec.head.lag, _strength(spec, table, length) if strength is None else strength))
    return Case(table.theta, head, length, spec.run.scale, spec.run.window, spec.run)


class _Wrap(NamedTuple):
    """Puts the noise, the attention factor and the sink of a spec around a bare head."""

    table: Any
    run: Run
    bands: Bands

    def __call__(self, head: ensembles.Ensemble) -> ensembles.Ensemble:
        if self.table.noise:
            head = ensembles.Noise(head, self.table.noise)
        if self.bands.attention_factor != 1:
            head = ensembles.Factor(head, self.bands.attention_factor, self.bands.rotary_dim // 2)
        if self.table.sink:
            head = ensembles.Sink(head, self.table.sink.margin, self.run.scale)
        return head


def _shipped() -> Any:
    return files("ropesim") / "examples"


def _length(spec: Spec) -> int:
    if spec.run.length is None:
        raise RopesimError("run.length", None, "give the number of tokens")
    return spec.run.length


def _bands(spec: Spec, folder: Path) -> Bands:
    rope = spec.rope
    if rope is None:
        raise RopesimError("rope", None, "add a [rope] table with a preset, a kind or a config")
    given = rope.model_dump(exclude_none=True)
    given.pop("kind", None)
    if rope.preset is not None:
        return _prefixed("rope", bands.preset, rope.preset, base=rope.base)
    if rope.config is not None:
        return _config(_found(folder, "rope.config", rope.config), spec)
    if rope.kind == "geometric":
        made = _prefixed("rope", bands.geometric, length=spec.run.length, **given)
        if not SMALLEST <= made.attention_factor <= LARGEST:
            raise RopesimError("rope.scaling.attention_factor", made.attention_factor, f"use {LARGEST:g} or less")
        return made
    maker = bands.half_dft if rope.kind == "half-dft" else bands.custom
    return _prefixed("rope", maker, **given)


def _config(path: Path, spec: Spec) -> Bands:
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RopesimError("rope.config", str(path), f"use a JSON file that can be read ({error})") from None
    if not isinstance(mapping, dict):
        raise RopesimError("rope.config", str(path), "use a config.json that holds a mapping {..}")
    assert spec.rope
    return _prefixed("rope.config", bands.from_config, mapping, length=spec.run.length,
                     layer_type=spec.rope.layer_type)


def _captured(spec: Spec, head: CapturedHead, folder: Path) -> Case:
    capture = _capture(_found(folder, "head.file", head.file))
    try:
        q, k, theta, window = capture.head(head.layer, head.head)
    except RopesimError as error:
        raise RopesimError("head.layer, head.head", error.value, error.remedy) from None
    factor, rotary = capture.attention_factor, q.shape[1] if capture.rotary_dim is None else capture.rotary_dim
    if spec.rope is not None:                    # other bands bring their own attention factor
        table = _bands(spec, folder)
        theta, factor, rotary = table.theta, table.attention_factor, table.rotary_dim
        if theta.size != q.shape[1] // 2:
            raise RopesimError("pairs of rope", theta.size, f"use bands of the capture's {q.shape[1] // 2} pairs")
    length = spec.run.length or len(q)
    if length > len(q):
        raise RopesimError("run.length", length, f"use at most the {len(q)} tokens of the capture")
    pairs = [bands.pair(x[:length], capture.layout, rotary_dim=capture.rotary_dim) for x in (q, k)]
    recorded: ensembles.Ensemble = ensembles.Captured(*pairs)
    if factor != 1:
        recorded = ensembles.Factor(recorded, factor, rotary // 2)
    check_lags(spec.run.lags, length)
    return Case(theta, recorded, length, capture.scale, spec.run.window or window, spec.run)


def _capture(path: Path) -> captures.Capture:
    try:
        capture = captures.read(path)
    except RopesimError as error:
        raise RopesimError("head.file", str(path), f"use a sound capture: {error.name} = {shown(error.value)}: "
                           f"{error.remedy}") from None
    for name in ("scale", "attention_factor", "q", "k", "theta"):
        limit = 2.0 ** 63 if name == "theta" else LARGEST
        if float(np.abs(getattr(capture, name)).max()) > limit:
            raise RopesimError("head.file", str(path), f"use a capture whose {name} stays below {limit:g}")
    return capture


def check_lags(lags: list[int], length: int) -> None:
    """RopesimError where a lag to store is not below the length.

    >>> check_lags([0, 7], 8)
    """
    if lags and max(lags) >= length:
        raise RopesimError("run.lags", max(lags), f"use lags below run.length = {length}")


def _found(folder: Path, field: str, name: str) -> Path:
    """The file beside the spec, else among the shipped examples."""
    try:
        if (folder / name).exists():
            return folder / name
    except OSError as error:                     # a name that is too long, a folder that may not be read
        raise RopesimError(field, name, f"use a file that can be read ({error.strerror})") from None
    with as_file(_shipped()) as shipped:
        if (shipped / name).exists() and Path(name).name == name:
            return shipped / name
    raise RopesimError(field, name, f"no such file in {folder}; give the path from the spec's folder")


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
        if name and isinstance(name, str) and os.path.exists(folder / name) and folder != Path(str(_shipped())):
            tables[table] = {**given, field: str((folder / name).resolve())}
    return tables


def _strength(spec: Spec, table: Bands, length: int) -> float:
    """The strength at which the mean head's average slash score at its lag is head.score."""
    assert isinstance(spec.head, SlashHead) and spec.head.score is not None
    lag, score, run = spec.head.lag, spec.head.score, spec.run
    unit = _Wrap(spec.head, run, table)(ensembles.Slash(lag, 1.0)).mean(table.theta)
    product = run.scale * unit.q * unit.k.conj()
    curve = attention.lag_logits(np.abs(product), np.angle(product), table.theta, length)

    def reached(logits: np.ndarray) -> float:
        sink = None if unit.margin is None else attention.sink_logits(logits, unit.margin)
        return float(attention.slash(logits, sink=sink, skip=run.skip, window=run.window)[lag])

    low = reached(0 * curve)
    if math.isclose(score, low, rel_tol=1e-12):                    # the lower end itself, up to rounding
        return 0.0
    ties = curve >= curve[lag] - 1e-9 * np.abs(curve).max()        # lags that no strength tells apart
    high = reached(np.where(ties, 0.0, -800.0))
    strength = 1.0
    while low <= score < high and reached(strength * curve) < score and strength < 2.0 ** 40:
        strength *= 2
    if not low <= score < high or strength >= 2.0 ** 40:
        here = f"lag {lag} with this run.length = {length}, skip, window and sink"
        raise RopesimError("head.score", score, f"use a score in [{low:.6g}, {high:.6g}) for {here}" if low < high else
                           f"no strength changes the score of {here}; change one of them, or give a strength")
    return float(brentq(lambda s: reached(s * curve) - score, 0.0, strength, xtol=1e-13, rtol=1e-14))


def _check_rope(spec: Spec) -> None:
    if spec.rope is None:
        if spec.head.kind != "captured":
            raise RopesimError("rope", None, "add a [rope] table with a preset, a kind or a config")
        return
    given = spec.rope.model_dump(exclude_none=True)
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


def _check_head(spec: Spec) -> None:
    if isinstance(spec.head, SlashHead) and (spec.head.score is None) == (spec.head.strength is None):
        seen = None if spec.head.score is None else (spec.head.score, spec.head.strength)
        raise RopesimError("head.score, head.strength", seen, "give one of the two")
    if isinstance(spec.head, CapturedHead):
        for name in sorted(spec.run.model_fields_set & {"samples", "seed", "replicate", "scale"}):
            raise RopesimError(f"run.{name}", getattr(spec.run, name), "leave it out, a captured head has its own")


def _prefixed(prefix: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a door of the library; an error names the field of the spec."""
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            return function(*args, **kwargs)
    except RopesimError as error:
        if prefix == "rope" and error.name.split(".")[0] not in Rope.model_fields:
            prefix = "rope.scaling"                       # the schedules know no tables
        raise RopesimError(f"{prefix}.{error.name}", error.value, error.remedy) from None
    except (OverflowError, ZeroDivisionError, FloatingPointError):
        raise RopesimError(f"{prefix}.scaling", kwargs.get("scaling"),
                           "use numbers of a usual size, these leave the range of float64") from None


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


def _sentence(error: ValidationError, tables: dict[str, Any]) -> RopesimError:
    """The first finding of pydantic as field, value, remedy."""
    found = error.errors()[0]
    where = [str(part) for part in found["loc"]]
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
        remedy = "unknown field" + _nearest(where, tables)
        if isinstance(tables.get("head"), dict) and tables["head"].get("kind") == "captured" and \
                where[0] == "head" and where[-1] in ("noise", "sink"):
            remedy = "leave it out, a captured head has its own"
    elif kind == "literal_error":
        remedy = f"use {context['expected']}" + _close(value, re.findall("'(.*?)'", context["expected"]))
    for bound, word in BOUNDS.items():
        if bound in context:
            remedy = f"use {word.format(context[bound])}"
    return RopesimError(".".join(where), value, remedy or found["msg"][0].lower() + found["msg"][1:])


def _nearest(where: list[str], tables: dict[str, Any]) -> str:
    model: Any = {"rope": Rope, "run": Run}.get(where[0], Spec)
    if where[0] == "head":
        model = SinkTable if where[1:2] == ["sink"] else HEADS[tables["head"]["kind"]]
    known = [*model.model_fields, *(["sweep"] if model is Spec else [])]
    return _close(where[-1], known) or f"; known here: {', '.join(known)}"


def _close(word: Any, known: list[str]) -> str:
    close = get_close_matches(word, known, 1) if isinstance(word, str) else []
    return f"; did you mean {close[0]}?" if close else ""
