"""Pictures of one head: f(data, ax) -> ax. matplotlib is imported here only."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import LogNorm  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

PREDICTED, SIMULATED = "#c1272d", "#33608c"


def by_lag(values: Mapping[str, np.ndarray], ax: Axes, *, first: int = 0, last: int | None = None) -> Axes:
    """Average slash score by lag: prediction with its error over the simulation with its band, if there is one.

    values: slash_predicted, slash_error, slash_simulated, slash_stderr, float64[T]; lags first ..
    last - 1 are drawn. The simulation's band is 5 standard errors wide on each side.

    >>> one = {f"slash_{kind}": np.ones(4) for kind in ("predicted", "error", "simulated", "stderr")}
    >>> by_lag(one, Figure().subplots()).get_ylabel()
    'average slash score'
    """
    mean, stderr, value, error = (values[f"slash_{kind}"][first:last]
                                  for kind in ("simulated", "stderr", "predicted", "error"))
    kept = thinned(len(mean))
    lag = kept + first
    few = len(kept) <= 80
    if np.isfinite(mean).any():
        ax.plot(lag, mean[kept], color=SIMULATED, lw=0 if few else 3, marker="o" if few else "", ms=6, alpha=0.75,
                label="simulated (band: 5 s.e.)")
        _band(ax, lag, mean[kept], 5 * stderr[kept], SIMULATED)
    ax.plot(lag, value[kept], color=PREDICTED, lw=1.2, marker="." if few else "", ms=4, label="predicted ± error")
    _band(ax, lag, value[kept], error[kept], PREDICTED)
    ax.set_xlabel("lag = query position − key position (tokens)")
    ax.set_ylabel("average slash score")
    return ax


def thinned(size: int) -> np.ndarray:
    """Every lag up to 2000, then evenly spread on a log scale: a picture has no more columns.

    >>> len(thinned(4000)), len(thinned(10 ** 6)) <= 4000
    (4000, True)
    """
    if size <= 4000:
        return np.arange(size)
    return np.unique(np.concatenate([np.arange(2000), np.geomspace(2000, size - 1, 2000).astype(int)]))


def _band(ax: Axes, x: np.ndarray, middle: np.ndarray, half: np.ndarray, color: str) -> None:
    half = np.nan_to_num(half)
    ax.fill_between(x, middle - half, middle + half, color=color, alpha=0.25, lw=0)


def pairs(contribution: np.ndarray, average: np.ndarray, lag: int, ax: Axes) -> Axes:
    """What each frequency pair adds to the logit at one lag, beside its mean over all lags.

    contribution, average: float64[B], in nats.

    >>> pairs(np.ones(2), np.zeros(2), 7, Figure().subplots()).get_xlabel()
    'frequency pair (0 turns fastest)'
    """
    index = np.arange(len(contribution))
    ax.bar(index, contribution, color=PREDICTED, alpha=0.8, width=0.8, label=f"at lag {lag}")
    ax.step(index, average, where="mid", color="#222222", lw=1.2, label="mean over all lags")
    ax.axhline(0, color="#999999", lw=0.6)
    ax.set_xlabel("frequency pair (0 turns fastest)")
    ax.set_ylabel("part of the logit (nats)")
    return ax


def attention_map(pooled: np.ndarray, length: int, ax: Axes, *, title: str = "") -> Axes:
    """Attention map pooled to blocks: mean score that a query of a block gives to a block of keys.

    pooled: float64[blocks, blocks], rows sum to 1; length: T, for the axes. Colours are
    logarithmic, from 1e-5 to 1; above the diagonal there is nothing.

    >>> attention_map(np.eye(2), 8, Figure().subplots()).get_xlabel()
    'key (source) position'
    """
    shown = np.where(np.tri(len(pooled), dtype=bool), np.maximum(pooled, 1e-9), np.nan)
    image = ax.imshow(shown, extent=(0, length, length, 0), norm=LogNorm(1e-5, 1), cmap="magma",
                      interpolation="nearest")
    ax.set_xlabel("key (source) position")
    ax.set_ylabel("query (destination) position")
    ax.set_title(title)
    ax.figure.colorbar(image, ax=ax, shrink=0.85, label=f"score per block of {length / len(pooled):.3g} keys")
    return ax


def profile_figure(values: Mapping[str, np.ndarray], portrait: Any, title: str) -> Figure:
    """The figure of `profile.png`: scores near the top lag, over all lags, and by frequency pair.

    portrait: with lag, contribution and average as of `point.portrait`.

    >>> from types import SimpleNamespace
    >>> head = SimpleNamespace(lag=1, contribution=np.ones(2), average=np.ones(2))
    >>> one = {f"slash_{kind}": np.ones(4) for kind in ("predicted", "error", "simulated", "stderr")}
    >>> len(profile_figure(one, head, "a head").axes)
    3
    """
    figure = Figure(figsize=(13.5, 4), layout="constrained")
    near, far, bars = figure.subplots(1, 3)
    length = len(values["slash_predicted"])
    start = max(min(portrait.lag - 16, length - 48), 0)
    by_lag(values, near, first=start, last=start + 48).set_title("near the top lag")
    near.legend(frameon=False, fontsize=9)
    by_lag(values, far).set_title("all lags")
    far.set_xscale("symlog", linthresh=10, subs=range(2, 10))
    far.set_xlim(0, max(length - 1, 1))
    if np.nanmax(values["slash_predicted"], initial=0) > 0:
        far.set_yscale("log")
        seen = values["slash_predicted"][values["slash_predicted"] > 0]
        far.set_ylim(bottom=max(float(seen.min()) / 10, 1e-12))
    pairs(portrait.contribution, portrait.average, portrait.lag, bars).set_title("where the logit comes from")
    bars.legend(frameon=False, fontsize=9)
    figure.suptitle(title)
    return figure


def map_figure(portrait: Any, title: str) -> Figure:
    """The figure of `map.png`: the predicted and, where there is one, the simulated attention map, side by side.

    portrait: with predicted, simulated and length as of `point.portrait`.

    >>> from types import SimpleNamespace
    >>> len(map_figure(SimpleNamespace(predicted=np.eye(2), simulated=np.eye(2), length=8), "a head").axes)
    4
    """
    maps = {"predicted": portrait.predicted, "simulated, first sample": portrait.simulated}
    maps = {name: pooled for name, pooled in maps.items() if pooled is not None}
    figure = Figure(figsize=(5.75 * len(maps), 5), layout="constrained")
    for ax, (name, pooled) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items()):
        attention_map(pooled, portrait.length, ax, title=name)
    figure.suptitle(title)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file.

    >>> png(Figure())[1:4]
    b'PNG'
    """
    return encoded(figure, "png")


def encoded(figure: Figure, ending: str) -> bytes:
    """The figure as the bytes of a file: png, svg or pdf. The same figure gives the same bytes.

    >>> encoded(Figure(), "pdf")[:4]
    b'%PDF'
    """
    buffer = BytesIO()
    stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
    with matplotlib.rc_context({"svg.hashsalt": "ropesim"}):
        figure.savefig(buffer, format=ending, dpi=120, metadata=stamp)
    return buffer.getvalue()


def formula(statement: str) -> bytes:
    """A formula in LaTeX, as far as mathtext goes, as SVG.

    >>> formula("x^2")[:5]
    b'<?xml'
    """
    figure = Figure()
    figure.text(0, 0, f"${statement}$".replace(r"\frac", r"\dfrac"), fontsize=14)
    return _svg(figure)


def claim_figure(curve: Mapping[str, Any], x_name: str, y_name: str) -> bytes:
    """Predictions with their errors beside simulations with 5 standard errors, at a few points, as SVG.

    curve: x, predicted, error, simulated, stderr, lists of one length. x is on a log scale where it
    spans more than a factor of 20.

    >>> claim_figure(dict.fromkeys(("x", "predicted", "error", "simulated", "stderr"), [1.0]), "x", "y")[:5]
    b'<?xml'
    """
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    ax = figure.subplots()
    x = np.asarray(curve["x"], dtype=float)
    ax.errorbar(x, curve["simulated"], 5 * np.nan_to_num(curve["stderr"]), fmt="o", ms=7, alpha=0.75, color=SIMULATED,
                label="simulated (5 s.e.)")
    ax.errorbar(x, curve["predicted"], np.nan_to_num(curve["error"]), fmt=".-", lw=1.2, color=PREDICTED,
                label="predicted ± error")
    if x.min() > 0 and x.max() > 20 * x.min():
        ax.set_xscale("log")
    ax.set_xlabel(x_name)
    ax.set_ylabel(y_name)
    ax.legend(frameon=False)
    return _svg(figure)


def _svg(figure: Figure) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="svg", bbox_inches="tight", pad_inches=0.05, metadata={"Date": None})
    return out.getvalue()
