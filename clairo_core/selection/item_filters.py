"""Filter items by attributes: a small language, evaluated to one mask over rows. Start at `allowed_rows`.

Every filter is valid, whatever the items hold. A text is compared as a number by `number_in`, and a number with a text
likewise. A list passes if one of its values does. An item without the attribute, or with a value that is neither the
number nor the time that is asked for, fails every condition on it, and passes the `Not` of each; `warnings_of` reports
both cases.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.attributes import Single
from clairo_core.selection.attribute_columns import AttributeColumn, AttributeColumns
from clairo_core.values.numbers import number_in


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """The attribute has one of these values: texts and booleans compared exactly, numbers as numbers."""

    attribute: str
    values: tuple[Single, ...]

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values to compare as numbers."""
        return tuple(value for value in self.values if not isinstance(value, str | bool))


@dataclass(frozen=True, slots=True)
class StartsWith:
    """The attribute is a category path that begins with this one: Home > Kitchen > Mugs with Home > Kitchen."""

    attribute: str
    path: str


@dataclass(frozen=True, slots=True)
class IsBetween:
    """The attribute is a number within the bounds that are not None, or with `is_time` a time.

    Bounds of times are in seconds since 1970.
    """

    attribute: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    is_time: bool = False

    def measures(self, column: AttributeColumn) -> Float64[np.ndarray, "code"]:
        """What the bounds are compared with."""
        return column.seconds if self.is_time else column.numbers


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


ItemFilter: TypeAlias = IsOneOf | StartsWith | IsBetween | Exists | IsNew | Not | AllOf | AnyOf


def allowed_rows(item_filter: ItemFilter, columns: AttributeColumns, first_new_row: int) -> Bool[np.ndarray, "item"]:
    """Evaluate a filter for every row.

    Args:
        item_filter: of any depth; the caller limits it.
        columns: every item's attributes.
        first_new_row: first of the items added after the bundle was trained.
    """
    match item_filter:
        case Exists(attribute, is_wanted=False):
            return ~allowed_rows(Exists(attribute), columns, first_new_row)
        case IsOneOf() | StartsWith() | IsBetween() | Exists():
            column = columns.find(item_filter.attribute)
            if column is None:
                return np.zeros(len(columns), dtype=np.bool_)
            return columns.rows_where(column, _passing_codes(item_filter, column))
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
    """Say which conditions name an attribute of no item, and which compare values of another kind.

    Each sentence once, in the order of the filter. They depend on the items alone, not on values that items once had.
    """
    return tuple(dict.fromkeys(_warnings(item_filter, columns)))


def _warnings(item_filter: ItemFilter, columns: AttributeColumns) -> Iterator[str]:
    match item_filter:
        case IsOneOf(attribute) | StartsWith(attribute) | IsBetween(attribute) | Exists(attribute):
            column = columns.find(attribute)
            if column is None:
                yield f"no item has an attribute {attribute!r}: the condition matches no item"
            elif isinstance(item_filter, IsBetween):
                kind = "time" if item_filter.is_time else "number"
                yield from _outside(attribute, column, item_filter.measures(column), kind)
            elif isinstance(item_filter, IsOneOf):
                if item_filter.numbers:
                    yield from _outside(attribute, column, column.numbers, "number")
                if any(isinstance(value, bool) for value in item_filter.values):
                    yield from _outside(attribute, column, column.booleans, "boolean")
        case Not(other):
            yield from _warnings(other, columns)
        case AllOf(filters) | AnyOf(filters):
            for part in filters:
                yield from _warnings(part, columns)


def _outside(
    attribute: str, column: AttributeColumn, measures: Float64[np.ndarray, "code"], kind: str
) -> Iterator[str]:
    entries = column.entries_outside(measures)
    if len(entries):
        compared = "true and false" if kind == "boolean" else f"range and {kind}s"
        rows = column.rows[entries]
        first = column.text_of(int(entries[np.argmin(rows)]))[:60]
        yield (
            f"{len(np.unique(rows))} of {len(np.unique(column.rows))} items have an attribute {attribute!r} that is "
            f"not a {kind}, such as {first!r}: {compared} do not match them, and `not` of those does"
        )


def _passing_codes(
    condition: IsOneOf | StartsWith | IsBetween | Exists, column: AttributeColumn
) -> Bool[np.ndarray, "code"]:
    passes = np.zeros(column.num_codes, dtype=np.bool_)
    match condition:
        case IsOneOf(_, values):
            passes[column.codes_of(value for value in values if isinstance(value, str | bool))] = True
            # A text that is a number finds items that have the number.
            passes[column.codes_of(number_in(value) for value in values if isinstance(value, str))] = True
            if condition.numbers:
                passes |= np.isin(column.numbers, np.array(condition.numbers, dtype=np.float64))
        case StartsWith(_, path):
            passes = column.codes_under(path)
        case IsBetween():
            measures = condition.measures(column)
            # NaN, for values that are not numbers or times, is never within bounds.
            passes = ~np.isnan(measures)
            if condition.at_least is not None:
                passes &= measures >= condition.at_least
            if condition.above is not None:
                passes &= measures > condition.above
            if condition.at_most is not None:
                passes &= measures <= condition.at_most
            if condition.below is not None:
                passes &= measures < condition.below
        case Exists():
            passes[:] = True
    return passes
