"""Filters over attributes: worked examples, laws, agreement with a slow twin, and speed."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.attributes import Single, Value, path_parts, singles_of
from clairo_core.selection.attribute_columns import AttributeColumns
from clairo_core.selection.item_filters import (
    AllOf,
    AnyOf,
    Exists,
    IsBetween,
    IsNew,
    IsOneOf,
    ItemFilter,
    Not,
    StartsWith,
    allowed_rows,
    warnings_of,
)
from clairo_core.values.numbers import number_in

SHOP: list[dict[str, Value]] = [
    {"category": "mug", "price": "9.50", "brand": "Acme"},
    {"category": "mug", "price": "$19.50"},
    {"category": "lamp", "price": "on request", "brand": "Lumen"},
    {"category": "shirt", "price": "25"},
    {},
]
FIRST_NEW_ROW = 3
TYPED_SHOP: list[dict[str, Value]] = [
    {"sizes": ("S", "M"), "category": "Home > Kitchen > Mugs", "in_stock": True, "price": 9.5, "since": "2024-05-31"},
    {"sizes": ("M",), "category": "Home > Kitchenware", "in_stock": False, "price": 18, "since": "2024-06-01T12:00Z"},
    {"sizes": (), "category": ("Garden", "Home>Kitchen"), "in_stock": "true", "price": "18.00", "since": "soon"},
]
JUNE = 1_717_200_000


def passing(item_filter: ItemFilter, shop: Sequence[Mapping[str, Value]] = SHOP) -> list[int]:
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


@pytest.mark.parametrize(
    ("item_filter", "rows"),
    [
        (Exists("colour"), []),
        (Exists("colour", False), [0, 1, 2, 3, 4]),
        (IsOneOf("colour", ("red", 3)), []),
        (IsBetween("colour", at_least=3), []),
        (AllOf((Exists("brand"), Not(Exists("colour")))), [0, 2]),
    ],
)
def test_a_condition_on_an_unknown_attribute_matches_nothing_and_one_warning_says_so(
    item_filter: ItemFilter, rows: list[int]
) -> None:
    assert passing(item_filter) == rows
    (warning,) = warnings_of(item_filter, AttributeColumns(SHOP))
    assert warning == "no item has an attribute 'colour': the condition matches no item"


@pytest.mark.parametrize(
    ("item_filter", "rows"),
    [
        (IsOneOf("sizes", ("M",)), [0, 1]),
        (IsOneOf("sizes", ("S", "L")), [0]),
        (Exists("sizes"), [0, 1]),
        (StartsWith("category", "Home > Kitchen"), [0, 2]),
        (StartsWith("category", "Home>Kitchen>Mugs>Big"), []),
        (IsOneOf("in_stock", (True,)), [0]),
        (IsOneOf("in_stock", (1,)), []),
        (IsOneOf("in_stock", ("true",)), [2]),
        (IsOneOf("price", (18,)), [1, 2]),
        (IsOneOf("price", ("18.00",)), [1, 2]),
        (IsBetween("price", below=10), [0]),
        (IsBetween("since", at_least=JUNE, is_time=True), [1]),
    ],
)
def test_a_condition_reads_values_by_their_type(item_filter: ItemFilter, rows: list[int]) -> None:
    assert passing(item_filter, TYPED_SHOP) == rows


def test_values_that_are_no_times_are_counted_in_a_warning() -> None:
    (warning,) = warnings_of(IsBetween("since", above=JUNE, is_time=True), AttributeColumns(TYPED_SHOP))
    assert warning.startswith("1 of 3 items have an attribute 'since' that is not a time, such as 'soon'")


def test_values_that_are_not_numbers_are_counted_in_a_warning_wherever_numbers_are_compared() -> None:
    columns = AttributeColumns(SHOP)
    dear = IsBetween("price", at_least=20)
    for item_filter in (dear, Not(dear), AnyOf((Exists("brand"), dear, dear)), IsOneOf("price", ("x", 3))):
        (warning,) = warnings_of(item_filter, columns)
        assert warning.startswith("1 of 4 items have an attribute 'price' that is not a number, such as 'on request'")
    assert warnings_of(IsOneOf("price", ("on request",)), columns) == ()
    assert passing(Not(dear)) == [0, 1, 2, 4]


def test_values_that_are_not_booleans_are_counted_in_a_warning_where_booleans_are_compared() -> None:
    columns = AttributeColumns([{"available": "ja"}, {"available": "nein"}, {"available": True}])
    for item_filter in (IsOneOf("available", (True,)), Not(IsOneOf("available", ("ja", False)))):
        (warning,) = warnings_of(item_filter, columns)
        assert warning == (
            "2 of 3 items have an attribute 'available' that is not a boolean, such as 'ja': true and false do not "
            "match them, and `not` of those does"
        )
    assert warnings_of(IsOneOf("available", ("ja",)), columns) == ()


def test_prices_of_any_format_are_compared_as_numbers() -> None:
    prices = ["12.50", "$8.00", "$1,299.00", "15.00 €", "9,90 €", "1.234,56 €", "USD 20", "₹499", "CHF 30"]
    shop = [{"price": price} for price in prices]
    assert passing(IsBetween("price", at_least=1000), shop) == [2, 5]
    assert passing(Not(IsBetween("price", at_least=1000)), shop) == [0, 1, 3, 4, 6, 7, 8]
    assert warnings_of(IsBetween("price", at_least=1000), AttributeColumns(shop)) == ()


@pytest.mark.parametrize("blank", ["", " ", "nan", "NaN"])
def test_a_missing_value_is_the_same_as_no_attribute(blank: str) -> None:
    shop = [{"price": blank}, {"price": "3"}]
    assert passing(Exists("price"), shop) == [1]
    assert warnings_of(IsBetween("price", at_least=2), AttributeColumns(shop)) == ()


def test_a_filter_means_the_same_whatever_the_items_held_before() -> None:
    fresh = AttributeColumns(SHOP)
    first: dict[str, Value] = {"price": "words", "soldout": "yes", "category": "3"}
    second: dict[str, Value] = {"price": "more words", "soldout": "no"}
    with_a_past = AttributeColumns([first] * len(SHOP))
    for row, attributes in enumerate(SHOP):
        with_a_past.replace({row: (first, second)})
        with_a_past.replace({row: (second, attributes)})
    for item_filter in (Exists("soldout"), Not(IsBetween("price", below=15)), IsOneOf("category", ("mug", 3))):
        assert np.array_equal(allowed_rows(item_filter, with_a_past, 3), allowed_rows(item_filter, fresh, 3))
        assert warnings_of(item_filter, with_a_past) == warnings_of(item_filter, fresh)


texts = st.sampled_from(["x", "y", "1", "2", "2.0", "$3", "x > y", ""])
values = texts | st.sampled_from([1, 2.0, True]) | st.lists(texts, max_size=3, unique=True).map(tuple)
attributes = st.dictionaries(st.sampled_from("abc"), values, max_size=3)
conditions = st.one_of(
    st.builds(
        IsOneOf, st.sampled_from("abc"), st.lists(st.sampled_from(["x", "1", 2, 3.0, True]), max_size=3).map(tuple)
    ),
    st.builds(IsBetween, st.sampled_from("abc"), at_least=st.none() | st.integers(0, 3), below=st.integers(0, 4)),
    st.builds(StartsWith, st.sampled_from("abc"), st.sampled_from(["x", "x>y", "1"])),
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


def passes(item_filter: ItemFilter, row: int, item: Mapping[str, Value]) -> bool:  # noqa: PLR0911
    """The slow, readable twin: one item at a time."""
    match item_filter:
        case IsOneOf(attribute, values):
            return any(is_alike(value, wanted) for value in singles_of(item.get(attribute, "")) for wanted in values)
        case IsBetween(attribute):
            low = -np.inf if item_filter.at_least is None else item_filter.at_least
            high = np.inf if item_filter.below is None else item_filter.below
            return any(low <= number_of(value) < high for value in singles_of(item.get(attribute, "")))
        case StartsWith(attribute, path):
            wanted = path_parts(path)
            found = [value for value in singles_of(item.get(attribute, "")) if isinstance(value, str)]
            return any(path_parts(value)[: len(wanted)] == wanted for value in found)
        case Exists(attribute, is_wanted):
            return bool(singles_of(item.get(attribute, ""))) == is_wanted
        case IsNew(is_wanted):
            return (row >= FIRST_NEW_ROW) == is_wanted
        case Not(other):
            return not passes(other, row, item)
        case AllOf(parts):
            return all(passes(part, row, item) for part in parts)
        case AnyOf(parts):
            return any(passes(part, row, item) for part in parts)


def is_alike(value: Single, wanted: Single) -> bool:
    if isinstance(wanted, str) and isinstance(value, str):
        return value == wanted
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    return number_of(value) == number_of(wanted)


def number_of(value: Single) -> float:
    if isinstance(value, bool):
        return np.nan
    return number_in(value) if isinstance(value, str) else value


@given(st.lists(attributes, max_size=12), filters, st.dictionaries(st.integers(0, 11), attributes, max_size=8))
def test_the_mask_agrees_with_evaluating_item_by_item(
    shop: list[dict[str, Value]], item_filter: ItemFilter, changes: dict[int, dict[str, Value]]
) -> None:
    columns = AttributeColumns(shop)
    changed = {row: attributes for row, attributes in changes.items() if row < len(shop)}
    columns.replace({row: (shop[row], attributes) for row, attributes in changed.items()})
    for row, attributes in changed.items():
        shop[row] = attributes
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
