"""Claims about what makes and unmakes the sink around attention: a dominant channel, SwiGLU, head-wise RMSNorm."""

import itertools
from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import sinks
from .claim import CORRECTED, PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero

seeds = st.integers(0, 2 ** 32 - 1)
LI = "Li et al. 2026 (2605.06611)"
MEAN_ABS = float(np.sqrt(2 / np.pi))


def _mean(x: np.ndarray) -> tuple[float, float]:
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(x.size))


def _columns(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [mean for mean, _ in pairs], [stderr for _, stderr in pairs]


# dominance ratio

VECTOR_DRAW = {"seed": seeds, "size": st.integers(2, 256), "spread": st.floats(0.0, 8.0), "rest": st.floats(0.0, 1.0)}


def _vector(seed: int, size: int, spread: float, rest: float) -> np.ndarray:
    """A vector whose largest channel is the first, of size 1; spread = 0: the others are all `rest`."""
    x = np.minimum(rest * np.exp(spread * np.random.default_rng(seed).normal(size=size)), 1.0)
    x[0] = 1.0
    return x


def _ratio(x: np.ndarray) -> float:
    return float(np.abs(x).max() / np.abs(x).mean())


def _ratio_sides(**draw: float) -> tuple[list[float], list[float]]:
    x = _vector(**draw)    # type: ignore[arg-type]
    return [1.0, _ratio(x)], [_ratio(x), x.size]


def _others(size: int) -> tuple[sympy.Symbol, list[sympy.Symbol], list[sympy.Symbol]]:
    """The largest channel, the sizes of the others, and for each what it lacks to the largest."""
    low, gaps = (list(sympy.symbols(f"{name}1:{size}", nonnegative=True)) for name in "xg")
    return sympy.Symbol("s", positive=True), low, gaps


def _prove_ratio() -> str:
    verdicts = []
    for size in range(2, 6):
        s, low, gaps = _others(size)
        by_gaps, by_sizes = size * s / (s + sum(s - g for g in gaps)), size * s / (s + sum(low))
        verdicts += [zero(by_gaps - 1 - sum(gaps) / (size * s - sum(gaps))),
                     zero(size - by_sizes - size * sum(low) / (s + sum(low))), true([sum(gaps) >= 0, sum(low) >= 0])]
    return every(verdicts)


RATIO = Claim(
    id="sinks-domratio", source=f"{LI}, dimension disparity, section not recorded", label="C-sinks-domratio",
    title="The dominance ratio lies between 1 and the number of channels",
    statement=r"1 \leq \frac{\max_j |h_j|}{\frac{1}{d}\sum_k |h_k|} \leq d",
    assumes="h is not zero; proved for 2 to 5 channels", expected=PROVED, note="sinks.md 1.2, section 4",
    prove=_prove_ratio,
    holds=Inequality(VECTOR_DRAW, _ratio_sides, tight={"seed": 0, "size": 64, "spread": 0.0, "rest": 0.0}),
    control=Control("sqrt(d), the ratio to the rms", Inequality(VECTOR_DRAW, lambda **draw: (
        _ratio(_vector(**draw)), np.sqrt(draw["size"])))))


def _cosine_sides(**draw: float) -> tuple[list[float], list[float]]:
    x = _vector(**draw)    # type: ignore[arg-type]
    low, high = sinks.alignment_bounds(min(max(_ratio(x), 1.0), x.size), x.size)
    cosine = float(1 / np.linalg.norm(x))
    return [low, cosine], [cosine, high]


def _prove_cosine() -> str:
    verdicts = []
    for size in range(2, 6):
        s, low, gaps = _others(size)
        total, square = sum(low), sum(x ** 2 for x in low)
        ratio = size * s / (s + total)
        most = 1 / (1 + (size / ratio - 1) ** 2 / (size - 1))
        pairs = sum((x - y) ** 2 for x, y in itertools.combinations(low, 2))
        verdicts += [zero(ratio / size - s ** 2 / (s ** 2 + s * total)),    # sum x^2 <= s sum x is the lower bound
                     zero(s * total - square - sum(x * (s - x) for x in low)),
                     true([sum(x * g for x, g in zip(low, gaps)) >= 0]),    # s - x = g
                     zero(most - s ** 2 / (s ** 2 + total ** 2 / (size - 1))),
                     zero((size - 1) * square - total ** 2 - pairs)]        # and this the upper
    return every(verdicts)


def _guess(**draw: float) -> tuple[float, float]:
    x = _vector(**draw)    # type: ignore[arg-type]
    cosine = sinks.alignment(sinks.strength_for_dominance(min(_ratio(x), x.size - 1e-6), x.size), x.size)
    return float(1 / np.linalg.norm(x)), cosine


COSINE = Claim(
    id="sinks-domratio-cosine", source=f"ours; the ratio is {LI}", label="C-sinks-domratio-cosine",
    title="What a dominance ratio says about the direction, whatever the other channels",
    statement=r"\frac{r}{d} \leq \cos^2(h, e_c) \leq \frac{1}{1 + (d/r - 1)^2/(d-1)}",
    assumes="c is the largest channel; proved for 2 to 5 channels; the upper bound is attained by equal other channels",
    expected=PROVED, prove=_prove_cosine,
    note="sinks.md R16 inverts 262.88 at d = 4096 to .962, for Gaussian channels; without them .253 to .975",
    holds=Inequality(VECTOR_DRAW, _cosine_sides, tight={"seed": 0, "size": 64, "spread": 0.0, "rest": 0.2}),
    control=Control("the inversion for Gaussian channels taken as a bound for all", Inequality(
        VECTOR_DRAW, _guess, tight={"seed": 0, "size": 64, "spread": 0.0, "rest": 0.2})))

STRENGTHS = (10.0, 50.0, 100.0, 224.07, 1000.0)
CHANNELS = 4096
INVERSE_DRAW = {"ratio": st.floats(0.01, 0.99), "size": st.integers(2, 1 << 16)}


def _prove_gaussian() -> str:
    x, d, r = sympy.symbols("x d r", positive=True)
    m = sympy.sqrt(2 / sympy.pi)
    mean = 2 * sympy.integrate(x * sympy.exp(-x ** 2 / 2) / sympy.sqrt(2 * sympy.pi), (x, 0, sympy.oo))
    s = (d - 1) * m * r / (d - r)
    return every([zero(mean - m), zero(d * s / (s + (d - 1) * m) - r)])


def _simulated_ratio(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    found = []
    for strength in STRENGTHS:
        x = rng.normal(size=(128, CHANNELS))
        x[:, 0] = strength
        found.append(_mean(np.abs(x).max(axis=1) / np.abs(x).mean(axis=1)))
    return _columns(found)


def _round_trip(ratio: float, size: int) -> tuple[float, float]:
    wanted = ratio * size
    return sinks.dominance(sinks.strength_for_dominance(wanted, size), size)[0], wanted


def _tie_gaussian() -> float:
    s, d = sympy.symbols("s d")
    m = sympy.sqrt(2 / sympy.pi)
    ours = sympy.lambdify((s, d), (d * s / (s + (d - 1) * m), s / sympy.sqrt(s ** 2 + d - 1)))
    return max(abs(found / wanted - 1) for at in [(224.07, 4096), (5.0, 64), (40.0, 768)]
               for found, wanted in zip((sinks.dominance(*at)[0], sinks.alignment(*at)), ours(*at)))


GAUSSIAN = Claim(
    id="sinks-domratio-gaussian", source=f"ours; the ratio and its 262.88 are {LI}, section not recorded",
    label="C-sinks-domratio-gaussian",
    title="Dominance ratio of one strong channel among Gaussian ones, and its inverse",
    statement=r"\mathrm{DomRatio} = \frac{d\,s}{s + (d-1)\sqrt{2/\pi}}, \quad \cos = \frac{s}{\sqrt{s^2 + d - 1}}",
    assumes="strength s in standard deviations of the others, above their largest; the inverse and the mean |x| are "
            "proved, that the ratio of the means serves for the mean ratio is simulated at d = 4096",
    expected=PROVED, note="sinks.md R16: 262.88 gives s = 224 and cos = .962", prove=_prove_gaussian,
    holds=Identity(INVERSE_DRAW, _round_trip),
    simulate=Simulation(STRENGTHS, "strength", "DomRatio at d = 4096", lambda: tuple(
        np.array([sinks.dominance(s, CHANNELS) for s in STRENGTHS]).T), _simulated_ratio),
    tie=_tie_gaussian,
    control=Control("1 for the mean of |x|, which is sqrt(2/pi)", Simulation(
        STRENGTHS, "strength", "DomRatio", lambda: (
            [CHANNELS * s / (s + CHANNELS - 1) for s in STRENGTHS], 0.0), _simulated_ratio)))


# SwiGLU

COSINES = (0.1, 0.2, 0.5, 0.8)
SIZE, NORM = 256, 8.0


def _silu(z: Any) -> Any:
    return z / (1 + np.exp(-z))


def _prove_pair() -> str:
    z = sympy.Symbol("z", real=True)

    def silu(x: sympy.Expr) -> sympy.Expr:
        return x / (1 + sympy.exp(-x))
    return zero(silu(z) * z + silu(-z) * (-z) - z ** 2)


PAIR_DRAW = {"z": st.floats(0.001, 30.0)}      # even in z; z^2 has its digits

PAIR = Claim(
    id="sinks-silu-pair", source=f"ours; super neurons are {LI}, section not recorded", label="C-sinks-silu-pair",
    title="Two SwiGLU neurons of opposite weights square their input",
    statement=r"\mathrm{SiLU}(z)\,z + \mathrm{SiLU}(-z)(-z) = z^2", assumes="any real z; gate and up weights parallel",
    expected=PROVED, note="sinks.md R17", prove=_prove_pair,
    holds=Identity(PAIR_DRAW, lambda z: (float(_silu(z) * z - _silu(-z) * z), z * z)),
    control=Control("one up weight for both", Identity(PAIR_DRAW, lambda z: (
        float(_silu(z) * z + _silu(-z) * z), z * z))))


def _prove_swiglu() -> str:
    x, norm, c, d = sympy.symbols("x g c d", positive=True)
    density = sympy.exp(-x ** 2 / 2) / sympy.sqrt(2 * sympy.pi)
    square = norm ** 4 * sympy.integrate(x ** 4 * density, (x, 0, sympy.oo))          # E h^2, the gate open for z > 0
    return every([zero(square - sympy.Rational(3, 2) * norm ** 4),
                  zero((norm * sympy.sqrt(d) * c) ** 2 / sympy.sqrt(square) - d * c ** 2 * sympy.sqrt(6) / 3)])


def _simulated_gain(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    weight = rng.normal(size=SIZE)
    weight *= NORM / np.linalg.norm(weight)

    def activation(x: np.ndarray) -> np.ndarray:
        z = x @ weight * np.sqrt(SIZE) / np.linalg.norm(x, axis=-1)
        return _silu(z) * z
    square, stderr = _mean(activation(rng.normal(size=(16384, SIZE))) ** 2)
    across = rng.normal(size=SIZE)
    across -= (across @ weight) / NORM ** 2 * weight
    across *= NORM / np.linalg.norm(across)
    along = np.array([c * weight + np.sqrt(1 - c * c) * across for c in COSINES])
    gains = (activation(along) / np.sqrt(square)).tolist()
    return gains, [gain * stderr / square / 2 for gain in gains]


def _tie_swiglu() -> float:
    d, c = sympy.symbols("d c")
    ours = sympy.lambdify((d, c), d * c ** 2 * sympy.sqrt(sympy.Rational(2, 3)))
    return max(abs(sinks.swiglu_gain(*at, 8.0)[0] / ours(*at) - 1) for at in [(1024, 0.5), (256, 0.9), (64, 0.1)])


SWIGLU = Claim(
    id="sinks-swiglu-gain", source=f"ours; super neurons are {LI}, section not recorded",
    label="C-sinks-swiglu-gain",
    title="Gain of a SwiGLU neuron for the direction that it is aligned with",
    statement=r"\frac{h}{\mathrm{rms}(h)} = d\,c^2\sqrt{\frac{2}{3}}, \quad h = \mathrm{SiLU}(w \cdot x)\; w \cdot x",
    assumes="gate and up weights parallel, |w| well above 1 (proved for the gate as a step) and cosine c to an input "
            "of norm sqrt(d); rms over random directions; the simulation grants the bound on the rest",
    expected=PROVED, note="sinks.md R17: 209 at d = 1024, c = .5 (207 measured there)", prove=_prove_swiglu,
    simulate=Simulation(COSINES, "cosine", "gain at d = 256, |w| = 8", lambda: tuple(
        np.array([sinks.swiglu_gain(SIZE, c, NORM) for c in COSINES]).T), _simulated_gain),
    tie=_tie_swiglu,
    control=Control("the rms of independent gate and up weights, 1 / sqrt 2", Simulation(
        COSINES, "cosine", "gain", lambda: (
            [SIZE * c * c * np.sqrt(2) for c in COSINES], [sinks.swiglu_gain(SIZE, c, NORM)[1] for c in COSINES]),
        _simulated_gain)))


# head-wise RMSNorm

NORM_DRAW = {"seed": seeds, "mean": st.floats(0.0, 3.0), "mass": st.floats(0.0, 0.999)}
POSITIONS = (1, 2, 4, 8, 16, 32, 64)
WIDTH, MEAN = 64, 0.5


def _outputs(seed: int, mean: float, mass: float) -> np.ndarray:
    """Outputs float64[heads, rows, channels] of heads from even to sharp, with a sink of this mass and no value."""
    rng = np.random.default_rng(seed)
    logits = np.array([0.0, 1.0, 6.0])[:, None, None] * rng.normal(size=(3, 16, 16))
    logits[:, *np.triu_indices(16, 1)] = -np.inf
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (1 - mass) * (e / e.sum(axis=-1, keepdims=True)) @ (mean + rng.normal(size=(16, 32)))


def _head_norm(o: np.ndarray) -> np.ndarray:
    return o / np.sqrt((o ** 2).mean(axis=-1, keepdims=True))


def _prove_norm() -> str:
    verdicts = []
    for size in range(2, 6):
        o, scale = sympy.symbols(f"o1:{size + 1}", real=True), sympy.Symbol("c", positive=True)
        rms = sympy.sqrt(sum(x ** 2 for x in o) / size)
        shrunk = sympy.sqrt(sum((scale * x) ** 2 for x in o) / size)
        verdicts += [zero(sum((x / rms) ** 2 for x in o) - size), zero(scale * o[0] / shrunk - o[0] / rms)]
    return every(verdicts)


NORMED = Claim(
    id="sinks-headnorm", source=f"{LI}, section 5.1", label="C-sinks-headnorm",
    title="Head-wise RMSNorm gives every row and head the same second moment, and the output of a no-op too",
    statement=r"\hat{o}_c = \frac{o_c}{\sqrt{\frac{1}{d}\sum_k o_k^2}}: \; \frac{1}{d}\sum_c \hat{o}_c^2 = 1",
    assumes="gain 1, no epsilon, output not zero; proved for 2 to 5 channels. As it forgets the size of the output, a "
            "head that puts nearly all its mass on a zero value is no longer a no-op",
    expected=PROVED, note="sinks.md R15", prove=_prove_norm,
    holds=Identity(NORM_DRAW, lambda **draw: ((_head_norm(_outputs(**draw)) ** 2).mean(axis=-1), np.ones((3, 16)))),
    control=Control("division by the standard deviation", Identity(NORM_DRAW, lambda **draw: (
        ((_outputs(**draw) / _outputs(**draw).std(axis=-1, keepdims=True)) ** 2).mean(axis=-1), np.ones((3, 16))))))


def _prove_share() -> str:
    a, b, m = sympy.symbols("a b m", positive=True)

    def share(s: sympy.Expr) -> sympy.Expr:
        return s / (m ** 2 + s)
    difference = m ** 2 * (a - b) / ((m ** 2 + a) * (m ** 2 + b))         # none for m = 0 only
    return every([zero(share(a) - share(b) - difference), zero(share(a).subs(m, 0) - 1)])


def _simulated_share(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Variance over sequences of each channel of a HeadNorm output, mean over channels; 20 groups of 30 sequences."""
    values = MEAN + rng.normal(size=(20, 30, max(POSITIONS), WIDTH))
    sums = np.cumsum(values, axis=2)
    found = [_mean(_head_norm(sums[:, :, i - 1] / i).var(axis=1, ddof=1).mean(axis=-1)) for i in POSITIONS]
    return _columns(found)


def _shares() -> tuple[list[float], list[float]]:
    return _columns([sinks.centred_share(1 / i, MEAN, WIDTH) for i in POSITIONS])


def _tie_share() -> float:
    s, m = sympy.symbols("s m")
    ours = sympy.lambdify((s, m), s / (m ** 2 + s))
    return max(abs(sinks.centred_share(*at, 128)[0] / ours(*at) - 1) for at in [(1.0, 0.5), (0.02, 2.0), (0.3, 0.0)])


CENTRED = Claim(
    id="sinks-headnorm-centred", source=f"{LI}, section 5.1: that it restores statistical parity between positions",
    label="C-sinks-headnorm-centred",
    title="Head-wise RMSNorm does not equalise the variance of the outputs where values have a mean",
    statement=r"\mathrm{Var}(\hat{o}_{i}) = \frac{S_i}{m^2 + S_i}, \quad m = \frac{|E v|}{\sigma\sqrt{d}}",
    assumes="uncorrelated Gaussian values, participation S_i, many channels (error of order 1/d). Read as parity of "
            "the variance the printed form needs m = 0, which is what is proved; parity of the second moment is exact",
    expected=CORRECTED, note="sinks.md R15 (b), section 4: a ratio of 14 between rows 0 and 63 at m = .5",
    prove=_prove_share, printed=Simulation(
        POSITIONS, "keys", "variance after HeadNorm", lambda: ([_shares()[0][0]] * len(POSITIONS), _shares()[1]),
        _simulated_share),
    simulate=Simulation(POSITIONS, "keys", "variance after HeadNorm, m = 0.5", _shares, _simulated_share),
    tie=_tie_share,
    control=Control("1 / (m^2 + S), the norm of the values in place of the outputs'", Simulation(
        POSITIONS, "keys", "variance after HeadNorm", lambda: (
            [1 / i / (MEAN ** 2 + 1) for i in POSITIONS], _shares()[1]), _simulated_share)))

CLAIMS = (RATIO, COSINE, GAUSSIAN, PAIR, SWIGLU, NORMED, CENTRED)
