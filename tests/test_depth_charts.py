"""Pictures of depth: every quantity has its panel, every intervention its colour, every number its place."""

import numpy as np
from matplotlib.figure import Figure

from ropesim.compare import Study, depth
from ropesim.depth_charts import BY_LAYER, BY_TOKEN, COLORS, curve, figure
from ropesim.stacks import Chain, Stack

ROWS = depth(Study(Stack(layers=2, length=5, width=8), Chain(length=4, width=16), 8, 16), ["mask:2", "pack:2"])


def test_every_quantity_has_a_panel_and_every_intervention_a_name_in_the_legend():
    made = figure(ROWS)
    titles = [ax.get_title() for ax in made.axes if ax.get_visible()]
    assert titles == [*BY_LAYER.values(), *BY_TOKEN.values()]
    assert [text.get_text() for text in made.legends[0].get_texts()] == ["before", "mask:2", "pack:2"]
    assert all(ax.get_xlabel() in ("layer", "token") for ax in made.axes if ax.get_visible())


def test_a_line_is_the_prediction_and_points_are_the_simulation():
    rows = [row for row in ROWS if row["quantity"] == "variance" and row["intervention"] is None]
    ax = curve(Figure().subplots(), rows, COLORS[0], "before")
    first = [row for row in rows if row["layer"] == 1]
    assert np.array_equal(ax.lines[0].get_xydata(), [(row["position"], row["predicted"]) for row in first])
    assert np.array_equal(ax.lines[1].get_xydata(), [(row["position"], row["simulated"]) for row in first])


def test_norms_over_layers_are_those_of_the_last_token():
    rows = [row for row in ROWS if row["quantity"] == "norm" and row["intervention"] is None]
    ax = curve(Figure().subplots(), rows, COLORS[0], "before")
    assert ax.lines[0].get_ydata().tolist() == [row["predicted"] for row in rows if row["position"] == 4]


def test_what_is_missing_is_not_drawn():
    only = [row for row in ROWS if row["quantity"] == "cosine"]
    assert [ax.get_title() for ax in figure(only).axes if ax.get_visible()] == [BY_LAYER["cosine"]]
    assert not curve(Figure().subplots(), [], "k", "none").lines


def test_more_interventions_than_colours_are_all_drawn():
    row = {"layer": 1, "position": 0, "quantity": "chain-key", "predicted": 0.5, "error": 0.1, "simulated": 0.5,
           "stderr": 0.0, "agrees": True}
    names = [None, *(f"mask:{k}" for k in range(20))]
    made = figure([{"intervention": name, **row} for name in names])
    assert len(made.legends[0].get_texts()) == len(names)
    assert len({str(line.get_color()) for line in made.legends[0].get_lines()}) == len(names)


def test_only_what_spans_a_decade_has_a_logarithmic_axis_and_scores_start_at_0():
    def axis(quantity, *values):
        rows = [{"intervention": None, "layer": 1, "position": n, "quantity": quantity, "predicted": value,
                 "error": 0.0, "simulated": value, "stderr": 0.0, "agrees": True} for n, value in enumerate(values)]
        return figure(rows).axes[0]

    assert axis("sensitivity", 0.0, 1e-3, 1.0).get_yscale() == "log"
    assert axis("sensitivity", 0.2, 1.0).get_yscale() == axis("sensitivity", 0.0, 0.0).get_yscale() == "linear"
    assert axis("received", 0.80417, 0.80425).get_ylim()[0] == 0


def test_what_no_intervention_touches_has_no_panel():
    rows = [row for row in ROWS if row["intervention"] in (None, "pack:2")]
    titles = {ax.get_title() for ax in figure(rows).axes if ax.get_visible()}
    assert titles == {*BY_LAYER.values(), BY_TOKEN["variance"], BY_TOKEN["sensitivity"]}
