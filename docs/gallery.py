"""Write the gallery: every shipped example as its spec, its table and its picture. Run by the docs build."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ropesim import (
    case, charts, cli, compare, compare_training, datasets, depth_charts, plots, point, spec, studies, training_charts,
    trainings, views)
from ropesim.simulate import chain
from ropesim.slash_task import Task
from ropesim.stacks import INTERVENTIONS, Chain

HERE = Path(__file__).parent
HEAD = """# Gallery

Every shipped example, predicted and simulated. In each picture the prediction with its error (red) lies on the
simulation with its band of five standard errors (blue). Where the table says *no verdict*, the prediction states no
error: that head is a recorded one, of which the prediction knows the means alone. `ropesim run NAME --out FOLDER` gives
the same table and picture.
"""


def entry(name: str) -> str:
    tables, folder = spec.read(name)
    checked = spec.parse(tables)
    made = case.build(checked, folder)
    values = point.measure(made)
    (HERE / "gallery").mkdir(exist_ok=True)
    figure = plots.profile_figure(values, point.portrait(made), cli.title(spec.dump(checked)))
    (HERE / "gallery" / f"{name}.png").write_bytes(plots.png(figure))
    text = (folder / f"{name}.toml").read_text(encoding="utf-8").strip()
    return (f"\n## {name}\n\n![{name}](gallery/{name}.png)\n\n```toml\n{text}\n```\n\n"
            f"```text\n{cli.table(point.rows(values))}\n```\n")


MEANS, RESIDUALS = np.linspace(0, 3, 7), np.array([0.1, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0])
KEY, SAMPLES = 10, 100
PLANE = f"""
## From variance to a sink

![The chain over the plane of mean and residual](gallery/chain-plane.png)

The chain of (D-chain) over the size of the mean value and of the residual, {SAMPLES} simulated sequences a point: the
mean score that a key receives; the last map is the share of the sink at token 0, above uniform attention, that
HeadNorm removes: below 0 it strengthens it, blank where there is no sink to speak of. Scaling is amplification at the
left edge and fails elsewhere; HeadNorm removes the whole sink at the left edge only.
"""


def received() -> dict[str | None, np.ndarray]:
    """Score that tokens 0 and KEY receive under each intervention, float64[means, residuals, 2]."""
    found = {name: [chain.run(Chain(mean=mean, residual=residual, at=KEY, intervene=name, factor=(KEY + 1) ** 0.5),
                              SAMPLES, 0)["received"][0][[0, KEY]]
                    for mean, residual in itertools.product(MEANS.tolist(), RESIDUALS.tolist())]
             for name in (None, *INTERVENTIONS)}
    return {name: np.reshape(x, (len(MEANS), len(RESIDUALS), 2)) for name, x in found.items()}


def chain_plane() -> Figure:
    """Heat maps over (mean, residual): the sink at token 0, those that are made, and what HeadNorm removes."""
    found = received()
    uniform = (1 / np.arange(1, Chain().length + 1)).mean()
    sink = found[None][..., 0] - uniform
    lost = found[None][..., 0] - found["headnorm"][..., 0]
    removed = np.where(sink > 0.05, lost / np.maximum(sink, 0.05), np.nan)
    made = {f"{name}, token {KEY}": found[name][..., 1] for name in ("mask", "amplify", "scale")}
    maps = {"token 0": found[None][..., 0], **made}
    figure = Figure(figsize=(17, 3.6), layout="constrained")
    *axes, last = figure.subplots(1, 5, sharey=True)
    for ax, (title, values) in zip(axes, maps.items()):
        shown = ax.pcolormesh(MEANS, np.arange(len(RESIDUALS)), values.T, vmin=0, vmax=0.5)
        ax.set(title=title, xlabel="mean m")
    figure.colorbar(shown, ax=axes, label="score received")
    shown = last.pcolormesh(MEANS, np.arange(len(RESIDUALS)), removed.T, vmin=-1, vmax=1, cmap="RdBu_r")
    last.set(title="removed by headnorm, token 0", xlabel="mean m")
    figure.colorbar(shown, ax=last, label="share of the sink")
    axes[0].set_yticks(np.arange(len(RESIDUALS)), [f"{x:g}" for x in RESIDUALS])
    axes[0].set_ylabel("residual")
    return figure


INTERVENTIONS_SHOWN = ("mask:10", "amplify:10:3.3", "scale:10:3.3", "headnorm", "drop-bos", "pack:16")


def interventions() -> None:
    """The pictures of depth.md: before and after each intervention, by the study that the page gives."""
    page = (HERE / "depth.md").read_text(encoding="utf-8")
    study = studies.study(tomllib.loads(page.split("'''")[1]))
    rows = compare.depth(study, INTERVENTIONS_SHOWN)
    for text in INTERVENTIONS_SHOWN:
        after = [row for row in rows if row["intervention"] == text]
        asked = {row["quantity"] for row in after}
        before = [row for row in rows if row["intervention"] is None and row["quantity"] in asked]
        figure = depth_charts.figure(before + after)
        (HERE / "gallery" / f"depth-{text.split(':')[0]}.png").write_bytes(plots.png(figure))


def training() -> None:
    """The pictures of training.md: one run, and its times over classes and lags."""
    task = Task(classes=4, length=201)
    picture = training_charts.figure(task, *compare_training.slash(trainings.Training(task=task)))
    (HERE / "gallery" / "slash-training.png").write_bytes(plots.png(picture))
    swept = {"train.classes": [2, 3, 4, 6, 8], "train.lag": [1, 2, 3]}
    found = datasets.dataset({"train": {"kind": "slash", "length": 101, "steps_2": 0}, "sweep": swept}, HERE)
    picture = charts.figure(views.view(found, y="log_N_over_eps"))
    (HERE / "gallery" / "slash-training-sweep.png").write_bytes(plots.png(picture))


def write() -> None:
    text = HEAD + "".join(map(entry, spec.examples()))
    interventions()
    training()
    (HERE / "gallery" / "chain-plane.png").write_bytes(plots.png(chain_plane()))
    (HERE / "gallery.md").write_text(text + PLANE, encoding="utf-8")


if __name__ == "__main__":
    write()
