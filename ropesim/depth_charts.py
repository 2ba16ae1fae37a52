"""Pictures of `ropesim depth`: what happens over layers, and along the chain, before and after each intervention."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLORS = ("#333333", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
BY_LAYER = {"norm": "squared norm of the last token", "cosine": "mean cosine of two tokens",
            "disagreement": "mean squared distance from the mean token", "received": "mean score of key 0"}
BY_TOKEN = {"variance": "variance of the aggregated values, layer 1", "sensitivity": "sensitivity of the last token",
            "chain-variance": "chain: variance of the aggregated values",
            "chain-energy": "chain: energy in the subspace",
            "chain-dominance": "chain: dominance ratio", "chain-key": "chain: cosine to the channel",
            "chain-received": "chain: mean score received in layer 2"}

LOGARITHMIC, SCORES = ("sensitivity", "variance", "chain-variance", "norm"), ("received", "chain-received")


def figure(rows: list[dict[str, Any]]) -> Figure:
    """One panel for each quantity that an intervention touches, if there is one, else for each that the rows hold.

    rows: as of `compare.depth`. Lines are predictions with their errors, points simulations with 5 standard errors;
    colours tell interventions apart, and the broad grey line is before them.

    >>> row = {"intervention": None, "layer": 1, "position": 0, "quantity": "chain-key", "predicted": 0.5, "error": 0.1,
    ...        "simulated": 0.5, "stderr": 0.0, "agrees": True}
    >>> figure([row]).axes[0].get_title()
    'chain: cosine to the channel'
    """
    found = {row["quantity"] for row in rows if row["intervention"] is not None} or {row["quantity"] for row in rows}
    names = [name for name in (*BY_LAYER, *BY_TOKEN) if name in found]
    columns = min(len(names), 4)
    made = Figure(figsize=(4.2 * columns, 3.4 * -(-len(names) // columns) + 0.5), layout="constrained")
    axes = np.atleast_1d(made.subplots(-(-len(names) // columns), columns, squeeze=False)).ravel()
    interventions = list(dict.fromkeys(row["intervention"] for row in rows))
    for ax, name in zip(axes, names):
        for color, intervention in zip(_colors(len(interventions)), interventions):
            curve(ax, [row for row in rows if row["quantity"] == name and row["intervention"] == intervention], color,
                  intervention or "before")
        ax.set_title((BY_LAYER | BY_TOKEN)[name], fontsize=10)
        ax.set_xlabel("layer" if name in BY_LAYER else "token")
        ax.grid(alpha=0.25, lw=0.6)
        values = [row["predicted"] for row in rows if row["quantity"] == name and row["predicted"] > 0]
        if name in LOGARITHMIC and max(values, default=1) > 10 * min(values, default=1):
            ax.set_yscale("log")
        elif name in SCORES:                             # so that a change in the fifth digit does not look large
            ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.margins(x=0.03)
    for ax in axes[len(names):]:
        ax.set_visible(False)
    made.legend(*_legend(axes), loc="outside upper center", ncols=min(len(interventions), 2 * columns), frameon=False,
                title="lines: predicted, with their error; points: simulated, with 5 standard errors")
    return made


def _colors(count: int) -> list[Any]:
    if count <= len(COLORS):
        return list(COLORS)
    return ["#333333", *colormaps["turbo"](np.linspace(0.05, 0.95, count - 1))]


def _legend(axes: np.ndarray) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels()):
            found.setdefault(name, handle)
    return list(found.values()), list(found)


def curve(ax: Axes, rows: list[dict[str, Any]], color: str, label: str) -> Axes:
    """One quantity after one intervention: by layer, of the last token if it has tokens, or by token in layer 1.

    >>> row = {"intervention": None, "layer": 1, "position": 0, "quantity": "chain-key", "predicted": 0.5, "error": 0.1,
    ...        "simulated": 0.5, "stderr": 0.0, "agrees": True}
    >>> len(curve(Figure().subplots(), [row], "k", "before").lines)
    4
    """
    if not rows:
        return ax
    by_layer = rows[0]["quantity"] in BY_LAYER
    if by_layer:
        last = max((row["position"] or 0 for row in rows), default=0)
        rows = [row for row in rows if (row["position"] or 0) == last]
    else:
        rows = [row for row in rows if row["quantity"] != "variance" or row["layer"] == 1]
    x = [row["layer" if by_layer else "position"] for row in rows]
    value, error, mean, stderr = (np.array([row[name] for row in rows])
                                  for name in ("predicted", "error", "simulated", "stderr"))
    before = rows[0]["intervention"] is None
    ax.plot(x, value, color=color, lw=3 if before else 1.4, alpha=0.4 if before else 1.0, label=label)
    ax.fill_between(x, value - error, value + error, color=color, alpha=0.2, lw=0)
    ax.errorbar(x, mean, 5 * stderr, color=color, fmt="o", ms=3, lw=0.7, capsize=1.5, alpha=0.6)
    return ax
