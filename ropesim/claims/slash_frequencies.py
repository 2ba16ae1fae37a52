"""Claims of the slash paper about frequencies: the pulse it assumes, what a table can reach, and the peak gap."""

from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from .. import schedules
from ..ensembles import Slash
from ..predict import attention as predicted
from ..predict import training
from ..simulate import attention as simulated
from .claim import AGREES, CORRECTED, PROVED, SPOT_CHECKED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, zero

PAPER = "Cheng et al. 2026 (2601.08297)"
seeds = st.integers(0, 2 ** 32 - 1)


def _table(kind: str, pairs: int, seed: int = 0) -> np.ndarray:
    """A table of frequencies: geometric at a drawn base, half a DFT, a DFT without its last pair, or random."""
    rng = np.random.default_rng(seed)
    if kind == "rope":
        return 10 ** (-rng.uniform(1, 7) * np.arange(pairs) / pairs)
    if kind == "random":
        return rng.uniform(0, np.pi, pairs)
    return 2 * np.pi * np.arange(1, pairs + 1) / (2 * pairs + (1 if kind == "half-dft" else 2))


def _kappa(theta: np.ndarray, length: int) -> np.ndarray:
    return np.cos(np.outer(np.arange(length), theta)).sum(axis=1)


# half DFT

def _dft(pairs: int, lag: int, step: int = 1) -> tuple[Any, Any]:
    lags = np.arange(lag, lag + 12)
    sums = np.cos(np.outer(lags, 2 * np.pi * np.arange(1, pairs + 1) / (2 * pairs + step))).sum(axis=1)
    return sums, (2 * pairs + 1) / 2 * (lags % (2 * pairs + 1) == 0) - 0.5


t, M, x = sympy.Symbol("t", real=True), sympy.Symbol("M", positive=True), sympy.Symbol("x", integer=True)


def _dirichlet(pairs: Any) -> Any:
    return sympy.sin((pairs + sympy.Rational(1, 2)) * t) / (2 * sympy.sin(t / 2)) - sympy.Rational(1, 2)


def _prove_dft() -> str:
    """Induction over M, then t = 2 pi x / (2M + 1); where the denominator is 0 every cosine is 1."""
    step = (_dirichlet(M) - _dirichlet(M - 1) - sympy.cos(M * t)) * 2 * sympy.sin(t / 2)
    top = sympy.sin(sympy.simplify((M + sympy.Rational(1, 2)) * 2 * sympy.pi * x / (2 * M + 1)))
    return every([zero(sympy.expand(step)), zero(sympy.simplify(_dirichlet(sympy.Integer(0)))), zero(top)])


def _tie_dft() -> float:
    formula = sympy.lambdify((t, M), _dirichlet(M))
    points = [(3, 1), (8, 5), (64, 77), (16, 1000)]
    return max(abs(predicted.lag_logits(np.ones(m), np.zeros(m), schedules.half_dft(m), lag + 1)[lag]
                   / formula(2 * np.pi * lag / (2 * m + 1), m) - 1) for m, lag in points)


# gains

def _prove_gains() -> str:
    """The gradient of any function of softmax weights sums to 0 over the logits; the kernel is a sum of cosines."""
    def row(n: int) -> Any:
        z, up = sympy.symbols(f"z:{n}", positive=True), sympy.symbols(f"g:{n}", real=True)      # z = e^logit
        loss = sum(g * one for g, one in zip(up, z)) / sum(z)
        return sympy.cancel(sum(one * sympy.diff(loss, one) for one in z))
    theta, u, y = sympy.symbols("theta u y", real=True)
    product = sympy.cos(theta * y) * sympy.cos(theta * u) + sympy.sin(theta * y) * sympy.sin(theta * u)
    return every([*(zero(row(n)) for n in range(2, 5)), zero(product - sympy.cos(theta * (y - u)))])


def _gains(seed: int, length: int, pairs: int, height: float, offset: float,
           softmax: bool = True) -> tuple[Any, Any]:
    """Gains of the logits by lag after a step in the weights, against C_1 times the free ones; C_2 is not in it."""
    rng = np.random.default_rng(seed)
    kappa = _kappa(rng.uniform(0, np.pi, pairs), length)
    weights = np.tril(np.exp(rng.normal(size=(length, length))))
    up = rng.normal(size=weights.shape)
    weights /= weights.sum(axis=1, keepdims=True) if softmax else length
    gradient = weights * (up - (weights * up).sum(axis=1, keepdims=True) * softmax)
    gain = -np.array([np.diagonal(gradient, -lag).sum() for lag in range(length)])
    level = (kappa[0] + kappa[1] - height) / 2 + offset
    error = max(abs(kappa[0] - height - level), np.abs(kappa[1:] - level).max())
    lags = np.arange(length)
    step = kappa[np.abs(lags[:, None] - lags)] @ gain
    return np.abs(step - height * gain), np.full(length, error * np.abs(gain).sum())


GAINS = {"seed": seeds, "length": st.integers(2, 12), "pairs": st.integers(1, 8), "height": st.floats(0.1, 8.0),
         "offset": st.floats(-2.0, 2.0)}
TWO = {"seed": 0, "length": 2, "pairs": 3, "height": 1.0, "offset": 0.0}


# rank bound and pulse

C1, C2, lam = sympy.symbols("C_1 C_2 lambda", real=True)


def _prove_rank() -> str:
    """Rank and eigenvalues; Eckart and Young do the rest: (T eps)^2 >= ||E||_F^2 >= (T - 1 - 2B) C_1^2."""
    theta, u, y = sympy.symbols("theta u y", real=True)
    factors = sympy.Matrix([[sympy.cos(theta * y), sympy.sin(theta * y)]])
    product = (factors * factors.subs(y, u).T)[0]

    def spectrum(n: int) -> Any:
        characteristic = ((lam - C1) * sympy.eye(n) - C2 * sympy.ones(n, n)).det()
        return sympy.expand(characteristic - (lam - C1) ** (n - 1) * (lam - C1 - n * C2))
    return every([zero(product - sympy.cos(theta * (y - u))), *(zero(spectrum(n)) for n in range(2, 5))])


def _pulse(theta: np.ndarray, length: int) -> float:
    """Least L of Assumption 5.1 over C_1 and C_2, on the lags below `length`."""
    kappa = _kappa(theta, length)
    high, low = kappa[1:].max(), kappa[1:].min()
    return float(length * (high - low) / (2 * (kappa[0] - low)))


def _rank(kind: str, seed: int, pairs: int, more: int, each: int = 2) -> tuple[float, float]:
    length = 2 * pairs + 2 + more
    return np.sqrt(max(length - 1 - each * pairs, 0)), _pulse(_table(kind, pairs, seed), length)


KINDS = ("rope", "random", "half-dft", "missing")
RANK = {"kind": st.sampled_from(KINDS), "seed": seeds, "pairs": st.integers(1, 12), "more": st.integers(0, 60)}
MISSING = {"kind": "missing", "seed": 0, "pairs": 8, "more": 0}

KNOWN = {"kind": "rope", "seed": 0, "pairs": 1, "multiple": 8, "constant": 3.0}
PULSE = {"kind": st.sampled_from(KINDS[:3]), "seed": seeds, "pairs": st.integers(1, 6), "multiple": st.integers(8, 16),
         "constant": st.floats(0.0, 3.0)}


def _bounded(kind: str, seed: int, pairs: int, multiple: int, constant: float) -> tuple[float, float]:
    return _pulse(_table(kind, pairs, seed), 2 * pairs * multiple), constant


def _prove_gap() -> str:
    """kappa(0) - kappa(u) = 2 sum sin^2(theta u / 2), and sin(u / 2) is transcendental for whole u > 0."""
    theta, u = sympy.symbols("theta u", real=True)
    n = sympy.Symbol("n", integer=True, positive=True)
    return every([zero(1 - sympy.cos(theta * u) - 2 * sympy.sin(theta * u / 2) ** 2),
                  PROVED if sympy.sin(n / 2).is_algebraic is False else SPOT_CHECKED])


def _gap(seed: int, pairs: int, length: int, fastest: float = 1.0, claimed: float = 1.0) -> tuple[float, float]:
    kappa = _kappa(fastest * _table("rope", pairs, seed), length)
    return float((1 - np.cos(claimed * np.arange(1, length))).min()), float(kappa[0] - kappa[1:].max())


GAP = {"seed": seeds, "pairs": st.integers(1, 24), "length": st.integers(2, 700)}


# synthesis

def _synthesis(kind: str, seed: int, pairs: int, length: int, lag: int, epsilon: float,
               tokens: int = 0) -> tuple[Any, Any]:
    theta = _table(kind, pairs, seed)
    lag = lag % length
    kappa = _kappa(theta, length)
    gap = kappa[0] - kappa[1:].max()
    if gap < 1e-9:
        return np.zeros(1), np.full(1, epsilon)
    logits = np.log((tokens or length) / epsilon) / gap * kappa[np.abs(np.arange(length) - lag)]
    odds = np.exp(logits - logits[lag])
    others = np.cumsum(np.where(np.arange(length) == lag, 0.0, odds))[lag:]
    return others / (1 + others), np.full(len(others), epsilon)


SYNTHESIS = {"kind": st.sampled_from(KINDS), "seed": seeds, "pairs": st.integers(1, 40), "length": st.integers(2, 200),
             "lag": st.integers(0, 199), "epsilon": st.floats(1e-6, 0.5)}
FLAT = {"kind": "half-dft", "seed": 0, "pairs": 100, "length": 201, "lag": 1, "epsilon": 1e-4}
SLASHES, CONTEXT, EPSILON = (0, 1, 5, 50, 150), 200, 0.05
ROPE = 1e4 ** (-np.arange(16) / 16)


def _strong() -> tuple[Any, Any]:
    strength = training.peak_gap_strength(ROPE, CONTEXT, EPSILON)
    rounding = predicted.rounding(np.full(16, strength), CONTEXT)
    return [predicted.slash(predicted.lag_logits(np.full(16, strength), -ROPE * lag, ROPE, CONTEXT))[lag]
            for lag in SLASHES], rounding


def _drawn_strong(rng: np.random.Generator) -> tuple[Any, Any]:
    gap = min(float((1 - np.cos(ROPE * u)).sum()) for u in range(1, CONTEXT))
    strength = np.log(CONTEXT / EPSILON) / gap
    return [simulated.profile(*Slash(lag, float(strength)).sample(CONTEXT, rng, ROPE)).slash[lag]
            for lag in SLASHES], 0.0


# aliases

def _mean_share(period: int, length: int, lag: int) -> float:
    return sum(1 / len(range(lag % period, i + 1, period)) for i in range(lag, length)) / (length - lag)


def _alias(seed: int, pairs: int, length: int, lag: int, strength: float, aligned: bool) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    theta, period, lag = _table("half-dft", pairs), 2 * pairs + 1, lag % length
    phase = -theta * lag if aligned else rng.uniform(-np.pi, np.pi, pairs)
    size = strength * (np.ones(pairs) if aligned else rng.uniform(0, 2, pairs))
    logits = (size * np.cos(np.outer(np.arange(length), theta) + phase)).sum(axis=1)
    rows = np.logaddexp.accumulate(logits)
    return float(np.exp(logits[lag] - rows[lag:]).mean()), _mean_share(period, length, lag)


def _last_row(**draw: Any) -> tuple[float, float]:
    period = 2 * draw["pairs"] + 1
    return _alias(**draw)[0], 1 / len(range(draw["lag"] % draw["length"] % period, draw["length"], period))


ALIAS = {"seed": seeds, "pairs": st.integers(1, 12), "length": st.integers(2, 60), "lag": st.integers(0, 59),
         "strength": st.floats(0.0, 8.0), "aligned": st.booleans()}
STRONG = {"seed": 0, "pairs": 5, "length": 30, "lag": 1, "strength": 8.0, "aligned": True}
PERIODIC, GAMMA = schedules.half_dft(10), 10.5                  # 21 lags


def _ceiling() -> tuple[Any, Any]:
    return [training.alias_ceiling(21, 60, lag) for lag in (0, 1, 5, 20, 30, 50)], 60 * np.exp(-3 * GAMMA)


def _reached(rng: np.random.Generator) -> tuple[Any, Any]:
    return [simulated.profile(*Slash(lag, 3.0).sample(60, rng, PERIODIC)).slash[lag]
            for lag in (0, 1, 5, 20, 30, 50)], 0.0


CLAIMS = (
    Claim(
        id="slash-half-dft", source=f"{PAPER}, Assumption 5.1, eq. 11; that this table meets it is ours",
        label="R-half-dft", title="Half of a DFT is an exact pulse",
        statement=r"\sum_{s=1}^{M} \cos\frac{2\pi s x}{2M+1} = \frac{2M+1}{2}[(2M+1) \mid x] - \frac{1}{2}",
        assumes="whole lags x; the pulse is alone only where |x| <= 2M", expected=PROVED, note="slash.md 3.9, 5(b)",
        prove=_prove_dft, holds=Identity({"pairs": st.integers(1, 64), "lag": st.integers(0, 300)}, _dft), tie=_tie_dft,
        control=Control("2M in place of 2M + 1", Identity(
            {"pairs": st.integers(1, 64), "lag": st.integers(0, 300)}, lambda pairs, lag: _dft(pairs, lag, 0)))),
    Claim(
        id="slash-gains", source=f"{PAPER}, Theorem 5.3, stage I under Assumption 5.1; reconstructed",
        label="C-slash-gains",
        title="The gains of the logits sum to zero, so the pulse's level C_2 drops out of a gradient step",
        statement=r"\sum_u G(u) = 0, \quad |\sum_u \kappa(x-u) G(u) - C_1 G(x)| \leq \epsilon \sum_u |G(u)|",
        assumes="logits by lag, any loss of causal softmax weights, epsilon as in eq. 11; proved for rows of 2 to 4",
        expected=PROVED, note="slash.md 4.2",
        prove=_prove_gains, holds=Inequality(GAINS, _gains, tight=TWO),
        control=Control("weights that are not normalised: their gains keep C_2", Inequality(
            GAINS, lambda **draw: _gains(**draw, softmax=False)))),
    Claim(
        id="slash-rank-bound", source=f"{PAPER}, Assumption 5.1, eq. 11; the bound is ours",
        label="C-slash-rank-bound", title="A pulse costs frequencies: B pairs reach no L below sqrt(N - 1 - 2B)",
        statement=r"L^2 \geq N - 1 - d_c", expected=PROVED,
        assumes="C_1 > 0, lags |x| < N (fewer than the paper's |x| <= N), d_c = 2B; spectrum proved for N = 2 to 4, "
                "then Eckart and Young's theorem",
        note="slash.md 3.9.3; met by a DFT of N lags without its alternating pair",
        prove=_prove_rank, holds=Inequality(RANK, _rank, tight=MISSING),
        control=Control("rank B: one dimension for each pair", Inequality(
            RANK, lambda **draw: _rank(**draw, each=1), tight=MISSING))),
    Claim(
        id="slash-pulse", source=f"{PAPER}, Assumption 5.1, eq. 11, with N >> d in Theorem 5.3", label="C-slash-pulse",
        title="No table of bounded L when N >> d; the peak gap takes its place, and every RoPE table has one",
        statement=r"\gamma_N = \kappa(0) - \max_{1 \leq u < N} \kappa(u) \geq \min_{1 \leq u < N} (1 - \cos u) > 0",
        assumes="printed: N >= 8 d and L <= 3, refuted for any table by the rank bound; corrected: a fastest pair of "
                "1 rad per token, any N", expected=CORRECTED,
        note="slash.md 3.9.3, 4.5; at N = 6000 (64 pairs, base 10^6) the least L is 2926; the note's 5710 leaves C_1 "
             "no choice",
        prove=_prove_gap, holds=Inequality(GAP, _gap, tight={"seed": 0, "pairs": 1, "length": 700}),
        printed=Inequality(PULSE, _bounded, tight=KNOWN),
        control=Control("a fastest pair of pi / 4, that returns after 8 lags", Inequality(GAP, lambda **draw: _gap(
            **draw, fastest=np.pi / 4), tight={"seed": 0, "pairs": 1, "length": 700}))),
    Claim(
        id="slash-synthesis", source=f"{PAPER}, section 5, Assumption 5.1; the peak gap in its place is ours",
        label="C-slash-synthesis", title="A peak gap makes a slash at any lag",
        statement=r"\lambda = \log(N/\epsilon)/\gamma_N \;\Rightarrow\;"
                  r" S_{i,i-\Delta} \geq 1 - \epsilon \quad (i \geq \Delta)",
        assumes="a slash head of N tokens on any frequencies with a peak gap above 0, 0 < epsilon < 1", expected=AGREES,
        note="slash.md 4.5", holds=Inequality(SYNTHESIS, _synthesis, tight=FLAT),
        simulate=Simulation(SLASHES, "lag", "average slash score", _strong, _drawn_strong),
        control=Control("log(1 / epsilon): as if there were one other key", Inequality(
            SYNTHESIS, lambda **draw: _synthesis(**draw, tokens=1), tight=FLAT))),
    Claim(
        id="slash-alias", source=f"{PAPER}, section 5 (what the frequencies must not do); derived here",
        label="C-slash-alias", title="A common period of the frequencies caps the slash score",
        statement=r"\mathrm{slash}(\Delta) \leq \frac{1}{T-\Delta} \sum_{i \geq \Delta} \frac{1}{n_i}, \quad"
                  r" n_i = |\{n \leq i: n \equiv \Delta \; (P)\}|",
        assumes="frequencies that are multiples of 2 pi / P, any amplitudes and phases", expected=AGREES,
        note="slash.md 4.5: .752 at P = 101, N = 201, reached by training",
        holds=Inequality(ALIAS, _alias, tight=STRONG),
        simulate=Simulation((0, 1, 5, 20, 30, 50), "lag", "average slash score", _ceiling, _reached),
        control=Control("the share of the last row, for all rows", Inequality(ALIAS, _last_row, tight=STRONG))),
)
