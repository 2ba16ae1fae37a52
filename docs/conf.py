"""Sphinx configuration: Markdown pages, and API pages from the docstrings."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import ropesim  # noqa: E402

project = "ropesim"
author = "the ropesim developers"
copyright = "2026, the ropesim developers"
release = version = ropesim.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_*.md"]
templates_path = ["_templates"]
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch", "transformers"]
smartquotes = False  # docstrings quote code
html_theme = "furo"
html_title = f"ropesim {release}"


def plain_text(app, what, name, obj, options, lines):
    """Our docstrings are plain text: protect their prose, and set indented blocks (the formulas) as they stand."""
    found, block, example = [], False, False
    for before, line in zip(["", *lines], lines.copy()):
        if not before.strip():
            example = line.startswith(">>> ") or (example and not line.strip())
            if line.startswith("    ") and not block:
                found += ["::", ""]
                block = True
        if line.strip() and not line.startswith("    "):
            block = False
        found.append(line if block or example else prose(line))
    lines[:] = found


def prose(line: str) -> str:
    """`code` as a literal, and the rest with the characters that mean something to reST escaped."""
    def safe(part: str) -> str:
        code = part.startswith("`") and part.endswith("`") and len(part) > 1
        return f"`{part}`" if code else re.sub(r"[*|\\]|_\b|_(?=\W|$)", r"\\\g<0>", part)

    return "".join(map(safe, re.split(r"(`[^`]+`)", line)))


def generated(app):
    sys.path.insert(0, str(Path(__file__).parent))
    import gallery
    import registry

    gallery.write()
    registry.write()


def setup(app):
    app.connect("builder-inited", generated)
    app.connect("autodoc-process-docstring", plain_text)
