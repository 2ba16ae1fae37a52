"""`ropesim check`: claims of the literature, told and held to their recorded expectation."""

import sys
from pathlib import Path

import click

from .errors import RopesimError
from .output import check_parents, print_json, replace


@click.command()
@click.argument("names", metavar="[SOURCE|ID]...", nargs=-1)
@click.option("--trials", default=100, show_default=True, help="Inputs drawn for each property.")
@click.option("--full", is_flag=True, help="Exhaustive scans as well; minutes.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option("--report", type=click.Path(path_type=Path), help="Write a page with formulas and pictures (HTML).")
@click.option("--quiet", is_flag=True, help="No table and no progress bar.")
def check(names: tuple[str, ...], trials: int, full: bool, workers: int, as_json: bool, report: Path | None,
          quiet: bool) -> int:
    """Check published claims about RoPE attention; exit 1 where one comes out against its recorded expectation.

    SOURCE is rope, slash, tappa, sinks or mixing; ID a claim of one, which is then told in full.
    """
    from .claims import check as checks, registry
    from .errors import whole
    trials, workers = whole("--trials", trials, least=1), whole("--workers", workers, least=1)
    if report is not None:
        check_parents(report)
        if report.is_dir():
            raise RopesimError("--report", str(report), "use a file, this is a folder")
    chosen = registry.find(names)
    from tqdm import tqdm
    outcomes = tqdm(checks.run_all(chosen, trials, full=full, workers=workers), unit=" claims", total=len(chosen),
                    disable=True if quiet else None, file=sys.stderr, leave=False)
    checked = list(zip(chosen, outcomes))
    from . import report as pages
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        replace(report, pages.page(checked).encode())
    if as_json:
        print_json({"schema": 1, "claims": [checks.row(claim, outcome) for claim, outcome in checked]})
    elif not quiet:
        in_full = all(claim.id in names for claim in chosen)
        click.echo("\n\n".join(pages.story(*one) for one in checked) if in_full else pages.table(checked))
    return int(any(claim.expected != outcome.status for claim, outcome in checked))
