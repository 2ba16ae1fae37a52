"""Hypothesis strategies for property tests of your own: frequency tables, heads, queries and keys, score matrices.

All arguments are keywords. Sizes are small unless you ask for more. Whatever holds more than 16 numbers is built from a
seed, so that a draw costs one to three milliseconds; the scalars beside it shrink towards one token, one pair, no
noise, no phase.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from . import bands as _bands
from . import ensembles, gaussians, processes, schedules
from .bands import Bands
from .ensembles import Ensemble, Sample
from .errors import RopesimError, whole
from .wrappers import Factor, Noise, Sink

FEW = 16                                       # numbers that are drawn one by one, so that each shrinks by itself
BANDS = ("custom", *schedules.SCHEDULES, "half-dft")
HEADS = ("constant", "slash", "gaussian", "full-gaussian", "cone", "massive", "ar1", "random-walk", "seasonal",
         "jumping", "captured")
TOKENS = ("same", "normal", "repeated", "massive")
ROWS = ("uniform", "one-hot", "soft", "near-tie")
SCORES = (*ROWS, "mixed")

_SEEDS = st.integers(0, 2 ** 32 - 1)
_BASES = st.just(1e4) | st.floats(1.5, 1e7)
_FACTORS = st.floats(0.5, 64)
_ORIGINALS = st.integers(32, 1 << 14)
_LAYOUTS = st.sampled_from(_bands.LAYOUTS)
_CONTEXTS = st.none() | st.integers(1, 1 << 15)
_FREQUENCIES = st.sampled_from((0.0, 1.0, math.pi)) | st.floats(-4, 4, allow_subnormal=False)
_SIZES = st.floats(0, 2, allow_subnormal=False)
_SHARES = st.sampled_from((0.0, 1.0)) | st.floats(0, 1, allow_subnormal=False)
_CORRELATIONS = st.sampled_from((0.0, 1.0, -1.0)) | st.floats(-1, 1, allow_subnormal=False)


class Head(NamedTuple):
    """A head with the frequencies and the length that it goes with: ensemble.sample(length, rng, theta).

    Made by `heads`.
    """

    ensemble: Ensemble
    theta: np.ndarray                          # float64[B], without those that the ensemble appends
    length: int


# Frequency tables

def bands(*, kinds: Iterable[str] = BANDS, min_pairs: int = 1, max_pairs: int = 4,
          partial: bool = True) -> SearchStrategy[Bands]:
    """Frequency tables of every schedule, both layouts, with attention factors; head_dim = 2 pairs.

    kinds: of `BANDS`; "custom" holds zeros, repeated and negative frequencies too. partial: also tables that leave
    the last pairs unrotated (R-partial). ntk and dynamic need two pairs and are left out below. A published table is
    `sampled_from(ropesim.bands.names()).map(ropesim.bands.preset)`. Shrinks to one pair, theta 0 or 1. Raises
    RopesimError for an unknown kind, and for sizes that no kind has.

    >>> from hypothesis import given
    >>> @given(bands(kinds=["yarn", "llama3"]))
    ... def test_pairs_turn_slower_than_asked(table):
    ...     assert (table.theta <= max(1, 1 / table.scaling["factor"])).all()
    >>> test_pairs_turn_slower_than_asked()
    """
    least, most = _range("pairs", min_pairs, max_pairs)
    possible = [kind for kind in _chosen("kinds", kinds, BANDS) if _least(kind) <= most]
    if not possible:
        raise RopesimError("max_pairs", max_pairs, "use at least 2, ntk and dynamic need two pairs")
    return _tables(possible, least, most, partial)


def thetas(*, kinds: Iterable[str] = BANDS, min_pairs: int = 1, max_pairs: int = 4,
           partial: bool = True) -> SearchStrategy[np.ndarray]:
    """The frequencies of such a table alone, float64[B], rad per token, writeable. Arguments as for `bands`.

    >>> from hypothesis import given
    >>> @given(thetas(kinds=["default"]))
    ... def test_frequencies_fall(theta):
    ...     assert (np.diff(theta[theta > 0]) < 0).all()
    >>> test_frequencies_fall()
    """
    tables = bands(kinds=kinds, min_pairs=min_pairs, max_pairs=max_pairs, partial=partial)
    return tables.map(lambda table: table.theta.copy())


@st.composite
def _tables(draw: DrawFn, kinds: list[str], least: int, most: int, partial: bool) -> Bands:
    kind = draw(st.sampled_from(kinds))
    pairs = draw(st.integers(max(least, _least(kind)), most))
    if kind == "half-dft":
        return _bands.half_dft(pairs, layout=draw(_LAYOUTS))
    splits = partial and kind != "proportional"                    # which spans the head and has zeros of its own
    rotated = pairs - draw(st.integers(0, pairs - _least(kind) if splits else 0))
    common: dict[str, Any] = {"rotary_dim": 2 * rotated, "layout": draw(_LAYOUTS), "context": draw(_CONTEXTS)}
    if kind == "custom":
        theta = np.append(_numbers(draw, _FREQUENCIES, rotated, _spread_frequencies), np.zeros(pairs - rotated))
        return _bands.custom(theta, attention_factor=draw(st.floats(0.5, 2)), **common)
    scaling = draw(st.fixed_dictionaries(_required(kind), optional=_OPTIONAL.get(kind, {})))
    if kind == "longrope":
        for name in ("short_factor", "long_factor"):
            scaling[name] = _numbers(draw, st.floats(1, 64), rotated, _spread_factors).tolist()
    length = draw(st.none() | st.integers(1, 1 << 17)) if kind in ("dynamic", "longrope") else None
    return _bands.geometric(2 * pairs, draw(_BASES), scaling={"type": kind, **scaling}, length=length, **common)


def _least(kind: str) -> int:
    return 2 if kind in ("ntk", "dynamic") else 1


def _required(kind: str) -> dict[str, SearchStrategy[Any]]:
    needed = {"linear": ["factor"], "ntk": ["factor"], "dynamic": ["factor", "original_max_position_embeddings"],
              "proportional": [], "default": []}.get(kind, ["factor", "original_max_position_embeddings"])
    made: dict[str, SearchStrategy[Any]] = {"factor": _FACTORS, "original_max_position_embeddings": _ORIGINALS}
    blend = {"low_freq_factor": st.floats(0.5, 2), "high_freq_factor": st.floats(3, 8)} if kind == "llama3" else {}
    return {name: made[name] for name in needed} | blend


_OPTIONAL: dict[str, dict[str, SearchStrategy[Any]]] = {
    "yarn": {"beta_fast": st.floats(4, 64), "beta_slow": st.floats(0, 4, allow_subnormal=False),
             "truncate": st.booleans(), "attention_factor": st.floats(0.5, 2), "mscale": st.floats(0.125, 2),
             "mscale_all_dim": st.floats(0.125, 2)},
    "longrope": {"attention_factor": st.floats(0.5, 2)},
    "proportional": {"partial_rotary_factor": _SHARES, "factor": _FACTORS},
}


def _spread_frequencies(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.asarray(rng.choice([-1.0, 0.0, 1.0, 1.0], count) * 10.0 ** rng.uniform(-6, 0.5, count))


def _spread_factors(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(1, 64, count)


# Heads

def heads(*, kinds: Iterable[str] = HEADS, min_pairs: int = 1, max_pairs: int = 3, min_length: int = 1,
          max_length: int = 8, noise: bool = True, factor: bool = True, sink: bool = True) -> SearchStrategy[Head]:
    """Heads of every kind with frequencies and a length, bare or with a noise, a factor on rotary pairs and a sink.

    kinds: of `HEADS`; pairs B and length T (tokens) within the bounds; noise, factor, sink: whether some heads get one
    (E-noise), (E-factor), (E-sink). Logits stay below a few hundred. Shrinks to a bare constant head, one token, one
    pair, amplitude and phase 0. Raises RopesimError for an unknown kind or bounds out of order.

    >>> from hypothesis import given
    >>> @given(heads(sink=False))
    ... def test_one_query_for_each_token(head):
    ...     q, k, theta = head.ensemble.sample(head.length, np.random.default_rng(0), head.theta)
    ...     assert q.shape == k.shape == (head.length, theta.size)
    >>> test_one_query_for_each_token()
    """
    pairs, length = _range("pairs", min_pairs, max_pairs), _range("length", min_length, max_length)
    return _heads(_chosen("kinds", kinds, HEADS), pairs, length, (noise, factor, sink))


@st.composite
def _heads(draw: DrawFn, kinds: list[str], pairs: tuple[int, int], length: tuple[int, int],
           wrappers: tuple[bool, bool, bool]) -> Head:
    kind, tokens = draw(st.sampled_from(kinds)), draw(st.integers(*length))
    theta = draw(thetas(min_pairs=pairs[0], max_pairs=pairs[1]))
    bare = _ARRAYS[kind](draw, theta.size, tokens) if kind in _ARRAYS else draw(_scalars(kind, theta.size, tokens))
    return Head(_wrapped(draw, bare, theta.size, wrappers), theta, tokens)


def _wrapped(draw: DrawFn, head: Ensemble, pairs: int, wrappers: tuple[bool, bool, bool]) -> Ensemble:
    noise, factor, sink = wrappers
    if noise and draw(st.booleans()):
        head = Noise(head, draw(_SHARES))
    if factor and draw(st.booleans()):
        head = Factor(head, draw(st.floats(0.5, 2)), draw(st.integers(0, pairs)))
    if sink and draw(st.booleans()):
        head = Sink(head, draw(st.floats(-4, 8, allow_subnormal=False)), draw(st.sampled_from((1.0, 0.125))))
    return head


def _scalars(kind: str, pairs: int, length: int) -> SearchStrategy[Ensemble]:
    """A head that is described by scalars: a slash head, or one that varies around it."""
    around = {"lag": st.integers(0, length - 1), "strength": st.floats(0, 4, allow_subnormal=False)}
    both = {"sigma_q": _SIZES, "sigma_k": _SIZES}
    made: Mapping[str, tuple[Callable[..., Ensemble], dict[str, SearchStrategy[Any]]]] = {
        "slash": (ensembles.Slash, {}),
        "gaussian": (gaussians.Gaussian, {**both, "correlation": _CORRELATIONS}),
        "cone": (gaussians.Cone, {"cosine": _SHARES, "width": st.integers(2, 8), "sigma": _SIZES,
                                  "weights_seed": _SEEDS}),
        "massive": (gaussians.Massive, {**both, "pair": st.integers(0, pairs - 1), "massive_q": st.floats(-8, 8),
                                        "massive_k": st.floats(-8, 8)}),
        "ar1": (processes.Ar1, {**both, "rho_q": _CORRELATIONS, "rho_k": _CORRELATIONS}),
        "random-walk": (processes.RandomWalk, {"step": _SHARES, "length": st.just(length)}),
        "seasonal": (processes.Seasonal, {**both, "period": st.integers(1, length)}),
        "jumping": (processes.Jumping, {"rate": _SHARES, "gain": _SIZES, "sigma_k": _SIZES,
                                        "reach": st.integers(1, length)}),
    }
    head, fields = made[kind]
    return st.builds(head, **around, **fields)


def _constant(draw: DrawFn, pairs: int, length: int) -> Ensemble:
    amplitude = _numbers(draw, st.floats(0, 4, allow_subnormal=False), pairs, lambda rng, n: rng.uniform(0, 4, n))
    angles = st.floats(-math.pi, math.pi, allow_subnormal=False)
    phase = _numbers(draw, angles, pairs, lambda rng, n: rng.uniform(-math.pi, math.pi, n))
    return ensembles.Constant(tuple(amplitude.tolist()), tuple(phase.tolist()))


def _full_gaussian(draw: DrawFn, pairs: int, length: int) -> Ensemble:
    rng, rank = np.random.default_rng(draw(_SEEDS)), draw(st.integers(0, 4 * pairs))
    root = draw(_SIZES) * rng.standard_normal((4 * pairs, rank)) / math.sqrt(max(rank, 1))  # singular below full rank
    joint, size = root @ root.T, 2 * pairs
    mean_q, mean_k = draw(_SIZES) * gaussians.normal(2, pairs, rng)
    return gaussians.FullGaussian(mean_q, mean_k, joint[:size, :size], joint[size:, size:], joint[size:, :size])


def _captured(draw: DrawFn, pairs: int, length: int) -> Ensemble:
    return ensembles.Captured(*_tokens(draw, TOKENS, length, pairs, 2.0))


_ARRAYS: dict[str, Callable[[DrawFn, int, int], Ensemble]] = {
    "constant": _constant, "full-gaussian": _full_gaussian, "captured": _captured}


# Queries and keys

def queries_and_keys(*, kinds: Iterable[str] = TOKENS, min_pairs: int = 1, max_pairs: int = 3, min_length: int = 1,
                     max_length: int = 8, size: float = 4.0) -> SearchStrategy[Sample]:
    """Queries, keys and frequencies before RoPE: complex128[T, B], complex128[T, B], float64[B], as a head samples.

    kinds: "same", all tokens alike; "normal", independent; "repeated", a few tokens over and over, so that scores tie;
    "massive", one pair 50 times as large. size: of a component at most, before that. Shrinks to one token, one
    pair, zeros. Raises RopesimError for an unknown kind, bounds out of order, or a size that is not above 0.

    >>> from hypothesis import given
    >>> @given(queries_and_keys(kinds=["same"]))
    ... def test_all_tokens_are_alike(drawn):
    ...     q, k, theta = drawn
    ...     assert (q == q[0]).all()
    >>> test_all_tokens_are_alike()
    """
    pairs, length = _range("pairs", min_pairs, max_pairs), _range("length", min_length, max_length)
    if not 0 < size < math.inf:
        raise RopesimError("size", size, "use a finite number above 0")
    return _samples(_chosen("kinds", kinds, TOKENS), pairs, length, float(size))


@st.composite
def _samples(draw: DrawFn, kinds: list[str], pairs: tuple[int, int], length: tuple[int, int], size: float) -> Sample:
    tokens, theta = draw(st.integers(*length)), draw(thetas(min_pairs=pairs[0], max_pairs=pairs[1]))
    q, k = _tokens(draw, kinds, tokens, theta.size, size)
    return q, k, theta


def _tokens(draw: DrawFn, kinds: Collection[str], length: int, pairs: int,
            size: float) -> tuple[np.ndarray, np.ndarray]:
    kind, rng = draw(st.sampled_from(list(kinds))), np.random.default_rng(draw(_SEEDS))
    scales = [draw(st.floats(0, size, allow_subnormal=False)) for _ in "qk"]
    drawn = rng.uniform(-1, 1, (2, length, pairs, 2)).view(np.complex128)[..., 0]
    if kind == "same":
        drawn = np.tile(drawn[:, :1], (1, length, 1))
    elif kind == "repeated":
        drawn = drawn[:, rng.integers(0, max(length // 2, 1), length)]
    elif kind == "massive":
        drawn[..., rng.integers(pairs)] *= 50
    return scales[0] * drawn[0], scales[1] * drawn[1]


# Scores

def scores(*, kinds: Iterable[str] = SCORES, min_length: int = 1, max_length: int = 8,
           window: bool = True) -> SearchStrategy[np.ndarray]:
    """Causal score matrices float64[T, T]: rows sum to 1, zero above the diagonal, some within a window of lags.

    kinds: "uniform" over the keys seen; "one-hot"; "soft", a softmax from flat to sharp; "near-tie", equal up to a
    relative 1e-3 .. 1e-15; "mixed", rows of all these. window: whether some matrices see the last few keys only.
    Shrinks to one token, then to uniform rows. Raises RopesimError for an unknown kind or bounds out of order.

    >>> from hypothesis import given
    >>> @given(scores())
    ... def test_no_key_gets_more_than_every_row(matrix):
    ...     assert (matrix.sum(axis=0) <= len(matrix)).all()
    >>> test_no_key_gets_more_than_every_row()
    """
    return _scores(_chosen("kinds", kinds, SCORES), _range("length", min_length, max_length), window)


@st.composite
def _scores(draw: DrawFn, kinds: list[str], bounds: tuple[int, int], windowed: bool) -> np.ndarray:
    kind, length = draw(st.sampled_from(kinds)), draw(st.integers(*bounds))
    width = draw(st.just(length) | st.integers(1, length)) if windowed else length
    if kind == "uniform":
        rng, spread, gap = np.random.default_rng(0), 0.0, 0.0
    else:
        rng = np.random.default_rng(draw(_SEEDS))
        spread, gap = draw(st.floats(0, 40, allow_subnormal=False)), 10.0 ** -draw(st.integers(3, 15))
    rows = rng.choice(ROWS, length) if kind == "mixed" else [kind] * length
    matrix = np.zeros((length, length))
    for i, of_row in enumerate(rows):
        first = max(i + 1 - width, 0)
        matrix[i, first:i + 1] = _row(str(of_row), i + 1 - first, rng, spread, gap)
    return matrix


def _row(kind: str, seen: int, rng: np.random.Generator, spread: float, gap: float) -> np.ndarray:
    if kind == "uniform":
        return np.full(seen, 1 / seen)
    if kind == "one-hot":
        return np.eye(seen)[rng.integers(seen)]
    if kind == "near-tie":
        weights = 1 + gap * rng.uniform(-1, 1, seen)
    else:
        logits = spread * rng.standard_normal(seen)
        weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


# What they share

def _numbers(draw: DrawFn, each: SearchStrategy[float], count: int,
             many: Callable[[np.random.Generator, int], np.ndarray]) -> np.ndarray:
    """So many numbers: one by one where they are few, else all from one seed."""
    if count <= FEW:
        return np.array(draw(st.lists(each, min_size=count, max_size=count)))
    return many(np.random.default_rng(draw(_SEEDS)), count)


def _chosen(name: str, given: Iterable[str], known: tuple[str, ...]) -> list[str]:
    kinds = [given] if isinstance(given, str) else list(given)
    for kind in kinds:
        if kind not in known:
            raise RopesimError(name, kind, schedules.nearest(kind, known))
    if not kinds:
        raise RopesimError(name, kinds, "give at least one kind")
    return kinds


def _range(name: str, least: int, most: int) -> tuple[int, int]:
    low = whole(f"min_{name}", least, least=1)
    return low, whole(f"max_{name}", most, least=low)
