"""Claims about how much attention a sink receives, and the logit margin that it needs."""

import numpy as np
import sympy
from hypothesis import strategies as st

from ..patterns import sink_metric
from ..predict import sinks
from ..simulate import attention
from .claim import HOLDS, PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero

seeds, lengths = st.integers(0, 2 ** 32 - 1), st.integers(1, 48)
GU = "Gu et al. 2024 (2410.10781), section 3.2"
OURS = f"ours; the importance score is {GU}"


def _sink_scores(margin: float, length: int) -> np.ndarray:
    """Score matrix of a head with a sink: key 0 has the logit `margin` in every row but its own, the others 0."""
    q, k = np.full((length, 1), margin, dtype=complex), np.zeros((length, 1), dtype=complex)
    q[0], k[0] = 0, 1
    return attention.scores(q, k, np.zeros(1))


def _summed(margin: float, length: int, *, first: int = 0) -> float:
    """Mean score of key 0 over so many rows, of which the top one has `first` other keys."""
    return float(np.mean(1 / (1 + np.arange(first, first + length) * np.exp(-margin))))


def _noisy(rng: np.random.Generator, margin: float, length: int, tau: float, count: int) -> np.ndarray:
    """Score of the sink, float64[count, length], in sequences whose other logits are N(0, tau^2)."""
    sums = np.cumsum(np.exp(tau * rng.normal(size=(count, length - 1))), axis=1)
    return np.hstack([np.ones((count, 1)), 1 / (1 + sums * np.exp(-margin))])


def _mean(x: np.ndarray) -> tuple[float, float]:
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(x.size))


# score

SCORE_DRAW = {"margin": st.floats(-8.0, 20.0), "length": lengths}


def _prove_score() -> str:
    x, n = sympy.Symbol("x", positive=True), sympy.Symbol("n", positive=True, integer=True)
    step = sympy.expand_func(sympy.digamma(x + n + 1)) - sympy.digamma(x + n)       # x = 1 / kappa
    return every([zero(step - 1 / (x + n)), zero(sympy.expand_func(sympy.digamma(x + 1)) - sympy.digamma(x) - 1 / x)])


def _tie_score() -> float:
    b, n = sympy.symbols("b n")
    x = sympy.exp(b)
    ours = sympy.lambdify((b, n), x * (sympy.digamma(n + x) - sympy.digamma(x)) / n, "scipy")
    return max(abs(sinks.sink_score(*at)[0] / float(ours(*at)) - 1) for at in [(3.0, 64), (-2.0, 5), (0.0, 1000)])


SCORE = Claim(
    id="sinks-score", source=OURS, label="C-sinks-score", title="What a sink of a given margin receives on average",
    statement=r"\frac{1}{T}\sum_i S_{i0} = \frac{\psi(T + 1/\kappa) - \psi(1/\kappa)}{T\kappa}, \; \kappa = e^{-b}",
    assumes="the other logits are equal and lie b below the sink's; proved for all T by induction on the rows",
    expected=PROVED, note="sinks.md R5 (exact for tau = 0): b = 3, T = 64 gives .4554", prove=_prove_score,
    holds=Identity(SCORE_DRAW, lambda margin, length: (
        _sink_scores(margin, length)[:, 0].mean(), sinks.sink_score(margin, length)[0])), tie=_tie_score,
    control=Control("row i taken to have i + 1 other keys", Identity(SCORE_DRAW, lambda margin, length: (
        _sink_scores(margin, length)[:, 0].mean(), _summed(margin, length, first=1)))))


# score under noise

NOISE_DRAW = {"margin": st.floats(-3.0, 6.0), "keys": st.integers(1, 2), "tau": st.floats(0.0, 1.5)}
MARGINS = (1.0, 2.0, 3.0, 4.0, 6.0)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


def _expected_mass(margin: float, keys: int, tau: float) -> float:
    """E 1 / (1 + sum e^{logit - margin}) over one or two Gaussian logits, by Gauss-Hermite quadrature."""
    weight, y = WEIGHTS / WEIGHTS.sum(), np.exp(tau * NODES - margin)
    if keys == 1:
        return float(weight @ (1 / (1 + y)))
    return float(weight @ (1 / (1 + y[:, None] + y)) @ weight)


def _noise_sides(margin: float, keys: int, tau: float) -> tuple[list[float], list[float]]:
    mass, gap = sinks.sink_mass(margin, keys, tau=tau)
    exact = _expected_mass(margin, keys, tau)
    return [mass, exact], [exact, mass + gap]


def _prove_noise() -> str:
    r, u, tau, s, n = sympy.symbols("r u tau s n", positive=True)          # r = n kappa, u = mean Y / E Y
    rest = r ** 2 * (u - 1) ** 2 / ((1 + r) ** 2 * (1 + r * u))            # above the tangent at u = 1, from 0 on
    tangent, loss = 1 / (1 + r) - r * (u - 1) / (1 + r) ** 2, r / (1 + r)  # the mean of the tangent is 1 / (1 + r)

    def tilted(power: int) -> sympy.Expr:                                   # E e^{power s}: the square completed
        moment = sympy.Rational(power ** 2, 2) * tau ** 2
        return power * s - s ** 2 / (2 * tau ** 2) - moment + (s - power * tau ** 2) ** 2 / (2 * tau ** 2)
    return every([zero(1 / (1 + r * u) - tangent - rest), true([rest >= 0]), zero(tilted(1)), zero(tilted(2)),
                  zero(loss ** 2 * (u - 1) ** 2 * (1 - 1 / (1 + r * u)) - (loss ** 2 * (u - 1) ** 2 - rest))])


def _simulated_score(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    found = [_mean(_noisy(rng, margin, 64, 1.0, 4000).mean(axis=1)) for margin in MARGINS]
    return [mean for mean, _ in found], [stderr for _, stderr in found]


def _plain_noise(margin: float, keys: int, tau: float) -> tuple[float, float]:
    return 1 / (1 + keys * float(np.exp(-margin))), _expected_mass(margin, keys, tau)


NOISE = Claim(
    id="sinks-score-noise", source=OURS, label="C-sinks-score-noise",
    title="Among Gaussian logits a sink receives a little more than the annealed form says",
    statement=r"a_n \leq E\, S_{n0} \leq a_n + (1-a_n)^2\,\frac{e^{\tau^2}-1}{n}, \; "
              r"a_n = \frac{1}{1 + n e^{\tau^2/2 - b}}",
    assumes="a certain sink logit b, n other keys with independent N(0, tau^2) logits",
    expected=PROVED, note="sinks.md R5 says about equal (.562, .567 at tau = 1, b = 4, T = 64); the bounds are ours",
    prove=_prove_noise, holds=Inequality(NOISE_DRAW, _noise_sides, tight={"margin": 1.0, "keys": 2, "tau": 0.05}),
    simulate=Simulation(MARGINS, "margin, nats", "sink score, T = 64, tau = 1", lambda: tuple(
        np.array([sinks.sink_score(margin, 64, tau=1.0) for margin in MARGINS]).T), _simulated_score),
    control=Control("the mean logit in place of the log of the mean of e^logit", Inequality(
        NOISE_DRAW, _plain_noise, tight={"margin": 1.0, "keys": 2, "tau": 1.0})))


# margins

MASS_DRAW = {"mass": st.floats(0.001, 0.999), "keys": st.integers(1, 1 << 20)}
OTHERS = (8, 32, 128, 512, 2048)


def _row_margin(mass: sympy.Expr, n: sympy.Expr, tau: sympy.Expr) -> sympy.Expr:
    return sympy.log(n * mass / (1 - mass)) + tau ** 2 / 2


def _prove_row() -> str:
    n, r, tau = sympy.symbols("n r tau", positive=True)
    mass = 1 / (1 + r)                                                      # any share in (0, 1)
    b = sympy.expand_log(_row_margin(mass, n, tau).simplify(), force=True)
    return every([zero(sympy.simplify(1 / (1 + n * sympy.exp(tau ** 2 / 2 - b))) - mass),
                  zero(sympy.diff(b, n) * n - 1)])                          # slope 1 in ln n


def _mass_with(margin: float, keys: int) -> float:
    return float(np.exp(margin) / (np.exp(margin) + keys))


def _simulated_row(rng: np.random.Generator, shift: float = 0.5) -> tuple[list[float], list[float]]:
    margins = np.log(np.array(OTHERS) * 0.3 / 0.7) + shift
    found = [_mean(_noisy(rng, b, n + 1, 1.0, 2 ** 19 // n)[:, -1]) for n, b in zip(OTHERS, margins)]
    return [mean for mean, _ in found], [stderr for _, stderr in found]


def _tie_row() -> float:
    symbols = sympy.symbols("a n tau")
    ours = sympy.lambdify(symbols, _row_margin(*symbols))
    return max(abs(sinks.margin_for_mass(a, n, tau=tau) / ours(a, n, tau) - 1)
               for a, n, tau in [(0.3, 63, 0.0), (0.8, 131071, 0.5), (0.01, 7, 2.0)])


def _row_prediction() -> tuple[np.ndarray, np.ndarray]:
    mass, gap = np.array([sinks.sink_mass(sinks.margin_for_mass(0.3, n, tau=1.0), n, tau=1.0) for n in OTHERS]).T
    return mass, gap


ROW = Claim(
    id="sinks-margin-row", source=OURS, label="C-sinks-margin-row",
    title="The margin for a wanted sink mass grows as the log of the number of keys",
    statement=r"b = \ln\frac{n a}{1-a} + \frac{\tau^2}{2}",
    assumes="one row with n other keys (the last of T rows has n = T - 1); for tau > 0 the mass is at least a, and by "
            "at most (1-a)^2 (e^{tau^2}-1)/n more, which the simulation grants",
    expected=PROVED, note="sinks.md R5: 3.30 (.3, T = 64), 9.01 (.8, 2048), 13.17 (.8, 131072)", prove=_prove_row,
    holds=Identity(MASS_DRAW, lambda mass, keys: (_mass_with(sinks.margin_for_mass(mass, keys), keys), mass)),
    simulate=Simulation(OTHERS, "other keys", "mass of the sink, wanted 0.3, tau = 1", _row_prediction, _simulated_row),
    tie=_tie_row,
    control=Control("without tau^2 / 2", Simulation(
        OTHERS, "other keys", "mass of the sink", _row_prediction, lambda rng: _simulated_row(rng, 0.0))))

CONSTANT_DRAW = {"c": st.floats(0.01, 100.0), "length": st.integers(2, 20000)}
CONTEXTS = (64, 256, 1024, 4096, 16384)


def _score_sides(c: float, length: int) -> tuple[list[float], list[float]]:
    score, row = _summed(np.log(length / c), length), 1 / (1 + c * (length - 1) / length)
    wanted = float(np.log1p(c) / c)
    return [wanted, score, row], [score, wanted + c / (1 + c) / length, score]


def _prove_margin() -> str:
    c, x, n = sympy.symbols("c x T", positive=True)
    f = 1 / (1 + c * x)                                     # score of row i at x = i / T when the margin is ln(T / c)
    slope = -sympy.diff(f, x)
    telescoped = (f.subs(x, 0) - f.subs(x, 1)) / n         # left sums of a falling function exceed its integral by less
    return every([zero(sympy.integrate(f, (x, 0, 1)) - sympy.log(1 + c) / c), true([slope > 0]),
                  zero(telescoped - c / (1 + c) / n),
                  zero(f.subs(x, x / n) - 1 / (1 + x * sympy.exp(-sympy.log(n / c))))])


def _solved(rng: np.random.Generator) -> tuple[list[float], float]:
    """The margins by bisection of the sum over rows; nothing is drawn."""
    found = []
    for length in CONTEXTS:
        low, high = 0.0, 20.0
        for _ in range(45):
            middle = (low + high) / 2
            low, high = (middle, high) if _summed(middle, length) < 0.3 else (low, middle)
        found.append(low)
    return found, 0.0


def _wrong_constant(c: float, length: int) -> tuple[float, float]:
    wanted = float(np.log1p(c) / c)
    row = (1 - wanted) / wanted                             # c such that the last row has the wanted score
    return _summed(np.log(length / row), length), wanted + c / (1 + c) / length


MARGIN = Claim(
    id="sinks-margin-score", source=OURS, label="C-sinks-margin-score",
    title="The margin for a wanted sink score grows as ln T too, by a constant below that of the last row",
    statement=r"b = \ln T - \ln c: \; 0 \leq \frac{1}{T}\sum_i S_{i0} - \frac{\ln(1+c)}{c} \leq \frac{c}{(1+c)\,T}",
    assumes="equal other logits (tau^2/2 more among Gaussian ones); the score is the mean over all T rows",
    expected=PROVED, note="sinks.md R5 has the row's margin only, 3.30 at a = .3, T = 64, where the score's is 2.19",
    prove=_prove_margin, holds=Inequality(CONSTANT_DRAW, _score_sides, tight={"c": 3.0, "length": 4096}),
    simulate=Simulation(CONTEXTS, "T", "margin for a score of 0.3, nats", lambda: (
        [sinks.margin_for_score(0.3, length) for length in CONTEXTS], 0.0), _solved),
    control=Control("the margin of the last row, whose other rows then score more", Inequality(
        CONSTANT_DRAW, _wrong_constant)))


# bounds and baseline

def _prove_baseline() -> str:
    h, n = sympy.Symbol("H", positive=True), sympy.Symbol("T", positive=True, integer=True)
    excess = sympy.Symbol("g", nonnegative=True)            # H_T = 1 + g
    falls = (h / n - (h + 1 / (n + 1)) / (n + 1)).subs(h, 1 + excess)
    rows = [sympy.harmonic(m) - sum(sympy.Rational(1, i + 1) for i in range(m)) for m in range(1, 12)]
    limit = sympy.Rational(3, 10)
    return every([zero(falls - (excess + 1 / (n + 1)) / (n * (n + 1))), *(zero(row) for row in rows),
                  true([sympy.harmonic(9) / 9 > limit, sympy.harmonic(10) / 10 < limit])])


def _tie_baseline() -> float:
    n = sympy.Symbol("n")
    ours = sympy.lambdify(n, sympy.harmonic(n) / n, "sympy")
    return max(abs(sinks.baseline(length) / float(ours(sympy.Integer(length))) - 1) for length in (1, 9, 64, 300))


BASELINE = Claim(
    id="sinks-baseline", source=f"ours; the metric and its threshold .3 are {GU}", label="P-uniform",
    title="A head that attends evenly has the sink score H_T / T, above 0.3 up to T = 9",
    statement=r"\frac{1}{T}\sum_i S_{i0} = \frac{H_T}{T} > 0.3 \Leftrightarrow T \leq 9",
    assumes="uniform causal attention; proved for all T: the rows by their sum, the threshold by H_T / T falling",
    expected=PROVED, note="sinks.md 1.1: .0741 at T = 64, .2929 at 10, .3143 at 9", prove=_prove_baseline,
    holds=Identity({"length": lengths}, lambda length: (
        _sink_scores(0.0, length)[:, 0].mean(), sinks.baseline(length))), tie=_tie_baseline,
    control=Control("H_{T-1} / T, the first row left out", Identity({"length": lengths}, lambda length: (
        _sink_scores(0.0, length)[:, 0].mean(), sum(1 / n for n in range(1, length)) / length))))

HEAD_DRAW = {"seed": seeds, "length": st.integers(2, 32), "spread": st.floats(0.0, 4.0),
             "margin": st.floats(-30.0, 30.0)}


def _received(seed: int, length: int, spread: float, margin: float) -> np.ndarray:
    """Mean score that each key of a random head with a sink receives from the rows that see it."""
    logits = spread * np.random.default_rng(seed).normal(size=(length, length))
    logits[:, 0] += margin
    logits[np.triu_indices(length, 1)] = -np.inf
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).sum(axis=0) / np.arange(length, 0, -1)


def _importance(**draw: float) -> tuple[list[float], list[float]]:
    first, length = float(_received(**draw)[0]), draw["length"]    # type: ignore[arg-type]
    return [1 / length, first], [first, 1.0]


def _prove_importance() -> str:
    verdicts = []
    for length in range(2, 6):
        odds = sympy.symbols(f"r1:{length}", nonnegative=True)      # of the rows below the first, S_i0 = 1 / (1 + r)
        score = (1 + sum(1 / (1 + r) for r in odds)) / length
        verdicts += [zero(score - sympy.Rational(1, length) - sum(1 / (1 + r) for r in odds) / length),
                     true([sum(1 / (1 + r) for r in odds) >= 0]),
                     zero(1 - score - sum(r / (1 + r) for r in odds) / length),
                     true([sum(r / (1 + r) for r in odds) >= 0])]
    return every(verdicts)


IMPORTANCE = Claim(
    id="sinks-importance", source=GU, label="C-sinks-importance",
    title="The importance score of the first token lies between 1/T and 1",
    statement=r"\frac{1}{T} \leq \alpha_1 = \frac{1}{T}\sum_i S_{i0} \leq 1",
    assumes="causal softmax attention: row 0 sees key 0 alone; proved for T = 2 to 5", expected=PROVED,
    note="sinks.md 1.1, section 4", prove=_prove_importance,
    holds=Inequality(HEAD_DRAW, _importance, tight={"seed": 0, "length": 16, "spread": 1.0, "margin": -30.0}),
    control=Control("the same bound for the second token", Inequality(HEAD_DRAW, lambda **draw: (
        1 / draw["length"], _received(**draw)[1]))))

METRIC_DRAW = {"seed": seeds, "heads": st.integers(1, 64), "low": st.floats(0.0, 1.0), "high": st.floats(0.0, 1.0)}


def _metric(seed: int, heads: int, low: float, high: float) -> tuple[float, float]:
    received = np.random.default_rng(seed).random(heads)
    return sink_metric(received, max(low, high)), sink_metric(received, min(low, high))


def _weak_heads(seed: int, heads: int, low: float, high: float) -> tuple[float, float]:
    received = np.random.default_rng(seed).random(heads)
    return float(np.mean(received < max(low, high))), float(np.mean(received < min(low, high)))


THRESHOLD = Claim(
    id="sinks-threshold", source=GU, label="P-sink", title="Fewer heads are sinks at a higher threshold",
    statement=r"\varepsilon \leq \eta \Rightarrow \mathrm{Sink}^{\eta} \leq \mathrm{Sink}^{\varepsilon}",
    assumes="the same heads and texts", expected=HOLDS, note="sinks.md section 4",
    alone="heads above the higher threshold are among those above the lower: counting, with nothing to derive or draw",
    holds=Inequality(METRIC_DRAW, _metric, tight={"seed": 0, "heads": 64, "low": 0.3, "high": 0.3001}),
    control=Control("the share of heads below the threshold", Inequality(METRIC_DRAW, _weak_heads)))


# repeated tokens

REPEATED_DRAW = {"seed": seeds, "length": st.integers(2, 48), "strength": st.floats(0.0, 50.0)}
TURNED_DRAW = {"seed": seeds, "keys": st.integers(1, 48), "pairs": st.integers(1, 6), "theta": st.floats(0.0, np.pi),
               "phase": st.floats(-np.pi, np.pi), "xi": st.floats(0.0, 5.0)}


def _repeated(seed: int, length: int, strength: float, theta: float) -> np.ndarray:
    """Scores of one token said over and over."""
    q, k = strength * np.random.default_rng(seed).normal(size=(2, 4, 2)).view(np.complex128)[..., 0]
    return attention.scores(np.tile(q, (length, 1)), np.tile(k, (length, 1)), np.full(4, theta))


def _even(length: int) -> np.ndarray:
    return np.tri(length) / np.arange(1, length + 1)[:, None]


def _prove_repeated() -> str:
    x, v = sympy.symbols("x v", real=True)
    rows = [sympy.exp(x) / sum(sympy.exp(x) for _ in range(t)) - sympy.Rational(1, t) for t in range(1, 7)]
    a = sympy.symbols("a1:6", real=True)                            # the output is the token itself: so in each layer
    return every([*(zero(row) for row in rows), zero(sum(w * v for w in a).subs(a[-1], 1 - sum(a[:-1])) - v)])


NOPE = Claim(
    id="sinks-repeated-nope", source="Gu et al. 2024 (2410.10781), Propositions 1-4, which of them not recorded",
    label="C-sinks-repeated-nope", title="Without positions a repeated token is attended to evenly",
    statement=r"S_{ij} = \frac{1}{i+1} \;(j \leq i), \quad o_i = v",
    assumes="all tokens alike, logits without positions; as the outputs are alike too, in every layer; rows up to 6 "
            "proved",
    expected=PROVED, note="sinks.md 2.3, section 4", prove=_prove_repeated,
    holds=Identity(REPEATED_DRAW, lambda seed, length, strength: (
        _repeated(seed, length, strength, 0.0), _even(length))),
    control=Control("the same with RoPE", Identity(REPEATED_DRAW, lambda seed, length, strength: (
        _repeated(seed, length, strength, 1.0), _even(length)))))


def _turned(seed: int, keys: int, pairs: int, theta: float, phase: float, xi: float) -> float:
    """Largest score of a row in which one token is repeated, under RoPE, for |q||k| = xi."""
    q, k = np.random.default_rng(seed).normal(size=(2, pairs, 2)).view(np.complex128)[..., 0]
    if pairs == 1:                                                  # one pair: logit = xi cos(theta lag + phase)
        q, k = np.array([np.exp(1j * phase)]), np.ones(1)
    turn = np.exp(1j * np.arange(keys)[:, None] * theta * 10.0 ** -np.arange(pairs))
    logits = xi * (turn @ (q * k.conj())).real / (np.linalg.norm(q) * np.linalg.norm(k))
    e = np.exp(logits - logits.max())
    return float(e.max() / e.sum())


def _most(xi: float, keys: int) -> float:
    return float(1 / (1 + (keys - 1) * np.exp(-2 * xi)))


def _prove_turned() -> str:
    xi, t = sympy.symbols("xi t", positive=True)
    verdicts = [zero(1 / (1 + (t - 1) * sympy.exp(-2 * xi)) - sympy.exp(2 * xi) / (sympy.exp(2 * xi) + t - 1))]
    for keys in range(2, 6):                                        # others lie at most 2 xi lower: e^{-2xi} (1 + g)
        g = sympy.symbols(f"g1:{keys}", nonnegative=True)
        others, least = sum((1 + x) * sympy.exp(-2 * xi) for x in g), (keys - 1) * sympy.exp(-2 * xi)
        verdicts += [zero(1 / (1 + least) - 1 / (1 + others)
                          - sum(g) * sympy.exp(-2 * xi) / ((1 + least) * (1 + others))),
                     true([sum(g) * sympy.exp(-2 * xi) / ((1 + least) * (1 + others)) >= 0])]
    return every(verdicts)


ROPE = Claim(
    id="sinks-repeated-rope", source="Gu et al. 2024 (2410.10781), Propositions 1-4, which of them not recorded",
    label="C-sinks-repeated-rope", title="With RoPE a repeated token makes no sink: every score falls as 1/t",
    statement=r"S_{ij} \leq \frac{e^{2\xi}}{e^{2\xi} + i}, \quad \xi = |q|\,|k|",
    assumes="all tokens alike, xi with the scale of the logits; proved for 2 to 5 keys; the tight case is one pair at "
            "theta = pi and two keys",
    expected=PROVED, note="sinks.md 2.3, section 4", prove=_prove_turned,
    holds=Inequality(TURNED_DRAW, lambda seed, keys, pairs, theta, phase, xi: (
        _turned(seed, keys, pairs, theta, phase, xi), _most(xi, keys)),
        tight={"seed": 0, "keys": 2, "pairs": 1, "theta": np.pi, "phase": 0.0, "xi": 1.0}),
    control=Control("xi for the range of the logits, which is 2 xi", Inequality(
        TURNED_DRAW, lambda seed, keys, pairs, theta, phase, xi: (
            _turned(seed, keys, pairs, theta, phase, xi), _most(xi / 2, keys)),
        tight={"seed": 0, "keys": 2, "pairs": 1, "theta": np.pi, "phase": 0.0, "xi": 1.0})))

CLAIMS = (SCORE, NOISE, ROW, MARGIN, BASELINE, IMPORTANCE, THRESHOLD, NOPE, ROPE)
