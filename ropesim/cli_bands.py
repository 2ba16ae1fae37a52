"""`ropesim bands`: the presets, and the frequency bands of one."""

import json
from pathlib import Path
from typing import Any

import click

from .errors import RopesimError
from .output import print_json

_PRESET = "{:<28}{:>9}{:>8}{:>11}  {:<13}{:>9}  {}"


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bands(name: str | None, as_json: bool) -> None:
    """List the presets, or show the frequency bands of one (or of a config.json)."""
    from . import bands as module
    if name is None:
        presets = [module.preset(slug) for slug in module.names()]
        if as_json:
            print_json({"schema": 1, "presets": [{"name": p.name, "source": p.source} for p in presets]})
        else:
            click.echo("\n".join([_PRESET.format("name", "head_dim", "rotary", "base", "scaling", "context", "source"),
                                  *map(_preset_line, presets)]))
        return
    chosen = _from_file(Path(name)) if name.endswith(".json") else module.preset(name)
    if as_json:
        print_json(module.describe(chosen))
    else:
        click.echo(_bands_table(chosen))


def _preset_line(p: Any) -> str:
    scaling = "" if p.scaling is None else str(p.scaling["type"])
    return _PRESET.format(p.name, p.head_dim, p.rotary_dim, f"{p.base:g}", scaling, p.context or "", p.source)


def _from_file(path: Path) -> Any:
    from . import bands as module
    try:
        return module.from_config(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RopesimError("NAME", str(path), f"use a config.json that can be read ({error})") from None


def _bands_table(b: Any) -> str:
    third = {pair: name for name, pairs in zip(b.thirds._fields, b.thirds) for pair in pairs.tolist()}
    lag = b.first_negative_lag
    lines = [f"{b.name}: head_dim {b.head_dim}, rotary_dim {b.rotary_dim}, base {b.base or 'none'}, layout {b.layout}",
             f"scaling {b.scaling or 'none'}, attention factor {b.attention_factor:g}, "
             f"context {b.context or 'unknown'}",
             f"critical dimension {b.critical_dim}: coordinates whose pair makes a full turn within the context",
             f"first lag with a negative sum of cosines: {'none in the context' if lag is None else lag}",
             f"source: {b.source or 'yours'}", "",
             f"{'pair':>5}{'theta (rad/token)':>20}{'wavelength (tokens)':>22}{'turns':>12}  third"]
    rotated = [n for n, theta in enumerate(b.theta) if theta != 0]
    for n in rotated:
        turns = "" if b.turns is None else f"{b.turns[n]:.4g}"
        lines.append(f"{n:>5}{b.theta[n]:>20.6g}{b.wavelength[n]:>22.6g}{turns:>12}  {third[n]}")
    if len(rotated) < len(b.theta):
        lines.append(f"the other {len(b.theta) - len(rotated)} pairs are not rotated")
    return "\n".join(lines)
