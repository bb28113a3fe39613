"""Turn columns of event names and values into the declared type of every row. Start at `read_types`.

Means the same as `InteractionRules.type_of`, for all rows at once.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int32

from clairo_core.events import BUILT_IN, InteractionRules
from training.datasets.columns.arrow_columns import (
    first_unlike,
    is_text,
    plain_column,
    refuse_where,
    without_missing_text,
)
from training.datasets.tables.table_files import SourceTable

NO_TYPE = -1
"""The code of a row that no rule fits."""
UNNAMED = "interaction"
"""The type of rows of a table without types, beside tables with them."""


@dataclass(frozen=True, slots=True, eq=False)
class RowTypes:
    """The type of each row."""

    names: tuple[str, ...]
    codes: Int32[np.ndarray, "row"]
    """Places in `names`, or `NO_TYPE`."""

    def counts(self) -> dict[str, int]:
        """How many rows each type has, without types that have none."""
        numbers = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names)).tolist()
        return {name: number for name, number in zip(self.names, numbers, strict=True) if number}

    def without(self, names: Collection[str]) -> "RowTypes":
        """These types taken from their rows."""
        is_taken = np.array([name in names for name in self.names] + [True])
        return RowTypes(self.names, np.where(is_taken[self.codes], NO_TYPE, self.codes).astype(np.int32))


def read_types(
    source: SourceTable, type_field: str | None, event: str | None, value_field: str | None, rules: InteractionRules
) -> RowTypes:
    """Find each row's type.

    Args:
        source: the table.
        type_field: column of names, or None.
        event: the name of all rows, where there is no such column.
        value_field: column that conditions read; None if the table lacks it.
        rules: may declare no type; names are then types as they are.

    Raises:
        RowError: a name is missing or not declared, or a value is not a number.
    """
    given = _named(source, type_field, event)
    values = np.full(len(source), np.nan) if value_field is None else _values(source, value_field)
    if not rules.types:
        if type_field is not None:
            refuse_where(source, type_field, pa.array(given.codes < 0), _MISSING)
        return given if given.names else RowTypes((UNNAMED,), np.zeros(len(source), dtype=np.int32))
    names = (*rules.types, *(name for name in BUILT_IN if name not in rules.types))
    # The last place is for rows without a name, whose code is -1.
    place_of = np.array([names.index(name) if name in names else NO_TYPE for name in given.names] + [NO_TYPE])
    codes = place_of[given.codes].astype(np.int32)
    is_declared = (codes >= 0) & (codes < len(rules.types))
    by_value = codes.copy()
    for place, one in reversed(list(enumerate(rules.types.values()))):
        if one.when is not None:
            holds = one.when.where(values)
            by_value[~is_declared & holds] = place
            by_value[(codes == place) & ~holds] = NO_TYPE
    if type_field is not None:
        _refuse_undeclared(source, type_field, given, (codes < 0) & (by_value < 0) & np.isnan(values))
    return RowTypes(names, by_value)


_MISSING = "the type is missing; fill it in, or leave out the row"


def _refuse_undeclared(
    source: SourceTable, field: str, given: RowTypes, is_undeclared: Bool[np.ndarray, "row"]
) -> None:
    if is_undeclared.any():
        # All rows of one type; a check reads on without them.
        code = given.codes[int(np.argmax(is_undeclared))]
        problem = _MISSING
        if code >= 0:
            name = given.names[code]
            problem = f'type {name!r} is not declared; declare it in [events], or as "ignored": "{name}" = "ignored"'
        raise source.error(np.flatnonzero(is_undeclared & (given.codes == code)), field, problem)


def _named(source: SourceTable, type_field: str | None, event: str | None) -> RowTypes:
    """The names as given."""
    if type_field is None:
        code = NO_TYPE if event is None else 0
        return RowTypes(() if event is None else (event,), np.full(len(source), code, dtype=np.int32))
    column = plain_column(source, type_field)
    if not (is_text(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise source.column_error(
            type_field, f"the column is {column.type}, expected names of types as text; name another column"
        )
    texts = without_missing_text(pc.utf8_trim_whitespace(column.cast(pa.large_string()))).dictionary_encode()
    return RowTypes(tuple(texts.dictionary.to_pylist()), texts.indices.fill_null(NO_TYPE).to_numpy())


def _values(source: SourceTable, field: str) -> Float64[np.ndarray, "row"]:
    """A column of numbers; NaN where one is missing."""
    column = plain_column(source, field)
    if is_text(column.type):
        column = without_missing_text(pc.utf8_trim_whitespace(column))
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid:
            row = first_unlike(column, pa.float64())
            problem = f"got {column[row].as_py()!r}, expected a number, as conditions of [events] read it; correct it"
            raise source.error(row, field, problem) from None
    is_number = (
        pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
    )
    if not (is_number or pa.types.is_null(column.type)):
        raise source.column_error(
            field, f"the column is {column.type}, expected numbers, as conditions of [events] read them"
        )
    numbers: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers
