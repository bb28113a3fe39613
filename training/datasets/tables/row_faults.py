"""Errors about rows of a file, and what a reader does with a line that it cannot read: raise, or go on without it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from clairo_core.errors import RowError

OnFault: TypeAlias = Callable[[RowError], None]
"""Takes each fault. Where it returns, the line is left out and reading goes on."""


def raise_fault(fault: RowError) -> None:
    """Stop at the first fault."""
    raise fault


def field_fault(path: object, rows: Sequence[int] | np.ndarray, field: str, problem: str) -> RowError:
    """A fault of one column in rows of these numbers; the message names the first. `path` is of the table."""
    message = f"{path} row {rows[0]}, field {field!r}: {problem}"
    return RowError(message, path=path, rows=rows, field=field, problem=problem)


def line_fault(path: Path, line: int, problem: str, field: str = "") -> RowError:
    """A fault of a whole line. `problem` is a verb and what follows; `field` is where the line goes wrong."""
    return RowError(f"{path} row {line} {problem}", path=path, rows=(line,), field=field, problem=problem)
