"""Bounds on the movement of logits and scores: loops over plain numbers, equality cases and printed values."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim.errors import RopesimError
from ropesim.predict import stability

seeds = st.integers(0, 2 ** 32 - 1)
angles = st.floats(-20, 20)
sizes = st.floats(0.01, 10)


def heads(seed, pairs=3, keys=4):
    rng = np.random.default_rng(seed)
    q, step, *k = (rng.normal(size=(2 + keys, pairs, 2))).view(complex)[..., 0]
    return q, step, np.array(k), rng.uniform(0, math.pi, pairs)


def logit(q, k, theta, lag):
    """By a loop over the pairs."""
    return sum((a * b.conjugate() * cmath.exp(1j * lag * t)).real
               for a, b, t in zip(q.tolist(), k.tolist(), theta.tolist()))


@given(st.floats(0, 50), st.floats(0.001, 0.999))
@example(2.0, 1 / (1 + math.e))
def test_two_keys_move_by_the_total_variation_at_most(osc, p):
    odds = p / (1 - p) * math.exp(osc)
    moved = odds / (1 + odds) - p
    assert moved <= stability.total_variation(osc) + EXACT


@given(st.floats(0, 50))
def test_keys_of_balanced_odds_attain_the_total_variation(osc):
    before, after = (1 / (1 + math.exp(sign * osc / 2)) for sign in (1, -1))
    assert stability.total_variation(osc) == pytest.approx(after - before, abs=EXACT)


@given(angles, st.integers(0, 9))
def test_chord_is_the_distance_on_the_unit_circle(theta, lag):
    assert stability.chord([theta], lag)[0] == pytest.approx(abs(cmath.exp(1j * lag * theta) - 1), abs=EXACT * 100)


@given(seeds, sizes)
def test_the_largest_change_of_a_logit_lies_between_its_bounds(seed, size):
    q, step, k, theta = heads(seed)
    step = step * size
    changes = [abs(logit(q + step, x, theta, len(k) - j) - logit(q, x, theta, len(k) - 1 - j))
               for j, x in enumerate(k)]
    least, most = stability.jump(q, step, k, theta)
    assert least - FLOAT <= max(changes) <= most + FLOAT


def test_without_rotation_the_lower_bound_is_the_change():
    q, step, k, _ = heads(0)
    seen = max(abs(logit(step, x, np.zeros(3), 0)) for x in k)
    assert stability.jump(q, step, k, np.zeros(3)).least == pytest.approx(seen, rel=EXACT)


def test_one_pair_attains_both_bounds_of_a_jump():
    theta = 0.7
    q = np.array([np.conj(np.exp(1j * theta) - 1)]) / abs(np.exp(1j * theta) - 1)
    along, chord = np.exp(-1j * np.array([theta])), 2 * math.sin(theta / 2)
    bounds = stability.jump(q, 3 * along, [[1.0]], [theta])
    assert bounds == pytest.approx((3 - chord, 3 + chord), rel=EXACT)


@given(seeds, st.integers(1, 40))
def test_a_logit_changes_by_the_vertical_bound_at_most(seed, lag):
    q, step, (k, *_), theta = heads(seed)
    change = abs(logit(q + step, k, theta, 2 + lag) - logit(q, k, theta, 2))
    bound = stability.vertical(np.linalg.norm(step), np.linalg.norm(k), np.abs(q) * np.abs(k), theta, lag=lag)
    assert change <= bound + FLOAT


def test_a_season_of_whole_turns_leaves_the_other_pairs():
    period, rest = 12, 0.3
    bound = stability.vertical(0.0, 1.0, [5.0, 0.2], [2 * math.pi / period, rest], lag=period)
    assert bound == pytest.approx(0.4 * abs(math.sin(period * rest / 2)), rel=FLOAT)


@given(angles, angles)
def test_phase_drift_is_the_difference_of_cosines(phase, theta):
    expected = math.cos(phase + theta) - math.cos(phase)
    assert stability.phase_drift([phase], theta)[0] == pytest.approx(expected, abs=EXACT)


def test_an_aligned_pair_drifts_by_the_square_and_a_quadrature_pair_by_the_angle():
    """tappa.md X3: 5.0e-5 and 1.0e-2 at theta = .01."""
    aligned, quadrature = np.abs(stability.phase_drift([0.0, math.pi / 2], 0.01))
    assert aligned == pytest.approx(5.0e-5, rel=1e-4) and quadrature == pytest.approx(1.0e-2, rel=1e-4)


@given(st.floats(0.01, 3.1), st.floats(0, 5), sizes)
@example(3.0, 0.0, 1.0)
def test_angle_bounds_the_angle_and_is_met_by_equal_norms(angle, longer, norm):
    step = abs(norm * (1 + longer) * cmath.exp(1j * angle) - norm)
    bound = stability.angle(step, norm)
    assert angle <= bound * (1 + 1e-12) and bound <= math.pi / 2 * step / norm * (1 + 1e-12)
    if longer == 0:
        assert bound == pytest.approx(angle, rel=FLOAT)


def test_the_printed_angle_is_too_small_by_pi_over_two_at_worst():
    """tappa.md X3: worst ratio 1.566, supremum pi / 2."""
    ratios = [stability.angle(x, 1.0) / x for x in np.linspace(0.01, 2, 200)]
    assert min(ratios) > 1 and max(ratios) == pytest.approx(math.pi / 2, rel=EXACT)
    assert stability.angle(100.0, 1.0) == math.pi


@given(seeds, st.integers(0, 30))
def test_a_logit_changes_along_its_diagonal_by_the_diagonal_bound_at_most(seed, lag):
    q, dq, (k, dk, *_), theta = heads(seed)
    change = abs(logit(q + dq, k + dk, theta, lag) - logit(q, k, theta, lag))
    assert change <= stability.diagonal(*map(np.linalg.norm, (dq, dk, q, k + dk))) + FLOAT


def test_equal_steps_have_the_constant_of_the_notes():
    """tappa.md X4: eps (|q| + |k| + eps), with |k_{j+1}| <= |k| + eps."""
    assert stability.diagonal(0.1, 0.1, 2.0, 3.0 + 0.1) == pytest.approx(0.1 * (2 + 3 + 0.1), rel=EXACT)


@given(seeds, st.floats(0.2, 3.1), st.floats(0, 2))
def test_crests_exceed_troughs_and_peaks_stay_near(seed, theta, share):
    rng = np.random.default_rng(seed)
    frequencies = np.append(theta, rng.uniform(0, 3, 3))
    amplitude = np.append(1.0, share * rng.dirichlet(np.ones(3)) * 0.49)
    phase = rng.uniform(-math.pi, math.pi, 4)
    crest = (4 * math.pi - phase[0]) / theta
    value = {n: sum(a * math.cos(t * n + p) for a, t, p in zip(amplitude, frequencies, phase)) for n in range(150)}
    period = 2 * math.pi / theta
    gap = value[round(crest)] - value[round(crest + period / 2)]
    assert stability.peak_gap(amplitude, frequencies) <= gap + FLOAT
    peak = max((n for n in value if abs(n - crest) <= period / 2), key=value.get)
    assert abs(peak - crest) <= stability.displacement(amplitude, frequencies) + FLOAT


def test_displacement_is_the_arc_cosine_of_the_notes():
    """tappa.md X5: arccos(cos(theta/2) - 2 R/A) / theta."""
    expected = math.acos(math.cos(0.5) - 2 * 0.3 / 2.0) / 1.0
    assert stability.displacement([0.3, 2.0], [0.1, 1.0]) == pytest.approx(expected, rel=EXACT)


def test_displacement_is_at_most_half_a_period():
    assert stability.displacement([1.0, 1.0], [0.5, 0.1]) == pytest.approx(2 * math.pi, rel=EXACT)
    assert stability.displacement([0.0], [0.5]) == pytest.approx(2 * math.pi, rel=EXACT)


@pytest.mark.parametrize("base, printed", [(1e4, 45.0), (5e5, 31.6), (1e6, 30.0)])
def test_visible_limits_are_those_of_the_notes(base, printed):
    """tappa.md X5, N = 4096, d = 128, half a unit of the last digit."""
    assert stability.visible_limit(4096, base, 128) == pytest.approx(printed, abs=0.05)


@given(st.integers(7, 10 ** 6), st.floats(2, 1e7), st.integers(1, 100))
def test_pairs_below_the_limit_repeat_within_the_context(length, base, pairs):
    limit = stability.visible_limit(length, base, 2 * pairs)
    assert all((2 * math.pi * base ** (m / pairs) < length) == (m < limit) for m in range(pairs)
               if abs(m - limit) > FLOAT * pairs)


@pytest.mark.parametrize("call, name", [
    (lambda: stability.total_variation(-1.0), "osc"), (lambda: stability.total_variation(math.nan), "osc"),
    (lambda: stability.chord([math.inf]), "theta"), (lambda: stability.chord([1.0], -1), "lag"),
    (lambda: stability.jump([1.0], [0.0], [[1.0]], [1.0]), "step"),
    (lambda: stability.jump([1.0], [1.0], np.zeros((0, 1)), [1.0]), "step"),
    (lambda: stability.jump([1.0], [1.0, 2.0], [[1.0]], [1.0]), "shape of step"),
    (lambda: stability.jump([1.0], [1.0], [[1.0, 1.0]], [1.0]), "shape of k"),
    (lambda: stability.vertical(-1.0, 1.0, [1.0], [1.0]), "step"),
    (lambda: stability.vertical(1.0, -1.0, [1.0], [1.0]), "norm"),
    (lambda: stability.vertical(1.0, 1.0, [-1.0], [1.0]), "amplitude"),
    (lambda: stability.vertical(1.0, 1.0, [1.0, 1.0], [1.0]), "shape of amplitude"),
    (lambda: stability.phase_drift([math.nan], 1.0), "phase"),
    (lambda: stability.phase_drift([0.0], math.inf), "theta"),
    (lambda: stability.angle(-1.0, 1.0), "step"), (lambda: stability.angle(1.0, 0.0), "norm"),
    (lambda: stability.diagonal(-1.0, 0.0, 0.0, 0.0), "step_q"),
    (lambda: stability.diagonal(0.0, 0.0, 0.0, -1.0), "norm_k"),
    (lambda: stability.peak_gap([], []), "number of pairs"), (lambda: stability.peak_gap([-1.0], [1.0]), "amplitude"),
    (lambda: stability.peak_gap([1.0], [0.0]), "theta of the largest amplitude"),
    (lambda: stability.displacement([1.0], [4.0]), "theta of the largest amplitude"),
    (lambda: stability.visible_limit(0, 1e4, 128), "length"), (lambda: stability.visible_limit(10, 1.0, 128), "base"),
    (lambda: stability.visible_limit(10, 1e4, 3), "head_dim")])
def test_bad_input_is_refused_by_name(call, name):
    with pytest.raises(RopesimError) as caught:
        call()
    assert caught.value.name == name
