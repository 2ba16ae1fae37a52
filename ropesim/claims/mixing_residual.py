"""Claims about layers with a residual and a sink: how much mixing is left, and the random orthogonal recursions."""

import math
from typing import Any

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


# Residual and a sink of zero value

def _prove_residual() -> str:
    g, c, lost = sympy.symbols("g c a", positive=True)        # c stands for any matrix: both sides are affine in it
    a = 1 / (1 + lost)                                        # from 0 to 1
    mixing = g * (1 - a) / (1 + g * (1 - a))
    same = 1 + g * (1 - a) * c - (1 + g * (1 - a)) * (1 - mixing + mixing * c)
    slope = sympy.factor(sympy.diff(mixing, lost))            # a falls as `lost` grows
    return every([zero(same), true([slope > 0])])


def _residual(length: int, layers: int, gain: float, sink: float, late: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    content = gain * (1 - sink)
    left = np.linalg.matrix_power(np.eye(length) + content * _causal(length), layers)
    mixing = content / (1 + late * content)
    convex = np.linalg.matrix_power((1 - mixing) * np.eye(length) + mixing * _causal(length), layers)
    return left, (1 + content) ** layers * convex


RESIDUAL = {"length": st.integers(2, 16), "layers": st.integers(1, 12), "gain": st.floats(0.05, 4.0),
            "sink": st.floats(0.0, 0.95)}
SINKS = (0.0, 0.5, 0.8, 0.95)


def _self_weights(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for sink in SINKS:
        values = rng.normal(size=(4000, 64))
        x = values.copy()
        for _ in range(12):
            x += (1 - sink) * np.cumsum(x, axis=1) / np.arange(1, 65)     # the sink adds its score times a zero value
        found.append(x[:, 63] * values[:, 63] / (2 - sink) ** 12)
    return _columns(list(np.array(found).T))


def _predicted_self_weights() -> tuple[list[float], float]:
    left = [depth.effective_mixing(1.0, sink=sink) for sink in SINKS]
    return [(1 - mixing + mixing / 64) ** 12 for mixing in left], 0.0


def _tie_residual() -> float:
    g, a = sympy.symbols("g a")
    formula = sympy.lambdify((g, a), g * (1 - a) / (1 + g * (1 - a)))
    return max(abs(formula(*at) / depth.effective_mixing(at[0], sink=at[1]) - 1) for at in ((0.5, 0.1), (3.0, 0.9)))


# Contraction and the least sink, without a causal mask

def _prove_contraction() -> str:
    mixing, sink = sympy.symbols("l a", positive=True)
    x = sympy.Matrix(sympy.symbols("x:3", real=True))
    mean = sum(x) / 3
    after = (1 - mixing) * x + mixing * (1 - sink) * mean * sympy.ones(3, 1)
    center = sum(after) / 3
    apart = after - center * sympy.ones(3, 1) - (1 - mixing) * (x - mean * sympy.ones(3, 1))
    return every([zero(center - (1 - mixing * sink) * mean), zero(apart)])


def _disagreement(scores: np.ndarray, seed: int, layers: int, mixing: float, sink: float) -> tuple[float, float]:
    """Disagreement relative to the mean token after the layers, over that before, against (C-mixing-contraction)."""
    x = np.random.default_rng(seed).normal(size=(len(scores), 3)) + 1.0
    relative = []
    for _ in range(2):
        center = x.mean(axis=0)
        relative.append(np.linalg.norm(x - center) / np.linalg.norm(center))
        for _ in range(layers):
            x = (1 - mixing) * x + mixing * (1 - sink) * (scores @ x)
    return float(relative[1] / relative[0]), ((1 - mixing) / (1 - mixing * sink)) ** layers


def _uniform(length: int, **draw: Any) -> tuple[float, float]:
    return _disagreement(np.full((length, length), 1 / length), **draw)


def _causal_too(length: int, **draw: Any) -> tuple[float, float]:
    return _disagreement(_causal(length), **draw)


CONTRACTION = {"length": st.integers(2, 16), "seed": seeds, "layers": st.integers(1, 12),
               "mixing": st.floats(0.05, 0.6), "sink": shares}


def _tie_contraction() -> float:
    mixing, sink = sympy.symbols("l a")
    formula = sympy.lambdify((mixing, sink), (1 - mixing) / (1 - mixing * sink))
    return max(abs(formula(*at) / depth.contraction(at[0], sink=at[1]) - 1) for at in ((0.3, 0.2), (0.8, 0.95)))


def _prove_least() -> str:
    drop, rise, spare, sink = sympy.symbols("d k m a", positive=True)
    mixing, kept = 1 / (1 + drop), 1 / (1 + rise)              # both from 0 to 1; kept stands for kept^(1/L)
    least = (1 - (1 - mixing) / kept) / mixing
    factor = (1 - mixing) / (1 - mixing * sink)
    slope = sympy.factor(sympy.diff(factor, sink).subs(sink, 1 / (1 + spare)))
    return every([zero(factor.subs(sink, least) - kept), true([slope > 0])])


def _kept(mixing: float, sink: float, layers: int) -> float:
    x = np.array([2.0, 0.0])
    for _ in range(layers):
        x = (1 - mixing) * x + mixing * (1 - sink) * x.mean()
    return float((x[0] - x[1]) / (x[0] + x[1]))


def _least(mixing: float, layers: int, kept: float) -> float:
    return (1 - (1 - mixing) * kept ** (-1 / layers)) / mixing


def _enough(mixing: float, layers: int, kept: float, more: float) -> tuple[float, float]:
    least = max(0.0, _least(mixing, layers, kept))
    return kept, _kept(mixing, least + more * (1 - least), layers)


def _bisected(rng: np.random.Generator) -> tuple[list[float], float]:
    found = []
    for layers in LAYERS:
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if _kept(0.3, middle, layers) >= 0.1 else (middle, high)
        found.append(high)
    return found, 0.0


LAYERS = (4, 8, 16, 32, 64, 126)
LEAST = {"mixing": st.floats(0.05, 0.9), "layers": st.integers(1, 24), "kept": st.floats(0.01, 0.99)}


def _tie_least() -> float:
    mixing, kept, layers = sympy.symbols("l k L")
    formula = sympy.lambdify((mixing, kept, layers), (1 - (1 - mixing) * kept ** (-1 / layers)) / mixing)
    return max(abs(formula(*at) / depth.least_sink(at[0], at[2], kept=at[1]) - 1)
               for at in ((0.3, 0.1, 16), (0.7, 0.4, 8)))


# Random orthogonal value maps

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
        id="mixing-residual", source=NOTE.format("R8"), label="C-mixing-residual",
        title="With a residual, a sink of zero value slows mixing: it lowers the effective mixing of each layer",
        statement=r"I + g(1-\alpha)C = (1+g(1-\alpha))\,[(1-\lambda_e)I + \lambda_e C], \quad"
                  r" \lambda_e = \frac{g(1-\alpha)}{1+g(1-\alpha)}",
        assumes="the sink's value is zero; for any mixing matrix; the effective mixing falls strictly with the sink",
        expected=PROVED, note="sinks.md R8: self weights .0003, .0085, .1164, .5621 of token 63 after 12 layers",
        prove=_prove_residual, holds=Identity(RESIDUAL, _residual),
        simulate=Simulation(SINKS, "score on the sink", "own share of token 63 after 12 layers",
                            _predicted_self_weights, _self_weights), tie=_tie_residual,
        control=Control("the effective mixing not renormalised", Identity(RESIDUAL, lambda **draw: _residual(
            **draw, late=0.0))),
    ),
    Claim(
        id="mixing-contraction", source=NOTE.format("R8"), label="C-mixing-contraction",
        title="Disagreement relative to the mean token shrinks by (1-l)/(1-l a) a layer",
        statement=r"\frac{|x'-\bar x'|}{|\bar x'|} = \frac{1-\lambda}{1-\lambda\alpha}\,\frac{|x-\bar x|}{|\bar x|}",
        assumes="uniform mixing without a causal mask, a sink of zero value, mixing below 1; proved for 3 tokens",
        expected=PROVED, note="sinks.md R8",
        prove=_prove_contraction, holds=Identity(CONTRACTION, _uniform), tie=_tie_contraction,
        control=Control("causal uniform mixing", Identity(CONTRACTION, _causal_too)),
    ),
    Claim(
        id="mixing-least-sink", source=NOTE.format("R8"), label="C-mixing-least-sink",
        title="Deeper stacks need stronger sinks: the least sink that keeps a share of the disagreement",
        statement=r"\alpha_{\min} = \max(0, \frac{1-(1-\lambda)\Delta^{-1/L}}{\lambda})",
        assumes="as mixing-contraction; clipped at 0, where no sink is needed", expected=PROVED,
        note="sinks.md R8 prints it without the clip: -0.09 at mixing 0.3, kept 0.1, 6 layers",
        prove=_prove_least,
        holds=Inequality(LEAST | {"more": shares}, _enough,
                         tight={"mixing": 0.3, "layers": 16, "kept": 0.1, "more": 0.0}),
        simulate=Simulation(LAYERS, "layers L", "least score on the sink", lambda: (
            [depth.least_sink(0.3, layers, kept=0.1) for layers in LAYERS], 0.0), _bisected),
        tie=_tie_least,
        control=Control("the formula without the clip as a score from 0 on", Inequality(
            LEAST, lambda **draw: (0.0, _least(**draw)), tight={"mixing": 0.3, "layers": 6, "kept": 0.1})),
    ),
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
