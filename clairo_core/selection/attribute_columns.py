"""Items' attributes in columns: one comparison per distinct value covers every item.

Start at `AttributeColumns.rows_where`.

Every distinct value of an attribute has a code, and a column holds (row, code) for the items that have the attribute.
Memory grows with the number of given values, however many attributes there are. A missing value counts as no attribute.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float64, Int32

from clairo_core.values.missing import is_missing
from clairo_core.values.numbers import number_in

_FIRST_CAPACITY = 8


class AttributeColumn:
    """One attribute: the items that have it, and their values."""

    def __init__(self) -> None:
        self._rows = np.empty(_FIRST_CAPACITY, dtype=np.int32)
        self._codes = np.empty(_FIRST_CAPACITY, dtype=np.int32)
        self._num_rows = 0
        self.is_in_order = True
        """Entry n is of row n: no row up to the last entry lacks the attribute, the usual case."""
        self._code_of: dict[str, int] = {}
        self._values: list[str] = []
        self._numbers: list[float] = []
        self._numbers_by_code: Float64[np.ndarray, "code"] = np.zeros(0)

    def __len__(self) -> int:
        """Number of items that have the attribute."""
        return self._num_rows

    @property
    def rows(self) -> Int32[np.ndarray, "entry"]:
        """Rows of the items that have it, each once, unordered."""
        return self._rows[: self._num_rows]

    @property
    def codes(self) -> Int32[np.ndarray, "entry"]:
        """Their values, as codes."""
        return self._codes[: self._num_rows]

    @property
    def numbers(self) -> Float64[np.ndarray, "code"]:
        """Each code's value as a number; NaN if it is not one."""
        if len(self._numbers_by_code) != len(self._numbers):
            self._numbers_by_code = np.array(self._numbers)
        return self._numbers_by_code

    def unreadable_rows(self) -> Int32[np.ndarray, "entry"]:
        """Rows of the items whose value is not a number."""
        is_unreadable = np.isnan(self.numbers)[self.codes]
        return np.asarray(self.rows[is_unreadable])

    def value_of(self, row: int) -> str:
        """The value of an item that has the attribute."""
        return self._values[int(self.codes[np.flatnonzero(self.rows == row)[0]])]

    def codes_of(self, values: Iterable[str]) -> list[int]:
        """Codes of the values that some item has or had; others are dropped."""
        return [self._code_of[value] for value in values if value in self._code_of]

    def append(self, row: int, value: str) -> None:
        """Give a value to an item without one."""
        code = self._code_of.setdefault(value, len(self._numbers))
        if code == len(self._numbers):
            self._values.append(value)
            self._numbers.append(number_in(value))
        if self._num_rows == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
            self._codes = np.concatenate([self._codes, np.empty_like(self._codes)])
        self.is_in_order &= row == self._num_rows
        self._rows[self._num_rows], self._codes[self._num_rows] = row, code
        self._num_rows += 1

    def remove(self, row: int) -> None:
        """Remove an item's value; the last entry moves to its place."""
        places = np.flatnonzero(self.rows == row)
        if len(places):
            self.is_in_order = False
            self._num_rows -= 1
            self._rows[places[0]] = self._rows[self._num_rows]
            self._codes[places[0]] = self._codes[self._num_rows]


class AttributeColumns:
    """The attributes of a table's items. Rows are appended; an item's attributes may be replaced."""

    def __init__(self, attributes: Iterable[Mapping[str, str]] = ()) -> None:
        self._columns: dict[str, AttributeColumn] = {}
        self._names_of_row: list[tuple[str, ...]] = []
        for of_item in attributes:
            self.append(of_item)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._names_of_row)

    def find(self, name: str) -> AttributeColumn | None:
        """The attribute's column, or None if no item has it."""
        column = self._columns.get(name)
        return column if column is not None and len(column) else None

    def append(self, attributes: Mapping[str, str]) -> None:
        """Add a row."""
        self._names_of_row.append(())
        self._set(len(self._names_of_row) - 1, attributes)

    def replace(self, row: int, attributes: Mapping[str, str]) -> None:
        """Replace a row's attributes."""
        for name in self._names_of_row[row]:
            self._columns[name].remove(row)
        self._set(row, attributes)

    def rows_where(self, column: AttributeColumn, passes: Bool[np.ndarray, "code"]) -> Bool[np.ndarray, "item"]:
        """Mark the items whose value's code passes."""
        is_match = np.zeros(len(self), dtype=np.bool_)
        where = slice(len(column)) if column.is_in_order else column.rows
        is_match[where] = passes[column.codes]
        return is_match

    def _set(self, row: int, attributes: Mapping[str, str]) -> None:
        given = {name: value for name, value in attributes.items() if not is_missing(value)}
        self._names_of_row[row] = tuple(given)
        for name, value in given.items():
            self._columns.setdefault(name, AttributeColumn()).append(row, value)
