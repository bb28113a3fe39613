"""Settings of a dataset.toml, each with the reason for it, and their text. Start at `Section`."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = str | float | Sequence[str] | Mapping[str, str]

TO_FILL_IN = "?"
"""Stands for a column that was not found."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_COMMENT_COLUMN = 44
_LINE = 118


@dataclass(frozen=True, slots=True)
class Setting:
    """One key, its value, and why."""

    key: str
    value: Value
    why: str = ""

    def __str__(self) -> str:
        line = f"{_key(self.key)} = {_value(self.value)}"
        return f"{line:<{_COMMENT_COLUMN}} # {self.why}" if self.why else line


@dataclass(slots=True)
class Section:
    """One table of the TOML."""

    header: str
    """Such as `[items]`."""
    what: str = ""
    """What the section was recognized as."""
    settings: list[Setting] = field(default_factory=list)
    unused: tuple[str, ...] = ()
    """Columns of the file that no setting names."""
    notes: list[str] = field(default_factory=list)

    def set(self, key: str, value: Value | None, why: str = "") -> None:
        """Add a setting, unless its value is empty."""
        if value:
            self.settings.append(Setting(key, value, why))

    def get(self, key: str) -> Value | None:
        """The value of a key; None without one."""
        return next((setting.value for setting in self.settings if setting.key == key), None)

    @property
    def to_fill_in(self) -> list[str]:
        """Keys whose columns were not found."""
        return [setting.key for setting in self.settings if setting.value == TO_FILL_IN]

    def __str__(self) -> str:
        header = f"{self.header:<{_COMMENT_COLUMN}} # {self.what}" if self.what else self.header
        notes = [f"# {note}" for note in self.notes]
        return "\n".join([header, *map(str, self.settings), *notes, *_unused(self.unused)])


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _value(value: Value) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return str(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(name)} = {_text(one)}' for name, one in value.items())}}}"
    return f"[{', '.join(map(_text, value))}]"


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _unused(columns: Sequence[str]) -> list[str]:
    """Comment lines with the columns, none longer than a line."""
    if not columns:
        return []
    lines, line = [], "# not used:"
    for place, column in enumerate(columns):
        part = f" {_text(column)}{',' if place < len(columns) - 1 else ''}"
        if len(line) + len(part) > _LINE:
            lines.append(line)
            line = "#  "
        line += part
    return [*lines, line]
