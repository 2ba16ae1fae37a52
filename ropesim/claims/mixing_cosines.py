"""Claims about layers with random orthogonal value maps: norms and cosines of tokens in depth."""

import math

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import depth
from .claim import PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero

NOTE = "derived in sinks.md {} for Barbero et al. 2025 (2504.02732)"
WIDTH = 128       # of the random value maps in the simulations
seeds, shares = st.integers(0, 2 ** 32 - 1), st.floats(0.0, 1.0)


def _causal(length: int) -> np.ndarray:
    return np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]


def _columns(found: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of each column."""
    values = np.array(found)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(len(values))


def _orthogonal(rng: np.random.Generator, width: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(width, width)))
    return q * np.sign(r.diagonal())


# Inner products

def _layer(x: np.ndarray, mixed: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Inner products after x + mixed W, averaged over W and -W."""
    plus, minus = x + mixed @ turn, x - mixed @ turn
    return (plus @ plus.T + minus @ minus.T) / 2


def _prove_gram() -> str:
    angle, g = sympy.symbols("t g", real=True)
    x = sympy.Matrix(2, 2, sympy.symbols("x:4", real=True))
    s = sympy.Matrix(2, 2, lambda i, j: sympy.Symbol(f"s{i}{j}", real=True) if j <= i else 0)
    turn = sympy.Matrix([[sympy.cos(angle), sympy.sin(angle)], [-sympy.sin(angle), sympy.cos(angle)]])
    scale = sympy.diag(*sympy.symbols("u v", positive=True))                  # 1/|x_i|
    mixed = g * s * scale * x
    total = sum(((x + sign * mixed * turn) * (x + sign * mixed * turn).T for sign in (1, -1)), sympy.zeros(2, 2)) / 2
    closed = x * x.T + g ** 2 * s * scale * x * x.T * scale * s.T
    return zero((total - closed).applyfunc(lambda e: sympy.expand(sympy.expand(e).subs(
        sympy.sin(angle) ** 2, 1 - sympy.cos(angle) ** 2))))


def _gram(seed: int, length: int, gain: float, normed: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """One layer against (C-mixing-gram)."""
    rng = np.random.default_rng(seed)
    x, scores = rng.normal(size=(length, 5)), np.tril(rng.random((length, length)))
    scores /= scores.sum(axis=1, keepdims=True)
    norm = np.linalg.norm(x, axis=1)
    start = x @ x.T
    cosines = start / np.outer(norm, norm)
    left = _layer(x, gain * scores @ (x / norm[:, None]), _orthogonal(rng, 5))
    return left, start + gain ** 2 * scores @ (cosines if normed else start) @ scores.T


TOKENS = (0, 1, 7, 31)


def _norms(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    scores, found = _causal(32), []
    for _ in range(20):
        x = np.eye(32, WIDTH)
        for _ in range(6):
            x = x + scores @ (x / np.linalg.norm(x, axis=1, keepdims=True)) @ _orthogonal(rng, WIDTH)
        found.append((x[list(TOKENS)] ** 2).sum(axis=1))
    return _columns(found)


def _predicted_norms() -> tuple[np.ndarray, np.ndarray]:
    """The recursion, and 4 g^4 / d sum 1/|x|^2 for what it leaves out: Var |x'|^2 = 4 g^2 |x|^2 |mixed|^2 / d."""
    grams = depth.gram(np.eye(32), _causal(32), 6)
    smallest = np.array([k.diagonal().min() for k in grams[1:-1]])
    error = np.full(len(TOKENS), 4 / WIDTH * (1 / smallest).sum())
    error[0] = 0.0
    return grams[-1].diagonal()[list(TOKENS)], error


# Exchangeable tokens

SINKS = (0.0, 0.5, 0.8, 0.95)


def _prove_exchangeable() -> str:
    n = 3
    rho, g, a, c = sympy.symbols("rho g a c", positive=True)
    start = (1 - rho) * sympy.eye(n) + rho * sympy.ones(n, n)
    mean = sympy.ones(n, n) / n
    added = g ** 2 * ((1 - a) ** 2 * mean * start * mean.T + a ** 2 * c ** 2 * sympy.ones(n, n))
    after = start + added
    q = rho + (1 - rho) / n
    closed = (1 - rho) / (1 + g ** 2 * ((1 - a) ** 2 * q + a ** 2 * c ** 2))
    return zero(sympy.expand(sympy.numer(sympy.together(1 - after[0, 1] / after[0, 0] - closed))))


def _exchangeable(seed: int, length: int, rho: float, gain: float, sink: float, value: float,
                  finite: float = 1.0) -> tuple[float, float]:
    x = math.sqrt(1 - rho) * np.eye(length, length + 2)
    x[:, length] = math.sqrt(rho)
    target = np.zeros(length + 2)
    target[-1] = value
    mixed = np.tile(gain * ((1 - sink) * x.mean(axis=0) + sink * target), (length, 1))
    after = _layer(x, mixed, _orthogonal(np.random.default_rng(seed), length + 2))
    q = rho + finite * (1 - rho) / length
    closed = (1 - rho) / (1 + gain ** 2 * ((1 - sink) ** 2 * q + (sink * value) ** 2))
    return float(1 - after[0, 1] / after[0, 0]), closed


EXCHANGEABLE = {"seed": seeds, "length": st.integers(2, 8), "rho": st.floats(0.0, 0.95), "gain": st.floats(0.1, 2.0),
                "sink": shares, "value": st.floats(0.0, 2.0)}


def _cosines(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for _ in range(100):
        row = []
        for sink in SINKS:
            x = math.sqrt(0.9) * np.eye(8, WIDTH)
            x[:, 8] = math.sqrt(0.1)
            for _ in range(6):
                turned = rng.normal(size=WIDTH)                      # one vector, turned at random
                x = x + (1 - sink) * np.linalg.norm(x.mean(axis=0)) * turned / np.linalg.norm(turned)
                x /= np.linalg.norm(x, axis=1, keepdims=True)
            row.append(((x @ x.T).sum() - 8) / 56)
        found.append(np.array(row))
    return _columns(found)


def _predicted_cosines() -> tuple[list[float], float]:
    """The recursion, and 4 / d for the cross terms x.(mixed W), of variance 1/d, in six layers that shrink the last."""
    return [float(depth.exchangeable(0.1, 6, length=8, sink=sink)[-1]) for sink in SINKS], 4 / WIDTH


def _tie_exchangeable() -> float:
    rho, a, c = sympy.symbols("rho a c")
    q = rho + (1 - rho) / 8
    formula = sympy.lambdify((rho, a, c), 1 - (1 - rho) / (1 + (1 - a) ** 2 * q + a ** 2 * c ** 2))
    return max(abs(formula(*at) / depth.exchangeable(at[0], 1, length=8, sink=at[1], value=at[2])[-1] - 1)
               for at in ((0.1, 0.5, 0.0), (0.7, 0.2, 1.5)))


def _prove_best() -> str:
    q, c, a = sympy.symbols("q c a", positive=True)
    added = (1 - a) ** 2 * q + a ** 2 * c ** 2
    best = q / (q + c ** 2)
    return every([zero(added - added.subs(a, best) - (q + c ** 2) * (a - best) ** 2), true([q + c ** 2 > 0])])


def _best(rho: float, length: int, value: float, sink: float, wrong: bool = False) -> tuple[float, float]:
    q = rho + (1 - rho) / length

    def added(share: float) -> float:
        return (1 - share) ** 2 * q + share ** 2 * value ** 2
    return added((value ** 2 if wrong else q) / (q + value ** 2)), added(sink)


def _least_mixed(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Where the cosine after one layer is least: from the curve through three shares, by random tokens."""
    at, found = np.array([0.0, 0.5, 1.0]), []
    for value in VALUES:
        guesses = []
        for _ in range(200):
            x = np.sqrt([[0.3]]) * rng.normal(size=WIDTH) + math.sqrt(0.7) * rng.normal(size=(8, WIDTH))
            target = value * rng.normal(size=WIDTH)
            energy = [((1 - a) * x.mean(axis=0) + a * target) @ ((1 - a) * x.mean(axis=0) + a * target) for a in at]
            guesses.append(energy)
        bend, slope, _ = np.polyfit(at, np.array(guesses).T, 2)
        best = -slope.mean() / (2 * bend.mean())
        influence = (-slope / 2 - best * bend) / bend.mean()            # the ratio's, to first order
        found.append((float(best), float(influence.std(ddof=1) / math.sqrt(len(influence)))))
    return [x for x, _ in found], [x for _, x in found]


VALUES = (0.1, 0.5, 1.0, 2.0)
BEST = {"rho": shares, "length": st.integers(1, 64), "value": st.floats(0.0, 3.0), "sink": shares}


def _tie_best() -> float:
    q, c = sympy.symbols("q c")
    formula = sympy.lambdify((q, c), q / (q + c ** 2))
    return max(abs(formula(rho + (1 - rho) / 8, c) / depth.best_sink(rho, length=8, value=c) - 1)
               for rho, c in ((0.1, 0.3), (0.9, 2.0)))


CLAIMS = (
    Claim(
        id="mixing-gram", source=NOTE.format("R11"), label="C-mixing-gram",
        title="Expected inner products in depth: the first token's norm grows linearly only",
        statement=r"K' = K + g^2 S \hat K S^T, \quad \hat K = D^{-1/2} K D^{-1/2}; \quad |x_0|^2 = 1 + L g^2",
        assumes="independent orthogonal value maps, normed input of each layer; one layer exactly (proved for 2 tokens"
                " in 2 dimensions), more up to O(1/d) but for token 0", expected=PROVED,
        note="sinks.md R11: 7.00, 5.29, 3.48, 2.50 at tokens 0, 1, 7, 31 after 6 layers: tested",
        prove=_prove_gram,
        holds=Identity({"seed": seeds, "length": st.integers(2, 8), "gain": st.floats(0.1, 3.0)}, _gram),
        simulate=Simulation(TOKENS, "token", "squared norm after 6 layers", _predicted_norms, _norms),
        control=Control("layers without their norm", Identity(
            {"seed": seeds, "length": st.integers(2, 8), "gain": st.floats(0.1, 3.0)},
            lambda **draw: _gram(**draw, normed=False))),
    ),
    Claim(
        id="mixing-exchangeable", source=NOTE.format("R12"), label="C-mixing-exchangeable",
        title="Tokens draw together layer by layer unless the sink's value is small",
        statement=r"1-\rho' = \frac{1-\rho}{1+g^2[(1-\alpha)^2 q + \alpha^2 c^2]}, \quad q = \rho + \frac{1-\rho}{N}",
        assumes="uniform mixing without a causal mask, random orthogonal value maps, sink value at right angles, tokens"
                " of norm 1 before the layer; proved for 3 tokens; repeated only with tokens rescaled to norm 1",
        expected=PROVED, note="sinks.md R12, which iterates it so: 1.000, .961, .225, .100 with N = 256; tokens that"
                              " keep their norms (pre-norm) end at .953, .761, .216, .100",
        prove=_prove_exchangeable, holds=Identity(EXCHANGEABLE, _exchangeable),
        simulate=Simulation(SINKS, "score on the sink", "cosine after 6 layers", _predicted_cosines, _cosines),
        tie=_tie_exchangeable,
        control=Control("the cosine itself for q, as with infinitely many tokens", Identity(
            EXCHANGEABLE, lambda **draw: _exchangeable(**draw, finite=0.0))),
    ),
    Claim(
        id="mixing-best-sink", source=NOTE.format("R12"), label="C-mixing-best-sink",
        title="The sink that mixes least: all of it for a zero value, half for one as large as the tokens",
        statement=r"\mathrm{argmin}_\alpha\, [(1-\alpha)^2 q + \alpha^2 c^2] = \frac{q}{q+c^2}",
        assumes="the layers of mixing-exchangeable, one of them", expected=PROVED, note="sinks.md R12",
        prove=_prove_best,
        holds=Inequality(BEST, _best, tight={"rho": 0.5, "length": 8, "value": 0.75, "sink": 0.5}),
        simulate=Simulation(VALUES, "norm of the sink's value", "score of least mixing", lambda: (
            [depth.best_sink(0.3, length=8, value=value) for value in VALUES], 0.0), _least_mixed),
        tie=_tie_best,
        control=Control("c^2 / (q + c^2)", Inequality(BEST, lambda **draw: _best(**draw, wrong=True))),
    ),
)
