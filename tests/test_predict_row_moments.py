"""Moments of random rows against drawn rows, the participation of a row and the score of a sink."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT, SIGMAS

from ropesim import masks, simulate
from ropesim.predict import sinks
from ropesim.predict.row_moments import moments
from ropesim.stacks import KINDS, Rows


@st.composite
def rows(draw):
    kind, tau = draw(st.sampled_from(KINDS)), draw(st.sampled_from([0.0, 0.5, 2.0, 6.0]))
    given = draw(st.sampled_from(["none", "margin", "mass" if kind == "softmax" else "none"]))
    if given == "mass":
        return Rows(tau=tau, mass=draw(st.floats(0, 1)))
    return Rows(tau=tau, kind=kind, margin=draw(st.floats(-20, 20)) if given == "margin" else None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [{}, {"margin": 1.5}, {"mass": 0.4}])
@pytest.mark.parametrize("tau", [0.7, 3.0])
def test_moments_are_those_of_drawn_rows(kind, given, tau):
    if "mass" in given and kind != "softmax":
        return
    law = Rows(kind=kind, tau=tau, **given)
    mask = masks.visible(6, document=3, shared=True)
    m = moments(law, mask[:, 1:].sum(axis=1), mask[:, 0], 0.5)
    drawn = simulate.mixing.scores(law, mask, 20000, np.random.default_rng(0))
    drawn[:, :, 0] *= 0.5
    for i, j, k in ((1, 1, 1), (2, 1, 2), (3, 1, 3), (5, 4, 5)):
        a, b, c = drawn[:, i, 0], drawn[:, i, j], drawn[:, i, k]
        products = [(m.first, a), (m.other, b), (m.first2, a * a), (m.cross, a * b), (m.other2, b * b),
                    (m.square, ((drawn[:, i] ** 2).sum(axis=1)) ** 2)] + ([(m.pair, b * c)] if j != k else [])
        for value, sampled in products:
            assert abs(value[i] - sampled.mean()) <= SIGMAS * sampled.std() / np.sqrt(len(sampled)) + FLOAT


@given(rows(), st.integers(0, 300), st.booleans())
def test_moments_keep_their_sums_and_bounds(law, others, first):
    m = moments(law, np.array([others]), np.array([first or others == 0]))
    total = m.first + others * m.other
    square_ = m.first2 + 2 * others * m.cross + others * m.other2 + others * (others - 1) * m.pair
    if law.kind == "softmax":
        np.testing.assert_allclose([total[0], square_[0]], 1, rtol=FLOAT)
    assert (square_ >= total ** 2 * (1 - FLOAT)).all() and m.error < 1e-10
    assert (m.square >= (m.first2 + others * m.other2) ** 2 * (1 - FLOAT)).all()


@pytest.mark.parametrize("keys, tau", [(64, 0.5), (64, 8.0), (1024, 2.0)])
def test_the_second_moment_is_the_participation(keys, tau):
    m = moments(Rows(tau=tau), np.array([keys - 1]), np.array([True]))
    assert keys * m.other2[0] == pytest.approx(sinks.gaussian_participation(keys, tau)[0], rel=FLOAT)


def test_a_margin_gives_the_mass_within_its_bound():
    m = moments(Rows(tau=1.0, margin=4.0), np.arange(64), np.ones(64, dtype=bool))
    score, error = sinks.sink_score(4.0 + 1.0 / 2, 64, tau=1.0)              # above the mean logit
    assert score - FLOAT <= m.first.mean() <= score + error + FLOAT
