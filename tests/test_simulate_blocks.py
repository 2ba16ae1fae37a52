"""Blocks of logits and the three kinds of scores, against whole matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from tolerances import EXACT, FLOAT

from ropesim import masks
from ropesim.errors import RopesimError
from ropesim.simulate import blocks
from ropesim.stacks import KINDS

seeds = st.integers(0, 2 ** 32 - 1)


def whole(q, k, **how):
    """The tiles put together; keys outside them are hidden."""
    out = np.full((len(q), len(q)), -np.inf)
    for start, first, tile in blocks.tiles(q, k, **how):
        out[start:start + len(tile), first:first + tile.shape[1]] = tile
    return out


@given(seeds, st.sampled_from([1, 2, 9, 40]), st.integers(0, 45), st.sampled_from([1, 3, 8, 128]))
def test_tiles_are_the_visible_logits(seed, length, window, rows):
    q, k = np.random.default_rng(seed).standard_normal((2, length, 3))
    mask = masks.visible(length, window=window)
    want = np.where(mask, q @ k.T, -np.inf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ROWS", rows)
        np.testing.assert_allclose(whole(q, k, window=window), want, rtol=0, atol=FLOAT)
        np.testing.assert_allclose(whole(q, k, visible=mask), want, rtol=0, atol=FLOAT)


@pytest.mark.parametrize("window, visible", [(50, None), (0, masks.visible(1000, document=100))])
def test_tiles_leave_out_what_no_row_sees(window, visible):
    q = np.ones((1000, 2))
    cells = sum(tile.size for _, _, tile in blocks.tiles(q, q, window=window, visible=visible))
    assert cells <= 1000 * (2 * blocks.ROWS + 100)


@given(seeds, st.sampled_from(KINDS), st.floats(0, 60), st.sampled_from(["f4", "f8"]))
def test_scores_with_and_without_a_shift_are_the_formula(seed, kind, size, dtype):
    rng = np.random.default_rng(seed)
    logits = (size * rng.uniform(-1, 1, (4, 9))).astype(dtype)
    logits[rng.random((4, 9)) < 0.3] = -np.inf
    logits[:, 0] = size
    finite = np.where(np.isinf(logits), -1e4, logits.astype(float))
    shifted = np.exp(finite - size)
    total = shifted.sum(axis=1, keepdims=True)
    want = {"softmax": shifted / total, "softmax-plus-one": shifted / (total + np.exp(-size)),
            "sigmoid": expit(finite - np.log((finite > -1e3).sum(axis=1, keepdims=True)))}[kind]
    for largest in (size, 1e9):
        tile = logits.copy()
        got = tile / blocks.weigh(tile, kind, largest)[:, None]
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 if dtype == "f4" else FLOAT)     # 60 ulp of float32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_stay_finite(kind, logit):
    tile = np.array([[logit, logit]])
    got = tile / blocks.weigh(tile, kind, 1e4)[:, None]
    want = {"softmax": 0.5, "softmax-plus-one": 0.5 * (logit > 0), "sigmoid": float(logit > 0)}[kind]
    np.testing.assert_allclose(got, want, rtol=EXACT)


@given(seeds)
def test_no_logit_exceeds_the_bound(seed):
    q, k = np.random.default_rng(seed).standard_normal((2, 7, 3))
    assert np.abs(q @ k.T).max() <= blocks.bound(q, k) * (1 + EXACT)
    np.testing.assert_allclose(blocks.bound(q[:1], q[:1]), q[0] @ q[0], rtol=EXACT)


@given(st.floats(-800, 800))
def test_logistic_is_that(x):
    np.testing.assert_allclose(blocks.logistic(np.array([x])), expit(x), rtol=0, atol=EXACT)


def test_too_many_pairs_are_refused_with_the_window_that_will_do():
    with pytest.raises(RopesimError, match="use a window below 6872") as caught:
        blocks.affordable(10 ** 7, 0)
    assert caught.value.name == "length"
    blocks.affordable(10 ** 7, 6871)
    with pytest.raises(RopesimError):
        blocks.affordable(10 ** 7, 6872)
