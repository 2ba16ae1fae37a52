"""Claims about the logit as a function of the lag: maxima, Gaussian heads, and moments over a window."""

from collections.abc import Sequence

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import attention as predicted
from ..predict.context import window_moments
from ..simulate import attention as simulated
from .claim import AGREES, PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, zero

seeds = st.integers(0, 2 ** 32 - 1)
PAIRS = 8
Mean = tuple[np.ndarray, np.ndarray]


def _theta(base: float, top: float = 1.0) -> np.ndarray:
    return top * base ** (-np.arange(PAIRS) / PAIRS)


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Pairs of independent standard normal components."""
    return rng.normal(size=(*shape, 2)).view(np.complex128)[..., 0]


def _mean(samples: np.ndarray) -> Mean:
    """Mean and its standard error over the first axis."""
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))


# A key that is best at one lag

def _peak(seed: int, base: float, top: float, lag: int, other: int, sign: int = 1) -> tuple[float, float]:
    """Logits of the key made for `lag`, at another lag and at `lag`."""
    q = _normal(np.random.default_rng(seed), PAIRS)
    theta = _theta(base, top)
    k = q * np.exp(1j * sign * theta * lag)
    at, there = ((q * k.conj() * np.exp(1j * theta * n)).sum().real for n in (other, lag))
    return float(at), float(there)


def _prove_peak() -> str:
    x, y, key, gap = sympy.symbols("x y alpha delta", real=True)           # theta r, theta (n - r)

    def turned(angle: sympy.Expr) -> sympy.Matrix:
        return sympy.Matrix([[sympy.cos(angle), -sympy.sin(angle)], [sympy.sin(angle), sympy.cos(angle)]]) \
            * sympy.Matrix([x, y])
    below = sympy.expand(sympy.expand_trig(x ** 2 + y ** 2 - (turned(key + gap).T * turned(key))[0]))
    below = sympy.expand(below.subs(sympy.sin(key) ** 2, 1 - sympy.cos(key) ** 2))
    return zero(sympy.simplify(below - 2 * (x ** 2 + y ** 2) * sympy.sin(gap / 2) ** 2))


LAGS = (0, 3, 17, 100, 250)


def _argmax_of_scores(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Where the last query of 256 tokens looks, with the key for each lag at every token."""
    theta, found = _theta(1e4), []
    for lag in LAGS:
        q = _normal(rng, PAIRS)
        turn = simulated.rotation(256, theta)
        key = q * turn[lag]
        logits = ((q * turn[-1]) * (key * turn).conj()).sum(axis=1).real
        found.append(255 - int(logits.argmax()))
    return np.array(found), 0.0


# Gaussian queries and keys

def _gaussian_mean(expression: sympy.Expr, normals: Sequence[sympy.Symbol]) -> sympy.Expr:
    """Expectation of a polynomial in independent standard normal symbols."""
    terms = sympy.Poly(sympy.expand(expression), *normals).terms()
    return sum(coefficient * sympy.Mul(*[0 if n % 2 else sympy.factorial2(n - 1) for n in powers])
               for powers, coefficient in terms)


def _planes(pairs: int) -> tuple[sympy.Expr, list[sympy.Symbol]]:
    """The logit of so many planes at a lag r, and its normal components."""
    r = sympy.Symbol("r", real=True)
    theta = sympy.symbols(f"theta:{pairs}", real=True)
    a, b, c, d = (sympy.symbols(f"{name}:{pairs}", real=True) for name in "abcd")
    logit = sum((a[n] * c[n] + b[n] * d[n]) * sympy.cos(r * theta[n])
                + (a[n] * d[n] - b[n] * c[n]) * sympy.sin(r * theta[n]) for n in range(pairs))
    return logit, [*a, *b, *c, *d]


def _prove_no_decay() -> str:
    return every(zero(_gaussian_mean(*_planes(pairs))) for pairs in (1, 2, 3))


def _prove_moments() -> str:
    return every(zero(_gaussian_mean(logit ** 2, normals) - 2 * pairs)
                 for pairs in (1, 2) for logit, normals in [_planes(pairs)])


def _prove_fourth() -> str:
    logit, normals = _planes(1)
    return zero(_gaussian_mean(logit ** 4, normals) - 3 * 2 ** 2 * (1 + sympy.Rational(2, 2)))


FAR = (0, 1, 10, 100, 1000, 10000)
SAMPLES = 4000


def _gaussian_logits(rng: np.random.Generator, mean: float = 0.0, pairs: int = PAIRS) -> np.ndarray:
    shape = (len(FAR), SAMPLES * PAIRS // pairs, pairs)
    q, k = _normal(rng, *shape) + mean * (1 + 1j), _normal(rng, *shape) + mean * (1 + 1j)
    turn = np.exp(1j * np.outer(FAR, 1e4 ** (-np.arange(pairs) / pairs)))
    return (q * k.conj() * turn[:, None]).sum(axis=2).real.T


def _simulate_moments(rng: np.random.Generator) -> Mean:
    return _mean(_gaussian_logits(rng) ** 2 / (2 * PAIRS))


def _simulate_fourth(rng: np.random.Generator) -> Mean:
    return _mean(_gaussian_logits(rng, pairs=1) ** 4 / (3 * 2 ** 2))


# A semantic channel of one frequency

def _fall(theta: float, phase: float, turns: float = 1.0) -> tuple[float, float]:
    """How far the target's logit must fall within so many turns of lags, and how far it does."""
    lags = np.arange(np.ceil(turns * 2 * np.pi / theta - 1e-9))
    return float(np.cos(theta / 2)), float(-np.cos(theta * lags + phase).min())


CHANNEL = 0.05                                             # rad/token
CONTEXTS = (1, 10, 20, 40, 63, 80, 100, 125)


def _predict_fall() -> tuple[np.ndarray, float]:
    gaps = np.array(CONTEXTS) - 1
    return -(gaps * np.sin(CHANNEL / 2) + np.sin(gaps * CHANNEL / 2)) / np.pi, 0.0


def _simulate_fall(rng: np.random.Generator) -> Mean:
    q, k = _normal(rng, 2, 2000, 1)
    turn = simulated.rotation(max(CONTEXTS), np.array([CHANNEL]))[:, 0]
    cosines = (q * k.conj() / np.abs(q * k) * turn).real
    return _mean(np.minimum.accumulate(cosines, axis=1)[:, np.array(CONTEXTS) - 1])


# Moments over a window

def _window(seed: int, base: float, top: float, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size, phase, theta = rng.uniform(0.5, 1, PAIRS), rng.uniform(-np.pi, np.pi, PAIRS), _theta(base, top)
    return size, phase, theta, (size * np.cos(np.outer(np.arange(length), theta) + phase)).sum(axis=1)


def _window_mean(seed: int, base: float, top: float, length: int) -> tuple[float, float]:
    size, phase, theta, logits = _window(seed, base, top, length)
    return float(predicted.mean_pair_logits(size, phase, theta, length).sum()), float(logits.mean())


def _off_centre(seed: int, base: float, top: float, length: int) -> tuple[float, float]:
    size, phase, theta, logits = _window(seed, base, top, length)
    mean = predicted.mean_pair_logits(size, phase + theta / 2, theta, length)        # T / 2 for (T - 1) / 2
    return float(mean.sum()), float(logits.mean())


def _window_variance(seed: int, base: float, top: float, length: int) -> tuple[float, float]:
    size, phase, theta, logits = _window(seed, base, top, length)
    return window_moments(size, phase, theta, length)[1], float(logits.var())


def _without_sums(seed: int, base: float, top: float, length: int) -> tuple[float, float]:
    size, _, _, logits = _window(seed, base, top, length)
    return float(size @ size / 2), float(logits.var())


def _prove_window_mean() -> str:
    """Induction on T: the sum up to T and one more term is the sum up to T + 1."""
    n, phase, theta = sympy.symbols("T phi theta", real=True)
    total = sympy.cos(phase + (n - 1) * theta / 2) * sympy.sin(n * theta / 2)
    step = total.subs(n, n + 1) - total - sympy.cos(phase + n * theta) * sympy.sin(theta / 2)
    return every([zero(total.subs(n, 0)), zero(step)])


def _prove_window_variance() -> str:
    """Two pairs: the square of the logit at a lag is the sum of both kernels' terms at that lag."""
    n, a, b, s, t, u, v = sympy.symbols("n a b s t u v", real=True)
    pairs = ((a, s, u), (b, t, v))
    logit = sum(size * sympy.cos(phase + theta * n) for size, phase, theta in pairs)
    terms = sum(x * y * (sympy.cos(p - r + (f - g) * n) + sympy.cos(p + r + (f + g) * n)) / 2
                for x, p, f in pairs for y, r, g in pairs)
    return zero(sympy.expand((logit ** 2 - terms).rewrite(sympy.exp)))


WINDOWS = (16, 64, 256, 1024, 4096)


def _predict_window() -> tuple[np.ndarray, float]:
    size, phase, theta, _ = _window(3, 1e4, 1.0, 1)
    return np.array([window_moments(size, phase, theta, length)[1] for length in WINDOWS]), 1e-12


def _predict_window_mean() -> tuple[np.ndarray, float]:
    size, phase, theta, _ = _window(3, 1e4, 1.0, 1)
    return np.array([window_moments(size, phase, theta, length)[0] for length in WINDOWS]), 1e-12


def _at_random_lags(rng: np.random.Generator) -> np.ndarray:
    size, phase, theta, _ = _window(3, 1e4, 1.0, 1)
    return np.array([(size * np.cos(rng.integers(0, length, 4000)[:, None] * theta + phase)).sum(axis=1)
                     for length in WINDOWS]).T


def _simulate_window(rng: np.random.Generator) -> Mean:
    logits = _at_random_lags(rng)
    return _mean((logits - logits.mean(axis=0)) ** 2)


def _tie_window_mean() -> float:
    n, phase, theta = sympy.symbols("T phi theta", real=True)
    formula = sympy.lambdify((n, phase, theta), sympy.cos(phase + (n - 1) * theta / 2) * sympy.sin(n * theta / 2)
                             / (n * sympy.sin(theta / 2)))
    points = ((64, 0.3, 0.1), (1000, -2.0, 1.0), (4096, 1.0, 1e-4))
    return max(abs(float(formula(*p)) / predicted.mean_pair_logits(np.ones(1), np.array([p[1]]), np.array([p[2]]),
                                                                   int(p[0]))[0] - 1) for p in points)


def _tie_pair() -> float:
    x, y, r, n, theta = sympy.symbols("x y r n theta", real=True)
    formula = sympy.lambdify((x, y, r, n, theta), (x ** 2 + y ** 2) * sympy.cos(theta * (n - r)))
    worst = 0.0
    for point in ((1.0, 2.0, 5, 9, 0.3), (-0.5, 0.1, 100, 3, 1.0)):
        size, phase = np.array([point[0] ** 2 + point[1] ** 2]), np.array([-point[4] * point[2]])
        ours = predicted.pair_logits(size, phase, np.array([point[4]]), int(point[3]))[0]
        worst = max(worst, abs(float(formula(*point)) / ours - 1))
    return worst


tops, bases = st.floats(1e-3, 1.0), st.floats(10.0, 1e6)
PEAK = {"seed": seeds, "base": bases, "top": tops, "lag": st.integers(0, 4096), "other": st.integers(0, 4096)}
FALL = {"theta": st.floats(0.005, np.pi), "phase": st.floats(-np.pi, np.pi)}
WINDOW = {"seed": seeds, "base": bases, "top": tops, "length": st.integers(16, 300)}
FAST = WINDOW | {"top": st.floats(0.3, 1.0)}               # a variance of 1e-7 would have lost seven of its digits

CLAIMS = (
    Claim(
        id="rope-barbero-3.1", source="Barbero et al. 2024 (2410.06205), Proposition 3.1", label="C-rope-barbero-3.1",
        title="For any query and any lag there is a key whose logit is largest at that lag",
        statement=r"k = R_r\, q \;\Rightarrow\; \ell(n) \leq \ell(r) = |q|^2",
        assumes="q not 0; the only maximum if a pair with weight has an irrational turn: zero frequencies alone tie",
        expected=PROVED, note="rope.md 3.6; the key is R^r q with lags counted from the query back",
        prove=_prove_peak, tie=_tie_pair,
        holds=Inequality(PEAK, _peak, {"seed": 0, "base": 1e6, "top": 1e-3, "lag": 7, "other": 8}),
        simulate=Simulation(LAGS, "lag the key is made for", "lag that the last query looks at",
                            lambda: (np.array(LAGS), 0.0), _argmax_of_scores),
        control=Control("the key rotated the other way", Inequality(PEAK, lambda **draw: _peak(**draw, sign=-1)))),
    Claim(
        id="rope-barbero-3.2", source="Barbero et al. 2024 (2410.06205), Proposition 3.2", label="C-rope-barbero-3.2",
        title="Gaussian queries and keys have expected logit 0 at every lag: no decay",
        statement=r"q, k \sim N(0, I) \;\Rightarrow\; E\, \langle q, R_r k\rangle = 0",
        assumes="q and k independent, one of them with mean 0; proved for 1 to 3 pairs", expected=PROVED,
        note="rope.md 3.6", prove=_prove_no_decay,
        simulate=Simulation(FAR, "lag (tokens)", "mean logit", lambda: (np.zeros(len(FAR)), 0.0),
                            lambda rng: _mean(_gaussian_logits(rng))),
        control=Control("components of mean 0.3", Simulation(
            FAR, "lag (tokens)", "mean logit", lambda: (np.zeros(len(FAR)), 0.0),
            lambda rng: _mean(_gaussian_logits(rng, 0.3))))),
    Claim(
        id="rope-gaussian-variance", source="rope.md 3.6, derived; setting of Barbero et al. 2024 (2410.06205)",
        label="C-rope-gaussian-variance", title="The same logit has variance d at every lag",
        statement=r"q, k \sim N(0, I_d) \;\Rightarrow\; \operatorname{Var}\langle q, R_r k\rangle = d",
        assumes="q and k independent; proved for 1 and 2 pairs", expected=PROVED, note="rope.md 3.6",
        prove=_prove_moments,
        simulate=Simulation(FAR, "lag (tokens)", "variance / d", lambda: (np.ones(len(FAR)), 0.0), _simulate_moments),
        control=Control("variance d / 2, one component a pair", Simulation(
            FAR, "lag (tokens)", "variance / d", lambda: (np.full(len(FAR), 0.5), 0.0), _simulate_moments))),
    Claim(
        id="rope-gaussian-kurtosis", source="rope.md 3.6, derived; setting of Barbero et al. 2024 (2410.06205)",
        label="C-rope-gaussian-kurtosis", title="and excess kurtosis 6/d",
        statement=r"E\, \langle q, R_r k\rangle^4 = 3 d^2\, (1 + 2/d)",
        assumes="q and k independent N(0, I); proved and simulated for 1 pair, d = 2", expected=PROVED,
        note="rope.md 3.6",
        prove=_prove_fourth,
        simulate=Simulation(FAR, "lag (tokens)", "fourth moment / 3 d^2",
                            lambda: (np.full(len(FAR), 1 + 2 / 2), 0.0), _simulate_fourth),
        control=Control("6 over the number of pairs", Simulation(
            FAR, "lag (tokens)", "fourth moment / 3 d^2", lambda: (np.full(len(FAR), 1 + 2 / 1), 0.0),
            _simulate_fourth))),
    Claim(
        id="rope-barbero-6.1", source="Barbero et al. 2024 (2410.06205), Theorem 6.1", label="C-rope-barbero-6.1",
        title="A rotating channel of one frequency loses any target within one turn of context",
        statement=r"\min_{n < 2\pi/\theta} A\cos(\theta n + \varphi) \leq -A \cos(\theta/2)",
        assumes="0 < theta <= pi; below -A cos(theta/2) any key of the other sign wins",
        expected=AGREES, note="rope.md 3.6 has the theorem in words only; the inequality and its mean are ours",
        holds=Inequality(FALL, _fall, {"theta": np.pi / 4, "phase": np.pi / 8}),
        simulate=Simulation(CONTEXTS, "context (tokens)", "mean over targets of the least logit / A",
                            _predict_fall, _simulate_fall),
        control=Control("half a turn of context", Inequality(FALL, lambda theta, phase: _fall(theta, phase, 0.5)))),
    Claim(
        id="rope-window-mean", source="Wu et al. 2026 (2609.39929), rope-profiler 0.1.0; section not recorded",
        label="A-dirichlet", title="The mean logit over a window of lags is a Dirichlet kernel",
        statement=r"\frac{1}{T}\sum_{n<T}\cos(\theta n + \varphi) = \cos(\varphi + \frac{T-1}{2}\theta)"
                  r"\frac{\sin(T\theta/2)}{T\sin(\theta/2)}",
        assumes="theta not a multiple of a turn, where the ratio is 1", expected=PROVED, note="rope.md 1.4, 3.7",
        prove=_prove_window_mean, holds=Identity(WINDOW, _window_mean), tie=_tie_window_mean,
        simulate=Simulation(WINDOWS, "window (tokens)", "mean logit", _predict_window_mean,
                            lambda rng: _mean(_at_random_lags(rng))),
        control=Control("the window centred at T/2", Identity(WINDOW, _off_centre))),
    Claim(
        id="rope-window-variance", source="Wu et al. 2026 (2609.39929), rope-profiler 0.1.0; section not recorded",
        label="C-rope-window-variance",
        title="The variance over a window takes kernels of differences and of sums of frequencies",
        statement=r"\frac{1}{2}\,\mathrm{Re}\sum_{a,b} c_a\bar{c}_b D(\theta_a - \theta_b)"
                  r" + c_a c_b D(\theta_a + \theta_b) - \mu^2",
        assumes="every lag of the window equally likely; two pairs in the proof, with rope-window-mean for each term",
        expected=PROVED, note="rope.md 1.4, 3.7",
        prove=_prove_window_variance, holds=Identity(FAST, _window_variance),
        simulate=Simulation(WINDOWS, "window (tokens)", "variance of the logit", _predict_window, _simulate_window),
        control=Control("half the sum of squares, the limit of long windows", Identity(FAST, _without_sums))),
)
