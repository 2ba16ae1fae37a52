import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropesim.errors import RopesimError, array, known, number, shown, table, whole

NUMBERS = [(("x", value), {}) for value in (True, np.True_, "1", None, 1j, np.nan, -np.inf, [1.0], 10 ** 400)]
NUMBERS += [(("x", 1.0), {"least": 2}), (("x", 1.0), {"most": 0.5}), (("x", 1.0), {"above": 1})]
WHOLES = [(("x", value), {}) for value in (True, np.False_, 1.0, "1", None, np.nan, Fraction(1))]
WHOLES += [(("x", 1), {"least": 2}), (("x", np.int64(1)), {"most": 0})]
ARRAYS = [("x", ["a"], [None]), ("x", [[1], [1, 2]], [None, None]), ("x", [None], [None]), ("x", [1j], [None]),
          ("x", [10 ** 400], [None]), ("x", [0.0, np.nan], [None]), ("x", [np.inf], [1])]
SHAPES = [(1.0, [None]), ([1.0], []), ([1.0], [2]), ([[1.0]], [None]), (np.zeros((2, 3)), [2, 2])]


def test_an_error_is_a_value_error_that_names_field_value_and_remedy():
    error = RopesimError("lag", -1, "use a whole number from 0 on")
    assert isinstance(error, ValueError)
    assert (error.name, error.value, error.remedy) == ("lag", -1, "use a whole number from 0 on")
    assert str(error) == "lag = -1: use a whole number from 0 on"


def test_an_error_survives_the_way_back_from_a_worker():
    error = RopesimError("lag", -1, "use a whole number from 0 on")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(twin) == str(error) and (twin.name, twin.value, twin.remedy) == (error.name, -1, error.remedy)


@given(st.floats() | st.text() | st.lists(st.integers()) | st.binary())
def test_values_are_shown_on_one_short_line(value):
    assert len(shown(value)) <= 80 and "\n" not in shown(value)


@given(st.text(st.sampled_from("abc"), max_size=100))
def test_only_long_values_are_cut(value):
    text = repr(value)
    assert shown(value) == (text if len(text) <= 80 else text[:77] + "...")


def test_an_integer_that_python_refuses_to_print_is_shown_in_words():
    assert shown(10 ** 5000) == "a number of thousands of digits"


def test_arrays_and_numpy_scalars_are_shown_as_plain_numbers():
    assert shown(np.float64(0.1)) == "0.1" and shown(np.int8(3)) == "3"
    assert shown(np.arange(6).reshape(2, 3)) == "array([[0, 1, 2], [3, 4, 5]])"


@pytest.mark.parametrize("value", [0, -2.5, np.float32(0.5), np.int8(3), Fraction(1, 2)])
def test_every_finite_real_number_is_a_number(value):
    assert number("x", value) == float(value) and type(number("x", value)) is float


@pytest.mark.parametrize("value", [0, -2, np.uint8(3), 10 ** 400])
def test_every_integer_is_a_whole_number(value):
    assert whole("x", value) == int(value) and type(whole("x", value)) is int


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_bounds_include_their_ends_but_above_does_not(value, bound):
    for words, fits in (("least", value >= bound), ("most", value <= bound), ("above", value > bound)):
        if fits:
            assert number("x", value, **{words: bound}) == value
        else:
            with pytest.raises(RopesimError, match="^x = .*: use a number (from|of any size|up to|above)? ?"):
                number("x", value, **{words: bound})


@pytest.mark.parametrize("given, named", NUMBERS)
def test_what_is_no_such_number_is_refused(given, named):
    with pytest.raises(RopesimError, match="^x = .*: use a (finite )?number"):
        number(*given, **named)


@pytest.mark.parametrize("given, named", WHOLES)
def test_what_is_no_such_whole_number_is_refused(given, named):
    with pytest.raises(RopesimError, match="^x = .*: use a whole number "):
        whole(*given, **named)


@pytest.mark.parametrize("bounds, words", [({}, "of any size"), ({"least": 0}, "from 0 on"), ({"most": 3}, "up to 3"),
                                           ({"least": 0, "most": 3}, "from 0 on up to 3")])
def test_the_remedy_names_the_interval(bounds, words):
    with pytest.raises(RopesimError) as refused:
        whole("x", "none", **bounds)
    assert refused.value.remedy == "use a whole number " + words


def test_the_remedy_names_an_open_end():
    with pytest.raises(RopesimError) as refused:
        number("x", 0, above=0, most=2)
    assert refused.value.remedy == "use a number above 0 up to 2"


@pytest.mark.parametrize("given", ARRAYS)
def test_what_is_no_array_of_finite_numbers_is_refused(given):
    with pytest.raises(RopesimError, match="^x = .*: use (an array of real numbers|finite numbers only)$"):
        array(*given)


def test_complex_arrays_are_asked_for_by_name():
    with pytest.raises(RopesimError, match="use an array of complex numbers"):
        array("x", ["a"], [None], np.complex128)
    assert array("x", [1], [None], np.complex128).dtype == np.complex128


@pytest.mark.parametrize("value, shape", SHAPES)
def test_another_shape_is_refused(value, shape):
    with pytest.raises(RopesimError, match=r"^shape of x = \(.*\): use the shape \(.*\)$") as refused:
        array("x", value, shape)
    assert refused.value.value == np.shape(value)


def test_a_free_length_is_called_any():
    with pytest.raises(RopesimError, match=r"use the shape \(any, 3\)"):
        array("x", [1.0], [None, 3])


def test_an_array_that_fits_is_not_copied():
    fits = np.zeros((2, 3))
    assert array("x", fits, [None, 3]) is fits


def test_fields_are_known_or_refused_with_the_nearest_name():
    known("run.", {"seed": 1}, ["seed", "length"])
    with pytest.raises(RopesimError, match=r"run\.sead = 1: unknown field; did you mean seed\?"):
        known("run.", {"sead": 1}, ["seed", "length"])
    with pytest.raises(RopesimError, match="known here: seed, length"):
        known("run.", {"x": 1}, ["seed", "length"])


def test_a_table_is_a_table():
    assert table("run", {"a": 1}) == {"a": 1}
    with pytest.raises(RopesimError, match=r"use a table \[run\]"):
        table("run", [1])


def test_whole_bounds_are_written_out():
    with pytest.raises(RopesimError, match="from 0 on up to 1000000000$"):
        whole("seed", 10 ** 9 + 1, least=0, most=10 ** 9)
    with pytest.raises(RopesimError, match="up to 1e\\+09$"):
        number("scale", 2e9, most=1e9)
