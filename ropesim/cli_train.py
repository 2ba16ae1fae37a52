"""`ropesim train slash`: gradient descent makes a slash head, and when it was predicted to."""

from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import RopesimError
from .output import check_parents, print_json, replace


@click.group()
def train() -> None:
    """Train the small models of published analyses, beside what is predicted of them."""


@train.command()
@click.option("--K", "classes", default=8, show_default=True, help="Orthonormal inputs.")
@click.option("--N", "length", default=401, show_default=True, help="Tokens, an odd number.")
@click.option("--lag", default=1, show_default=True, help="How far a label stands behind its input.")
@click.option("--eps", "epsilon", type=float, help="Stage I ends at the margin log(N / eps); by default N^(-1/2).")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for trajectory.zarr and training.png.")
@click.option("--quiet", is_flag=True, help="No table.")
def slash(classes: int, length: int, lag: int, epsilon: float | None, seed: int, as_json: bool, out: Path | None,
          quiet: bool) -> int:
    """Train the two-layer transformer of Cheng et al. 2026 on in-context regression, predicted beside measured."""
    from . import compare_training
    from .errors import whole
    from .slash_task import Task
    if out is not None:
        check_parents(out)
        if out.is_file():
            raise RopesimError("--out", str(out), "use a folder, this is a file")
    task = Task(classes=classes, length=length, lag=lag)
    found, run = compare_training.slash(task, epsilon, whole("--seed", seed, least=0))
    if out is not None:
        from . import plots, store, training_charts
        out.mkdir(parents=True, exist_ok=True)
        store.save(compare_training.dataset(task, run), out / "trajectory.zarr")
        replace(out / "training.png", plots.png(training_charts.figure(task, found, run)))
    if as_json:
        print_json({"schema": 1, "ropesim": __version__, **found})
    elif not quiet:
        click.echo(table(found))
    if found["diverged_at"] is not None:
        click.echo(f"ropesim: the run diverged at step {found['diverged_at']}; what came before is kept", err=True)
        return 1
    return 0


def table(found: dict[str, Any]) -> str:
    """Predicted beside measured, a line each.

    >>> one = {"measured": 2.0, "predicted": 1.0, "error": 0.5}
    >>> print(table({"lag_argmax": 1, "slash": 0.9, "times": {"log_N": one}, "loss_plateau": one, "loss_final": one,
    ...              "ood": {"measured": 1.0, "bound": 2.0}}).splitlines()[1])
    log_N                 1.000000 ± 0.5            2.000000
    """
    lines = [f"{'':<16}{'predicted':>14} ± {'error':<12}{'measured':>12}"]
    losses = {name: found[name] for name in ("loss_plateau", "loss_final")}
    for name, one in {**found["times"], **losses}.items():
        error = f"{one['error']:.3g}" if "error" in one else ""
        lines.append(f"{name:<16}{one['predicted']:>14.6f} {'±' if error else ' '} {error:<12}{one['measured']:>12.6f}")
    lines.append(f"{'ood':<16}{found['ood']['bound']:>14.6f}   {'(bound)':<12}{found['ood']['measured']:>12.6f}")
    lines.append(f"layer 1 looks {found['lag_argmax']} back, average slash score {found['slash']:.4f}")
    return "\n".join(lines)
