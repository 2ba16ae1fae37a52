"""Closed forms of repeated attention against products of matrices, loops, printed values and walks."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim.errors import RopesimError
from ropesim.predict import depth

lengths, depths = st.integers(1, 10), st.integers(0, 8)
shares = st.floats(0, 1)
fractions = st.fractions(0, 1, max_denominator=12)


def causal(length):
    return np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]


def product(length, layers, mixing):
    """The power by plain loops, in rationals."""
    matrix = [[(1 - mixing) * (i == j) + (mixing / (i + 1) if j <= i else 0) for j in range(length)]
              for i in range(length)]
    out = [[Fraction(i == j) for j in range(length)] for i in range(length)]
    for _ in range(layers):
        out = [[sum(a * row[j] for a, row in zip(line, out)) for j in range(length)] for line in matrix]
    return out


# Powers

@given(st.integers(1, 6), st.integers(0, 4), fractions)
@example(1, 0, Fraction(1))
@example(6, 4, Fraction(1, 3))
def test_the_exact_power_is_the_product_of_rationals(length, layers, mixing):
    assert depth.power_exact(length, layers, mixing=mixing) == product(length, layers, mixing)


def test_a_float_is_taken_as_the_rational_that_it_is():
    assert depth.power_exact(4, 2, mixing=0.1) == product(4, 2, Fraction(0.1))
    assert depth.power_exact(4, 2, mixing=1) == depth.power_exact(4, 2, mixing=Fraction(1))


@given(lengths, depths, shares)
def test_the_power_is_the_exact_one(length, layers, mixing):
    exact = np.array(depth.power_exact(length, layers, mixing=mixing), dtype=float)
    np.testing.assert_allclose(depth.power(length, layers, mixing=mixing), exact, rtol=EXACT, atol=1e-300)


def test_the_power_keeps_its_digits_where_the_printed_sum_loses_them():
    """sinks.md R6: the alternating sum at 50 tokens is off by 0.67 with 4 layers; position from 0."""
    exact = depth.power_exact(51, 4)
    ours = depth.power(51, 4)
    assert all(ours[i, j] == pytest.approx(float(exact[i][j]), rel=EXACT) for i in (30, 40, 50) for j in range(i + 1))
    alternating = max(abs(sum((-1) ** r * float(math.comb(50, j) * math.comb(50 - j, r)) / (j + r + 1.0) ** 4
                              for r in range(51 - j)) - ours[50, j]) for j in range(51))
    assert alternating > 1e-3


@given(lengths, depths, shares)
def test_rows_sum_to_one(length, layers, mixing):
    np.testing.assert_allclose(depth.power(length, layers, mixing=mixing).sum(axis=1), 1.0, rtol=EXACT)


@given(lengths, depths, shares, shares)
def test_the_first_mass_is_the_first_column(length, layers, mixing, sink):
    matrix = (1 - mixing) * np.eye(length) + mixing * (1 - sink) * causal(length)
    matrix[:, 0] += mixing * sink
    column = np.linalg.matrix_power(matrix, layers)[:, 0]
    np.testing.assert_allclose(depth.first_mass(length, layers, mixing=mixing, sink=sink), column, rtol=0, atol=EXACT)


@pytest.mark.parametrize("layers, printed", [(4, 0.1708), (8, 0.7181), (16, 0.9966)])
def test_the_first_mass_is_that_of_the_notes(layers, printed):
    """sinks.md R6, 256 tokens, to a unit of the last digit: exactly 0.170745 for the first, which is printed 0.1708."""
    assert depth.first_mass(256, layers)[-1] == pytest.approx(printed, abs=1e-4)


@given(lengths, st.integers(1, 8), shares, shares)
def test_a_sink_without_a_residual_only_speeds_up(length, layers, sink, more):
    low, high = sorted((sink, more))
    assert (depth.first_mass(length, layers, sink=low) <= depth.first_mass(length, layers, sink=high) + EXACT).all()


@given(lengths, depths, shares)
def test_the_mean_key_is_the_mean_of_the_row(length, layers, mixing):
    mean = depth.power(length, layers, mixing=mixing) @ np.arange(length)
    np.testing.assert_allclose(depth.mean_key(length, layers, mixing=mixing), mean, rtol=EXACT, atol=1e-300)
    away = 1 - depth.first_mass(length, layers, mixing=mixing)
    assert (away <= depth.mean_key(length, layers, mixing=mixing) + EXACT).all()


@given(lengths, st.floats(0.2, 1))
def test_the_mean_depth_is_the_sum_of_what_is_left(length, mixing):
    matrix = (1 - mixing) * np.eye(length) + mixing * causal(length)
    away, left = np.append(0.0, np.ones(length - 1)), np.zeros(length)
    for _ in range(400):
        left, away = left + away, matrix @ away
    np.testing.assert_allclose(depth.mean_depth(length, mixing=mixing), left, rtol=0, atol=FLOAT)


def test_without_mixing_nothing_collapses():
    assert depth.mean_depth(3, mixing=0.0).tolist() == [0.0, math.inf, math.inf]
    assert depth.first_mass(3, 9, mixing=0.0).tolist() == [1.0, 0.0, 0.0]


def test_half_of_the_mass_has_come_at_the_depths_of_the_notes():
    """sinks.md R6: 3, 5, 6, 8, 9 layers."""
    assert [depth.collapse_depth(n) for n in (8, 32, 128, 512, 2048)] == [3, 5, 6, 8, 9]


@given(st.integers(2, 400), st.floats(0.05, 0.95), st.floats(0.1, 1), shares)
def test_the_collapse_depth_is_the_first_and_within_its_bound(length, mass, mixing, sink):
    layers = depth.collapse_depth(length, mass=mass, mixing=mixing, sink=sink)
    assert depth.first_mass(length, layers, mixing=mixing, sink=sink)[-1] >= mass - EXACT
    assert layers == 0 or depth.first_mass(length, layers - 1, mixing=mixing, sink=sink)[-1] < mass
    assert layers <= math.ceil(math.log((length - 1) / (1 - mass)) / -math.log1p(-mixing / 2) + EXACT)


def test_the_collapse_depth_grows_as_the_logarithm():
    """ln n + 0.58 is where the mean of the Gamma law crosses, its skewness adds up to a third, and depths are whole."""
    for n in (8, 100, 1000, 10000, 100000):
        assert -0.1 < depth.collapse_depth(n) - math.log(n) - np.euler_gamma < 4 / 3


def test_one_token_has_collapsed():
    assert depth.collapse_depth(1) == 0


# Residual

@given(lengths, depths, st.floats(0, 5), shares)
def test_a_residual_layer_is_a_multiple_of_a_mixing_one(length, layers, gain, sink):
    plain = np.linalg.matrix_power(np.eye(length) + gain * (1 - sink) * causal(length), layers)
    mixing = depth.effective_mixing(gain, sink=sink)
    ours = (1 + gain * (1 - sink)) ** layers * depth.power(length, layers, mixing=mixing)
    np.testing.assert_allclose(ours, plain, rtol=EXACT, atol=EXACT * np.abs(plain).max())


@given(st.floats(0, 0.95), shares)
def test_the_convex_form_has_the_effective_mixing_of_the_notes(mixing, sink):
    """sinks.md R8: mixing (1 - sink) / (1 - mixing sink)."""
    ours = depth.effective_mixing(mixing / (1 - mixing), sink=sink)
    assert ours == pytest.approx(mixing * (1 - sink) / (1 - mixing * sink), rel=EXACT, abs=1e-300)


@pytest.mark.parametrize("sink, printed", [(0.0, 0.0003), (0.5, 0.0085), (0.8, 0.1164), (0.95, 0.5621)])
def test_self_weights_are_those_of_the_notes(sink, printed):
    """sinks.md R8, token 63 (from 0) after 12 layers, gain 1."""
    ours = depth.power(64, 12, mixing=depth.effective_mixing(1.0, sink=sink))[63, 63]
    assert ours == pytest.approx(printed, abs=5e-5)


@given(st.integers(2, 8), st.integers(0, 8), st.floats(0, 0.9), shares)
def test_the_contraction_is_that_of_uniform_mixing(length, layers, mixing, sink):
    x = np.arange(1.0, length + 1)
    start = np.ptp(x) / x.mean()
    for _ in range(layers):
        x = (1 - mixing) * x + mixing * (1 - sink) * x.mean()
    assert np.ptp(x) / x.mean() == pytest.approx(start * depth.contraction(mixing, sink=sink) ** layers, abs=EXACT)


@given(st.floats(0.01, 0.99), st.integers(1, 200), st.floats(0.01, 1))
@example(0.3, 6, 0.1)
def test_the_least_sink_keeps_what_is_asked_and_no_less_does(mixing, layers, kept):
    sink = depth.least_sink(mixing, layers, kept=kept)
    assert 0 <= sink <= 1
    assert depth.contraction(mixing, sink=sink) ** layers >= kept * (1 - FLOAT)
    if sink > 0.01:
        assert depth.contraction(mixing, sink=sink - 0.01) ** layers < kept
    assert depth.least_sink(mixing, layers + 1, kept=kept) >= sink - EXACT


@pytest.mark.parametrize("layers, printed", [(8, 0.222), (16, 0.639), (32, 0.826), (64, 0.915), (126, 0.957)])
def test_the_least_sink_is_that_of_the_notes(layers, printed):
    """sinks.md R8, mixing 0.3, a tenth kept."""
    assert depth.least_sink(0.3, layers, kept=0.1) == pytest.approx(printed, abs=5e-4)


def test_the_least_sink_at_the_ends():
    assert depth.least_sink(1.0, 3, kept=0.5) == 1.0
    assert depth.least_sink(0.3, 3, kept=1.0) == 1.0
    assert depth.least_sink(0.3, 1, kept=5e-324) == 0.0


# Path sums

@given(st.integers(0, 2 ** 32 - 1), st.integers(1, 3), st.integers(1, 3))
def test_the_path_sum_is_the_sum_over_paths(seed, heads, length):
    scores = np.random.default_rng(seed).normal(size=(3, heads, length, length))
    bars = [[[sum(abs(head[i][j]) for head in block) + (i == j) / heads for j in range(length)] for i in range(length)]
            for block in scores.tolist()]
    for j, i in itertools.product(range(length), repeat=2):
        paths = sum(bars[2][j][a] * bars[1][a][b] * bars[0][b][i]
                    for a, b in itertools.product(range(length), repeat=2))
        assert depth.path_sum(scores)[j, i] == pytest.approx(paths, rel=EXACT)


def test_no_layer_passes_a_token_on_to_itself():
    assert depth.path_sum(np.ones((0, 2, 3, 3))).tolist() == np.eye(3).tolist()


def test_the_path_constant_is_that_of_the_notes():
    """sinks.md 2.2: (1 + sigma) max(sigma_W, H)."""
    assert depth.path_constant(2, values=3.0, feedforward=0.5) == 4.5
    assert depth.path_constant(4, values=3.0) == 4.0


@given(lengths, st.integers(0, 6), st.integers(1, 5), shares)
def test_the_sensitivity_is_the_path_sum_off_the_diagonal(length, layers, heads, sink):
    scores = np.broadcast_to((1 - sink) * causal(length), (layers, heads, length, length))
    off = np.tril(depth.path_sum(scores), -1).sum(axis=1)
    np.testing.assert_allclose(depth.sensitivity(length, layers, heads=heads, sink=sink), off, rtol=EXACT, atol=1e-300)


@pytest.mark.parametrize("length, layers, heads, sink, printed, digit", [
    (64, 6, 4, 0.0, 5892.96, 0.01), (64, 6, 4, 0.8, 1.340, 1e-3), (512, 6, 4, 0.8, 1.33984, 1e-5),
    (64, 6, 8, 0.8, 26.35, 0.01), (64, 12, 4, 0.8, 1.796, 1e-3)])
def test_the_sensitivity_is_that_of_the_notes(length, layers, heads, sink, printed, digit):
    """sinks.md R9."""
    assert depth.sensitivity(length, layers, heads=heads, sink=sink)[-1] == pytest.approx(printed, abs=digit / 2 + 1e-9)


# Recursions

@given(st.integers(0, 2 ** 32 - 1), st.integers(1, 5), st.floats(0, 3))
def test_one_layer_of_the_gram_recursion_is_the_mean_over_signs(seed, length, gain):
    rng = np.random.default_rng(seed)
    x, scores = rng.normal(size=(length, 4)), rng.random((length, length))
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    mixed = gain * scores @ (x / np.linalg.norm(x, axis=1, keepdims=True)) @ turn
    mean = ((x + mixed) @ (x + mixed).T + (x - mixed) @ (x - mixed).T) / 2
    ours = depth.gram(x @ x.T, scores, 1, gain=gain)
    np.testing.assert_allclose(ours[1], mean, rtol=0, atol=EXACT * max(np.abs(mean).max(), 1.0))


def test_the_gram_recursion_has_the_norms_and_cosines_of_the_notes():
    """sinks.md R11: 32 tokens, 6 layers, gain 1, first at right angles."""
    plain, sunk = (depth.gram(np.eye(32), keep * causal(32), 6)[-1] for keep in (1.0, 0.2))
    np.testing.assert_allclose(plain.diagonal()[[0, 1, 7, 31]], [7.0, 5.29, 3.48, 2.50], atol=5e-3)
    for gram, printed in ((plain, 0.578), (sunk, 0.0155)):
        norm = np.sqrt(gram.diagonal())
        assert ((gram / np.outer(norm, norm)).sum() - 32) / (32 * 31) == pytest.approx(printed, abs=5e-4)


@given(st.integers(1, 6), st.integers(0, 10), st.floats(0, 3))
def test_the_first_token_grows_linearly(length, layers, gain):
    ours = depth.gram(np.eye(length), causal(length), layers, gain=gain)
    np.testing.assert_allclose(ours[:, 0, 0], 1 + np.arange(layers + 1) * gain ** 2, rtol=EXACT)


@given(shares, st.integers(2, 8), st.floats(0, 3), shares, st.floats(0, 3))
def test_one_exchangeable_layer_is_one_of_the_gram_recursion(rho, length, gain, sink, value):
    start = (1 - rho) * np.eye(length + 1) + rho
    start[-1], start[:, -1] = 0.0, 0.0
    start[-1, -1] = 1.0
    scores = np.full((length + 1, length + 1), (1 - sink) / length)
    scores[:, -1] = sink * value                            # the recursion norms its input; the sink's value is c long
    gram = depth.gram(start, scores, 1, gain=gain)[1][:length, :length]
    ours = depth.exchangeable(rho, 1, length=length, gain=gain, sink=sink, value=value)
    assert ours.tolist() == pytest.approx([rho, gram[0, 1] / gram[0, 0]], abs=EXACT)


@pytest.mark.parametrize("value, sink, printed", [
    (0.0, 0.0, 1.000), (0.0, 0.5, 0.961), (0.0, 0.8, 0.225), (0.0, 1.0, 0.100),
    (1.0, 0.0, 1.0), (1.0, 0.5, 1.0), (1.0, 0.8, 1.0), (1.0, 1.0, 1.0)])
def test_exchangeable_tokens_end_up_as_in_the_notes(value, sink, printed):
    """sinks.md R12, 24 layers from 0.1; its 256 tokens are not printed, they are the number that fits."""
    ours = depth.exchangeable(0.1, 24, length=256, sink=sink, value=value)[-1]
    assert ours == pytest.approx(printed, abs=5e-4)


@given(shares, st.integers(1, 64), st.floats(0, 3), shares)
def test_no_sink_mixes_less_than_the_best(rho, length, value, sink):
    best = depth.best_sink(rho, length=length, value=value)
    assert 0 <= best <= 1
    mixed = [depth.exchangeable(rho, 1, length=length, sink=share, value=value)[-1] for share in (best, sink)]
    assert mixed[0] <= mixed[1] + EXACT


# Absorbing tokens

@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2 ** 32 - 1))
def test_each_packed_document_keeps_one_token(documents, document, seed):
    at = np.arange(documents * document)
    seen = (at[:, None] >= at) & (at[:, None] // document == at // document)
    scores = np.where(seen, np.random.default_rng(seed).random(seen.shape) + 0.1, 0.0)
    scores /= scores.sum(axis=1, keepdims=True)
    assert depth.absorbing(scores) == documents
    assert len(at) - np.linalg.matrix_rank(scores - np.eye(len(at)), tol=1e-9) == documents


def test_a_masked_token_is_absorbing_and_so_is_token_zero():
    scores = causal(6)
    scores[3] = np.eye(6)[3]
    assert depth.absorbing(scores) == 2


@pytest.mark.parametrize("key", [1, 2, 10, 31])
def test_a_masked_token_gets_its_limit(key):
    scores = causal(40)
    scores[key] = np.eye(40)[key]
    limit = np.linalg.matrix_power(scores, 200)[:, key]
    np.testing.assert_allclose(depth.absorbed(40, key), limit, rtol=0, atol=EXACT)


@pytest.mark.parametrize("document, shared, mean, ratio", [
    (64, False, 0.0741, 64), (16, False, 0.2113, 16), (64, True, 0.0587, 32.5), (16, True, 0.1525, 8.5)])
def test_packed_rows_have_the_participation_of_the_notes(document, shared, mean, ratio):
    """sinks.md R14, 64 tokens, documents of 16."""
    ours = depth.packed_participation(64, document, shared=shared)
    assert ours.mean() == pytest.approx(mean, abs=5e-5)
    assert ours.max() / ours.min() == pytest.approx(ratio, rel=EXACT)
    assert np.count_nonzero(ours == 1) == (0 if shared else 64 // document)


# Bad input

@pytest.mark.parametrize("call, name", [
    (lambda: depth.power_exact(0, 1), "length"), (lambda: depth.power_exact(2, -1), "depth"),
    (lambda: depth.power_exact(2, 1, mixing=Fraction(3, 2)), "mixing"),
    (lambda: depth.power(2, 1, mixing=-0.1), "mixing"),
    (lambda: depth.first_mass(2, 1, sink=1.1), "sink"), (lambda: depth.mean_key(2, 1.5), "depth"),
    (lambda: depth.mean_depth(2, mixing=2), "mixing"), (lambda: depth.collapse_depth(4, mass=1), "mass"),
    (lambda: depth.collapse_depth(4, mixing=0), "mixing"), (lambda: depth.effective_mixing(-1), "gain"),
    (lambda: depth.collapse_depth(4, mixing=1e-9), "mixing"),
    (lambda: depth.contraction(1.0, sink=1.0), "sink"), (lambda: depth.least_sink(0.0, 3, kept=0.1), "mixing"),
    (lambda: depth.least_sink(0.3, 0, kept=0.1), "depth"), (lambda: depth.least_sink(0.3, 3, kept=0.0), "kept"),
    (lambda: depth.path_sum(np.ones((1, 0, 2, 2))), "shape of scores"),
    (lambda: depth.path_sum(np.ones((1, 1, 2, 3))), "shape of scores"),
    (lambda: depth.path_constant(0, values=1), "heads"), (lambda: depth.sensitivity(2, 1, heads=0), "heads"),
    (lambda: depth.gram(np.zeros((2, 2)), np.eye(2), 1), "start"),
    (lambda: depth.gram(np.eye(2), np.eye(3), 1), "shape of scores"),
    (lambda: depth.gram(np.ones((2, 3)), np.eye(2), 1), "shape of start"),
    (lambda: depth.exchangeable(1.5, 1, length=2), "rho"), (lambda: depth.best_sink(0.5, length=0, value=1), "length"),
    (lambda: depth.best_sink(0.5, length=2, value=-1), "value"),
    (lambda: depth.absorbing([[0.5, 0.5], [0.5, 0.5]]), "scores"), (lambda: depth.absorbing([[0.5]]), "scores"),
    (lambda: depth.absorbed(3, 0), "key"), (lambda: depth.absorbed(3, 3), "key"),
    (lambda: depth.packed_participation(4, 0), "document")])
def test_bad_input_is_named(call, name):
    with pytest.raises(RopesimError) as caught:
        call()
    assert caught.value.name == name
