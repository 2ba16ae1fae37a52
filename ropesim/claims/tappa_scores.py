"""Claims on how far rows of scores, and the angles of queries, move: Yang et al. 2026 (TAPPA). No frequency enters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import stability
from .claim import PROVED, REFUTED, Claim, Control, Inequality
from .pairs import cauchy_schwarz, reals
from .proofs import every, true, zero

PAPER = "Yang et al. 2026 (2601.21709)"

seeds, sizes, flags = st.integers(0, 2 ** 32 - 1), st.floats(0.05, 10.0), st.booleans()


def _norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x))


def _far(pairs: list[tuple[float, float]]) -> float:
    return max(abs(ours - theirs) / abs(theirs) for ours, theirs in pairs)


# Proposition 4.1 after RoPE, and total variation

def _rotated(seed: int, dims: int, more: int, size: float, flat: bool) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    keys = size * np.eye(dims) if flat else size * rng.normal(size=(dims + more, dims))
    step = np.ones(dims) if flat else rng.normal(size=dims)
    least = np.linalg.svd(keys, compute_uv=False).min() / np.sqrt(len(keys)) * _norm(step)
    seen = float(np.abs(keys @ step).max())
    return [least, seen], [seen, np.linalg.norm(keys, axis=1).max() * _norm(step)]


def _prove_rotated() -> str:
    """The Gram matrix of two columns less its smaller eigenvalue: no determinant, and a trace that is a root."""
    a, b, c = reals("a b c")
    root = sympy.sqrt((a - c) ** 2 + 4 * b ** 2)
    rest = sympy.Matrix([[a, b], [b, c]]) - (a + c - root) / 2 * sympy.eye(2)
    return every([zero(sympy.expand(rest.det())), zero(sympy.expand(rest.trace() - root))])


def _softmax(x: np.ndarray) -> np.ndarray:
    weight = np.exp(x - x.max())
    return weight / weight.sum()


def _tv(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(p - q).sum() / 2)


def _variation(seed: int, keys: int, size: float, two: bool) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    logits, change = 3 * rng.normal(size=keys), size * rng.normal(size=keys)
    if two:
        logits, change = np.array([-size / 2, 0.0]), np.array([size, 0.0])
    return _tv(_softmax(logits), _softmax(logits + change)), stability.total_variation(np.ptp(change))


def _prove_variation() -> str:
    """A set of keys of score p, whose odds grow by u^2 = e^osc at most, gains tanh(osc/4) less a square at most."""
    p, u = sympy.Symbol("p", positive=True), sympy.Symbol("u", positive=True)
    after = 1 - p + p * u ** 2
    gain = p * u ** 2 / after - p
    square = (1 - p - p * u) ** 2 * (u - 1) / ((u + 1) * after)
    x = sympy.Symbol("x", real=True)
    as_tanh = ((sympy.exp(x / 2) - 1) / (sympy.exp(x / 2) + 1) - sympy.tanh(x / 4)).rewrite(sympy.exp)
    return every([zero((u - 1) / (u + 1) - gain - square), zero(as_tanh)])


def _tie_variation() -> float:
    x = sympy.Symbol("x")
    formula = sympy.lambdify(x, (sympy.exp(x / 2) - 1) / (sympy.exp(x / 2) + 1))
    return _far([(stability.total_variation(osc), float(formula(osc))) for osc in (0.1, 1.0, 7.0)])


def _row(seed: int, keys: int, size: float, two: bool, new: float = 1.0) -> tuple[float, float]:
    """Total variation between a row and the next, with its new key, and the bound; vectors after RoPE."""
    rng = np.random.default_rng(seed)
    k, q, step = rng.normal(size=(keys + 1, 4)), rng.normal(size=4), size * rng.normal(size=4)
    if two:                                       # logits -+ size / 4 become +- size / 4; the last key has no score
        k = np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0], [0, -1.0, 0, 0]])
        q, step = np.array([-size / 4, 100.0, 0, 0]), np.array([size / 2, 0, 0, 0])
    before, after = _softmax(k[:-1] @ q / 2), _softmax(k @ (q + step) / 2)
    diameter = np.linalg.norm(k[:-1, None] - k[None, :-1], axis=-1).max()
    bound = stability.total_variation(_norm(step) * diameter / 2)
    return _tv(np.append(before, 0.0), after), bound + new * after[-1]


def _prove_row() -> str:
    """Common keys keep 1 - m of the new row: the signed differences are those at m = 0 plus m r."""
    p, r = reals("p1:4"), reals("r1:4")
    m = sympy.Symbol("m", positive=True)
    parts = [zero(p[n] - (1 - m) * r[n] - ((p[n] - r[n]) + m * r[n])) for n in range(3)]
    total = sum(m * x for x in (*r[:2], 1 - r[0] - r[1])) + m             # with the new key: twice its score
    return every([*parts, zero(total - 2 * m), cauchy_schwarz(), _prove_variation()])


# The angle between consecutive queries

ANGLES = {"longer": st.floats(0.0, 3.0), "angle": st.floats(1e-3, 3.12)}


def _apart(longer: float, angle: float) -> tuple[float, float]:
    """Angle and distance of two vectors of norms 1 and 1 + longer."""
    x, y = 1.0 + 0j, (1 + longer) * np.exp(1j * angle)
    return abs(float(np.angle(y * np.conj(x)))), abs(y - x)


def _printed_angle(longer: float, angle: float) -> tuple[float, float]:
    return _apart(longer, angle)


def _refute_angle() -> str:
    """Opposite vectors of norm r lie 2 r apart: the bound is 2, the angle is pi."""
    r = sympy.Symbol("r", positive=True)
    return true([sympy.pi <= 2 * r / r])


def _corrected_angle(longer: float, angle: float) -> tuple[list[float], list[float]]:
    seen, step = _apart(longer, angle)
    bound = stability.angle(step, 1.0)
    return [seen, bound], [bound, np.pi / 2 * step]


def _prove_angle() -> str:
    """step^2 - 4 r^2 sin^2(angle/2) is a square plus what is positive; arcsin is convex and meets its chord at 1."""
    r, x, y, s = sympy.symbols("r x y s", positive=True)
    phi = sympy.Symbol("phi", real=True)
    a, b = r + x, r + y                           # norms
    half = sympy.sin(phi / 2) ** 2
    step = a ** 2 + b ** 2 - 2 * a * b * sympy.cos(phi)
    curve = sympy.diff(sympy.asin(s), s, 2)
    return every([zero(step - 4 * r ** 2 * half - (x - y) ** 2 - 4 * half * (r * x + r * y + x * y)),
                  zero(curve - s / (1 - s ** 2) ** sympy.Rational(3, 2)), zero(2 * sympy.asin(1) - sympy.pi)])


def _tie_angle() -> float:
    step, norm = sympy.symbols("step norm")
    formula = sympy.lambdify((step, norm), sympy.acos(1 - step ** 2 / (2 * norm ** 2)))
    return _far([(stability.angle(d, r), float(formula(d, r))) for d, r in ((0.5, 1.0), (1.9, 1.0), (3.0, 2.0))])


ROTATED = {"seed": seeds, "dims": st.integers(1, 8), "more": st.integers(0, 8), "size": sizes, "flat": flags}
TV = {"seed": seeds, "keys": st.integers(2, 16), "size": st.floats(1e-2, 30.0), "two": flags}


def _with(sides: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    return lambda **draw: sides(**draw, **fixed)


CLAIMS = (
    Claim(
        id="tappa-4.1-rotated", source=f"{PAPER}, Proposition 4.1, restated after RoPE", label="C-tappa-4.1-rotated",
        title="After RoPE the bounds need no second constant",
        statement=r"\frac{\sigma_{\min}(K)}{\sqrt{N}}|\Delta q|\leq \|K\Delta q\|_\infty\leq \max_j|k_j|\,|\Delta q|",
        assumes="N keys in d <= N real dimensions, of full rank to say anything; queries and keys after RoPE; the "
                "eigenvalue bound is proved for d = 2",
        expected=PROVED, note="tappa.md X1",
        prove=_prove_rotated,
        holds=Inequality(ROTATED, _rotated, tight={"seed": 0, "dims": 4, "more": 0, "size": 1.0, "flat": True}),
        control=Control("fewer keys than dimensions, with the smallest of the N singular values",
                        Inequality(ROTATED, lambda seed, dims, more, size, flat: _rotated(
                            seed, dims + 2, -1 - min(dims, more), size, False)))),
    Claim(
        id="tappa-tv", source="derived in tappa.md X2, for Yang et al. 2026 (2601.21709)", label="C-tappa-tv",
        title="Scores move by tanh of a quarter of the range of the logit changes",
        statement=r"\mathrm{TV}(A_i,A_{i+1})\leq \tanh(\frac{1}{4}\,\mathrm{osc}\,\Delta\ell)",
        assumes="the keys that both rows see; any set of keys counts as one, its odds grow by e^osc at most",
        expected=PROVED, note="tappa.md X2",
        prove=_prove_variation, tie=_tie_variation,
        holds=Inequality(TV, _variation, tight={"seed": 0, "keys": 2, "size": 3.0, "two": True}),
        control=Control("half of the largest change in place of a quarter of the range",
                        Inequality(TV, lambda seed, keys, size, two: (
                            _variation(seed, keys, size, two)[0], np.tanh(0.5 * size / 4))))),
    Claim(
        id="tappa-tv-row", source="derived in tappa.md X2, for Yang et al. 2026 (2601.21709)", label="C-tappa-tv-row",
        title="A row differs from the next by its query's step, and by the score of the new key",
        statement=r"\mathrm{TV}(A_i,A_{i+1})\leq \tanh\frac{|\Delta q|\,\mathrm{diam}\,K}{4\sqrt{d}}+A_{i+1,i+1}",
        assumes="queries and keys after RoPE, logits scaled by 1/sqrt(d); the new key's part is proved for three keys",
        expected=PROVED, note="tappa.md X2",
        prove=_prove_row, holds=Inequality(TV, _row, tight={"seed": 0, "keys": 2, "size": 3.0, "two": True}),
        control=Control("without the score of the new key", Inequality(TV, _with(_row, new=0.0)))),
    Claim(
        id="tappa-5.1-angle", source=f"{PAPER}, proof of Theorem 5.1", label="C-tappa-5.1-angle",
        title="As printed: the angle between two queries is at most their distance over their norm",
        statement=r"|\phi_{t+1}-\phi_t|\leq |q_{t+1}-q_t|\,/\,r,\quad |q_t|,|q_{t+1}|\geq r",
        assumes="two vectors of norm r at least; they span a plane, so two dimensions are all there are",
        expected=REFUTED,
        note="tappa.md X3, first seen in a public review; the worst ratio is pi/2, at opposite vectors",
        prove=_refute_angle, holds=Inequality(ANGLES, _printed_angle, tight={"longer": 0.0, "angle": 3.12}),
        control=Control("the same for angles up to .1 only: an arc is longer than its chord at any angle",
                        Inequality({**ANGLES, "angle": st.floats(1e-3, 0.1)}, _printed_angle))),
    Claim(
        id="tappa-5.1-angle-corrected", source="corrects Yang et al. 2026 (2601.21709), proof of Theorem 5.1",
        label="C-tappa-5.1-angle-corrected",
        title="The angle between two queries is at most twice an arc sine, and pi/2 times the printed step",
        statement=r"|\phi_{t+1}-\phi_t|\leq 2\,\arcsin\frac{D}{2r}\leq\frac{\pi}{2}\,\frac{D}{r}",
        assumes="norms of r at least, D <= 2 r (beyond, the angle is at most pi)", expected=PROVED, note="tappa.md X3",
        prove=_prove_angle, tie=_tie_angle,
        holds=Inequality(ANGLES, _corrected_angle, tight={"longer": 0.0, "angle": 3.12}),
        control=Control("the factor 3/2 in place of pi/2",
                        Inequality(ANGLES, lambda longer, angle: (angle, 1.5 * _apart(longer, angle)[1]),
                                   tight={"longer": 0.0, "angle": 3.12}))),
)
