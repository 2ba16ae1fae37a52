"""Claims about decay with the lag and about base and context length: RoFormer, Men et al., Su, critical dimension."""

from functools import cache

import hypothesis
import numpy as np
import sympy
from hypothesis import strategies as st
from scipy.special import sici

from .. import bands
from ..predict import attention as predicted
from ..predict import context
from .claim import CORRECTED, PROVED, REFUTED, SPOT_CHECKED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero

seeds = st.integers(0, 2 ** 32 - 1)
bases = st.floats(10.0, 1e7)
Mean = tuple[np.ndarray, np.ndarray]


def _mean(samples: np.ndarray) -> Mean:
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))


def _geometric(base: float, dim: int) -> np.ndarray:
    return base ** (-np.arange(0, dim, 2) / dim)


# RoFormer's bound

def _bound(seed: int, base: float, pairs: int, lag: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(pairs, 2)).view(np.complex128)[:, 0]
    theta = _geometric(base, 2 * pairs)
    return abs((h * np.exp(1j * theta * lag)).sum()), float(context.decay_bound(h, theta, np.array([lag]))[0])


def _without_last(seed: int, base: float, pairs: int, lag: int) -> tuple[float, float]:
    """The differences between the pairs alone, without the step from the last coefficient to 0."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(pairs, 2)).view(np.complex128)[:, 0]
    terms = np.exp(1j * _geometric(base, 2 * pairs) * lag)
    return abs((h * terms).sum()), float(np.abs(np.diff(h)).max(initial=0.0) * np.abs(np.cumsum(terms)).sum())


def _prove_abel() -> str:
    """Summation by parts for 1 to 5 pairs; the bound is its triangle inequality."""
    def of(pairs: int) -> str:
        h, e = sympy.symbols(f"h:{pairs}"), sympy.symbols(f"e:{pairs}")
        after = [*h[1:], sympy.Integer(0)]
        partial = [sum(e[:n + 1]) for n in range(pairs)]
        return zero(sympy.expand(sum(a * b for a, b in zip(h, e))
                                 + sum(s * (b - a) for s, a, b in zip(partial, h, after))))
    return every(of(pairs) for pairs in (1, 2, 3, 4, 5))


def _decays(base: float, dim: int, lag: int) -> tuple[float, float]:
    now, later = context.decay_curve(_geometric(base, dim), np.array([lag, lag + 1]))
    return float(later), float(now)


def _sum_decays(base: float, dim: int, lag: int) -> tuple[float, float]:
    now, later = np.cos(np.outer([lag, lag + 1], _geometric(base, dim))).sum(axis=1) + dim / 2
    return float(later), float(now)


def _prove_not_monotone() -> str:
    """Two pairs: the bound is 1 + 2 |cos(n (theta_0 - theta_1) / 2)|, which returns to its height."""
    n, x = sympy.symbols("n x", real=True)                 # x = theta_0 - theta_1
    length = zero((1 + sympy.cos(n * x)) ** 2 + sympy.sin(n * x) ** 2 - 4 * sympy.cos(n * x / 2) ** 2)
    rises = true([abs(sympy.cos(6 * sympy.Rational(99, 200))) > abs(sympy.cos(3 * sympy.Rational(99, 200)))])
    return REFUTED if every([length, rises]) == PROVED else SPOT_CHECKED


# Men et al.

MU, SIGMA, DIM, LAGS = 0.4, 0.8, 32, (0, 1, 3, 10, 30, 100, 1000)


def _prove_criterion() -> str:
    """One pair: moments of independent components of mean mu and variance v put in for their products."""
    mu, v, angle = sympy.symbols("mu v phi", real=True)
    q, k, e = (sympy.symbols(f"{name}:2", real=True) for name in ("q", "k", "e"))
    turn = sympy.Matrix([[sympy.cos(angle), -sympy.sin(angle)], [sympy.sin(angle), sympy.cos(angle)]])
    row = sympy.Matrix([q]) * turn
    difference = sympy.expand((row * sympy.Matrix([q[0] + e[0], q[1] + e[1]]) - row * sympy.Matrix(k))[0])
    # of degree two in each product: squares first, then whatever is left is a product of independent components
    known = {q[0] ** 2: mu ** 2 + v, q[1] ** 2: mu ** 2 + v}
    left = difference.subs(known).subs({q[0]: mu, q[1]: mu, k[0]: mu, k[1]: mu, e[0]: 0, e[1]: 0})
    return zero(left - 2 * v * sympy.cos(angle))


def _predict_criterion(times: float = 2.0) -> tuple[np.ndarray, float]:
    theta = _geometric(1e4, DIM)
    sums = predicted.lag_logits(np.ones(theta.size), np.zeros(theta.size), theta, max(LAGS) + 1)
    return times * SIGMA ** 2 * sums[list(LAGS)], 0.0


def _simulate_criterion(rng: np.random.Generator) -> Mean:
    """Components uniform around the mean: the criterion asks for two moments only."""
    wide = SIGMA * np.sqrt(12)
    q, k = rng.uniform(MU - wide / 2, MU + wide / 2, (2, 8000, DIM))
    near = q + rng.normal(0.0, 0.3, q.shape)
    q, near, k = (x[:, ::2] + 1j * x[:, 1::2] for x in (q, near, k))
    turn = np.exp(1j * np.outer(_geometric(1e4, DIM), LAGS))
    return _mean(((q * (near - k).conj()) @ turn).real)


SU = (4.3e3, 1.2e4, 2.7e4, 8.4e4, 2.3e5, 6.3e5, 2.1e6, 4.9e6, 2.4e7, 5.8e7, 6.5e7)
MEN = (4.3e3, 1.6e4, 2.7e4, 8.4e4, 3.1e5, 6.4e5, 2.1e6, 7.8e6, 3.6e7, 6.4e7, 5.1e8)
# The least feasible bases for 1k .. 1M, found by context.first_feasible(1024 << n, 2.0, ...): every base from 2 on.
LEAST = (4293.437569, 11587.24430, 26952.33923, 83763.84102, 231643.6468, 629978.2629, 2090179.674, 4869104.371,
         23662397.04, 58496173.80, 65374955.14)


@cache
def _least(size: int) -> float:
    """The least feasible base, every base from 1e-4 below it on being passed over with a lag that fails."""
    edge = context.first_feasible(1024 << size, LEAST[size] * (1 - 1e-4), LEAST[size] * (1 + 1e-4))
    return float("nan") if edge is None or not edge.lag else edge.base


@cache
def _scanned(size: int) -> float:
    """The least feasible base above 2; minutes at the longest contexts."""
    edge = context.first_feasible(1024 << size, 2.0, LEAST[size] * (1 + 1e-4))
    return float("nan") if edge is None else edge.base


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")


def _bisected(size: int) -> float:
    """What bisection finds, which takes larger bases for better ones."""
    low, high = np.log(1024 << size), np.log(100 * (1024 << size))
    for _ in range(30):
        middle = (low + high) / 2
        good = context.worst_sum(_geometric(float(np.exp(middle)), 128), 1024 << size).value >= 0
        low, high = (low, middle) if good else (middle, high)
    return float(np.exp(high))


SIZES = (0, 1)


def _predict_least() -> tuple[np.ndarray, float]:
    edges = [context.first_feasible(1024 << size, float(1024 << size), 1e6) for size in SIZES]
    return np.array([edge.base if edge else np.nan for edge in edges]), 0.0


def _simulate_least(rng: np.random.Generator) -> Mean:
    """The first feasible base of a geometric grid from the length on; its place within the step is the error."""
    found = []
    for size in SIZES:
        length, step = 1024 << size, 1e-3
        base = float(length)
        while True:
            theta = _geometric(base, 128)
            giant, baby = np.exp(1j * np.outer(range(0, length, 32), theta)), np.exp(1j * np.outer(theta, range(32)))
            if (giant @ baby).real.min() >= 0:
                break
            base *= 1 + step
        found.append(base / (1 + step / 2))
    return np.array(found), np.array(found) * step / np.sqrt(12)


def _larger(size: int, base: float, times: float) -> tuple[float, float]:
    """Whether a base is feasible, and whether a larger one is, as 0 and 1."""
    length = 1024 << size
    left, right = (float(context.worst_sum(_geometric(b, 128), length).value >= 0) for b in (base, base * times))
    return left, right


def _prove_larger() -> str:
    """Head dimension 8, sixteen lags, with 30 digits: base 201 is feasible, base 266 is not."""
    def sums(base: int) -> list[sympy.Expr]:
        terms = [[sympy.cos(n * sympy.Float(base, 40) ** sympy.Rational(-i, 4)) for i in range(4)] for n in range(16)]
        return [sympy.Add(*row).evalf(30) for row in terms]
    good, bad = sums(201), sums(266)
    shown = true([*(value > sympy.Rational(1, 100) for value in good), bad[15] < -sympy.Rational(1, 100)])
    return REFUTED if shown == PROVED else SPOT_CHECKED


def _half(base: float, pairs: int, lag: float, free: float = 1.0) -> tuple[float, float]:
    """Minus the sum of the rotated cosines, and the number of pairs that are not rotated."""
    return float(-np.cos(lag * _geometric(base, 2 * pairs)).sum()), free * pairs


def _prove_half() -> str:
    x = sympy.Symbol("x", real=True)
    return every([zero(1 + sympy.cos(x) - 2 * sympy.cos(x / 2) ** 2), true([sympy.cos(x / 2) ** 2 >= 0])])


MANY, SOME = 4096, (1, 2, 5, 10, 20, 50, 100)


def _predict_limit(base: float = 1e4, slow: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The integral over the exponent, and the total variation of the integrand over the number of pairs."""
    n = np.array(SOME, dtype=float)
    return (sici(n)[1] - slow * sici(n / base)[1]) / np.log(base), (2 + 2 * n / np.pi) / MANY


def _simulate_limit(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    return np.cos(np.outer(SOME, _geometric(1e4, 2 * MANY))).mean(axis=1), 0.0


def _prove_limit() -> str:
    n, b, t = sympy.symbols("n b t", positive=True)
    inside = zero(sympy.diff(-sympy.Ci(n * b ** -t) / sympy.log(b), t) - sympy.cos(n * b ** -t))
    root = true([sympy.Ci(sympy.Float("0.6165", 30)).evalf(20) < 0, sympy.Ci(sympy.Float("0.6166", 30)).evalf(20) > 0])
    return every([inside, root])


# Critical dimension

def _critical(base: float, half: int, length: int, up: bool = True) -> tuple[float, float]:
    """The formula, and twice the number of pairs that turn at least once."""
    x = half * np.log(length / (2 * np.pi)) / np.log(base)
    hypothesis.assume(0 < x < half and abs(x - round(x)) > 1e-9)
    counted = (length * _geometric(base, 2 * half) >= 2 * np.pi).sum()
    return 2 * float(np.ceil(x) if up else np.floor(x)), 2 * float(counted)


def _prove_critical() -> str:
    """Turns of pair i in terms of x = (d/2) log_b(T / 2 pi); the count for a few x; 92 for LLaMA-2."""
    b, x, i, d, length = sympy.symbols("b x i d T", positive=True)
    turns = length * b ** (-2 * i / d) / (2 * sympy.pi)
    inside = turns.subs(length, 2 * sympy.pi * b ** (2 * x / d)) - b ** (2 * (x - i) / d)
    counts = [sympy.Eq(sum(1 for n in range(9) if n <= y), sympy.ceiling(y))
              for y in (sympy.Rational(k, 3) for k in range(1, 24) if k % 3)]
    llama = sympy.Eq(2 * sympy.ceiling(64 * sympy.log(4096 / (2 * sympy.pi)) / sympy.log(10000)), 92)
    return every([zero(sympy.powsimp(sympy.expand(inside))), true([*counts, llama])])


PUBLISHED = ((128, 1e4, 4096, 92), (128, 1e4, 2048, 82), (128, 5e5, 8192, 70), (256, 1e4, 8192, 200),
             (128, 1e6, 32768, 80), (128, 1e6, 16384, 74), (32, 1e4, 2048, 22), (64, 1e4, 4096, 46),
             (64, 1.5e5, 4096, 36))


def _tie_critical() -> float:
    d, b, length = sympy.symbols("d b T", positive=True)
    turns = d / 2 * sympy.log(length / (2 * sympy.pi)) / sympy.log(b)
    formula = sympy.lambdify((d, b, length), 2 * sympy.ceiling(turns))
    return max(abs(formula(dim, base, size) / (bands.geometric(dim, base, context=size).critical_dim or 0) - 1)
               + abs(formula(dim, base, size) / value - 1) for dim, base, size, value in PUBLISHED)


def _first_slow(base: float, half: int, counted: int, inverse: int = 0) -> tuple[float, float]:
    """Wavelength of the first pair that is not counted, and the formula."""
    counted = min(counted, half - 1)
    wavelength = bands.geometric(2 * half, base).wavelength[counted]
    return float(wavelength), float(2 * np.pi * base ** ((counted - inverse) / half))


def _prove_first_slow() -> str:
    b, c, d = sympy.symbols("b c d", positive=True)        # c: the critical dimension, pair c / 2 is the first beyond
    return zero(sympy.powsimp(2 * sympy.pi / b ** (-2 * (c / 2) / d) - 2 * sympy.pi * b ** (c / d)))


def _slowest(base: float, half: int) -> tuple[float, float]:
    return float(bands.geometric(2 * half, base).wavelength.max()), float(2 * np.pi * base ** ((half - 1) / half))


def _prove_slowest() -> str:
    b, d = sympy.symbols("b d", positive=True)
    i = (d - 2) / 2
    return zero(sympy.powsimp(2 * sympy.pi / b ** (-2 * i / d) - 2 * sympy.pi * b ** (1 - 2 / d), force=True))


BOUND = {"seed": seeds, "base": bases, "pairs": st.integers(1, 16), "lag": st.integers(0, 4096)}
DECAY = {"base": bases, "dim": st.sampled_from((4, 16, 64, 128)), "lag": st.integers(0, 4096)}
INDEX = {"size": st.integers(0, len(SU) - 1)}
LARGER = {"size": st.integers(0, 1), "base": st.floats(1e3, 1e5), "times": st.floats(1.0, 3.0)}
HALF = {"base": bases, "pairs": st.integers(1, 64), "lag": st.floats(0.0, 1e6)}
CRITICAL = {"base": bases, "half": st.integers(2, 128), "length": st.integers(8, 1 << 20)}
SLOW = {"base": bases, "half": st.integers(2, 128)}

CLAIMS = (
    Claim(
        id="rope-decay-bound", source="Su et al. 2021 (2104.09864), section 3.4.3", label="C-rope-decay-bound",
        title="RoFormer's long-term decay: a bound by partial sums",
        statement=r"|\sum_b h_b e^{\mathrm{i} n\theta_b}| \leq \max_b |h_{b+1} - h_b| \sum_j |S_j(n)|",
        assumes="h_B = 0 after the last pair counts among the differences; the identity proved for 1 to 5 pairs",
        expected=PROVED, note="rope.md 3.1: it holds and is loose; with one pair it is an equality",
        prove=_prove_abel,
        holds=Inequality(BOUND, _bound, {"seed": 0, "base": 1e4, "pairs": 1, "lag": 5}),
        control=Control("without the step from the last pair to 0", Inequality(BOUND, _without_last))),
    Claim(
        id="rope-decay-monotone", source="Su et al. 2021 (2104.09864), section 3.4.3, as figure 2 is commonly read",
        label="C-rope-decay-monotone", title="The bound falls with every step of the lag",
        statement=r"\frac{1}{B}\sum_j |S_j(n + 1)| \leq \frac{1}{B}\sum_j |S_j(n)|",
        assumes="geometric frequencies", expected=REFUTED,
        note="rope.md 3.1: the bound holds but is not monotone; for Gaussian heads see rope-barbero-3.2",
        prove=_prove_not_monotone,
        holds=Inequality(DECAY, _decays, {"base": 1e4, "dim": 128, "lag": 18}),
        control=Control("the sum of cosines in place of the bound", Inequality(DECAY, _sum_decays))),
    Claim(
        id="rope-men-criterion", source="Men et al. 2024 (2405.14591), theorem number not recorded; derivation by Su, "
                                        "kexue.fm/archives/10122", label="C-rope-men-criterion",
        title="A similar key beats a random one by the sum of cosines",
        statement=r"E\, \langle q, R_n (q + \epsilon)\rangle - E\, \langle q, R_n k\rangle"
                  r" = 2\sigma^2 \sum_i \cos n\theta_i",
        assumes="independent components of equal mean and variance sigma^2; epsilon independent of mean 0",
        expected=PROVED, note="rope.md 3.2", prove=_prove_criterion,
        simulate=Simulation(LAGS, "lag (tokens)", "mean difference of logits", _predict_criterion, _simulate_criterion),
        control=Control("sigma^2 without the 2", Simulation(
            LAGS, "lag (tokens)", "mean difference of logits", lambda: _predict_criterion(1.0), _simulate_criterion))),
    Claim(
        id="rope-men-bases", source="Men et al. 2024 (2405.14591), table of least bases; corrected by Su, "
                                    "kexue.fm/archives/10122", label="C-rope-men-bases",
        title="The least base for a context of 1k to 1M: Su's eleven values",
        statement=r"b^* = \inf\{b : \sum_{i} \cos(n\, b^{-2i/128}) \geq 0,\ n < T\}",
        assumes="head dimension 128, 1k = 1024 tokens, two digits; below b* checked here from b* (1 - 1e-4) on",
        expected=CORRECTED, note="rope.md 3.2 (grid scans); here by certificate: every base from 2 to b* fails, found "
                                 "once by first_feasible in 150 s. The published table is above it at 2k, 16k, 32k "
                                 "and from 128k on",
        holds=Identity(INDEX, lambda size: (_two_digits(_least(size)), SU[size])),
        full=Identity(INDEX, lambda size: (_two_digits(_scanned(size)), SU[size])),
        printed=Identity(INDEX, lambda size: (_two_digits(_least(size)), MEN[size])),
        simulate=Simulation([1024 << size for size in SIZES], "context (tokens)", "least base", _predict_least,
                            _simulate_least),
        control=Control("bisection, as if larger bases were better", Identity(
            {"size": st.integers(0, 2)}, lambda size: (_two_digits(_bisected(size)), SU[size])))),
    Claim(
        id="rope-men-larger", source="Men et al. 2024 (2405.14591), read as a threshold; Su, kexue.fm/archives/10122",
        label="C-rope-men-bases", title="A base above a feasible one is feasible",
        statement=r"b^* \leq b \;\Rightarrow\; \sum_i \cos(n\, b^{-2i/d}) \geq 0,\ n < T",
        assumes="head dimension 128; proved otherwise for 8", expected=REFUTED,
        note="rope.md 3.2: feasible bases are no half-line; at 1k bases up to 6017 fail, above the least, 4293.4",
        prove=_prove_larger,
        holds=Inequality(LARGER, _larger, {"size": 0, "base": 4300.0, "times": 1.15}),
        control=Control("a smaller base than a feasible one", Inequality(
            {"size": st.integers(0, 1), "base": st.floats(4e3, 4e4), "times": st.floats(0.2, 1.0)}, _larger,
            {"size": 0, "base": 4300.0, "times": 0.9}))),
    Claim(
        id="rope-men-half", source="Su, kexue.fm/archives/10122", label="C-rope-men-half",
        title="Half-rotary heads meet the criterion at any base and length",
        statement=r"\sum_i (1 + \cos n\theta_i) \geq 0", expected=PROVED, note="rope.md 3.2",
        assumes="as many pairs not rotated as rotated; the margin may be 0, at half a turn of every pair",
        prove=_prove_half,
        holds=Inequality(HALF, _half, {"base": 1e4, "pairs": 1, "lag": float(np.pi)}),
        control=Control("a head with all pairs rotated", Inequality(HALF, lambda **draw: _half(**draw, free=0.0)))),
    Claim(
        id="rope-men-limit", source="Su, kexue.fm/archives/10122", label="C-rope-men-limit",
        title="Many pairs: the criterion tends to a difference of cosine integrals",
        statement=r"\frac{2}{d}\sum_i \cos n\, b^{-2i/d} \to \frac{\mathrm{Ci}(n) - \mathrm{Ci}(n/b)}{\ln b}",
        assumes="d to infinity; error (2 + 2n/pi) / (d/2), the variation of the integrand over its steps; b >= 1.622 T "
                "from the first zero of Ci, 0.6165", expected=PROVED, note="rope.md 3.2",
        prove=_prove_limit,
        simulate=Simulation(SOME, "lag (tokens)", "mean cosine", _predict_limit, _simulate_limit),
        control=Control("Ci(n) / ln b alone", Simulation(
            SOME, "lag (tokens)", "mean cosine", lambda: _predict_limit(slow=0.0), _simulate_limit))),
    Claim(
        id="rope-critical", source="Liu et al. 2023 (2310.05209), section not recorded", label="R-critical",
        title="The critical dimension counts the pairs that turn at least once: 92 for LLaMA-2",
        statement=r"2\lceil \frac{d}{2}\log_b\frac{T}{2\pi} \rceil = 2\,\#\{i : T\theta_i \geq 2\pi\}",
        assumes="0 < x = (d/2) log_b(T / 2 pi) < d/2, not whole, where the formula misses a pair; beyond d/2 it counts "
                "more than there are; the count for x in thirds in the proof", expected=PROVED, note="rope.md 3.3",
        prove=_prove_critical, holds=Identity(CRITICAL, _critical), tie=_tie_critical,
        control=Control("rounded down", Identity(CRITICAL, lambda base, half, length: (
            _critical(base, half, length, False))))),
    Claim(
        id="rope-critical-length", source="Liu et al. 2023 (2310.05209), section not recorded",
        label="C-rope-critical-length",
        title="With a larger base the first untrained pair has one turn at 2 pi b^(d_c/d) tokens",
        statement=r"\lambda_{d_c/2} = 2\pi\, b^{d_c/d}", assumes="d_c < d", expected=PROVED,
        note="rope.md 3.3: the upper limit of extrapolation", prove=_prove_first_slow,
        holds=Identity(SLOW | {"counted": st.integers(0, 127)}, _first_slow),
        control=Control("the last trained pair's", Identity(SLOW | {"counted": st.integers(1, 127)}, lambda **draw: (
            _first_slow(**draw, inverse=1))))),
    Claim(
        id="rope-slowest", source="Liu 2026 (2602.10959), section not recorded", label="C-rope-slowest",
        title="The slowest pair's wavelength is 2 pi b^(1 - 2/d), not 2 pi b",
        statement=r"\lambda_{\max} = 2\pi\, b^{(d-2)/d}", assumes="geometric frequencies of d rotary dimensions",
        expected=CORRECTED, note="rope.md 3.4: the paper takes theta_min = 1/b; 54410 against 62832 tokens at d = 128, "
                                 "b = 1e4. Barbero et al. count turns at 128k the same way",
        prove=_prove_slowest, holds=Identity(SLOW, _slowest),
        printed=Identity(SLOW, lambda base, half: (_slowest(base, half)[0], 2 * np.pi * base)),
        control=Control("b^(1 - 1/d), one coordinate for a pair", Identity(SLOW, lambda base, half: (
            _slowest(base, half)[0], 2 * np.pi * base ** (1 - 0.5 / half))))),
)
