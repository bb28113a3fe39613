"""Filters over attributes: worked examples, laws, agreement with a slow twin, and speed."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import ItemFilterError
from clairo_core.selection.attribute_columns import AttributeColumns, number_in
from clairo_core.selection.item_filters import (
    AllOf,
    AnyOf,
    Exists,
    IsBetween,
    IsNew,
    IsOneOf,
    ItemFilter,
    Not,
    allowed_rows,
)

SHOP = [
    {"category": "mug", "price": "9.50", "brand": "Acme"},
    {"category": "mug", "price": "$19.50"},
    {"category": "lamp", "price": "on request", "brand": "Lumen"},
    {"category": "shirt", "price": "25"},
    {},
]
FIRST_NEW_ROW = 3


def passing(item_filter: ItemFilter, shop: Sequence[Mapping[str, str]] = SHOP) -> list[int]:
    return np.flatnonzero(allowed_rows(item_filter, AttributeColumns(shop), FIRST_NEW_ROW)).tolist()


@pytest.mark.parametrize(
    ("item_filter", "rows"),
    [
        (IsOneOf("category", ("mug",)), [0, 1]),
        (IsOneOf("category", ("mug", "shirt", "boat")), [0, 1, 3]),
        (IsOneOf("price", (25,)), [3]),
        (IsOneOf("price", ("25", 19.5)), [1, 3]),
        (IsOneOf("category", ()), []),
        (IsBetween("price", at_least=9.5, below=25), [0, 1]),
        (IsBetween("price", above=9.5, at_most=25), [1, 3]),
        (IsBetween("price"), [0, 1, 3]),
        (Exists("brand"), [0, 2]),
        (Exists("brand", False), [1, 3, 4]),
        (IsNew(), [3, 4]),
        (IsNew(False), [0, 1, 2]),
        (Not(IsOneOf("category", ("mug",))), [2, 3, 4]),
        (AllOf((IsOneOf("category", ("mug",)), Exists("brand"))), [0]),
        (AnyOf((IsOneOf("category", ("lamp",)), IsNew())), [2, 3, 4]),
        (AllOf(()), [0, 1, 2, 3, 4]),
        (AnyOf(()), []),
    ],
)
def test_a_filter_passes_these_rows(item_filter: ItemFilter, rows: list[int]) -> None:
    assert passing(item_filter) == rows


def test_an_unknown_attribute_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ItemFilterError, match="'colour'; known attributes: category, price, brand") as error:
        passing(AllOf((Exists("brand"), Not(Exists("colour")))))
    assert error.value.path == ("all_of", 1, "not", "attribute")


def test_words_are_not_compared_with_numbers() -> None:
    with pytest.raises(ItemFilterError, match="holds words such as 'mug'") as error:
        passing(AnyOf((IsBetween("category", at_least=3),)))
    assert error.value.path == ("any_of", 0, "range")
    with pytest.raises(ItemFilterError, match="the number 3") as error:
        passing(IsOneOf("category", (3,), operator="equals"))
    assert error.value.path == ("equals",)


def test_without_any_attribute_the_error_states_it() -> None:
    with pytest.raises(ItemFilterError, match="have no attributes"):
        passing(Exists("brand"), [{}])


@pytest.mark.parametrize("value", ["", "a dozen", "1e400", "nan", "inf", "1_000", "12 EUR", "٣", "--1", "."])
def test_a_value_that_is_not_a_number_is_nan(value: str) -> None:
    assert np.isnan(number_in(value))


@pytest.mark.parametrize(("value", "number"), [("12", 12), (" 1.5 ", 1.5), ("$3", 3), ("€ .5", 0.5), ("-2e1", -20)])
def test_a_number_is_parsed_with_or_without_currency(value: str, number: float) -> None:
    assert number_in(value) == number


attributes = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y", "1", "2", "2.0", "3"]), max_size=3)
conditions = st.one_of(
    st.builds(IsOneOf, st.sampled_from("abc"), st.lists(st.sampled_from(["x", "1", 2, 3.0]), max_size=3).map(tuple)),
    st.builds(IsBetween, st.sampled_from("abc"), at_least=st.none() | st.integers(0, 3), below=st.integers(0, 4)),
    st.builds(Exists, st.sampled_from("abc"), st.booleans()),
    st.builds(IsNew, st.booleans()),
)
filters = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def passes(item_filter: ItemFilter, row: int, item: Mapping[str, str]) -> bool:  # noqa: PLR0911
    """The slow, readable twin: one item at a time."""
    match item_filter:
        case IsOneOf(attribute, values):
            value = item.get(attribute)
            return value is not None and any(
                value == wanted if isinstance(wanted, str) else number_in(value) == wanted for wanted in values
            )
        case IsBetween(attribute):
            number = number_in(item.get(attribute, ""))
            low = -np.inf if item_filter.at_least is None else item_filter.at_least
            high = np.inf if item_filter.below is None else item_filter.below
            return bool(low <= number < high)
        case Exists(attribute, is_wanted):
            return (attribute in item) == is_wanted
        case IsNew(is_wanted):
            return (row >= FIRST_NEW_ROW) == is_wanted
        case Not(other):
            return not passes(other, row, item)
        case AllOf(parts):
            return all(passes(part, row, item) for part in parts)
        case AnyOf(parts):
            return any(passes(part, row, item) for part in parts)


@given(st.lists(attributes, max_size=12), filters, st.dictionaries(st.integers(0, 11), attributes, max_size=4))
def test_the_mask_agrees_with_evaluating_item_by_item(
    shop: list[dict[str, str]], item_filter: ItemFilter, changes: dict[int, dict[str, str]]
) -> None:
    # Every attribute and type occurs, so no condition is refused.
    shop = [*shop, {"a": "1", "b": "1", "c": "1"}, {"a": "2", "b": "2", "c": "2"}, {"a": "2.0", "b": "3", "c": "3"}]
    columns = AttributeColumns(shop)
    for row, changed in changes.items():
        if row < len(shop) - 3:
            columns.replace(row, changed)
            shop[row] = changed
    expected = [passes(item_filter, row, item) for row, item in enumerate(shop)]
    assert allowed_rows(item_filter, columns, FIRST_NEW_ROW).tolist() == expected


def test_memory_grows_with_given_values_not_with_attribute_names() -> None:
    columns = AttributeColumns({f"name-{row}": "x", f"other-{row}": "y"} for row in range(5000))
    assert passing_of(columns, Exists("name-4999")) == [4999]


def passing_of(columns: AttributeColumns, item_filter: ItemFilter) -> list[int]:
    return np.flatnonzero(allowed_rows(item_filter, columns, 0)).tolist()


def test_a_hundred_thousand_items_are_masked_within_five_milliseconds() -> None:
    random = np.random.default_rng(0)
    categories, brands = random.integers(50, size=100_000), random.integers(2000, size=100_000)
    prices = random.integers(100, 10_000, size=100_000) / 100
    columns = AttributeColumns(
        {"category": f"category {category}", "brand": f"brand {brand}", "price": f"{price:.2f}"}
        for category, brand, price in zip(categories.tolist(), brands.tolist(), prices.tolist(), strict=True)
    )
    item_filter = AllOf(
        (
            IsOneOf("category", ("category 3", "category 7")),
            IsBetween("price", at_least=10, at_most=40),
            Not(IsOneOf("brand", ("brand 12",))),
        )
    )
    expected = np.isin(categories, [3, 7]) & (prices >= 10) & (prices <= 40) & (brands != 12)
    assert np.array_equal(allowed_rows(item_filter, columns, 0), expected)
    seconds = []
    for _ in range(15):
        started_at = time.perf_counter()
        allowed_rows(item_filter, columns, 0)
        seconds.append(time.perf_counter() - started_at)
    assert min(seconds) < 0.005
