"""Closed forms of the q-similarity against loops, printed values and drawn queries."""

import math

import naive_similarity as naive
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim import similarity as measured
from ropesim.errors import RopesimError
from ropesim.predict import similarity
from ropesim.simulate.attention import rotation

lengths = st.integers(2, 25)
shares = st.floats(0, 1)
correlations = st.floats(-1, 1)
angles = st.sampled_from([0.0, 1e-9, 1e-5, 3e-4, 1e-3, 0.1, 1.0, 3.0, math.pi, -2.0, 6.0])
pairs = st.lists(st.tuples(st.floats(0.01, 10), angles), min_size=1, max_size=3)


def geometric(base, head_dim=128):
    return base ** -(np.arange(head_dim // 2) / (head_dim // 2))


@given(angles, lengths)
def test_fejer_is_the_mean_cosine_between_two_tokens(theta, length):
    ours = similarity.fejer([theta], length)
    assert ours[0] == pytest.approx(naive.mean_cosine(theta, length), abs=EXACT)
    assert -1 / (length - 1) - EXACT <= ours[0] <= 1 + EXACT


def test_fejer_keeps_its_digits_near_a_turn():
    for theta in (2 * math.pi - 1e-6, 20 * math.pi + 1e-3):
        assert similarity.fejer([theta], 25)[0] == pytest.approx(naive.mean_cosine(theta, 25), abs=EXACT)


@given(pairs, lengths, shares, correlations)
@example([(1.0, 0.0)], 5, 0.3, 1.0)
@example([(1.0, 0.0)], 25, 0.0, 1 - 0.0199)
@example([(1.0, 0.0)], 25, 0.0, 1 - 0.0201)
@example([(1.0, 0.0)], 25, 0.0, 1 - 1e-9)
@example([(1.0, math.pi)], 6, 0.0, -1.0)
def test_all_pairs_is_its_naive_twin(spectrum, length, kappa, rho):
    energy, theta = zip(*spectrum)
    ours = similarity.all_pairs(energy, theta, length, kappa=kappa, rho=rho)
    assert ours == pytest.approx(naive.predicted(energy, theta, length, kappa, rho), abs=EXACT)


@given(pairs, shares, correlations)
def test_adjacent_is_the_similarity_of_two_queries(spectrum, kappa, rho):
    energy, theta = zip(*spectrum)
    ours = similarity.adjacent(energy, theta, kappa=kappa, rho=rho)
    assert ours == pytest.approx(similarity.all_pairs(energy, theta, 2, kappa=kappa, rho=rho), abs=EXACT)


def test_the_sum_before_rope_is_that_of_the_notes():
    """tappa.md X7: 2 rho (T (1-rho) - (1-rho^T)) / (T (T-1) (1-rho)^2)."""
    length, rho, kappa = 40, 0.9, 0.25
    total = 2 * rho * (length * (1 - rho) - (1 - rho ** length)) / (length * (length - 1) * (1 - rho) ** 2)
    ours = similarity.all_pairs([2.0], [0.0], length, kappa=kappa, rho=rho)
    assert ours == pytest.approx(kappa + (1 - kappa) * total, rel=EXACT)


@pytest.mark.parametrize("length, base, printed, digit", [
    (32, 1e4, 0.7069, 1e-4), (32, 5e5, 0.7919, 1e-4), (32, 1e6, 0.8019, 1e-4),
    (1024, 1e4, 0.339, 1e-3), (1024, 5e5, 0.534, 1e-3), (1024, 1e6, 0.557, 1e-3)])
def test_the_flat_spectrum_has_the_similarities_of_the_notes(length, base, printed, digit):
    """tappa.md X7, head dimension 128, half a unit of the last digit."""
    assert similarity.all_pairs(np.ones(64), geometric(base), length) == pytest.approx(printed, abs=digit / 2)


@pytest.mark.parametrize("pair, printed", [(0, -0.032), (8, 0.004), (16, 0.371), (24, 0.915), (32, 0.991)])
def test_single_channels_have_the_similarities_of_the_notes(pair, printed):
    assert similarity.fejer(geometric(1e4)[[pair]], 32)[0] == pytest.approx(printed, abs=5e-4)


@given(lengths, st.integers(0, 2 ** 32 - 1))
def test_a_constant_query_is_predicted_exactly(length, seed):
    rng = np.random.default_rng(seed)
    q, theta = rng.normal(size=3) + 1j * rng.normal(size=3), rng.uniform(0, math.pi, 3)
    rotated = q * rotation(length, theta)
    energy = np.abs(q) ** 2
    assert measured.all_pairs(rotated) == pytest.approx(similarity.all_pairs(energy, theta, length), abs=FLOAT)
    assert measured.adjacent(rotated) == pytest.approx(similarity.adjacent(energy, theta), abs=FLOAT)


def drawn(energy, kappa, rho, length, rng, texts=()):
    """Queries with a fixed mean and a stationary AR(1) fluctuation, both with these energies by pair."""
    size = (*texts, length, energy.size)
    x = (rng.normal(size=size) + 1j * rng.normal(size=size)) / math.sqrt(2)
    for t in range(1, length):
        x[..., t, :] = rho * x[..., t - 1, :] + math.sqrt(1 - rho ** 2) * x[..., t, :]
    return np.sqrt(energy) * (math.sqrt(kappa) + math.sqrt(1 - kappa) * x)


@pytest.mark.parametrize("kappa, rho", [(0.0, 0.0), (0.0, 0.95), (0.3, 0.5), (0.6, 0.9), (0.9, -0.5)])
@pytest.mark.parametrize("stage", ["before", "after"])
@pytest.mark.parametrize("base", [1e4, 1e6])
def test_drawn_queries_have_the_predicted_similarity_within_its_error(kappa, rho, stage, base):
    length, energy = 32, geometric(10.0) / geometric(10.0).sum()
    theta = geometric(base) * (stage == "after")
    turn = rotation(length, theta)
    texts = [drawn(energy, kappa, rho, length, np.random.default_rng(seed)) * turn for seed in range(60)]
    error = similarity.error(energy, kappa=kappa)
    for seen, predicted in (
            ([measured.all_pairs(q) for q in texts], similarity.all_pairs(energy, theta, length, kappa=kappa, rho=rho)),
            ([measured.adjacent(q) for q in texts], similarity.adjacent(energy, theta, kappa=kappa, rho=rho))):
        stderr = np.std(seen, ddof=1) / math.sqrt(len(seen))
        assert abs(np.mean(seen) - predicted) <= error + SIGMAS * stderr
        assert error + SIGMAS * stderr < 0.12         # not so wide as to say nothing


@pytest.mark.parametrize("kappa, rho", [(0.0, 0.5), (0.3, 0.5), (0.6, 0.9), (0.9, -0.5)])
def test_flat_queries_come_within_the_three_thousandths_of_the_notes(kappa, rho):
    """tappa.md X7: measured and predicted within .003, here after RoPE at base 1e4 with 64 pairs of one size."""
    energy, theta = np.ones(64), geometric(1e4)
    turn = rotation(32, theta)
    seen = [measured.all_pairs(q * turn) for seed in range(8)
            for q in drawn(energy, kappa, rho, 32, np.random.default_rng(seed), (200,))]
    stderr = np.std(seen, ddof=1) / 40
    gap = abs(np.mean(seen) - similarity.all_pairs(energy, theta, 32, kappa=kappa, rho=rho))
    assert gap <= 0.003 + SIGMAS * stderr and stderr < 0.001


@pytest.mark.parametrize("kappa, rho", [(0.0, 0.6), (0.2, 0.5), (0.5, 0.9)])
def test_few_pairs_err_by_less_than_the_stated_error(kappa, rho):
    """Two pairs: the ratio of the means really is off."""
    energy = np.array([0.5, 0.5])
    seen = [measured.adjacent(drawn(energy, kappa, rho, 400, np.random.default_rng(seed))) for seed in range(60)]
    stderr = np.std(seen, ddof=1) / math.sqrt(len(seen))
    gap = abs(np.mean(seen) - similarity.adjacent(energy, [0.0, 0.0], kappa=kappa, rho=rho))
    assert SIGMAS * stderr < gap <= similarity.error(energy, kappa=kappa) + SIGMAS * stderr


def test_the_error_vanishes_for_a_constant_query_and_with_many_pairs():
    assert similarity.error([1.0, 2.0]) == 0
    assert similarity.error(np.ones(1000), kappa=0.5) == pytest.approx(1.5e-3, rel=EXACT)


@pytest.mark.parametrize("bad, name", [
    ({"energy": [-1.0]}, "energy"), ({"energy": [0.0]}, "energy"), ({"energy": [1.0, 1.0]}, "shape of energy"),
    ({"energy": [math.nan]}, "energy"), ({"theta": [math.inf]}, "theta"), ({"theta": [2.0 ** 64]}, "theta"),
    ({"theta": [[1.0]]}, "shape of theta"), ({"kappa": -0.1}, "kappa"), ({"kappa": 1.1}, "kappa"),
    ({"rho": 1.1}, "rho"), ({"rho": -1.1}, "rho"), ({"rho": math.nan}, "rho"), ({"energy": [], "theta": []}, "energy")])
def test_predictions_refuse(bad, name):
    good = {"energy": [1.0], "theta": [1.0], "kappa": 0.5, "rho": 0.5} | bad
    with pytest.raises(RopesimError, match=name):
        similarity.all_pairs(**good, length=4)
    with pytest.raises(RopesimError, match=name):
        similarity.adjacent(**good)


@pytest.mark.parametrize("length", [1, 0, 2.0])
def test_a_similarity_needs_two_tokens(length):
    with pytest.raises(RopesimError, match="length"):
        similarity.fejer([1.0], length)
    with pytest.raises(RopesimError, match="length"):
        similarity.all_pairs([1.0], [1.0], length)


@pytest.mark.parametrize("bad", [{"energy": [-1.0]}, {"energy": [1.0], "kappa": 2.0}, {"energy": 1.0}])
def test_error_refuses(bad):
    with pytest.raises(RopesimError):
        similarity.error(**bad)
