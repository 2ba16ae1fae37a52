"""The chain from variance to a sink by brute force: its slow twin, its symmetries, and what must not be assumed."""

import dataclasses

import naive_chain
import numpy as np
import pytest
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim.errors import RopesimError
from ropesim.simulate import chain
from ropesim.stacks import INTERVENTIONS, Chain

SMALL = Chain(length=5, width=9, subspace=3, mean=1.5, residual=0.4, lock=-1.2, at=3, factor=2.5)
LAMBDA = 11 ** 0.5          # parity with token 0 for token 10, sinks.md R13
SAMPLES, SEEDS = 300, (0, 1, 2)


def at(mean, residual, intervene=None, factor=LAMBDA, **more):
    return Chain(mean=mean, residual=residual, intervene=intervene, at=10, factor=factor, **more)


def received(key, setting, seed):
    mean, stderr = chain.run(setting, SAMPLES, seed)["received"]
    return mean[key], stderr[key]


def rises(low, high):
    """Whether the second mean lies above the first by five standard errors."""
    return high[0] - low[0] > SIGMAS * np.hypot(low[1], high[1])


@pytest.mark.parametrize("intervene", [None, *INTERVENTIONS])
def test_stages_are_their_naive_twin(intervene):
    setting = dataclasses.replace(SMALL, intervene=intervene)
    noise, residual = np.random.default_rng(5).standard_normal((2, 3, 5, 9))
    outputs = [naive_chain.aggregated(z, 3, 1.5, setting.spread, 3, intervene, 2.5) for z in noise.tolist()]
    slow = [naive_chain.sequence(o, 0.4, e, 3, setting.amplification, -1.2) for o, e in zip(outputs, residual.tolist())]
    fast = chain.stages(setting, noise, residual)
    for name, wanted in zip(("energy", "dominance", "key", "received"), zip(*slow)):
        np.testing.assert_allclose(fast[name], wanted, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(fast["variance"].mean(axis=0), naive_chain.variance(outputs), rtol=EXACT)


def test_a_run_is_the_stages_of_its_draws():
    values, residual = (np.random.default_rng(s).standard_normal((40, 5, 9))
                        for s in np.random.SeedSequence(7, spawn_key=(0,)).spawn(2))
    halves = [chain.stages(SMALL, values[part], residual[part]) for part in (slice(20), slice(20, 40))]
    for name, (mean, stderr) in chain.run(SMALL, 40, 7).items():
        drawn = np.concatenate([half[name] for half in halves])
        np.testing.assert_allclose(mean, drawn.mean(axis=0), rtol=EXACT)
        np.testing.assert_allclose(stderr, drawn.std(axis=0, ddof=1) / 40 ** 0.5, rtol=FLOAT)


@pytest.mark.parametrize("lock", [-3.0, 0.75, 300.0])
def test_rows_of_scores_sum_to_one(lock):
    mean, _ = chain.run(dataclasses.replace(SMALL, lock=lock), 20, 1)["received"]
    np.testing.assert_allclose(mean @ np.arange(5, 0, -1), 5, rtol=FLOAT)


def test_without_lock_in_every_row_is_uniform():
    mean, stderr = chain.run(dataclasses.replace(SMALL, lock=0.0), 20, 1)["received"]
    np.testing.assert_allclose(mean, [sum(1 / (i + 1) for i in range(j, 5)) / (5 - j) for j in range(5)], rtol=EXACT)
    assert stderr.max() < EXACT


@pytest.mark.parametrize("intervene", ["mask", "amplify", "scale"])
def test_an_intervention_leaves_the_other_positions_of_layer_1_alone(intervene):
    plain, moved = (chain.run(dataclasses.replace(SMALL, intervene=x), 20, 2) for x in (None, intervene))
    for name in ("variance", "energy", "dominance", "key"):
        same = plain[name][0] == moved[name][0]
        np.testing.assert_array_equal(same, np.arange(5) != 3)


def test_amplify_and_scale_are_one_operation_without_a_mean():
    one, other = (chain.run(at(0.0, 0.7, name, 2.3), 40, 3) for name in ("amplify", "scale"))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    one, other = (chain.run(at(0.1, 0.7, name, 2.3), 40, 3) for name in ("amplify", "scale"))
    assert not np.array_equal(one["received"], other["received"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("intervene", ["mask", "amplify"])
def test_parity_with_token_0(intervene, seed):
    found = chain.run(at(2.0, 0.5, intervene), SAMPLES, seed)
    for name in ("variance", "energy", "key"):
        mean, stderr = found[name]
        assert abs(mean[10] - mean[0]) < SIGMAS * np.hypot(stderr[0], stderr[10])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mean, residual", [(1.6, 0.1), (0.0, 1.5), (2.0, 1.5), (3.0, 0.1)])
def test_mask_and_amplify_make_a_sink_anywhere(mean, residual, seed):
    before = received(10, at(mean, residual), seed)
    assert all(rises(before, received(10, at(mean, residual, name), seed)) for name in ("mask", "amplify"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_factor_strengthens_the_sink(seed):
    found = [received(10, at(1.6, 0.1, "amplify", factor), seed) for factor in (1.0, 2.0, LAMBDA, 6.0)]
    assert all(map(rises, found, found[1:]))
    assert rises(received(10, at(1.6, 0.1, "amplify", 30.0), seed), found[-1])      # but not where it is all there is


@pytest.mark.parametrize("seed", SEEDS)
def test_scaling_does_not_always_fail(seed):
    assert rises(received(10, at(0.0, 1.5), seed), received(10, at(0.0, 1.5, "scale"), seed))      # a sink
    assert rises(received(10, at(2.0, 1.5, "scale"), seed), received(10, at(2.0, 1.5), seed))      # less than before


@pytest.mark.parametrize("seed", SEEDS)
def test_headnorm_does_not_always_remove_the_sink(seed):
    none, normed = (received(0, at(3.0, 0.1, name), seed) for name in (None, "headnorm"))
    assert rises(none, normed)                                                                     # stronger
    none, normed = (received(0, at(0.0, 1.5, name), seed) for name in (None, "headnorm"))
    uniform = sum(1 / (i + 1) for i in range(48)) / 48
    assert rises(normed, none) and abs(normed[0] - uniform) < SIGMAS * normed[1]                   # gone
    none, normed = (received(0, at(2.0, 1.5, name), seed) for name in (None, "headnorm"))
    assert rises(normed, none) and rises((uniform, 0.0), normed)                                   # a part


def test_what_is_alike_in_all_coordinates_does_not_survive_the_norm():
    found = chain.run(Chain(mean=0.0, residual=0.0, spread=1.0), SAMPLES, 0)
    mean, stderr = found["energy"]
    assert np.all(np.abs(mean - 1) < SIGMAS * stderr)                # while the variance falls 48-fold
    assert found["variance"][0][47] < 0.03 * found["variance"][0][0]


@pytest.mark.parametrize("samples, seed, name", [(1, 0, "samples"), (2.0, 0, "samples"), (2, -1, "seed")])
def test_bad_input_is_refused(samples, seed, name):
    with pytest.raises(RopesimError, match=f"^{name} = "):
        chain.run(SMALL, samples, seed)


@pytest.mark.parametrize("name, change", [
    ("subspace", {"subspace": 8}), ("width", {"width": 0}), ("mean", {"mean": -1.0}), ("spread", {"spread": 0.0}),
    ("at", {"at": 5}), ("lock", {"lock": np.inf}), ("intervene", {"intervene": "mend"}),
    ("factor", {"intervene": "scale", "factor": 0.0, "residual": 0.0})])
def test_a_chain_that_cannot_be_is_refused(name, change):
    with pytest.raises(RopesimError, match=f"^{name} = "):
        dataclasses.replace(SMALL, **change)
