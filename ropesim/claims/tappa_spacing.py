"""Claims on periodic diagonals: Yang et al. 2026 (TAPPA), Theorem 5.3, on the lattice of whole lags."""

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import stability
from ..simulate.attention import rotation
from .claim import PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero

PAPER = "Yang et al. 2026 (2601.21709)"
OTHERS = 4       # pairs beside the dominant one

seeds, shares = st.integers(0, 2 ** 32 - 1), st.floats(0.0, 1.0)
thetas, offsets = st.floats(0.1, 3.1), st.floats(-1.0, 1.0)


def _far(pairs: list[tuple[float, float]]) -> float:
    return max(abs(ours - theirs) / abs(theirs) for ours, theirs in pairs)


# Spacing

def _peaks(logits: np.ndarray) -> np.ndarray:
    """Lags with a larger logit than the one before and none larger after; one of two equal neighbours."""
    return np.flatnonzero((logits[1:-1] > logits[:-2]) & (logits[1:-1] >= logits[2:])) + 1


def _spacing(theta: float, offset: float, rounded: bool = False) -> tuple[np.ndarray, float]:
    """How far the peaks are from where the first one and the period put them; offset: of the crests, in half lags."""
    period = 2 * np.pi / theta
    peaks = _peaks(np.cos(theta * (np.arange(int(8 * period) + 2) - offset / 2)))
    step = np.ceil(period) if rounded else period
    return np.abs(peaks - peaks[0] - step * np.arange(peaks.size)), 1.0


def _prove_spacing() -> str:
    """A neighbour is lower by 2 sin(theta/2) sin(theta/2 + x) or sin(theta/2 - x): a peak has |x| <= theta/2."""
    x, theta = sympy.symbols("x theta", real=True)
    factor = 2 * sympy.sin(theta / 2)
    return every(zero(sympy.cos(x) - sympy.cos(x + sign * theta) - factor * sympy.sin(theta / 2 + sign * x))
                 for sign in (1, -1))


PAIRS_128 = ((1e5, 2), (1e6, 2), (1e5, 3), (1e6, 3), (1e5, 5), (1e6, 5))      # base and index, by period
CONTEXT = 8192


def _periods() -> np.ndarray:
    return np.array([2 * np.pi * base ** (m / 64) for base, m in PAIRS_128])


def _predicted_spacing() -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the count are rounded by half a lag; the context holds this many spacings at least."""
    return _periods(), 1 / (np.floor((CONTEXT - 2) / _periods()) - 1)


def _simulated_spacing(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Mean spacing of the peaks in the last row of a head of dimension 128 with one large pair."""
    found = []
    for base, m in PAIRS_128:
        turned = rotation(CONTEXT, np.array([base ** (-m / 64)]))
        logits = (np.exp(2j * np.pi * rng.random()) * turned[-1] * turned.conj()).real.sum(axis=1)
        peaks = _peaks(logits)
        found.append((peaks[-1] - peaks[0]) / (peaks.size - 1))
    return np.array(found), 0.0


# Dominance

def _head(seed: int, theta: float, offset: float, share: float,
          twin: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Amplitudes, frequencies and phases: a dominant pair of amplitude 1, then others of the sum `share`.

    twin: the others are one pair of the same frequency and the opposite phase.
    """
    rng = np.random.default_rng(seed)
    weight, others = rng.random(OTHERS), rng.uniform(0, np.pi, OTHERS)
    phases = rng.uniform(-np.pi, np.pi, OTHERS)
    if twin:
        weight, others, phases = np.ones(1), np.array([theta]), np.array([np.pi - theta * offset / 2])
    return (np.append(1.0, share * weight / weight.sum()), np.append(theta, others),
            np.append(-theta * offset / 2, phases))


def _crests(theta: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Three crests of the dominant pair, and the lags around them."""
    period = 2 * np.pi / theta
    return period * np.arange(1, 4) + offset / 2, np.arange(int(5 * period) + 2)


def _logits(amplitude: np.ndarray, theta: np.ndarray, phase: np.ndarray, lags: np.ndarray) -> np.ndarray:
    return np.cos(lags[:, None] * theta + phase) @ amplitude


def _near(lags: np.ndarray, place: float, theta: float) -> np.ndarray:
    return np.abs(lags - place) <= np.pi / theta + 1e-9


def _gap(seed: int, theta: float, offset: float, share: float, twin: bool,
         lattice: bool = True) -> tuple[float, float]:
    """The certain gap, and the smallest one between the lags next to a crest and to the trough after it."""
    rest = share * np.cos(theta / 2)
    amplitude, frequencies, phase = _head(seed, theta, offset, rest, twin)
    crests, lags = _crests(theta, offset)
    logits = _logits(amplitude, frequencies, phase, lags)
    peak, trough = (np.rint(x).astype(int) for x in (crests, crests + np.pi / theta))
    bound = stability.peak_gap(amplitude, frequencies) if lattice else 2 * (1 - rest)
    return bound, float((logits[peak] - logits[trough]).min())


def _prove_gap() -> str:
    """cos x - cos(theta/2) is twice a product of sines of angles from 0 to theta/2 <= pi/2, for |x| <= theta/2."""
    x, theta, most, rest = sympy.symbols("x theta A R", real=True)
    product = 2 * sympy.sin((theta / 2 + x) / 2) * sympy.sin((theta / 2 - x) / 2)
    peak, trough = (sign * (most * sympy.cos(theta / 2) - rest) for sign in (1, -1))
    return every([zero(sympy.cos(x) - sympy.cos(theta / 2) - product),
                  zero(peak - trough - 2 * (most * sympy.cos(theta / 2) - rest))])


def _tie_gap() -> float:
    most, rest, theta = sympy.symbols("A R theta")
    formula = sympy.lambdify((most, rest, theta), 2 * (most * sympy.cos(theta / 2) - rest))
    return _far([(stability.peak_gap(np.array([a, r]), np.array([t, 0.1])), float(formula(a, r, t)))
                 for a, r, t in ((1.0, 0.3, 0.5), (2.0, 1.9, 3.0))])


def _moved(seed: int, theta: float, offset: float, share: float, half: float = 0.5) -> tuple[float, float]:
    """Farthest peak from its crest, and the bound; half: of a lag, what the lattice alone may move it."""
    amplitude, frequencies, phase = _head(seed, theta, offset, share, False)
    crests, lags = _crests(theta, offset)
    logits = _logits(amplitude, frequencies, phase, lags)
    moved = [abs(lags[near][np.argmax(logits[near])] - x) for x in crests for near in [_near(lags, x, theta)]]
    bound = stability.displacement(amplitude, frequencies) if half else 2 * np.arcsin(np.sqrt(min(share, 1.0))) / theta
    return max(moved), bound


def _prove_moved() -> str:
    """The cosine of the bound times theta is cos(theta/2) - 2 R/A, which A cos x + R >= A cos(theta/2) - R leaves."""
    theta, most, rest = sympy.symbols("theta A R", positive=True)
    turn = 2 * sympy.asin(sympy.sqrt(sympy.sin(theta / 4) ** 2 + rest / most))
    slack = most * sympy.cos(turn) + rest - (most * sympy.cos(theta / 2) - rest)
    x = sympy.Symbol("x", real=True)
    return every([zero(slack.subs(sympy.cos(turn), 1 - 2 * sympy.sin(turn / 2) ** 2)),
                  zero(sympy.cos(x) - 1 + 2 * sympy.sin(x / 2) ** 2)])


def _tie_moved() -> float:
    rest, theta = sympy.symbols("R theta")
    formula = sympy.lambdify((rest, theta), sympy.acos(sympy.cos(theta / 2) - 2 * rest) / theta)
    return _far([(stability.displacement(np.array([1.0, r]), np.array([t, 0.1])), float(formula(r, t)))
                 for r, t in ((0.1, 1.0), (0.4, 2.0))])


# Visibility

def _count(length: int, base: float, pairs: int, turn: float = 2 * np.pi) -> tuple[int, float]:
    """Pairs whose period is shorter than the context, counted, and from the limit."""
    seen = sum(2 * np.pi * base ** (m / pairs) < length for m in range(pairs))
    limit = stability.visible_limit(length, base, 2 * pairs) if turn > 1 else pairs * np.log(length) / np.log(base)
    return seen, float(np.clip(np.ceil(limit), 0, pairs))


def _prove_visible() -> str:
    """The period at m_c is N, and it grows with m."""
    length, dim, log, m = sympy.symbols("N d s m", positive=True)      # base = e^s > 1
    period = 2 * sympy.pi * sympy.exp(2 * m * log / dim)
    limit = dim / 2 * sympy.log(length / (2 * sympy.pi)) / log
    return every([zero(period.subs(m, limit) - length), true([sympy.diff(period, m).is_positive])])


def _tie_visible() -> float:
    length, base, dim = sympy.symbols("N c d")
    formula = sympy.lambdify((length, base, dim), dim / 2 * sympy.log(length / (2 * sympy.pi)) / sympy.log(base))
    return _far([(stability.visible_limit(n, c, d), float(formula(n, c, d)))
                 for n, c, d in ((4096, 1e4, 128), (131072, 5e5, 64))])


LENGTHS = (256, 1024, 4096)


def _predicted_visible() -> tuple[np.ndarray, float]:
    return np.ceil([stability.visible_limit(n, 1e4, 128) for n in LENGTHS]), 0.0


def _simulated_visible(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Pairs of a head of dimension 128 at base 1e4 whose logit has a second peak within the context."""
    theta, found = 1e4 ** (-np.arange(64) / 64), []
    for length in LENGTHS:
        logits = np.cos(np.arange(length + 1)[:, None] * theta)
        found.append(sum(_peaks(column).size > 0 for column in logits.T))
    return np.array(found), 0.0


SPACING = {"theta": thetas, "offset": offsets}
GAP = {"seed": seeds, "theta": thetas, "offset": offsets, "share": shares, "twin": st.booleans()}
MOVED = {"seed": seeds, "theta": thetas, "offset": offsets, "share": shares}
COUNT = {"length": st.integers(8, 1 << 20), "base": st.floats(10.0, 1e7), "pairs": st.integers(1, 128)}

CLAIMS = (
    Claim(
        id="tappa-5.3-spacing", source=f"{PAPER}, Theorem 5.3", label="C-tappa-5.3-spacing",
        title="Periodic diagonals: peaks lie 2 pi / theta apart, rounded up or down to whole lags",
        statement=r"|n_k-n_0-kT|\leq 1,\quad T=2\pi/\theta_*=2\pi\,c^{2m_*/d}",
        assumes="one pair with 0 < theta <= pi, so T >= 2; spacings are floor or ceil of T but where two lags tie, and "
                "T on average",
        expected=PROVED, note="tappa.md X5: 9.676, 12.007, 18.490 tokens at base 1e6 and m = 2, 3, 5 of dimension 128, "
                              "9.004, 10.778, 15.446 at base 1e5",
        prove=_prove_spacing,
        holds=Inequality(SPACING, _spacing, tight={"theta": 2 * np.pi / 4.999, "offset": -0.997}),
        simulate=Simulation(tuple(_periods()), "2 pi c^(2m/d)", "mean spacing of peaks (tokens)", _predicted_spacing,
                            _simulated_spacing),
        control=Control("spacings that are always rounded up",
                        Inequality(SPACING, lambda theta, offset: _spacing(theta, offset, rounded=True)))),
    Claim(
        id="tappa-5.3-dominance", source="sharpens Yang et al. 2026 (2601.21709), Theorem 5.3",
        label="C-tappa-5.3-dominance",
        title="A pair that outweighs all others by 1 / cos(theta/2) keeps each crest above its trough",
        statement=r"\ell(n_{crest})-\ell(n_{trough})\geq 2(A_*\cos\frac{\theta_*}{2}-R),\quad R=\sum_{b\neq *}A_b",
        assumes="0 < theta_* <= pi, any other frequencies and phases; the lags nearest the crest and the trough",
        expected=PROVED,
        note="tappa.md X5: near-sharp, a neighbour (index 4) of the pair 3 at base 1e6 first fails between R/A = .97 "
             "and 1, with cos(theta_*/2) = .966. That is so at the nearest lags; the largest logit of the period still "
             "exceeds the smallest by .23 at R = A",
        prove=_prove_gap, tie=_tie_gap,
        holds=Inequality(GAP, _gap, tight={"seed": 0, "theta": 0.1, "offset": 1.0, "share": 0.5, "twin": True}),
        control=Control("lags that are not whole: 2 (A - R)",
                        Inequality(GAP, lambda seed, theta, offset, share, twin: _gap(
                            seed, theta, offset, share, twin, lattice=False)))),
    Claim(
        id="tappa-5.3-displacement", source="derived in tappa.md X5, for Yang et al. 2026 (2601.21709), Theorem 5.3",
        label="C-tappa-5.3-displacement",
        title="Other pairs move the peak of a period by an arc cosine at most",
        statement=r"|n_{peak}-x_{crest}|\leq\frac{1}{\theta_*}\,\arccos(\cos\frac{\theta_*}{2}-\frac{2R}{A_*})",
        assumes="0 < theta_* <= pi; half a period where the arc cosine has no argument. The tight case is R = 0, half "
                "a lag; with R > 0 the largest ratio is not known",
        expected=PROVED, note="tappa.md X5",
        prove=_prove_moved, tie=_tie_moved,
        holds=Inequality(MOVED, _moved, tight={"seed": 0, "theta": np.pi / 6, "offset": 1.0, "share": 0.0}),
        control=Control("lags that are not whole: without theta/2",
                        Inequality(MOVED, lambda seed, theta, offset, share: _moved(
                            seed, theta, offset, share, half=0.0)))),
    Claim(
        id="tappa-5.3-visible", source="derived in tappa.md X5, for Yang et al. 2026 (2601.21709), Theorem 5.3",
        label="C-tappa-5.3-visible",
        title="A pair repeats within the context if and only if its index is below m_c",
        statement=r"T_m<N\ \Leftrightarrow\ m<m_c=\frac{d}{2}\,\frac{\ln(N/2\pi)}{\ln c}",
        assumes="geometric frequencies, base above 1; from m_c on a pair is slow and acts as in Theorem 5.1",
        expected=PROVED, note="tappa.md X5: 45.0, 31.6 and 30.0 at N = 4096, d = 128 and the bases 1e4, 5e5, 1e6; the "
                              "same count as the critical dimension",
        prove=_prove_visible, tie=_tie_visible, holds=Identity(COUNT, _count),
        simulate=Simulation(LENGTHS, "context (tokens)", "pairs with a second peak", _predicted_visible,
                            _simulated_visible),
        control=Control("without 2 pi", Identity(COUNT, lambda length, base, pairs: _count(
            length, base, pairs, turn=1.0)))),
)
