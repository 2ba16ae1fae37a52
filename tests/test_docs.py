"""What is written down: docstrings, equation labels, and the commands and code of the pages.

Every check is a function on text, and is shown a text that it must reject.
"""

import ast
import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "ropesim").rglob("*.py"))
THEORY = ROOT / "docs" / "theory.md"

# Names without an example of their own: compiled loops (their doors have one), commands (the tutorial runs them) and
# what needs a model.
NO_EXAMPLE = {"jit.py", "kernels.py", "cli.py", "cli_bands.py", "cli_check.py", "cli_depth.py", "cli_plot.py",
              "cli_train.py",              "capture.py"}
LABEL = re.compile(r"\(([A-Z]-[a-z][a-z0-9.]{2,}(?:-[a-z0-9.]+)*)\)")  # (R-yarn), (A-lag)
UNCITED = ("*numerical only*", "*background*")


# Docstrings

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(source: str) -> Iterator[Definition]:
    for node in ast.parse(source).body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


def arguments(node: Definition) -> set[str]:
    """The names that a call accepts; for a class those of its fields and its __init__."""
    if isinstance(node, ast.ClassDef):
        fields = {line.target.id for line in node.body
                  if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)}
        return fields.union(*(arguments(line) for line in node.body
                              if isinstance(line, ast.FunctionDef) and line.name == "__init__"))
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *(x for x in (a.vararg, a.kwarg) if x)]
    return {x.arg for x in every}


def listed(docstring: str) -> set[str]:
    """The names in a numpydoc section "Parameters", if there is one."""
    section = re.search(r"^Parameters\n-{3,}\n(.*?)(?=^\S.*\n-{3,}$|\Z)", docstring, re.M | re.S)
    heads = re.findall(r"^(\*{0,2}\w+(?:, *\*{0,2}\w+)*) *(?::.*)?$", section[1], re.M) if section else []
    return {name.strip(" *") for head in heads for name in head.split(",")}


def faults_of_docstrings(source: str, *, examples: bool = True) -> list[str]:
    found = [] if ast.get_docstring(ast.parse(source)) or not source.strip() else ["the module has no docstring"]
    for node in public(source):
        text = ast.get_docstring(node)
        if not text:
            found.append(f"{node.name} has no docstring")
            continue
        found += [f"{node.name} has no parameter {name}" for name in sorted(listed(text) - arguments(node))]
        if examples and not isinstance(node, ast.ClassDef) and ">>> " not in text:
            found.append(f"{node.name} has no example")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_names_are_documented(path):
    text = path.read_text(encoding="utf-8")
    assert faults_of_docstrings(text, examples=path.name not in NO_EXAMPLE) == []


LIST = "    Parameters\n    ----------\n    x, z : float\n        A number.\n"


@pytest.mark.parametrize("source, fault", [
    ('X = 1\n', "the module has no docstring"),
    ('"""A."""\ndef f():\n    pass', "f has no docstring"),
    ('"""A."""\nclass F:\n    pass', "F has no docstring"),
    ('"""A."""\n@jit\ndef f():\n    """Do."""', "f has no example"),
    (f'"""A."""\ndef f(x, *, y):\n    """Do.\n\n{LIST}\n    >>> f(1)\n    """', "f has no parameter z"),
    (f'"""A."""\nclass F:\n    """Do.\n\n{LIST}    """\n    x: int', "F has no parameter z"),
])
def test_a_bad_docstring_is_seen(source, fault):
    assert faults_of_docstrings(source) == [fault]


def test_a_good_docstring_passes():
    assert faults_of_docstrings('''"""A."""

def f(x, *rest, y=1, **more):
    """Do.

    Parameters
    ----------
    x : float
        A number.
    y, *rest : int
        More: of them.
    **more
        The rest.

    Returns
    -------
    z : float

    >>> f(1)
    """

def _private():
    pass
''') == []


# Equation labels

def docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Definition | ast.Module):
            yield ast.get_docstring(node) or ""


def labels_of_claims(source: str) -> Iterator[str]:
    """Labels that claims are given as label="A-lag"."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "label" and isinstance(node.value, ast.Constant):
            yield f"({node.value.value})"


def cited(sources: list[str]) -> set[str]:
    texts = [text for source in sources for text in (*docstrings(source), *labels_of_claims(source))]
    return {label for text in texts for label in LABEL.findall(text)}


def equations(page: str) -> dict[str, str]:
    """Label -> the text up to the next one. A label is set in a heading, or as an anchor: `(A-lag)=`."""
    sections: dict[str, str] = {}
    current: list[str] = []
    for line in page.splitlines():
        if line.startswith("#") or re.match(rf"{LABEL.pattern}=$", line):
            current = LABEL.findall(line) or ([] if line.startswith("#") else current)
        for label in current:
            sections[label] = sections.get(label, "") + line + "\n"
    return sections


def faults_of_labels(sources: list[str], page: str) -> list[str]:
    used, known = cited(sources), equations(page)
    return ([f"({label}) is cited, but not in theory.md" for label in sorted(used - set(known))]
            + [f"({label}) stands in theory.md, but no docstring cites it" for label in sorted(set(known) - used)
               if not any(word in known[label] for word in UNCITED)])


def test_equations_and_docstrings_name_each_other():
    sources = [path.read_text(encoding="utf-8") for path in SOURCES]
    assert faults_of_labels(sources, THEORY.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page, faults", [
    ("### Lag logits (A-lag)\n\n$$x$$\n", []),
    ("(A-lag)=\n$$x$$\n\n(A-rest)=\nThe rest. *background*\n", []),
    ("The formula (A-lag) holds.\n", ["(A-lag) is cited, but not in theory.md"]),
    ("### Lag logits (A-lag)\n### Bands (R-yarn)\nText.\n## Next\n*background*\n",
     ["(R-yarn) stands in theory.md, but no docstring cites it"]),
])
def test_a_label_without_its_partner_is_seen(page, faults):
    source = 'def f():\n    """Do it.\n\n        x = y    (A-lag)\n    """\n# (Z-comment)'
    assert faults_of_labels([source], page) == faults


# Pages that run

def blocks(page: str) -> Iterator[tuple[str, int, str]]:
    """Language, line of the first line, and text of each fenced block."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.M | re.S):
        yield match[1], page.count("\n", 0, match.start(2)) + 1, match[2]


def commands(console: str) -> list[list[str]]:
    """The `ropesim` commands behind the prompts of a console block; other programs are left alone."""
    joined = console.replace("\\\n", " ")
    typed = [part.strip() for line in joined.splitlines() if line.startswith("$ ") for part in line[2:].split("&&")]
    return [words for words in (shlex.split(part, comments=True) for part in typed) if words[:1] == ["ropesim"]]


def run_page(page: str, name: str) -> int:
    """Run the python blocks (in one namespace) and the ropesim commands of a page, in order; return how many."""
    names: dict[str, object] = {"__name__": "__page__"}
    done = 0
    for language, line, text in blocks(page):
        if language == "python" and text.lstrip().startswith(">>> "):
            example = doctest.DocTestParser().get_doctest(text, names, name, name, line - 1)
            flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
            doctest.DebugRunner(optionflags=flags).run(example, clear_globs=False)
            names.update(example.globs)
            done += 1
        elif language == "python":
            exec(compile("\n" * (line - 1) + text, name, "exec"), names)
            done += 1
        elif language == "console":
            for words in commands(text):
                ran = subprocess.run([sys.executable, "-c", "from ropesim.cli import main; main()", *words[1:]],
                                     env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
                assert ran.returncode == 0, f"{name}, block at line {line}: {shlex.join(words)}\n{ran.stderr}"
                done += 1
    return done


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["README.md", *(f"docs/{page}.md" for page in (
    "tutorial", "sweeps", "depth", "training"))])
def test_the_page_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_page((ROOT / name).read_text(encoding="utf-8"), name) > 0


def test_a_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ("```python\nx = 1\n```\n```python\n>>> x + 1\n2\n>>> y = 3\n```\n```python\nassert y == 3\n```\n"
            "```console\n$ python -m pip install .  # not ours\nropesim is not typed here\n```\n```\nplain\n```\n")
    assert run_page(page, "page.md") == 3


@pytest.mark.parametrize("page, error", [
    ("```python\nx = 1\n```\n```python\nassert x == 2\n```\n", AssertionError),
    ("```python\n>>> 1 + 1\n3\n```\n", doctest.DocTestFailure),
    ("```python\n>>> 1 / 0\n```\n", doctest.UnexpectedException),
    ("```python\nfrom ropesim import no_such_thing\n```\n", ImportError),
    ("```console\n$ ropesim no-such-command\n```\n", AssertionError),
])
def test_a_page_that_does_not_run_is_seen(page, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        run_page(page, "page.md")


def test_commands_are_found_behind_prompts():
    assert commands("$ cd x && ropesim run a \\\n   --out 'b c'  # why\nropesim no\n$ ropesim bands\n") == [
        ["ropesim", "run", "a", "--out", "b c"], ["ropesim", "bands"]]
