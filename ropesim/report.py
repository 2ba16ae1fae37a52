"""What came of checking claims: as text, and as one HTML page that opens without a network."""

import base64
import html
from collections.abc import Sequence

from . import __version__, plots
from .claims.check import Outcome, Verdict
from .claims.claim import Claim

Checked = Sequence[tuple[Claim, Outcome]]
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
td, th { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
article { border-top: 2px solid #888; margin-top: 2.5rem; padding-top: .5rem; }
h3 { margin: .3rem 0; } .formula { margin: 1rem 0; } .formula img { max-width: 100%; }
.off { background: #fbe3e4; } .id { color: #666; font-family: monospace; }
.figure img { max-width: 40rem; width: 100%; }
dl { display: grid; grid-template-columns: 9rem 1fr; gap: .2rem 1rem; } dt { color: #666; } dd { margin: 0; }
"""


def table(checked: Checked) -> str:
    """One line for each claim, and what all of them came to.

    >>> from .claims import check, registry
    >>> claim = registry.find(("rope-shift",))[0]
    >>> one = [(claim, check.run(claim, trials=5))]
    >>> table(one).splitlines()[-1]
    '1 claims: 1 proved; all as expected'
    """
    wide = max((len(claim.id) for claim, _ in checked), default=0) + 2
    lines = [f"{'claim':<{wide}}{'status':<20}{'legs':<27}{'trials':>7}{'tightest':>11}{'seconds':>9}"]
    for claim, outcome in checked:
        verdicts = outcome.verdicts.values()
        trials = sum(verdict.trials for verdict in verdicts)
        against = "" if outcome.status == claim.expected else f"   AGAINST EXPECTATION: {claim.expected}"
        lines.append(f"{claim.id:<{wide}}{outcome.status:<20}{', '.join(outcome.verdicts):<27}{trials or '':>7}"
                     f"{_ratio(outcome):>11}{outcome.seconds:>9.2f}{against}")
    return "\n".join([*lines, summary(checked)])


def _ratio(outcome: Outcome) -> str:
    found = [v.tightest for v in outcome.verdicts.values() if v.trials and v.tightest is not None]
    return f"{max(found):.3g}" if found else ""


def summary(checked: Checked) -> str:
    """How many claims came to what, in one sentence.

    >>> summary([])
    '0 claims: none; all as expected'
    """
    status = [outcome.status for _, outcome in checked]
    counts = ", ".join(f"{status.count(name)} {name}" for name in sorted(set(status), key=status.index))
    against = [claim.id for claim, outcome in checked if outcome.status != claim.expected]
    end = f"against expectation: {', '.join(against)}" if against else "all as expected"
    return f"{len(checked)} claims: {counts or 'none'}; {end}"


def story(claim: Claim, outcome: Outcome) -> str:
    """Everything about one claim, as text.

    >>> from .claims import check, registry
    >>> claim = registry.find(("rope-shift",))[0]
    >>> story(claim, check.run(claim, trials=5)).splitlines()[0]
    'rope-shift: A rotary logit depends on the relative position alone'
    """
    return "\n".join([f"{claim.id}: {claim.title}", f"  {claim.statement}", "",
                      *(f"  {name:<12}{value}" for name, value in _facts(claim, outcome))])


def _facts(claim: Claim, outcome: Outcome) -> list[tuple[str, str]]:
    against = "" if outcome.status == claim.expected else f", AGAINST EXPECTATION: {claim.expected}"
    facts = [("status", f"{outcome.status}{against} ({outcome.seconds:.2f} s)"), ("source", claim.source),
             ("equation", f"({claim.label}) in docs/theory.md"), ("assumes", claim.assumes),
             ("recorded", f"{claim.expected}: {claim.note}")]
    facts += [(name, _told(verdict)) for name, verdict in outcome.verdicts.items()]
    if outcome.printed is not None:
        facts.append(("as printed", _told(outcome.printed)))
    if outcome.tie is not None:
        facts.append(("library", f"differs from the proved formula by {outcome.tie:.1e} at most"))
    facts.append(("control", f"rejected: {outcome.control}" if outcome.control
                  else f"NOT REJECTED: {claim.control.what}; do not trust this check"))
    return facts + ([("one leg", claim.alone)] if claim.alone else [])


def _told(verdict: Verdict) -> str:
    words = [verdict.status]
    if verdict.trials:
        words.append(f"in {verdict.trials} trials")
    if verdict.tightest is not None:
        words.append(f"(tightest {verdict.tightest:.3g})")
    if verdict.counterexample:
        words.append(f"by {verdict.counterexample}")
    return " ".join(words)


def page(checked: Checked) -> str:
    """The claims as one HTML page, formulas and pictures inside.

    >>> page([])[:15]
    '<!doctype html>'
    """
    rows = "".join(
        f'<tr{_mark(claim, outcome)}><td><a href="#{claim.id}">{claim.id}</a></td><td>{_text(claim.title)}</td>'
        f'<td>{outcome.status}</td><td>{", ".join(outcome.verdicts)}</td><td class="n">{_ratio(outcome)}</td>'
        f'<td class="n">{outcome.seconds:.2f}</td></tr>\n' for claim, outcome in checked)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>ropesim check</title>\n'
            f"<style>{STYLE}</style></head><body>\n<h1>Published claims about RoPE attention, checked</h1>\n"
            f"<p>ropesim {__version__}. {_text(summary(checked))}.</p>\n<table><tr><th>claim</th><th>says</th>"
            f'<th>status</th><th>legs</th><th class="n">tightest</th><th class="n">seconds</th></tr>\n{rows}</table>\n'
            + "".join(_article(claim, outcome) for claim, outcome in checked) + "</body></html>\n")


def _article(claim: Claim, outcome: Outcome) -> str:
    facts = "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in _facts(claim, outcome))
    curves = [verdict.curve for verdict in outcome.verdicts.values() if verdict.curve]
    pictures = [] if claim.simulate is None else [
        _image(plots.claim_figure(curve, claim.simulate.x_name, claim.simulate.y_name), "prediction and simulation")
        for curve in curves]
    return (f'<article id="{claim.id}"{_mark(claim, outcome)}><div class="id">{claim.id}</div>'
            f"<h3>{_text(claim.title)}</h3>"
            f'<div class="formula">{_image(plots.formula(claim.statement), claim.statement)}</div><dl>{facts}</dl>'
            + "".join(f'<div class="figure">{picture}</div>' for picture in pictures) + "</article>\n")


def _mark(claim: Claim, outcome: Outcome) -> str:
    return "" if outcome.status == claim.expected else ' class="off"'


def _image(svg: bytes, words: str) -> str:
    return f'<img alt="{_text(words)}" src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}">'


def _text(words: str) -> str:
    return html.escape(words)
