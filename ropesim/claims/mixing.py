"""Claims about repeated attention: powers of the uniform causal matrix, with a sink or a masked token."""

import math
from fractions import Fraction

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import depth
from . import mixing_bounds, mixing_cosines, mixing_packing, mixing_residual, mixing_sensitivity
from .claim import PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, zero

LENS = "Barbero et al. 2025 (2504.02732)"
NOTE = "derived in sinks.md {} for the mixing of " + LENS
WALKS = 20000

lengths, depths, shares = st.integers(2, 24), st.integers(0, 12), st.floats(0.0, 1.0)


def _causal(length: int) -> np.ndarray:
    return np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]


def _layer(length: int, mixing: float) -> np.ndarray:
    return (1 - mixing) * np.eye(length) + mixing * _causal(length)


def _step(rng: np.random.Generator, keys: np.ndarray, mixing: float, sink: float = 0.0) -> np.ndarray:
    """One layer of the walk whose law is a row of the power: stay, jump to key 0, or to any key up to this one."""
    uniform = np.floor(rng.random(keys.size) * (keys + 1)).astype(int)
    uniform[rng.random(keys.size) < sink] = 0
    return np.where(rng.random(keys.size) < mixing, uniform, keys)


def _walks(rng: np.random.Generator, row: int, layers: int, mixing: float, sink: float = 0.0) -> np.ndarray:
    keys = np.full(WALKS, row)
    for _ in range(layers):
        keys = _step(rng, keys, mixing, sink)
    return keys


def _frequency(hits: np.ndarray) -> tuple[float, float]:
    """Share of hits, and its standard error with one hit and one miss added."""
    share = (hits.sum() + 1) / (hits.size + 2)
    return float(hits.mean()), math.sqrt(share * (1 - share) / hits.size)


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


# Powers of the uniform causal matrix

def _power_entry(i: int, j: int, eigen: list[sympy.Expr]) -> sympy.Expr:
    return math.comb(i, j) * sum((-1) ** r * math.comb(i - j, r) * eigen[j + r] for r in range(i - j + 1))


def _prove_powers() -> str:
    n = 5
    m = sympy.Symbol("m", real=True)
    one, p = [sympy.Integer(1)] * n, list(sympy.symbols(f"p:{n}", real=True))       # p_k stands for e_k^L
    e = [1 - m + m / (k + 1) for k in range(n)]

    def power(of: list[sympy.Expr]) -> sympy.Matrix:
        return sympy.Matrix(n, n, lambda i, j: _power_entry(i, j, of) if j <= i else 0)
    matrix = sympy.Matrix(n, n, lambda i, j: (1 - m) * int(i == j) + (m / (i + 1) if j <= i else 0))
    deeper = matrix * power(p) - power([a * b for a, b in zip(e, p)])
    return every([zero((power(one) - sympy.eye(n)).norm() ** 2), *(zero(x) for x in deeper if x != 0)])


def _powers(length: int, layers: int, share: int, shift: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Product of rationals against the sum (C-mixing-powers), as floats at the end."""
    mixing = Fraction(share, 12)
    column = [(1 - mixing + mixing / (k + shift)) ** layers for k in range(length)]
    closed = [[float(math.comb(i, j) * sum((-1) ** r * math.comb(i - j, r) * column[j + r] for r in range(i - j + 1)))
               for j in range(i + 1)] + [0.0] * (length - 1 - i) for i in range(length)]
    rows = [[Fraction(int(i == j)) for j in range(length)] for i in range(length)]
    for _ in range(layers):
        for j in range(length):
            total = Fraction(0)
            for i in range(length):
                total += rows[i][j]
                rows[i][j] = (1 - mixing) * rows[i][j] + mixing * total / (i + 1)
    return np.array(rows, dtype=float), np.array(closed)


POWERS = {"length": st.integers(2, 6), "layers": st.integers(1, 5), "share": st.integers(1, 12)}
KEYS = (0, 1, 2, 4, 8, 12)


def _visited(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    keys = _walks(rng, 12, 3, 0.6)
    found = [_frequency(keys == key) for key in KEYS]
    return [x for x, _ in found], [x for _, x in found]


def _tie_powers() -> float:
    m = sympy.Symbol("m")
    formula = sympy.lambdify(m, _power_entry(7, 2, [(1 - m + m / (k + 1)) ** 4 for k in range(8)]))
    return max(abs(formula(x) / depth.power(8, 4, mixing=x)[7, 2] - 1) for x in (0.2, 0.5, 1.0))


# Mean key and mean depth

def _prove_mean_key() -> str:
    i, j, m = sympy.symbols("i j m", positive=True, integer=True)
    row = sympy.summation(j, (j, 0, i)) / (i + 1)
    return zero((1 - m) * i + m * row - (1 - m / 2) * i)


def _mean_key(length: int, layers: int, mixing: float, rate: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    power = np.linalg.matrix_power(_layer(length, mixing), layers)
    return power[:, 1:].sum(axis=1), np.arange(length) * (1 - rate * mixing) ** layers


def _mean_keys(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    found = [_mean(_walks(rng, 40, layers, 0.7).astype(float)) for layers in (1, 2, 4, 8)]
    return [x for x, _ in found], [x for _, x in found]


def _prove_depth() -> str:
    i, h, m = sympy.symbols("i h m", positive=True)          # h is H_i; sum_{j <= i} (1 + H_j) = (i+1) H_i by induction
    step_up = (i + 1) * h + 1 + (h + 1 / (i + 1)) - (i + 2) * (h + 1 / (i + 1))
    first_step = 1 + (1 - m) * (1 + h) / m + m / (i + 1) * ((i + 1) * h / m) - (1 + h) / m
    return every([zero(step_up), zero(first_step), zero((1 + sympy.harmonic(1)) - 2 * sympy.harmonic(1))])


def _depth(length: int, mixing: float, more: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    transient = _layer(length, mixing)[1:, 1:]
    solved = np.linalg.solve(np.eye(length - 1) - transient, np.ones(length - 1))
    return solved, (more + np.cumsum(1 / np.arange(1.0, length))) / mixing


def _depths(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    found = []
    for row in ROWS:
        keys, layers = np.full(4000, row), np.zeros(4000)
        while keys.any():
            layers += keys > 0
            keys = _step(rng, keys, 0.7)
        found.append(_mean(layers))
    return [x for x, _ in found], [x for _, x in found]


def _tie_depth() -> float:
    i, m = sympy.symbols("i m")
    formula = sympy.lambdify((i, m), (1 + sympy.harmonic(i)) / m, "sympy")
    return max(abs(float(formula(row, share)) / depth.mean_depth(200, mixing=share)[row] - 1)
               for row in (1, 7, 199) for share in (0.25, 1.0))


ROWS = (1, 3, 10, 30, 100, 300)
MEAN = {"length": st.integers(3, 24), "mixing": st.floats(0.01, 1.0)}


# A sink without a residual

def _prove_sink() -> str:
    n = 4
    a, p = sympy.symbols("a p", real=True)
    d = sympy.Matrix(n, n, lambda i, j: sympy.Symbol(f"d{i}{j}", real=True) if 0 < j <= i else 0)     # C^L
    d[:, 0] = sympy.ones(n, 1) - d * sympy.ones(n, 1)
    c = sympy.Matrix(n, n, lambda i, j: sympy.Rational(1, i + 1) if j <= i else 0)
    first = sympy.Matrix(n, n, lambda i, j: int(j == 0))
    deeper = (a * first + (1 - a) * c) * (p * d + (1 - p) * first)                                    # p = (1-a)^L
    difference = deeper - (1 - a) * p * c * d - (1 - (1 - a) * p) * first
    return zero(difference.applyfunc(sympy.expand))


def _sink(length: int, layers: int, sink: float) -> tuple[np.ndarray, np.ndarray]:
    first = np.zeros((length, length))
    first[:, 0] = 1.0
    kept = (1 - sink) ** layers
    return (np.linalg.matrix_power(sink * first + (1 - sink) * _causal(length), layers),
            kept * np.linalg.matrix_power(_causal(length), layers) + (1 - kept) * first)


def _sink_slows(length: int, layers: int, sink: float) -> tuple[np.ndarray, np.ndarray]:
    with_sink, _ = _sink(length, layers, sink)
    return with_sink[:, 0], np.linalg.matrix_power(_causal(length), layers)[:, 0]


def _first_masses(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    found = [_frequency(_walks(rng, 63, 4, 0.8, sink) == 0) for sink in SINKS]
    return [x for x, _ in found], [x for _, x in found]


def _sink_control(length: int, layers: int, sink: float) -> tuple[np.ndarray, np.ndarray]:
    left, _ = _sink(length, layers, sink)
    return left, _sink(length, layers, 1 - sink)[1]


SINKS = (0.0, 0.2, 0.5, 0.8)
SINKY = {"length": lengths, "layers": st.integers(1, 12), "sink": shares}


# A token that sees itself alone

def _masked(length: int, key: int) -> np.ndarray:
    scores = _causal(length)
    scores[key] = np.eye(length)[key]
    return scores


def _limit(key: int, more: int, shift: int = 1) -> tuple[np.ndarray, np.ndarray]:
    power = np.linalg.matrix_power(_masked(key + 1 + more, key), 64)
    return power[key + 1:, key], np.full(more, 1 / (key + shift))


def _prove_limit() -> str:
    i, k = sympy.symbols("i k", positive=True)
    p = 1 / (k + 1)
    harmonic = (1 + (i - k) * p) / (i + 1) - p                # key k, and k < j <= i with p each, out of i + 1 keys
    return zero(harmonic)


def _limits(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    found = []
    for key in (1, 3, 10, 31):
        at = np.full(WALKS, 40)
        while ((at > 0) & (at != key)).any():
            at = np.where(at == key, at, _step(rng, at, 1.0))
        found.append(_frequency(at == key))
    return [x for x, _ in found], [x for _, x in found]


MASK = {"key": st.integers(1, 12), "more": st.integers(2, 8)}

POWER_CLAIMS = (
    Claim(
        id="mixing-powers", source=NOTE.format("R6"), label="C-mixing-powers",
        title="Powers of the uniform causal layer are finite differences of the powers of its eigenvalues",
        statement=r"[((1-\lambda)I+\lambda C)^L]_{ij} = \binom{i}{j}\sum_{r=0}^{i-j} (-1)^r \binom{i-j}{r}"
                  r" (1-\lambda+\frac{\lambda}{j+r+1})^L",
        assumes="positions from 0, no sink; proved for every depth and up to 5 tokens, tried up to 6 in rationals",
        expected=PROVED, note="sinks.md R6, whose positions count from 1",
        prove=_prove_powers, holds=Identity(POWERS, _powers),
        simulate=Simulation(KEYS, "key j", "share of key j in token 12 after 3 layers",
                            lambda: (depth.power(13, 3, mixing=0.6)[12, list(KEYS)], 0.0), _visited),
        tie=_tie_powers,
        control=Control("eigenvalues one index late", Identity(POWERS, lambda length, layers, share: _powers(
            length, layers, share, shift=2))),
    ),
    Claim(
        id="mixing-mean-key", source=NOTE.format("R6"), label="C-mixing-mean-key",
        title="What has not come from token 0 falls at least by 1 - mixing/2 a layer",
        statement=r"1 - (P^L)_{i0} \leq \sum_j j\,(P^L)_{ij} = i\,(1-\frac{\lambda}{2})^L",
        assumes="uniform causal layers, mixing from 0 to 1; equality at token 1", expected=PROVED, note="sinks.md R6",
        prove=_prove_mean_key,
        holds=Inequality({"length": lengths, "layers": depths, "mixing": shares}, _mean_key,
                         tight={"length": 2, "layers": 5, "mixing": 0.5}),
        simulate=Simulation((1, 2, 4, 8), "layers L", "mean key in token 40", lambda: (
            [depth.mean_key(41, layers, mixing=0.7)[40] for layers in (1, 2, 4, 8)], 0.0), _mean_keys),
        control=Control("the rate 1 - mixing, as if attention moved all to key 0", Inequality(
            {"length": lengths, "layers": depths, "mixing": shares},
            lambda length, layers, mixing: _mean_key(length, layers, mixing, rate=1.0))),
    ),
    Claim(
        id="mixing-collapse-depth", source=NOTE.format("R6") + "; the exact mean is ours", label="C-mixing-depth",
        title="Collapse onto token 0 takes 1 + H_i layers on average: the depth grows as ln n",
        statement=r"\sum_{L\geq 0} (1-(P^L)_{i0}) = \frac{1+H_i}{\lambda} \approx \frac{\ln i + \gamma + 1}{\lambda}",
        assumes="uniform causal layers without a sink, mixing above 0, i >= 1", expected=PROVED,
        note="sinks.md R6 has half of the mass at 3, 5, 6, 8, 9 layers for 8, 32, 128, 512, 2048 tokens: tested",
        prove=_prove_depth, holds=Identity(MEAN, _depth),
        simulate=Simulation(ROWS, "token i", "mean layers until token 0", lambda: (
            depth.mean_depth(301, mixing=0.7)[list(ROWS)], 0.0), _depths),
        tie=_tie_depth,
        control=Control("H_i without the 1: the last stay at token 1 forgotten", Identity(
            MEAN, lambda length, mixing: _depth(length, mixing, more=0))),
    ),
    Claim(
        id="mixing-pure-sink", source=NOTE.format("R7"), label="C-mixing-sink",
        title="In attention without a residual a sink speeds collapse up",
        statement=r"(\alpha 1 e_0^T + (1-\alpha)C)^L = (1-\alpha)^L C^L + (1-(1-\alpha)^L)\, 1 e_0^T",
        assumes="the sink is key 0 with its own value, the rest uniform; proved for every depth and 4 tokens",
        expected=PROVED, note="sinks.md R7; the simulation has a residual of 0.2 with the sink's value not small",
        prove=_prove_sink, holds=Identity(SINKY, _sink),
        simulate=Simulation(SINKS, "score on the sink", "share of token 0 in token 63 after 4 layers", lambda: (
            [depth.first_mass(64, 4, mixing=0.8, sink=sink)[63] for sink in SINKS], 0.0), _first_masses),
        control=Control("the roles of the sink and the rest exchanged", Identity(SINKY, _sink_control)),
    ),
    Claim(
        id="mixing-sink-is-no-brake", label="C-mixing-sink",
        source="sinks.md R7 and section 4, on the argument of " + LENS + " (section not recorded)",
        title="That a sink slows collapse is wrong without a residual",
        statement=r"[(\alpha 1 e_0^T + (1-\alpha)C)^L]_{i0} \leq (C^L)_{i0}",
        assumes="pure attention: no residual, or a sink whose value is not small", expected="refuted",
        note="sinks.md R7 and section 4: not to be asserted; the paper's setting has a residual and small values",
        holds=Inequality(SINKY, _sink_slows, tight={"length": 2, "layers": 1, "sink": 0.5}),
        alone="a counterexample is all there is to find; the identity behind it is mixing-pure-sink",
        control=Control("no share of token 0 at all", Inequality(SINKY, lambda length, layers, sink: (
            _sink_slows(length, layers, sink)[0], 0.0))),
    ),
    Claim(
        id="mixing-mask-limit", source="sinks.md R13, for the mask-to-self intervention of Li et al. 2026 (2605.06611)",
        label="C-mixing-mask-limit", title="A token masked to itself ends up with the share 1/(k+1) of all that follow",
        statement=r"\lim_{L\to\infty} (S^L)_{ik} = \frac{1}{k+1}, \qquad i > k \geq 1",
        assumes="uniform causal scores but for row k; k from 0, where the note's 1/k counts from 1", expected=PROVED,
        note="sinks.md R13: topology alone makes only a weak sink, 1/11 at index 10",
        prove=_prove_limit, holds=Identity(MASK, _limit),
        simulate=Simulation((1, 3, 10, 31), "masked token k", "share of k in token 40 at infinite depth", lambda: (
            [depth.absorbed(41, key)[40] for key in (1, 3, 10, 31)], 0.0), _limits),
        control=Control("1/k with k counted from 0", Identity(MASK, lambda key, more: _limit(key, more, shift=0))),
    ),
)

CLAIMS = (*POWER_CLAIMS, *mixing_packing.CLAIMS, *mixing_residual.CLAIMS, *mixing_cosines.CLAIMS, *mixing_bounds.CLAIMS,
          *mixing_sensitivity.CLAIMS)
