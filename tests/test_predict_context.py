"""Decay bound, feasible bases and window moments against loops, brute-force scans and published tables."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim.errors import RopesimError
from ropesim.predict import context

K = 1024
bases = st.floats(1.5, 1e6)
heads = st.sampled_from([2, 4, 8, 16])


def geometric(base, head_dim=128):
    return base ** -(np.arange(0, head_dim, 2) / head_dim)


def cosine_sum(theta, n):
    return math.fsum(math.cos(t * n) for t in theta)


def slow_worst(theta, length):
    return min((cosine_sum(theta, n), n) for n in range(length))


# Decay

TABLE = {(128, 1e4): (32.5, 31.538166, 17.954137, 12.629452, 10.227330, 6.548179, 4.470761, 3.858540),
         (128, 5e5): (32.5, 31.646852, 20.885685, 15.735039, 13.708787, 11.434393, 10.200188, 4.759574),
         (256, 1e4): (64.5, 62.711337, 36.217668, 22.632196, 18.616113, 12.788443, 11.254797, 8.198565)}


@pytest.mark.parametrize("head", TABLE)
def test_decay_curve_is_the_one_plotted_in_roformer(head):
    """rope.md 3.1: the curve of figure 2 of RoFormer, recomputed there; six decimals."""
    lags = [0, 1, 10, 50, 100, 250, 1000, 10000]
    assert context.decay_curve(geometric(head[1], head[0]), lags) == pytest.approx(TABLE[head], abs=5e-7)


@given(st.integers(0, 2 ** 32 - 1), bases, heads, st.integers(0, 5000))
def test_decay_bound_is_its_naive_twin_and_holds(seed, base, head_dim, lag):
    theta = geometric(base, head_dim)
    h = np.random.default_rng(seed).normal(size=(head_dim // 2, 2)).view(complex)[:, 0]
    steps = max(abs(b - a) for a, b in zip(h, [*h[1:], 0.0]))
    total, length = 0.0, 0.0 + 0.0j
    for t in theta:
        length += complex(math.cos(t * lag), math.sin(t * lag))
        total += abs(length)
    bound = context.decay_bound(h, theta, [lag])[0]
    assert bound == pytest.approx(steps * total, rel=FLOAT)
    assert abs((h * np.exp(1j * theta * lag)).sum()) <= bound * (1 + EXACT)


def test_decay_bound_of_one_pair_is_its_size():
    assert context.decay_bound([3 + 4j], [0.7], [0.0, 11.0]) == pytest.approx([5.0, 5.0], rel=EXACT)


# Feasible bases

@given(bases, heads, st.integers(1, 60))
def test_worst_sum_is_the_least_of_all(base, head_dim, length):
    theta = geometric(base, head_dim)
    worst, (value, _) = context.worst_sum(theta, length), slow_worst(theta, length)
    assert worst.value == pytest.approx(value, abs=worst.error)
    assert cosine_sum(theta, worst.lag) == pytest.approx(worst.value, abs=worst.error)


@given(bases, heads, st.integers(1, 60))
def test_feasible_is_its_definition(base, head_dim, length):
    value = slow_worst(geometric(base, head_dim), length)[0]
    assert abs(value) < 1e-9 or context.feasible(base, length, head_dim=head_dim) == (value > 0)


def test_a_sum_of_zero_is_left_open():
    """cos 0 b + cos n b^(-1/2) at n = 2 is 0 where 2 b^(-1/2) = pi - 2."""
    with pytest.raises(RopesimError, match="is 0 within rounding"):
        context.feasible((2 / (math.pi - 2)) ** 2, 3, head_dim=4)


SU = (4.3e3, 1.2e4, 2.7e4, 8.4e4, 2.3e5, 6.3e5, 2.1e6, 4.9e6, 2.4e7, 5.8e7, 6.5e7)
# first feasible bases of a scan of every base from 2 on; the last four take two minutes
LEAST = (4293.43756926, 11587.2443031, 26952.3392279, 83763.8410154, 231643.646807, 629978.262855, 2090179.67405,
         4869104.37053, 23662397.0370, 58496173.8021, 65374955.1440)


@pytest.mark.parametrize("size", range(4))
def test_least_bases_are_those_of_su_and_no_smaller_one_is_feasible(size):
    """kexue.fm/archives/10122, for 1k, 2k, 4k, 8k."""
    edge = context.first_feasible(K << size, 2.0, 1e6)
    assert edge.base == pytest.approx(LEAST[size], rel=1e-10)
    assert float(f"{edge.base:.1e}") == SU[size]


@pytest.mark.parametrize("size", range(11))
def test_at_the_least_base_the_context_is_feasible_and_just_below_it_is_not(size):
    """kexue.fm/archives/10122, 1k to 1M: the figure to two digits; a part in 10^9 on both sides."""
    edge = context.first_feasible(K << size, LEAST[size] * (1 - 1e-5), LEAST[size] * (1 + 1e-5))
    assert edge.base == pytest.approx(LEAST[size], rel=1e-10) and float(f"{edge.base:.1e}") == SU[size]
    assert context.feasible(edge.base * (1 + 1e-9), K << size)
    assert not context.feasible(edge.base * (1 - 1e-9), K << size)
    assert cosine_sum(geometric(edge.base * (1 - 1e-9)), edge.lag) < 0


@pytest.mark.parametrize("base, lag", [(1e4, 1707), (5e5, 18438), (1e6, 27115), (5e6, 82999)])
def test_a_base_carries_contexts_up_to_its_first_negative_lag(base, lag):
    """rope.md 3.2, first negative lags at 128 dimensions."""
    assert context.feasible(base, lag) and not context.feasible(base, lag + 1)


@pytest.mark.parametrize("head_dim, length", [(4, 4), (4, 6), (8, 16), (8, 30), (16, 100)])
def test_first_feasible_is_that_of_a_fine_grid(head_dim, length):
    grid = np.exp(np.arange(math.log(1.2), math.log(1e5), 5e-4))
    sums = np.cos(np.arange(length)[:, None, None] * grid[:, None] ** -(np.arange(0, head_dim, 2) / head_dim)).sum(-1)
    good = sums.min(axis=0) >= 0
    edge = context.first_feasible(length, 1.2, 1e5, head_dim=head_dim)
    if not good.any():
        assert edge is None
        return
    first = int(good.argmax())
    assert grid[first - 1] < edge.base <= grid[first]


def test_first_feasible_begins_at_low_if_that_is_feasible():
    assert context.first_feasible(1000, 4300.0, 4301.0) == (pytest.approx(4300.0, rel=EXACT), 0, 0)


def test_no_base_helps_a_single_pair():
    assert context.first_feasible(3, 2.0, 1e9, head_dim=2) is None
    assert context.first_feasible(2, 2.0, 1e9, head_dim=2).base == pytest.approx(2.0, rel=EXACT)


def test_feasible_bases_are_no_half_line():
    """rope.md 3.2: the largest failing base seen at 1k is 6017, above the least feasible one."""
    assert [context.feasible(base, K) for base in (4290.0, 4300.0, 6017.0, 6100.0)] == [False, True, False, True]


# Window moments

@given(st.integers(0, 2 ** 32 - 1), st.floats(0, 4), st.integers(1, 5), st.integers(1, 60))
def test_window_moments_are_those_of_all_lags(seed, top, pairs, length):
    rng = np.random.default_rng(seed)
    size, phase, theta = rng.uniform(0, 2, pairs), rng.uniform(-4, 4, pairs), rng.uniform(0, top, pairs)
    logits = [sum(a * math.cos(t * n + p) for a, p, t in zip(size, phase, theta)) for n in range(length)]
    mean, variance = context.window_moments(size, phase, theta, length)
    assert mean == pytest.approx(np.mean(logits), abs=1e-12)
    assert variance == pytest.approx(np.var(logits), abs=1e-12)     # sums of up to 4 * 10^2, and their rounding


def test_window_moments_of_a_long_window_tend_to_half_the_squares():
    mean, variance = context.window_moments([2.0, 3.0], [0.3, 1.0], [1.0, 0.1], 10 ** 12)
    assert mean == pytest.approx(0.0, abs=1e-9) and variance == pytest.approx((4 + 9) / 2, rel=FLOAT)


def test_a_pair_that_is_not_rotated_adds_to_the_mean_alone():
    mean, variance = context.window_moments([2.0], [0.5], [0.0], 1000)
    assert (mean, variance) == (pytest.approx(2 * math.cos(0.5), rel=EXACT), pytest.approx(0.0, abs=EXACT))


# Bad input

@pytest.mark.parametrize("call, name", [
    (lambda: context.decay_curve([], [0.0]), "theta"),
    (lambda: context.decay_curve([math.nan], [0.0]), "theta"),
    (lambda: context.decay_bound([1.0, 2.0], [1.0], [0.0]), "shape of coefficients"),
    (lambda: context.worst_sum([1.0], 0), "length"),
    (lambda: context.feasible(1.0, 10), "base"),
    (lambda: context.feasible(1e4, 10, head_dim=3), "head_dim"),
    (lambda: context.first_feasible(0, 2.0, 3.0), "length"),
    (lambda: context.first_feasible(10, 1.0, 3.0), "low"),
    (lambda: context.first_feasible(10, 4.0, 3.0), "high"),
    (lambda: context.window_moments([1.0], [0.0, 1.0], [1.0], 5), "shape of phase"),
    (lambda: context.window_moments([-1.0], [0.0], [1.0], 5), "amplitude"),
])
def test_bad_input_is_named(call, name):
    with pytest.raises(RopesimError) as error:
        call()
    assert error.value.name == name
