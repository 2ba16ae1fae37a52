"""The lemmas that claims about a rotary pair share, and the arithmetic they stand on."""

from hypothesis import given
from hypothesis import strategies as st

from ropesim.claims import pairs

whole = st.integers(-9, 9)
pair = st.tuples(whole, whole)


@given(pair, pair, pair)
def test_pairs_multiply_as_complex_numbers(x, y, turn):
    assert complex(*pairs.times(x, y)) == complex(*x) * complex(*y)
    assert pairs.inner(x, y, turn) == (complex(*x) * complex(*y).conjugate() * complex(*turn)).real


def test_the_lemmas_are_proved():
    assert {pairs.cauchy_schwarz(), pairs.chord(), pairs.later_query()} == {"proved"}


def test_a_lemma_fails_with_a_turn_that_does_not_conjugate_the_key(monkeypatch):
    monkeypatch.setattr(pairs, "inner", lambda q, k, turn: pairs.times(q, turn)[0] + k[0])
    assert pairs.later_query() == "refuted"
