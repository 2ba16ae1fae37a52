"""The registry: every claim comes out as recorded, can fail, and is told where it stands."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from ropesim.claims import check, registry
from ropesim.claims.claim import Claim, Control, Identity, Inequality, Simulation
from ropesim.errors import RopesimError

CLAIMS = registry.find()
STATUSES = {"proved", "spot-checked", "agrees", "holds", "refuted", "holds-as-corrected"}
THEORY = (Path(__file__).parent.parent / "docs" / "theory.md").read_text(encoding="utf-8")
TRIALS = 30
each = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)


def searched(claim):
    """The property legs of a claim, the printed form among them where it is one."""
    legs = [claim.holds, claim.printed]
    return [leg for leg in legs if isinstance(leg, Inequality | Identity)]


@each
def test_a_claim_comes_out_as_recorded_and_its_control_bites(claim):
    outcome = check.run(claim, TRIALS)
    assert outcome.status == claim.expected, outcome
    assert outcome.control == claim.control.what
    assert outcome.tie is None or outcome.tie <= check.TIE


@each
def test_a_claim_says_where_it_comes_from_and_what_it_assumes(claim):
    assert claim.expected in STATUSES
    assert claim.id.split("-")[0] in registry.SOURCES and re.fullmatch(r"[a-z0-9.]+(-[a-z0-9.]+)+", claim.id)
    assert all(words.strip() for words in (claim.title, claim.source, claim.statement, claim.assumes, claim.note))
    assert f"({claim.label})" in THEORY
    assert len(claim.legs) >= 2 or claim.alone
    assert (claim.printed is not None) == (claim.expected == "holds-as-corrected")


def test_ids_are_unique_and_there_are_at_least_sixty():
    ids = [claim.id for claim in CLAIMS]
    assert len(set(ids)) == len(ids) >= 60


@pytest.mark.parametrize("claim", [c for c in CLAIMS if isinstance(c.holds, Inequality) and c.holds.tight is not None
                                   and c.expected != "refuted"], ids=lambda claim: claim.id)
def test_a_bound_that_is_tightened_by_one_percent_fails_at_its_tight_case(claim):
    leg = claim.holds
    left, right = leg.sides(**leg.tight)
    assert leg.excess(left, right)[0] and not leg.excess(left, 0.99 * np.asarray(right))[0]


@pytest.mark.parametrize("claim", [c for c in CLAIMS if isinstance(c.holds, Identity) and c.expected != "refuted"],
                         ids=lambda claim: claim.id)
def test_an_identity_with_a_constant_that_is_one_percent_off_fails(claim):
    def off(**draw):
        left, right = claim.holds.sides(**draw)
        return left, 1.01 * np.asarray(right)
    assert check.judge(dataclasses.replace(claim.holds, sides=off), TRIALS).status == "refuted"


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.simulate], ids=lambda claim: claim.id)
def test_a_simulation_has_standard_errors_that_say_something(claim):
    mean, stderr = (np.broadcast_to(np.asarray(x, dtype=float), np.shape(claim.simulate.x))
                    for x in claim.simulate.simulate(np.random.default_rng(1)))
    assert np.isfinite(mean).all() and np.isfinite(stderr).all() and (stderr >= 0).all()
    assert (stderr <= 0.5 * np.maximum(np.abs(mean), np.abs(mean).max())).all()


# The machinery, on claims made up for the purpose

def made(**change):
    any_x = {"x": st.integers(0, 1000)}
    whole = {"id": "rope-made", "source": "nobody", "label": "A-lag", "title": "t", "statement": "x", "assumes": "a",
             "expected": "holds", "note": "n", "holds": Inequality(any_x, lambda x: (x, x + 1)),
             "control": Control("one less", Inequality(any_x, lambda x: (x, x - 1)))}
    return Claim(**whole | change)


def test_a_false_bound_is_refuted_by_the_smallest_counterexample():
    outcome = check.run(made(holds=Inequality({"x": st.integers(0, 1000)}, lambda x: (x, 41))), 100)
    assert outcome.status == "refuted"
    assert check.row(made(), outcome)["counterexample"] == "x = 42: left 42, right 41"


def test_a_control_that_passes_makes_a_check_untrustworthy():
    harmless = made(control=Control("nothing", Inequality({"x": st.integers(0, 9)}, lambda x: (x, x))))
    outcome = check.run(harmless)
    assert (outcome.status, outcome.control) == ("untrustworthy", None)


def test_a_formula_that_is_not_the_librarys_makes_a_check_untrustworthy():
    assert check.run(made(tie=lambda: 1e-3)).status == "untrustworthy"
    assert check.run(made(tie=lambda: float("nan"))).status == "untrustworthy"
    assert check.run(made(tie=lambda: 1e-12)).status == "holds"


@pytest.mark.parametrize(("legs", "status"), [
    ({"prove": lambda: "proved"}, "proved"),
    ({"prove": lambda: "spot-checked"}, "spot-checked"),
    ({"prove": lambda: "refuted"}, "refuted"),
    ({"simulate": Simulation([1.0], "x", "y", lambda: (1.0, 0.0), lambda rng: (1.1, 0.03))}, "agrees"),
    ({"simulate": Simulation([1.0], "x", "y", lambda: (1.0, 0.0), lambda rng: (1.1, 0.01))}, "refuted"),
    ({"simulate": Simulation([1.0], "x", "y", lambda: (np.nan, 0.0), lambda rng: (1.1, 0.01))}, "refuted"),
    ({"printed": lambda: "refuted"}, "holds-as-corrected"),
    ({"printed": lambda: "proved"}, "holds"),
])
def test_the_status_is_that_of_the_strongest_leg_unless_one_refutes(legs, status):
    assert check.run(made(**legs)).status == status


def test_tightest_is_the_largest_ratio_seen():
    outcome = check.run(made(holds=Inequality({"x": st.integers(1, 1000)}, lambda x: (1, 2 * x), tight={"x": 1})))
    assert check.row(made(), outcome)["tightest"] == 0.5


def test_a_full_leg_runs_only_on_request():
    claim = made(full=lambda: "refuted")
    assert check.run(claim).status == "holds" and check.run(claim, full=True).status == "refuted"


def test_outcomes_of_processes_are_those_of_one():
    chosen = CLAIMS[:4]
    alone, shared = (list(check.run_all(chosen, 5, workers=n)) for n in (1, 2))
    assert [one._replace(seconds=0) for one in alone] == [one._replace(seconds=0) for one in shared]


@pytest.mark.parametrize(("names", "words"), [(("rop",), "claim = 'rop': use a source"),
                                              (("rope-nothing",), "or an id .rope-shift")])
def test_a_name_that_is_no_claim_is_refused_with_those_that_are(names, words):
    with pytest.raises(RopesimError, match=words):
        registry.find(names)


def test_sources_and_ids_are_found_once_in_the_order_of_the_files():
    assert [c.id for c in registry.find(("rope-shift", "rope"))] == [c.id for c in CLAIMS if c.id.startswith("rope-")]
