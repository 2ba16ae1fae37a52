"""`ropesim train slash`: gradient descent makes a slash head, and when it was predicted to."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import RopesimError
from .errors import table as checked_table
from .output import check_folder, print_json, replace

FILES = ("spec.toml", "trajectory.zarr", "training.png")
OPTIONS = {"classes": "--K", "length": "--N", "lag": "--lag", "epsilon": "--eps", "seed": "--seed",
           "together": "--together", "preset": "--preset"}


@click.group()
def train() -> None:
    """Train the small models of published analyses, beside what is predicted of them."""


@train.command()
@click.argument("source", metavar="[SPEC.toml]", required=False)
@click.option("--K", "classes", type=int, help="Orthonormal inputs; by default 8.")
@click.option("--N", "length", type=int, help="Tokens, an odd number; by default 401.")
@click.option("--lag", type=int, help="How far a label stands behind its input; by default 1.")
@click.option("--eps", "epsilon", type=float, help="Stage I ends at the margin log(N / eps); by default N^(-1/2).")
@click.option("--seed", type=int, help="By default 0.")
@click.option("--together", is_flag=True, default=None, help="Train both layers at once.")
@click.option("--preset", help="Frequencies of this model (see ropesim bands); by default half a DFT of N tokens.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for spec.toml, trajectory.zarr and training.png.")
@click.option("--overwrite", is_flag=True, help="Replace the results of another spec in --out.")
@click.option("--quiet", is_flag=True, help="No table and no progress bar.")
def slash(source: str | None, preset: str | None, as_json: bool, out: Path | None, overwrite: bool, quiet: bool,
          **options: Any) -> int:
    """Train the two-layer transformer of Cheng et al. 2026 on in-context regression, predicted beside measured.

    A spec says in [train] and [rope] what the options do not reach: probabilities, learning rates, one third of the
    frequencies; `ropesim run --list` names its fields. Options overrule it.
    """
    from . import compare_training, spec, trainings
    if source is not None and not source.endswith(".toml"):
        raise RopesimError("SPEC", source, "use a file that ends in .toml")
    tables, folder = ({"train": {"kind": "slash"}}, Path()) if source is None else spec.read(source)
    if "sweep" in tables:
        raise RopesimError("sweep", list(tables["sweep"]), "use ropesim run, which takes the points of a sweep")
    given = {name: value for name, value in options.items() if value is not None}
    tables = {**tables, "train": {**checked_table("train", tables.get("train", {})), **given}}
    if preset is not None:
        tables, given = {**tables, "rope": {"preset": preset}}, {**given, "preset": preset}
    try:
        training = trainings.parse(tables, folder)
    except RopesimError as error:
        field = error.name.split(".")[-1]
        raise RopesimError(OPTIONS[field] if field in given else error.name, error.value, error.remedy) from None
    tables = spec.located(tables, folder)
    if out is not None:
        check_folder(out, tables, FILES, overwrite)
    with _progress(quiet) as watch:
        found, run = compare_training.slash(training, watch)
    if out is not None:
        import tomli_w

        from . import plots, store, training_charts
        out.mkdir(parents=True, exist_ok=True)
        replace(out / "spec.toml", tomli_w.dumps(tables).encode())
        store.save(compare_training.dataset(training, run), out / "trajectory.zarr")
        replace(out / "training.png", plots.png(training_charts.figure(training.task, found, run)))
    if as_json:
        print_json({"schema": 1, "ropesim": __version__, **found})
    elif not quiet:
        click.echo(table(found))
    if found["diverged_at"] is not None:
        rate = "train.eta" if run.stage[-1] == 1 else "train.eta_2" if run.stage[-1] else "train.eta or train.eta_2"
        click.echo(f"ropesim: the run diverged at step {found['diverged_at']}; use a smaller {rate}; "
                   f"what came before is {'shown' if out is None else 'kept'}", err=True)
        return 1
    return 0


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """Shows each step's measures."""
    from tqdm import tqdm
    with tqdm(unit=" steps", disable=True if quiet else None, file=sys.stderr, leave=False) as bar:
        def watch(row: Any) -> None:
            bar.set_postfix_str(f"loss {row.loss:.4f}, margin {row.margin:.2f}, slash {row.slash:.3f}", refresh=False)
            bar.update()
        yield watch


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
        error = f"± {one['error']:<12.3g}" if math.isfinite(one.get("error", math.nan)) else " " * 14
        predicted, measured = _cell(one["predicted"], "unknown"), _cell(one["measured"], "not reached")
        lines.append(f"{name:<16}{predicted:>14} {error}{measured:>12}")
    lines.append(f"{'ood':<16}{found['ood']['bound']:>14.6f}   {'(bound)':<12}{found['ood']['measured']:>12.6f}")
    lines.append(f"layer 1 scores lag {found['lag_argmax']} highest; the label's lag {found['slash']:.4f} on average")
    return "\n".join(lines)


def _cell(value: float, none: str) -> str:
    return none if math.isnan(value) else "never" if math.isinf(value) else f"{value:.6f}"
