"""Claims about interventions on one position, on the chain from the variance of an aggregated value to a sink.

An inequality holds of the predictions by more than their errors, and of simulated sequences that share their draws by
more than five standard errors of the difference.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import chain as predict
from ..predict import sinks
from ..simulate import attention
from ..simulate import chain as simulate
from ..stacks import Chain
from .claim import AGREES, CORRECTED, PROVED, REFUTED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, zero

LI = "Li et al. 2026 (2605.06611)"
SEQUENCES = 400
ERRORS = 5.0         # standard errors by which one simulated score has to exceed the other
AT, PARITY = 8, 3.0  # the position, and the factor sqrt(AT + 1) that gives it the variance of token 0
WITH_SINK = ((1.6, 0.1), (0.0, 1.5), (2.0, 1.5))        # mean and residual: settings of sinks.md R18
WITH_MEAN = ((1.6, 0.1), (2.0, 1.5), (3.0, 0.1))
NO_SINK = (0.0, 0.1)                                    # nothing is left of the variance after the first norm
MODEL = "the chain of (D-chain) with 12 tokens and 64 channels"

Scores = tuple[np.ndarray, np.ndarray]


def _chain(setting: tuple[float, float], intervene: str | None = None, factor: float = 1.0, at: int = AT) -> Chain:
    """The chain in a setting; a factor of 1 is no intervention."""
    given: dict[str, Any] = {"length": 12, "width": 64, "mean": setting[0], "residual": setting[1]}
    if intervene is None or (intervene in ("amplify", "scale") and factor == 1):
        return Chain(**given)
    return Chain(**given, intervene=intervene, factor=factor, at=at)


@cache
def _predicted(chain: Chain) -> Scores:
    return predict.expected(chain)["received"]


def _drawn(chain: Chain, rng: np.random.Generator) -> np.ndarray:
    """Mean score of each key, of each sequence."""
    noise, residual = rng.standard_normal((2, SEQUENCES, chain.length, chain.width))
    return simulate.stages(chain, noise, residual)["received"]


@cache
def _simulated(chain: Chain) -> np.ndarray:
    return _drawn(chain, np.random.default_rng(0))


def _mean(x: np.ndarray) -> tuple[float, float]:
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))


def _columns(pairs: list[tuple[float, float]]) -> Scores:
    means, errors = np.array(pairs).T
    return means, errors


def _below(low: Chain, high: Chain, at: int = AT) -> tuple[list[float], list[float]]:
    """Score of a key in the one chain, with what it has to be below by, and in the other: predicted, simulated."""
    (less, more), (off, loose) = zip(*((score[at], error[at]) for score, error in map(_predicted, (low, high))))
    apart, stderr = _mean(_simulated(high)[:, at] - _simulated(low)[:, at])
    return [less + off + loose, ERRORS * stderr], [more, apart]


def _change(after: Chain, at: int) -> tuple[float, float]:
    """Predicted change of a score by an intervention, and its error."""
    (new, off), (old, loose) = (_predicted(x) for x in (after, _without(after)))
    return float(new[at] - old[at]), float(off[at] + loose[at])


def _without(chain: Chain) -> Chain:
    return _chain((chain.mean, chain.residual))


def _drawn_change(after: Chain, at: int, rng: np.random.Generator) -> tuple[float, float]:
    """The same over sequences that both share, and its standard error."""
    same = rng.integers(1 << 32)
    new, old = (_drawn(x, np.random.default_rng(same)) for x in (after, _without(after)))
    return _mean(new[:, at] - old[:, at])


def _changes(x: tuple[float, ...], x_name: str, y_name: str,
             chains: Callable[[], list[tuple[Chain, int]]]) -> Simulation:
    """Change of a score by each of several interventions, predicted and simulated."""
    return Simulation(x, x_name, y_name, lambda: _columns([_change(*one) for one in chains()]),
                      lambda rng: _columns([_drawn_change(*one, rng) for one in chains()]))


# a token that sees itself alone

MASKED = (3, AT)


def _masked(setting: tuple[float, float], at: int) -> tuple[list[float], list[float]]:
    """Unmasked against masked, and the score among equal keys against it."""
    chain = _chain(setting, "mask", at=at)
    left, right = _below(_without(chain), chain, at)
    score, error = (x[at] for x in _predicted(chain))
    return [*left, float(np.mean(1 / np.arange(at + 1, chain.length + 1)) + error)], [*right, float(score)]


MASK = Claim(
    id="sinks-mask", source=f"{LI}, interventions, section not recorded", label="C-sinks-mask",
    title="A token that is masked to itself becomes a sink",
    statement=r"s_k(S_k = e_k) > \max(s_k,\, \frac{1}{T-k} \sum_{i \geq k} \frac{1}{i+1})",
    assumes=f"{MODEL}, mean and residual (1.6, .1), (0, 1.5), (2, 1.5): token 0 is a sink; s_k is the mean "
            "score of key k, compared with its own without the mask and with that of equal keys; k = 3 and 8",
    expected=AGREES,
    note="sinks.md R18, table. Published of a trained model at k = 10. Where token 0 is no sink (no mean, a residual "
         "of 0.1) the mask lowers the score: that is the control",
    holds=Inequality({"setting": st.sampled_from(WITH_SINK), "at": st.sampled_from(MASKED)}, _masked),
    simulate=_changes((3.0, AT), "masked token k", "gain in the score of k", lambda: [
        (_chain((2.0, 1.5), "mask", at=at), at) for at in MASKED]),
    control=Control("a chain in which token 0 is no sink: no mean and a small residual", Inequality(
        {"at": st.sampled_from(MASKED)}, lambda at: _masked(NO_SINK, at))))


# a value moved away from the mean

FACTORS = (1.0, 1.7, PARITY, 30.0)


def _step(setting: tuple[float, float], step: int, intervene: str = "amplify") -> tuple[list[float], list[float]]:
    low, high = (_chain(setting, intervene, factor) for factor in FACTORS[step:step + 2])
    return _below(low, high)


def _factors() -> list[tuple[Chain, int]]:
    return [(_chain((2.0, 1.5), "amplify", factor), AT) for factor in FACTORS[1:]]


AMPLIFY = Claim(
    id="sinks-amplify", source=f"{LI}, interventions, section not recorded", label="C-sinks-amplify",
    title="Moving a token's value away from the mean makes it a sink, the more so up to parity of variance",
    statement=r"s_k(\mu + \lambda(o_k - \mu)) \;\mathrm{rises\;with}\; \lambda, \qquad 1 \leq \lambda \leq \sqrt{k+1}",
    assumes=f"{MODEL}, mean and residual (1.6, .1), (0, 1.5), (2, 1.5); k = {AT}, lambda = 1, 1.7 and 3",
    expected=CORRECTED,
    note="sinks.md 2.1: told without a bound on lambda (the range that was tried is not recorded). At lambda = 30 the "
         "state is longer than what the feed-forward can add to it, and the score is below that at 3",
    printed=Inequality({"setting": st.sampled_from(WITH_SINK), "step": st.integers(0, 2)}, _step),
    holds=Inequality({"setting": st.sampled_from(WITH_SINK), "step": st.integers(0, 1)}, _step),
    simulate=_changes(FACTORS[1:], "lambda", "gain in the score of token 8", _factors),
    control=Control("the mean multiplied with the rest: pure scaling", Inequality(
        {"setting": st.sampled_from(WITH_MEAN), "step": st.integers(0, 1)},
        lambda setting, step: _step(setting, step, "scale"))))


# a value that is multiplied, mean and all

MEANS = (0.0, 0.5, 2.0)


def _scaled(setting: tuple[float, float], intervene: str = "scale") -> tuple[list[float], list[float]]:
    return _below(_chain(setting, intervene, PARITY), _chain(setting))


SCALE = Claim(
    id="sinks-scale", source=f"{LI}, interventions (the control experiment), section not recorded",
    label="C-sinks-scale",
    title="Multiplying a token's value makes no sink where values have a large mean",
    statement=r"s_k(\lambda o_k) < s_k, \qquad \lambda = \sqrt{k+1}", expected=CORRECTED,
    assumes=f"{MODEL}; k = {AT}; mean and residual (1.6, .1), (2, 1.5), (3, .1); values of variance 1 off the subspace",
    note="sinks.md R18. Published of a trained model, whose values may well have a mean. As a statement about scaling "
         "it is false: without a mean scaling is amplification, and at a residual of 1.5 the score rises",
    printed=Inequality({"setting": st.sampled_from((*WITH_MEAN, (0.0, 1.5)))}, _scaled),
    holds=Inequality({"setting": st.sampled_from(WITH_MEAN)}, _scaled),
    simulate=_changes(MEANS, "mean of a value (residual 1.5)", "gain in the score of token 8, lambda = 3", lambda: [
        (_chain((mean, 1.5), "scale", PARITY), AT) for mean in MEANS]),
    control=Control("the mean left as it is: amplification", Inequality(
        {"setting": st.sampled_from(WITH_MEAN)}, lambda setting: _scaled(setting, "amplify"))))


# head-wise norm on what is there

NORMED = ((0.0, 1.5), (3.0, 0.1))


def _normed(setting: tuple[float, float]) -> tuple[list[float], list[float]]:
    return _below(_chain(setting, "headnorm"), _chain(setting), 0)


def _unnormed(setting: tuple[float, float]) -> tuple[list[float], list[float]]:
    return _below(_chain(setting), _chain(setting, "headnorm"), 0)


HEADNORM = Claim(
    id="sinks-headnorm-removes", label="C-sinks-headnorm-removes",
    source=f"{LI}, section 5.1, read of finished weights; the paper's own statement is about training from scratch",
    title="Put into finished weights, head-wise RMSNorm removes the sink, or weakens it at least",
    statement=r"s_0(o_i / \mathrm{rms}(o_i)) < s_0",
    assumes=f"{MODEL}; true without a mean: at a residual of 1.5 it falls from .313 to .260, equal keys have .259",
    expected=REFUTED,
    note="sinks.md R18: with a mean of 3 and a residual of 0.1 the sink gets stronger: the state's size is then 1 in "
         "place of 3 and the same amplified channel dominates it. The paper trains with the norm from scratch, and "
         "finds no sink: this neither confirms nor contradicts it",
    holds=Inequality({"setting": st.sampled_from(NORMED)}, _normed),
    simulate=_changes((0.0, 3.0), "mean of a value (residual 1.5, 0.1)", "gain in the score of token 0 by HeadNorm",
                      lambda: [(_chain(setting, "headnorm"), 0) for setting in NORMED]),
    control=Control("that it strengthens the sink", Inequality({"setting": st.sampled_from(NORMED)}, _unnormed)))


# the factor that makes variances equal

KEYS = (0, 1, 3, 8, 31)
PARITY_DRAW = {"k": st.integers(0, 63), "rho": st.floats(0.0, 1.0)}


def _square(k: Any, rho: Any) -> Any:
    """Of the factor."""
    return (k + 1) / (1 + k * rho)


def _factor(k: int, rho: float) -> float:
    return float(np.sqrt(_square(k, rho)))


def _prove_parity() -> str:
    k, i, j = sympy.symbols("k i j", integer=True, nonnegative=True)
    rho = sympy.Symbol("rho", nonnegative=True)
    pairs = sympy.summation(sympy.summation(rho / (k + 1) ** 2, (i, 0, k)), (j, 0, k))
    variance = pairs + sympy.summation((1 - rho) / (k + 1) ** 2, (i, 0, k))
    return every([zero(_square(k, rho) * variance - 1), zero(_square(k, 0) - (k + 1))])


def _amplified(k: int, factor: float, rho: float) -> tuple[list[float], list[float]]:
    """Variance of a mean of k + 1 values after amplification, by its matrix and by the formula, against 1."""
    row = np.full(k + 1, factor / (k + 1))
    matrix = rho + (1 - rho) * np.eye(k + 1)
    return [float(row @ matrix @ row), factor ** 2 * sinks.uniform_covariance(k, k, rho=rho)], [1.0, 1.0]


def _simulated_parity(rng: np.random.Generator) -> Scores:
    common, own, still = rng.normal(size=20000), rng.normal(size=(32, 20000)), np.zeros((32, 1))
    out = attention.outputs(still, still, np.zeros(1), np.sqrt(0.3) * common + np.sqrt(0.7) * own)
    return _columns([_mean((_factor(k, 0.3) * out[k]) ** 2) for k in KEYS])


def _tie_parity() -> float:
    chains = [_chain((0.0, 1.5), "amplify", _factor(k, 0.0), at=k) for k in (1, 4, 11)]
    rows = [predict.weights(chain)[chain.at] for chain in chains]
    return max(abs(float(sinks.variance(row)) - 1) for row in rows)


EQUAL = Claim(
    id="sinks-parity", source=f"derived in sinks.md R13 for the amplification of {LI}", label="C-sinks-parity",
    title="The factor that gives an averaged token the variance of the first",
    statement=r"\mathrm{Var}(\mu + \lambda^*(o_k - \mu)) = \mathrm{Var}(o_0), \quad "
              r"\lambda^* = \sqrt{\frac{k+1}{1 + k\rho}}",
    assumes="uniform rows; values of one variance, pairwise correlation rho; k from 0", expected=PROVED,
    note="sinks.md R13, with i = k + 1: 3.317 at k = 10 and rho = 0, 1.658 at rho = .3", prove=_prove_parity,
    holds=Identity(PARITY_DRAW, lambda k, rho: _amplified(k, _factor(k, rho), rho)),
    simulate=Simulation(KEYS, "k", "variance after amplification, rho = 0.3", lambda: (np.ones(len(KEYS)), 0.0),
                        _simulated_parity),
    tie=_tie_parity,
    control=Control("sqrt(k+1) for correlated values too", Identity(PARITY_DRAW, lambda k, rho: (
        _amplified(k, _factor(k, 0.0), rho)))))

CLAIMS = (MASK, AMPLIFY, SCALE, HEADNORM, EQUAL)
