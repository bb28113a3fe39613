"""Items' attributes in columns: one comparison per distinct value covers every item.

Start at `AttributeColumns.rows_where`.

Every distinct value of an attribute has a code, and a column holds (row, code) for the items that have the attribute;
an item with a list has an entry for each of its values. Memory grows with the number of given values, however many
attributes there are. A missing value counts as no attribute.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from clairo_core.attributes import AttributeValues, Single, Value, path_parts, singles_of, texts_of
from clairo_core.values.numbers import number_in
from clairo_core.values.times import moment_in

_FIRST_CAPACITY = 8


class AttributeColumn:
    """One attribute: the items that have it, and their values."""

    def __init__(self) -> None:
        self._rows = np.empty(_FIRST_CAPACITY, dtype=np.int32)
        self._codes = np.empty(_FIRST_CAPACITY, dtype=np.int32)
        self._num_entries = 0
        self.is_in_order = True
        """Entry n is of row n: no row up to the last entry lacks the attribute or has a list, the usual case."""
        # By type too: in Python, True equals 1.
        self._code_of: dict[tuple[type, Single], int] = {}
        self._values: list[Single] = []
        self._numbers: Float64[np.ndarray, "code"] = np.zeros(0)
        self._seconds: Float64[np.ndarray, "code"] = np.zeros(0)
        self._booleans: Float64[np.ndarray, "code"] = np.zeros(0)

    @classmethod
    def of(cls, given: AttributeValues) -> "AttributeColumn":
        """The column of these values."""
        column = cls()
        codes_of = [[column._code(single) for single in singles_of(value)] for value in given.values]
        counts = np.array([len(codes) for codes in codes_of], dtype=np.int64)
        starts = np.append(0, np.cumsum(counts))
        flat = np.array([code for codes in codes_of for code in codes], dtype=np.int32)
        per_row = counts[given.codes]
        num_entries = int(per_row.sum())
        if num_entries:
            place_in_row = np.arange(num_entries) - np.repeat(np.cumsum(per_row) - per_row, per_row)
            column._rows = np.repeat(given.rows, per_row)
            column._codes = flat[np.repeat(starts[given.codes], per_row) + place_in_row]
            column._num_entries = num_entries
            column.is_in_order = bool((column._rows == np.arange(num_entries)).all())
        return column

    def __len__(self) -> int:
        """Number of entries: at least one for each item that has the attribute."""
        return self._num_entries

    @property
    def rows(self) -> Int32[np.ndarray, "entry"]:
        """Rows of the items that have it, unordered, each once for every value."""
        return self._rows[: self._num_entries]

    @property
    def codes(self) -> Int32[np.ndarray, "entry"]:
        """Their values, as codes."""
        return self._codes[: self._num_entries]

    @property
    def num_codes(self) -> int:
        """Number of distinct values that some item has or had."""
        return len(self._values)

    @property
    def numbers(self) -> Float64[np.ndarray, "code"]:
        """Each code's value as a number; NaN if it is not one."""
        self._numbers = self._extended(self._numbers, _number_of)
        return self._numbers

    @property
    def seconds(self) -> Float64[np.ndarray, "code"]:
        """Each code's value as a time in seconds since 1970; NaN if it is not one."""
        self._seconds = self._extended(self._seconds, _seconds_of)
        return self._seconds

    @property
    def booleans(self) -> Float64[np.ndarray, "code"]:
        """1 for true and 0 for false; NaN if a code's value is neither."""
        self._booleans = self._extended(self._booleans, lambda value: value if isinstance(value, bool) else math.nan)
        return self._booleans

    def entries_outside(self, measures: Float64[np.ndarray, "code"]) -> Int64[np.ndarray, "outside"]:
        """Entries whose value is NaN in `numbers`, `seconds` or `booleans`."""
        return np.flatnonzero(np.isnan(measures)[self.codes])

    def text_of(self, entry: int) -> str:
        """An entry's value as people write it."""
        return texts_of(self._values[int(self.codes[entry])])[0]

    def codes_of(self, values: Iterable[Single]) -> list[int]:
        """Codes of the values that some item has or had; others are dropped."""
        keys = [_key(value) for value in values]
        return [self._code_of[key] for key in keys if key in self._code_of]

    def codes_under(self, path: str) -> Bool[np.ndarray, "code"]:
        """Mark the codes of category paths that begin with `path`, category by category."""
        wanted = path_parts(path)
        starts = (isinstance(value, str) and path_parts(value)[: len(wanted)] == wanted for value in self._values)
        return np.fromiter(starts, dtype=np.bool_, count=len(self._values))

    def append(self, row: int, values: Iterable[Single]) -> None:
        """Give values to an item without any."""
        for value in values:
            if self._num_entries == len(self._rows):
                self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
                self._codes = np.concatenate([self._codes, np.empty_like(self._codes)])
            self.is_in_order &= row == self._num_entries
            self._rows[self._num_entries], self._codes[self._num_entries] = row, self._code(value)
            self._num_entries += 1

    def replace(self, values_of: Mapping[int, Sequence[Single]]) -> None:
        """Replace the values of these rows; a row may have had none, or get none."""
        if self.is_in_order and all(row < len(self) and len(values) == 1 for row, values in values_of.items()):
            for row, (value,) in values_of.items():
                self._codes[row] = self._code(value)
            return
        # All rows at once: each by itself would read the whole column.
        stays = ~np.isin(self.rows, np.fromiter(values_of, dtype=np.int32, count=len(values_of)))
        rows, codes = self.rows[stays], self.codes[stays]
        self.is_in_order &= len(rows) == len(self)
        self._num_entries = len(rows)
        self._rows[: len(rows)], self._codes[: len(rows)] = rows, codes
        for row, values in values_of.items():
            self.append(row, values)

    def _code(self, value: Single) -> int:
        code = self._code_of.setdefault(_key(value), len(self._values))
        if code == len(self._values):
            self._values.append(value)
        return code

    def _extended(
        self, known: Float64[np.ndarray, "code"], measure: Callable[[Single], float]
    ) -> Float64[np.ndarray, "code"]:
        if len(known) == len(self._values):
            return known
        return np.append(known, [measure(value) for value in self._values[len(known) :]])


class AttributeColumns:
    """The attributes of a table's items. Rows are appended; an item's attributes may be replaced."""

    def __init__(self, attributes: Iterable[Mapping[str, Value]] = ()) -> None:
        self._columns: dict[str, AttributeColumn] = {}
        self._num_rows = 0
        for of_item in attributes:
            self.append(of_item)

    @classmethod
    def of(cls, given: Mapping[str, AttributeValues], num_rows: int) -> "AttributeColumns":
        """The columns of a table of so many rows, from its attributes by name."""
        columns = cls()
        columns._columns = {name: AttributeColumn.of(values) for name, values in given.items()}
        columns._num_rows = num_rows
        return columns

    def __len__(self) -> int:
        """Number of rows."""
        return self._num_rows

    def find(self, name: str) -> AttributeColumn | None:
        """The attribute's column, or None if no item has it."""
        column = self._columns.get(name)
        return column if column is not None and len(column) else None

    def append(self, attributes: Mapping[str, Value]) -> None:
        """Add a row."""
        for name, values in _given(attributes).items():
            self._columns.setdefault(name, AttributeColumn()).append(len(self), values)
        self._num_rows += 1

    def replace(self, changes: Mapping[int, tuple[Mapping[str, Value], Mapping[str, Value]]]) -> None:
        """Replace the attributes of these rows: each by what it has, and what it gets."""
        values_of: dict[str, dict[int, Sequence[Single]]] = {}
        for row, (before, after) in changes.items():
            given = _given(after)
            for name in {*_given(before), *given}:
                values_of.setdefault(name, {})[row] = given.get(name, ())
        for name, of_rows in values_of.items():
            self._columns.setdefault(name, AttributeColumn()).replace(of_rows)

    def rows_where(self, column: AttributeColumn, passes: Bool[np.ndarray, "code"]) -> Bool[np.ndarray, "item"]:
        """Mark the items of which some value's code passes."""
        is_match = np.zeros(len(self), dtype=np.bool_)
        if column.is_in_order:
            is_match[: len(column)] = passes[column.codes]
        else:
            is_match[column.rows[passes[column.codes]]] = True
        return is_match


def _given(attributes: Mapping[str, Value]) -> dict[str, tuple[Single, ...]]:
    """Values of the attributes that are not missing, by name."""
    return {name: values for name, value in attributes.items() if (values := singles_of(value))}


def _key(value: Single) -> tuple[type, Single]:
    return (float, float(value)) if isinstance(value, int) and not isinstance(value, bool) else (type(value), value)


def _number_of(value: Single) -> float:
    if isinstance(value, bool):
        return math.nan
    return number_in(value) if isinstance(value, str) else float(value)


def _seconds_of(value: Single) -> float:
    try:
        return moment_in(value.strip()) / 1e6 if isinstance(value, str) else math.nan
    except ValueError:
        return math.nan
