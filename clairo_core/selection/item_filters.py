"""Filter items by attributes: a small language, evaluated to one mask over rows. Start at `allowed_rows`.

Every filter is valid, whatever the items hold. Attributes are text, compared as numbers by `number_in`. An item without
the attribute, or with a value that is not a number, fails every condition on it, and passes the `Not` of each;
`warnings_of` reports both cases.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from clairo_core.selection.attribute_columns import AttributeColumns

Value: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """The attribute has one of these values: text compared exactly, numbers as numbers."""

    attribute: str
    values: tuple[Value, ...]

    @property
    def numbers(self) -> tuple[int | float, ...]:
        """The values to compare as numbers."""
        return tuple(value for value in self.values if not isinstance(value, str))


@dataclass(frozen=True, slots=True)
class IsBetween:
    """The attribute is a number within the bounds that are not None."""

    attribute: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The item has the attribute, or lacks it if `is_wanted` is false."""

    attribute: str
    is_wanted: bool = True


@dataclass(frozen=True, slots=True)
class IsNew:
    """The item was added after the bundle was trained, or was not if `is_wanted` is false."""

    is_wanted: bool = True


@dataclass(frozen=True, slots=True)
class Not:
    """The item fails the other filter."""

    other: "ItemFilter"


@dataclass(frozen=True, slots=True)
class AllOf:
    """The item passes every filter; an empty list passes all."""

    filters: tuple["ItemFilter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The item passes at least one filter; an empty list passes none."""

    filters: tuple["ItemFilter", ...]


ItemFilter: TypeAlias = IsOneOf | IsBetween | Exists | IsNew | Not | AllOf | AnyOf


def allowed_rows(item_filter: ItemFilter, columns: AttributeColumns, first_new_row: int) -> Bool[np.ndarray, "item"]:
    """Evaluate a filter for every row.

    Args:
        item_filter: of any depth; the caller limits it.
        columns: every item's attributes.
        first_new_row: first of the items added after the bundle was trained.
    """
    match item_filter:
        case IsOneOf():
            return _one_of(item_filter, columns)
        case IsBetween():
            return _between(item_filter, columns)
        case Exists(attribute, is_wanted):
            column = columns.find(attribute)
            has_it = np.zeros(len(columns), dtype=np.bool_)
            if column is not None:
                has_it[column.rows] = True
            return has_it if is_wanted else ~has_it
        case IsNew(is_wanted):
            return np.asarray((np.arange(len(columns)) >= first_new_row) == is_wanted)
        case Not(other):
            return ~allowed_rows(other, columns, first_new_row)
        case AllOf(filters) | AnyOf(filters):
            is_all = isinstance(item_filter, AllOf)
            is_allowed = np.full(len(columns), is_all)
            for part in filters:
                passes = allowed_rows(part, columns, first_new_row)
                is_allowed = is_allowed & passes if is_all else is_allowed | passes
            return is_allowed


def warnings_of(item_filter: ItemFilter, columns: AttributeColumns) -> tuple[str, ...]:
    """Say which conditions name an attribute of no item, and which compare values that are not numbers with numbers.

    Each sentence once, in the order of the filter. They depend on the items alone, not on values that items once had.
    """
    return tuple(dict.fromkeys(_warnings(item_filter, columns)))


def _warnings(item_filter: ItemFilter, columns: AttributeColumns) -> Iterator[str]:
    match item_filter:
        case IsOneOf(attribute) | IsBetween(attribute) | Exists(attribute):
            column = columns.find(attribute)
            if column is None:
                yield f"no item has an attribute {attribute!r}: the condition matches no item"
            elif isinstance(item_filter, IsBetween) or (isinstance(item_filter, IsOneOf) and item_filter.numbers):
                unreadable = column.unreadable_rows()
                if len(unreadable):
                    yield (
                        f"{len(unreadable)} of {len(column)} items have an attribute {attribute!r} that is not a "
                        f"number, such as {column.value_of(int(unreadable.min()))[:60]!r}: range and numbers do not "
                        "match them, and `not` of those does"
                    )
        case Not(other):
            yield from _warnings(other, columns)
        case AllOf(filters) | AnyOf(filters):
            for part in filters:
                yield from _warnings(part, columns)


def _one_of(item_filter: IsOneOf, columns: AttributeColumns) -> Bool[np.ndarray, "item"]:
    column = columns.find(item_filter.attribute)
    if column is None:
        return np.zeros(len(columns), dtype=np.bool_)
    passes = np.zeros(len(column.numbers), dtype=np.bool_)
    passes[column.codes_of(value for value in item_filter.values if isinstance(value, str))] = True
    if item_filter.numbers:
        passes |= np.isin(column.numbers, np.array(item_filter.numbers, dtype=np.float64))
    return columns.rows_where(column, passes)


def _between(item_filter: IsBetween, columns: AttributeColumns) -> Bool[np.ndarray, "item"]:
    column = columns.find(item_filter.attribute)
    if column is None:
        return np.zeros(len(columns), dtype=np.bool_)
    numbers = column.numbers
    # NaN, for values that are not numbers, is never within bounds.
    passes = ~np.isnan(numbers)
    if item_filter.at_least is not None:
        passes &= numbers >= item_filter.at_least
    if item_filter.above is not None:
        passes &= numbers > item_filter.above
    if item_filter.at_most is not None:
        passes &= numbers <= item_filter.at_most
    if item_filter.below is not None:
        passes &= numbers < item_filter.below
    return columns.rows_where(column, passes)
