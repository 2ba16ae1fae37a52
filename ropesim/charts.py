"""Pictures of a sweep: predictions over simulations along one dim, or as two heat maps."""

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from .errors import RopesimError
from .plots import PREDICTED, SIMULATED, thinned
from .views import Along, View

UNITS = {
    "run.length": "tokens", "run.skip": "keys", "run.window": "tokens, 0: all", "head.lag": "tokens",
    "head.period": "tokens", "head.reach": "tokens", "rope.context": "tokens", "rope.head_dim": "coordinates",
    "rope.rotary_dim": "coordinates", "head.noise": "of the r.m.s. component", "head.sink.margin": "nats",
    "train.length": "tokens", "train.lag": "tokens", "train.batch": "prompts",
    "lag": "tokens", "key": "position"}
QUANTITIES = {
    "slash": "average slash score", "sink": "sink: average score of key 0", "entropy": "entropy of a row (nats)",
    "participation": "participation: sum of a row's squared scores", "received": "average score a key receives",
    "score": "average score of layer 1 at the lag", "argmax": "lag that layer 1 scores highest (tokens)",
    "log_N": "time to the margin log N (1/(η C₁))", "log_KN": "time to the margin log KN (1/(η C₁))",
    "log_N_over_eps": "time to the margin log N/ε (1/(η C₁))", "stage_2": "time to a match's logit of log K (1/η₂)",
    "stage_2_final": "time to the final loss (1/η₂)", "loss_plateau": "loss between the stages",
    "loss_final": "final loss"}
LEGEND, MOST = 10, 400          # numbers with a legend line each, and lines in a picture
ROOM = 7                        # labels of one axis


def figure(view: View, *, heat: bool = False) -> Figure:
    """The picture of a view: lines along x, coloured by hue, or with heat two maps of x and hue.

    >>> import xarray
    >>> from .views import KINDS, view
    >>> one = xarray.Dataset({f"sink_{kind}": ("head.lag", [0.5, 0.25]) for kind in KINDS} | {
    ...     "done": ("head.lag", [1, 1]), "message": ("head.lag", ["", ""])}, {"head.lag": [3, 2]})
    >>> figure(view(one)).axes[0].get_xlabel()
    'head.lag (tokens)'
    """
    made = Figure(figsize=(11.5, 4.8) if heat else (8.6, 4.8), layout="constrained")
    if heat:
        maps(view, made)
        made.suptitle(_wrapped(caption(view), 110), fontsize=11)
    else:
        lines(view, made.subplots()).set_title(_wrapped(caption(view), 76), loc="left", fontsize=11)
        _key(view, made)
    return made


def caption(view: View) -> str:
    """One line over a picture: the head, and what is fixed.

    >>> nothing = np.zeros((1, 1))
    >>> caption(View("sink", Along("x", nothing), None, {"head.noise": 0.1}, *[nothing] * 4, 0, 0, "slash head"))
    'slash head; head.noise = 0.1'
    """
    fixed = [f"{name} = {value if isinstance(value, str) else plain(value)}" for name, value in view.fixed.items()]
    return "; ".join(part for part in (view.about, ", ".join(fixed)) if part)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_long_words=False))


def spacing(values: np.ndarray) -> str:
    """How the values of an axis lie: "linear", "log", "symlog" (zero, then as in log) or "names" (strings).

    Values are geometric where all of them are positive and their ratios are alike (the logarithms vary
    by less than half of their mean), more than their differences; two are where one is ten times the
    other.

    >>> [spacing(np.array(x)) for x in ([1, 2, 3], [1, 2, 4], [0.0, 0.1, 1.0, 10.0], ["a", "b"])]
    ['linear', 'log', 'symlog', 'names']
    """
    if values.dtype.kind == "U":
        return "names"
    distinct = np.unique(values).astype(float)
    if len(distinct) > 3 and distinct[0] == 0 and spacing(distinct[1:]) == "log":
        return "symlog"
    if len(distinct) < 2 or distinct[0] <= 0 or distinct[-1] < 2 * distinct[0]:
        return "linear"
    if len(distinct) == 2:
        return "log" if distinct[1] >= 10 * distinct[0] else "linear"
    steps, ratios = np.diff(distinct), np.diff(np.log(distinct))
    return "log" if ratios.std() / ratios.mean() < min(steps.std() / steps.mean(), 0.5) else "linear"


def plain(value: float, digits: int = 4) -> str:
    """A number as people write it.

    >>> plain(4096), plain(0.1), plain(31622.7766), plain(1e7), plain(2e-9)
    ('4096', '0.1', '$3.162\\\\times10^{4}$', '$10^{7}$', '$2\\\\times10^{-9}$')
    """
    text = f"{value:.{digits}g}"
    if float(value).is_integer() and abs(value) < 1e5 and abs(value) != 1e4:
        return f"{value:.0f}"
    if 1e-3 <= abs(value) < 1e4 and "e" not in text or value == 0:
        return text
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    factor = {"1": "", "-1": "-"}.get(mantissa, rf"{mantissa}\times")
    return f"${factor}10^{{{int(power)}}}$"


def names(values: np.ndarray) -> list[str]:
    """The values as labels that differ from one another, as short as that allows.

    >>> names(np.array([1.0, 1.00001])), names(np.array([0.5, 1 / 3]))
    (['1', '1.00001'], ['0.5', '0.333'])
    """
    if values.dtype.kind == "U":
        return [str(value) for value in values]
    for digits in range(3, 17):
        found = [plain(value, digits) for value in values.tolist()]
        if len(set(found)) == len(set(values.tolist())):
            break
    return found


def lines(view: View, ax: Axes) -> Axes:
    """Predictions with their error as lines, over simulations with bars of 5 standard errors.

    One colour a value of hue; without hue red over blue. Where there are more than 80 values along x
    the bars are a band. Raises RopesimError for more than 400 lines.

    >>> nothing = np.zeros((2, 1))
    >>> one = View("sink", Along("x", np.arange(2)), None, {}, *[nothing] * 4, 0, 0, "")
    >>> lines(one, Figure().subplots()).get_ylabel()
    'sink: average score of key 0'
    """
    count = view.predicted.shape[1]
    if count > MOST:
        raise RopesimError("--hue", view.hue and view.hue.name, f"use --map, {count} lines are too many for a picture")
    kept = thinned(len(view.x.values))
    x = positions(view.x)[kept]
    for n, color in enumerate(colors(view.hue)):
        _simulated(ax, x, view.simulated[kept, n], 5 * view.stderr[kept, n], color or SIMULATED, crowd=count > LEGEND)
        _predicted(ax, x, view.predicted[kept, n], view.error[kept, n], color or PREDICTED, crowd=count > LEGEND)
    _scale(ax.xaxis, view.x, ROOM)
    if _decades(view.predicted, view.simulated):
        ax.set_yscale("log", nonpositive="clip")
    _limit(ax, view)
    ax.set_xlabel(label(view.x.name))
    ax.set_ylabel(QUANTITIES.get(view.quantity, view.quantity))
    ax.grid(alpha=0.25, lw=0.6)
    return ax


def _simulated(ax: Axes, x: np.ndarray, value: np.ndarray, half: np.ndarray, color: Any, *, crowd: bool) -> None:
    half = np.nan_to_num(half)
    if len(x) <= 80:
        ax.errorbar(x, value, half, fmt="o", ms=3 if crowd else 5, color=color, alpha=0.75, lw=0.8,
                    capsize=0 if crowd else 2)
    else:
        ax.plot(x, value, color=color, lw=3, alpha=0.45, solid_capstyle="butt")
        ax.fill_between(x, value - half, value + half, color=color, alpha=0.2, lw=0)


def _predicted(ax: Axes, x: np.ndarray, value: np.ndarray, half: np.ndarray, color: Any, *, crowd: bool) -> None:
    half = np.nan_to_num(half)
    lonely = np.isfinite(value).sum() == 1           # a line through one point cannot be seen
    ax.plot(x, value, color=color, lw=0.9 if crowd else 1.4, marker="_" if lonely else "", ms=12,
            zorder=3)
    ax.fill_between(x, value - half, value + half, color=color, alpha=0.06 if crowd else 0.18, lw=0)


def positions(along: Along) -> np.ndarray:
    """Where the values of an axis lie: at themselves, strings at 0, 1, 2, ...

    >>> positions(Along("rope.preset", np.array(["a", "b"])))
    array([0., 1.])
    """
    return np.arange(len(along.values), dtype=float) if along.values.dtype.kind == "U" else along.values.astype(float)


def colors(hue: Along | None) -> list[Any]:
    """A colour for each value of hue: from dark to light for numbers; None without hue.

    >>> colors(None), len(colors(Along("head.noise", np.arange(3.0))))
    ([None], 3)
    """
    if hue is None:
        return [None]
    count = len(hue.values)
    if hue.values.dtype.kind == "U" and count <= 10:
        return [colormaps["tab10"](n) for n in range(count)]
    if count <= LEGEND or hue.values.dtype.kind == "U":
        return [colormaps["viridis"](0.82 * n / max(count - 1, 1)) for n in range(count)]
    norm = _norm(hue)
    return [colormaps["viridis"](0.92 * norm(value)) for value in hue.values]


def _norm(hue: Along) -> Normalize:
    values = hue.values.astype(float)
    kind, low, high = spacing(hue.values), float(values.min()), float(values.max())
    if kind == "symlog":
        return SymLogNorm(float(values[values > 0].min()), vmin=low, vmax=high)
    return LogNorm(low, high) if kind == "log" else Normalize(low, high)


def label(name: str) -> str:
    """The name of a field with its unit, where it has one.

    >>> label("run.length"), label("rope.base")
    ('run.length (tokens)', 'rope.base')
    """
    return f"{name} ({UNITS[name]})" if name in UNITS else name


def _scale(axis: Any, along: Along, room: int) -> None:
    """Scale and labels of an axis: at the values where these are few names or geometric, at decades of many."""
    values, kind = positions(along), spacing(along.values)
    setter = axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale
    if kind == "log":
        setter("log")
    elif kind == "symlog":
        setter("symlog", linthresh=float(values[values > 0].min()))
    if kind == "log" and len(values) > room and values[-1] >= 100 * values[0]:
        axis.set_major_locator(LogLocator(numticks=room))
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    elif kind != "linear":
        _label_values(axis, along, values, room if kind != "names" else 40)
    elif len(values) <= room and np.diff(values).min(initial=np.inf) >= (values[-1] - values[0]) / 2 / room:
        _label_values(axis, along, values, room)


def _label_values(axis: Any, along: Along, values: np.ndarray, room: int) -> None:
    flat = _flat(along)[0]
    kept = [0]
    for n in range(1, len(flat)):                    # no two closer than fit
        if flat[n] - flat[kept[-1]] >= 0.999 * (flat[-1] - flat[0]) / room > 0:
            kept.append(n)
    words = names(along.values[kept])
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator(values[kept].tolist()))
    axis.set_ticklabels(words)
    if axis.axis_name == "x" and along.values.dtype.kind == "U" and sum(map(len, words)) > 40:
        axis.set_tick_params(rotation=90 if len(words) > 12 else 25)
        for text in axis.get_ticklabels():
            text.set_horizontalalignment("center" if len(words) > 12 else "right")


def _decades(*values: np.ndarray) -> bool:
    """Whether the values span more than two decades, none of them negative."""
    every = np.concatenate([part.ravel() for part in values])
    every = every[np.isfinite(every)]
    positive = every[every > 0]
    return bool(len(positive) and every.min() >= -1e-9 * every.max() and positive.max() > 100 * positive.min())


def _limit(ax: Axes, view: View) -> None:
    """Limits from the values; bars and bands may widen them by as much again, not more."""
    every = np.array([view.predicted, view.simulated])
    half = np.nan_to_num(np.array([view.error, 5 * view.stderr]))
    seen = np.isfinite(every)
    low, high = float(every[seen].min()), float(every[seen].max())
    if ax.get_yscale() == "log":
        low = max(float(every[seen & (every > 0)].min()), 1e-8 * high)
        ax.set_ylim(low / 2, high * 2)
        return
    span = max(high - low, 0.1 * abs(high), 1e-9)
    bottom, top = float((every - half)[seen].min()), float((every + half)[seen].max())
    ax.set_ylim(max(bottom, low - span) - 0.05 * span, min(top, high + span) + 0.05 * span)


def _key(view: View, made: Figure) -> None:
    """The legend beside the axes, and a colour bar where hue has many numbers."""
    dark = "#333333"
    line, mark = (PREDICTED, SIMULATED) if view.hue is None else (dark, dark)
    error, bars = np.isfinite(view.error).any(), np.isfinite(view.stderr).any()
    handles = [Line2D([], [], color=line, lw=1.4, label="predicted ± error" if error else "predicted")]
    if np.isfinite(view.simulated).any():
        handles.append(Line2D([], [], color=mark, lw=0, marker="o", ms=5,
                              label="simulated ± 5 s.e." if bars else "simulated"))
    if view.hue is not None:
        kinds, hues = view.hue.values.dtype.kind, colors(view.hue)
        if kinds == "U" or len(hues) <= LEGEND:
            handles.append(Line2D([], [], lw=0, label="\n" + label(view.hue.name).replace(" (", "\n(")))
            drawn = np.isfinite(np.array([view.predicted, view.simulated])).any(axis=(0, 1)).tolist()
            handles += [Line2D([], [], color=color, lw=3, label=name if seen else f"{name}: no value")
                        for color, name, seen in zip(hues, names(view.hue.values), drawn)]
        else:
            _bar(view.hue, made)
    made.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9,
                ncols=math.ceil(len(handles) / 24))


def _bar(hue: Along, made: Figure) -> None:
    shades = colormaps["viridis"].resampled(256)(np.linspace(0, 0.92, 256))
    bar = made.colorbar(ScalarMappable(_norm(hue), ListedColormap(shades)), ax=made.axes[0], label=label(hue.name),
                        pad=0.02)
    _scale(bar.ax.yaxis, hue, ROOM)


def maps(view: View, made: Figure) -> None:
    """The prediction beside the simulation, if there is one, as heat maps of x and hue, with one colour bar.

    Colours are logarithmic where the values span more than two decades. A cell without a value is
    grey. Raises RopesimError where the values of a dim repeat.

    >>> nothing, x = np.zeros((2, 2)), np.arange(2)
    >>> made = Figure()
    >>> maps(View("sink", Along("x", x), Along("y", x), {}, *[nothing] * 4, 0, 0, ""), made)
    >>> [ax.get_title() for ax in made.axes[:2]]
    ['predicted', 'simulated']
    """
    assert view.hue is not None
    for option, axis in (("--x", view.x), ("--y", view.hue)):
        if len(np.unique(axis.values)) < len(axis.values):
            raise RopesimError(option, axis.name, "draw along another field, the values of this one repeat")
    columns, rows = thinned(len(view.x.values)), thinned(len(view.hue.values))
    across, upwards = (Along(one.name, one.values[kept]) for one, kept in ((view.x, columns), (view.hue, rows)))
    both = {"predicted": view.predicted, "simulated": view.simulated}
    parts = {name: part[np.ix_(columns, rows)].T for name, part in both.items() if np.isfinite(part).any()}
    norm, extend = _shared(*parts.values())
    axes = made.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for ax, (title, part) in zip(axes, parts.items()):
        ax.set_facecolor("#d9d9d9")
        _scale(ax.xaxis, across, ROOM - 2)
        _scale(ax.yaxis, upwards, ROOM)
        mesh = ax.pcolormesh(edges(across), edges(upwards), np.ma.masked_invalid(part), norm=norm, cmap="viridis",
                             rasterized=True)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel(label(across.name))
    axes[0].set_ylabel(label(upwards.name))
    words = QUANTITIES.get(view.quantity, view.quantity)
    grey = "\ngrey: no value" if not all(np.isfinite(part).all() for part in parts.values()) else ""
    made.colorbar(mesh, ax=list(axes), label=words + grey, extend=extend, pad=0.02)


def _shared(*parts: np.ndarray) -> tuple[Normalize, str]:
    every = np.concatenate([part[np.isfinite(part)] for part in parts])
    low, high = float(every.min()), float(every.max())
    if not _decades(every):
        return Normalize(low, high if high > low else low + 1e-9), "neither"
    bottom = max(float(every[every > 0].min()), 1e-8 * high)
    return LogNorm(bottom, high, clip=False), "min" if low < bottom else "neither"


def edges(along: Along) -> np.ndarray:
    """The borders of the cells around the values of an axis: half way to the next, in its own scale.

    >>> edges(Along("x", np.array([1, 2, 3]))), edges(Along("x", np.array([1.0, 100.0, 10000.0])))
    (array([0.5, 1.5, 2.5, 3.5]), array([1.e-01, 1.e+01, 1.e+03, 1.e+05]))
    """
    values, kind, unit = _flat(along)
    around = np.diff(values) / 2 if len(values) > 1 else np.array([0.5])
    found = np.concatenate([values[:1] - around[:1], values[:-1] + around[:len(values) - 1], values[-1:] + around[-1:]])
    if kind == "log":
        return unit * 10 ** found
    return unit * np.where(found > 1, 10 ** (found - 1), found) if kind == "symlog" else found


def _flat(along: Along) -> tuple[np.ndarray, str, float]:
    """The values as lengths along their axis, its kind, and the value that stands at 0 (log) or 1 (symlog)."""
    values, kind = positions(along), spacing(along.values)
    unit = float(values[values > 0].min()) if kind in ("log", "symlog") else 1.0
    if kind == "log":
        return np.log10(values / unit), kind, unit
    if kind == "symlog":                             # 0 to the first value takes as much room as a decade
        return np.where(values < unit, values / unit, 1 + np.log10(np.maximum(values / unit, 1))), kind, unit
    return values, kind, unit
