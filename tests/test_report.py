"""What came of checking claims, as text and as a page, and the command that prints them."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest
from matplotlib.mathtext import MathTextParser

from ropesim import cli, report
from ropesim.claims import check, registry

CHOSEN = registry.find(("rope-shift", "slash-alias", "tappa-5.1-angle", "slash-pulse"))
CHECKED = [(claim, check.run(claim, 20)) for claim in CHOSEN]
AGAINST = [(dataclasses.replace(claim, expected="holds"), outcome) for claim, outcome in CHECKED[:1]]


@pytest.fixture
def ropesim(capsys, tmp_path, monkeypatch):
    """ropesim("check ...") in an empty folder -> exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(line):
        with pytest.raises(SystemExit) as end:
            cli.main(line.split())
        return end.value.code, *capsys.readouterr()
    return call


def test_the_table_has_a_line_for_each_claim_and_a_summary():
    lines = report.table(CHECKED).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [claim.id for claim in CHOSEN]
    assert lines[-1].startswith("4 claims: ") and lines[-1].endswith("all as expected")


def test_a_claim_against_expectation_is_shouted_about():
    assert "AGAINST EXPECTATION: holds" in report.table(AGAINST) and "AGAINST EXPECTATION" in report.story(*AGAINST[0])
    assert report.summary(AGAINST).endswith("against expectation: rope-shift")


@pytest.mark.parametrize(("claim", "outcome"), CHECKED, ids=[claim.id for claim in CHOSEN])
def test_a_story_tells_source_legs_and_control(claim, outcome):
    text = report.story(claim, outcome)
    assert claim.title in text and claim.source in text and claim.assumes in text
    assert all(f"\n  {name:<12}{verdict.status}" in text for name, verdict in outcome.verdicts.items())
    assert f"rejected: {claim.control.what}" in text


def test_a_check_that_can_not_fail_is_told_not_to_be_trusted():
    claim, outcome = CHECKED[0]
    assert "NOT REJECTED" in report.story(claim, outcome._replace(control=None, status="untrustworthy"))


def test_the_story_of_a_correction_shows_the_counterexample_to_what_was_printed():
    text = next(report.story(*one) for one in CHECKED if one[0].id == "slash-pulse")
    assert re.search(r"\n  as printed  refuted .*by .*left .*, right ", text)


class Page(HTMLParser):
    """Every tag closed, and where pictures and links lead."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.images, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if tag == "a" else []
        self.images += [attrs["src"]] if tag == "img" else []
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network():
    text = report.page(CHECKED)
    page = Page()
    page.feed(text)
    assert page.open == [] and page.links == [f"#{claim.id}" for claim in CHOSEN]
    assert set(page.ids) == {claim.id for claim in CHOSEN}
    pictures = [claim for claim, _ in CHECKED if claim.simulate]
    assert len(page.images) == len(CHOSEN) + len(pictures) and "<script" not in text
    for image in page.images:
        head, data = image.split(",", 1)
        assert head == "data:image/svg+xml;base64" and b"<svg" in base64.b64decode(data)


def test_every_statement_is_a_formula_that_can_be_drawn():
    parser = MathTextParser("path")
    for claim in registry.find():
        assert parser.parse(f"${claim.statement}$".replace(r"\frac", r"\dfrac")).width > 0, claim.id


# ropesim check

def test_one_claim_is_told_in_full(ropesim):
    code, out, err = ropesim("check rope-shift --trials 5 --quiet")
    assert (code, out) == (0, "")
    code, out, err = ropesim("check rope-shift --trials 5")
    assert code == 0 and out.startswith("rope-shift: ") and "in 5 trials" in out


def test_json_has_the_fields_of_the_contract(ropesim):
    code, out, err = ropesim("check slash-alias rope-shift --trials 5 --json")
    whole = json.loads(out)
    assert code == 0 and list(whole) == ["schema", "claims"] and whole["schema"] == 1
    assert [list(row) for row in whole["claims"]] == 2 * [
        ["id", "source", "label", "status", "expected", "legs", "trials", "tightest", "control", "seconds",
         "counterexample"]]
    assert [row["id"] for row in whole["claims"]] == ["rope-shift", "slash-alias"]


def test_a_report_is_written_whole(ropesim, tmp_path):
    assert ropesim("check rope-shift slash-alias --trials 5 --quiet --report new/report.html")[0] == 0
    text = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert text.endswith("</html>\n") and [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_a_claim_against_expectation_exits_1(ropesim, monkeypatch):
    wrong = dataclasses.replace(CHOSEN[0], expected="refuted")
    monkeypatch.setattr(registry, "find", lambda names=(): [wrong])
    code, out, err = ropesim("check rope-shift --trials 5")
    assert code == 1 and "AGAINST EXPECTATION: refuted" in out


@pytest.mark.parametrize(("line", "words"), [
    ("check nothing", "claim = 'nothing': use a source (rope, slash, tappa, sinks, mixing) or an id"),
    ("check rope-nothing", "claim = 'rope-nothing': use a source"),
    ("check --trials 0", "--trials = 0: use a whole number from 1 on"),
    ("check --workers 0", "--workers = 0: use a whole number from 1 on"),
    ("check --trials many", "'many' is not a valid integer"),
    ("check rope-shift --report .", "--report = '.': use a file, this is a folder"),
])
def test_bad_input_is_one_line_and_exit_2(ropesim, tmp_path, line, words):
    code, out, err = ropesim(line)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1 and not list(tmp_path.iterdir())
