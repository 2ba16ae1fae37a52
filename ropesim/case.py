"""A case: the frequencies and the ensemble that a checked spec describes."""

import json
import math
from functools import lru_cache
from importlib.resources import as_file
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from . import bands, captures, ensembles, gaussians, processes, wrappers
from .bands import Bands
from .errors import RopesimError, shown
from .predict import attention, cosines
from .spec import (LARGEST, SMALLEST, CapturedHead, ConstantHead, RandomHead, Rope, Run, SeasonalHead, SlashHead, Spec,
                   shipped)

PROCESSES: dict[str, Any] = {
    "cone": gaussians.Cone, "gaussian": gaussians.Gaussian, "ar1": processes.Ar1, "random-walk": processes.RandomWalk,
    "seasonal": processes.Seasonal, "jumping": processes.Jumping, "massive": gaussians.Massive}


class Case(NamedTuple):
    """What a spec builds: everything both wings need."""

    theta: np.ndarray             # frequencies without those that the ensemble appends
    head: ensembles.Ensemble
    length: int
    scale: float
    window: int
    run: Run


def build(spec: Spec, folder: Path) -> Case:
    """Frequencies, ensemble and length of a spec; file names start from `folder` or the shipped examples.

    Raises RopesimError for a field that only shows itself wrong together with others: a lag beyond
    the length, a score that no strength reaches, amplitudes that do not match the pairs, a file.

    >>> from .spec import parse, read
    >>> build(parse(read("slash-head")[0]), Path(".")).length
    4096
    """
    if isinstance(spec.head, CapturedHead):
        return _captured(spec, spec.head, folder)
    table, length = _frequencies(spec, folder), _length(spec)
    check_lags(spec.run.lags, length)
    if isinstance(spec.head, ConstantHead):
        pairs = table.theta.size
        for name in ("amplitude", "phase"):
            given = getattr(spec.head, name)
            if len(given) != pairs:
                raise RopesimError(f"head.{name}", given, f"give one for each of the {pairs} pairs, not {len(given)}")
        head = _prefixed("head", ensembles.Constant, spec.head.amplitude, spec.head.phase)
    else:
        if spec.head.lag >= length:
            raise RopesimError("head.lag", spec.head.lag, f"use a lag below run.length = {length}")
        if isinstance(spec.head, RandomHead):
            head = _random(spec.head, table.theta, length)
        else:
            strength = spec.head.strength
            head = ensembles.Slash(spec.head.lag, _strength(spec, table, length) if strength is None else strength)
    return Case(table.theta, _wrapped(head, spec, table), length, spec.run.scale, spec.run.window, spec.run)


def _wrapped(head: ensembles.Ensemble, spec: Spec, table: Bands) -> ensembles.Ensemble:
    """The bare head of a spec in its noise, its attention factor and its sink."""
    given: Any = spec.head
    if given.noise:
        head = wrappers.Noise(head, given.noise)
    if table.attention_factor != 1:
        head = wrappers.Factor(head, table.attention_factor, table.rotary_dim // 2)
    if given.sink:
        head = wrappers.Sink(head, given.sink.margin, spec.run.scale)
    return head


def _random(table: RandomHead, theta: np.ndarray, length: int) -> ensembles.Ensemble:
    fields = table.model_dump(exclude={"noise", "sink"})
    kind = fields.pop("kind")
    if isinstance(table, SeasonalHead) and table.period > length:
        raise RopesimError("head.period", table.period, f"use a period up to run.length = {length}")
    if kind == "random-walk":
        fields["length"] = length
    head: ensembles.Ensemble = _prefixed("head", PROCESSES[kind], **fields)
    _prefixed("head", head.mean, theta)                           # a pair that is not there
    return head


def _length(spec: Spec) -> int:
    if spec.run.length is None:
        raise RopesimError("run.length", None, "give the number of tokens")
    return spec.run.length


def _frequencies(spec: Spec, folder: Path) -> Bands:
    if spec.rope is None:
        raise RopesimError("rope", None, "add a [rope] table with a preset, a kind or a config")
    return frequencies(spec.rope, spec.run.length, folder)


def frequencies(rope: Rope, length: int | None, folder: Path) -> Bands:
    """The bands of a [rope] table for a context of `length` tokens. Raises RopesimError as `build` does.

    >>> frequencies(Rope(kind="half-dft", pairs=8), None, Path(".")).context
    17
    """
    if rope.config is not None:
        return _config(_found(folder, "rope.config", rope.config), rope, length)
    return _made(rope.text, length)


@lru_cache(maxsize=64)                                    # the points of a sweep share their bands
def _made(rope: str, length: int | None) -> Bands:
    given = json.loads(rope)
    kind = given.pop("kind", None)
    if kind is None:
        return _prefixed("rope", bands.preset, given["preset"], base=given.get("base"))
    if kind == "geometric":
        made = _prefixed("rope", bands.geometric, length=length, **given)
        if not SMALLEST <= made.attention_factor <= LARGEST:
            raise RopesimError("rope.scaling.attention_factor", made.attention_factor, f"use {LARGEST:g} or less")
        return made
    makers: dict[str, Any] = {"half-dft": bands.half_dft, "random": bands.random, "custom": bands.custom}
    return _prefixed("rope", makers[kind], **given)


def _config(path: Path, rope: Rope, length: int | None) -> Bands:
    try:
        text = path.read_text(encoding="utf-8")
        mapping = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise RopesimError("rope.config", str(path), f"use a JSON file that can be read ({error})") from None
    if not isinstance(mapping, dict):
        raise RopesimError("rope.config", str(path), "use a config.json that holds a mapping {..}")
    return _described(text, length, rope.layer_type)


@lru_cache(maxsize=64)
def _described(config: str, length: int | None, layer_type: str | None) -> Bands:
    found: Bands = _prefixed("rope.config", bands.from_config, json.loads(config), length=length, layer_type=layer_type)
    return found


def _captured(spec: Spec, head: CapturedHead, folder: Path) -> Case:
    capture = _capture(_found(folder, "head.file", head.file))
    try:
        q, k, theta, window = capture.head(head.layer, head.head)
    except RopesimError as error:
        raise RopesimError("head.layer, head.head", error.value, error.remedy) from None
    factor, rotary = capture.attention_factor, q.shape[1] if capture.rotary_dim is None else capture.rotary_dim
    if spec.rope is not None:                    # other bands bring their own attention factor
        table = _frequencies(spec, folder)
        theta, factor, rotary = table.theta, table.attention_factor, table.rotary_dim
        if theta.size != q.shape[1] // 2:
            raise RopesimError("pairs of rope", theta.size, f"use bands of the capture's {q.shape[1] // 2} pairs")
    length = spec.run.length or len(q)
    if length > len(q):
        raise RopesimError("run.length", length, f"use at most the {len(q)} tokens of the capture")
    pairs = [bands.pair(x[:length], capture.layout, rotary_dim=capture.rotary_dim) for x in (q, k)]
    recorded: ensembles.Ensemble = ensembles.Captured(*pairs)
    if factor != 1:
        recorded = wrappers.Factor(recorded, factor, rotary // 2)
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
    with as_file(shipped()) as beside:
        if (beside / name).exists() and Path(name).name == name:
            return beside / name
    raise RopesimError(field, name, f"no such file in {folder}; give the path from the spec's folder")


def _strength(spec: Spec, table: Bands, length: int) -> float:
    """The strength at which the mean head's average slash score at its lag is head.score."""
    assert isinstance(spec.head, SlashHead) and spec.head.score is not None
    lag, score, run = spec.head.lag, spec.head.score, spec.run
    unit = _wrapped(ensembles.Slash(lag, 1.0), spec, table).mean(table.theta)
    product = run.scale * unit.q * unit.k.conj()
    curve = cosines.curves(product, table.theta, length)

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
