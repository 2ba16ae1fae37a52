"""Write the gallery: every shipped example as its spec, its table and its picture. Run by the docs build."""

from pathlib import Path

from ropesim import case, cli, plots, point, spec

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


def write() -> None:
    (HERE / "gallery.md").write_text(HEAD + "".join(map(entry, spec.examples())), encoding="utf-8")


if __name__ == "__main__":
    write()
