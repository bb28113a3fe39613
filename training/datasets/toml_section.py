"""Read the keys of a TOML one by one, each with its type, and refuse those that nobody reads. Start at `load_toml`."""

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from clairo_core.errors import DatasetError, DescriptionError
from training.datasets.tables.parquet_datasets import table_at
from training.datasets.tables.sql_tables import DEFAULT_URL_ENV, SqlQuery
from training.datasets.tables.table_source import TableFile

T = TypeVar("T")


def load_toml(path: Path) -> dict[str, Any]:
    """Read the tables of a TOML.

    Raises:
        DatasetError: the file does not exist, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error}); check the path") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise DatasetError(f"{path} is not TOML ({error}); correct that line") from error


class TomlSection:
    """One table of the TOML; remembers the keys that were read, to refuse the others."""

    def __init__(self, path: Path, name: str, content: dict[str, Any]) -> None:
        self.path = path
        self.folder = path.parent
        self._name = name
        self._content = content
        self._known: list[str] = []

    def error(self, key: str, problem: str) -> DescriptionError:
        """An error that names file, table and key."""
        place = f"[{self._name}] {key}" if self._name else key
        # Errors of other readers name what they got themselves.
        got = "" if " got " in f" {problem}" else "got "
        message = f"{self.path}, {place}: {got}{problem}; docs/datasets.md has the format"
        return DescriptionError(message, self._content, key)

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def value(self, key: str) -> Any:
        """The value as TOML has it."""
        return self._content[key]

    def know(self, *keys: str) -> None:
        """Accept these keys, read elsewhere."""
        self._known += keys

    def section(self, key: str) -> "TomlSection":
        """A table within this one."""
        content = self._get(key, dict, "a table", None)
        return TomlSection(self.path, f"{self._name}.{key}" if self._name else key, content)

    def sections(self, key: str) -> list["TomlSection"]:
        """One table, or several: `[key]` or `[[key]]`."""
        value = self._content.get(key)
        if not isinstance(value, list):
            return [self.section(key)]
        self._known.append(key)
        if not value or not all(isinstance(content, dict) for content in value):
            raise self.error(key, f"{value!r}, expected one table or several")
        return [TomlSection(self.path, key, content) for content in value]

    def text(self, key: str, default: str | None = None) -> str:
        """A text; required without a default."""
        value = self._get(key, str, "text", default)
        if not value and default is None:
            raise self.error(key, "empty text, expected a name")
        return value

    def table(self) -> TableFile:
        """Key `file`, or `sql` with `url_env`."""
        if "sql" not in self:
            self.know("sql")
            file = self.text("file")
            try:
                return table_at(self.folder, file)
            except DatasetError as error:
                raise self.error("file", str(error)) from None
        if "file" in self:
            raise self.error("sql", "both of file and sql, expected one")
        place = f"{self.path}, [{self._name}] sql"
        return SqlQuery(place, self.text("sql"), self.text("url_env", default=DEFAULT_URL_ENV))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of names, each once; none without the key."""
        values = self._get(key, list, "a list of names", [])
        if not all(isinstance(value, str) and value for value in values):
            raise self.error(key, f"{values!r}, expected a list of names")
        if len(set(values)) < len(values):
            raise self.error(key, f"{values!r}, expected each name once")
        return tuple(values)

    def text_or_texts(self, key: str) -> tuple[str, ...]:
        """One name, or a list of names."""
        return (self.text(key),) if isinstance(self._content.get(key), str) else self.texts(key)

    def counts(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers of at least 1; none without the key."""
        values = self._get(key, list, "a list of whole numbers", [])
        if not all(type(value) is int and value > 0 for value in values):
            raise self.error(key, f"{values!r}, expected a list of whole numbers of at least 1")
        return tuple(values)

    def count(self, key: str, default: int = 0) -> int:
        """A whole number of at least 0."""
        value = self._get(key, int, "a whole number", default)
        if value < 0:
            raise self.error(key, f"{value}, expected at least 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number; required without a default."""
        value = self._content.get(key, default)
        if type(value) is int:
            self._known.append(key)
            return float(value)
        return self._get(key, float, "a number", default)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        return self._get(key, bool, "true or false", default)

    def choice(self, key: str, choices: Any, default: Any) -> Any:
        """One of the texts of a `Literal` or a `StrEnum`."""
        value = self.text(key, default=default)
        known = get_args(choices) or tuple(map(str, choices))
        if value not in known:
            raise self.error(key, f"{value!r}, expected one of {', '.join(map(repr, known))}")
        return value

    def text_by_name(self, key: str) -> dict[str, str]:
        """A table of column names; none without the key."""
        values = self._get(key, dict, "a table of names", {})
        for name, value in values.items():
            if not isinstance(value, str) or not value:
                raise self.error(f"{key}.{name}", f"{value!r}, expected the name of a column")
        return values

    def close(self) -> None:
        """Refuse keys that were not read."""
        for key in self._content:
            if key not in self._known:
                close = difflib.get_close_matches(key, self._known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(self._known)}"
                raise self.error(key, f"an unknown key; {hint}")

    def _get(self, key: str, value_type: type[T], expected: str, default: T | None) -> T:
        self._known.append(key)
        value = self._content.get(key, default)
        if value is None:
            raise self.error(key, f"nothing, expected {expected}")
        if not isinstance(value, value_type) or (isinstance(value, bool) and value_type is not bool):
            raise self.error(key, f"{value!r}, expected {expected}")
        return value
