"""Claims of the slash paper about what descent needs: keys that see, fast pairs, a peak gap, labels at one lag."""

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import attention as predicted
from ..predict import slash_rates
from ..predict import training as losses
from ..schedules import half_dft
from ..simulate import disentangled, regression, training
from ..slash_task import Task
from .claim import AGREES, PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, zero

PAPER = "Cheng et al. 2026 (2601.08297)"
seeds = st.integers(0, 2 ** 32 - 1)
K, N, RUNS = 4, 101, 3                       # of all descents beside a mean field
APART = np.abs(np.subtract.outer(np.arange(N), np.arange(N)))
ROPE = 1e6 ** -(np.arange(64) / 64)
THIRDS = (slice(0, 21), slice(21, 42), slice(42, 64))


def _mean(values: Any) -> tuple[Any, Any]:
    """Means over the first axis and their standard errors."""
    values = np.asarray(values)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _rate(theta: np.ndarray) -> float:
    return K * N / (20 * len(theta))


def _field(theta: np.ndarray, steps: int, *, speed: float = 1.0, lags: tuple[int, ...] = (1,),
           kappa: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean-field descent on any table: logits by lag, and the sum of the gains that makes the pairs, (T-kernel)."""
    prompts = [slash_rates.prompt(K, N, lag) for lag in lags]
    numbers = [slash_rates.label_numbers(prompt) for prompt in prompts]
    if kappa is None:
        kappa = predicted.lag_logits(np.ones(len(theta)), np.zeros(len(theta)), theta, N)
    logits, total = np.zeros(N), np.zeros(N)
    for _ in range(steps):
        gains = [slash_rates.lag_rates(prompt, logits, chances) for prompt, chances in zip(prompts, numbers)]
        total += speed * _rate(theta) * np.mean(gains, axis=0)
        logits = kappa[APART] @ total
    return logits, total


def _spread(value: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the mean field gives, and half of its change by a speed that is known to K / N, see (T-rate)."""
    low, found, high = (np.asarray(value(1 + off * K / N)) for off in (-1, 0, 1))
    return found, np.abs(high - low) / 2


def _learned(theta: np.ndarray, steps: int, rng: np.random.Generator) -> training.Trajectory:
    return training.descend(Task(classes=K, length=N), theta, eta=_rate(theta), stop=99.0, steps=steps, steps_2=0,
                            batch=8, seed=int(rng.integers(1 << 32)))


# slow pairs

def _prove_slow() -> str:
    """As the gains sum to 0, |z| <= sum |G| |e^(i x) - 1| at x = theta u; and x - 2 sin(x / 2) never falls."""
    x = sympy.Symbol("x", real=True)
    square = (sympy.cos(x) - 1) ** 2 + sympy.sin(x) ** 2
    return every([zero(square - 4 * sympy.sin(x / 2) ** 2),
                  zero(sympy.diff(x - 2 * sympy.sin(x / 2), x) - 2 * sympy.sin(x / 4) ** 2)])


def _slow(seed: int, half: int, theta: float, key: float, size: float, near: bool,
          power: float = 1.0) -> tuple[float, float]:
    """The gradient of a pair whose keys have that size, at drawn logits, and its bound; near: lag 2 is out of play."""
    task = Task(classes=2, length=3 if near else 2 * half + 1)
    lags = size * np.random.default_rng(seed).normal(size=task.length)
    lags[2] -= 60 * near
    prompts, weights = regression.every(task), regression.start(task)._replace(lags=lags)
    gains = regression.by_lag(weights, prompts, regression.forward(weights, prompts))
    u = np.arange(task.length)
    bound = theta ** power * float(u @ np.abs(gains)) + 1e-15          # the gains' sum is 0 up to rounding
    return float(key * abs((gains * np.exp(-1j * theta * u)).sum())), key * bound


SLOW = {"seed": seeds, "half": st.integers(1, 5), "theta": st.floats(1e-6, 3.0), "key": st.floats(0.0, 3.0),
        "size": st.floats(0.0, 3.0), "near": st.booleans()}
ONLY = {"seed": 0, "half": 1, "theta": 0.01, "key": 1.0, "size": 1.0, "near": True}


def _matrices(net: disentangled.Network, task: Task, tokens: np.ndarray) -> np.ndarray:
    """Minus the gradient in v^T W_Q of layer 1 by the chain rule, mean over the signs of w; a number for each pair."""
    found = [disentangled.gradients(net, task, tokens, np.array(w))[1]
             for w in itertools.product((-1.0, 1.0), repeat=task.classes)]
    row = -np.mean(found, axis=0).sum(axis=0) / np.sqrt(len(net.first))
    return row[::2] + 1j * row[1::2]


def _keys(seed: int, share: float, away: float, size: float, whole: bool = False) -> tuple[Any, Any]:
    """That gradient for the paper's key and for another, and c_b times what the gains by lag make of it."""
    rng, task, theta = np.random.default_rng(seed), Task(classes=2, length=7), np.array([2.0, 0.3])
    listed, weights, left, right = regression.every(task), regression.start(task), [], []
    which, axis = int(rng.integers(len(listed.weight))), np.full(4, 0.5)
    prompts = regression.Prompts(listed.shown[which:which + 1], listed.labelled[which:which + 1], np.ones(1))
    first, aside = size * rng.normal(size=(4, 4)), away * np.array([0.5, -0.5, 0.5, -0.5])
    for key, seen in ((axis, 1.0), (share * axis + aside, np.hypot(share, away) if whole else share)):
        net = disentangled.network(task, theta, key=key)._replace(first=first)
        left.append(_matrices(net, task, prompts.shown[0][prompts.shown[0] < task.classes]))
        pairs = (first.sum(axis=0) / 2)[::2] + 1j * (first.sum(axis=0) / 2)[1::2]
        turns = np.exp(1j * np.outer(np.arange(task.length), theta))
        now = weights._replace(lags=key @ axis * (turns @ pairs).real)
        gains = regression.by_lag(now, prompts, regression.forward(now, prompts))
        right.append(seen * gains @ turns.conj())
    return np.array(left), np.array(right)


KEYS = {"seed": seeds, "share": st.sampled_from((0.0, 0.5, -2.0)), "away": st.floats(0.1, 3.0),
        "size": st.floats(0.0, 1.0)}


def _prove_keys() -> str:
    """The logit of a pair is c times Re q e^(i theta u), so c is a factor of its slopes in q, and 0 ends them."""
    q1, q2, c, angle = sympy.symbols("q_1 q_2 c x", real=True)
    logit = c * (q1 * sympy.cos(angle) - q2 * sympy.sin(angle))
    slopes = [sympy.diff(logit, q1) - c * sympy.cos(angle), sympy.diff(logit, q2) + c * sympy.sin(angle)]
    return every([*(zero(slope) for slope in slopes), *(zero(slope.subs(c, 0)) for slope in slopes)])


def _amplitudes() -> tuple[Any, Any]:
    """Mean learned amplitude by thirds of the table, fastest first."""
    def by_third(speed: float) -> list[float]:
        total = _field(ROPE, 100, speed=speed)[1]
        sizes = np.abs(np.exp(-1j * np.outer(ROPE, np.arange(N))) @ total)
        return [float(sizes[third].mean()) for third in THIRDS]
    return _spread(by_third)


def _amplitude_descents(rng: np.random.Generator) -> tuple[Any, Any]:
    runs = [_learned(ROPE, 100, rng) for _ in range(RUNS)]
    return _mean([[run.amplitude[third].mean() for third in THIRDS] for run in runs])


# tables

TABLES = (*(np.random.default_rng(n).uniform(0, np.pi, n) for n in (8, 16)), ROPE[THIRDS[0]], half_dft(25))
BLUNT = (ROPE[THIRDS[1]], ROPE[THIRDS[2]], np.zeros(1))
Tables = tuple[np.ndarray, ...]


def _slashes(tables: Tables) -> tuple[Any, Any]:
    return _spread(lambda speed: [float(predicted.slash(_field(theta, 150, speed=speed)[0])[1]) for theta in tables])


def _as_pulse(theta: np.ndarray) -> tuple[Any, Any]:
    """As if the table were a pulse that stands as high above the mean."""
    kappa = np.cos(np.outer(np.arange(N), theta)).sum(axis=1)
    pulse = (kappa[0] - kappa[1:].mean()) * (np.arange(N) == 0)
    return _spread(lambda speed: [float(predicted.slash(_field(theta, 150, speed=speed, kappa=pulse)[0])[1])])


def _slash_descents(tables: Tables) -> Any:
    def simulate(rng: np.random.Generator) -> tuple[Any, Any]:
        return _mean([[_learned(theta, 150, rng).slash[-1] for theta in tables] for _ in range(RUNS)])
    return simulate


def _ceiling(seed: int, half: int, pairs: int, steps: int, odd: int = 1) -> tuple[float, float]:
    """The slash score after descent on pairs of period 2 pairs + 1, and what its aliases leave."""
    task, period = Task(classes=2, length=2 * half + 1), 2 * pairs + odd
    run = training.descend(task, half_dft(pairs), stop=99.0, steps=steps, steps_2=0, batch=8, seed=seed,
                           eta=2 * task.length / pairs)
    return float(run.slash[-1]), float(np.mean([1 / len(range(1, i + 1, period)) for i in range(1, task.length)]))


CEILING = {"seed": seeds, "half": st.integers(2, 15), "pairs": st.integers(1, 8), "steps": st.integers(0, 12)}
REACHED = {"seed": 0, "half": 15, "pairs": 5, "steps": 30}


def _blunt(seed: int, pairs: int, slowest: float, steps: int) -> tuple[float, float]:
    """The slash score after descent over the uniform one, and e^(range of logits) of pairs with these amplitudes."""
    task = Task(classes=2, length=21)
    theta = 10 ** -np.random.default_rng(seed).uniform(slowest, slowest + 2, pairs)
    run = training.descend(task, theta, eta=40 / pairs, stop=99.0, steps=steps, steps_2=0, batch=4, seed=seed)
    span = 2 * np.sin(np.minimum(theta * 20, np.pi) / 2) @ run.amplitude
    return float(run.slash[-1] / run.slash[0]), float(np.exp(span))


SLOWEST = {"seed": seeds, "pairs": st.integers(1, 6), "slowest": st.floats(0.5, 3.0), "steps": st.integers(0, 12)}


# labels at a lag of their own

MIXED, STEPS = (1, 3, 5), 150


@cache
def _mixed(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Descent on prompts whose labels' lag is drawn: slash scores at these lags, and the losses of each kind."""
    tasks, rng = [Task(classes=K, length=N, lag=lag) for lag in MIXED], np.random.default_rng(seed)
    kappa, weights = regression.kernel(half_dft(N // 2), N), regression.start(tasks[0])
    for _ in range(STEPS):
        batches = [regression.draw(task, 8, rng) for task in tasks]
        gains = [regression.by_lag(weights, drawn, regression.forward(weights, drawn)) for drawn in batches]
        push = kappa[APART] @ np.mean(gains, axis=0)
        weights = weights._replace(lags=weights.lags + 2.5 * _rate(half_dft(N // 2)) * push)
    held = [regression.forward(weights, regression.draw(task, 200, rng)).loss.mean() for task in tasks]
    return training.scores(weights.lags)[list(MIXED)], np.array(held)


def _winner() -> tuple[Any, Any]:
    theta = half_dft(N // 2)
    return _spread(lambda speed: predicted.slash(_field(theta, STEPS, speed=2.5 * speed, lags=MIXED)[0])[list(MIXED)])


def _mixtures(which: int) -> Any:
    def simulate(rng: np.random.Generator) -> tuple[Any, Any]:
        return _mean([_mixed(int(seed))[which] for seed in rng.integers(1 << 32, size=2 * RUNS)])
    return simulate


def _first_gains(classes: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Gains at the start, over every prompt of every lag: the largest elsewhere, at 5 and 3, and at 5, 3 and 1."""
    length = 2 * min(half, {2: 7, 3: 5, 4: 4}[classes]) + 1
    gains = np.zeros(length)
    for lag in MIXED:
        task = Task(classes=classes, length=length, lag=lag)
        prompts, weights = regression.every(task), regression.start(task)
        gains += regression.by_lag(weights, prompts, regression.forward(weights, prompts))
    return np.array([np.delete(gains, MIXED).max(), *gains[[5, 3]]]), gains[[5, 3, 1]]


GAINS = {"classes": st.sampled_from((2, 3, 4)), "half": st.integers(4, 7)}


def _missed(classes: Any, e: Any = math.e) -> Any:
    """Loss where a label's row sees the input of some other label."""
    weight = 1 + (e - 1) / classes
    score = weight / (classes * (weight + 1))
    return ((1 - score) ** 2 + (classes - 1) * score ** 2) / 2


def _prove_missed() -> str:
    """Sums over the classes of a label and of the input that its row sees, beside an input; class 0 is asked for."""
    def loss(classes: int) -> Any:
        weights = [[sympy.E if seen == 0 else sympy.Integer(1) for seen in range(classes)] for _ in range(classes)]
        total = sum(sum(row) for row in weights) + classes ** 2
        scores = [sum(row) / total for row in weights]
        return ((1 - scores[0]) ** 2 + sum(score ** 2 for score in scores[1:])) / 2
    return every(zero(sympy.simplify(loss(n) - _missed(sympy.Integer(n), sympy.E))) for n in range(2, 6))


def _compromise(seen: bool = False) -> tuple[Any, Any]:
    """seen: as if every lag's labels were."""
    plateau = losses.plateau_loss(K)
    return np.array([plateau, *2 * [plateau if seen else _missed(K)]]), (1 + np.log(N) / K) / N


CLAIMS = (
    Claim(
        id="slash-slow-pairs", source=f"ours, on {PAPER}, takeaway 4 (section not recorded)",
        label="C-slash-slow-pairs", title="Slow pairs are not learned: their gradient falls with theta",
        statement=r"|\partial L/\partial q_b| \leq |c_b|\, \theta_b \sum_u u\,|G(u)|",
        assumes="logits that depend on the lag, c_b the key of pair b; amplitudes after 100 steps on 64 RoPE pairs of "
                "base 10^6, K = 4, N = 101", expected=PROVED,
        note="slash.md 4.2, P8; with (C-slash-gains); tight for two lags and a slow pair",
        prove=_prove_slow, holds=Inequality(SLOW, _slow, tight=ONLY),
        simulate=Simulation((0, 1, 2), "third, fastest first", "mean learned amplitude", _amplitudes,
                            _amplitude_descents),
        control=Control("theta squared: as if the gains' first moment vanished too", Inequality(
            SLOW, lambda **draw: _slow(**draw, power=2.0), tight=ONLY))),
    Claim(
        id="slash-blind-keys", source=f"{PAPER}, section 5, eq. 15: that W_K meets the tokens' common part is assumed",
        label="C-slash-blind-keys", title="Keys that do not see what all tokens share leave the first layer untrained",
        statement=r"-v^\top \frac{\partial L}{\partial W_Q} = (v^\top k)\, \sum_u G(u)\, e^{-\mathrm{i}\theta_b u},"
                  r" \quad W_K = k\, (1, 0, 1, 0, \ldots)", expected=PROVED,
        assumes="tokens that share the unit vector v, any W_Q; all matrices with their chain rule beside the gains by "
                "lag, K = 2, N = 7", note="slash.md 5, negative controls: 0 where W_K^T v = 0",
        prove=_prove_keys, holds=Identity(KEYS, _keys),
        control=Control("the key's length in place of its part along v", Identity(
            KEYS, lambda **draw: _keys(**draw, whole=True)))),
    Claim(
        id="slash-tables", source=f"{PAPER}, Assumption 5.1, with Theorem 5.3; the tables are ours",
        label="C-slash-tables",
        title="No pulse is needed: random and fast pairs learn the slash, a common period stops at its ceiling",
        statement=r"a' = a + \eta\, \kappa * G(a), \quad"
                  r" \mathrm{slash}(1) \leq \frac{1}{N-1}\sum_{i \geq 1} \frac{1}{n_i}",
        assumes="8 and 16 random pairs, the fast third of 64 RoPE pairs, half a DFT of 51 lags; K = 4, N = 101, 150 "
                "steps", expected=AGREES,
        note="slash.md 4.5, P9; L of (11) is 33 and more for each; stated error: speeds known to K / N",
        holds=Inequality(CEILING, _ceiling, tight=REACHED),
        simulate=Simulation(range(len(TABLES)), "table", "average slash score", lambda: _slashes(TABLES),
                            _slash_descents(TABLES)),
        control=Control("a period of 2M in place of 2M + 1", Inequality(
            CEILING, lambda **draw: _ceiling(**draw, odd=0), tight=REACHED))),
    Claim(
        id="slash-blunt-tables", source=f"ours, on {PAPER}, section 4 and Assumption 5.1", label="C-slash-blunt-tables",
        title="Medium pairs alone, slow pairs alone and pairs that do not turn stay uniform",
        statement=r"\frac{\mathrm{slash}(\Delta)}{\mathrm{uniform}(\Delta)} \leq e^R, \quad"
                  r" R = 2\sum_b |z_b| \sin\frac{\min(\theta_b (N-1), \pi)}{2}",
        assumes="amplitudes |z_b| of any training; 150 steps of the medium third, the slow third, theta = 0, K = 4, "
                "N = 101", expected=AGREES,
        note="slash.md 4.5, negative controls: .027, .024 and the uniform .0244 at N = 201",
        holds=Inequality(SLOWEST, _blunt),
        simulate=Simulation(range(len(BLUNT)), "table", "average slash score", lambda: _slashes(BLUNT),
                            _slash_descents(BLUNT)),
        control=Control("a pulse of the medium pairs' height C_1 in their place", Simulation(
            (0,), "table", "average slash score", lambda: _as_pulse(BLUNT[0]), _slash_descents(BLUNT[:1])))),
    Claim(
        id="slash-winner", source="ours, on " + PAPER + ", Theorem 5.3's remark on other lags", label="C-slash-winner",
        title="Labels at 1, 3 or 5 tokens, drawn for each prompt: the nearest takes all",
        statement=r"G(1) \geq G(3) \geq G(5) \geq G(u), \quad \mathrm{slash}(1) \to 1",
        assumes="the first gains by exact expectation, N up to 15; descent at K = 4, N = 101", expected=AGREES,
        note="slash.md 5: .996 at lag 1, about 0 at 3 and 5; no null, as one may think",
        holds=Inequality(GAINS, _first_gains),
        simulate=Simulation(MIXED, "lag", "average slash score", _winner, _mixtures(0)),
        control=Control("a third of the score for each lag", Simulation(
            MIXED, "lag", "average slash score", lambda: (np.full(3, 1 / 3), 0.0), _mixtures(0)))),
    Claim(
        id="slash-winner-loss", source="ours, on " + PAPER + ", Theorem 5.3's remark on other lags",
        label="C-slash-winner-loss", title="and the loss stays at a mean of L_I and of what a head without labels has",
        statement=r"L = \frac{L_I + 2 L'}{3}, \quad L' = \frac{(1-s)^2 + (K-1) s^2}{2}, \quad"
                  r" s = \frac{E}{K(E+1)}, \quad E = 1 + \frac{e-1}{K}",
        assumes="an untrained second layer, K equally likely inputs, N to infinity; proved for 2 to 5 classes; at "
                "N = 101 within (1 + log(N) / K) / N", expected=PROVED,
        note="slash.md 5: .364 at N = 201; .356 in the limit",
        prove=_prove_missed,
        simulate=Simulation(MIXED, "lag of the labels", "loss, K = 4, N = 101", _compromise, _mixtures(1)),
        control=Control("L_I at every lag", Simulation(
            MIXED, "lag of the labels", "loss", lambda: _compromise(seen=True), _mixtures(1)))),
)
