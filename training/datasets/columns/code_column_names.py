"""Expand names and prefixes of code columns to column names."""

import re
from collections.abc import Sequence

from clairo_core.errors import MissingColumnError


def expand_code_columns(path: object, available: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Keep each column name, and replace each prefix by its numbered columns in order. `path` names the table.

    >>> expand_code_columns("codes.csv", ["id", "text_10", "text_9", "image_0"], ["image_0", "text"])
    ('image_0', 'text_9', 'text_10')

    Raises:
        MissingColumnError: a name is neither a column nor the prefix of one.
    """
    columns: dict[str, None] = {}
    for name in wanted:
        numbered = {
            int(match[1]): column
            for column in available
            if (match := re.fullmatch(rf"{re.escape(name)}_(\d+)", column))
        }
        if name not in available and not numbered:
            raise MissingColumnError(
                f"{path}: got {name!r}, expected a column or the part before _0, _1, ... of columns; "
                f"choose among {', '.join(map(repr, available))}"
            )
        matching = [name] if name in available else [numbered[number] for number in sorted(numbered)]
        columns.update(dict.fromkeys(matching))
    return tuple(columns)
