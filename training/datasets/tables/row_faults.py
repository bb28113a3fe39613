"""Errors about rows of a file, and what a reader does with a line that it cannot read: raise, or go on without it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from clairo_core.errors import RowError

OnFault: TypeAlias = Callable[[RowError], None]
"""Takes each fault. Where it returns, the line is left out and reading goes on."""


def raise_fault(fault: RowError) -> None:
    """Stop at the first fault."""
    raise fault


@runtime_checkable
class ManyFiles(Protocol):
    """A table of several files, whose rows are numbered through all of them."""

    def place_of(self, number: int) -> tuple[str, int]:
        """The name of a row's file, and the row's number in it."""


def row_place(path: object, number: int) -> tuple[str, int]:
    """The name of a row's file, and the row's number in it, for messages. `path` is of the table."""
    return path.place_of(number) if isinstance(path, ManyFiles) else (str(path), number)


def field_fault(path: object, rows: Sequence[int] | np.ndarray, field: str, problem: str) -> RowError:
    """A fault of one column in rows of these numbers; the message names the first. `path` is of the table."""
    file, row = row_place(path, int(rows[0]))
    message = f"{file} row {row}, field {field!r}: {problem}"
    return RowError(message, path=path, rows=rows, field=field, problem=problem)


def line_fault(path: Path, line: int, problem: str, field: str = "") -> RowError:
    """A fault of a whole line. `problem` is a verb and what follows; `field` is where the line goes wrong."""
    return RowError(f"{path} row {line} {problem}", path=path, rows=(line,), field=field, problem=problem)
