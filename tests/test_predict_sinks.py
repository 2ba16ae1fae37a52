"""Sinks in closed form: sums written out, quadrature in many digits, simulated rows, and the figures of sinks.md."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim import patterns
from ropesim.errors import RopesimError
from ropesim.predict import sinks

seeds = st.integers(0, 2 ** 32 - 1)
margins = st.floats(-20, 40)


# variance of aggregation

@given(seeds, st.integers(1, 8), st.floats(0, 1), st.floats(0, 3))
def test_variance_is_the_double_sum_over_covariances(seed, keys, rho, sigma):
    w = np.random.default_rng(seed).normal(size=keys)
    slow = math.fsum(w[j] * w[k] * sigma ** 2 * (1 if j == k else rho) for j in range(keys) for k in range(keys))
    size = math.fsum(abs(w[j] * w[k]) * sigma ** 2 for j in range(keys) for k in range(keys))
    assert sinks.variance(w, sigma=sigma, rho=rho) == pytest.approx(slow, abs=EXACT * size)


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1))
def test_uniform_rows_are_means(i, k, rho):
    slow = math.fsum((1 if m == n else rho) / ((i + 1) * (k + 1)) for m in range(i + 1) for n in range(k + 1))
    assert sinks.uniform_covariance(i, k, rho=rho) == pytest.approx(slow, rel=EXACT)


@given(st.floats(0, 1), st.integers(2, 20), st.floats(-2, 2), st.floats(0, 1))
def test_a_row_with_a_sink_is_a_row_of_weights(mass, keys, scale, rho):
    weights = [scale * mass] + [(1 - mass) / (keys - 1)] * (keys - 1)
    found = sinks.sink_row_variance(mass, keys, scale=scale, sigma=2.0, rho=rho)
    assert found == pytest.approx(float(sinks.variance(weights, sigma=2.0, rho=rho)), abs=EXACT)


def test_variance_of_many_rows_at_once():
    rows = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 3))
    assert sinks.variance(rows, rho=0.3).shape == (2, 3)
    assert sinks.variance(rows, rho=1.0) == pytest.approx(np.ones((2, 3)), rel=EXACT)


def test_the_first_output_varies_most_by_the_ratio_of_the_notes():
    """sinks.md R1: i / (1 + (i - 1) rho) between the first of i rows and the last."""
    for rho, wanted in ((0.0, 64.0), (0.3, 64 / 19.9)):
        first, last = (sinks.uniform_covariance(i, i, rho=rho) for i in (0, 63))
        assert first / last == pytest.approx(wanted, rel=EXACT)


# Gaussian logits

@pytest.mark.parametrize("keys, tau, wanted", [
    (64, 0.5, .01993), (64, 1, .03880), (64, 2, .1607), (64, 4, .4582), (64, 8, .7118), (1024, 0.5, .00125),
    (1024, 1, .00264), (1024, 2, .0285), (1024, 4, .2725), (1024, 8, .6017),
    (1, 1, 1), (2, 1, .636), (3, 1, .481), (4, 1, .393), (6, 1, .291), (8, 1, .232), (12, 1, .168)])
def test_the_participation_of_gaussian_logits_is_that_of_the_notes(keys, tau, wanted):
    """sinks.md R4 (one unit of the last digit) and R1, whose row of tau = 1 is simulated."""
    value, error = sinks.gaussian_participation(keys, tau)
    unit = 10.0 ** -len(str(wanted).partition(".")[2])
    assert value == pytest.approx(wanted, abs=1e-9 if keys == 1 else 2 * unit)
    assert 0 < error < 1e-12 * value * 10


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0, 3.0])
def test_two_gaussian_keys_in_many_digits(tau):
    """The difference of the logits is N(0, 2 tau^2) and S2 = p^2 + (1-p)^2 with p its logistic function."""
    def integrand(x):
        p = 1 / (1 + mpmath.exp(-math.sqrt(2) * tau * x))
        return mpmath.npdf(x) * (p ** 2 + (1 - p) ** 2)
    with mpmath.workdps(20):
        exact = float(mpmath.quad(integrand, np.linspace(-9, 9, 13).tolist()))
    value, error = sinks.gaussian_participation(2, tau)
    assert abs(value - exact) <= error


@pytest.mark.parametrize("keys", [1, 2, 7, 1000, 1 << 30])
def test_equal_logits_have_the_participation_of_a_mean(keys):
    value, error = sinks.gaussian_participation(keys, 0.0)
    assert abs(value * keys - 1) <= error * keys
    assert error <= 1e-11 / keys


def test_many_keys_reach_the_expansion():
    for keys in (10 ** 4, 10 ** 6, 1 << 30):
        value, error = sinks.gaussian_participation(keys, 1.0)
        series, rest = sinks.gaussian_participation_series(keys, 1.0)
        assert abs(value - series) <= 2 * rest + error + 1e-12 * value


@given(st.integers(64, 10 ** 5), st.floats(0, 0.7))
def test_the_error_of_the_expansion_is_its_error(keys, tau):
    """The next term alone, where it rules; e^{5 tau^2} of it is below 12 here and keys 64 or more."""
    value, _ = sinks.gaussian_participation(keys, tau)
    series, rest = sinks.gaussian_participation_series(keys, tau)
    assert abs(value - series) <= 2 * rest + 1e-12 * value


def test_the_expansion_knows_where_it_fails():
    value, _ = sinks.gaussian_participation(64, 2.0)
    series, error = sinks.gaussian_participation_series(64, 2.0)
    assert abs(series) > 10 * value and error > abs(series)


# score and margin

@given(margins, st.integers(1, 300))
def test_the_score_is_the_mean_over_rows(margin, length):
    slow = math.fsum(1 / (1 + i * math.exp(-margin)) for i in range(length)) / length
    score, error = sinks.sink_score(margin, length)
    assert (score, error) == (pytest.approx(slow, rel=EXACT), 0.0)


@given(margins, st.integers(0, 300), st.floats(0, 3))
def test_the_score_is_the_mean_of_the_masses(margin, keys, tau):
    masses = [sinks.sink_mass(margin, n, tau=tau) for n in range(keys + 1)]
    score = sinks.sink_score(margin, keys + 1, tau=tau)
    np.testing.assert_allclose(score, np.mean(masses, axis=0), rtol=EXACT)


@pytest.mark.parametrize("margin", [-1e300, -800.0, 800.0, 1e300])
def test_margins_beyond_all_bounds(margin):
    assert sinks.sink_score(margin, 4)[0] == (0.25 if margin < 0 else 1.0)
    assert sinks.sink_mass(margin, 4)[0] == pytest.approx(float(margin > 0), abs=1e-300)


def test_the_figures_of_the_notes():
    """sinks.md 1.1 and R5."""
    assert sinks.sink_score(3.0, 64)[0] == pytest.approx(.4554, abs=5e-5)
    score, error = sinks.sink_score(4.0, 64, tau=1.0)
    assert score == pytest.approx(.562, abs=5e-4) and score < .567 < score + error
    found = [sinks.margin_for_mass(a, n - 1) for a, n in ((.3, 64), (.8, 2048), (.8, 131072))]
    assert found == pytest.approx([3.30, 9.01, 13.17], abs=5e-3)
    assert [sinks.baseline(n) for n in (64, 10, 9)] == pytest.approx([.0741, .2929, .3143], abs=5e-5)


@pytest.mark.parametrize("keys, tau", [(1, 0.5), (4, 1.0), (63, 1.5)])
def test_noise_adds_no_more_to_a_mass_than_the_bound(keys, tau):
    sums = np.exp(tau * np.random.default_rng(0).normal(size=(40000, keys))).sum(1)
    found = 1 / (1 + sums * math.exp(-2.0))
    mass, error = sinks.sink_mass(2.0, keys, tau=tau)
    slack = SIGMAS * found.std() / math.sqrt(found.size)
    assert mass - slack <= found.mean() <= mass + error + slack


@given(st.floats(1e-9, 1 - 1e-9), st.integers(1, 1 << 40), st.floats(0, 4))
def test_the_margin_for_a_mass_gives_it(mass, keys, tau):
    margin = sinks.margin_for_mass(mass, keys, tau=tau)
    assert sinks.sink_mass(margin, keys, tau=tau)[0] == pytest.approx(mass, rel=FLOAT)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(2, 10 ** 6), st.floats(0, 4))
def test_the_margin_for_a_score_gives_it_and_is_less_than_that_of_the_last_row(share, length, tau):
    score = (1 + (length - 1) * share) / length                   # above 1 / length
    if not 1 / length < score < 1:
        return
    margin = sinks.margin_for_score(score, length, tau=tau)
    assert sinks.sink_score(margin - tau ** 2 / 2, length)[0] == pytest.approx(score, rel=FLOAT)
    assert margin <= sinks.margin_for_mass(score, length - 1, tau=tau) + 1e-8


def test_mass_in_the_last_row_and_score_over_all_rows_are_different_wishes():
    assert sinks.margin_for_mass(0.3, 63) - sinks.margin_for_score(0.3, 64) == pytest.approx(1.107, abs=1e-3)


@given(st.integers(1, 300))
def test_the_baseline_is_the_uniform_profile(length):
    assert sinks.baseline(length) == pytest.approx(patterns.uniform(length).received[0], rel=EXACT)


# channels

@pytest.mark.parametrize("size, ratio, strength, cosine", [
    (4096, 262.88, 224, .962), (768, 82.67, None, .936), (768, 33.74, None, .713)])
def test_the_inverted_ratios_are_those_of_the_notes(size, ratio, strength, cosine):
    """sinks.md R16; one unit of the last digit."""
    found = sinks.strength_for_dominance(ratio, size)
    assert sinks.dominance(found, size)[0] == pytest.approx(ratio, rel=EXACT)
    assert sinks.alignment(found, size) == pytest.approx(cosine, abs=1e-3)
    assert strength is None or found == pytest.approx(strength, abs=0.5)
    low, high = sinks.alignment_bounds(ratio, size)
    assert low < cosine < high


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_channel_among_gaussian_ones(seed):
    x = np.random.default_rng(seed).normal(size=(200, 512))
    x[:, 0] = 30.0
    ratio = np.abs(x).max(1) / np.abs(x).mean(1)
    cosine = x[:, 0] / np.linalg.norm(x, axis=1)
    value, error = sinks.dominance(30.0, 512)
    assert abs(ratio.mean() - value) <= error + SIGMAS * ratio.std() / math.sqrt(200)
    # the mean cosine is off by terms of order 1 / size
    assert abs(cosine.mean() - sinks.alignment(30.0, 512)) <= 1 / 512 + SIGMAS * cosine.std() / math.sqrt(200)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_both_bounds_of_the_cosine_are_attained(ones, zeros, rest):
    """`ones` channels as large as the largest and the others 0; the largest and the others alike."""
    size = ones + zeros
    assert sinks.alignment_bounds(size / ones, size)[0] == pytest.approx(ones ** -0.5, rel=EXACT)
    ratio = min(max(size / (1 + (size - 1) * rest), 1.0), size)
    assert sinks.alignment_bounds(ratio, size)[1] == pytest.approx((1 + (size - 1) * rest ** 2) ** -0.5, rel=EXACT)


def quadrature(norm, size):
    """Root mean square of SiLU(z) z for z = norm sqrt(size) u, u a coordinate of the unit sphere."""
    def density(u):
        return (1 - u * u) ** mpmath.mpf((size - 3) / 2)

    def integrand(u):
        z = norm * mpmath.sqrt(size) * u
        return density(u) * (z * z / (1 + mpmath.exp(-z))) ** 2
    cuts = np.linspace(-1, 1, 41).tolist()
    return float(mpmath.sqrt(mpmath.quad(integrand, cuts) / mpmath.quad(density, cuts)))


@pytest.mark.parametrize("norm, size, cosine", [*itertools.product([3.0, 8.0], [16, 1024], [0.1, 0.5, 1.0])])
def test_the_gain_of_a_swiglu_neuron(norm, size, cosine):
    z = norm * math.sqrt(size) * cosine
    exact = z * z / (1 + math.exp(-z)) / quadrature(norm, size)
    gain, error = sinks.swiglu_gain(size, cosine, norm)
    assert abs(gain - exact) <= error
    assert gain == pytest.approx(size * cosine ** 2 * math.sqrt(2 / 3), rel=EXACT)


def test_a_weak_neuron_has_no_bounded_gain():
    assert sinks.swiglu_gain(64, 0.5, 0.5)[1] == math.inf


@pytest.mark.parametrize("mean, keys", [(0.5, 1), (0.5, 64), (2.0, 8), (0.0, 8)])
def test_what_head_norm_leaves_of_the_variance(mean, keys):
    o = mean + np.random.default_rng(0).normal(size=(20, 50, 64)) / math.sqrt(keys)
    normed = o / np.sqrt((o ** 2).mean(-1, keepdims=True))
    groups = normed.var(1, ddof=1).mean(-1)
    share, error = sinks.centred_share(1 / keys, mean, 64)
    assert abs(groups.mean() - share) <= error + SIGMAS * groups.std(ddof=1) / math.sqrt(20)


# refusals

@pytest.mark.parametrize("call, name", [
    (lambda: sinks.variance([0.5, math.nan]), "weights"), (lambda: sinks.variance([0.5, 0.5], sigma=-1), "sigma"),
    (lambda: sinks.variance([0.5, 0.5], rho=1.5), "rho"), (lambda: sinks.variance([0.5] * 3, rho=-0.6), "rho"),
    (lambda: sinks.uniform_covariance(-1, 0), "i"), (lambda: sinks.uniform_covariance(0, 0.5), "k"),
    (lambda: sinks.sink_row_variance(1.1, 3), "mass"), (lambda: sinks.sink_row_variance(0.5, 1), "keys"),
    (lambda: sinks.sink_row_variance(0.5, 3, scale=math.inf), "scale"),
    (lambda: sinks.gaussian_participation(0, 1.0), "keys"), (lambda: sinks.gaussian_participation(9, -1.0), "tau"),
    (lambda: sinks.gaussian_participation(9, 17.0), "tau"),
    (lambda: sinks.gaussian_participation_series(0, 1.0), "keys"),
    (lambda: sinks.gaussian_participation_series(9, 9.0), "tau"), (lambda: sinks.sink_mass(math.nan, 3), "margin"),
    (lambda: sinks.sink_mass(1.0, -1), "keys"), (lambda: sinks.sink_score(1.0, 0), "length"),
    (lambda: sinks.sink_score(1.0, 4, tau=-1), "tau"), (lambda: sinks.margin_for_mass(0.0, 3), "share"),
    (lambda: sinks.margin_for_mass(1.0, 3), "share"), (lambda: sinks.margin_for_mass(0.5, 0), "keys"),
    (lambda: sinks.margin_for_score(0.25, 4), "share"), (lambda: sinks.margin_for_score(0.5, 1), "length"),
    (lambda: sinks.baseline(0), "length"), (lambda: sinks.dominance(-1.0, 4), "strength"),
    (lambda: sinks.dominance(1.0, 1), "size"), (lambda: sinks.strength_for_dominance(4.0, 4), "ratio"),
    (lambda: sinks.strength_for_dominance(0.0, 4), "ratio"), (lambda: sinks.alignment(-1.0, 4), "strength"),
    (lambda: sinks.alignment_bounds(0.5, 4), "ratio"), (lambda: sinks.swiglu_gain(8, 0.0, 1.0), "cosine"),
    (lambda: sinks.swiglu_gain(8, 0.5, 0.0), "norm"), (lambda: sinks.centred_share(0.0, 1.0, 8), "participation"),
    (lambda: sinks.centred_share(0.5, -1.0, 8), "mean")])
def test_bad_input_is_refused(call, name):
    with pytest.raises(RopesimError, match=f"^{name} = "):
        call()
