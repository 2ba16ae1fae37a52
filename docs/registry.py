"""Write the page of claims from the registry, so that it cannot drift. Run by the docs build."""

from itertools import groupby
from pathlib import Path

from ropesim.claims.claim import Claim, Inequality
from ropesim.claims.registry import find

HERE = Path(__file__).parent
HEAD = """# Claims

What has been published about RoPE attention, and what came of it. `ropesim check` runs all of these: each has up to
three independent legs (*prove* by sympy, *property* on drawn inputs, *simulate* beside a prediction) and a control, a
broken variant that the check must reject. *Holds as corrected* means that the printed form has a counterexample and
that the form below holds. The tests hold every claim to the status given here. Each label is a section of
[theory](theory.md).

    ropesim check                          every claim
    ropesim check tappa                    those of one source
    ropesim check tappa-5.1-angle          one claim, told in full
    ropesim check --trials 10000           more inputs for each property
    ropesim check --report report.html     a page with formulas and pictures

"""
TAIL = """
## Bounds without a tight case

Tightening a bound by 1 % must turn its claim red; a test does so at the tight case on record. For these none is known:

"""


def line(claim: Claim) -> str:
    cells = (f"`{claim.id}`", claim.title, f"${claim.statement}$", claim.assumes, claim.expected, ", ".join(claim.legs),
             f"({claim.label})", claim.source)
    return "| " + " | ".join(cell.replace("|", "\\|") if n != 2 else cell.replace("|", "\\vert ")
                             for n, cell in enumerate(cells)) + " |\n"


def text() -> str:
    every = find()
    parts = [HEAD]
    for source, group in groupby(every, lambda claim: claim.id.split("-")[0]):
        parts += [f"\n## {source}\n\n| claim | says | statement | assumes | status | legs | equation | source |\n"
                  "|---|---|---|---|---|---|---|---|\n", *map(line, group)]
    without = [c.id for c in every if isinstance(c.holds, Inequality) and c.holds.tight is None]
    return "".join([*parts, TAIL, *(f"- `{name}`\n" for name in without)])


def write() -> None:
    (HERE / "claims.md").write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
