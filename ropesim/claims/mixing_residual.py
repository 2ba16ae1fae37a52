"""Claims about layers with a residual and a sink of zero value: how much mixing is left."""

import math
from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import depth
from .claim import PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero

NOTE = "derived in sinks.md {} for Barbero et al. 2025 (2504.02732)"
seeds, shares = st.integers(0, 2 ** 32 - 1), st.floats(0.0, 1.0)


def _causal(length: int) -> np.ndarray:
    return np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]


def _columns(found: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of each column."""
    values = np.array(found)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(len(values))


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
)
