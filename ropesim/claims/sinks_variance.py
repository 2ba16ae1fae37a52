"""Claims about the variance of what a row of attention aggregates."""

import itertools

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import sinks
from ..simulate import attention
from .claim import PROVED, REFUTED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero

seeds = st.integers(0, 2 ** 32 - 1)
shares, correlations, rows = st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 63)
LI = "Li et al. 2026 (2605.06611), variance discrepancy, section not recorded"
ROWS = (0, 1, 3, 7, 15, 31, 63)


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _drawn_row(seed: int, keys: int, spread: float) -> np.ndarray:
    return _softmax(spread * np.random.default_rng(seed).normal(size=keys))


def _covariance(keys: int, rho: float) -> np.ndarray:
    """Of equicorrelated values of variance 1, as a matrix."""
    return rho + (1 - rho) * np.eye(keys)


def _values(rng: np.random.Generator, keys: int, rho: float, count: int) -> np.ndarray:
    """Equicorrelated values, float64[keys, count]: one common part and one of their own."""
    return np.sqrt(rho) * rng.normal(size=count) + np.sqrt(1 - rho) * rng.normal(size=(keys, count))


def _square(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of x^2 along the last axis, and its standard error."""
    return (x ** 2).mean(-1), (x ** 2).std(-1, ddof=1) / np.sqrt(x.shape[-1])


def _symbolic(keys: int) -> tuple[sympy.Matrix, sympy.Matrix, sympy.Symbol, sympy.Symbol]:
    """Weights of a row that sum to 1, covariance of the values, sigma and rho."""
    rho, sigma = sympy.Symbol("rho", real=True), sympy.Symbol("sigma", positive=True)
    free = sympy.symbols(f"a1:{keys}", real=True)
    weights = sympy.Matrix([*free, 1 - sum(free)])
    return weights, sigma ** 2 * (rho * sympy.ones(keys) + (1 - rho) * sympy.eye(keys)), sigma, rho


# any row

ROW = {"seed": seeds, "keys": st.integers(2, 32), "spread": st.floats(0.0, 4.0), "rho": correlations}
MIXES = (0.0, 0.25, 0.5, 0.9)


def _prove_variance() -> str:
    verdicts = []
    for keys in range(2, 6):
        a, covariance, sigma, rho = _symbolic(keys)
        verdicts.append(zero((a.T * covariance * a)[0] - sigma ** 2 * (rho + (1 - rho) * a.dot(a))))
    return every(verdicts)


def _brute_variance(seed: int, keys: int, spread: float, rho: float) -> float:
    row = _drawn_row(seed, keys, spread)
    return float(row @ _covariance(keys, rho) @ row)


def _simulated_variance(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    row = _softmax(np.linspace(-2.0, 2.0, 16))
    return _square(np.array([row @ _values(rng, 16, rho, 20000) for rho in MIXES]))


def _tie_variance() -> float:
    w, s, r = sympy.IndexedBase("w"), sympy.Symbol("s"), sympy.Symbol("r")
    formula = s ** 2 * (r + (1 - r) * sum(w[j] ** 2 for j in range(3)))
    ours = sympy.lambdify((w, s, r), formula)
    points = [((0.2, 0.3, 0.5), 1.5, 0.4), ((1.0, 0.0, 0.0), 2.0, -0.3), ((0.4, 0.4, 0.2), 0.1, 1.0)]
    return max(abs(float(sinks.variance(np.array(row), sigma=sigma, rho=rho)) / ours(row, sigma, rho) - 1)
               for row, sigma, rho in points)


VARIANCE = Claim(
    id="sinks-variance", source=f"{LI}; rho = 0: 2504.02827, before Proposition 1", label="C-sinks-variance",
    title="The variance of an output is the participation of its row, above the common part of the values",
    statement=r"\mathrm{Var}(o_i) = \sigma^2 \left(\rho + (1-\rho) \sum_j S_{ij}^2\right)",
    assumes="scores fixed; values of mean 0, variance sigma^2, pairwise correlation rho; proved for 2 to 5 keys",
    expected=PROVED, note="sinks.md R1", prove=_prove_variance,
    holds=Identity(ROW, lambda seed, keys, spread, rho: (
        _brute_variance(seed, keys, spread, rho), sinks.variance(_drawn_row(seed, keys, spread), rho=rho))),
    simulate=Simulation(MIXES, "rho", "variance", lambda: (
        [sinks.variance(_softmax(np.linspace(-2.0, 2.0, 16)), rho=rho) for rho in MIXES], 0.0), _simulated_variance),
    tie=_tie_variance,
    control=Control("the participation added to rho in full", Identity(ROW, lambda seed, keys, spread, rho: (
        _brute_variance(seed, keys, spread, rho), rho + (_drawn_row(seed, keys, spread) ** 2).sum()))))


# rows that average

def _prove_uniform() -> str:
    i, k, j = sympy.symbols("i k j", integer=True, nonnegative=True)
    rho = sympy.Symbol("rho", real=True)
    own = sympy.summation(1 / ((i + 1) * (k + 1)), (j, 0, i))              # keys that both rows see, i <= k
    all_pairs = sympy.summation(sympy.summation(1 / ((i + 1) * (k + 1)), (sympy.Symbol("m"), 0, k)), (j, 0, i))

    def variance(row: sympy.Expr) -> sympy.Expr:
        return rho + (1 - rho) / (row + 1)
    covariance = rho * all_pairs + (1 - rho) * own
    step = variance(i + 1) + variance(i) - 2 * covariance.subs(k, i + 1)
    return every([zero(covariance - variance(k)), zero(step - (1 - rho) / ((i + 1) * (i + 2))),
                  zero(variance(0) / variance(i) - (i + 1) / (1 + i * rho))])


def _brute_uniform(i: int, k: int, rho: float) -> float:
    weights = np.zeros((2, 64))
    weights[0, :i + 1], weights[1, :k + 1] = 1 / (i + 1), 1 / (k + 1)
    return float(weights[0] @ _covariance(64, rho) @ weights[1])


def _simulated_uniform(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    still = np.zeros((64, 1))
    return _square(attention.outputs(still, still, np.zeros(1), _values(rng, 64, 0.3, 20000))[list(ROWS)])


def _tie_uniform() -> float:
    i, k, rho = sympy.symbols("i k rho")
    ours = sympy.lambdify((i, k, rho), rho + (1 - rho) / (sympy.Max(i, k) + 1))
    return max(abs(sinks.uniform_covariance(i, k, rho=rho) / ours(i, k, rho) - 1)
               for i, k, rho in [(0, 3, 0.2), (7, 7, 0.0), (40, 2, 0.9)])


UNIFORM_DRAW = {"i": rows, "k": rows, "rho": correlations}

UNIFORM = Claim(
    id="sinks-variance-uniform", source=LI, label="C-sinks-variance-uniform",
    title="Under uniform attention the variance falls from the first token on, to rho",
    statement=r"\mathrm{Cov}(o_i, o_k) = \sigma^2 \left(\rho + \frac{1-\rho}{\max(i,k)+1}\right)",
    assumes="rows are plain means; i = k is the variance, i + 1 = k gives a step of (1-rho)/((i+1)(i+2))",
    expected=PROVED, note="sinks.md R1, R2", prove=_prove_uniform,
    holds=Identity(UNIFORM_DRAW, lambda i, k, rho: (
        _brute_uniform(i, k, rho), sinks.uniform_covariance(i, k, rho=rho))),
    simulate=Simulation(ROWS, "row", "variance of the output, rho = 0.3", lambda: (
        [sinks.uniform_covariance(i, i, rho=0.3) for i in ROWS], 0.0), _simulated_uniform),
    tie=_tie_uniform,
    control=Control("the fewer keys of the two", Identity(UNIFORM_DRAW, lambda i, k, rho: (
        _brute_uniform(i, k, rho), rho + (1 - rho) / (min(i, k) + 1)))))


# rows at will

def _sink_participation(keys: int, margin: float) -> float:
    """Of a row of that many keys, the first of which has this logit and the others 0."""
    row = _softmax(np.where(np.arange(keys) == 0, margin, 0.0))
    return float(row @ row)


def _refute_monotone() -> str:
    before, after = [4, 3, 3], [97, 1, 1, 1]                               # in 10ths and 100ths
    return true([sympy.Rational(sum(x ** 2 for x in after), 100 ** 2)
                 <= sympy.Rational(sum(x ** 2 for x in before), 10 ** 2)])


MONOTONE_DRAW = {"keys": st.integers(1, 63), "before": st.floats(-5.0, 5.0), "after": st.floats(-5.0, 5.0)}

MONOTONE = Claim(
    id="sinks-variance-monotone", source=f"{LI}, read as a statement about any attention",
    label="C-sinks-variance-monotone",
    title="The variance of aggregation never rises from one row to the next",
    statement=r"\sum_j S_{i+1,j}^2 \leq \sum_j S_{ij}^2",
    assumes="any causal attention; it does hold for uniform rows", expected=REFUTED,
    note="sinks.md R1 and its section 4, a statement not to be made: (.4 .3 .3) then (.97 .01 .01 .01) go .34 to .941",
    prove=_refute_monotone,
    holds=Inequality(MONOTONE_DRAW, lambda keys, before, after: (
        _sink_participation(keys + 1, after), _sink_participation(keys, before)),
        tight={"keys": 3, "before": float(np.log(4 / 3)), "after": float(np.log(97))}),
    control=Control("that it never falls", Inequality(MONOTONE_DRAW, lambda keys, before, after: (
        _sink_participation(keys, before), _sink_participation(keys + 1, after)))))


def _prove_participation() -> str:
    verdicts = []
    for keys in range(2, 6):
        a = sympy.symbols(f"a1:{keys + 1}", nonnegative=True)
        square, pairs = sum(x ** 2 for x in a), list(itertools.combinations(a, 2))
        verdicts += [zero(keys * square - sum(a) ** 2 - sum((x - y) ** 2 for x, y in pairs)),
                     zero(sum(a) ** 2 - square - 2 * sum(x * y for x, y in pairs)),
                     true([sum(x * y for x, y in pairs) >= 0])]
    return every(verdicts)


def _participation(seed: int, keys: int, spread: float) -> float:
    return float((_drawn_row(seed, keys, spread) ** 2).sum())


PARTICIPATION_DRAW = {"seed": seeds, "keys": st.integers(1, 64), "spread": st.floats(0.0, 20.0)}

PARTICIPATION = Claim(
    id="sinks-participation", source="ours (Cauchy-Schwarz)", label="C-sinks-participation",
    title="The participation of a row lies between that of a mean and that of a copy",
    statement=r"\frac{1}{i+1} \leq \sum_j S_{ij}^2 \leq 1",
    assumes="scores from 0 on that sum to 1; proved for 2 to 5 keys", expected=PROVED, note="sinks.md R1, section 4",
    prove=_prove_participation,
    holds=Inequality(PARTICIPATION_DRAW, lambda seed, keys, spread: (
        [1 / keys, _participation(seed, keys, spread)], [_participation(seed, keys, spread), 1.0]),
        tight={"seed": 0, "keys": 8, "spread": 0.0}),
    control=Control("1/i for row i, which has i + 1 keys", Inequality(PARTICIPATION_DRAW, lambda seed, keys, spread: (
        1 / keys, _participation(seed, keys + 1, spread)))))


# a row with a sink

SINK_DRAW = {"mass": shares, "keys": st.integers(2, 32), "scale": st.floats(-2.0, 2.0), "rho": correlations}
MASSES = (0.0, 0.2, 0.5, 0.8, 1.0)


def _sink_formula(a: sympy.Expr, c: sympy.Expr, rho: sympy.Expr, keys: sympy.Expr) -> sympy.Expr:
    return rho * (c * a + 1 - a) ** 2 + (1 - rho) * (c ** 2 * a ** 2 + (1 - a) ** 2 / (keys - 1))


def _prove_sink() -> str:
    a, c, rho = sympy.symbols("a c rho", real=True)
    verdicts = []
    for keys in range(2, 6):
        weights = sympy.Matrix([c * a] + [(1 - a) / (keys - 1)] * (keys - 1))
        covariance = rho * sympy.ones(keys) + (1 - rho) * sympy.eye(keys)
        verdicts.append(zero((weights.T * covariance * weights)[0] - _sink_formula(a, c, rho, sympy.Integer(keys))))
    return every(verdicts)


def _sink_weights(mass: float, keys: int, scale: float) -> np.ndarray:
    return np.append(scale * mass, np.full(keys - 1, (1 - mass) / (keys - 1)))


def _brute_sink(mass: float, keys: int, scale: float, rho: float) -> float:
    weights = _sink_weights(mass, keys, scale)
    return float(weights @ _covariance(keys, rho) @ weights)


def _simulated_sink(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    values = _values(rng, 32, 0.3, 20000)
    return _square(np.array([_sink_weights(mass, 32, 0.2) @ values for mass in MASSES]))


def _tie_sink() -> float:
    a, c, rho, keys = symbols = sympy.symbols("a c rho n")
    ours = sympy.lambdify(symbols, _sink_formula(a, c, rho, keys))
    return max(abs(sinks.sink_row_variance(at[0], at[3], scale=at[1], rho=at[2]) / ours(*at) - 1)
               for at in [(0.7, 0.1, 0.2, 9), (0.0, -1.0, 0.5, 2), (0.3, 2.0, 0.0, 64)])


SINK = Claim(
    id="sinks-variance-sink", source="ours; the small value of the sink is Barbero et al. 2025 (2504.02732)",
    label="C-sinks-variance-sink",
    title="Variance of a row with a sink of mass a whose value is scaled by c",
    statement=r"\frac{\mathrm{Var}(o_i)}{\sigma^2} = \rho (ca + 1 - a)^2 + "
              r"(1-\rho)\left(c^2 a^2 + \frac{(1-a)^2}{i}\right)",
    assumes="the rest of the row is even over the i other keys; proved for 2 to 5 keys", expected=PROVED,
    note="sinks.md R3", prove=_prove_sink,
    holds=Identity(SINK_DRAW, lambda mass, keys, scale, rho: (
        _brute_sink(mass, keys, scale, rho), sinks.sink_row_variance(mass, keys, scale=scale, rho=rho))),
    simulate=Simulation(MASSES, "mass of the sink", "variance of the output, c = 0.2, rho = 0.3", lambda: (
        [sinks.sink_row_variance(mass, 32, scale=0.2, rho=0.3) for mass in MASSES], 0.0), _simulated_sink),
    tie=_tie_sink,
    control=Control("rho itself for the common part, as if the weights summed to 1", Identity(
        SINK_DRAW, lambda mass, keys, scale, rho: (_brute_sink(mass, keys, scale, rho), rho + (1 - rho) * (
            scale ** 2 * mass ** 2 + (1 - mass) ** 2 / (keys - 1))))))


# rows of Gaussian logits

SPREADS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
LENGTHS = (16, 64, 256, 1024)
LAW_DRAW = {"seed": seeds, "keys": st.integers(1, 4), "spread": st.floats(0.0, 3.0)}


def _prove_gaussian() -> str:
    t, total = sympy.symbols("t S", positive=True)
    one = sympy.integrate(t * sympy.exp(-t * total), (t, 0, sympy.oo)) - 1 / total ** 2
    verdicts = [zero(one)]
    for keys in (2, 3):
        laws = [[(sympy.Integer(1) + n, sympy.Rational(1, 2)) for n in range(2)]] * keys
        exact = sum(sympy.prod(p for _, p in draw) * sum(v ** 2 for v, _ in draw) / sum(v for v, _ in draw) ** 2
                    for draw in itertools.product(*laws))
        phi = sum(p * sympy.exp(-t * v) for v, p in laws[0])
        phi2 = sum(p * v ** 2 * sympy.exp(-t * v) for v, p in laws[0])
        integrand = sympy.expand(keys * t * phi2 * phi ** (keys - 1))
        verdicts.append(zero(sympy.integrate(integrand, (t, 0, sympy.oo)) - exact))
    return every(verdicts)


def _law(seed: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Three values of e^logit, and their probabilities."""
    rng = np.random.default_rng(seed)
    return np.exp(spread * rng.normal(size=3)), rng.dirichlet(np.ones(3))


def _enumerated(seed: int, keys: int, spread: float) -> float:
    value, chance = _law(seed, spread)
    at = np.indices((3,) * keys).reshape(keys, -1)
    return float(chance[at].prod(0) @ ((value[at] ** 2).sum(0) / value[at].sum(0) ** 2))


def _integrated(seed: int, keys: int, spread: float, *, own: int = 1) -> float:
    value, chance = _law(seed, spread)
    log_t = np.arange(-45.0, 20.0, 0.125)
    y = np.exp(log_t)[:, None] * value
    phi, phi2 = np.exp(-y) @ chance, y ** 2 * np.exp(-y) @ chance
    return float(0.125 * keys * (phi2 * phi ** (keys - own)).sum())


def _simulated_gaussian(rng: np.random.Generator, keys: int = 64, spreads: tuple[float, ...] = SPREADS,
                        count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    normal = rng.normal(size=(count, keys))
    found = np.array([(_softmax(spread * normal) ** 2).sum(-1) for spread in spreads])
    return found.mean(-1), found.std(-1, ddof=1) / np.sqrt(count)


GAUSSIAN = Claim(
    id="sinks-variance-gaussian", source="ours; Proposition 1 of 2504.02827 has the limit of many keys",
    label="C-sinks-variance-gaussian",
    title="Expected participation of a row of independent Gaussian logits, by one integral",
    statement=r"E \sum_j S_j^2 = N \int_0^\infty t\,\phi_2(t)\,\phi_0(t)^{N-1} dt, \; "
              r"\phi_m(t) = E\, e^{ms - t e^s}",
    assumes="independent logits of one law, for the library N(0, tau^2); the kernel 1/S^2 is proved, "
            "and the whole for 2 and 3 keys of two values",
    expected=PROVED, note="sinks.md R4", prove=_prove_gaussian,
    holds=Identity(LAW_DRAW, lambda seed, keys, spread: (
        _enumerated(seed, keys, spread), _integrated(seed, keys, spread))),
    simulate=Simulation(SPREADS, "tau", "participation of 64 keys", lambda: tuple(
        np.array([sinks.gaussian_participation(64, tau) for tau in SPREADS]).T), _simulated_gaussian),
    control=Control("phi_0 of all N keys, the own one included", Identity(LAW_DRAW, lambda seed, keys, spread: (
        _enumerated(seed, keys, spread), _integrated(seed, keys, spread, own=0)))))


def _prove_series() -> str:
    """Second order of A / B^2 about the means of A = mean Y^2 and B = mean Y, Y log-normal."""
    x, y, tau, n = sympy.symbols("x y tau N", positive=True)
    order = sympy.series((1 + x) / (1 + y) ** 2, y, 0, 3).removeO().expand()

    def moment(power: int) -> sympy.Expr:                   # E Y^power
        return sympy.exp(sympy.Rational(power ** 2, 2) * tau ** 2)
    mixed = (moment(3) / (moment(2) * moment(1)) - 1) / n
    spread = (moment(2) / moment(1) ** 2 - 1) / n
    still, moved = order.coeff(x, 0), order.coeff(x, 1)
    mean = still.coeff(y, 0) + still.coeff(y, 2) * spread + moved.coeff(y, 1) * mixed
    return zero(moment(2) / moment(1) ** 2 / n * mean - _series(tau, n))


def _series(tau: sympy.Expr, n: sympy.Expr) -> sympy.Expr:
    e = sympy.exp(tau ** 2)
    return e / n * (1 + (3 * (e - 1) - 2 * (e ** 2 - 1)) / n)


def _simulated_series(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    found = [_simulated_gaussian(rng, n, (0.5,), 2 ** 21 // n) for n in LENGTHS]
    return np.array([mean[0] for mean, _ in found]), np.array([stderr[0] for _, stderr in found])


def _tie_series() -> float:
    symbols = sympy.symbols("tau N")
    ours = sympy.lambdify(symbols, _series(*symbols))
    return max(abs(sinks.gaussian_participation_series(n, tau)[0] / ours(tau, n) - 1)
               for tau, n in [(0.5, 64), (1.0, 1024), (0.0, 3)])


SERIES = Claim(
    id="sinks-variance-series", source="ours; Proposition 1 of 2504.02827 has the limit",
    label="C-sinks-variance-series",
    title="Expected participation of a row of weak Gaussian logits",
    statement=r"E \sum_j S_j^2 = \frac{e^{\tau^2}}{N}\left(1 + \frac{3(e^{\tau^2}-1) - 2(e^{2\tau^2}-1)}{N}"
              r" + O(N^{-2})\right)",
    assumes="e^{2 tau^2} far below N; what is proved is the coefficient of the expansion; the simulation grants the "
            "next term as error",
    expected=PROVED, note="sinks.md R4", prove=_prove_series,
    simulate=Simulation(LENGTHS, "keys", "participation at tau = 0.5", lambda: tuple(
        np.array([sinks.gaussian_participation_series(n, 0.5) for n in LENGTHS]).T), _simulated_series),
    tie=_tie_series,
    control=Control("the same at 64 keys for tau up to 2, where e^{2 tau^2} is 3000", Simulation(
        (0.5, 1.0, 2.0), "tau", "participation of 64 keys",
        lambda: ([sinks.gaussian_participation_series(64, tau)[0] for tau in (0.5, 1.0, 2.0)], 0.0),
        lambda rng: _simulated_gaussian(rng, 64, (0.5, 1.0, 2.0)))))

CLAIMS = (VARIANCE, UNIFORM, MONOTONE, PARTICIPATION, SINK, GAUSSIAN, SERIES)
