"""Pictures: what is drawn is what was given, on axes that name query and key."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from tolerances import EXACT

from ropesim import plots

KINDS = ("predicted", "error", "simulated", "stderr")


def values(length, seed=0):
    rng = np.random.default_rng(seed)
    return {f"slash_{kind}": rng.uniform(0.01, 1, length) for kind in KINDS}


def portrait(length=64, blocks=8):
    rng = np.random.default_rng(1)
    square = np.tril(rng.uniform(0, 1, (blocks, blocks)))
    return SimpleNamespace(lag=5, contribution=rng.normal(size=6), average=rng.normal(size=6), predicted=square,
                           simulated=square / 2, length=length)


def test_prediction_and_simulation_are_drawn_at_their_lags():
    given_values = values(100)
    simulated, predicted = plots.by_lag(given_values, Figure().subplots(), first=10, last=40).lines
    for line, kind in ((simulated, "simulated"), (predicted, "predicted")):
        assert line.get_xdata().tolist() == list(range(10, 40))
        assert line.get_ydata() == pytest.approx(given_values[f"slash_{kind}"][10:40], rel=EXACT)


def test_the_bands_are_five_standard_errors_and_the_error_wide():
    one = {"slash_predicted": np.zeros(3), "slash_error": np.full(3, 0.5), "slash_simulated": np.zeros(3),
           "slash_stderr": np.full(3, 0.1)}
    bands = plots.by_lag(one, Figure().subplots()).collections
    tops = [band.get_paths()[0].vertices[:, 1].max() for band in bands]
    assert tops == [0.5, 0.5]
    one["slash_error"][:] = 0.2
    tops = [band.get_paths()[0].vertices[:, 1].max() for band in plots.by_lag(one, Figure().subplots()).collections]
    assert tops == [0.5, 0.2]


def test_an_unknown_error_draws_no_band():
    one = values(4) | {"slash_error": np.full(4, np.nan)}
    band = plots.by_lag(one, Figure().subplots()).collections[1].get_paths()[0].vertices[:, 1]
    assert set(np.round(band, 12)) <= set(np.round(one["slash_predicted"], 12))


@given(st.integers(1, 10 ** 6))
def testthinned_lags_rise_from_the_first_to_the_last_and_fit_a_picture(size):
    kept = plots.thinned(size)
    assert (kept[0], kept[-1]) == (0, size - 1) and len(kept) <= 4000
    assert (np.diff(kept) > 0).all()


def test_the_map_is_empty_above_the_diagonal_and_keeps_its_numbers_below():
    pooled = np.array([[1.0, 0.0], [0.25, 0.75]])
    image = plots.attention_map(pooled, 8, Figure().subplots()).images[0]
    shown = image.get_array().filled(np.nan)
    assert np.isnan(shown[0, 1]) and shown[[0, 1, 1], [0, 0, 1]].tolist() == [1.0, 0.25, 0.75]
    assert tuple(image.get_extent()) == (0, 8, 8, 0)


def test_axes_of_the_map_say_query_and_key():
    ax = plots.attention_map(np.eye(2), 8, Figure().subplots(), title="t")
    assert "key" in ax.get_xlabel() and "query" in ax.get_ylabel() and ax.get_title() == "t"


def test_bars_are_the_contributions_of_the_pairs():
    ax = plots.pairs(np.array([1.0, -2.0]), np.zeros(2), 7, Figure().subplots())
    assert [bar.get_height() for bar in ax.patches if hasattr(bar, "get_height")][:2] == [1.0, -2.0]


@pytest.mark.parametrize("length", [1, 2, 64, 5000])
def test_figures_of_any_length_become_png(length):
    one = portrait(length, min(8, length))
    for figure in (plots.profile_figure(values(length), one, "title"), plots.map_figure(one, "title")):
        assert plots.png(figure).endswith(b"IEND\xaeB`\x82")


def test_scores_of_zero_are_drawn_on_a_linear_axis():
    nothing = {f"slash_{kind}": np.zeros(8) for kind in KINDS}
    assert plots.profile_figure(nothing, portrait(), "none").axes[1].get_yscale() == "linear"
