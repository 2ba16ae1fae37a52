"""Expected scores of random heads against their simulation."""

import numpy as np

from ropesim import bands, ensembles, wrappers
from ropesim.predict import moments
from ropesim.simulate import attention

from .timing import Line, at_least, seconds

TOKENS, SAMPLES = 16384, 16


def lines() -> list[Line]:
    theta = bands.preset("llama-3-8b").theta
    head = wrappers.Noise(ensembles.Slash(7, 2.0), 0.1)
    parts = head.parts(TOKENS, theta)

    def predicted() -> moments.Expected:
        return moments.expected(parts, theta, TOKENS)

    def sample() -> np.ndarray:
        q, k, _ = head.sample(TOKENS, np.random.default_rng(0), theta)
        return attention.profile(q, k, theta).slash

    one = predicted()
    assert abs(one.slash[7] - sample()[7]) < one.slash_error[7] + 0.005
    fast, slow = seconds(predicted, sample, rounds=3)
    return [at_least("expected scores of a noisy head, T = 16384: 16 simulated samples / prediction",
                     SAMPLES * slow / fast, 50)]
