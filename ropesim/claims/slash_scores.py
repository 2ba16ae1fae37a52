"""Claims of the slash paper about logits and scores: what a slash is, what it beats, and what moves it."""

from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st
from scipy.special import digamma, logsumexp

from .. import patterns
from .. import removal as protocol
from ..ensembles import Constant, Slash
from ..gaussians import FullGaussian, Gaussian
from ..predict import attention as predicted
from ..predict import moments
from ..predict import removal as predicted_removal
from ..simulate import attention as simulated
from ..simulate import removal as simulated_removal
from .claim import AGREES, PROVED, SPOT_CHECKED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, zero

PAPER = "Cheng et al. 2026 (2601.08297)"
seeds = st.integers(0, 2 ** 32 - 1)


def _nonnegative(expression: Any) -> str:
    """Proved where an expression in positive symbols is a ratio of polynomials without a negative coefficient."""
    parts = sympy.fraction(sympy.together(expression))
    coefficients = [one for part in parts for one in sympy.Poly(sympy.expand(part)).coeffs()]
    return PROVED if all(one >= 0 for one in coefficients) else SPOT_CHECKED


# Fourier form

def _turned(x: np.ndarray, theta: np.ndarray, position: int) -> np.ndarray:
    """Real vectors [pair, 2] times the rotation matrices of a position."""
    cos, sin = np.cos(theta * position), np.sin(theta * position)
    return np.einsum("bij,bj->bi", np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1), x)


def _fourier(seed: int, base: float, i: int, j: int, sign: int = 1) -> tuple[Any, Any]:
    q, k = np.random.default_rng(seed).normal(size=(2, 8, 2))
    theta = base ** (-np.arange(8) / 8)
    phase = np.arctan2(q[:, 1], q[:, 0]) - np.arctan2(k[:, 1], k[:, 0])
    amplitude = np.hypot(*q.T) * np.hypot(*k.T)
    return ((_turned(q, theta, i) * _turned(k, theta, j)).sum(axis=1),
            amplitude * np.cos(theta * (i - j) + sign * phase))


r, s, alpha, beta, angle, i_, j_ = sympy.symbols("r s alpha beta theta i j", real=True)
FOURIER = {"seed": seeds, "base": st.floats(10.0, 1e7), "i": st.integers(0, 1 << 16), "j": st.integers(0, 1 << 16)}


def _prove_fourier() -> str:
    def turn(size: Any, phase: Any, position: Any) -> Any:
        cos, sin = sympy.cos(angle * position), sympy.sin(angle * position)
        x, y = size * sympy.cos(phase), size * sympy.sin(phase)
        return sympy.Matrix([x * cos - y * sin, x * sin + y * cos])
    product = (turn(r, alpha, i_).T * turn(s, beta, j_))[0]
    return zero(sympy.expand(product - r * s * sympy.cos(angle * (i_ - j_) + alpha - beta), trig=True))


def _tie_fourier() -> float:
    formula = sympy.lambdify((r, s, angle, alpha, beta, i_, j_), r * s * sympy.cos(angle * (i_ - j_) + alpha - beta))
    points = [(2.0, 0.5, 0.3, 1.0, 0.25, 9, 4), (1.5, 3.0, 1.0, -2.0, 0.5, 1000, 1), (0.1, 0.2, 1e-3, 3.0, -3.0, 7, 7)]

    def library(r: float, s: float, theta: float, alpha: float, beta: float, i: int, j: int) -> float:
        return float(predicted.pair_logits(np.array([r * s]), np.array([alpha - beta]), np.array([theta]), i - j)[0])
    return max(abs(library(*point) / formula(*point) - 1) for point in points)


# Definition 4.1

THETA = np.array([1.0, 0.3, 0.1, 0.03])
NOISY = Gaussian(lag=1, strength=0.9, sigma_q=0.3, sigma_k=0.3)
LAGS = (0, 1, 2, 5, 10, 15)


def _rows(logits: np.ndarray) -> np.ndarray:
    """Scores [i, j] of the logits by lag, row by row."""
    length = len(logits)
    out = np.zeros((length, length))
    for i in range(length):
        row = np.exp(logits[i::-1] - logits[:i + 1].max())
        out[i, :i + 1] = row / row.sum()
    return out


def _average(seed: int, lag: int, skip: int, more: int, size: float, over: int = 0) -> tuple[float, float]:
    length = lag + skip + 1 + more
    logits = size * np.random.default_rng(seed).normal(size=length)
    diagonal = np.diagonal(_rows(logits), -lag)[skip:]
    return float(predicted.slash(logits, skip=skip)[lag]), float(diagonal.sum() / (over or len(diagonal)))


AVERAGE = {"seed": seeds, "lag": st.integers(0, 12), "skip": st.integers(0, 4), "more": st.integers(0, 12),
           "size": st.floats(0.0, 20.0)}


def _expected_slash(lags: tuple[int, ...] = LAGS) -> tuple[Any, Any]:
    expected = moments.expected(NOISY.parts(16, THETA), THETA, 16)
    return expected.slash[list(lags)], expected.slash_error[list(lags)]


def _mean_slash(head: Any, length: int, lags: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, Any]:
    drawn = np.array([simulated.profile(*head.sample(length, rng, THETA)).slash[list(lags)] for _ in range(400)])
    return drawn.mean(axis=0), drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))


# the uniform baseline

def _prove_uniform() -> str:
    def mean_share(n: int) -> Any:
        z = sympy.symbols(f"z:{n}", positive=True)
        return sum(one / sum(z) for one in z) / n - sympy.Rational(1, n)
    return every(zero(mean_share(n)) for n in range(2, 7))


def _harmonic(length: int, lag: int) -> float:
    return float((digamma(length + 1) - digamma(lag + 1)) / (length - lag))


def _uniform(length: int, lag: int) -> tuple[float, float]:
    scores = np.tri(length) / np.arange(1, length + 1)[:, None]
    return float(np.diagonal(scores, -(lag % length)).mean()), _harmonic(length, lag % length)


UNIFORM = {"length": st.integers(1, 60), "lag": st.integers(0, 59)}
BLIND = FullGaussian(np.zeros(4), np.zeros(4), np.eye(8), np.eye(8), np.zeros((8, 8)))


# margins

a = sympy.symbols("a:5", positive=True)
b = sympy.symbols("b:5", positive=True)
z = sympy.symbols("z:5", positive=True)
eps, size_ = sympy.symbols("epsilon E", positive=True)


def _prove_margin() -> str:
    """Others lie log(N / eps) + log(1 + a_j) below: 1 - S = x / (1 + x) <= x <= eps, with x their sum."""
    return every(_nonnegative(eps - sum(eps / n / (1 + one) for one in a[:n - 1])) for n in range(2, 6))


def _margin(seed: int, tokens: int, epsilon: float, spread: float, factor: float = 1.0) -> tuple[float, float]:
    margin = np.log(factor * tokens / epsilon)
    others = np.exp(-margin - spread * np.random.default_rng(seed).exponential(size=tokens - 1)).sum()
    return float(others / (1 + others)), epsilon


MARGIN = {"seed": seeds, "tokens": st.integers(2, 2000), "epsilon": st.floats(1e-9, 0.99),
          "spread": st.floats(0.0, 5.0)}


# perturbation

def _prove_perturbation() -> str:
    """With E = e^D, deviations D - log(1 + b_j) or log(1 + a_j) - D: both ends of the sandwich, times positive sums."""
    def ends(n: int) -> list[str]:
        up = size_ ** 2 * sum(z[j] * (1 + a[j]) / size_ for j in range(n)) - size_ / (1 + b[0]) * sum(z[:n])
        down = size_ ** 2 * (1 + a[0]) / size_ * sum(z[:n]) - sum(z[j] * size_ / (1 + b[j]) for j in range(n))
        return [_nonnegative(up), _nonnegative(down)]
    return every(verdict for n in range(2, 5) for verdict in ends(n))


def _perturbed(seed: int, tokens: int, size: float, gap: float, corner: bool, factor: float = 2.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    logits = np.append(-gap, rng.normal(size=tokens - 1))
    moved = size * (np.append(1.0, -np.ones(tokens - 1)) if corner else rng.uniform(-1, 1, tokens))
    change = (logits + moved - logsumexp(logits + moved)) - (logits - logsumexp(logits))
    return np.abs(change), np.full(tokens, factor * size)


PERTURBED = {"seed": seeds, "tokens": st.integers(2, 50), "size": st.floats(0.1, 5.0), "gap": st.floats(-10.0, 30.0),
             "corner": st.booleans()}
FAR = {"seed": 0, "tokens": 9, "size": 1.0, "gap": 30.0, "corner": True}


# removal of bands

def _slash(logits: np.ndarray, lag: int) -> float:
    rows = np.logaddexp.accumulate(logits)
    return float(np.exp(logits[lag] - rows[lag:]).mean())


def _removed(pairs: int, base: float, length: int, lag: int, strength: float, mixed: int = 0) -> tuple[Any, Any]:
    theta = base ** (-np.arange(pairs) / pairs)
    thirds = protocol.protocol(theta)
    if mixed:
        theta = np.random.default_rng(mixed).permutation(theta)
    cosines = strength * np.cos(np.outer(np.arange(length) - lag, theta))
    whole = _slash(cosines.sum(axis=1), lag)
    high, medium, low = (_slash(np.delete(cosines, third, axis=1).sum(axis=1), lag) / whole for third in thirds)
    return np.array([high, medium, low]), np.array([medium, low, 1.0])


REMOVED = {"pairs": st.integers(18, 64), "base": st.floats(1e3, 1e7), "length": st.integers(64, 160),
           "lag": st.integers(0, 5), "strength": st.floats(0.0, 2.0)}
BANDS, HEAD = 1e6 ** (-np.arange(64) / 64), (0.15, 1, 256)          # strength, lag and length


def _predicted_ratios() -> tuple[Any, float]:
    strength, lag, length = HEAD
    return np.array([predicted_removal.slash_ratio(np.full(64, strength), -lag * BANDS, BANDS, third, length, lag)
                     for third in protocol.protocol(BANDS)]), 0.0


def _simulated_ratios(rng: np.random.Generator) -> tuple[Any, float]:
    strength, lag, length = HEAD
    q, k, theta = Slash(lag, strength).sample(length, rng, BANDS)
    return np.array([simulated_removal.slash_ratio(q, k, theta, third, lag)
                     for third in protocol.protocol(theta)]), 0.0


def _lag_logits(rng: np.random.Generator) -> tuple[Any, float]:
    head = Constant((2.0, 1.0, 0.5, 0.7), (0.4, -1.0, 2.0, 3.0))
    last = np.log(simulated.scores(*head.sample(32, rng, THETA))[-1, ::-1])
    return last[1:] - last[0], 0.0


def _fourier_differences() -> tuple[Any, float]:
    logits = predicted.lag_logits(np.array([2.0, 1.0, 0.5, 0.7]), np.array([0.4, -1.0, 2.0, 3.0]), THETA, 32)
    return logits[1:] - logits[0], 0.0


CLAIMS = (
    Claim(
        id="slash-fourier", source=f"{PAPER}, section 4, eq. 9", label="A-lag",
        title="The logit of two tokens is a Fourier sum over their lag, with these amplitudes and phases",
        statement=r"\ell_{ij} = \sum_b |q_b||k_b| \cos(\theta_b (i-j) + \arg q_b - \arg k_b)",
        assumes="any query and key; where these are constant, so are amplitudes and phases",
        expected=PROVED, note="slash.md 1.4; the paper prints A and phi without formulas", tie=_tie_fourier,
        prove=_prove_fourier, holds=Identity(FOURIER, _fourier),
        simulate=Simulation(range(1, 32), "lag", "logit less the one at lag 0", _fourier_differences, _lag_logits),
        control=Control("the phase of the key less that of the query", Identity(
            FOURIER, lambda seed, base, i, j: _fourier(seed, base, i, j, -1)))),
    Claim(
        id="slash-score", source=f"{PAPER}, Definition 4.1, eq. 6", label="A-slash",
        title="The average slash score of Definition 4.1, by a suffix sum and as an expectation over prompts",
        statement=r"\mathrm{slash}(\Delta) = \mathrm{E}\,\frac{1}{T-\Delta-s}\sum_{i=\Delta+s}^{T-1} S_{i,i-\Delta}",
        assumes="causal softmax rows; s first keys left out (the paper: 4); expectations for independent Gaussian keys",
        expected=AGREES, note="slash.md 1.2", holds=Identity(AVERAGE, _average),
        simulate=Simulation(LAGS, "lag", "average slash score", _expected_slash,
                            lambda rng: _mean_slash(NOISY, 16, LAGS, rng)),
        control=Control("the mean over all rows, also those without the lag", Identity(
            {**AVERAGE, "lag": st.integers(1, 12)}, lambda seed, lag, skip, more, size: _average(
                seed, lag, skip, more, size, over=lag + skip + 1 + more)))),
    Claim(
        id="slash-uniform", source=f"{PAPER}, Definition 4.1, eq. 6; the baseline is ours", label="P-uniform",
        title="A head that does not see the lag scores (H_T - H_d) / (T - d) on average, uniform or not",
        statement=r"\mathrm{E}\,S_{i,i-\Delta} = \frac{1}{i+1}, \quad"
                  r" \mathrm{slash}(\Delta) = \frac{H_T - H_\Delta}{T - \Delta}",
        assumes="logits of a row exchangeable, as of isotropic random keys under RoPE; proved for rows of 2 to 6 keys",
        expected=PROVED, note="slash.md 4.8: 1.38e-3 at lag 1 and T = 6000, the size of the paper's long-lag scores",
        prove=_prove_uniform, holds=Identity(UNIFORM, _uniform),
        simulate=Simulation(LAGS, "lag", "average slash score", lambda: (patterns.uniform(16).slash[list(LAGS)], 0.0),
                            lambda rng: _mean_slash(BLIND, 16, LAGS, rng)),
        control=Control("1 / T at every lag", Simulation(
            LAGS, "lag", "average slash score", lambda: (np.full(len(LAGS), 1 / 16), 0.0),
            lambda rng: _mean_slash(BLIND, 16, LAGS, rng)))),
    Claim(
        id="slash-margin", source=f"{PAPER}, Theorem 5.3, proof, end of stage I", label="C-slash-margin",
        title="A margin of log(N / epsilon) puts at least 1 - epsilon on one key",
        statement=r"\ell_t - \max_{j \neq t} \ell_j \geq \log(N/\epsilon) \;\Rightarrow\; 1 - S_t \leq \epsilon",
        assumes="0 < epsilon < 1, at most N keys in the row; proved for rows of 2 to 5 keys",
        expected=PROVED, note="slash.md 3.8, 4.8; tight as N grows and epsilon falls",
        prove=_prove_margin, holds=Inequality(MARGIN, _margin, tight={
            "seed": 0, "tokens": 2000, "epsilon": 1e-4, "spread": 0.0}),
        control=Control("a margin of log(N / 2 epsilon)", Inequality(
            MARGIN, lambda seed, tokens, epsilon, spread: _margin(seed, tokens, epsilon, spread, 0.5), tight={
                "seed": 0, "tokens": 2000, "epsilon": 1e-4, "spread": 0.0}))),
    Claim(
        id="slash-perturbation", source="ours, on the near rank-one heads of " + PAPER + ", section 4",
        label="C-slash-perturbation",
        title="Logits that move by at most D move every score by a factor of at most e^{2D}",
        statement=r"|\delta_j| \leq D \;\Rightarrow\; e^{-2D} S_t \leq S_t' \leq e^{2D} S_t",
        assumes="any logits of one row; proved for rows of 2 to 4 keys",
        expected=PROVED, note="slash.md 4.7: an out-of-distribution ratio outside e^{2(D + D')} refutes rank one",
        prove=_prove_perturbation, holds=Inequality(PERTURBED, _perturbed, tight=FAR),
        control=Control("a factor of e^D", Inequality(PERTURBED, lambda seed, tokens, size, gap, corner: _perturbed(
            seed, tokens, size, gap, corner, 1.0), tight=FAR))),
    Claim(
        id="slash-removal", source=f"{PAPER}, section 4, Fig. 16", label="A-removal",
        title="Fast frequencies matter most and slow ones least: unrotated, they lower the score in this order",
        statement=r"\rho_{\mathrm{high}} \leq \rho_{\mathrm{medium}} \leq \rho_{\mathrm{low}} \leq 1",
        assumes="equal aligned amplitudes on a geometric table of 18 to 64 pairs, base 10^3 to 10^7, lags up to 5, six "
                "pairs left unrotated in each third", expected=AGREES,
        note="slash.md 1.5, 4.8; no proof known, and nothing follows for other amplitudes",
        holds=Inequality(REMOVED, _removed, tight={
            "pairs": 64, "base": 1e6, "length": 160, "lag": 1, "strength": 0.2}),
        simulate=Simulation((0, 1, 2), "third, fastest first", "score after removal over score before",
                            _predicted_ratios, _simulated_ratios),
        control=Control("thirds by index where the table is not in order", Inequality(
            {**REMOVED, "mixed": st.integers(1, 9)}, _removed))),
)
