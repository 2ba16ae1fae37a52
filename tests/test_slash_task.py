"""The task that both wings read: where inputs and labels stand, and what is refused."""

import naive_training
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropesim.errors import RopesimError
from ropesim.slash_task import Task, layout


@given(st.integers(2, 20).map(lambda n: 2 * n + 1), st.integers(0, 20))
def test_the_layout_is_its_naive_twin(length, lag):
    try:
        task = Task(classes=2, length=length, lag=lag)
    except RopesimError:
        assert (length - 1) % Task(lag=lag).period + lag > length - 2
        return
    shown, labelled = layout(task)
    inputs = (length - 1) // task.period + 1
    assert naive_training.prompt(range(inputs), length, lag, -1) == (shown.tolist(), labelled.tolist())


@given(st.integers(0, 60))
def test_every_label_stands_its_lag_behind_its_input(lag):
    shown, labelled = layout(Task(classes=2, length=131, lag=lag))
    for j in range(131):
        if labelled[j] >= 0:
            assert shown[j - lag] == labelled[j]
            assert lag == 0 or shown[j] < 0
    assert shown[-1] == shown.max() and labelled[-1] < 0
    assert (labelled >= 0).any()


def test_lag_one_is_the_prompt_of_the_paper():
    shown, labelled = layout(Task(classes=2, length=5))
    assert shown.tolist() == [0, -1, 1, -1, 2]
    assert labelled.tolist() == [-1, 0, -1, 1, -1]


def test_balanced_classes_are_the_default():
    assert Task(classes=4, length=9).weights.tolist() == [0.25] * 4
    assert Task(classes=2, length=9, probabilities=(0.25, 0.75)).weights.tolist() == [0.25, 0.75]


@pytest.mark.parametrize("wrong, name", [
    ({"classes": 1}, "classes"), ({"classes": 401}, "classes"), ({"classes": 2.0}, "classes"),
    ({"length": 400}, "length"), ({"length": 1}, "length"), ({"length": "401"}, "length"),
    ({"lag": -1}, "lag"), ({"lag": 400}, "lag"), ({"lag": 10 ** 9}, "lag"),
    ({"classes": 2, "probabilities": (0.5, 0.6)}, "sum of probabilities"),
    ({"classes": 2, "probabilities": (1.0, 0.0)}, "probabilities"),
    ({"classes": 3, "probabilities": (0.5, 0.5)}, "probabilities"),
    ({"classes": 2, "probabilities": [0.5, 0.5]}, "probabilities"),
])
def test_bad_tasks_are_refused(wrong, name):
    with pytest.raises(RopesimError) as caught:
        Task(**wrong)
    assert caught.value.name == name


def test_a_lag_without_room_for_a_label_is_refused():
    """Inputs at 4, 9 and 14 of 15 tokens, their labels at 16 and later."""
    with pytest.raises(RopesimError, match="labelled input"):
        Task(classes=2, length=15, lag=12)
