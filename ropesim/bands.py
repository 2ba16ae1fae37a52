"""RoPE frequency bands: theta with its layout and origin, made from a base, a preset, a model's config or your vector.

One pair of coordinates is one complex number; only `pair` and `unpair` know which two coordinates make a pair.
Formulas: docs/theory.md, "Frequency bands"; the schedules themselves are in `schedules`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import configs, schedules
from .errors import RopesimError, array, number, whole
from .schedules import FloatArray, nearest

LAYOUTS = ("half", "interleaved")


class Thirds(NamedTuple):
    """Indices of the rotated pairs, fastest third first (floors at n/3 and 2n/3)."""

    high: NDArray[np.intp]
    medium: NDArray[np.intp]
    low: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Bands:
    """Frequencies of one head, rad per token, zero where a pair is not rotated, and what they mean.

    theta float64[B], read-only, B = head_dim / 2; rotary_dim even, <= head_dim; attention_factor > 0 multiplies cos and
    sin of the first rotary_dim / 2 pairs; layout "half" or "interleaved"; context in tokens or None. Compared by
    identity; `equals` compares values. Raises RopesimError for anything else.

    >>> Bands([1.0, 0.01], rotary_dim=4).head_dim
    4
    """

    theta: FloatArray
    rotary_dim: int
    attention_factor: float = 1.0
    layout: str = "half"
    name: str = "custom"
    base: float | None = None
    scaling: Mapping[str, Any] | None = None
    source: str = ""
    context: int | None = None

    def __post_init__(self) -> None:
        theta = array("theta", self.theta, (None,)).copy()
        if not theta.size:
            raise RopesimError("theta", [], "use at least one frequency")
        rotary_dim = _rotary_dim(self.rotary_dim, 2 * len(theta), least=0)
        if theta[rotary_dim // 2:].any():
            raise RopesimError("theta", theta[rotary_dim // 2:].max(), "use 0 for the pairs beyond rotary_dim")
        theta.setflags(write=False)
        checked: dict[str, Any] = {
            "theta": theta,
            "rotary_dim": rotary_dim,
            "attention_factor": number("attention_factor", self.attention_factor, above=0),
            "layout": _layout(self.layout),
            "base": None if self.base is None else number("base", self.base, above=0),
            "context": None if self.context is None else whole("context", self.context, least=1),
            "scaling": None if self.scaling is None else dict(self.scaling),
        }
        for key, value in checked.items():
            object.__setattr__(self, key, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # a copy is read-only too

    @property
    def head_dim(self) -> int:
        return 2 * len(self.theta)

    @property
    def wavelength(self) -> FloatArray:
        """float64[B], tokens per turn, 2 pi / |theta|; inf where a pair is not rotated."""
        with np.errstate(divide="ignore"):
            return 2 * np.pi / np.abs(self.theta)

    @property
    def turns(self) -> FloatArray | None:
        """float64[B], turns of each pair within the context, context |theta| / 2 pi; None without a context."""
        return None if self.context is None else self.context * np.abs(self.theta) / (2 * np.pi)

    @property
    def critical_dim(self) -> int | None:
        """Twice the number of pairs that turn at least once within the context (R-critical); None without a context."""
        if self.turns is None:
            return None
        return 2 * int((self.turns >= 1 - 1e-12).sum())  # rounding must not lose a pair of exactly one turn

    @property
    def thirds(self) -> Thirds:
        """The rotated pairs by falling frequency, cut at a third and two thirds of their number."""
        order = np.argsort(-np.abs(self.theta), kind="stable")[: np.count_nonzero(self.theta)]
        return Thirds(*np.split(order, [len(order) // 3, 2 * len(order) // 3]))

    @cached_property
    def first_negative_lag(self) -> int | None:
        """The first lag in 1..context-1 at which the cosines of the rotated pairs sum below 0 (R-negative), or None."""
        return None if self.context is None else _first_negative_lag(self.theta[self.theta != 0], self.context)

    def equals(self, other: "Bands") -> bool:
        """Whether both rotate alike: the same theta, rotary_dim, attention_factor and layout, bit for bit."""
        same = (self.rotary_dim, self.attention_factor, self.layout) == (
            other.rotary_dim, other.attention_factor, other.layout
        )
        return same and np.array_equal(self.theta, other.theta)


def geometric(
    head_dim: int,
    base: float,
    *,
    rotary_dim: int | None = None,
    scaling: Mapping[str, Any] | None = None,
    context: int | None = None,
    length: int | None = None,
    layout: str = "half",
    name: str = "geometric",
    source: str = "",
) -> Bands:
    """Bands of a base, partial where rotary_dim < head_dim (R-partial), stretched by a scaling mapping if one is given.

    head_dim even; base > 1; context in tokens; length in tokens, read by dynamic and longrope only (None: within the
    original context). `scaling` is {"type": ..., keys of that type}. Raises RopesimError.

    >>> geometric(4, 10000.0, scaling={"type": "linear", "factor": 4}).theta
    array([0.25  , 0.0025])
    """
    dim = _rotary_dim(head_dim if rotary_dim is None else rotary_dim, _even("head_dim", head_dim, 2), least=2)
    asked = {"type": "default"} if scaling is None else _mapping(scaling)
    if context is not None:
        whole("context", context, least=1)
    if schedules.scaling_type(asked) == "proportional" and dim != head_dim:
        raise RopesimError("rotary_dim", dim, "leave it out, proportional scaling spans the whole head")
    rotated, factor = schedules.scaled(dim, base, asked, context=context, length=length)
    theta = np.concatenate([rotated, np.zeros((head_dim - dim) // 2)])
    kept = None if schedules.scaling_type(asked) == "default" else _named(asked)
    return Bands(theta, dim, factor, layout, name, base, kept, source, context)


def custom(
    theta: ArrayLike,
    *,
    rotary_dim: int | None = None,
    attention_factor: float = 1.0,
    layout: str = "half",
    context: int | None = None,
    name: str = "custom",
    source: str = "",
) -> Bands:
    """Bands of your own frequencies: theta real [B], rad per token, 0 for a pair that is not rotated.

    rotary_dim defaults to 2 B. Raises RopesimError for an empty, non-finite or wrongly shaped theta.

    >>> custom([0.5, 0.0]).wavelength
    array([12.56637061,         inf])
    """
    frequencies = array("theta", theta, (None,))
    dim = 2 * len(frequencies) if rotary_dim is None else rotary_dim
    return Bands(frequencies, dim, attention_factor, layout, name, None, None, source, context)


def half_dft(pairs: int, *, layout: str = "half") -> Bands:
    """Bands whose plain cosine sum is a pulse; the context is their period, 2 pairs + 1 tokens (R-half-dft).

    pairs >= 1. Raises RopesimError otherwise.

    >>> half_dft(3).context
    7
    """
    return custom(schedules.half_dft(pairs), layout=layout, context=2 * pairs + 1, name="half-dft")


def random(pairs: int, *, seed: int = 0, layout: str = "half") -> Bands:
    """Bands of frequencies drawn uniformly from (0, pi), rad per token, in falling order.

    pairs >= 1; seed >= 0. Raises RopesimError otherwise. More pairs of the same seed are other frequencies.

    >>> bool(np.all(np.diff(random(8).theta) < 0))
    True
    """
    rng = np.random.default_rng(whole("seed", seed, least=0))
    theta = np.pi * (1 - rng.random(whole("pairs", pairs, least=1)))
    return custom(np.sort(theta)[::-1], layout=layout, name="random")


def preset(name: str, *, base: float | None = None) -> Bands:
    """Bands of a published model, by its slug; `base` replaces the model's and its whole schedule follows.

    Figures and their sources: data/presets.toml. A longrope preset holds the long factors. Raises RopesimError.

    >>> preset("llama-3.1-8b").critical_dim
    78
    """
    if name not in _data("presets"):
        raise RopesimError("preset", name, nearest(name, names()) + " (`ropesim bands` lists them)")
    entry = dict(_data("presets")[name])
    return geometric(**entry | {"name": name} | ({} if base is None else {"base": base}))


def from_config(mapping: Mapping[str, Any], *, length: int | None = None, layer_type: str | None = None) -> Bands:
    """Bands of one layer type of a Hugging Face config.json, v4 (`rope_scaling`) or v5 (`rope_parameters`).

    length (tokens) selects longrope's list and drives dynamic NTK; None: within the original context. layer_type is
    needed where the layers differ. Raises RopesimError naming the key.

    >>> from_config({"head_dim": 4, "rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 4}}).theta
    array([0.25  , 0.0025])
    """
    return geometric(**configs.arguments(mapping, length=length, layer_type=layer_type))


def names() -> list[str]:
    """The preset slugs, in the order of the data file.

    >>> "pythia-70m" in names()
    True
    """
    return list(_data("presets"))


def describe(bands: Bands) -> dict[str, Any]:
    """What `ropesim bands NAME --json` prints: plain numbers, lists and None, ready for strict JSON.

    >>> describe(half_dft(1))["first_negative_lag"]
    1
    """
    plain = ("name", "head_dim", "rotary_dim", "base", "scaling", "attention_factor", "layout", "source", "context")
    turns = None if bands.turns is None else bands.turns.tolist()
    return {
        "schema": 1,
        **{key: getattr(bands, key) for key in plain},
        "theta": bands.theta.tolist(),
        "wavelength": [tokens if np.isfinite(tokens) else None for tokens in bands.wavelength.tolist()],
        "turns": turns,
        "critical_dim": bands.critical_dim,
        "first_negative_lag": bands.first_negative_lag,
    }


def pair(x: ArrayLike, layout: str, *, rotary_dim: int | None = None) -> NDArray[np.complex128]:
    """Coordinates real [..., 2B] as pairs complex128 [..., B]: first coordinate + 1j * second (R-pair).

    "half": b pairs with b + rotary_dim / 2; "interleaved": 2b with 2b + 1; beyond rotary_dim neighbours pair in order.
    Raises RopesimError for an odd last axis, an unknown layout, a rotary_dim out of range.

    >>> pair([1.0, 2.0, 3.0, 4.0], "half")
    array([1.+3.j, 2.+4.j])
    """
    values = np.asarray(x)
    coordinates = array("x", values, (None,) * max(values.ndim, 1))
    first, second = _coordinates(coordinates.shape[-1], layout, rotary_dim)
    return np.asarray(coordinates[..., first] + 1j * coordinates[..., second])


def unpair(z: ArrayLike, layout: str, *, rotary_dim: int | None = None) -> FloatArray:
    """Pairs complex [..., B] back as coordinates float64 [..., 2B]; the inverse of `pair` (R-pair).

    Raises RopesimError as `pair` does.

    >>> unpair([1 + 3j, 2 + 4j], "half")
    array([1., 2., 3., 4.])
    """
    values = np.asarray(z)
    pairs = array("z", values, (None,) * max(values.ndim, 1), np.complex128)
    first, second = _coordinates(2 * pairs.shape[-1], layout, rotary_dim)
    x = np.empty((*pairs.shape[:-1], 2 * pairs.shape[-1]))
    x[..., first], x[..., second] = pairs.real, pairs.imag
    return x


def as_implemented(
    bands: Bands,
    positions: ArrayLike,
    *,
    freq_dtype: str,
    angle_dtype: str = "float32",
    table_dtype: str = "float32",
) -> tuple[FloatArray, FloatArray]:
    """The (cos, sin) tables float64 [T, B] that code of these precisions would hold (R-tables).

    theta is rounded to freq_dtype, positions (tokens) and position * theta to angle_dtype, the tables, attention_factor
    included, to table_dtype: float64, float32, float16 or bfloat16. nan where an angle overflows. Raises RopesimError.

    >>> cos, sin = as_implemented(custom([0.1]), [257], freq_dtype="float32", angle_dtype="bfloat16")
    >>> round(float(np.arctan2(sin, cos)[0, 0] + 8 * np.pi), 3)
    25.625
    """
    where = array("positions", positions, (None,))
    with np.errstate(over="ignore", invalid="ignore"):  # float16 angles overflow in real code as well
        theta = _rounded("freq_dtype", bands.theta, freq_dtype)
        angle = _rounded("angle_dtype", _rounded("angle_dtype", where, angle_dtype)[:, None] * theta, angle_dtype)
        factor = np.where(np.arange(len(theta)) < bands.rotary_dim // 2, bands.attention_factor, 1.0)
        cos, sin = (_rounded("table_dtype", f(angle) * factor, table_dtype) for f in (np.cos, np.sin))
    return cos, sin


def _rounded(name: str, x: FloatArray, dtype: str) -> FloatArray:
    if dtype == "bfloat16":
        return _bfloat16(x)
    if dtype not in ("float64", "float32", "float16"):
        raise RopesimError(name, dtype, nearest(dtype, ("float64", "float32", "float16", "bfloat16")))
    return x.astype(dtype).astype(np.float64)


def _bfloat16(x: FloatArray) -> FloatArray:
    # bfloat16 is the upper half of a float32. Adding half of the lower half's range, less one unless the kept half is
    # odd, carries exactly when round-to-nearest-even goes up.
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32).astype(np.float64)


def _first_negative_lag(theta: FloatArray, context: int) -> int | None:
    # S(a n + j) = Re sum_b e^(i a n theta_b) e^(i j theta_b) is one real matrix product per chunk of lags.
    baby, giant = 1024, 64
    step = np.exp(1j * np.outer(theta, np.arange(baby)))
    columns = np.concatenate([step.real, -step.imag])
    for start in range(0, context, baby * giant):
        turn = np.exp(1j * np.outer(start + baby * np.arange(giant), theta))
        sums = (np.concatenate([turn.real, turn.imag], axis=1) @ columns).ravel()
        negative = np.flatnonzero(sums[: context - start] < -1e-9)  # a sum of 0 must not pass for negative by rounding
        if negative.size:
            return start + int(negative[0])
    return None


def _coordinates(size: int, layout: str, rotary_dim: int | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    dim = _rotary_dim(size if rotary_dim is None else rotary_dim, _even("last axis of x", size, 2), least=0)
    rotary, tail = np.arange(dim // 2), np.arange(dim, size, 2)
    half = _layout(layout) == "half"
    first, second = (rotary, rotary + dim // 2) if half else (2 * rotary, 2 * rotary + 1)
    return np.concatenate([first, tail]), np.concatenate([second, tail + 1])


def _rotary_dim(value: object, head_dim: int, least: int) -> int:
    return whole("rotary_dim", _even("rotary_dim", value, least), most=head_dim)


def _even(name: str, value: object, least: int) -> int:
    if whole(name, value, least=least) % 2:
        raise RopesimError(name, value, "use an even number, a pair takes two coordinates")
    return whole(name, value)


def _layout(layout: object) -> str:
    if layout not in LAYOUTS:
        raise RopesimError("layout", layout, nearest(layout, LAYOUTS))
    return str(layout)


def _mapping(scaling: object) -> dict[str, Any]:
    if not isinstance(scaling, Mapping):
        raise RopesimError("scaling", scaling, 'use a mapping such as {"type": "linear", "factor": 4}')
    return dict(scaling)


def _named(scaling: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in scaling.items() if key not in ("type", "rope_type")}
    return {"type": schedules.scaling_type(scaling), **rest}


@cache
def _data(name: str) -> dict[str, Any]:
    return tomllib.loads(files("ropesim").joinpath("data", f"{name}.toml").read_text(encoding="utf-8"))
