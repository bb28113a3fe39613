"""Filters are checked against declared types, and against nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.attributes import AttributeType
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
)
from service.errors import InvalidBodyError
from service.schemas.filter_types import check_filter

T = AttributeType
VALUES = st.lists(st.sampled_from(["Fjord", "18", 18.0, True]), max_size=3).map(tuple)
CONDITIONS = st.one_of(
    st.builds(IsOneOf, st.just("a"), VALUES),
    st.builds(IsBetween, st.just("a"), at_least=st.just(1.0), is_time=st.booleans()),
    st.builds(StartsWith, st.just("a"), st.just("Home")),
    st.builds(Exists, st.just("a")),
    st.builds(IsNew),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(FILTERS)
def test_every_filter_is_valid_without_a_declaration_of_its_attribute(item_filter: ItemFilter) -> None:
    assert check_filter(item_filter, {"another": T.BOOLEAN}) is item_filter


@given(FILTERS, st.sampled_from(T))
def test_a_filter_is_valid_if_each_of_its_conditions_is(item_filter: ItemFilter, declared: AttributeType) -> None:
    fits = [_fits(condition, declared) for condition in _conditions(item_filter)]
    assert _fits(item_filter, declared) == all(fits)


@pytest.mark.parametrize(
    ("declared", "number_range", "time_range", "path", "text", "number", "boolean"),
    [
        (T.TEXT, True, True, True, True, True, False),
        (T.NUMBER, True, False, False, False, True, False),
        (T.BOOLEAN, False, False, False, False, False, True),
        (T.DATE, False, True, False, True, False, False),
        (T.LIST, True, True, True, True, True, False),
        (T.PATH, False, False, True, True, False, False),
    ],
)
def test_each_type_takes_the_conditions_that_can_match_it(
    declared: AttributeType, number_range: bool, time_range: bool, path: bool, text: bool, number: bool, boolean: bool
) -> None:
    assert _fits(IsBetween("a", at_least=1.0), declared) == number_range
    assert _fits(IsBetween("a", at_least=1.0, is_time=True), declared) == time_range
    assert _fits(StartsWith("a", "Home"), declared) == path
    assert _fits(IsOneOf("a", ("Fjord",)), declared) == text
    assert _fits(IsOneOf("a", (18.0,)), declared) == number
    assert _fits(IsOneOf("a", (True,)), declared) == boolean
    assert _fits(Exists("a"), declared)


def _fits(item_filter: ItemFilter, declared: AttributeType) -> bool:
    try:
        check_filter(item_filter, {"a": declared})
    except InvalidBodyError:
        return False
    return True


def _conditions(item_filter: ItemFilter) -> list[ItemFilter]:
    match item_filter:
        case Not(other):
            return _conditions(other)
        case AllOf(parts) | AnyOf(parts):
            return [condition for part in parts for condition in _conditions(part)]
        case _:
            return [item_filter]
