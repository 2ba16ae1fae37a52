"""Tables and picture of headnorm.md, from data/headnorm.json: `python docs/headnorm.py` after a new training."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ropesim import patterns, plots
from ropesim.pretraining import SINK

HERE = Path(__file__).parent
ARMS = {False: ("softmax", plots.SIMULATED), True: ("HeadNorm", plots.PREDICTED)}
Run = Mapping[str, Any]


def pick(found: Mapping[str, Any], setting: str, head_norm: bool) -> list[Run]:
    """The runs of one arm, by seed."""
    runs = [run for run in found["runs"] if run["setting"] == setting and run["head_norm"] == head_norm]
    return sorted(runs, key=lambda run: run["seed"])


def shown(values: Sequence[float], digits: int) -> str:
    """Mean and standard error over seeds."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}"


def table(head: str, rows: Sequence[Sequence[str]]) -> str:
    names = head.split(", ")
    return "\n".join("| " + " | ".join(row) + " |" for row in (names, ["---"] * len(names), *rows))


def settings(found: Mapping[str, Any]) -> str:
    rows = []
    for name, one in found["settings"].items():
        seconds = np.mean([run["seconds"] for arm in ARMS for run in pick(found, name, arm)])
        sizes = (f"{one[key]:g}" for key in ("layers", "heads", "width", "length", "batch", "steps", "rate"))
        rows.append([name, *sizes, f"{seconds:.0f}"])
    return table("setting, L, H, d, T, texts a step, steps, rate, CPU seconds a run", rows)


def losses(found: Mapping[str, Any]) -> str:
    rows = []
    for name, one in found["settings"].items():
        base, normed = (pick(found, name, arm) for arm in ARMS)

        def ahead(measure: Callable[[Run], float]) -> str:
            return shown([measure(b) - measure(a) for a, b in zip(base, normed, strict=True)], 4)

        ends = (shown([run["val"][-1] for run in arm], 4) for arm in (base, normed))
        rows.append([name, f"{one['ideal']:.4f}", *ends,
                     ahead(lambda run: run["val"][-1]), ahead(lambda run: run["train"][-1]),
                     ahead(lambda run: float(np.mean(run["val"])))])
    return table("setting, ideal, softmax, HeadNorm, difference, in training, over the run", rows)


def sinks(found: Mapping[str, Any]) -> str:
    rows = []
    for name in found["settings"]:
        heads = [[np.concatenate([layer["received"] for layer in run["layers"]]) for run in pick(found, name, arm)]
                 for arm in ARMS]
        shares = [shown([np.mean(one > SINK) for one in arm], 2) for arm in heads]
        seeds = [f"{sum(one.max() > SINK for one in arm)} of {len(arm)}" for arm in heads]
        rows.append([name, *shares, *seeds, *(f"{np.max(arm):.2f}" for arm in heads)])
    return table("setting, share softmax, share HeadNorm, seeds softmax, seeds HeadNorm, best softmax, "
                 "best HeadNorm", rows)


def layers(found: Mapping[str, Any]) -> str:
    rows = []
    for name, one in found["settings"].items():
        baseline = f"{patterns.uniform(one['length']).received[0]:.3f}"
        for layer in range(one["layers"]):
            for arm, (title, _) in ARMS.items():
                here = [run["layers"][layer] for run in pick(found, name, arm)]
                numbers = [shown([x[key] for x in here], 1)
                           for key in ("rank", "dominance", "dominance_rest", "variance")]
                received = [shown([pool(x["received"]) for x in here], 2) for pool in (np.mean, max)]
                rows.append([f"{name} ({layer + 1})", title, *numbers, *received, shown([x["sink"] for x in here], 2),
                             baseline])
    return table("setting (layer), arm, effective rank, dominance at 0, elsewhere, variance ratio, received by key 0, "
                 "its best head, sinks, uniform", rows)


def picture(found: Mapping[str, Any]) -> Figure:
    """Above: what a model loses over the ideal, one line a seed. Below: the score of key 0, one dot a head and seed."""
    figure = Figure(figsize=(2.6 * len(found["settings"]), 6), layout="constrained")
    upper, lower = figure.subplots(2, len(found["settings"]), sharey="row")
    for name, above, below in zip(found["settings"], upper, lower, strict=True):
        curves(found, name, above)
        dots(found, name, below)
    upper[0].set_ylabel("held-out loss above the ideal (nats)")
    lower[0].set_ylabel("mean score of key 0, by head")
    upper[0].legend(frameon=False)
    return figure


def curves(found: Mapping[str, Any], name: str, ax: Axes) -> None:
    for arm, (title, color) in ARMS.items():
        for n, run in enumerate(pick(found, name, arm)):
            ax.plot(run["steps"], np.array(run["val"]) - found["settings"][name]["ideal"], color=color, lw=1,
                    label=title if n == 0 else None)
    ax.set(title=name, xlabel="step", yscale="log")


def dots(found: Mapping[str, Any], name: str, ax: Axes) -> None:
    one = found["settings"][name]
    for arm, (_, color) in ARMS.items():
        runs = pick(found, name, arm)
        for layer in range(one["layers"]):
            heads = np.concatenate([run["layers"][layer]["received"] for run in runs])
            place = layer + 1 + (0.04 + np.linspace(0, 0.2, len(heads))) * (1 if arm else -1)
            ax.plot(place, heads, "o", ms=4, color=color, alpha=0.7)
    ax.axhline(patterns.uniform(one["length"]).received[0], color="gray", lw=1, ls=":")
    ax.axhline(SINK, color="gray", lw=1)
    ax.set(xlabel="layer", ylim=(0, 1), xticks=range(1, one["layers"] + 1))


def filled(page: str, found: Mapping[str, Any]) -> str:
    """The page with its tables put between their marks."""
    for make in (settings, losses, sinks, layers):
        mark = f"<!-- {make.__name__} -->"
        page = re.sub(f"{mark}.*?{mark}", lambda _: f"{mark}\n\n{make(found)}\n\n{mark}", page, flags=re.S)
    return page


def write() -> None:
    found = json.loads((HERE / "data" / "headnorm.json").read_text(encoding="utf-8"))
    page = HERE / "headnorm.md"
    page.write_text(filled(page.read_text(encoding="utf-8"), found), encoding="utf-8")
    (HERE / "images" / "headnorm.png").write_bytes(plots.png(picture(found)))


if __name__ == "__main__":
    write()
