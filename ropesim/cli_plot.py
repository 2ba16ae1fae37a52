"""`ropesim plot`: a store as a picture or a table."""

import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import RopesimError
from .output import check_parents, print_json, replace

PICTURES, TABLES = (".png", ".svg", ".pdf"), (".csv", ".nc", ".parquet")


@click.command()
@click.argument("store", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--x", help="Dim along the picture; by default the first one of more than one value.")
@click.option("--y", help="Quantity; by default slash. A dim: heat map with this dim upwards.")
@click.option("--hue", help="Dim that gets a colour a value; by default the second one of more than one value.")
@click.option("--lag", type=int, help="Lag of slash; by default the one that is predicted to score highest.")
@click.option("--at", multiple=True, metavar="DIM=VALUE", help="Fix a dim that is neither x nor hue.")
@click.option("--map", "heat", is_flag=True, help="Heat maps of x and hue, predicted beside simulated.")
@click.option("--out", type=click.Path(path_type=Path), help="Picture (.png, .svg, .pdf) or table (.csv, .nc, "
              ".parquet); by default a PNG named like the store, next to it.")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was drawn.")
def plot(store: Path, x: str | None, y: str | None, hue: str | None, lag: int | None, at: tuple[str, ...], heat: bool,
         out: Path | None, as_json: bool) -> None:
    """Draw a sweep's store, predicted over simulated, or write it as a table.

    Lines are predictions with their error, points simulations with 5 standard errors. A table holds the whole store.
    """
    from . import views
    results = views.opened(store)
    out = out or store.absolute().with_suffix(".png")
    drawn: dict[str, Any] = {}
    _check_file(out, store)
    if out.suffix in PICTURES:
        fixed = [_pair(text) for text in at] + ([] if lag is None else [("lag", str(lag))])
        heat = heat or (y is not None and y not in views.quantities(results))
        with views.readable(store):
            one = views.view(results, x=x, y=y, hue=hue, at=fixed, heat=heat)
        drawn = {"y": one.quantity, "x": one.x.name, "hue": one.hue and one.hue.name, "at": one.fixed, "map": heat}
        missing, failed = one.missing, one.failed
        from . import charts, plots
        content = plots.encoded(charts.figure(one, heat=heat), out.suffix[1:])
        out.parent.mkdir(parents=True, exist_ok=True)
        replace(out, content)
    else:
        from . import export
        for name, value in {"--x": x, "--y": y, "--hue": hue, "--lag": lag, "--at": at, "--map": heat}.items():
            if value not in (None, (), False):
                raise RopesimError(name, value, f"leave it out, {out.suffix} holds the whole store")
        out.parent.mkdir(parents=True, exist_ok=True)
        with views.readable(store):
            missing, failed = views.unfinished(results)
            export.write(results, out)
    if missing or failed:
        print(f"ropesim: {missing} points are missing and {failed} failed; see `done` and `message` in the store",
              file=sys.stderr)
    if as_json:
        print_json({"schema": 1, "ropesim": __version__, "store": str(store), "out": str(out), **drawn,
                    "missing": missing, "failed": failed})
    else:
        click.echo(out)


def _check_file(out: Path, store: Path) -> None:
    if out.suffix not in PICTURES + TABLES:
        raise RopesimError("--out", str(out), f"use a name that ends in {', '.join(PICTURES + TABLES)}")
    check_parents(out)
    if out.is_dir():
        raise RopesimError("--out", str(out), "use a file, this is a folder")
    if store.resolve() in out.resolve().parents:
        raise RopesimError("--out", str(out), "use a file outside the store")


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise RopesimError("--at", text, "write DIM=VALUE")
    return name.strip(), value.strip()
