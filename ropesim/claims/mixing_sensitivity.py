"""The claim that a sink slows mixing: tokens grow alike more slowly, and feel less of each other."""

import numpy as np
from hypothesis import strategies as st

from ..predict import mixing as predict
from ..simulate import mixing as simulate
from ..stacks import Rows, Stack
from .claim import AGREES, Claim, Control, Inequality, Simulation

MASSES, TOKEN, SAMPLES = (0.0, 0.5, 0.8, 0.95), 4, 40
SINKS = {"layers": st.integers(1, 4), "length": st.integers(3, 8), "mass": st.floats(0.5, 1.0),
         "rho": st.floats(0.0, 0.9), "gain": st.floats(0.2, 1.5), "norm": st.sampled_from(("pre", "none"))}


def _less(layers: int, length: int, mass: float, rho: float, gain: float, norm: str,
          value: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosine and sensitivities to the tokens in between: with a sink, plus all errors, and without."""
    rows = (Rows(mass=mass), Rows())
    (with_sink, off), (without, loose) = (predict.expected(Stack(
        layers=layers, length=length, width=64, rho=rho, gain=gain, norm=norm, rows=each, value=factor))
        for each, factor in zip(rows, (value, 1.0)))
    return _of(with_sink) + _of(off) + _of(loose), _of(without)


def _of(found: dict[str, np.ndarray]) -> np.ndarray:
    return np.append(found["cosine"][-1], found["sensitivity"][1:-1])


def _stacks() -> list[Stack]:
    return [Stack(layers=4, heads=2, length=12, width=24, value=0.1 if mass else 1.0,
                  rows=Rows(mass=mass) if mass else Rows()) for mass in MASSES]


def _predicted() -> tuple[list[float], list[float]]:
    found = [predict.expected(stack) for stack in _stacks()]
    return ([float(values["sensitivity"][TOKEN]) for values, _ in found],
            [float(errors["sensitivity"][TOKEN]) for _, errors in found])


def _simulated(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    found = [simulate.run(stack, SAMPLES, int(rng.integers(1 << 32))) for stack in _stacks()]
    return ([float(means["sensitivity"][TOKEN]) for means, _ in found],
            [float(errors["sensitivity"][TOKEN]) for _, errors in found])


CLAIMS = (
    Claim(
        id="mixing-sink-slows", source="Barbero et al. 2025 (2504.02732): sinks as a brake on over-mixing, section not "
                                       "recorded", label="C-mixing-sink-slows",
        title="A sink of small value slows mixing: tokens are less alike and feel less of each other",
        statement=r"\cos_L(\alpha) \leq \cos_L, \qquad \left\|\frac{\partial x_n^{(L)}}{\partial x_i^{(0)}}\right\|"
                  r"_\alpha \leq \left\|\frac{\partial x_n^{(L)}}{\partial x_i^{(0)}}\right\|, \quad 0 < i < n",
        assumes="a stack (D-stack) of up to 4 layers and 8 tokens, mass of key 0 from .5 to 1 in every row, its value "
                "at most .1 of the others'; compared with uniform rows of equal values; scores know nothing of tokens",
        expected=AGREES,
        note="sinks.md R12, R19, section 4. With a value as large as the others' the sink is what tokens come to share "
             "(the control); without a residual it speeds collapse (mixing-sink-is-no-brake)",
        holds=Inequality({**SINKS, "value": st.floats(0.0, 0.1)}, _less),
        simulate=Simulation(MASSES, "mass of the sink, value 0.1", "sensitivity to token 4 after 4 layers", _predicted,
                            _simulated),
        control=Control("a sink whose value is as large as the others'", Inequality(
            SINKS, lambda **draw: _less(**draw, value=1.0))),
    ),
)
