"""Claims of the slash paper about gradient descent: at which lag a slash forms, when, and what the loss does."""

import math
from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import attention as predicted
from ..predict import slash_match, slash_rates, slash_times
from ..predict import training as losses
from ..schedules import half_dft
from ..simulate import regression, training
from ..slash_task import Task
from .claim import AGREES, PROVED, Claim, Control, Inequality, Simulation
from .proofs import every, zero

PAPER = "Cheng et al. 2026 (2601.08297)"
RUNS = 3
seeds = st.integers(0, 2 ** 32 - 1)


def _mean(values: Any) -> tuple[Any, Any]:
    """Means over the first axis and their standard errors."""
    values = np.asarray(values)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _ends(classes: int, length: int) -> np.ndarray:
    """Margins at the ends of Theorem 5.3's phases, epsilon = N^-1/2."""
    return np.log([length, classes * length, length ** 1.5])


def _step(classes: int, length: int) -> float:
    """eta C_1 of a step: some 70 of them to the last margin."""
    return classes * length / 50


def _stage_one(classes: int, length: int, margins: np.ndarray, lag: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Predicted times, to the next order, and the error of the mean field's."""
    delay = slash_times.step_delay(classes, length, margins, _step(classes, length), lag=lag)
    return (slash_times.stage_one_refined(classes, length, margins, lag=lag) + delay,
            slash_times.stage_one_error(classes, length, margins, lag=lag))


def _passed(task: Task, margins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """When the margin passes these levels, between steps; nan where it does not, or at another lag than the labels'."""
    eta = _step(task.classes, task.length) / (task.length / 2)
    run = training.descend(task, half_dft(task.length // 2), eta=eta, stop=float(margins.max()), steps=150, steps_2=0,
                           batch=16, seed=int(rng.integers(1 << 32)))
    if run.lags.argmax() != task.lag or run.margin[-1] < margins.max():
        return np.full(len(margins), np.nan)
    return np.interp(margins, np.maximum.accumulate(run.margin), run.time)


# any lag

def _start(classes: int, half: int, lag: int, late: int = 0) -> tuple[float, float]:
    """The largest gain of any other lag, and that of the labels', at the start: exact, over every prompt."""
    half = min(half, HALVES[classes])
    task = Task(classes=classes, length=2 * half + 1, lag=lag % half)
    prompts, weights = regression.every(task), regression.start(task)
    gains = regression.by_lag(weights, prompts, regression.forward(weights, prompts))
    return float(np.delete(gains, task.lag + late).max()), float(gains[task.lag + late])


HALVES = {2: 6, 3: 4, 4: 3}                  # of the length, up to which all prompts are listed in milliseconds
START = {"classes": st.sampled_from((2, 3, 4)), "half": st.integers(2, 6), "lag": st.integers(0, 5)}
LAGS, FOUR = (0, 1, 2, 3, 5), (4, 101)       # lags of labels; classes and length


def _lag_times() -> tuple[Any, Any]:
    found = [_stage_one(*FOUR, _ends(*FOUR)[2:], lag) for lag in LAGS]
    return np.concatenate([time for time, _ in found]), np.concatenate([error for _, error in found])


def _lag_descents(rng: np.random.Generator) -> tuple[Any, Any]:
    tasks = [Task(classes=FOUR[0], length=FOUR[1], lag=lag) for lag in LAGS]
    return _mean([[_passed(task, _ends(*FOUR)[2:], rng)[0] for task in tasks] for _ in range(RUNS)])


# times of Stage I

def _grows(classes: int, half: int, lag: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Margins before and after each of ten steps of eta C_1 = step K N, by exact gradients."""
    half = min(half, HALVES[classes])
    task = Task(classes=classes, length=2 * half + 1, lag=lag % half)
    run = training.descend(task, half_dft(half), eta=2 * step * classes, steps=10, steps_2=0, batch=None)
    return run.margin[:-1], run.margin[1:]


GROWS = {"classes": st.sampled_from((2, 3)), "half": st.integers(2, 5), "lag": st.integers(0, 3),
         "step": st.floats(0.01, 10.0)}


def _phases(height: float = 1.0) -> Any:
    """Times in units of eta C_1, if C_1 were so many times as large."""
    times, error = _stage_one(*FOUR, _ends(*FOUR))
    return times / height, error / height


def _phase_descents(rng: np.random.Generator) -> tuple[Any, Any]:
    return _mean([_passed(Task(classes=FOUR[0], length=FOUR[1]), _ends(*FOUR), rng) for _ in range(RUNS)])


# its bounds

def _bound(classes: int, half: int, lead: bool = False) -> tuple[float, float]:
    """Time to the margin log(N / epsilon), and the printed bound with constant 1, or the leading form as one."""
    length = 2 * half + 1
    bound = slash_times.paper_bounds(classes, length, length ** -0.5, 0.01)[0]
    return (float(slash_times.stage_one(classes, length, _ends(classes, length)[2:])[0]),
            sum(slash_times.phases(classes, length, length ** -0.5)) if lead else bound)


BOUND = {"classes": st.integers(2, 30), "half": st.integers(15, 400)}
LENGTHS = (51, 101, 201)


def _shares() -> tuple[Any, Any]:
    found = np.array([_stage_one(4, N, _ends(4, N)[2:]) for N in LENGTHS])[:, :, 0]
    bounds = [slash_times.paper_bounds(4, N, N ** -0.5, 0.01)[0] for N in LENGTHS]
    return found[:, 0] / bounds, found[:, 1] / bounds


def _share_descents(rng: np.random.Generator) -> tuple[Any, Any]:
    bounds = [4 * N * np.log(N) - 4 * np.sqrt(N) * np.log(4 / np.sqrt(N)) for N in LENGTHS]
    return _mean([[_passed(Task(classes=4, length=N), _ends(4, N)[2:], rng)[0] / bound
                   for N, bound in zip(LENGTHS, bounds)] for _ in range(RUNS)])


S, z, m, K, eps, N_ = sympy.symbols("S z m K epsilon N", positive=True)
MATCH = sympy.E / (2 * K - 1 + sympy.E)
TWICE = (1 - MATCH) ** 2 + (K - 1) / (2 * K - 1 + sympy.E) ** 2
c = sympy.Symbol("c", positive=True)                   # PULL, or any
PULL = TWICE * MATCH                                   # of the labels that match, and minus that of all other rows
LAST = 2 * (1 / eps - 1) / PULL


def _prove_leading(first: Any = 2) -> str:
    """First phase, many classes: G = e^m H(N e^-m) / 2KN, dH/dz = S (1 - S) e^S at S = 1 / (1 + z); then its integral
    over N / log N by derivatives. Last phase: rows that match have the slope (1 - S)(1 - 1/2K), the others, which pull
    as much the other way, -(1 - S) / 2K, with 1 - S = N e^-m / 2 in the mean; then the integral and its limit."""
    H = sympy.Ei(1) - sympy.Ei(S) - sympy.E + sympy.exp(S)
    slope = sympy.diff(H, S) * -S ** 2
    slow = sympy.limit(sympy.log((1 - S) / S) / H, S, 0, "+")
    rate = sympy.limit(1 / sympy.log(N_) / sympy.diff(N_ / sympy.log(N_), N_), N_, sympy.oo)
    gain = (c * (1 - 1 / (2 * K)) + c / (2 * K)) * N_ * sympy.exp(-m) / 2
    last = sympy.integrate(sympy.simplify(1 / gain), (m, sympy.log(N_), sympy.log(N_ / eps)))
    lead = sympy.limit(LAST / K, K, sympy.oo)
    return every([zero(slope - S * (1 - S) * sympy.exp(S)), zero(slow - 1), zero(2 * rate - first),
                  zero(last - 2 * (1 / eps - 1) / c), zero(sympy.limit(eps * lead, eps, 0) - 4 / sympy.E)])


def _tie_last() -> float:
    value = sympy.lambdify((K, eps), LAST)
    return max(abs(slash_times.last_phase(k, e) / value(k, e) - 1) for k, e in ((2, 0.3), (5, 0.01), (100, 1e-4)))


def _nears(classes: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of the first phase to 2KN / log N: above 1, and lower at four times the length."""
    near, far = (float(slash_times.stage_one(classes, N, np.log([N]))[0] / slash_times.phases(classes, N, 0.1)[0])
                 for N in (2 * half + 1, 8 * half + 1))
    return np.array([1.0, far]), np.array([far, near])


# Stage II

TWO = {"classes": st.sampled_from((2, 3, 4, 6, 8, 16, 32, 64)),
       "loss": st.sampled_from((0.2, 0.1, 0.03, 0.01, 0.003))}
MOST, SOME, LOSS = {"classes": 6, "loss": 0.032}, (4, 5, 6), 0.01


def _second(classes: int, loss: float, constant: float = 1.68) -> tuple[np.ndarray, np.ndarray]:
    """Time to a loss, and the printed bound with constant 1, and one without logarithms."""
    time = slash_match.stage_two(classes, loss)[1]
    plain = 2 * classes ** 2 / math.e + slash_match.loss_time(classes, loss)
    return np.full(2, time), np.array([slash_times.paper_bounds(classes, 101, 0.1, loss)[1], constant * plain])


def _second_times(which: int) -> tuple[Any, Any]:
    return ([slash_match.stage_two_refined(K, 101, LOSS, margin=12.0)[which] for K in SOME],
            [slash_match.stage_two_error(K, 101, LOSS, margin=12.0)[which] for K in SOME])


def _second_descents(which: int) -> Any:
    def once(classes: int, rng: np.random.Generator) -> float:
        """One large step makes the slash; then times until B = log K, or until the loss is reached."""
        run = training.descend(Task(classes=classes, length=101), half_dft(50), eta=20.0 * classes, steps=1, stop=99.0,
                               loss=LOSS, steps_2=400, seed=int(rng.integers(1 << 32)))
        two = run.stage == 2
        level = run.logit[two] - np.log(classes) if which == 0 else LOSS - run.loss[two]
        return float(np.interp(0.0, np.maximum.accumulate(level), run.time[two], right=np.nan))

    def simulate(rng: np.random.Generator) -> tuple[Any, Any]:
        return _mean([[once(classes, rng) for classes in SOME] for _ in range(RUNS)])
    return simulate


y = sympy.Symbol("y", positive=True)
F = y ** 2 / 8 + 3 * y / 2 + 3 * sympy.log(y) - 2 / y


def _prove_match(score: Any = y / (y + 2)) -> str:
    """dB = (2 / K) s L per time, L = (1 - s)^2 / 2, y = e^B / K: dt = K dy / (2 y s L); and F(1) - F(e/K) over K."""
    whole = sympy.limit((F.subs(y, 1) - F.subs(y, sympy.E / K)) / K, K, sympy.oo)
    return every([zero(sympy.diff(F, y) - 1 / (y * score * (1 - score) ** 2)), zero(whole - 2 / sympy.E)])


def _tie_match() -> float:
    value = sympy.lambdify(K, K * (F.subs(y, 1) - F.subs(y, sympy.E / K)))
    return max(abs(slash_match.match_time(k) / value(k) - 1) for k in (3, 8, 100))


# plateau and one step

CLASSES, LONG = (2, 4, 8), 201


def _floor(seed: int, classes: int, half: int, size: float, own: float) -> tuple[float, float]:
    """L_I, and the loss of any first layer under an untrained second, over every prompt."""
    task = Task(classes=classes, length=2 * min(half, HALVES[classes]) + 1)
    lags = size * np.random.default_rng(seed).normal(size=task.length)
    lags[1] += own
    prompts = regression.every(task)
    done = regression.forward(regression.start(task)._replace(lags=lags), prompts)
    return losses.plateau_loss(classes), float(prompts.weight @ done.loss)


FLOOR = {"seed": seeds, "classes": st.sampled_from((2, 3, 4)), "half": st.integers(2, 6), "size": st.floats(0.0, 10.0),
         "own": st.floats(0.0, 20.0)}


def _plateau(loss: Any = losses.plateau_loss) -> tuple[Any, Any]:
    """With what is left of the way there, and (C-slash-loss-plateau)'s own error."""
    left = np.mean(1 - 1 / (1 + np.arange(1, LONG) * LONG ** -1.5))
    return ([loss(K) for K in CLASSES], [(losses.start_loss(K) - losses.plateau_loss(K)) * left
                                         + (1 + np.log(LONG) / K) / LONG for K in CLASSES])


def _plateaus(rng: np.random.Generator) -> tuple[Any, Any]:
    def once(classes: int) -> float:
        task, seed = Task(classes=classes, length=LONG), int(rng.integers(1 << 32))
        eta = _step(classes, LONG) / (LONG / 2)
        run = training.descend(task, half_dft(LONG // 2), eta=eta, steps=150, steps_2=0, batch=8, seed=seed)
        return float(training.errors(task, run, np.ones((200, classes)), seed)[1].mean())
    return _mean([[once(classes) for classes in CLASSES] for _ in range(RUNS)])


ONE = {"seed": seeds, "classes": st.sampled_from((2, 3, 4, 8)), "half": st.integers(15, 60)}


def _one(seed: int, classes: int, half: int, times: float = 10.0) -> tuple[float, float]:
    """The row that is farthest from its slash after one step on 64 prompts, and epsilon = N^-1/2."""
    task = Task(classes=classes, length=2 * half + 1)
    prompts, weights = regression.draw(task, 64, np.random.default_rng(seed)), regression.start(task)
    lags = times * classes * task.length * regression.by_lag(weights, prompts, regression.forward(weights, prompts))
    return float(1 - np.exp(lags[1] - np.logaddexp.accumulate(lags)[1:]).min()), task.length ** -0.5


def _leaps() -> tuple[Any, Any]:
    """Slash scores at eta C_1 = 1, 3 and 10 times KN; the mean field's speed is known to K / N."""
    K, N = FOUR        # not the symbols
    prompt = slash_rates.prompt(K, N, 1)
    gains = K * N * slash_rates.lag_rates(prompt, np.zeros(N), slash_rates.label_numbers(prompt))
    low, found, high = ([float(predicted.slash(times * (1 + off * K / N) * gains)[1]) for times in (1, 3, 10)]
                        for off in (-1, 0, 1))
    return found, np.subtract(high, low) / 2


def _leap_descents(rng: np.random.Generator) -> tuple[Any, Any]:
    task = Task(classes=FOUR[0], length=FOUR[1])
    return _mean([[training.descend(task, half_dft(50), eta=times * 4 * 101 / 50.5, steps=1, steps_2=0, batch=64,
                                    seed=int(rng.integers(1 << 32))).slash[-1] for times in (1, 3, 10)]
                  for _ in range(5)])


CLAIMS = (
    Claim(
        id="slash-any-lag", source=f"{PAPER}, Theorem 5.3 and its remark on other lags", label="C-slash-any-lag",
        title="Descent makes a slash at the lag of the labels, whichever it is",
        statement=r"G(\Delta) > G(u) \;(u \neq \Delta), \quad a(\Delta) - \max_{u \neq \Delta} a(u) = \log(N/\epsilon)"
                  r" \;\mathrm{at}\; \tau_\Delta", expected=AGREES,
        assumes="the first gain by exact expectation, N up to 13; descent at K = 4, N = 101, half a DFT",
        note="slash.md 4.5, P1; times as for slash-stage-one, nan where the largest logit is at another lag",
        holds=Inequality(START, _start),
        simulate=Simulation(LAGS, "lag of the labels", "eta C_1 t at the margin log(N / epsilon)", _lag_times,
                            _lag_descents),
        control=Control("a slash one token further back", Inequality(
            START, lambda **draw: _start(**draw, late=1)))),
    Claim(
        id="slash-stage-one", source=f"{PAPER}, Theorem 5.3, proof, phases of stage I", label="C-slash-stage-one",
        title="The margin grows in every step, and the phases end when the mean field has them end",
        statement=r"m_{t+1} \geq m_t, \quad \tau(m) = \int_0^m dx / G(x), \quad m = \log N, \log KN, \log(N/\epsilon)",
        assumes="exact gradients, N up to 11, eta C_1 up to 10 K N, ten steps; times at K = 4, N = 101",
        expected=AGREES, note="slash.md 4.4, P2; times of stage_one_refined and step_delay, error of stage_one_error",
        holds=Inequality(GROWS, _grows),
        simulate=Simulation(_ends(*FOUR).tolist(), "margin", "eta C_1 t", _phases, _phase_descents),
        control=Control("a pulse of height N in place of N / 2", Simulation(
            _ends(*FOUR).tolist(), "margin", "eta C_1 t", lambda: _phases(2.0), _phase_descents))),
    Claim(
        id="slash-stage-one-bound", source=f"{PAPER}, Theorem 5.3, tau_1", label="C-slash-stage-one-bound",
        title="Stage I is over within the printed time, with constant 1",
        statement=r"\tau \leq K N \log N + \frac{K}{\epsilon} \log\frac{1}{K\epsilon}, \quad \epsilon = N^{-1/2}",
        assumes="N >= 31, K from 2 to 30 below N, lag 1, a pulse; in units of 1 / (eta C_1)", expected=AGREES,
        note="slash.md 4.4, P3: loose by log^2 N; at N < 31 two classes take longer",
        holds=Inequality(BOUND, _bound),
        simulate=Simulation(LENGTHS, "tokens", "time over the bound, K = 4", _shares, _share_descents),
        control=Control("the leading form 2KN / log N + 4K / (e epsilon) as a bound", Inequality(
            BOUND, lambda **draw: _bound(**draw, lead=True)))),
    Claim(
        id="slash-stage-one-leading", source=f"ours, on {PAPER}, Theorem 5.3, tau_1",
        label="C-slash-stage-one-leading", title="Stage I in the limit: 2KN / log N, then 4K / (e epsilon)",
        statement=r"\frac{\tau(\log N) \log N}{2 K N} \to 1, \quad"
                  r" \epsilon\,\frac{\tau(\log(N/\epsilon)) - \tau(\log N)}{4 K / e} \to 1", expected=PROVED,
        assumes="many classes, then long prompts; mean field with 1 - S = j e^-m in the last phase", tie=_tie_last,
        note="slash.md 4.4, P3; approached from above, as 1 / log N: 1.7 at K = 4, N = 1000",
        prove=_prove_leading, holds=Inequality({**BOUND, "half": st.integers(20, 200)}, _nears),
        control=Control("K N / log N: as if labels stood at every token", lambda: _prove_leading(1))),
    Claim(
        id="slash-stage-two", source=f"{PAPER}, Theorem 5.3, tau_2", label="C-slash-stage-two",
        title="Stage II is over within the printed time, and needs no logarithm",
        statement=r"T \leq K^2 \log K + \frac{K}{\epsilon}\log\frac{K}{\sqrt{\epsilon}}, \quad"
                  r" T \leq 1.68\,(\frac{2K^2}{e} + \frac{K^2}{4(K+1)\epsilon})", expected=AGREES,
        assumes="a perfect slash, long prompts, K = 2 to 64, losses from .003 to .2; 1.68 found by search; times at "
                "N = 101", note="slash.md 4.6, P4; the second is met at K = 6, epsilon = .032",
        holds=Inequality(TWO, _second, tight=MOST),
        simulate=Simulation(SOME, "classes", "eta_2 t at the loss 0.01", lambda: _second_times(1), _second_descents(1)),
        control=Control("the leading form as a bound", Inequality(
            TWO, lambda **draw: _second(**draw, constant=1.0), tight=MOST))),
    Claim(
        id="slash-match-time", source=f"ours, on {PAPER}, Theorem 5.3, stage II, phase I", label="C-slash-match-time",
        title="A match's logit passes log K at about 2 K^2 / e: no log K",
        statement=r"T(B = \log K) \approx K\,[F(1) - F(e/K)], \quad F(y) = \frac{y^2}{8} + \frac{3y}{2} + 3\log y"
                  r" - \frac{2}{y}", expected=PROVED, tie=_tie_match,
        assumes="proved with the logits of other classes at 0 and 1 - s as their score; descent at N = 101",
        note="slash.md 4.6; the formula is 7 to 13 % late at K from 4 to 128",
        prove=_prove_match,
        simulate=Simulation(SOME, "classes", "eta_2 t at B = log K", lambda: _second_times(0), _second_descents(0)),
        control=Control("without the score of the inputs: s = y / (y + 1)", lambda: _prove_match(y / (y + 1)))),
    Claim(
        id="slash-plateau", source=f"{PAPER}, Theorem 5.3, between the stages; the value is ours",
        label="C-slash-plateau", title="Stage I ends on a plateau that no first layer goes below",
        statement=r"L(a, I) \geq L_I = \frac{(2K-1)^2 + K - 1}{2 (2K-1+e)^2}", expected=AGREES,
        assumes="an untrained second layer; every prompt of up to 13 tokens, any lag logits; descent to the margin "
                "log N^1.5 at N = 201", note="slash.md 4.3, P5: .159, .281 and .374 at K = 2, 4, 8, N = 401",
        holds=Inequality(FLOOR, _floor),
        simulate=Simulation(CLASSES, "classes", "loss after stage I", _plateau, _plateaus),
        control=Control("the loss before training", Simulation(
            CLASSES, "classes", "loss after stage I", lambda: _plateau(losses.start_loss), _plateaus))),
    Claim(
        id="slash-one-step", source=f"{PAPER}, Theorem 5.3, remark on large rates", label="C-slash-one-step",
        title="One large step makes the slash: eta C_1 = 10 K N is enough",
        statement=r"\eta C_1 = 10 K N \;\Rightarrow\; S_{i,i-1} \geq 1 - N^{-1/2}", expected=AGREES,
        assumes="half a DFT, K = 2 to 8, N = 31 to 121, 64 prompts; scores at K = 4, N = 101",
        note="slash.md 4.4, P6: .159, .763 and 1.0000 at eta C_1 = 1, 3 and 10 KN",
        holds=Inequality(ONE, _one),
        simulate=Simulation((1, 3, 10), "eta C_1 / KN", "average slash score after one step", _leaps, _leap_descents),
        control=Control("a step of eta C_1 = K N", Inequality(ONE, lambda **draw: _one(**draw, times=1.0)))),
)
