"""Claims of the slash paper about tokens and training: rank one from a cone, in-context regression and its losses."""

import itertools
import math
from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..gaussians import Cone
from ..predict import training
from ..similarity import rank_shares
from .claim import AGREES, PROVED, Claim, Control, Inequality, Simulation
from .proofs import every, zero

PAPER = "Cheng et al. 2026 (2601.08297)"
seeds = st.integers(0, 2 ** 32 - 1)


def _share(x: np.ndarray) -> float:
    """Largest share of the energy of the rows in one direction, r_1."""
    energy = np.linalg.svd(x, compute_uv=False) ** 2
    return float(energy[0] / energy.sum())


def _mean(values: Any) -> tuple[Any, Any]:
    """Means over the first axis and their standard errors."""
    values = np.asarray(values)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _unit(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    u = rng.normal(size=(rows, columns))
    return u / np.linalg.norm(u, axis=1, keepdims=True)


# queries of tokens in a cone

def _prove_cone() -> str:
    """Of x = A + y, z with y^2 + z^2 <= r^2 <= A^2, z^2 / (x^2 + z^2) <= r^2 / A^2: what is left is a square."""
    A, y, r = sympy.symbols("A y r", real=True)
    return zero(sympy.expand(r ** 2 * (A + y) ** 2 - (A ** 2 - r ** 2) * (r ** 2 - y ** 2) - (A * y + r ** 2) ** 2))


def _cone(seed: int, cosine: float, gain: float, worst: bool, power: float = 1.0) -> tuple[float, float]:
    """The bound and r_1(Q) of tokens [c, s u]; worst: a pair of tokens whose queries are tangents of a circle."""
    rng = np.random.default_rng(seed)
    rest = np.eye(2) if worst else rng.normal(size=(7, 4))
    axis = gain * _unit(1, rest.shape[1], rng)[0]
    sine = np.sqrt(1 - cosine ** 2)
    slope = sine / cosine ** power * np.linalg.norm(rest, 2) / gain
    if worst:
        axis, true = np.array([gain, 0.0]), min(sine / cosine / gain, 1.0)
        u = np.array([[-true, np.sqrt(1 - true ** 2)], [-true, -np.sqrt(1 - true ** 2)]])
    else:
        u = _unit(12, 7, rng)
    return 1 - slope ** 2, _share(cosine * axis + sine * u @ rest)


CONE = {"seed": seeds, "cosine": st.floats(0.05, 1.0), "gain": st.floats(0.5, 50.0), "worst": st.booleans()}
TANGENT = {"seed": 0, "cosine": 0.6, "gain": 2.0, "worst": True}
COSINES, WIDTH, PAIRS, TOKENS = (0.15, 0.3, 0.6), 256, 16, 128


def _rank_one(cosine: float, width: int, columns: int, tokens: int, gain: float = 1.0) -> tuple[float, float]:
    """r_1(Q) of (E-cone) at g^2 = gain * columns / 2 and sigma = 1, and what fluctuations of second order add to it."""
    square, noise = gain * columns / 2, (1 - cosine ** 2) / width
    axis = cosine ** 2 * (square + columns / width)
    whole = axis + columns * noise
    tilt = columns * noise / tokens + noise ** 2 * columns * (1 / width + 1 / tokens) / axis
    jensen = columns * noise / whole ** 3 * 4 * square * cosine ** 4 / width
    return (axis + noise) / whole, (2 * tilt + jensen) / whole if cosine < 1 else 0.0


def _queries_predicted() -> tuple[Any, Any]:
    found = [_rank_one(cosine, WIDTH, 2 * PAIRS, TOKENS) for cosine in COSINES]
    return [value for value, _ in found], [error for _, error in found]


def _queries_drawn(rng: np.random.Generator) -> tuple[Any, Any]:
    theta = 1e4 ** (-np.arange(PAIRS) / PAIRS)

    def share(cosine: float) -> float:
        head = Cone(cosine=cosine, width=WIDTH, weights_seed=int(rng.integers(1 << 32)), lag=1)
        return float(rank_shares(head.sample(TOKENS, rng, theta)[0])[0])
    return _mean([[share(cosine) for cosine in COSINES] for _ in range(30)])


# where the rank comes from

def _tokens(seed: int, tokens: int, cosine: float, same: bool, power: int = 2) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    u = np.tile(_unit(1, 8, rng), (tokens, 1)) if same else _unit(tokens, 8, rng)
    sine = np.sqrt(1 - cosine ** 2)
    return _share(np.hstack([np.full((tokens, 1), cosine), sine * u])), cosine ** power + sine ** power * _share(u) ** (
        power / 2)


TOKEN = {"seed": seeds, "tokens": st.integers(1, 30), "cosine": st.floats(0.0, 1.0), "same": st.booleans()}
AXIS, WIDE, DEEP, DRAWN = 0.3, 256, 32, 96        # cosine, width of tokens and of queries, number of tokens


def _sources_predicted(orthogonal: bool = True) -> tuple[Any, Any]:
    """r_1 of H, W and Q, and the next order of each."""
    c2, s2, square = AXIS ** 2, 1 - AXIS ** 2, DEEP / 2
    tilt = s2 / DRAWN * c2 / (c2 - s2 / (WIDE - 1))
    weights = (square + 1) * (square + DEEP / WIDE) / (square * (square + DEEP))
    queries, error = _rank_one(AXIS, WIDE, DEEP, DRAWN)
    return ([c2 + (tilt if orthogonal else s2 / (WIDE - 1)), weights, queries],
            [tilt * s2 / (WIDE - 1) / c2, 1 / (WIDE * square), error])


def _sources_drawn(rng: np.random.Generator) -> tuple[Any, Any]:
    def shares() -> list[float]:
        tokens = np.hstack([np.full((DRAWN, 1), AXIS), np.sqrt(1 - AXIS ** 2) * _unit(DRAWN, WIDE - 1, rng)])
        weights = rng.normal(size=(WIDE, DEEP)) / np.sqrt(WIDE)
        weights[0, 0] += np.sqrt(DEEP / 2)
        return [_share(tokens), _share(weights), _share(tokens @ weights)]
    return _mean([shares() for _ in range(40)])


# in-context regression

def _prove_ood() -> str:
    """The error is <w, u - v_k>, and |w|^2 |r|^2 - <w, r>^2 is Lagrange's sum of squares."""
    def lagrange(n: int) -> Any:
        w, r = sympy.symbols(f"w:{n}", real=True), sympy.symbols(f"r:{n}", real=True)
        squares = sum((w[i] * r[j] - w[j] * r[i]) ** 2 for i in range(n) for j in range(i))
        inner = sum(x * y for x, y in zip(w, r))
        return sympy.expand(sum(x ** 2 for x in w) * sum(y ** 2 for y in r) - inner ** 2 - squares)
    return every(zero(lagrange(n)) for n in range(2, 6))


def _ood(seed: int, classes: int, tokens: int, spread: float, worst: bool, factor: float = 2.0) -> tuple[float, float]:
    """|y - <w, v_0>| of one prompt and task by sums over label tokens, and |w| sqrt(factor L)."""
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=tokens)
    scores = np.exp(spread * rng.normal(size=2 * tokens + 1))
    scores /= scores.sum()
    mixed = np.bincount(label, weights=scores[1::2], minlength=classes)
    missing = mixed - np.eye(classes)[0]
    w = missing if worst else rng.standard_cauchy(classes)
    loss = ((1 - mixed[0]) ** 2 + (mixed[1:] ** 2).sum()) / 2
    return abs(scores[1::2] @ w[label] - w[0]), float(np.linalg.norm(w) * np.sqrt(factor * loss))


OOD = {"seed": seeds, "classes": st.integers(2, 10), "tokens": st.integers(1, 40), "spread": st.floats(0.0, 4.0),
       "worst": st.booleans()}
ALONG = {"seed": 0, "classes": 4, "tokens": 9, "spread": 1.0, "worst": True}
CLASSES = (2, 4, 8)


def _task_loss() -> tuple[Any, float]:
    """Of aggregated scores 0.4 on the question's class and 0.3 shared by the others."""
    return np.array([(0.6 ** 2 + 0.3 ** 2 / (K - 1)) / 2 for K in CLASSES]), 0.0


def _task_errors(rng: np.random.Generator) -> tuple[Any, Any]:
    def errors(K: int) -> Any:
        w = rng.choice([-1.0, 1.0], size=(20000, K))
        answer = w @ np.append(0.4, np.full(K - 1, 0.3 / (K - 1)))
        return (answer - w[:, 0]) ** 2 / 2
    found = [_mean(errors(K)) for K in CLASSES]
    return [mean for mean, _ in found], [error for _, error in found]


# losses

K_ = sympy.Symbol("K", positive=True)


def _loss(matched: Any, other: Any) -> Any:
    return ((1 - matched) ** 2 + (K_ - 1) * other ** 2) / 2


START = sympy.Rational(1, 2) - 3 / (8 * K_)
PLATEAU = ((2 * K_ - 1) ** 2 + K_ - 1) / (2 * (2 * K_ - 1 + sympy.E) ** 2)


def _prove_start() -> str:
    return zero(_loss(1 / (2 * K_), 1 / (2 * K_)) - START)


def _prove_plateau() -> str:
    """Of an example's two tokens the label has weight e with probability 1 / K and 1 otherwise, the input 1."""
    total = sympy.E / K_ + (1 - 1 / K_) + 1
    return zero(_loss(sympy.E / K_ / total, 1 / K_ / total) - PLATEAU)


def _tie(formula: Any, function: Any) -> float:
    value = sympy.lambdify(K_, formula)
    return max(abs(function(K) / value(K) - 1) for K in (1, 2, 3, 8, 100))


EXAMPLES, PROMPTS = 300, 24


def _first_layer(slash: bool) -> np.ndarray:
    """Scores of the first layer for prompts x_1 y_1 ... x_q: each token's predecessor, or all tokens so far alike."""
    length = 2 * EXAMPLES + 1
    if not slash:
        return np.tri(length) / np.arange(1, length + 1)[:, None]
    scores = np.eye(length, k=-1)
    scores[0, 0] = 1.0
    return scores


def _trained(slash: bool, classes: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Loss of the two-layer model, token by token, over prompts, questions and tasks."""
    first = _first_layer(slash)

    def prompt() -> float:
        label = rng.integers(classes, size=EXAMPLES)
        w = np.array(list(itertools.product((-1.0, 1.0), repeat=classes))).T      # every task of the hypercube
        losses = []
        for question in range(classes):
            semantic = np.zeros((2 * EXAMPLES + 1, classes))          # of the x tokens; labels have none
            semantic[:-1:2] = np.eye(classes)[label]
            semantic[-1, question] = 1.0
            logits = first @ semantic[:, question]                    # keys of layer 2 are outputs of layer 1
            scores = np.exp(logits) / np.exp(logits).sum()
            losses.append(((scores[1::2] @ w[label] - w[question]) ** 2).mean() / 2)
        return float(np.mean(losses))
    return _mean([prompt() for _ in range(PROMPTS)])


def _trained_all(slash: bool) -> Any:
    def simulate(rng: np.random.Generator) -> tuple[Any, Any]:
        found = [_trained(slash, K, rng) for K in CLASSES]
        return [mean for mean, _ in found], [error for _, error in found]
    return simulate


# tokens that see themselves move L by log N / (2 K N), the counts of classes by 1 / (4 N), see (C-slash-loss-start)
FINITE = np.array([(1 + np.log(2 * EXAMPLES + 1) / K) / (2 * EXAMPLES + 1) for K in CLASSES])


def _loss_simulation(slash: bool, function: Any) -> Simulation:
    return Simulation(CLASSES, "classes", "loss", lambda: ([function(K) for K in CLASSES], FINITE), _trained_all(slash))


CLAIMS = (
    Claim(
        id="slash-cone", source=f"{PAPER}, takeaway 3 (section not recorded); the bound and the share are ours",
        label="C-slash-cone", title="Tokens in a cone give queries of rank nearly one",
        statement=r"r_1(Q) \geq 1 - \frac{1-c^2}{c^2} \frac{\|P W\|_2^2}{|W^\top v|^2}, \quad P = I - v v^\top",
        assumes="unit tokens at cosine c > 0 to v; the simulation: isotropic around v, W_0 + v w, g^2 = d_1 / 2",
        expected=PROVED, note="slash.md 4.7; tight for two tokens at the tangents of the circle of queries",
        prove=_prove_cone, holds=Inequality(CONE, _cone, tight=TANGENT),
        simulate=Simulation(COSINES, "cosine", "r_1 of the queries", _queries_predicted, _queries_drawn),
        control=Control("without the cosine: s in place of s / c", Inequality(CONE, lambda **draw: _cone(
            **draw, power=0.0), tight=TANGENT))),
    Claim(
        id="slash-cone-sources", source=f"{PAPER}, Fig. 10 (section not recorded); the shares are ours",
        label="C-slash-cone-sources",
        title="Neither the tokens of a cone nor the weights are of rank one, though the queries are",
        statement=r"r_1(H) \leq c^2 + (1-c^2)\, r_1(U), \quad r_1(W) \approx \frac{(g^2+\sigma^2)(g^2+\sigma^2 d_1/d)}"
                  r"{g^2(g^2+d_1\sigma^2)}", expected=AGREES,
        assumes="tokens c v + s u with unit u orthogonal to v; W with entries of variance sigma^2 / d and a planted g",
        note="slash.md 4.7; there r_1(H) = c^2 + s^2/(d-1), which noise orthogonal to v does not give: the control",
        holds=Inequality(TOKEN, _tokens, tight={"seed": 0, "tokens": 5, "cosine": 0.3, "same": True}),
        simulate=Simulation((0, 1, 2), "tokens, weights, queries", "r_1", _sources_predicted, _sources_drawn),
        control=Control("noise of the tokens along the axis: r_1(H) = c^2 + s^2 / (d - 1)", Simulation(
            (0, 1, 2), "tokens, weights, queries", "r_1", lambda: _sources_predicted(False), _sources_drawn))),
    Claim(
        id="slash-ood-bound", source=f"{PAPER}, Theorem 5.3 and its remark on tasks; the bound is ours",
        label="C-slash-ood-bound", title="A small loss bounds the error on every task, in distribution or not",
        statement=r"|\hat y - \langle w, v_k\rangle| \leq |w| \sqrt{2 L_k}, \quad"
                  r" L_k = \frac{1}{2}[(1-s_k)^2 + \sum_{m \neq k} s_m^2]",
        assumes="orthonormal inputs, labels without noise, scores that ignore the task; proved for 2 to 5 classes",
        expected=PROVED, note="slash.md 4.3",
        prove=_prove_ood, holds=Inequality(OOD, _ood, tight=ALONG),
        simulate=Simulation(CLASSES, "classes", "loss L_k, mean over tasks", _task_loss, _task_errors),
        control=Control("sqrt(L) in place of sqrt(2 L)", Inequality(OOD, lambda **draw: _ood(**draw, factor=1.0),
                                                                    tight=ALONG))),
    Claim(
        id="slash-loss-start", source=f"{PAPER}, section 5, eq. 17, at Algorithm 1's start; the value is ours",
        label="C-slash-loss-start", title="The loss before training",
        statement=r"L = \frac{1}{2} - \frac{3}{8K}", expected=PROVED,
        assumes="K equally likely inputs, prompts of N tokens, N to infinity; at N = 601 within (1 + log(N) / K) / N",
        note="slash.md 4.3", prove=_prove_start, tie=lambda: _tie(START, training.start_loss),
        simulate=_loss_simulation(False, training.start_loss),
        control=Control("all attention on labels: 1/2 - 1/(2K)",
                        _loss_simulation(False, lambda K: 0.5 - 1 / (2 * K)))),
    Claim(
        id="slash-loss-plateau", source=f"{PAPER}, section 5, eq. 17, between Theorem 5.3's stages; the value is ours",
        label="C-slash-loss-plateau", title="The loss between the stages, after a perfect slash head",
        statement=r"L_I = \frac{(2K-1)^2 + K - 1}{2 (2K-1+e)^2}", expected=PROVED,
        assumes="K equally likely inputs, identity in layer 2, N to infinity; at N = 601 within (1 + log(N) / K) / N",
        note="slash.md 4.3, P5", prove=_prove_plateau, tie=lambda: _tie(PLATEAU, training.plateau_loss),
        simulate=_loss_simulation(True, training.plateau_loss),
        control=Control("no attention on the inputs", _loss_simulation(True, lambda K: (
            (K - 1) ** 2 + K - 1) / (2 * (K - 1 + math.e) ** 2)))),
)
