"""Pictures of sweeps: what is drawn is what was given; labels are there, differ, and do not overlap."""

import numpy as np
import pytest
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from stores import spoil, store
from tolerances import EXACT

from ropesim import charts
from ropesim.charts import edges, figure, names, plain, spacing
from ropesim.errors import RopesimError
from ropesim.plots import PREDICTED, SIMULATED, encoded
from ropesim.views import Along, view

BASES = np.geomspace(1e4, 1e7, 4).tolist()


def drawn(swept, *quantities, heat=False, **options):
    return figure(view(store(swept, quantities or ("sink",)), heat=heat, **options), heat=heat)


def words(made):
    """Label lines of the legend."""
    return [text.get_text().strip() for text in made.legends[0].get_texts()]


def boxes(made):
    """Of every axis of a figure that is drawn: the boxes of its tick labels on the canvas."""
    made.draw_without_rendering()
    for ax in made.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            yield axis, [tick.label1.get_window_extent() if tick.label1.get_visible() else
                         tick.label2.get_window_extent() for tick in axis.get_major_ticks() + axis.get_minor_ticks()
                         if (tick.label1.get_text() and tick.label1.get_visible()
                             or tick.label2.get_text() and tick.label2.get_visible())
                         and low <= tick.get_loc() <= high]


# Lines

def test_predictions_are_lines_over_points_with_bars_of_five_standard_errors():
    one = view(store({"rope.base": BASES}))
    ax = charts.lines(one, Figure().subplots())
    points, caps_low, caps_high, line = ax.lines
    assert (points.get_color(), line.get_color()) == (SIMULATED, PREDICTED)
    assert points.get_xdata().tolist() == line.get_xdata().tolist() == BASES
    assert points.get_ydata() == pytest.approx(one.simulated[:, 0], rel=EXACT)
    assert line.get_ydata() == pytest.approx(one.predicted[:, 0], rel=EXACT)
    assert caps_high.get_ydata() - points.get_ydata() == pytest.approx(5 * one.stderr[:, 0], rel=1e-9)   # differences
    band = ax.collections[-1].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((one.predicted + one.error).max(), rel=EXACT)
    assert line.get_zorder() > points.get_zorder()


def test_every_value_of_hue_has_a_colour_of_its_own_shared_by_line_and_points():
    ax = drawn({"rope.base": BASES, "head.noise": [0.0, 0.1, 0.2]}).axes[0]
    of_lines = [line.get_color() for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 4]
    of_points = [line.get_color() for line in ax.lines if line.get_marker() == "o"]
    assert of_lines == of_points and len(set(of_lines)) == 3


def test_many_values_along_x_are_drawn_as_a_band_instead_of_bars():
    ax = drawn({"rope.base": np.linspace(1e4, 2e4, 100).tolist()}).axes[0]
    assert len(ax.lines) == 2 and not [line for line in ax.lines if line.get_marker() == "o"]


def test_the_legend_stands_beside_the_axes_and_names_hue_with_its_unit():
    made = drawn({"rope.base": BASES, "head.noise": [0.0, 0.1]})
    assert words(made) == ["predicted ± error", "simulated ± 5 s.e.", "head.noise\n(of the r.m.s. component)", "0",
                           "0.1"]
    made.draw_without_rendering()
    ax, legend = made.axes[0].get_tightbbox(), made.legends[0].get_window_extent()
    assert not ax.overlaps(legend) and legend.x1 <= made.bbox.x1 and legend.y0 >= 0


@pytest.mark.parametrize("count", [1, 2, 8, 40])
def test_legends_and_titles_stay_apart_for_any_number_of_colours(count):
    made = drawn({"rope.base": BASES, "head.sink.margin": np.linspace(0.0, 8.0, count).tolist()})
    assert len(made.axes) == (2 if count == 40 else 1)
    made.draw_without_rendering()
    legend = made.legends[0].get_window_extent()
    assert not any(ax.get_tightbbox().overlaps(legend) for ax in made.axes)
    assert legend.x1 <= made.bbox.x1


def test_forty_values_of_hue_have_a_colour_bar_with_their_scale_instead_of_a_legend():
    made = drawn({"rope.base": BASES, "head.strength": np.geomspace(0.1, 10, 40).tolist()})
    assert words(made) == ["predicted ± error", "simulated ± 5 s.e."]
    bar = made.axes[1]
    assert bar.get_ylabel() == "head.strength" and bar.get_yscale() == "log"
    assert np.allclose(bar.get_ylim(), (0.1, 10))


def test_more_lines_than_can_be_told_apart_are_refused():
    with pytest.raises(RopesimError, match="--hue = 'head.strength': use --map"):
        drawn({"rope.base": BASES, "head.strength": np.linspace(0, 1, 401).tolist()})


def test_what_is_unknown_is_not_promised_by_the_legend():
    results = store({"rope.base": BASES})
    results.sink_error[:] = np.nan
    results.sink_stderr[:] = np.nan
    assert words(figure(view(results))) == ["predicted", "simulated"]


def test_a_colour_without_any_value_says_so():
    results = store({"rope.base": BASES, "head.lag": [7, 99]})
    for n in range(4):
        spoil(results, (n, 1), "too long")
    assert words(figure(view(results)))[-2:] == ["7", "99: no value"]


def test_an_incomplete_line_is_drawn_where_it_has_values():
    line = figure(view(spoil(store({"rope.base": BASES}), 1))).axes[0].lines[-1]
    assert np.isfinite(line.get_ydata()).tolist() == [True, False, True, True]


def test_a_lonely_value_is_seen():
    line = drawn({"rope.base": [1e4], "head.noise": [0.0, 0.1]}, x="rope.base").axes[0].lines[-1]
    assert line.get_marker() == "_"


def test_a_huge_error_leaves_the_values_room():
    results = store({"rope.base": BASES})
    results.sink_error[:] = 1e6
    bottom, top = figure(view(results)).axes[0].get_ylim()
    assert -0.1 < bottom < 0.01 and 0.0404 < top < 0.1


def test_values_of_more_than_two_decades_get_a_log_axis_and_others_a_linear_one():
    results = store({"rope.base": BASES})
    assert figure(view(results)).axes[0].get_yscale() == "linear"
    results.sink_predicted[:] = [1e-5, 1e-3, 1e-2, 0.5]
    assert figure(view(results)).axes[0].get_yscale() == "log"
    results.sink_predicted[:] = [-1e-1, 1e-3, 1e-2, 0.5]
    assert figure(view(results)).axes[0].get_yscale() == "linear"


def test_titles_say_what_is_fixed_and_axes_what_they_show():
    made = drawn({"rope.base": BASES, "head.noise": [0.0, 0.1]}, "slash", at=[("head.noise", "0.1")])
    ax = made.axes[0]
    assert ax.get_title(loc="left") == "slash head, llama-3-8b, 64 tokens; head.noise = 0.1, lag = 7"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rope.base", "average slash score")
    assert drawn({"run.length": [8, 16, 32]}, "entropy").axes[0].get_ylabel() == "entropy of a row (nats)"


# Axes

@pytest.mark.parametrize("values, kind", [
    ([1.0], "linear"), ([0.0, 0.1], "linear"), ([1e4, 2e4], "linear"), ([1e4, 1e7], "log"), ([3, 4, 5], "linear"),
    ([256, 512, 1024], "log"), (BASES, "log"), ([1e4, 1e5, 1e6, 5e6], "log"), ([1000, 1001, 1002], "linear"),
    (np.geomspace(1, 1.5, 5).tolist(), "linear"), (np.linspace(1, 100, 7).tolist(), "linear"),
    ([-1.0, 1.0, 10.0], "linear"), ([0.0, 0.01, 0.1, 1.0], "symlog"), ([0.0, 0.1, 0.2, 0.3], "linear"),
    ([0.1, 0.11, 5.0], "linear"), (["a", "b"], "names")])
def test_axes_are_logarithmic_where_values_are_geometric(values, kind):
    assert spacing(np.array(values)) == kind


@pytest.mark.parametrize("values, scale", [(BASES, "log"), ([1, 2, 3], "linear"), ([0.0, 0.01, 0.1, 1.0], "symlog"),
                                           (["a", "b", "c"], "linear")])
def test_both_kinds_of_picture_take_their_scales_from_the_spacing(values, scale):
    assert drawn({"some.field": values}).axes[0].get_xscale() == scale
    made = drawn({"other": [1, 2], "some.field": values}, heat=True)
    assert made.axes[0].get_yscale() == made.axes[1].get_yscale() == scale
    assert drawn({"some.field": values, "other": [1, 2]}, heat=True).axes[1].get_xscale() == scale


SPACINGS = {
    "few bases": BASES, "thirteen bases": np.geomspace(1e4, 1e7, 13).tolist(),
    "forty strengths": np.geomspace(0.1, 10, 40).tolist(), "lengths": [2 ** n for n in range(5, 18)],
    "close": np.geomspace(1e4, 2.5e4, 9).tolist(), "noise": [0.0, 0.01, 0.1, 1.0],
    "noise of seven": [0.0, *np.geomspace(1e-4, 1, 9)], "uneven": [0.1, 0.11, 5.0], "forty": list(range(40)),
    "tiny": np.linspace(1e-6, 2e-6, 7).tolist(), "large": np.linspace(1e6, 7e6, 7).tolist(),
    "presets": ["llama-3.1-8b", "qwen2.5-7b", "gemma-3-4b-local", "gemma-3-4b-global", "smollm2-135m"],
    "many presets": [f"a-rather-long-name-of-a-model-{n}" for n in range(20)]}


@pytest.mark.parametrize("heat", [False, True])
@pytest.mark.parametrize("name", SPACINGS)
def test_tick_labels_are_there_and_do_not_overlap(name, heat):
    for swept in ({"some.field": SPACINGS[name], "other": [1, 2]}, {"other": [1, 2], "some.field": SPACINGS[name]}):
        for axis, found in boxes(drawn(swept, heat=heat)):
            if axis.axis_name == "x" and SPACINGS[name][0] == "llama-3.1-8b":
                continue                                  # slanted labels: their boxes overlap, they do not
            assert not [1 for n, box in enumerate(found) for other in found[:n] if box.overlaps(other)], name


def test_few_values_are_labelled_as_they_are():
    ax = drawn({"run.length": [256, 512, 1024]}).axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["256", "512", "1024"]
    ax = drawn({"rope.preset": ["a", "b"]}).axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]


@pytest.mark.parametrize("value, text", [
    (0.0, "0"), (-2, "-2"), (1e4, "$10^{4}$"), (16384, "16384"), (-1e6, "$-10^{6}$"), (0.001, "0.001"),
    (123456.0, r"$1.235\times10^{5}$"), (0.5, "0.5")])
def test_numbers_are_written_as_people_do(value, text):
    assert plain(value) == text


def test_labels_of_different_values_differ():
    assert len(set(names(np.linspace(1, 1.0001, 20)))) == 20
    assert names(np.array([0.1, 0.1])) == ["0.1", "0.1"]


# Maps

def test_maps_show_prediction_beside_simulation_with_one_colour_bar():
    one = view(store({"rope.base": BASES, "head.noise": [0.0, 0.1]}), heat=True)
    made = figure(one, heat=True)
    left, right, bar = made.axes
    assert (left.get_title(), right.get_title()) == ("predicted", "simulated")
    assert (left.get_xlabel(), left.get_ylabel(), bar.get_ylabel()) == (
        "rope.base", "head.noise (of the r.m.s. component)", "sink: average score of key 0")
    meshes = [ax.collections[0] for ax in (left, right)]
    assert np.array_equal(meshes[0].get_array(), one.predicted.T)
    assert np.array_equal(meshes[1].get_array(), one.simulated.T)
    assert meshes[0].norm is meshes[1].norm and type(meshes[0].norm) is Normalize
    assert (meshes[0].norm.vmin, meshes[0].norm.vmax) == (0.01, one.simulated.max())


@pytest.mark.parametrize("heat", [True, False])
def test_what_was_not_simulated_is_not_drawn(heat):
    both = view(store({"rope.base": BASES, "head.noise": [0.0, 0.1]}, ("sink",)), heat=heat)
    nothing = np.full(both.simulated.shape, np.nan)
    made = figure(both._replace(simulated=nothing, stderr=nothing), heat=heat)
    if heat:
        assert [ax.get_title() for ax in made.axes if ax.get_title()] == ["predicted"]
    else:
        assert "predicted ± error" in words(made) and not any("simulated" in word for word in words(made))


def test_colours_are_logarithmic_where_values_span_more_than_two_decades():
    results = store({"rope.base": BASES, "head.noise": [0.0, 0.1]})
    results.sink_predicted[0, 0] = 1e-5
    norm = figure(view(results, heat=True), heat=True).axes[0].collections[0].norm
    assert type(norm) is LogNorm and norm.vmin == 1e-5
    results.sink_predicted[0, 0] = 0.0
    results.sink_predicted[0, 1] = 1e-30
    norm = figure(view(results, heat=True), heat=True).axes[0].collections[0].norm
    assert norm.vmin == pytest.approx(1e-8 * norm.vmax, rel=EXACT)


def test_cells_without_a_value_are_grey_and_the_colour_bar_says_so():
    results = spoil(store({"rope.base": BASES, "head.noise": [0.0, 0.1]}), (1, 1))
    left, right, bar = figure(view(results, heat=True), heat=True).axes
    assert left.collections[0].get_array().mask.tolist() == [[False] * 4, [False, True, False, False]]
    assert bar.get_ylabel().endswith("grey: no value")


def test_a_map_of_equal_values_is_drawn():
    results = store({"rope.base": BASES, "head.noise": [0.0, 0.1]})
    results.sink_predicted[:] = results.sink_simulated[:] = 0.5
    assert encoded(figure(view(results, heat=True), heat=True), "png")


def test_repeated_values_cannot_be_an_axis_of_a_map():
    results = store({"case": [None] * 3, "run.seed": [0, 1]}, fields={"head.lag": ("case", [2, 2, 3])})
    with pytest.raises(RopesimError, match="--x = 'head.lag': .* repeat"):
        figure(view(results, heat=True), heat=True)


@pytest.mark.parametrize("values", [[0.0, 0.01, 0.1, 1.0], [1, 2, 4], [0.0, 0.1, 0.5], [5], ["a", "b", "c"]])
def test_every_value_lies_within_its_own_cell(values):
    along = Along("x", np.array(values))
    borders, inside = edges(along), charts.positions(along)
    assert len(borders) == len(values) + 1 and (np.diff(borders) > 0).all()
    assert ((borders[:-1] < inside) & (inside < borders[1:])).all()


def test_colour_scales_follow_the_values_of_hue():
    kinds = [type(charts._norm(Along("x", np.array(values)))) for values in (
        [1.0, 2.0, 3.0], [1.0, 10.0, 100.0], [0.0, 1.0, 10.0, 100.0])]
    assert kinds == [Normalize, LogNorm, SymLogNorm]


# Files

@pytest.mark.parametrize("ending, start", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_picture_is_encoded_by_its_ending_and_the_same_picture_in_the_same_bytes(ending, start):
    one, two = (encoded(drawn({"rope.base": BASES, "head.noise": [0.0, 0.1]}, heat=True), ending) for _ in range(2))
    assert one.startswith(start) and one == two
