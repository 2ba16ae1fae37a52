"""Claims about what passes between tokens: path sums, the softmax Jacobian, contraction, the two kinds of collapse."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import depth
from .claim import PROVED, Claim, Control, Identity, Inequality
from .proofs import every, true, zero

LENS = "Barbero et al. 2025 (2504.02732)"
TINY = 1e-20      # complex step: its square is below rounding
seeds, shares = st.integers(0, 2 ** 32 - 1), st.floats(0.0, 1.0)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Causal softmax over the last axis; the largest real part is taken off, so that complex steps pass."""
    length = logits.shape[-1]
    weights = np.where(np.tril(np.ones((length, length), dtype=bool)), np.exp(logits - logits.real.max()), 0.0)
    return weights / weights.sum(axis=-1, keepdims=True)


def _jacobian(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """d f(x)_{jc} / d x_{ia} of a map of tokens, [j, c, i, a], by complex steps."""
    steps = np.eye(x.size).reshape(x.size, *x.shape) * TINY * 1j
    return np.moveaxis(np.array([function(x + step).imag / TINY for step in steps]), 0, -1).reshape(*x.shape, *x.shape)


# Path sums

class _Stack:
    """A random network: heads with frozen scores, a residual, and x + feedforward * U tanh(x)."""

    def __init__(self, seed: int, layers: int, heads: int, spread: float, feedforward: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.feedforward, self.length, self.width = feedforward, 4, 2
        self.scores = _softmax(self.rng.normal(size=(layers, heads, self.length, self.length)))
        self.values = np.eye(self.width) + spread * self.rng.normal(size=(layers, heads, self.width, self.width))
        turns = self.rng.normal(size=(layers, self.width, self.width))
        self.turns = turns / np.linalg.norm(turns, ord=2, axis=(1, 2))[:, None, None]
        self.x = self.rng.normal(size=(self.length, self.width))

    def forward(self, x: np.ndarray, heat: float = 0.0) -> np.ndarray:
        """heat > 0 makes the scores those of the tokens themselves."""
        for scores, values, turn in zip(self.scores, self.values, self.turns):
            live = _softmax(heat * x @ x.T) if heat > 0 else None
            z = x + sum((s if live is None else live) @ x @ w.T for s, w in zip(scores, values))
            x = z + self.feedforward * np.tanh(z) @ turn.T
        return x

    def sums(self, heat: float = 0.0) -> np.ndarray:
        """The bound (C-mixing-path-sum), [j, i]."""
        heads, x, out = self.scores.shape[1], self.x, np.eye(self.length)
        norm = np.linalg.norm(self.values, ord=2, axis=(2, 3)).max()
        for n in range(len(self.scores)):
            scores = heads * _softmax(heat * x @ x.T) if heat > 0 else self.scores[n].sum(axis=0)
            z = x + sum(scores / heads @ x @ w.T for w in self.values[n]) if heat > 0 else x
            x = z + self.feedforward * np.tanh(z) @ self.turns[n].T if heat > 0 else x
            out = (scores + np.eye(self.length) / heads) @ out
        return ((1 + self.feedforward) * max(float(norm), heads)) ** len(self.scores) * out


def _paths(seed: int, layers: int, heads: int, spread: float, feedforward: float,
           heat: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    stack = _Stack(seed, layers, heads, spread, feedforward)
    blocks = _jacobian(lambda x: stack.forward(x, heat), stack.x)
    return np.linalg.norm(blocks, ord=2, axis=(1, 3)), stack.sums(heat)


PATHS = {"seed": seeds, "layers": st.integers(1, 3), "heads": st.integers(1, 3), "spread": shares,
         "feedforward": shares}
ONE_HEAD = {"seed": 0, "layers": 2, "heads": 1, "spread": 0.0, "feedforward": 0.0}


def _prove_paths() -> str:
    a, same, s, t = sympy.symbols("a delta s t", nonnegative=True)              # either is the larger, by t
    v, h = sympy.symbols("v h", positive=True)
    large_norm = (1 + s) * ((h + t) * (a + same / h) - ((h + t) * a + same))
    many_heads = (1 + s) * ((v + t) * (a + same / (v + t)) - (v * a + same))
    return true([sympy.simplify(large_norm) >= 0, sympy.simplify(many_heads) >= 0])


def _tie_paths() -> float:
    """The sum over paths one by one, as printed, against the matrix product."""
    scores = _softmax(np.random.default_rng(5).normal(size=(3, 2, 4, 4)))
    bars = scores.sum(axis=1) + np.eye(4) / 2
    printed = np.array([[sum(bars[2][j, k2] * bars[1][k2, k1] * bars[0][k1, i]
                             for k1, k2 in itertools.product(range(4), repeat=2)) for i in range(4)] for j in range(4)])
    return float(np.abs(depth.path_sum(scores) - printed).max() / printed.max())


# True softmax

def _attended(x: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and outputs of one head on tokens x: float64[T, d], with maps W_Q, W_K, W_V that act on columns."""
    query, key, value = (x @ w.T for w in maps)
    scores = _softmax(query @ key.T / math.sqrt(x.shape[1]))
    return scores, scores @ value


def _softmax_jacobian(seed: int, heat: float, live: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Blocks below the diagonal by complex steps, against (C-mixing-softmax-jacobian)."""
    rng = np.random.default_rng(seed)
    x, maps = rng.normal(size=(4, 3)), heat * rng.normal(size=(3, 3, 3))
    blocks = _jacobian(lambda y: _attended(y, maps)[1], x)
    scores, outputs = _attended(x, maps)
    pull = x @ maps[0].T @ maps[1] / math.sqrt(3)                            # row i: W_K^T q_i / sqrt(d)
    pairs = [(i, j) for i in range(4) for j in range(i)]
    closed = [scores[i, j] * (maps[2] + live * np.outer(maps[2] @ x[j] - outputs[i], pull[i])) for i, j in pairs]
    return np.array([blocks[i, :, j, :] for i, j in pairs]), np.array(closed)


def _prove_softmax() -> str:
    x = sympy.symbols("x:3", real=True)
    query, key, value = sympy.symbols("w_q w_k w_v", real=True)
    terms = [sympy.exp(query * x[2] * key * y) for y in x]
    scores = [term / sum(terms) for term in terms]
    output = sum(s * value * y for s, y in zip(scores, x))
    return every(zero(sympy.simplify(sympy.diff(output, x[j]) - scores[j] * (
        value + (value * x[j] - output) * key * query * x[2]))) for j in range(2))


# Sensitivity of uniform heads

def _sensitivity(length: int, layers: int, heads: int, sink: float, own: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    a, b = heads * (1 - sink), 1 / heads
    seen = np.arange(1.0, length + 1)
    power = np.linalg.matrix_power(a * np.tril(np.ones((length, length))) / seen[:, None] + b * np.eye(length), layers)
    return np.tril(power, -1).sum(axis=1), (a + b) ** layers - (b + own * a / seen) ** layers


SENSITIVITY = {"length": st.integers(2, 24), "layers": st.integers(1, 12), "heads": st.integers(1, 8),
               "sink": st.floats(0.0, 0.99)}


def _prove_sensitivity() -> str:
    n = 4
    a, b = sympy.symbols("a b", positive=True)
    matrix = sympy.Matrix(n, n, lambda i, j: (a / (i + 1) if j <= i else 0) + b * int(i == j))
    found = []
    for layers in (1, 2, 3):
        power = (matrix ** layers).applyfunc(sympy.expand)
        found += [zero(sum(power[i, :i]) - (a + b) ** layers + (b + a / (i + 1)) ** layers) for i in range(1, n)]
    return every(found)


def _tie_sensitivity() -> float:
    i, layers, heads, sink = sympy.symbols("i L H s")
    a, b = heads * (1 - sink), 1 / heads
    formula = sympy.lambdify((i, layers, heads, sink), (a + b) ** layers - (b + a / (i + 1)) ** layers)
    return max(abs(formula(*at) / depth.sensitivity(64, at[1], heads=at[2], sink=at[3])[at[0]] - 1)
               for at in ((63, 6, 4, 0.8), (5, 3, 2, 0.1)))


# Dobrushin

def _diameter(x: np.ndarray) -> float:
    return float(np.linalg.norm(x[:, None] - x[None], axis=2).max())


def _dobrushin(seed: int, length: int, sink: float, heat: float, spread: float,
               power: float = 1.0) -> tuple[float, float]:
    """Diameters after and before (C-mixing-dobrushin); spread = 0 is one token apart from all others."""
    rng = np.random.default_rng(seed)
    scores = (1 - sink) * _softmax(heat * rng.normal(size=(length, length)))
    scores[:, 0] += sink
    x = spread * rng.normal(size=(length, 2))
    x[0] += 1.0
    return _diameter(scores @ x), (1 - sink) ** power * _diameter(x)


def _prove_dobrushin() -> str:
    n = 4
    sink = sympy.Symbol("s", real=True)
    b = [sympy.Matrix(1, n, sympy.symbols(f"b{m}_:{n}", real=True)) for m in range(2)]
    rows = [row.subs(row[n - 1], 1 - sum(row[:n - 1])) for row in b]                      # rows that sum to 1
    x = sympy.Matrix(sympy.symbols(f"x:{n}", real=True))
    first = sympy.Matrix(1, n, [1] + [0] * (n - 1))
    mixed = [(sink * first + (1 - sink) * row) * x for row in rows]
    pairs = sum(rows[0][j] * rows[1][k] * (x[j] - x[k]) for j in range(n) for k in range(n))
    return zero(sympy.expand((mixed[0] - mixed[1])[0] - (1 - sink) * pairs))


DOBRUSHIN = {"seed": seeds, "length": st.integers(2, 24), "sink": st.floats(0.0, 0.99), "heat": st.floats(0.0, 4.0),
             "spread": shares}


# Rank collapse and representational collapse

def _collapse(seed: int, length: int, width: int, opposed: float, factor: float = math.sqrt(2)) -> tuple[float, float]:
    """The last two tokens, opposed = 0: exactly opposite among zeros, against (C-mixing-rank-collapse)."""
    rng = np.random.default_rng(seed)
    x = opposed * rng.normal(size=(length, width))
    x[-1, 0] += 1.0
    x[-2, 0] -= 1.0
    return float(np.linalg.norm(x[-1] - x[-2])), factor * float(np.linalg.norm(x - x.mean(axis=0)))


def _prove_collapse() -> str:
    a, b = (sympy.Matrix(sympy.symbols(f"{name}:3", real=True)) for name in "ab")       # offsets from the mean token
    return zero(sympy.expand(2 * (a.dot(a) + b.dot(b)) - (a - b).dot(a - b) - (a + b).dot(a + b)))


COLLAPSE = {"seed": seeds, "length": st.integers(2, 24), "width": st.integers(1, 4), "opposed": shares}
OPPOSITE = {"seed": 0, "length": 3, "width": 2, "opposed": 0.0}


# Alternating bits

def _alternating(length: int, scale: float) -> tuple[float, float]:
    """L1 distance of the two rows against (C-mixing-alternating)."""
    bits = np.arange(length) % 2
    one, other = (np.exp(scale * x) / np.exp(scale * x).sum() for x in (1.0 - bits, 1.0 * bits))
    return float(np.abs(one - other).sum()), 2 * math.tanh(scale / 2)


def _prove_alternating() -> str:
    n, c = sympy.symbols("n c", positive=True)                           # n/2 entries of each kind
    high, low = sympy.exp(c) / (n / 2 * (sympy.exp(c) + 1)), 1 / (n / 2 * (sympy.exp(c) + 1))
    return every([zero(n * (high - low) - 2 * (sympy.exp(c) - 1) / (sympy.exp(c) + 1)),
                  zero(2 * (sympy.exp(c) - 1) / (sympy.exp(c) + 1) - 2 * sympy.tanh(c / 2))])


CLAIMS = (
    Claim(
        id="mixing-path-sum", source=LENS + ", Theorem 3.2", label="C-mixing-path-sum",
        title="What a token feels of another is at most a constant times the sum over attention paths",
        statement=r"\left\| \frac{\partial x_j^{(L)}}{\partial x_i^{(0)}} \right\| \leq C^L \sum_{\mathrm{paths}}"
                  r" \bar\alpha^{(L)}_{j k_{L-1}} \cdots \bar\alpha^{(1)}_{k_1 i}, \quad \bar\alpha_{ij} = "
                  r"\sum_h \alpha_{ij}^h + \frac{\delta_{ij}}{H}",
        assumes="scores held fixed as the tokens vary; C = (1 + Lipschitz of the feed-forward) max(value norm, H)",
        expected=PROVED, note="sinks.md 2.2: constants rebuilt, not printed in what we have; proved is the step from"
                              " one layer's Jacobian to abar, the rest is multiplication along paths",
        prove=_prove_paths, holds=Inequality(PATHS, _paths, tight=ONE_HEAD), tie=_tie_paths,
        control=Control("scores that follow the tokens: the softmax has a derivative", Inequality(
            PATHS, lambda **draw: _paths(**draw, heat=6.0))),
    ),
    Claim(
        id="mixing-softmax-jacobian", source="derived in sinks.md R10 for " + LENS, label="C-mixing-softmax-jacobian",
        title="With a live softmax too, what passes from token j to i is proportional to the score",
        statement=r"\frac{\partial o_i}{\partial x_j} = S_{ij}\,[W_V + (v_j - o_i)\,(W_K^T q_i)^T/\sqrt{d}\,],"
                  r" \qquad j < i",
        assumes="one head without rotation; proved for 3 tokens in one dimension", expected=PROVED, note="sinks.md R10",
        prove=_prove_softmax,
        holds=Identity({"seed": seeds, "heat": st.floats(0.1, 2.0)}, _softmax_jacobian),
        control=Control("scores held fixed", Identity({"seed": seeds, "heat": st.floats(0.1, 2.0)},
                                                      lambda **draw: _softmax_jacobian(**draw, live=0.0))),
    ),
    Claim(
        id="mixing-sensitivity", source="derived in sinks.md R9 for " + LENS + ", Theorem 3.2",
        label="C-mixing-sensitivity", title="Path sums of uniform heads: they grow with depth, heads and length",
        statement=r"\sum_{j<i} [(aC+bI)^L]_{ij} = (a+b)^L - (b+\frac{a}{i+1})^L, \quad a=H(1-\alpha),\; b=\frac{1}{H}",
        assumes="uniform causal heads, the sink's share lost; proved for 4 tokens and up to 3 layers", expected=PROVED,
        note="sinks.md R9: 5892.96 and 1.340 for 4 heads, 6 layers, 64 tokens: tested. A single pair falls as 1/i",
        prove=_prove_sensitivity, holds=Identity(SENSITIVITY, _sensitivity), tie=_tie_sensitivity,
        control=Control("a token's score of itself taken for another's", Identity(
            SENSITIVITY, lambda **draw: _sensitivity(**draw, own=0.0))),
    ),
    Claim(
        id="mixing-dobrushin", source="derived in sinks.md R7; Dobrushin's coefficient", label="C-mixing-dobrushin",
        title="A key that every row gives the score a draws all outputs together by 1 - a",
        statement=r"\mathrm{diam}(S X) \leq (1-\alpha)\,\mathrm{diam}(X), \qquad S_{i0} \geq \alpha",
        assumes="row-stochastic scores, no residual; proved for 4 tokens (the identity behind it); for uniform rows the"
                " coefficient without a sink is 1 - 1/n, far from the true rate", expected=PROVED, note="sinks.md R7",
        prove=_prove_dobrushin,
        holds=Inequality(DOBRUSHIN, _dobrushin,
                         tight={"seed": 0, "length": 200, "sink": 0.3, "heat": 0.0, "spread": 0.0}),
        control=Control("the square, as if rows and columns both shrank", Inequality(
            DOBRUSHIN, lambda **draw: _dobrushin(**draw, power=2.0))),
    ),
    Claim(
        id="mixing-rank-collapse", source=LENS + ", Proposition 3.1", label="C-mixing-rank-collapse",
        title="Rank collapse at D/sqrt(2) is representational collapse at D",
        statement=r"\|x_n - x_{n-1}\|_2 \leq \sqrt{2}\;\|X - \frac{1}{n} 1 1^T X\|_F",
        assumes="any tokens, n >= 2; the converse is false", expected=PROVED,
        note="sinks.md 2.2: the proposition asks for D/2 as recalled, which holds too and is not the best constant",
        prove=_prove_collapse, holds=Inequality(COLLAPSE, _collapse, tight=OPPOSITE),
        control=Control("the factor 1", Inequality(COLLAPSE, lambda **draw: _collapse(**draw, factor=1.0))),
    ),
    Claim(
        id="mixing-alternating-bits", source="Proposition B.4 of the paper that sinks.md 2.2 calls T",
        label="C-mixing-alternating", title="Softmax rows of alternating bits and of their complement stay apart",
        statement=r"\|\mathrm{softmax}(x) - \mathrm{softmax}(1-x)\|_1 = \frac{2(e-1)}{e+1},"
                  r" \quad x = (1,0,1,0,\ldots)",
        assumes="even length; bits of height c give 2 tanh(c/2)", expected=PROVED, note="sinks.md 2.2: 0.92423",
        prove=_prove_alternating,
        holds=Identity({"length": st.integers(1, 64).map(lambda n: 2 * n), "scale": st.floats(0.1, 8.0)}, _alternating),
        control=Control("odd lengths too", Identity({"length": st.integers(2, 64), "scale": st.floats(0.1, 8.0)},
                                                    _alternating)),
    ),
)
