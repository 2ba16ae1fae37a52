"""Masks: every builder against loops, and every fault of a given mask."""

import naive_depth
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropesim import masks
from ropesim.errors import RopesimError

settings = st.integers(1, 9).flatmap(lambda length: st.fixed_dictionaries({
    "length": st.just(length), "window": st.integers(0, 10), "document": st.integers(0, 10), "shared": st.booleans(),
    "alone": st.lists(st.integers(0, length - 1), max_size=3)}))


@given(settings)
def test_visible_is_its_naive_twin(setting):
    want = naive_depth.visible(*(setting[name] for name in ("length", "window", "document", "shared", "alone")))
    seen = masks.visible(**setting)
    assert seen.dtype == bool
    np.testing.assert_array_equal(seen, want)


@given(settings)
def test_what_visible_builds_is_a_mask(setting):
    mask = masks.visible(**setting)
    assert masks.checked(mask) is mask
    assert mask.diagonal().all()


@given(settings)
def test_a_lone_row_sees_itself_only(setting):
    mask = masks.visible(**setting)
    for row in setting["alone"]:
        assert mask[row].nonzero()[0].tolist() == [row]


def test_packing_has_one_absorbing_token_per_document_and_a_shared_first_token_leaves_one():
    alone = [int((masks.visible(64, document=16, shared=shared).sum(axis=1) == 1).sum()) for shared in (False, True)]
    assert alone == [4, 1]                                    # sinks.md R14


def test_a_shared_first_token_stands_before_the_first_document():
    assert masks.visible(5, document=2, shared=True).astype(int).tolist() == [
        [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 1, 1]]


@pytest.mark.parametrize("bad, name", [
    ({"length": 0}, "length"), ({"length": 10 ** 7}, "length"), ({"window": -1}, "window"),
    ({"document": 1.0}, "document"), ({"alone": [3]}, "alone"), ({"alone": [-1]}, "alone")])
def test_visible_refuses(bad, name):
    with pytest.raises(RopesimError) as caught:
        masks.visible(**{"length": 3} | bad)
    assert caught.value.name == name


@pytest.mark.parametrize("bad, words", [
    (np.tri(3), "booleans"), (np.ones((2, 3), bool), r"\(T, T\)"), (np.ones(3, bool), r"\(T, T\)"),
    (np.ones((0, 0), bool), r"\(T, T\)"), (np.ones((2, 2), bool), "after itself"),
    (np.diag([True, False, True]), "let this row see a key"),
    (np.broadcast_to(True, (10 ** 7, 10 ** 7)), "window")])
def test_checked_refuses(bad, words):
    with pytest.raises(RopesimError, match=words):
        masks.checked(bad)
