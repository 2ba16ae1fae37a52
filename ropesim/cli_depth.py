"""`ropesim depth`: a stack of layers and the chain from variance to a sink, predicted beside simulated."""

import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import RopesimError
from .output import check_parents, print_json, replace


@click.command()
@click.argument("study", metavar="[STUDY.toml]", required=False)
@click.option("--intervene", "interventions", multiple=True, metavar="NAME:ARGS", help="Also after this, may be given "
              "again: mask:K, amplify:K:LAMBDA, scale:K:LAMBDA, headnorm, drop-bos, pack:M.")
@click.option("--json", "as_json", is_flag=True, help="Print every row as JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Write a picture (.png, .svg, .pdf).")
@click.option("--list", "listing", is_flag=True, help="List the fields of a study and their defaults.")
@click.option("--quiet", is_flag=True, help="No table and no progress bar.")
def depth(study: str | None, interventions: tuple[str, ...], as_json: bool, out: Path | None, listing: bool,
          quiet: bool) -> int:
    """How attention mixes tokens over layers, and how a sink forms: before and after interventions.

    Exit code 1 where a prediction and its simulation disagree.
    """
    from . import studies
    if listing:
        click.echo(studies.described())
        return 0
    given = studies.read(study)
    if out is not None:
        check_parents(out)
        if out.is_dir():
            raise RopesimError("--out", str(out), "use a file, this is a folder")
        if out.suffix not in (".png", ".svg", ".pdf"):
            raise RopesimError("--out", str(out), "use a file that ends in .png, .svg or .pdf")
    from tqdm import tqdm

    from . import compare
    rows = compare.depth(given, interventions, lambda work: tqdm(
        list(work), unit=" parts", disable=True if quiet else None, file=sys.stderr, leave=False))
    if as_json:
        print_json({"schema": 1, "ropesim": __version__, "rows": rows})
    elif not quiet:
        click.echo(table(rows))
    if out is not None:
        from . import depth_charts, plots
        out.parent.mkdir(parents=True, exist_ok=True)
        replace(out, plots.encoded(depth_charts.figure(rows), out.suffix[1:]))
    return int(any(row["agrees"] is False for row in rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Some of the rows as text: first and last layer, first and last token, where an intervention acts, what disagrees.

    >>> row = {"intervention": None, "layer": 1, "position": 0, "quantity": "norm", "predicted": 2.0, "error": 0.0,
    ...        "simulated": 2.0, "stderr": 0.0, "agrees": True}
    >>> print(table([row]).splitlines()[-1])
    1 row, 1 agrees; --json prints them all
    """
    last = max(row["layer"] for row in rows)
    tokens = max(row["position"] or 0 for row in rows)
    acts = {int(text.split(":")[1]) for text in {row["intervention"] for row in rows} - {None}
            if text.split(":")[0] in ("mask", "amplify", "scale")}
    shown = {None, 0, tokens, *acts}
    lines = [f"{'intervention':<16}{'quantity':<18}{'layer':>6}{'token':>7}{'predicted':>13} ± {'error':<9}"
             f"{'simulated':>11} ± {'s.e.':<9}  verdict"]
    for row in rows:
        usual = row["position"] in shown and (row["layer"] in (1, last) or row["quantity"].startswith("chain-"))
        if not usual and row["agrees"] is not False:
            continue
        place = "" if row["position"] is None else row["position"]
        verdict = {True: "agrees", False: "DISAGREES", None: "no verdict"}[row["agrees"]]
        lines.append(f"{row['intervention'] or '':<16}{row['quantity']:<18}{row['layer']:>6}{place:>7}"
                     f"{row['predicted']:>13.6f} ± {row['error']:<9.2g}"
                     f"{row['simulated']:>11.6f} ± {row['stderr']:<9.2g}  {verdict}")
    agree = sum(row["agrees"] is True for row in rows)
    lines.append(f"{len(rows)} row{'s' * (len(rows) != 1)}, {agree} agree{'s' * (agree == 1)}; --json prints them all")
    return "\n".join(lines)
