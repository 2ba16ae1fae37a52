"""Drawn stacks against loops, and what must hold in each."""

from dataclasses import asdict

import naive_mixing as naive
import numpy as np
import pytest
from tolerances import EXACT, FLOAT, SIGMAS

from ropesim import masks
from ropesim.errors import RopesimError
from ropesim.simulate import mixing
from ropesim.stacks import KINDS, Rows, Stack

SMALL = {"layers": 2, "heads": 2, "length": 4, "width": 6}


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("stack", [
    Stack(**SMALL, rows=Rows(tau=1.0), rho=0.3, value=0.5),
    Stack(**SMALL, rows=Rows(mass=0.4, tau=0.5), norm="post", alone=(2,)),
    Stack(**SMALL, rows=Rows(margin=1.0, kind="sigmoid"), norm="none", window=2, gain=0.7),
    Stack(**SMALL, rows=Rows(tau=1.0, margin=0.5, kind="softmax-plus-one"), head_norm=True, document=2, shared=True),
    Stack(**SMALL, head_norm=True, value=0.0, document=2),
], ids=str)
def test_a_run_is_the_mean_of_loops(stack):
    """Two Monte Carlo means, of 600 and 300 samples."""
    means, errors = mixing.run(stack, 600, seed=1)
    generator = rng(2)
    found = [naive.sample(asdict(stack), generator) for _ in range(300)]
    for name in means:
        values = np.array([one[name] for one in found])
        slack = SIGMAS * np.hypot(errors[name], values.std(axis=0, ddof=1) / np.sqrt(len(values))) + FLOAT
        assert means[name].shape == values.shape[1:]
        assert (np.abs(means[name] - values.mean(axis=0)) <= slack).all(), name


def test_the_tangent_is_the_change_of_the_last_token_where_nothing_is_normed():
    """Without norms the map is linear: |J^T u|^2 over all tokens at once is |x_n . u| for tokens that solve it."""
    stack = Stack(**SMALL, norm="none", rows=Rows(tau=1.0))
    mask = masks.visible(4)
    x, generator, layers = mixing.tokens(stack, rng(1)), rng(3), []
    end = x
    for _ in range(2):
        end, layer, _ = mixing._layer(stack, end, mask, generator)
        layers.append(layer)
    blocks = np.zeros((4, 6, 6))                                  # d x_n / d x_i, column by column
    for i in range(4):
        for c in range(6):
            moved = x.copy()
            moved[i, c] += 1.0
            for layer in layers:
                mixed = layer.scores @ moved
                moved = moved + sum(mixed[h] @ layer.maps[h] for h in range(2)) / np.sqrt(2)
            blocks[i, :, c] = (moved - end)[-1]
    direction = rng(9).normal(size=6)
    direction /= np.linalg.norm(direction)
    np.testing.assert_allclose(mixing._sensitivity(stack, layers, rng(9)),
                               ((direction @ blocks) ** 2).sum(axis=1), rtol=FLOAT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [None, 3.0, 400.0])
def test_scores_lie_under_the_mask_and_sum_to_what_they_should(kind, margin):
    mask = masks.visible(9, document=3, shared=True, alone=(4,))
    rows = mixing.scores(Rows(tau=2.0, margin=margin, kind=kind), mask, 3, rng())
    assert (rows[:, ~mask] == 0).all() and (rows[:, mask] >= 0).all()
    total = rows.sum(axis=2)
    if kind == "softmax":
        np.testing.assert_allclose(total, 1, rtol=EXACT)
    elif kind == "softmax-plus-one":
        assert (total <= 1).all()
    else:
        assert (rows <= 1).all()


def test_the_mass_is_what_every_row_with_another_key_gives():
    mask = masks.visible(5, window=3, alone=(2,))
    rows = mixing.scores(Rows(tau=1.0, mass=0.4), mask, 2, rng())
    assert (rows[:, 0, 0] == 1).all() and (rows[:, 1, 0] == 0.4).all() and (rows[:, 2, 2] == 1).all()
    assert (rows[:, 3:, 0] == 0).all()
    np.testing.assert_allclose(rows.sum(axis=2), 1, rtol=EXACT)


def test_tokens_have_norm_one_and_the_cosine_in_the_mean():
    found = np.array([mixing.tokens(Stack(length=3, width=8, rho=0.4), rng(k)) for k in range(2000)])
    np.testing.assert_allclose((found ** 2).sum(axis=2), 1, rtol=EXACT)
    cosine = (found[:, 0] * found[:, 1]).sum(axis=1)
    assert abs(cosine.mean() - 0.4) < SIGMAS * cosine.std() / np.sqrt(2000)


def test_identical_tokens_stay_identical():
    means, _ = mixing.run(Stack(layers=3, length=5, width=8, rho=1.0), 2, seed=0)
    np.testing.assert_allclose(means["cosine"], 1, rtol=FLOAT)
    np.testing.assert_allclose(means["disagreement"], 0, atol=FLOAT)


def test_maps_are_orthogonal_and_of_no_preferred_sign():
    maps = mixing._orthogonal(rng(), 400, 3)
    np.testing.assert_allclose(maps @ maps.transpose(0, 2, 1), np.broadcast_to(np.eye(3), maps.shape), atol=EXACT)
    assert np.abs(maps.mean(axis=0)).max() < SIGMAS * np.sqrt(1 / 3 / 400)


def test_samples_depend_on_the_seed_and_their_number_alone():
    stack = Stack(layers=2, length=4, width=4, rows=Rows(tau=1.0))
    first, again, other = (mixing.run(stack, 3, seed)[0] for seed in (0, 0, 1))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["norm"][-1] != other["norm"][-1]).any()


def test_no_layer_has_states_and_no_scores():
    means, _ = mixing.run(Stack(layers=0, length=3, width=4), 2, seed=0)
    assert means["variance"].shape == (0, 3) and means["received"].shape == (0,) and means["norm"].shape == (1, 3)


@pytest.mark.parametrize("samples, seed", [(1, 0), (2, -1), (2.5, 0)])
def test_bad_numbers_are_refused(samples, seed):
    with pytest.raises(RopesimError):
        mixing.run(Stack(), samples, seed)


def test_too_many_scores_are_refused_with_the_remedy():
    with pytest.raises(RopesimError, match="fewer tokens, heads or layers"):
        mixing.run(Stack(length=1 << 15), 2, 0)
