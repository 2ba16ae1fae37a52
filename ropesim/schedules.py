"""Frequency schedules: how each published method turns a base into theta, one pure function per method.

Every function returns float64[rotary_dim / 2], rad per token, the fastest pair first. Keyword names are those of a
Hugging Face config, so a scaling mapping is the keyword arguments. Formulas: docs/theory.md, "Frequency bands".
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from math import ceil, floor, inf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import RopesimError, array, number, whole

FloatArray = NDArray[np.float64]

ALIASES = {"su": "longrope", "mrope": "default"}  # mrope: on text all three axes hold the same position


def default(rotary_dim: int, base: float) -> FloatArray:
    """The geometric frequencies of RoFormer: theta_i = base^(-2i / rotary_dim) (R-geometric).

    rotary_dim even and >= 2, base > 1. Raises RopesimError otherwise.

    >>> default(4, 10000.0)
    array([1.  , 0.01])
    """
    return _powers(_even(rotary_dim, 2), number("base", base, above=1))


def linear(rotary_dim: int, base: float, *, factor: float) -> FloatArray:
    """Position interpolation: theta_i / factor (R-linear).

    factor > 0, dimensionless. Raises RopesimError otherwise.

    >>> linear(4, 10000.0, factor=4)
    array([0.25  , 0.0025])
    """
    return default(rotary_dim, base) / number("factor", factor, above=0)


def ntk(rotary_dim: int, base: float, *, factor: float) -> FloatArray:
    """Static NTK-aware scaling: base' = base * factor^(d / (d - 2)), d = rotary_dim (R-ntk).

    The slowest pair ends up exactly at theta / factor. rotary_dim >= 4, factor > 0. Raises RopesimError otherwise.

    >>> ntk(4, 10000.0, factor=4)
    array([1.    , 0.0025])
    """
    dim = _even(rotary_dim, 4)
    stretch = number("factor", factor, above=0) ** (dim / (dim - 2))
    return _powers(dim, number("base", base, above=1) * stretch)


def dynamic(
    rotary_dim: int, base: float, *, factor: float, original_max_position_embeddings: float, length: float | None = None
) -> FloatArray:
    """Dynamic NTK: static NTK with factor s*n/L - (s - 1), n = max(length, L), L the trained context (R-dynamic).

    Up to length = L (or length None) this is the unscaled schedule. rotary_dim >= 4, factor and L > 0, tokens.
    Raises RopesimError otherwise.

    >>> bool((dynamic(4, 10000.0, factor=2, original_max_position_embeddings=8) == default(4, 10000.0)).all())
    True
    """
    s = number("factor", factor, above=0)
    trained = number("original_max_position_embeddings", original_max_position_embeddings, above=0)
    seen = trained if length is None else max(number("length", length, above=0), trained)
    return ntk(rotary_dim, base, factor=s * seen / trained - (s - 1))


def yarn(
    rotary_dim: int,
    base: float,
    *,
    factor: float,
    original_max_position_embeddings: float,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    truncate: bool = True,
) -> FloatArray:
    """YaRN: pairs with over beta_fast turns in the trained context stay, under beta_slow are interpolated (R-yarn).

    Between the two a ramp, linear in the pair's index, mixes theta and theta / factor; its ends are rounded outwards
    if `truncate`. 0 <= beta_slow <= beta_fast, beta_fast > 0; L > 0, tokens. Raises RopesimError otherwise.

    >>> yarn(4, 10000.0, factor=4, original_max_position_embeddings=512)
    array([1.    , 0.0025])
    """
    theta, s = default(rotary_dim, base), number("factor", factor, above=0)
    trained = number("original_max_position_embeddings", original_max_position_embeddings, above=0)
    fast, slow = number("beta_fast", beta_fast, above=0), number("beta_slow", beta_slow, least=0, most=beta_fast)
    low, high = _ramp_ends(rotary_dim, base, trained, fast, slow, _flag("truncate", truncate))
    mix = np.clip((np.arange(len(theta)) - low) / (high - low), 0.0, 1.0)
    return theta * (1.0 - mix) + theta / s * mix


def yarn_attention(
    *,
    factor: float,
    attention_factor: float | None = None,
    mscale: float | None = None,
    mscale_all_dim: float | None = None,
) -> float:
    """YaRN's factor on cos and sin: g(s, mscale) / g(s, mscale_all_dim), g(s, 1) unless both given (R-yarn-attention).

    g(s, m) = 0.1 m ln s + 1 for s > 1, else 1; `attention_factor`, when given, wins. Dimensionless, > 0.
    Raises RopesimError for a factor <= 0 or a negative mscale.

    >>> round(yarn_attention(factor=4), 10)
    1.1386294361
    """
    if attention_factor is not None:
        return number("attention_factor", attention_factor, above=0)
    s = number("factor", factor, above=0)
    top = 0.0 if mscale is None else number("mscale", mscale, least=0)
    bottom = 0.0 if mscale_all_dim is None else number("mscale_all_dim", mscale_all_dim, least=0)
    return _temperature(s, top) / _temperature(s, bottom) if top and bottom else _temperature(s, 1.0)


def longrope(
    rotary_dim: int,
    base: float,
    *,
    short_factor: Sequence[float],
    long_factor: Sequence[float],
    original_max_position_embeddings: float,
    length: float | None = None,
) -> FloatArray:
    """LongRoPE: theta_i / f_i, f the long factors if length exceeds the original context, else the short (R-longrope).

    Both lists hold rotary_dim / 2 numbers > 0; length None means within the original context. Raises RopesimError.

    >>> longrope(4, 10000.0, short_factor=[1, 1], long_factor=[1, 2], original_max_position_embeddings=8, length=9)
    array([1.   , 0.005])
    """
    theta = default(rotary_dim, base)
    short = _factors("short_factor", short_factor, len(theta))
    long = _factors("long_factor", long_factor, len(theta))
    trained = number("original_max_position_embeddings", original_max_position_embeddings, above=0)
    beyond = length is not None and number("length", length, above=0) > trained
    return theta / (long if beyond else short)


def longrope_attention(
    *, original_max_position_embeddings: float, factor: float | None = None, attention_factor: float | None = None
) -> float:
    """LongRoPE's factor on cos and sin: sqrt(1 + ln s / ln L0), 1 for s <= 1 (R-longrope-attention).

    s = factor = (extended context) / L0; L0 > 1, tokens. `attention_factor`, when given, wins. Raises RopesimError.

    >>> round(longrope_attention(factor=32, original_max_position_embeddings=4096), 10)
    1.1902380714
    """
    if attention_factor is not None:
        return number("attention_factor", attention_factor, above=0)
    s = number("factor", factor, above=0)
    trained = number("original_max_position_embeddings", original_max_position_embeddings, above=1)
    return sqrt(1.0 + log(s) / log(trained)) if s > 1.0 else 1.0


def llama3(
    rotary_dim: int,
    base: float,
    *,
    factor: float,
    low_freq_factor: float,
    high_freq_factor: float,
    original_max_position_embeddings: float,
) -> FloatArray:
    """Llama 3.1: keep above high_freq_factor turns in the original context, divide below low, blend between (R-llama3).

    The blend is linear in the number of turns. 0 < low_freq_factor < high_freq_factor. Raises RopesimError otherwise.

    >>> options = {"low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}
    >>> llama3(4, 10000.0, factor=8, **options)
    array([1.  , 0.01])
    """
    theta, s = default(rotary_dim, base), number("factor", factor, above=0)
    low = number("low_freq_factor", low_freq_factor, above=0)
    high = number("high_freq_factor", high_freq_factor, above=low)
    trained = number("original_max_position_embeddings", original_max_position_embeddings, above=0)
    keep = np.clip((trained * theta / (2 * np.pi) - low) / (high - low), 0.0, 1.0)
    return keep * theta + (1.0 - keep) * theta / s


def proportional(
    rotary_dim: int, base: float, *, partial_rotary_factor: float = 1.0, factor: float = 1.0
) -> FloatArray:
    """p-RoPE: the fastest floor(p d / 2) frequencies of the whole head, the others 0, all over factor (R-proportional).

    Not partial rotary, which spreads a whole schedule over fewer pairs. 0 <= p <= 1, factor > 0. Raises RopesimError.

    >>> proportional(4, 10000.0, partial_rotary_factor=0.5)
    array([1., 0.])
    """
    theta = linear(rotary_dim, base, factor=factor)
    p = number("partial_rotary_factor", partial_rotary_factor, least=0, most=1)
    theta[int(p * rotary_dim // 2):] = 0.0
    return theta


def half_dft(pairs: int) -> FloatArray:
    """The frequencies 2 pi s / (2 M + 1), s = 1..M: their cosines sum to M at lag 0, -1/2 at every other (R-half-dft).

    M = pairs >= 1; the sum has period 2 M + 1 tokens. Slowest pair first. Raises RopesimError otherwise.

    >>> half_dft(1)
    array([2.0943951])
    """
    return 2.0 * np.pi * np.arange(1, whole("pairs", pairs, least=1) + 1) / (2 * pairs + 1)


SCHEDULES: Mapping[str, Callable[..., FloatArray]] = {
    f.__name__: f for f in (default, linear, ntk, dynamic, yarn, longrope, llama3, proportional)
}
ATTENTION: Mapping[str, Callable[..., float]] = {"yarn": yarn_attention, "longrope": longrope_attention}
CALLERS = ("rotary_dim", "base", "length")  # arguments that never come from a scaling mapping


def scaled(
    rotary_dim: int,
    base: float,
    scaling: Mapping[str, Any],
    *,
    context: float | None = None,
    length: float | None = None,
) -> tuple[FloatArray, float]:
    """Frequencies and attention factor of a scaling mapping: {"type": ..., and the keywords of that schedule}.

    What the mapping leaves out comes from `context` (tokens): dynamic's trained context, and the factor of yarn and
    longrope, context / original. Raises RopesimError for an unknown type or key, a missing key, a value out of range.

    >>> scaled(4, 10000.0, {"type": "linear", "factor": 4})[0]
    array([0.25  , 0.0025])
    """
    kind = scaling_type(scaling)
    given = {key: value for key, value in scaling.items() if key not in ("type", "rope_type")}
    for key in given:
        if key not in keys(kind):
            remedy = f"a {kind} scaling has no such key; {nearest(key, keys(kind))}"
            raise RopesimError(f"scaling.{key}", given[key], remedy)
    given = _completed(kind, given, context)
    theta = _call(SCHEDULES[kind], kind, {**given, "rotary_dim": rotary_dim, "base": base, "length": length})
    return theta, _call(ATTENTION[kind], kind, given) if kind in ATTENTION else 1.0


def scaling_type(scaling: Mapping[str, Any]) -> str:
    """The schedule a mapping asks for: its `rope_type`, or `type`, aliases resolved; RopesimError if there is none.

    >>> scaling_type({"type": "su"})
    'longrope'
    """
    kind = scaling.get("rope_type") or scaling.get("type")
    kind = ALIASES.get(kind, kind) if isinstance(kind, str) else kind
    if not isinstance(kind, str) or kind not in SCHEDULES:
        raise RopesimError("scaling.type", kind, nearest(kind, SCHEDULES))
    return kind


def keys(kind: str) -> list[str]:
    """The keys a scaling mapping of this type may hold, besides its type.

    >>> keys("linear")
    ['factor']
    """
    functions = [table[kind] for table in (SCHEDULES, ATTENTION) if kind in table]
    names = (name for function in functions for name in inspect.signature(function).parameters)
    return [name for name in dict.fromkeys(names) if name not in CALLERS]


def nearest(word: object, options: Iterable[str]) -> str:
    """The remedy for a misspelt name: the closest option, or a dozen of them if none is close.

    >>> nearest("fator", ["factor", "truncate"])
    "did you mean 'factor'?"
    """
    known = sorted(options)
    close = get_close_matches(str(word), known, 1)
    return f"did you mean {close[0]!r}?" if close else "use " + (" or ".join(map(repr, known[:12])) or "none")


def _powers(dim: int, base: float) -> FloatArray:
    return np.power(base, -np.arange(0, dim, 2) / dim)


def _even(rotary_dim: int, least: int) -> int:
    dim = whole("rotary_dim", rotary_dim, least=least)
    if dim % 2:
        raise RopesimError("rotary_dim", dim, "use an even number, a pair takes two coordinates")
    return dim


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise RopesimError(name, value, "use true or false")
    return value


def _factors(name: str, value: Sequence[float], pairs: int) -> FloatArray:
    factors = array(name, value, (pairs,))
    if (factors <= 0).any():
        raise RopesimError(name, factors.min(), "use numbers above 0")
    return factors


def _temperature(s: float, mscale: float) -> float:
    return 0.1 * mscale * log(s) + 1.0 if s > 1.0 else 1.0


def _ramp_ends(dim: int, base: float, trained: float, fast: float, slow: float, truncate: bool) -> tuple[float, float]:
    def index(turns: float) -> float:
        return dim * log(trained / (2 * np.pi * turns)) / (2 * log(base)) if turns else inf

    low, high = max(index(fast), 0.0), min(index(slow), dim - 1.0)
    low, high = (float(floor(low)), float(ceil(high))) if truncate else (low, high)
    # The reference code widens only low == high. With low > high (a tiny base, a huge context) it would turn the ramp
    # round and interpolate the fast pairs; a step at `low` is what the two betas mean.
    return low, max(high, low + 0.001)


def _completed(kind: str, given: Mapping[str, Any], context: float | None) -> dict[str, Any]:
    full = {key: value for key, value in given.items() if value is not None}
    if context is None:
        return full
    if kind == "dynamic":
        full.setdefault("original_max_position_embeddings", context)
    trained = full.get("original_max_position_embeddings")
    if kind in ATTENTION and trained is not None:
        full.setdefault("factor", context / number("original_max_position_embeddings", trained, above=0))
    return full


def _call(function: Callable[..., Any], kind: str, given: Mapping[str, Any]) -> Any:
    wanted = inspect.signature(function).parameters
    for name, parameter in wanted.items():
        if parameter.default is parameter.empty and name not in given:
            raise RopesimError(f"scaling.{name}", None, f"a {kind} scaling needs it")
    return function(**{name: value for name, value in given.items() if name in wanted})
