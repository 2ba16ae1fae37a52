"""Put anyone's RoPE function through the identities that make it one, and see which layout and frequencies it has.

A function under test takes x, float64[T, head_dim], and positions, int64[T] (tokens; any order, some repeated), and
returns the rotated x as an array or anything that `numpy.asarray` reads. One that works on cos and sin tables:

    def fn(x, positions):
        cos, sin = tables[0][positions], tables[1][positions]        # [T, head_dim] each
        return x * cos + rotate_half(x) * sin

One that works on torch tensors of shape [batch, heads, T, head_dim]:

    def fn(x, positions):
        x, positions = torch.from_numpy(x)[None, None], torch.from_numpy(positions)[None]
        cos, sin = rotary(x, positions)
        return apply_rotary_pos_emb(x, x, cos, sin)[0][0, 0].detach()   # .float() first, if it is bfloat16

One that has the rotated coordinates last, or one section of them per axis, is tested on one section at a time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import schedules
from .bands import LAYOUTS, pair
from .errors import RopesimError, array, number, whole

Rotation = Callable[[np.ndarray, np.ndarray], Any]
PROBES = 8                 # random vectors that are rotated besides the unit vectors


class Report(NamedTuple):
    """What `assert_is_rope` found out about a function.

    layout: "half" or "interleaved", as in `bands.pair`; a single pair is both, and reported as "half". rotary_dim: the
    coordinates that take part; pairs at the end that neither turn nor are scaled count only where the layout
    shows them. theta: float64[head_dim / 2], rad per token, measured, from -pi to pi: the angle at whole
    positions says no more. It is negative where (x1, x2) turns from x2 towards x1. reversed: pairs that turn against
    the given theta, or without one against the usual sense. attention_factor: what the rotary coordinates
    are multiplied by. error: largest deviation from any identity, in units of a unit vector.

    >>> assert_is_rope(lambda x, positions: turned(x, positions, [0.5]), head_dim=2).rotary_dim
    2
    """

    layout: str
    rotary_dim: int
    theta: np.ndarray
    reversed: tuple[int, ...]
    attention_factor: float
    error: float


class _Images(NamedTuple):
    """What a function makes of the unit vectors: images[p, c] is that of e_c at positions[p], without the factor."""

    positions: np.ndarray
    images: np.ndarray
    gain: np.ndarray                # float64[head_dim], the factor of each coordinate

    def at(self, position: int) -> np.ndarray:
        return self.images[np.searchsorted(self.positions, position)]


class _Ledger:
    """Holds deviations against the tolerance, and keeps the largest."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance, self.error = tolerance, 0.0

    def hold(self, deviation: np.ndarray, complaint: Callable[..., str]) -> None:
        """AssertionError with complaint(*indices) at the first entry of the deviations that is too large, or nan."""
        wrong = ~(deviation <= self.tolerance)
        if wrong.any():
            where = np.unravel_index(int(np.argmax(wrong)), deviation.shape)
            raise AssertionError(f"{complaint(*map(int, where))}, by {deviation[where]:.3g}, more than the tolerance "
                                 f"of {self.tolerance:g}")
        self.error = max(self.error, float(deviation.max(initial=0.0)))


def assert_is_rope(fn: Rotation, *, head_dim: int, theta: ArrayLike | None = None, base: float | None = None,
                   length: int = 1024, tolerance: float = 1e-9, seed: int = 0) -> Report:
    """Whether fn(x, positions) is a rotary position embedding; what kind, as a `Report`.

    head_dim even. theta, real [head_dim / 2], rad per token, as in `Bands`, or base > 1: the frequencies it should
    have, in the order of the pairs and up to their signs; without both they are measured only. Positions are Fibonacci
    numbers from 0 and their distances from length - 1, length >= 3 tokens. tolerance > 0: of every coordinate, for
    vectors of norm 1; a function in float32 needs about 1e-6 and, where its angles are float32, 1e-7 length. A pair
    that turns by less than the tolerance within the length counts as unrotated. The module says how to adapt other
    signatures; `fn` is called three times, on some 40 head_dim rows.

    Raises AssertionError with one sentence on the first of these that fails, where, and by how much; R_i is fn at
    position i, divided by the attention factor. RopesimError for bad arguments.

        each row depends on its own vector and position alone;   R_0 = I;   fn is linear;   |R_i x| = |x|;
        (R_i q) . (R_j k) = (R_{i-j} q) . k;   R_i R_j = R_{i+j};   coordinates turn in pairs of one layout (R-pair);
        the angle of pair b at position i is i theta_b

    >>> report = assert_is_rope(lambda x, positions: turned(x, positions, [1.0, 0.01]), head_dim=4, base=1e4)
    >>> report.layout, report.rotary_dim, report.theta.round(6)
    ('half', 4, array([1.  , 0.01]))
    """
    if whole("head_dim", head_dim, least=2) % 2:
        raise RopesimError("head_dim", head_dim, "use an even number, a pair takes two coordinates")
    if theta is not None and base is not None:
        raise RopesimError("base", base, "give theta or base, not both")
    wanted = None if theta is None else array("theta", theta, (head_dim // 2,))
    if base is not None:
        number("base", base, above=1)
    ledger = _Ledger(number("tolerance", tolerance, above=0))
    measured = _measure(fn, head_dim, _positions(whole("length", length, least=3)), np.random.default_rng(seed), ledger)
    _norms(measured, ledger)
    _shifts(measured, np.random.default_rng(seed), ledger)
    _compositions(measured, ledger)
    unturned = np.ones((measured.positions.size, head_dim // 2))
    still = wanted is not None and bool((_off(measured.positions, unturned, wanted) <= tolerance).all())
    layout, rotary_dim = _layout(measured, ledger, still=still)
    phases = _phases(measured, layout, rotary_dim, ledger)
    if base is not None:
        wanted = np.zeros(head_dim // 2)
        wanted[:rotary_dim // 2] = schedules.default(rotary_dim, base)
    found, backwards = _frequencies(measured.positions, phases, wanted, ledger)
    return Report(layout, rotary_dim, found, backwards, float(measured.gain[0]), ledger.error)


def turned(x: ArrayLike, positions: ArrayLike, theta: ArrayLike, *, attention_factor: float = 1.0) -> np.ndarray:
    """A plain RoPE in the layout "half", for a comparison: x real [T, 2B], positions [T], theta [B].

    attention_factor multiplies all coordinates. Raises RopesimError for other shapes.

    >>> turned([[1.0, 0.0]], [1], [np.pi / 2]).round(12) + 0.0
    array([[0., 1.]])
    """
    frequencies = array("theta", theta, (None,))
    z = pair(array("x", x, (None, 2 * frequencies.size)), "half")
    z = attention_factor * z * np.exp(1j * np.outer(array("positions", positions, (len(z),)), frequencies))
    return np.concatenate([z.real, z.imag], axis=1)


# Measuring

def _positions(length: int) -> np.ndarray:
    """Positions with many sums and differences among them: Fibonacci numbers, and length - 1 less each."""
    fibonacci = [0, 1]
    while fibonacci[-1] + max(fibonacci[-2], 1) < length:
        fibonacci.append(fibonacci[-1] + max(fibonacci[-2], 1))
    return np.unique([*fibonacci, *(length - 1 - np.array(fibonacci))])


def _measure(fn: Rotation, head_dim: int, positions: np.ndarray, rng: np.random.Generator, ledger: _Ledger) -> _Images:
    """The images of the unit vectors, once rows, position zero and linearity are known to be sound."""
    at = np.repeat(positions, head_dim)
    units = np.tile(np.eye(head_dim), (positions.size, 1))
    images = _called(fn, units, at).reshape(positions.size, head_dim, head_dim)
    back = _called(fn, units[::-1], at[::-1])[::-1].reshape(images.shape)
    ledger.hold(_apart(back, images), lambda p: "rows are not independent: the image of a vector at position "
                f"{positions[p]} changes when the rows come in reverse order")
    gain = _gain(images[0], ledger)
    probes = _unit_vectors((positions.size, PROBES, head_dim), rng)
    drawn = _called(fn, probes.reshape(-1, head_dim), np.repeat(positions, PROBES)).reshape(probes.shape)
    ledger.hold(_apart(drawn, probes @ images), lambda p: f"not linear: at position {positions[p]} the image of a "
                "vector is not the sum of the images of its coordinates")
    return _Images(positions, images / gain[:, None], gain)


def _called(fn: Rotation, x: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """What fn returns, as finite float64 of the shape of x; it may write into what it gets."""
    given = np.asarray(fn(x.copy(), positions.copy()))
    if given.dtype.kind not in "iuf":
        raise AssertionError(f"not real: fn returns an array of {given.dtype}, not of real numbers")
    if given.shape != x.shape:
        raise AssertionError(f"not of one shape: fn makes {given.shape} of x with the shape {x.shape}")
    rows = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if rows.size:
        raise AssertionError(f"not finite: fn returns nan or inf at position {positions[rows].min()}")
    return given.astype(np.float64)


def _gain(zero: np.ndarray, ledger: _Ledger) -> np.ndarray:
    """The factor of each coordinate at position 0: one factor > 0 of the first coordinates, 1 of the rest."""
    gain = np.diag(zero).copy()
    remedy = "position zero is not the identity: at position 0 fn changes unit vector"
    ledger.hold(np.abs(zero - np.diag(gain)).max(axis=1), lambda c: f"{remedy} {c}")
    if gain[0] <= 0:
        raise AssertionError(f"{remedy} 0, it is multiplied by {gain[0]:.3g}")
    scaled = np.cumprod(np.abs(gain - gain[0]) <= ledger.tolerance).astype(bool)
    ledger.hold(np.where(scaled, 0.0, np.abs(gain - 1)), lambda c: f"{remedy} {c} (an attention factor of {gain[0]:.6g}"
                " may multiply the first coordinates only)")
    factor = gain[0] if abs(gain[0] - 1) > ledger.tolerance else 1.0       # rounding is no factor
    return np.where(scaled, factor, 1.0)


def _unit_vectors(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal(shape)
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Largest difference at each position."""
    return np.abs(one - other).max(axis=(1, 2))


# Identities

def _norms(m: _Images, ledger: _Ledger) -> None:
    gram = m.images @ m.images.transpose(0, 2, 1)
    of_norms = np.abs(np.sqrt(np.diagonal(gram, axis1=1, axis2=2)) - 1).max(axis=1)
    ledger.hold(of_norms, lambda p: f"norms are not kept: at position {m.positions[p]} that of a unit vector changes")
    ledger.hold(_apart(gram, np.eye(m.gain.size)), lambda p: f"norms are not kept: at position {m.positions[p]} the "
                "right angle between two unit vectors changes")


def _shifts(m: _Images, rng: np.random.Generator, ledger: _Ledger) -> None:
    q, k = _unit_vectors((2, PROBES, m.gain.size), rng)
    where = [(i, j) for i, j in _pairs(m.positions) if i - j in m.positions]
    off = [np.abs(_dots(q @ m.at(i), k @ m.at(j)) - _dots(q @ m.at(i - j), k)).max() for i, j in where]
    ledger.hold(np.array(off), lambda n: "dot products do not depend on the lag alone: that of positions "
                f"{where[n][0]} and {where[n][1]} is not that of {where[n][0] - where[n][1]} and 0")


def _compositions(m: _Images, ledger: _Ledger) -> None:
    where = sorted([(i, j) for i, j in _pairs(m.positions) if i + j in m.positions], key=sum)
    off = [np.abs(m.at(i) @ m.at(j) - m.at(i + j)).max() for i, j in where]
    ledger.hold(np.array(off), lambda n: f"rotations do not compose: turning by position {where[n][1]} and then by "
                f"{where[n][0]} is not turning by {sum(where[n])}")


def _pairs(positions: np.ndarray) -> list[tuple[int, int]]:
    """(i, j), i >= j > 0, by rising i: the first that fails is where a function begins to go wrong."""
    return [(int(i), int(j)) for i in positions for j in positions if 0 < j <= i]


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray((x * y).sum(axis=1))


# Layout and frequencies

def _layout(m: _Images, ledger: _Ledger, *, still: bool) -> tuple[str, int]:
    """Which coordinates turn together: the layout and rotary_dim that explain it."""
    moved = np.abs(m.images - np.eye(m.gain.size)).max(axis=(0, 2)) > ledger.tolerance
    if not moved.any() and not still:
        raise AssertionError(f"nothing turns: fn returns the same at all positions up to {m.positions[-1]}")
    coupled = np.abs(m.images).max(axis=0)
    np.fill_diagonal(coupled, 0.0)
    coupled = np.maximum(coupled, coupled.T)
    partner = coupled.argmax(axis=1)
    _unmixed(m, coupled, partner, ledger)
    together = np.where(coupled.max(axis=1) > ledger.tolerance, partner, -1)
    scaled = int((m.gain != 1).sum())
    for layout, rotary_dim in _candidates(m.gain.size):
        if scaled in (0, rotary_dim) and _explains(layout, rotary_dim, together, moved):
            return layout, rotary_dim
    seen = [(c, int(d)) for c, d in enumerate(together) if c < d] or np.flatnonzero(moved).tolist()
    raise AssertionError(f"no known layout: coordinates {', '.join(map(str, seen[:4]))} turn together and "
                         f"{scaled or 'none'} of {m.gain.size} are scaled, which is neither half nor interleaved")


def _candidates(head_dim: int) -> list[tuple[str, int]]:
    """Every layout, few rotary coordinates first; a single pair is half."""
    return [(layout, dim) for layout in LAYOUTS for dim in range(0, head_dim + 1, 2) if layout == "half" or dim > 2]


def _explains(layout: str, rotary_dim: int, together: np.ndarray, moved: np.ndarray) -> bool:
    """Whether the rotary pairs hold all that move; a pair at half a turn per token moves, though not together."""
    first, second = _coordinates(moved.size, layout, rotary_dim)
    partner = np.full(moved.size, -1)
    partner[first], partner[second] = second, first
    held = np.isin(together, -1) | (together == partner)
    return bool(held.all() and not moved[rotary_dim:].any() and (moved[first] == moved[second]).all())


def _unmixed(m: _Images, coupled: np.ndarray, partner: np.ndarray, ledger: _Ledger) -> None:
    others = coupled.copy()
    others[np.arange(partner.size), partner] = 0.0
    ledger.hold(others.max(axis=1), lambda c: f"pairs are mixed: coordinate {c} turns into coordinate {partner[c]} "
                f"and, at position {_first(m, c, int(others[c].argmax()), ledger)}, into {others[c].argmax()}")


def _first(m: _Images, c: int, other: int, ledger: _Ledger) -> int:
    both = np.maximum(np.abs(m.images[:, c, other]), np.abs(m.images[:, other, c]))
    return int(m.positions[int(np.argmax(both > ledger.tolerance))])


def _phases(m: _Images, layout: str, rotary_dim: int, ledger: _Ledger) -> np.ndarray:
    """e^{1j angle} of each pair, complex128[P, B]; each must be a turn, not a reflection."""
    first, second = _coordinates(m.gain.size, layout, rotary_dim)
    paired = pair(m.images, layout, rotary_dim=rotary_dim)
    pairs = np.arange(first.size)
    of_first, of_second = paired[:, first, pairs], paired[:, second, pairs]
    ledger.hold(np.abs(of_second - 1j * of_first), lambda p, b: f"pair {b} is reflected, not turned: at position "
                f"{m.positions[p]} its second coordinate turns the other way")
    return np.asarray(of_first)


def _coordinates(head_dim: int, layout: str, rotary_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the second coordinate of each pair."""
    units = pair(np.eye(head_dim), layout, rotary_dim=rotary_dim)
    return (units == 1).argmax(axis=0), (units == 1j).argmax(axis=0)


def _frequencies(positions: np.ndarray, phases: np.ndarray, wanted: np.ndarray | None,
                 ledger: _Ledger) -> tuple[np.ndarray, tuple[int, ...]]:
    """Measured frequencies and the pairs that turn backwards."""
    measured = np.zeros(phases.shape[1])
    for position, phase in zip(positions[1:], phases[1:]):         # each position tells more digits than the last
        measured += np.angle(phase * np.exp(-1j * position * measured)) / position
    if wanted is None:
        wanted, backwards = measured, measured * positions[-1] < -ledger.tolerance
    else:
        backwards = _off(positions, phases, wanted).max(axis=0) > ledger.tolerance
        backwards &= _off(positions, phases, -wanted).max(axis=0) < _off(positions, phases, wanted).max(axis=0)
        wanted = np.where(backwards, -wanted, wanted)
    ledger.hold(_off(positions, phases, wanted), lambda p, b: f"wrong frequency: at position {positions[p]} pair {b} "
                f"is not at the angle {positions[p]} * {wanted[b]:.6g} (it turns by {measured[b]:.6g} per token)")
    return measured, tuple(np.flatnonzero(backwards).tolist())


def _off(positions: np.ndarray, phases: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(phases - np.exp(1j * np.outer(positions, theta))))
