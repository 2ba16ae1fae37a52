"""Write docs/presets.md, the table of presets: python docs/presets.py. A test compares the page with this text."""

from collections.abc import Iterable
from pathlib import Path

from ropesim import bands

HEAD = """# Presets

Frequency bands of published models, one layer type each (`ropesim bands NAME`, `ropesim.bands.preset`). *Turns*: pairs
that turn at least once within the context, of the rotated pairs. *Negative*: the first lag at which the cosines of the
rotated pairs sum below 0. This page is written by `docs/presets.py`.

"""
COLUMNS = ("preset", "head_dim", "rotary_dim", "base", "scaling", "context", "attention factor", "longest wavelength",
           "turns", "negative", "source")


def stretch(b: bands.Bands) -> str:
    if b.scaling is None:
        return ""
    detail = {key: value for key, value in b.scaling.items() if isinstance(value, int | float)}
    return " ".join([b.scaling["type"], *(f"{key}={value:g}" for key, value in detail.items())])


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def row(name: str) -> str:
    b = bands.preset(name)
    rotated = b.theta != 0
    return line((
        f"`{name}`", b.head_dim, b.rotary_dim, f"{b.base:g}", stretch(b), b.context, f"{b.attention_factor:.4f}",
        f"{b.wavelength[rotated].max():,.0f}", f"{b.critical_dim // 2}/{rotated.sum()}",
        b.first_negative_lag or "none", b.source,
    ))


def page() -> str:
    return HEAD + line(COLUMNS) + line(["---"] * len(COLUMNS)) + "".join(map(row, bands.names()))


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
