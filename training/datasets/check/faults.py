"""Gather faults of a dataset, equal ones of a column in one line. Start at `FaultLog.add`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from clairo_core.errors import DatasetError, RowError
from training.datasets.tables.row_faults import ManyFiles, row_place

_VALUES = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\d[\d.,:-]*")
"""Quoted texts and numbers: problems that differ in them alone are equal."""
_ROWS_SHOWN = 3
_VALUES_SHOWN = 3


@dataclass(slots=True)
class Fault:
    """One problem of one column, in one row or many."""

    file: str
    column: str
    problem: str
    """Of the first row found."""
    table: object = None
    """Knows the rows' files, if the table has several."""
    rows: Int64[np.ndarray, "row"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Numbers in the table, rising. Empty: the fault is of the file or the whole column."""
    further_values: list[str] = field(default_factory=list)
    """Other values than the problem's, as far as each was found by itself."""
    is_complete: bool = True
    """Whether all rows were looked at."""

    @property
    def first_row(self) -> int:
        """The first of `rows`; 0 without rows."""
        return int(self.rows[0]) if len(self.rows) else 0

    def __str__(self) -> str:
        rows = self.rows
        place = self._place(int(rows[0])) if len(rows) else self.file
        column = f", field {self.column!r}" if self.column else ""
        start = f"{place}{column}: " if place else ""
        return f"{start}{self.problem}{self._further(rows[1:])}"

    def _further(self, rows: Int64[np.ndarray, "row"]) -> str:
        if not len(rows):
            return ""
        in_files = isinstance(self.table, ManyFiles)
        shown = ", ".join(self._place(int(row)) if in_files else str(row) for row in rows[:_ROWS_SHOWN])
        more = f" and {len(rows) - _ROWS_SHOWN:,} more" if len(rows) > _ROWS_SHOWN else ""
        values = f": {', '.join(self.further_values)}" if self.further_values else ""
        end = "" if self.is_complete else "; or more"
        noun = "" if in_files else "row " if len(rows) == 1 else "rows "
        return f" (also {noun}{shown}{more}{values}{end})"

    def _place(self, number: int) -> str:
        file, row = row_place(self.table, number)
        return f"{self._name_of(file)} row {row}"

    def _name_of(self, file: str) -> str:
        return f"{self.file}{file.removeprefix(str(self.table))}" if isinstance(self.table, ManyFiles) else self.file

    def as_dicts(self) -> list[dict[str, Any]]:
        """Plain values, ready for JSON, of each file with such rows."""
        rows_of: dict[str, list[int]] = {}
        for number in self.rows.tolist():
            file, row = row_place(self.table, number)
            rows_of.setdefault(self._name_of(file), []).append(row)
        return [
            {
                "file": file,
                "field": self.column,
                "problem": self.problem,
                "rows": rows,
                "is_complete": self.is_complete,
            }
            for file, rows in (rows_of or {self.file: []}).items()
        ]


class FaultLog:
    """The faults found so far.

    Args:
        folder: of the dataset; files in it are named without it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._faults: dict[tuple[str, str, str], Fault] = {}

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        """By file, in the order in which files were read, then by first row."""
        files = {file: place for place, file in enumerate(dict.fromkeys(file for file, _, _ in self._faults))}
        return iter(sorted(self._faults.values(), key=lambda fault: (files[fault.file], fault.first_row)))

    @property
    def num_rows(self) -> int:
        """Faults, each row of a grouped one counted."""
        return sum(len(fault.rows) or 1 for fault in self)

    def add(self, error: DatasetError) -> Fault:
        """Add the rows of an error to the equal fault of their column, or begin one."""
        if not isinstance(error, RowError) or error.path is None:
            return self._fault("", "", self._named(error))
        problem = self._named(error.problem)
        fault = self._fault(self._named(error.path), error.field, problem, error.path)
        rows = np.asarray(error.rows, dtype=np.int64)
        if len(rows) and len(fault.rows) and rows.min() < fault.first_row:
            # The problem is that of the first row, whichever was found first.
            fault.problem, problem = problem, fault.problem
        fault.rows = np.union1d(fault.rows, rows)
        if (value := _value_in(problem)) not in (_value_in(fault.problem), *fault.further_values, ""):
            fault.further_values = [*fault.further_values, value][:_VALUES_SHOWN]
        return fault

    def _fault(self, file: str, column: str, problem: str, table: object = None) -> Fault:
        key = (file, column, _VALUES.sub("_", problem))
        return self._faults.setdefault(key, Fault(file, column, problem, table))

    def _named(self, place: object) -> str:
        return str(place).replace(f"{self._folder}/", "")


def _value_in(problem: str) -> str:
    value = _VALUES.search(problem)
    return value[0] if value else ""
