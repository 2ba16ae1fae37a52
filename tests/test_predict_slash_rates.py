"""Speeds of slash training against printed formulas in loops, all prompts of small sizes, and differences."""

import itertools
import math

import naive_slash_times as naive
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_slash_times import shares
from tolerances import FLOAT, SIGMAS

from ropesim.predict import slash_match, slash_rates

UNEQUAL = [(0.2, 0.8), (0.5, 0.3, 0.2), (1 / 6, 1 / 3, 1 / 2)]
P = st.one_of(st.lists(st.floats(0.05, 1.0), min_size=2, max_size=6).map(shares),
              st.integers(3, 8).map(lambda K: shares(range(1, K + 1))))


@given(st.integers(2, 20), st.integers(11, 40), st.floats(0.0, 20.0))
def test_the_speed_is_the_printed_sum_with_a_first_row_that_sees_itself(classes, half, margin):
    length = 2 * half + 1
    got = slash_rates.rate(classes, length, [margin])[0]
    assert got == pytest.approx(naive.rate(margin, classes, length, first=1 / classes), rel=FLOAT)
    assert got == pytest.approx(naive.rate(margin, classes, length), rel=2 / length)


@given(P, st.integers(4, 20), st.floats(0.0, 20.0))
def test_the_speed_of_unequal_classes_is_the_mean_over_questions(p, half, margin):
    got = slash_rates.rate(len(p), 2 * half + 1, [margin], probabilities=p)[0]
    expected = sum(x * naive.class_rate(margin, p, k, 2 * half + 1) for k, x in enumerate(p))
    assert got == pytest.approx(expected, rel=FLOAT)


@pytest.mark.parametrize("p", [(0.5, 0.5), (1 / 3, 1 / 3, 1 / 3), *UNEQUAL])
@pytest.mark.parametrize("margin", [0.0, 1.0, 2.5])
def test_the_mean_field_nears_the_exact_gradient_of_all_prompts(p, margin):
    """To within 1 / p N of the rarest class, by finite differences of the loss over every prompt, token by token."""
    errors, lengths = [], (5, 9, 17) if len(p) == 2 else (5, 9, 11)
    for length in lengths:
        lags, step = margin * np.eye(length)[1], 1e-4 * np.eye(length)[1]
        exact = (naive.exact_loss(lags - step, p) - naive.exact_loss(lags + step, p)) / 2e-4
        prompt = slash_rates.prompt(len(p), length, 1, p)
        refined = slash_rates.lag_rates(prompt, lags, slash_rates.label_numbers(prompt))[1]
        errors.append((slash_rates.mean_rate(prompt, margin) / exact - 1, refined / exact - 1))
    sizes = np.abs(errors) * np.array(lengths)[:, None] * min(p)
    assert sizes.max() < 0.9
    assert (np.diff(np.abs(errors), axis=0) < 0).all()


def test_the_exact_gradient_of_the_twin_is_that_of_its_loss():
    lags, rng, p = np.random.default_rng(0).normal(size=7), np.random.default_rng(1), (0.3, 0.7)
    seen = np.array([naive.gradient(lags, p, 400, rng) for _ in range(50)])
    for lag in range(7):
        step = 1e-4 * np.eye(7)[lag]
        exact = (naive.exact_loss(lags - step, p) - naive.exact_loss(lags + step, p)) / 2e-4
        assert abs(seen[:, lag].mean() - exact) < SIGMAS * seen[:, lag].std() / np.sqrt(50) + FLOAT


@given(P, st.integers(8, 40), st.sampled_from([0, 1, 2, 3, 5, 8]), st.floats(0.0, 15.0))
def test_the_speeds_of_all_lags_cancel_and_hold_that_of_the_margin(p, half, lag, margin):
    prompt = slash_rates.prompt(len(p), 4 * half + 1, lag, p)
    logits = margin * (np.arange(4 * half + 1) == lag)
    speeds = slash_rates.lag_rates(prompt, logits, slash_rates.label_numbers(prompt, drawn=False))
    assert speeds.sum() == pytest.approx(0, abs=1e-13)                    # a transform's rounding, of terms up to 0.1
    assert speeds[lag] == pytest.approx(slash_rates.mean_rate(prompt, margin), rel=1e-6, abs=1e-13)


@given(P, st.integers(4, 300))
def test_numbers_of_labels_are_binomial(p, half):
    prompt = slash_rates.prompt(len(p), 2 * half + 1, 1, p)
    assert prompt.alike @ prompt.p == pytest.approx(1, rel=FLOAT)
    for x, (numbers, chances) in zip(prompt.p, slash_rates.label_numbers(prompt), strict=True):
        assert chances.sum() == pytest.approx(1, rel=FLOAT)
        assert chances @ numbers == pytest.approx(half * x, rel=FLOAT)
        assert chances @ numbers ** 2 == pytest.approx(half * x * (1 - x) + (half * x) ** 2, rel=FLOAT)


@given(P, st.integers(0, 5))
def test_two_labels_are_of_one_class(p, k):
    k = k % len(p)
    prompt, rest = slash_rates.prompt(len(p), 13, 1, p), [x for m, x in enumerate(p) if m != k]
    at = int(np.flatnonzero(prompt.p == p[k])[0])
    assert prompt.square[at] == pytest.approx(sum(x ** 2 for x in rest) / sum(rest) ** 2, rel=FLOAT)


def test_the_gradient_by_logits_of_rows():
    """slash.md 4.3 in sympy: minus dL_k by the logit of the match, of another class and of the odd rows."""
    K, b = 4, sympy.symbols("b0:5")
    weights = [sympy.exp(x) for x in b]
    s = [w / sum(weights) for w in weights]
    square = sum(x ** 2 for x in s[:K])
    loss = ((1 - s[0]) ** 2 + sum(x ** 2 for x in s[1:K])) / 2
    printed = [2 * s[0] * loss, *(x * (square - x - s[0]) for x in s[1:K]), s[K] * (square - s[0])]
    assert all(sympy.simplify(sympy.diff(loss, x) + y) == 0 for x, y in zip(b, printed))
    assert sympy.simplify(sum(printed)) == 0


@given(P, st.integers(0, 7), st.integers(1, 4), st.floats(-2.0, 6.0), st.floats(-2.0, 2.0),
       st.floats(-2.0, 2.0), st.booleans(), st.sampled_from([1.0, 0.8]))
def test_the_gradient_of_stage_two_is_that_of_its_loss(p, k, period, B, b, o, edge, itself):
    k, rest = k % len(p), np.delete(p, k % len(p))
    rows = slash_rates.MatchRows(
        p[k], 1, rest, np.arange(1, rest.size + 1), period, np.array([0.6, 0.9]), np.array([0.4, 0.6]),
        np.array([2.0, 3.0, 5.0]), np.array([0.3, 0.5, 0.2]), 11, 12 * (period > 1), 4,
        np.array([1.0, 0.0, 1.0]) * (1 if edge else np.nan), itself)
    x = np.concatenate([[B], b * np.cos(np.arange(rest.size)), [o]])
    gradient = slash_rates.match_loss(rows, x)[1]
    for i, (h, times) in enumerate(zip(1e-5 * np.eye(x.size), [1, *rows.classes, 1])):
        slope = (slash_rates.match_loss(rows, x + h)[0] - slash_rates.match_loss(rows, x - h)[0]) / 2e-5
        assert times * gradient[i] == pytest.approx(slope, abs=1e-8)             # rounding of the difference


@pytest.mark.parametrize("p", [shares([1, 1, 1]), (0.5, 0.3, 0.2), (0.2, 0.2, 0.6)])
def test_the_loss_of_stage_two_at_a_finite_length_is_that_of_its_rows(p, monkeypatch):
    seen = []
    monkeypatch.setattr(slash_match, "_second", lambda _, rows, loss, step: seen.extend(rows) or np.zeros(2))
    slash_match.stage_two_refined(3, 21, margin=2.0, probabilities=p)
    assert [(one.p, one.alike) for one in seen] == [(x, p.count(x)) for x in sorted(set(p))]
    for one in seen:
        k = p.index(one.p)
        counts = [math.comb(10, n) * p[k] ** n * (1 - p[k]) ** (10 - n) for n in range(11)]
        by_chance = dict(zip(one.rest, -0.4 - 0.3 * np.arange(one.rest.size)))
        b = [by_chance.get(x, 0.0) for x in p]
        expected = naive.match_loss(p, k, 21, 2.0, 2.5, b, -0.9, counts)
        found = slash_rates.match_loss(one, np.array([2.5, *by_chance.values(), -0.9]))[0]
        assert found == pytest.approx(expected, rel=1e-5)  # 8 nodes


@given(st.integers(0, 2 ** 32 - 1), st.integers(1, 7), st.floats(0.02, 0.9))
@settings(max_examples=30)
def test_the_first_rows_are_expectations_over_what_they_see(seed, count, p):
    """Every row of `count` whose keys each match with chance p if they are inputs, by listing who matches."""
    rng = np.random.default_rng(seed)
    weight, inputs = np.exp(3 * rng.normal(size=count)), rng.integers(2, size=count)
    expected = np.zeros(count)
    for j in range(count):
        S = weight[j::-1] / weight[:j + 1].sum()
        for hits in itertools.product((0, 1), repeat=j + 1):
            seen = inputs[:j + 1] == 1
            hits = np.where(seen, hits, 0)                     # each pattern of the inputs comes 2^others times
            chance = np.prod(np.where(hits[seen], p, 1 - p)) / 2 ** (~seen).sum()
            b = S @ hits
            expected[:j + 1] += (chance * np.exp(b) * S * (hits - b))[::-1]
    found = slash_rates._early(weight, np.cumsum(weight), inputs.astype(float), p)
    np.testing.assert_allclose(found, expected, atol=1e-14)
