"""Check filters against declared types of attributes: independent of what the catalogue holds."""

import math
from collections.abc import Iterator, Mapping

from clairo_core.attributes import EXPECTED, AttributeType, Single
from clairo_core.selection.item_filters import AllOf, AnyOf, IsBetween, IsOneOf, ItemFilter, Not, StartsWith
from clairo_core.values.numbers import number_in
from service.errors import InvalidBodyError

_RANGES = {
    AttributeType.NUMBER: "numbers",
    AttributeType.TEXT: "numbers or dates",
    AttributeType.LIST: "numbers or dates",
    AttributeType.DATE: "dates",
}
"""Bounds that a range of a type may have; other types have no ranges."""
_PATHS = (AttributeType.PATH, AttributeType.TEXT, AttributeType.LIST)


def check_filter(item_filter: ItemFilter, declared: Mapping[str, AttributeType]) -> ItemFilter:
    """Return the filter, if each condition on a declared attribute can fit its type.

    Raises:
        InvalidBodyError: one cannot.
    """
    if reasons := list(dict.fromkeys(_misfits(item_filter, declared))):
        raise InvalidBodyError(reasons[0], [{"loc": ["filter"], "msg": reason} for reason in reasons])
    return item_filter


def _misfits(item_filter: ItemFilter, declared: Mapping[str, AttributeType]) -> Iterator[str]:
    match item_filter:
        case Not(other):
            yield from _misfits(other, declared)
        case AllOf(filters) | AnyOf(filters):
            for part in filters:
                yield from _misfits(part, declared)
        case IsOneOf(attribute) | IsBetween(attribute) | StartsWith(attribute) if attribute in declared:
            if reason := _misfit(item_filter, declared[attribute]):
                yield f"attribute {attribute!r} is declared as {EXPECTED[declared[attribute]]}: {reason}"


def _misfit(condition: IsOneOf | IsBetween | StartsWith, declared: AttributeType) -> str:
    """Why a condition cannot fit a type; empty if it can."""
    match condition:
        case IsBetween(is_time=is_time):
            kind = "dates" if is_time else "numbers"
            expected = _RANGES.get(declared)
            if expected is None:
                return "got range, which it has no order for; use equals or in"
            return "" if kind in expected else f"got a range of {kind}, expected one of {expected}"
        case StartsWith():
            return "" if declared in _PATHS else "got starts_with, which is for category paths; use equals or in"
        case IsOneOf(_, values):
            wrong = next((value for value in values if not _may_equal(value, declared)), None)
            return "" if wrong is None else f"got {wrong!r}, expected {_singles(declared)}"


def _singles(declared: AttributeType) -> str:
    return "texts" if declared is AttributeType.LIST else EXPECTED[declared]


def _may_equal(value: Single, declared: AttributeType) -> bool:
    if isinstance(value, bool) or declared is AttributeType.BOOLEAN:
        return isinstance(value, bool) and declared is AttributeType.BOOLEAN
    if declared is AttributeType.NUMBER:
        return not isinstance(value, str) or not math.isnan(number_in(value))
    # Texts may be compared as numbers.
    return isinstance(value, str) or declared in (AttributeType.TEXT, AttributeType.LIST)
