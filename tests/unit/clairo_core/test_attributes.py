"""Values of attributes: read from texts and JSON, and written as both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.attributes import AttributeType, Value, as_json, as_type, from_json, read_text, texts_of

words = st.text("abcÄ €", min_size=1).filter(str.strip).map(str.strip)
floats = st.floats(allow_nan=False, allow_infinity=False)
values = words | floats | st.booleans() | st.lists(words, max_size=4).map(tuple)


@given(st.dictionaries(words, values))
def test_attributes_are_the_same_after_a_round_through_json(attributes: dict[str, Value]) -> None:
    assert from_json(as_json(attributes)) == attributes


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("1.234,56 €", "number", 1234.56),
        ("yes", "boolean", True),
        ("31.05.2024", "date", "31.05.2024"),
        (" S,M, ,", "list", ("S", "M")),
        ("Home>Kitchen > Mugs", "path", "Home > Kitchen > Mugs"),
        (" as it is ", "text", " as it is "),
    ],
)
def test_a_text_is_read_as_its_type(text: str, wanted: str, value: Value) -> None:
    assert read_text(text, AttributeType(wanted)) == value


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("a dozen", "number", "a number"),
        ("maybe", "boolean", "true or false, yes or no, 1 or 0"),
        ("soon", "date", "a date and time"),
        ("Home > > Mugs", "path", "a category path"),
    ],
)
def test_a_text_of_another_type_is_refused_with_what_is_expected(text: str, wanted: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^expected {expected}"):
        read_text(text, AttributeType(wanted))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(18, "text"), ("18", "number"), (1, "boolean"), (True, "number"), ("S", "list"), ([1], "list"), (["S"], "path")],
)
def test_a_value_from_json_is_not_turned_into_another_type(value: object, wanted: str) -> None:
    with pytest.raises(ValueError, match=r"^expected"):
        as_type(value, AttributeType(wanted))


def test_equal_numbers_have_one_form_and_are_written_without_needless_digits() -> None:
    assert repr(as_type(18, AttributeType.NUMBER)) == repr(as_type(18.0, AttributeType.NUMBER))
    assert texts_of(18.0) + texts_of(0.1) + texts_of(False) + texts_of(("S",)) == ("18", "0.1", "false", "S")
