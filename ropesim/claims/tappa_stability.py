"""Claims on how far logits move: Yang et al. 2026 (TAPPA), Proposition 4.1, Theorems 5.1, 5.2 and 5.4."""

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import stability
from ..simulate.attention import pair_logits
from .claim import PROVED, REFUTED, Claim, Control, Identity, Inequality, Simulation
from .pairs import cauchy_schwarz, chord, inner, later_query, reals
from .proofs import every, zero

PAPER = "Yang et al. 2026 (2601.21709)"
NO_EQUATION = "its equations were not available: the form is that quoted in the public reviews"
PAIRS, SAMPLES = 8, 4000

seeds, lags, bases = st.integers(0, 2 ** 32 - 1), st.integers(1, 64), st.floats(10.0, 1e6)
turns, sizes = st.floats(1e-2, 3.1), st.floats(0.05, 10.0)


def _complex(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=(*shape, 2)).view(np.complex128)[..., 0]


def _theta(base: float, pairs: int = PAIRS) -> np.ndarray:
    return base ** (-np.arange(pairs) / pairs)


def _logit(q: np.ndarray, k: np.ndarray, theta: Any, lag: int) -> float:
    return float((q * np.conj(k) * np.exp(1j * lag * np.asarray(theta))).sum().real)


def _norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x))


def _direction(z: complex) -> complex:
    return z / abs(z) if z else 1.0


def _far(pairs: list[tuple[float, float]]) -> float:
    return max(abs(ours - theirs) / abs(theirs) for ours, theirs in pairs)


def _prove_later_query() -> str:
    return every([later_query(), chord(), cauchy_schwarz()])


# Proposition 4.1

def _jumps(seed: int, base: float, size: float, turn: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, Any]]:
    """Heads (q, step, k, theta): one drawn, and two of one pair and one key whose parts add up or cancel."""
    rng = np.random.default_rng(seed)
    q, step, k = _complex(rng, PAIRS), size * _complex(rng, PAIRS), _complex(rng, 6, PAIRS)
    alone = np.array([_direction(np.conj(np.exp(1j * turn) - 1))])
    along = size * np.exp(-1j * np.array([turn]))
    one = np.ones((1, 1))
    return [(q, step, k, _theta(base)), (alone, along, one, [turn]), (alone, -along, one, [turn])]


def _largest_change(q: np.ndarray, step: np.ndarray, k: np.ndarray, theta: Any) -> float:
    last = len(k) - 1
    return max(abs(_logit(q + step, k[j], theta, last + 1 - j) - _logit(q, k[j], theta, last - j))
               for j in range(len(k)))


def _jump(seed: int, base: float, size: float, turn: float, part: float = 1.0) -> tuple[list[float], list[float]]:
    """Both bounds with a part of c2; the lower one, which may cancel, is compared with the upper one added."""
    left, right = [], []
    for head in _jumps(seed, base, size, turn):
        seen, (least, most) = _largest_change(*head), stability.jump(*head)
        c2 = most - _norm(head[1]) * np.linalg.norm(head[2], axis=1).max()
        least, most = least + (1 - part) * c2, most - (1 - part) * c2
        left += [least + most, seen]
        right += [seen + most, most]
    return left, right


def _tie_chord() -> float:
    theta, lag = sympy.symbols("theta lag")
    printed = sympy.lambdify((theta, lag), sympy.sqrt(2 - 2 * sympy.cos(lag * theta)))
    return _far([(float(stability.chord(np.array([x]), n)[0]), float(printed(x, n)))
                 for x, n in ((0.3, 1), (1.7, 5), (3.0, 9))])


# Theorem 5.1

def _vertical(seed: int, base: float, size: float, lag: int, turn: float) -> tuple[list[float], list[float]]:
    """Left and right for a drawn head and for one pair whose two parts add up, key 0 and the rows 3 and 3 + lag."""
    rng = np.random.default_rng(seed)
    q, step, k = _complex(rng, PAIRS), size * _complex(rng, PAIRS), _complex(rng, PAIRS)
    along = np.array([_direction(np.conj((np.exp(1j * lag * turn) - 1) * np.exp(3j * turn)))])
    heads = [(q, step, k, _theta(base)),
             (along, size * np.exp(-1j * (3 + lag) * np.array([turn])), np.ones(1), np.array([turn]))]
    left = [abs(_logit(a + b, c, theta, 3 + lag) - _logit(a, c, theta, 3)) for a, b, c, theta in heads]
    return left, [stability.vertical(_norm(b), _norm(c), np.abs(a) * np.abs(c), theta, lag=lag)
                  for a, b, c, theta in heads]


def _aligned_only(seed: int, base: float, size: float, lag: int, turn: float) -> tuple[float, float]:
    """The drift of an aligned pair, 1 - cos(lag theta), taken for the drift at any phase."""
    left, _ = _vertical(seed, base, size, lag, turn)
    return left[1], size + 1 - np.cos(lag * turn)


def _tie_vertical() -> float:
    step, norm, amplitude, theta, lag = sympy.symbols("step norm amplitude theta lag")
    formula = sympy.lambdify((step, norm, amplitude, theta, lag),
                             step * norm + amplitude * sympy.sqrt(2 - 2 * sympy.cos(lag * theta)))
    return _far([(stability.vertical(s, n, np.array([a]), np.array([t]), lag=m), float(formula(s, n, a, t, m)))
                 for s, n, a, t, m in ((0.1, 2.0, 1.5, 0.3, 1), (0.0, 1.0, 0.7, 2.0, 9))])


PHASES = np.linspace(-np.pi, np.pi, 9)


def _drift(theta: float, lag: int, half: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Brute-force changes of nine one-pair logits, and the closed form with the phase moved by `half` a turn."""
    q = np.exp(1j * (PHASES - lag * theta))
    seen = (q * np.exp(1j * (lag + 1) * theta)).real - (q * np.exp(1j * lag * theta)).real
    return seen, stability.phase_drift(PHASES + (half - 0.5) * theta, theta)


def _prove_drift() -> str:
    x, theta = reals("x theta")
    change = sympy.cos(x + theta) - sympy.cos(x)
    limits = [sympy.limit(change.subs(x, 0) / theta ** 2, theta, 0) + sympy.Rational(1, 2),
              sympy.limit(change.subs(x, sympy.pi / 2) / theta, theta, 0) + 1]
    return every([zero(change + 2 * sympy.sin(theta / 2) * sympy.sin(x + theta / 2)), *map(zero, limits)])


def _tie_drift() -> float:
    x, theta = sympy.symbols("x theta")
    formula = sympy.lambdify((x, theta), sympy.cos(x + theta) - sympy.cos(x))
    return _far([(float(stability.phase_drift(np.array([a]), t)[0]), float(formula(a, t)))
                 for a, t in ((0.0, 1.0), (1.5, 0.1), (-2.0, 2.5))])


SPREADS, SLOW = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0), 0.1


def _predicted_drift() -> tuple[np.ndarray, float]:
    spread = np.array(SPREADS)
    return 2 * np.sin(SLOW / 2) ** 2 * (1 - np.exp(-2 * spread ** 2) * np.cos(SLOW)), 0.0


def _mean_square(values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    squares = np.array(values) ** 2
    return squares.mean(axis=1), squares.std(axis=1, ddof=1) / np.sqrt(squares.shape[1])


def _simulated_drift(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    changes = []
    for spread in SPREADS:
        q, k, theta = np.exp(1j * spread * rng.normal(size=(SAMPLES, 1))), np.ones((SAMPLES, 1)), np.array([SLOW])
        changes.append((pair_logits(q, k, theta, 1) - pair_logits(q, k, theta, 0))[:, 0])
    return _mean_square(changes)


# Theorem 5.2

def _diagonal(seed: int, base: float, size: float, lag: int, second: float = 1.0) -> tuple[list[float], list[float]]:
    """Left and right for a drawn head and for one pair whose two steps add up."""
    rng = np.random.default_rng(seed)
    q, k = _complex(rng, PAIRS), _complex(rng, PAIRS)
    theta, turn = _theta(base), np.exp(-1j * lag * np.ones(1))
    heads = [(q, size * _complex(rng, PAIRS), k, size * _complex(rng, PAIRS), theta),
             (turn, size * turn, np.ones(1), size * np.ones(1), np.ones(1))]
    left = [abs(_logit(a + da, c + dc, t, lag) - _logit(a, c, t, lag)) for a, da, c, dc, t in heads]
    return left, [stability.diagonal(_norm(da), second * _norm(dc), _norm(a), _norm(c + dc))
                  for a, da, c, dc, t in heads]


def _prove_diagonal() -> str:
    a, b, c, d, e, f, g, h, turn, over = reals("a b c d e f g h turn over")
    lag = (turn, over)
    change = inner((a + e, b + f), (c + g, d + h), lag) - inner((a, b), (c, d), lag)
    return every([zero(change - inner((e, f), (c + g, d + h), lag) - inner((a, b), (g, h), lag)), cauchy_schwarz()])


STEPS = (0.01, 0.03, 0.1, 0.3, 1.0)


def _predicted_diagonal() -> tuple[np.ndarray, float]:
    sigma = np.array(STEPS)                       # |q|^2 = |k|^2 = PAIRS
    return 2 * sigma ** 2 * PAIRS + 2 * PAIRS * sigma ** 4, 0.0


def _simulated_diagonal(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Steps of sigma in each coordinate: the mean square change along the diagonal, whatever the lag and theta."""
    changes, theta = [], _theta(1e4)
    for sigma in STEPS:
        q, k = np.exp(2j * np.pi * rng.random((2, SAMPLES, PAIRS)))
        then_q, then_k = (x + sigma * _complex(rng, SAMPLES, PAIRS) for x in (q, k))
        changes.append((pair_logits(then_q, then_k, theta, 7) - pair_logits(q, k, theta, 7)).sum(axis=1))
    return _mean_square(changes)


# Theorem 5.4

def _season(share: float, period: int, residual: float) -> tuple[float, float]:
    """Change of a constant head over one period of its dominant pair, and the bound as quoted: no error, no change."""
    theta = np.array([2 * np.pi / period, residual])
    q, k = np.sqrt(np.array([1 - share, share])) * np.ones((2, 1))
    errors, mismatch = 0.0, 0.0                   # the same query and key at every token, an exact resonance
    rounding = 1e-9
    change = abs(_logit(q, k, theta, period) - _logit(q, k, theta, 0))
    return change, (_norm(q) + _norm(k)) * errors + _norm(q) * _norm(k) * mismatch + rounding


def _refute_season() -> str:
    amplitude, theta = sympy.Symbol("A", positive=True), sympy.Rational(1, 3)
    return zero(amplitude * (sympy.cos(4 * theta) - 1))


def _shifts(seed: int, period: int, size: float, mismatch: float, residual: float,
            keep: float = 1.0) -> tuple[list[float], list[float]]:
    """Vertical, horizontal and diagonal change over a period: a drawn head, and one whose parts add up."""
    rng = np.random.default_rng(seed)
    theta = np.append((2 * np.pi + mismatch) / period, residual * np.arange(1, PAIRS) / PAIRS)
    q, k, dq, dk = (_complex(rng, PAIRS) * scale for scale in (1.0, 1.0, size, size))
    left, right = [], []
    for a, c, da, dc in ((q, k, dq, dk), _adding(theta, period, size)):
        now, amplitude = _logit(a, c, theta, 2 * period), np.abs(a) * np.abs(c)
        turned = stability.vertical(0.0, 0.0, amplitude[:1], theta[:1], lag=period) \
            + keep * stability.vertical(0.0, 0.0, amplitude[1:], theta[1:], lag=period)
        left += [abs(_logit(a + da, c, theta, 3 * period) - now), abs(_logit(a, c + dc, theta, period) - now),
                 abs(_logit(a + da, c + dc, theta, 2 * period) - now)]
        right += [_norm(da) * _norm(c) + turned, _norm(dc) * _norm(a) + turned,
                  stability.diagonal(_norm(da), _norm(dc), _norm(a), _norm(c + dc))]
    return left, right


def _adding(theta: np.ndarray, period: int, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A query whose every pair, and whose step, move the logit of the key 1 the same way by all they can."""
    turned = (np.exp(1j * period * theta) - 1) * np.exp(2j * period * theta)
    q, k = np.array([_direction(z) for z in np.conj(turned)]), np.ones(theta.size, complex)
    return q, k, size * np.exp(-3j * period * theta), size * k


def _prove_season() -> str:
    """Two squared chords are one: 2 sin(L theta/2) at L theta = 2 pi n +- delta is 2 sin(delta/2)."""
    delta, n = sympy.Symbol("delta", real=True), sympy.Symbol("n", integer=True)
    chords = [4 * sympy.sin(sympy.pi * n + sign * delta / 2) ** 2 - 4 * sympy.sin(delta / 2) ** 2 for sign in (1, -1)]
    return every([*map(zero, chords), later_query(), chord(), _prove_diagonal()])


ENERGIES, PERIOD = (0.0025, 0.04, 0.25, 0.5, 1.0), 12


def _season_theta() -> np.ndarray:
    return np.append(2 * np.pi / PERIOD, np.array([0.9, 0.31, 0.1, 0.03]))


def _predicted_season() -> tuple[np.ndarray, float]:
    moved = stability.chord(_season_theta()[1:], PERIOD)
    return np.array([(energy / moved.size) ** 2 * (moved ** 2).sum() / 2 for energy in ENERGIES]), 0.0


def _simulated_season(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Constant queries, an exact resonance, and an energy spread over four other pairs at random phases."""
    theta, changes = _season_theta(), []
    for energy in ENERGIES:
        norms = np.sqrt(np.append(1 - energy, np.full(theta.size - 1, energy / (theta.size - 1))))
        q = norms * np.exp(2j * np.pi * rng.random((SAMPLES, theta.size)))
        k = np.tile(norms, (SAMPLES, 1))
        changes.append((pair_logits(q, k, theta, 2 * PERIOD) - pair_logits(q, k, theta, PERIOD)).sum(axis=1))
    return _mean_square(changes)


JUMP = {"seed": seeds, "base": bases, "size": sizes, "turn": turns}
VERTICAL = {"seed": seeds, "base": bases, "size": sizes, "lag": lags, "turn": turns}
DIAGONAL = {"seed": seeds, "base": bases, "size": sizes, "lag": lags}
SEASON = {"share": st.floats(0.0025, 0.5), "period": st.integers(2, 64), "residual": st.floats(1e-2, 3.0)}
SHIFTS = {"seed": seeds, "period": st.integers(2, 64), "size": st.floats(1e-2, 2.0), "mismatch": st.floats(-1.0, 1.0),
          "residual": st.floats(1e-2, 3.0)}

CHANGE = r"|\ell_{i+n,j}-\ell_{ij}|"


def _with(sides: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    return lambda **draw: sides(**draw, **fixed)


CLAIMS = (
    Claim(
        id="tappa-4.1", source=f"{PAPER}, Proposition 4.1", label="C-tappa-4.1",
        title="A jump of the query moves some logit, by the constants c1 and c2",
        statement=r"c_1|\Delta q|-c_2\leq \max_j|\ell_{i+1,j}-\ell_{ij}|\leq \max_j|k_j|\,|\Delta q|+c_2",
        assumes="any queries, keys and frequencies, logits before the scale; the identity and the chord are proved for "
                "one pair and add up, Cauchy-Schwarz for two pairs, the rest is the triangle inequality",
        expected=PROVED, note="tappa.md X1; the paper's c1 and c2 are open, " + NO_EQUATION,
        prove=_prove_later_query, tie=_tie_chord,
        holds=Inequality(JUMP, _jump, tight={"seed": 0, "base": 1e4, "size": 3.0, "turn": 1.0}),
        control=Control("c2 halved: |theta| in place of 2 |theta| at small angles",
                        Inequality(JUMP, _with(_jump, part=0.5)))),
    Claim(
        id="tappa-5.1", source=f"{PAPER}, Theorem 5.1", label="C-tappa-5.1",
        title="Re-access: a key keeps its logit if the query stays and its pairs turn slowly",
        statement=CHANGE + r"\leq |q_{i+n}-q_i||k_j|+\sum_b 2|\sin\frac{n\theta_b}{2}|A_b",
        assumes="A_b = |q_b||k_b|, any lag n and frequencies; identity and chord proved for one pair, they add up",
        expected=PROVED, note="tappa.md X3; the theorem's bound is 'small', " + NO_EQUATION,
        prove=_prove_later_query, tie=_tie_vertical,
        holds=Inequality(VERTICAL, _vertical, tight={"seed": 0, "base": 1e4, "size": 0.1, "lag": 1, "turn": 0.2}),
        control=Control("the drift 1 - cos of an aligned pair at any phase", Inequality(VERTICAL, _aligned_only))),
    Claim(
        id="tappa-5.1-aligned", source=f"{PAPER}, Theorem 5.1, small initial angle", label="C-tappa-5.1-aligned",
        title="An aligned slow pair drifts by theta^2 / 2, one at a right angle by theta",
        statement=r"\cos(x+\theta)-\cos x=-2\,\sin\frac{\theta}{2}\,\sin(x+\frac{\theta}{2})",
        assumes="one pair, a constant query; simulated with phases spread normally about alignment",
        expected=PROVED, note="tappa.md X3: 5.0e-5 against 1.0e-2 at theta = .01",
        prove=_prove_drift, tie=_tie_drift,
        holds=Identity({"theta": st.floats(1e-3, 3.1), "lag": lags}, _drift),
        simulate=Simulation(SPREADS, "spread of the phase (rad)", "mean square drift", _predicted_drift,
                            _simulated_drift),
        control=Control("the half turn on the other side, for a lag j - i",
                        Identity({"theta": st.floats(1e-3, 3.1), "lag": lags}, _with(_drift, half=-0.5)))),
    Claim(
        id="tappa-5.2", source=f"{PAPER}, Theorem 5.2", label="C-tappa-5.2",
        title="Sequential: along a diagonal logits change by the steps alone, at any frequency",
        statement=r"|\ell_{i+1,j+1}-\ell_{ij}|\leq |\Delta q||k_{j+1}|+|\Delta k||q_i|\leq \epsilon(|q|+|k|+\epsilon)",
        assumes="any frequencies; the identity is proved for one pair and adds up, Cauchy-Schwarz for two",
        expected=PROVED, note="tappa.md X4; the paper's C is open, " + NO_EQUATION,
        prove=_prove_diagonal,
        holds=Inequality(DIAGONAL, _diagonal, tight={"seed": 0, "base": 1e4, "size": 0.1, "lag": 3}),
        simulate=Simulation(STEPS, "step in each coordinate", "mean square change", _predicted_diagonal,
                            _simulated_diagonal),
        control=Control("the query's step alone", Inequality(DIAGONAL, _with(_diagonal, second=0.0)))),
    Claim(
        id="tappa-5.4", source=f"{PAPER}, Theorem 5.4", label="C-tappa-5.4",
        title="As quoted: errors of the season and the mismatch of the dominant pair bound the change",
        statement=r"|\ell_{i+L,j}-\ell_{ij}|\leq C_1(\epsilon_q+\epsilon_k)+C_2\,\delta",
        assumes="the counterexample has no error and an exact resonance, so that no C1 and C2 help",
        expected=REFUTED,
        note="tappa.md X6; as quoted in a public review, which found the gap in the proof. If C2 delta holds the "
             "energy of the other pairs, the statement is fine",
        prove=_refute_season, holds=Inequality(SEASON, _season, tight={"share": 0.25, "period": 12, "residual": 0.1}),
        control=Control("the same with at most a hundredth of the energy beside the dominant pair",
                        Inequality({**SEASON, "share": st.floats(0.0025, 0.01)}, _season))),
    Claim(
        id="tappa-5.4-corrected", source="corrects Yang et al. 2026 (2601.21709), Theorem 5.4",
        label="C-tappa-5.4-corrected",
        title="Seasonal: every pair adds its own chord over the period",
        statement=r"|\ell_{i+L,j}-\ell_{ij}|\leq \epsilon_q|k_j|+2\,\sin\frac{\delta}{2}A_*"
                  r"+\sum_{b\neq *}2|\sin\frac{L\theta_b}{2}|A_b",
        assumes="delta is the distance of L theta_* from a whole number of turns; a shift of the key by L has "
                "eps_k |q| in the first term, a shift of both has (C-tappa-5.2) and no other term",
        expected=PROVED, note="tappa.md X6; eps_k plays no part where the key is the same",
        prove=_prove_season,
        holds=Inequality(SHIFTS, _shifts, tight={"seed": 0, "period": 12, "size": 0.1, "mismatch": 0.1,
                                                 "residual": 1.0}),
        simulate=Simulation(ENERGIES, "energy beside the dominant pair", "mean square change over a period",
                            _predicted_season, _simulated_season),
        control=Control("without the sum over the other pairs", Inequality(SHIFTS, _with(_shifts, keep=0.0)))),
)
