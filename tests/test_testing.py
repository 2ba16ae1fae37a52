"""The checker of RoPE functions: it accepts what rotates, reports how, and says which identity breaks otherwise."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim import bands
from ropesim.errors import RopesimError
from ropesim.strategies import bands as tables
from ropesim.testing import assert_is_rope, turned

THETA = np.array([1.0, 0.1, 0.01, 0.001])
CLOSE = 1e-9       # of a frequency: an angle to 1e-9, and whatever a thousand tokens add to its digits


def rope(table):
    """A RoPE function out of a table of ours, in its layout, with its attention factor on the rotary pairs."""
    def fn(x, positions):
        z = bands.pair(x, table.layout, rotary_dim=table.rotary_dim)
        factor = np.where(np.arange(table.theta.size) < table.rotary_dim // 2, table.attention_factor, 1.0)
        return bands.unpair(z * factor * np.exp(1j * np.outer(positions, table.theta)), table.layout,
                            rotary_dim=table.rotary_dim)
    return fn


def check(table, **options):
    return assert_is_rope(rope(table), head_dim=table.head_dim, **options)


def good(x, positions):
    return turned(x, positions, THETA)


# What it accepts

@pytest.mark.parametrize("layout", bands.LAYOUTS)
@pytest.mark.parametrize("rotary_dim", [4, 6, 8, 16])
@pytest.mark.parametrize("factor", [1.0, 1.25, 0.5])
def test_our_own_bands_are_recognised(layout, rotary_dim, factor):
    theta = np.append(1e4 ** -np.arange(0, 1, 2 / rotary_dim), np.zeros(8 - rotary_dim // 2))
    report = check(bands.custom(theta, rotary_dim=rotary_dim, attention_factor=factor, layout=layout))
    assert (report.layout, report.rotary_dim, report.reversed) == (layout, rotary_dim, ())
    assert report.attention_factor == pytest.approx(factor, rel=EXACT)
    np.testing.assert_allclose(report.theta, theta, atol=CLOSE)
    assert 0 < report.error < FLOAT


@given(tables(max_pairs=6))
def test_every_table_is_a_rope_and_its_frequencies_are_found(table):
    report = check(table, theta=table.theta, length=64)
    np.testing.assert_allclose(np.exp(1j * report.theta), np.exp(1j * table.theta), atol=CLOSE)
    assert report.attention_factor == pytest.approx(table.attention_factor if report.rotary_dim else 1, rel=EXACT)
    if (np.abs(np.sin(table.theta[:table.rotary_dim // 2])) > 0.01).all():      # else fewer pairs explain it as well
        layout = "half" if table.rotary_dim == 2 else table.layout
        assert report[:2] == (layout, table.rotary_dim) and report.reversed == ()


@pytest.mark.parametrize("name", ["llama-3.1-8b", "phi-3.5-mini", "pythia-70m", "gemma-3-4b-global"])
def test_published_tables_are_recognised(name):
    table = bands.preset(name)
    report = check(table, theta=table.theta, length=8192)
    assert (report.layout, report.rotary_dim) == (table.layout, table.rotary_dim)
    assert report.attention_factor == pytest.approx(table.attention_factor, rel=EXACT)


def test_a_base_stands_for_its_frequencies_also_in_part_of_the_head():
    table = bands.geometric(8, 500.0, rotary_dim=4)
    np.testing.assert_allclose(check(table, base=500.0).theta, table.theta, atol=CLOSE)
    with pytest.raises(AssertionError, match="wrong frequency: at position 1 pair 1 is not at the angle 1"):
        check(table, base=501.0)


def test_a_single_pair_is_called_half():
    for layout in bands.LAYOUTS:
        for head_dim in (2, 6):
            table = bands.custom([0.3] + [0.0] * (head_dim // 2 - 1), rotary_dim=2, layout=layout)
            assert check(table)[:2] == ("half", 2)


def test_frequencies_are_known_up_to_whole_turns():
    report = check(bands.custom([0.5 + 2 * np.pi]), theta=[0.5 - 4 * np.pi])
    np.testing.assert_allclose(report.theta, [0.5], atol=CLOSE)


def test_a_pair_that_turns_by_half_a_turn_per_token_finds_its_partner():
    assert check(bands.custom([np.pi, 0.0]), theta=[np.pi, 0.0])[:2] == ("half", 4)


def test_pairs_that_turn_the_other_way_are_reported():
    signs = np.array([1, -1, 1, -1])
    swapped = bands.custom(signs * THETA)
    for options in ({}, {"theta": THETA}, {"base": 1e4}):
        report = check(swapped, **options)
        assert report.reversed == (1, 3)
        np.testing.assert_allclose(report.theta, signs * THETA, atol=CLOSE)
    assert check(swapped, theta=swapped.theta).reversed == ()


def test_an_attention_factor_on_part_of_the_head_tells_rotary_dim():
    theta = [1.0, 0.0, 0.0, 0.0]
    for rotary_dim in (4, 6):
        table = bands.custom(theta, rotary_dim=rotary_dim, attention_factor=1.5, layout="interleaved")
        assert check(table)[:2] == ("interleaved", rotary_dim)
    unscaled = bands.custom(theta, rotary_dim=6, layout="interleaved")
    assert check(unscaled).rotary_dim == 2     # no function of the vector shows more


def test_rounding_at_position_zero_is_no_attention_factor():
    table = bands.custom([1.0, 0.1, 0.0], rotary_dim=4)
    report = assert_is_rope(lambda x, positions: rope(table)(x, positions) * ([1 + 1e-12] * 4 + [1] * 2), head_dim=6)
    assert (report.rotary_dim, report.attention_factor) == (4, 1)


def test_a_head_without_rotation_passes_only_where_that_was_asked_for():
    def nope(x, positions):
        return x

    for theta in (0.0, 1e-20, 2 * np.pi):
        assert assert_is_rope(nope, head_dim=4, theta=[theta, 0.0])[:2] == ("half", 0)
    with pytest.raises(AssertionError, match="nothing turns"):
        assert_is_rope(nope, head_dim=4, theta=[1e-6, 0.0])
    with pytest.raises(AssertionError, match="nothing turns: fn returns the same at all positions up to 1023"):
        assert_is_rope(nope, head_dim=4)


def test_it_reads_what_numpy_reads_and_lets_a_function_write_into_its_arguments():
    class Tensor:
        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.values, dtype=dtype)

    def in_place(x, positions):
        x[:] = good(x, positions)
        positions += 1
        return Tensor(x)

    assert assert_is_rope(in_place, head_dim=8, theta=THETA).layout == "half"


def test_the_module_shows_how_to_use_cos_and_sin():
    angle = np.outer(np.arange(1024), np.tile(THETA, 2))
    cos, sin = np.cos(angle), np.sin(angle)

    def fn(x, positions):
        rotated_half = np.concatenate([-x[:, 4:], x[:, :4]], axis=1)
        return x * cos[positions] + rotated_half * sin[positions]

    assert assert_is_rope(fn, head_dim=8, base=1e4).layout == "half"


# What it rejects

def absolute(x, positions):
    return x + np.repeat(np.sin(np.outer(positions, THETA)), 2, axis=1)


def absolute_from_one(x, positions):
    return absolute(x, positions + 1)


def late(x, positions):
    return good(x, positions + 1)


def by_row(x, positions):
    return good(x, np.arange(len(x)))


def flipped_start(x, positions):
    return -good(x, positions)


def scaled_tail(x, positions):
    return good(x, positions) * ([1, 1, 1, 1, 1, 2, 1, 1])


def normalised(x, positions):
    y = good(x, positions)
    return y / np.abs(y).max(axis=1, keepdims=True) if positions.any() else y


def louder(x, positions):                      # xPos: the scale grows with the position
    return good(x, positions) * 1.001 ** positions[:, None]


def sheared(x, positions):
    y = good(x, positions)
    y[:, 0] *= np.where(positions == 5, 0, 1)
    y[:, 0] += np.where(positions == 5, y[:, 1], 0)
    return y


def drifting(x, positions):
    return good(x, positions + 1e-6 * positions ** 2)


def wrong_beyond(x, positions):
    return good(x, np.where(positions > 500, positions + 0.001, positions))


def mixed(x, positions):                       # a rotation in all identities, in turned coordinates
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    return good(x @ basis, positions) @ basis.T


def mirrored(x, positions):                    # coordinate b with 7 - b
    order = [0, 1, 2, 3, 7, 6, 5, 4]
    return good(x[:, order], positions)[:, order]


def tail_first(x, positions):
    return np.concatenate([x[:, :4], turned(x[:, 4:], positions, THETA[:2])], axis=1)


def reflecting(x, positions):
    y = x.copy()
    y[positions % 2 == 1] = y[positions % 2 == 1][:, [4, 5, 6, 7, 0, 1, 2, 3]]
    return y


def slower(x, positions):
    return good(x, 0.5 * positions)


def float32_angles(x, positions):
    angle = positions[:, None].astype(np.float32) * THETA.astype(np.float32)
    z = bands.pair(x, "half") * np.exp(1j * angle.astype(float))
    return bands.unpair(z, "half")


BROKEN = [
    (absolute_from_one, "position zero is not the identity: at position 0 fn changes unit vector 0, by"),
    (absolute, "not linear: at position 1 the image of a vector is not the sum of the images of its coordinates"),
    (late, "position zero is not the identity: at position 0 fn changes unit vector 0, by"),
    (by_row, "rows are not independent: the image of a vector at position 0 changes when the rows come in"),
    (flipped_start, "position zero is not the identity: at position 0 fn changes unit vector 0, it is multiplied by"),
    (scaled_tail, "position zero is not the identity: at position 0 fn changes unit vector 5 (an attention factor"),
    (normalised, "not linear: at position "),
    (louder, "norms are not kept: at position 1 that of a unit vector changes, by 0.001, more than"),
    (sheared, "norms are not kept: at position 5 that of a unit vector changes, by"),
    (drifting, "dot products do not depend on the lag alone: that of positions 2 and 1 is not that of 1 and 0, by"),
    (wrong_beyond, "dot products do not depend on the lag alone: that of positions 610 and 233 is not that of 377"),
    (mixed, "pairs are mixed: coordinate 0 turns into coordinate "),
    (mirrored, "no known layout: coordinates (0, 7), (1, 6), (2, 5), (3, 4) turn together and none of 8 are scaled"),
    (tail_first, "no known layout: coordinates (4, 6), (5, 7) turn together"),
    (reflecting, "pair 0 is reflected, not turned: at position 1 its second coordinate turns the other way, by 2,"),
    (slower, "wrong frequency: at position 1 pair 0 is not at the angle 1 * 1 (it turns by 0.5 per token), by"),
    (lambda x, positions: x[:, :4], "not of one shape: fn makes ("),
    (lambda x, positions: 1j * x, "not real: fn returns an array of complex128"),
    (lambda x, positions: x.astype(str), "not real: fn returns an array of <U"),
    (lambda x, positions: np.where(positions[:, None] == 8, np.nan, good(x, positions)),
     "not finite: fn returns nan or inf at position 8"),
]


@pytest.mark.parametrize("fn, sentence", BROKEN, ids=[sentence.split(":")[0] for _, sentence in BROKEN])
def test_a_broken_function_is_told_what_breaks(fn, sentence):
    with pytest.raises(AssertionError, match="^" + re.escape(sentence)) as caught:
        assert_is_rope(fn, head_dim=8, theta=THETA)
    assert "\n" not in str(caught.value)


def test_a_function_that_goes_wrong_late_passes_where_it_is_sound():
    assert assert_is_rope(wrong_beyond, head_dim=8, theta=THETA, length=501).error < FLOAT


def test_angles_in_float32_pass_with_a_tolerance_that_grows_with_the_length():
    report = assert_is_rope(float32_angles, head_dim=8, theta=THETA, length=1024, tolerance=1e-4)
    assert 1e-6 < report.error < 1e-4
    with pytest.raises(AssertionError, match=r"dot products|do not compose|wrong frequency"):
        assert_is_rope(float32_angles, head_dim=8, theta=THETA, length=1 << 20, tolerance=1e-4)
    assert_is_rope(float32_angles, head_dim=8, theta=THETA, length=1 << 20, tolerance=0.1)


@given(st.integers(0, 7), st.integers(1, 20), st.floats(1e-6, 0.1))
@example(0, 3, 1e-6)
def test_one_wrong_coordinate_at_one_position_is_found(coordinate, index, size):
    """Whatever is wrong, at whichever of the tried positions, by more than the tolerance."""
    wrong = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987)[index % 16]

    def fn(x, positions):
        y = good(x, positions)
        y[positions == wrong, coordinate] *= 1 + size
        return y

    with pytest.raises(AssertionError, match=f"position {wrong}" if wrong else "position zero|norms|not linear"):
        assert_is_rope(fn, head_dim=8)


@pytest.mark.parametrize("options, name", [
    ({"head_dim": 7}, "head_dim"), ({"head_dim": 0}, "head_dim"), ({"theta": [1.0]}, "shape of theta"),
    ({"theta": THETA, "base": 1e4}, "base"), ({"base": 1.0}, "base"), ({"length": 2}, "length"),
    ({"tolerance": 0}, "tolerance"), ({"theta": [np.nan] * 4}, "theta"),
])
def test_bad_arguments_are_errors_of_the_caller_not_of_the_function(options, name):
    with pytest.raises(RopesimError) as caught:
        assert_is_rope(good, **{"head_dim": 8} | options)
    assert caught.value.name == name


@pytest.mark.parametrize("call, name", [
    (lambda: turned([[1.0, 0.0, 0.0]], [0], [1.0]), "shape of x"),
    (lambda: turned([[1.0, 0.0]], [], [1.0]), "shape of positions"),
])
def test_the_plain_rope_checks_its_shapes(call, name):
    with pytest.raises(RopesimError) as caught:
        call()
    assert caught.value.name == name
