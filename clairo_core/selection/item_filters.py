"""Filter items by attributes: a small language, evaluated to one mask over rows. Start at `allowed_rows`.

Attributes are text. An attribute whose values are mostly numbers can be compared as numbers. An item without the
attribute, or with a value that is not a number, fails every condition on it, and passes the `Not` of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from clairo_core.errors import ItemFilterError
from clairo_core.selection.attribute_columns import AttributeColumn, AttributeColumns

MAX_NAMES_LISTED = 20

Value: TypeAlias = str | int | float
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """The attribute has one of these values: text compared exactly, numbers as numbers."""

    attribute: str
    values: tuple[Value, ...]
    operator: str = "in"
    """`in` or `equals`; names the place of an error."""


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


def allowed_rows(
    item_filter: ItemFilter, columns: AttributeColumns, first_new_row: int, path: Path = ()
) -> Bool[np.ndarray, "item"]:
    """Evaluate a filter for every row.

    Args:
        item_filter: of any depth; the caller limits it.
        columns: every item's attributes.
        first_new_row: first of the items added after the bundle was trained.
        path: of the filter within the outermost one, for errors.

    Raises:
        ItemFilterError: no item has an attribute, or a number is compared with an attribute of words.
    """
    match item_filter:
        case IsOneOf():
            return _one_of(item_filter, columns, path)
        case IsBetween():
            return _between(item_filter, columns, path)
        case Exists(attribute, is_wanted):
            column = _column(columns, attribute, path)
            has_it = columns.rows_where(column, np.ones(len(column.numbers), dtype=np.bool_))
            return has_it if is_wanted else ~has_it
        case IsNew(is_wanted):
            return np.asarray((np.arange(len(columns)) >= first_new_row) == is_wanted)
        case Not(other):
            return ~allowed_rows(other, columns, first_new_row, (*path, "not"))
        case AllOf(filters) | AnyOf(filters):
            is_all = isinstance(item_filter, AllOf)
            is_allowed = np.full(len(columns), is_all)
            for place, part in enumerate(filters):
                where = (*path, "all_of" if is_all else "any_of", place)
                passes = allowed_rows(part, columns, first_new_row, where)
                is_allowed = is_allowed & passes if is_all else is_allowed | passes
            return is_allowed


def _one_of(item_filter: IsOneOf, columns: AttributeColumns, path: Path) -> Bool[np.ndarray, "item"]:
    column = _column(columns, item_filter.attribute, path)
    passes = np.zeros(len(column.numbers), dtype=np.bool_)
    passes[column.codes_of(value for value in item_filter.values if isinstance(value, str))] = True
    numbers = [value for value in item_filter.values if not isinstance(value, str)]
    if numbers:
        _check_holds_numbers(column, item_filter.attribute, numbers[0], (*path, item_filter.operator))
        passes |= np.isin(column.numbers, np.array(numbers, dtype=np.float64))
    return columns.rows_where(column, passes)


def _between(item_filter: IsBetween, columns: AttributeColumns, path: Path) -> Bool[np.ndarray, "item"]:
    column = _column(columns, item_filter.attribute, path)
    bounds = (item_filter.at_least, item_filter.above, item_filter.at_most, item_filter.below)
    shown = next((bound for bound in bounds if bound is not None), 0.0)
    _check_holds_numbers(column, item_filter.attribute, shown, (*path, "range"))
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


def _column(columns: AttributeColumns, attribute: str, path: Path) -> AttributeColumn:
    column = columns.find(attribute)
    if column is None:
        raise ItemFilterError(f"no item has an attribute {attribute!r}; {_known(columns.names)}", (*path, "attribute"))
    return column


def _check_holds_numbers(column: AttributeColumn, attribute: str, number: Value, path: Path) -> None:
    if not column.holds_numbers:
        raise ItemFilterError(
            f"attribute {attribute!r} holds words such as {column.an_example[:60]!r}, got the number {number}; "
            "compare it with text, by equals or in",
            path,
        )


def _known(names: Sequence[str]) -> str:
    if not names:
        return "the catalogue's items have no attributes"
    more = f" and {len(names) - MAX_NAMES_LISTED} more" if len(names) > MAX_NAMES_LISTED else ""
    return f"known attributes: {', '.join(name[:60] for name in names[:MAX_NAMES_LISTED])}{more}"
