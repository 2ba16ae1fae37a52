"""The commands. Everything heavy is imported inside the command that needs it."""

import math
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from . import __version__, cli_bands, cli_check, cli_depth, cli_plot, cli_train
from .errors import RopesimError
from .output import check_folder, check_parents, holds, print_json, replace, strict

FILES = ("spec.toml", "table.csv", "results.zarr", "profile.png", "map.png")
COLUMNS = ("quantity", "lag", "predicted", "error", "simulated", "stderr", "z", "agrees")


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 disagreement, 2 bad input, 3 the environment failed, 130 interrupted.

    >>> main(["--version"])
    Traceback (most recent call last):
    SystemExit: 0
    """
    try:
        code = commands.main(argv, prog_name="ropesim", standalone_mode=False)
    except RopesimError as error:
        code = _complain(str(error), 2)
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _complain("interrupted", 130)
    except click.ClickException as error:
        code = _complain(" ".join(error.format_message().split()), 2)
    except SystemExit:                                 # click's answer to a reader, `head` say, that has seen enough
        code = 0
    except (OSError, MemoryError) as error:
        code = _complain(f"the environment failed: {str(error) or type(error).__name__}; what was finished is kept", 3)
    sys.exit(code or 0)


def _complain(message: str, code: int) -> int:
    print(f"ropesim: {' '.join(message.split())}", file=sys.stderr)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="ropesim")
@click.pass_context
def commands(context: click.Context) -> None:
    """Attention of RoPE heads, computed twice: in closed form and by simulation."""
    if context.invoked_subcommand is None:
        raise RopesimError("COMMAND", None, f"use {' or '.join(sorted(commands.commands))}; see ropesim --help")


for command in (cli_bands.bands, cli_check.check, cli_depth.depth, cli_plot.plot, cli_train.train):
    commands.add_command(command)


class Asked(NamedTuple):
    """The options of a run."""

    as_json: bool
    overwrite: bool
    quiet: bool
    workers: int
    scheduler: str | None


@commands.command()
@click.argument("source", metavar="SPEC|EXAMPLE", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Write results to this folder (a sweep: NAME.zarr).")
@click.option("--workers", default=1, show_default=True, help="Processes that compute a sweep.")
@click.option("--scheduler", metavar="URL", help="Compute a sweep on the Dask cluster there, tcp://host:8786.")
@click.option("--explain", is_flag=True, help="Say what it would compute and take, and compute nothing.")
@click.option("--overwrite", is_flag=True, help="Replace the results of another spec in --out.")
@click.option("--quiet", is_flag=True, help="No table and no progress bar.")
@click.option("--list", "listing", is_flag=True, help="List the shipped examples and the fields of a spec.")
def run(source: str | None, out: Path | None, listing: bool, explain: bool, workers: int, **options: Any) -> int:
    """Predict and simulate the head of a spec, side by side; with a [sweep], every point of its grid.

    SPEC is a file that ends in .toml; anything else is the name of a shipped example. A sweep that was
    interrupted resumes when the same command is given again.
    """
    from . import spec
    from .errors import whole
    if listing:
        click.echo(_fields())
        return 0
    if source is None:
        raise RopesimError("SPEC", None, f"give a .toml file or an example: {', '.join(spec.examples())}")
    asked = Asked(workers=whole("--workers", workers, least=1), **options)
    tables, folder = spec.read(source)
    tables = spec.located(tables, folder)
    if explain:
        return _explain(tables, folder, asked.as_json)
    if "sweep" in tables:
        return _sweep(tables, folder, out, asked)
    if "train" in tables:
        raise RopesimError("sweep", None, "add a [sweep] of [train], or use ropesim train slash for a single run")
    return _single(tables, folder, out, asked.overwrite, asked.as_json, asked.quiet)


def _single(tables: dict[str, Any], folder: Path, out: Path | None, overwrite: bool, as_json: bool,
            quiet: bool) -> int:
    from . import case as case_, point, spec
    checked = spec.parse(tables)
    full = spec.dump(checked)
    if out is not None:
        check_folder(out, full, FILES, overwrite)
    case = case_.build(checked, folder)
    asked = case.run.quantities
    if out is not None and "slash" not in asked:         # the picture shows it all the same
        case = case._replace(run=case.run.model_copy(update={"quantities": [*asked, "slash"]}))
    values = point.measure(case, _progress(quiet, "samples"))
    rows = point.rows({name: value for name, value in values.items() if name.split("_")[0] in asked})
    if out is not None:
        _write_folder(out, full, rows, values, case)
    if as_json:
        print_json({"schema": 1, "ropesim": __version__, "spec": full, "rows": rows})
    elif not quiet:
        click.echo(table(rows))
    return int(any(row["agrees"] is False for row in rows))


def _write_folder(out: Path, full: dict[str, Any], rows: list[dict[str, Any]], values: Any, case: Any) -> None:
    """Each file is whole or absent; the spec comes first, so that the folder says whose results it holds."""
    import tomli_w

    from . import datasets, plots, point, store
    out.mkdir(parents=True, exist_ok=True)
    if not holds(out, full):                          # nothing of another spec stays beside these results
        for name in FILES:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    replace(out / "spec.toml", tomli_w.dumps(full).encode())
    replace(out / "table.csv", _csv(rows).encode())
    asked = {name: value for name, value in values.items() if name.split("_")[0] in full["run"]["quantities"]}
    store.save(datasets.one(asked, full), out / "results.zarr")
    portrait = point.portrait(case)
    caption = title(full)
    replace(out / "profile.png", plots.png(plots.profile_figure(values, portrait, caption)))
    replace(out / "map.png", plots.png(plots.map_figure(portrait, caption)))


def title(full: dict[str, Any]) -> str:
    """One line over a picture: the head, its bands, its length."""
    head = ", ".join(f"{name} {value}" for name, value in full["head"].items()
                     if isinstance(value, int | float | str) and value and name not in ("kind", "file"))
    head += f", sink margin {full['head']['sink']['margin']:g}" if "sink" in full["head"] else ""
    rope = full.get("rope", {})
    bands = rope.get("preset") or rope.get("config") or (f"base {rope['base']:g}" if "base" in rope else "")
    length = f"{full['run']['length']} tokens" if "length" in full["run"] else ""
    return "; ".join(part for part in (f"{full['head']['kind']} head: {head}", bands, length) if part.strip())


def _sweep(tables: dict[str, Any], folder: Path, out: Path | None, asked: Asked) -> int:
    from . import store
    if out is None or out.suffix != ".zarr":
        raise RopesimError("--out", None if out is None else str(out), "a sweep writes a store: give --out NAME.zarr")
    check_parents(out)
    if out.exists() and not store.is_store(out):
        raise RopesimError("--out", str(out), "choose another store, this is none of ours and stays as it is")
    with _executor(asked) as (executor, ahead):
        counts = store.run(tables, folder, out, executor=executor, ahead=ahead, overwrite=asked.overwrite,
                           progress=_progress(asked.quiet, "chunks"),
                           warn=lambda text: print(f"ropesim: {text}", file=sys.stderr))
    if counts.failed:
        print(f"ropesim: {counts.failed} of {counts.points} points failed; see `message` in the store", file=sys.stderr)
    sizes = store.sizes(out)
    if asked.as_json:
        print_json({"schema": 1, "ropesim": __version__, "store": str(out), "sizes": sizes})
    elif not asked.quiet:
        click.echo(f"{out}: " + ", ".join(f"{name} {size}" for name, size in sizes.items()))
    return 0


@contextmanager
def _executor(asked: Asked) -> Iterator[tuple[Any, int]]:
    """What computes the chunks, and how many it should have at a time."""
    from . import pool, sweep
    if asked.scheduler is not None:
        with pool.cluster(asked.scheduler) as (executor, threads):
            yield executor, 2 * threads
    elif asked.workers > 1:
        with pool.processes(asked.workers, sweep.warm) as executor:
            yield executor, 2 * asked.workers
    else:
        yield None, 1


def _explain(tables: dict[str, Any], folder: Path, as_json: bool) -> int:
    from . import chunks, grid, sweep
    points = grid.grid(tables)
    what = sweep.layout(points, folder)
    plan = sweep.plan(points, what, chunks.chunked(points, what))
    if as_json:
        print_json({"schema": 1, "ropesim": __version__, "plan": plan})
        return 0
    sizes = " x ".join(f"{dim} {size}" for dim, size in plan["dims"].items())
    click.echo(f"{plan['points']} points{f' ({sizes})' if sizes else ''} in {plan['chunks']} chunks of up to "
               f"{plan['points_per_chunk']}\n{', '.join(plan['quantities'])}: {_amount(plan['bytes'])} in the store "
               f"before compression, {_amount(plan['bytes_per_chunk'])} in memory at a time for each worker\n"
               f"about {plan['seconds_per_point']:.2g} s a point, {plan['seconds']:.3g} s in all on one core")
    return 0


def _amount(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.4g} {unit}"


def _progress(quiet: bool, unit: str) -> Callable[[Iterable[int]], Iterable[int]]:
    from tqdm import tqdm
    return lambda work: tqdm(work, unit=f" {unit}", disable=True if quiet else None, file=sys.stderr, leave=False)


def _csv(rows: list[dict[str, Any]]) -> str:
    import csv
    import io
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(strict(rows))
    return text.getvalue()


def table(rows: list[dict[str, Any]]) -> str:
    """The rows of a run as text, one line each."""
    drawn = any(math.isfinite(row["simulated"]) for row in rows)
    lines = [f"{'quantity':<14}{'lag':>8}{'predicted':>13} ± {'error':<9}" + (
        f"{'simulated':>11} ± {'s.e.':<9}  verdict" if drawn else "")]
    for row in rows:
        lag = "" if row["lag"] is None else row["lag"]
        lines.append(f"{row['quantity']:<14}{lag:>8}{row['predicted']:>13.6f} ± {_short(row['error']):<9}" + (
            f"{row['simulated']:>11.6f} ± {_short(row['stderr']):<9}  {_verdict(row)}" if drawn else ""))
    return "\n".join(line.rstrip() for line in lines)


def _short(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.2g}"


def _verdict(row: dict[str, Any]) -> str:
    if row["agrees"] is None:
        return f"no verdict (differ by {abs(row['predicted'] - row['simulated']):.2g})"
    return "agrees" if row["agrees"] else "DISAGREES"


def _fields() -> str:
    from . import spec, trainings
    lines = ["shipped examples (ropesim run NAME):"]
    for name in spec.examples():
        lines.append(f"  {name:<20}{spec.read(name)[0]['head']['kind']} head")
    lines += ["", "fields of a spec, by table:", "  [rope]  exactly one of preset, kind and config"]
    for way, (required, optional) in spec.FIELDS_OF_ROPE.items():
        kind = way if way in ("preset", "config") else f'kind = "{way}"'
        lines.append(f"    {kind:<22}{', '.join([*required, *(f'[{name}]' for name in optional)])}")
    lines.append("  [head]  by kind; fields in brackets may be left out")
    for kind, model in spec.HEADS.items():
        lines.append(f"    kind = \"{kind}\"".ljust(26) + _signature(model))
    lines.append("  [head.sink]".ljust(26) + _signature(spec.SinkTable))
    lines.append("  [run]".ljust(26) + _signature(spec.Run))
    lines.append("  [train]".ljust(26) + 'in place of head and run: kind = "slash", ' + ", ".join(
        f"[{name}]" for name in (*trainings.TASK, *trainings.RUN, "band")))
    lines.append('  [sweep]  "table.field" = [..] or {linspace | geomspace | range | values = [..], dim = ".."}')
    return "\n".join(lines)


def _signature(model: Any) -> str:
    fields = [(name, field) for name, field in model.model_fields.items() if name != "kind"]
    return ", ".join(name if field.is_required() else f"[{name}]" for name, field in fields)


if __name__ == "__main__":
    main()
