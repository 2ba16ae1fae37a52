"""Claims of the slash paper about prompts that training never saw: the scores of a trained head, and its answers."""

from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..gaussians import Cone
from ..predict import attention as predicted
from ..predict import moments
from ..schedules import half_dft
from ..simulate import attention as simulated
from ..simulate import disentangled, training
from ..slash_task import Task, layout
from .claim import AGREES, PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import zero

PAPER = "Cheng et al. 2026 (2601.08297)"
seeds = st.integers(0, 2 ** 32 - 1)


def _mean(values: Any) -> tuple[Any, Any]:
    """Means over the first axis and their standard errors."""
    values = np.asarray(values)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


# what layer 1 sees

def _prove_blind() -> str:
    """Of tokens [c, x], with W_Q^T c = q and W_K^T c = (1, 0), the logit is q turned by the lag, whatever x."""
    q1, q2, c1, c2, x, other, i, j, theta = sympy.symbols("q_1 q_2 c_1 c_2 x x' i j theta", real=True)

    def turn(angle: Any) -> Any:
        return sympy.Matrix([[sympy.cos(angle), -sympy.sin(angle)], [sympy.sin(angle), sympy.cos(angle)]])

    def rows(first: Any, second: Any) -> Any:
        return sympy.Matrix([[c1 * first, c1 * second], [c2 * first, c2 * second], [0, 0]]) / (c1 ** 2 + c2 ** 2)
    query, key = sympy.Matrix([[c1, c2, x]]) * rows(q1, q2), sympy.Matrix([[c1, c2, other]]) * rows(1, 0)
    logit = ((turn(i * theta) * query.T).T * turn(j * theta) * key.T)[0]
    return zero(sympy.simplify(logit - q1 * sympy.cos(theta * (i - j)) + q2 * sympy.sin(theta * (i - j))))


def _blind(seed: int, classes: int, lag: int, pairs: int, size: float, sign: int = 1) -> tuple[Any, Any]:
    """First-layer scores of the whole network on a drawn prompt and task, and the softmax of logits by lag."""
    rng = np.random.default_rng(seed)
    task, theta = Task(classes=classes, length=13, lag=lag), rng.uniform(0, np.pi, pairs)
    net = disentangled.network(task, theta)._replace(first=size * rng.normal(size=(2 * pairs, 2 * pairs)))
    tokens = rng.integers(classes, size=layout(task).shown.max() + 1)
    scores = disentangled.answers(net, task, tokens, rng.standard_cauchy(classes))[1]
    q, angles = net.first.sum(axis=0) / np.sqrt(2 * pairs), np.outer(np.arange(13), theta)
    weights = np.exp(np.cos(angles) @ q[::2] - sign * np.sin(angles) @ q[1::2])
    rows = np.tri(13) * weights[np.abs(np.subtract.outer(np.arange(13), np.arange(13)))]
    return scores, rows / rows.sum(axis=1, keepdims=True)


BLIND = {"seed": seeds, "classes": st.integers(2, 5), "lag": st.integers(0, 4), "pairs": st.integers(1, 4),
         "size": st.floats(0.0, 3.0)}


# answers on other tasks

LOSS, KINDS = 0.01, (1, 2, 3)


def _answers(seed: int, classes: int, steps: int, skew: float, each: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Errors of a model trained for so many steps, on other prompts and tasks, and |w| sqrt(2 L) of each prompt."""
    rng = np.random.default_rng(seed)
    run = training.descend(Task(classes=classes, length=21), half_dft(10), eta=2.0 * classes, eta_2=classes / 2,
                           stop=99.0, steps=steps, steps_2=steps, batch=8, seed=seed)
    chances = np.exp(skew * np.arange(classes))
    task = Task(classes=classes, length=21, probabilities=tuple((chances / chances.sum()).tolist()))
    w = rng.standard_cauchy((30, classes))
    error, loss = training.errors(task, run, w, seed)
    return np.abs(error), np.linalg.norm(w, axis=1) * np.sqrt(2 * (loss if each else loss.mean()))


ANSWERS = {"seed": seeds, "classes": st.integers(2, 5), "steps": st.integers(0, 8), "skew": st.floats(-2.0, 2.0)}


def _expected_error() -> tuple[Any, Any]:
    """Twice the loss that ends stage II; a step of 0.05 nats moves a score by e^0.1, and a loss by e^0.2, at most."""
    return np.full(len(KINDS), 2 * LOSS), 2 * LOSS * (1 - np.exp(-0.2))


def _errors(rng: np.random.Generator) -> tuple[Any, Any]:
    """Mean squared errors over E w_k^2: signs, Gaussian tasks, and Gaussian ones a hundred times as large."""
    def once() -> list[float]:
        task, seed = Task(classes=4, length=101), int(rng.integers(1 << 32))
        run = training.descend(task, half_dft(50), eta=80.0, steps=1, stop=99.0, loss=LOSS, steps_2=400, seed=seed)
        normal = rng.normal(size=(2000, 4))
        return [float((training.errors(task, run, w, seed)[0] ** 2).mean() / size)
                for w, size in ((np.sign(normal), 1), (normal, 1), (100 * normal, 1e4))]
    return _mean([once() for _ in range(6)])


# a cone that breaks

COSINES, LENGTH, WIDTH = (0.6, 0.3, 0.15, 0.08, 0.05), 33, 128
STRENGTH = np.log(LENGTH ** 1.5) / (LENGTH / 2)             # of mean logits, whatever the cone


def _head(cosine: float, seed: int) -> Cone:
    return Cone(cosine=cosine, width=WIDTH, lag=1, strength=float(STRENGTH / cosine ** 2), weights_seed=seed)


def _broken() -> tuple[Any, Any]:
    theta = half_dft(LENGTH // 2)
    found = [moments.expected(_head(cosine, 0).parts(LENGTH, theta), theta, LENGTH) for cosine in COSINES]
    return [one.slash[1] for one in found], [one.slash_error[1] for one in found]


def _whole() -> tuple[Any, Any]:
    theta = half_dft(LENGTH // 2)
    logits = predicted.lag_logits(np.full(theta.size, STRENGTH), -theta, theta, LENGTH)
    return np.full(len(COSINES), predicted.slash(logits)[1]), 0.0


def _drawn(rng: np.random.Generator) -> tuple[Any, Any]:
    theta = half_dft(LENGTH // 2)
    return _mean([[simulated.profile(*_head(cosine, 0).sample(LENGTH, rng, theta)).slash[1] for cosine in COSINES]
                  for _ in range(60)])


def _ratio(seed: int, cosine: float, power: float, factor: float = 2.0) -> tuple[float, float]:
    """|log| of the slash score of clustered tokens over that of spread ones, and the bound by their deviations."""
    rng, lags, T = np.random.default_rng(seed), np.arange(24), 24
    theta = half_dft(12)
    weights = rng.normal(size=(2, 32, 12)) + 1j * rng.normal(size=(2, 32, 12))
    apart = np.subtract.outer(lags, lags)
    mean = power * np.cos(np.outer(lags, theta) - theta).sum(axis=1)

    def score(spread: np.ndarray) -> tuple[float, float]:
        u = spread / np.linalg.norm(spread, axis=1, keepdims=True) * np.sqrt(1 - cosine ** 2) / cosine / np.sqrt(32)
        q, k = np.sqrt(power) * np.exp(-1j * theta) + u @ weights[0], np.sqrt(power) + u @ weights[1]
        turned = np.exp(1j * np.outer(lags, theta))
        logits = ((q * turned) @ (k * turned).conj().T).real
        rows = np.where(apart >= 0, np.exp(logits), 0.0)
        scores = rows / rows.sum(axis=1, keepdims=True)
        return float(np.diagonal(scores, -1).mean()), float(np.abs(logits - mean[apart])[apart >= 0].max())
    one, other = score(rng.normal(size=(T, 32))), score(rng.normal(size=32) + 0.3 * rng.normal(size=(T, 32)))
    return abs(np.log(other[0] / one[0])), factor * (one[1] + other[1])


RATIO = {"seed": seeds, "cosine": st.floats(0.05, 1.0), "power": st.floats(0.0, 0.6)}


CLAIMS = (
    Claim(
        id="slash-content", source=f"{PAPER}, section 5, eq. 15, and Theorem 5.3's remark on tasks",
        label="C-slash-content",
        title="Scores of the first layer are the same for any prompt and any task, trained or not",
        statement=r"S^{(1)}_{ij} = \frac{e^{a(i-j)}}{\sum_{x \leq i} e^{a(x)}}, \quad"
                  r" a(x) = \sum_s q_{2s-1}\cos\theta_s x - q_{2s}\sin\theta_s x", expected=PROVED,
        assumes="the paper's reduced weights: layer 1 reads only what all tokens share; proved for one pair",
        note="slash.md 4.1, P7: an out-of-distribution ratio of exactly 1",
        prove=_prove_blind, holds=Identity(BLIND, _blind),
        control=Control("the lag counted from the key: a(j - i)", Identity(
            BLIND, lambda **draw: _blind(**draw, sign=-1)))),
    Claim(
        id="slash-answers", source=f"{PAPER}, Theorem 5.3, its end and its remark on tasks", label="C-slash-answers",
        title="A trained model answers tasks that it never saw, with an error that its loss bounds",
        statement=r"|\hat y - \langle w, v_k\rangle| \leq |w| \sqrt{2 L_k}, \quad"
                  r" \mathrm{E}\,(\hat y - \langle w, v_k\rangle)^2 = 2 L\, \mathrm{E}\, w_k^2", expected=AGREES,
        assumes="any state of training, Cauchy tasks, unequal classes, N = 21; squares at L = .01, K = 4, N = 101 and "
                "independent w_k", note="slash.md 4.6, P7: .020 for Gaussian tasks",
        holds=Inequality(ANSWERS, _answers),
        simulate=Simulation(KINDS, "tasks: signs, normal, 100 normal", "mean squared error over E w_k^2",
                            _expected_error, _errors),
        control=Control("the mean loss in place of the prompt's", Inequality(
            ANSWERS, lambda **draw: _answers(**draw, each=False)))),
    Claim(
        id="slash-cone-breaks", source="ours, on " + PAPER + ", section 4 and takeaway 3", label="C-slash-cone-breaks",
        title="A wide cone loses the slash, and new tokens move its score by no more than deviations allow",
        statement=r"|\log\frac{\mathrm{slash}'(1)}{\mathrm{slash}(1)}| \leq 2 (D + D'), \quad"
                  r" D = \max_{ij} |\ell_{ij} - a(i-j)|", expected=AGREES,
        assumes="isotropic and clustered tokens; scores at cosines .6 to .05, half a DFT of 33 lags, width 128",
        note="slash.md 4.7, P12; with (C-slash-perturbation); means by the Laplace identity",
        holds=Inequality(RATIO, _ratio),
        simulate=Simulation(COSINES, "cosine", "average slash score", _broken, _drawn),
        control=Control("one Fourier sum at every cosine", Simulation(
            COSINES, "cosine", "average slash score", _whole, _drawn))),
)
