"""Turn a dataset's TOML into a `DatasetDescription`. Start at `read_description`; docs/datasets.md has the format.

No table is read.
"""

import codecs
import dataclasses
import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from clairo_core.errors import DatasetError, DescriptionError, SettingsError
from clairo_core.events import (
    Condition,
    EventType,
    InteractionRules,
    Meaning,
    OnRepeat,
    OnUnknownItem,
    check_rules,
)
from training.datasets.description import (
    CodesDescription,
    DatasetDescription,
    InteractionsDescription,
    ItemsDescription,
    OnBadPicture,
    PicturesDescription,
    TableForm,
)
from training.datasets.published import KNOWN_SETS, describe_published
from training.datasets.sql_tables import DEFAULT_URL_ENV, SqlQuery

T = TypeVar("T")


def read_description(path: Path) -> DatasetDescription:
    """Read a dataset's TOML; file names in it are relative to its folder.

    Raises:
        DatasetError: the file does not exist or is not TOML, or a key is missing, unknown, or of the wrong type.
    """
    return describe(path, load_toml(path))


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


def describe(path: Path, content: dict[str, Any]) -> DatasetDescription:
    """Turn the tables of a dataset's TOML into its description; `path` is for errors and relative file names.

    Raises:
        DescriptionError: one key is missing, unknown, or of the wrong type.
        DatasetError: keys do not go together.
    """
    top = _Section(path, "", content)
    if "published" in content:
        return _published(top)
    name = top.text("name", default=path.resolve().parent.name)
    items, items_codes = _items(top.section("items"))
    interactions, rules = _interactions(top)
    description = DatasetDescription(
        name=name,
        items=items,
        pictures=_pictures(top.section("pictures"), items) if "pictures" in content else None,
        codes=_codes(top.section("codes"), items) if "codes" in content else items_codes,
        interactions=interactions,
        rules=rules,
    )
    top.close()
    if items_codes is not None and "codes" in content:
        raise DatasetError(f"{path}: codes are set in [items] and in [codes], expected one; remove the other")
    if items.picture is not None and description.pictures is not None:
        raise DatasetError(f"{path}: pictures are set in [items] and in [pictures], expected one; remove the other")
    has_picture = items.picture is not None or description.pictures is not None
    if items.only_with_picture and not has_picture:
        raise DatasetError(
            f"{path}: [items] only_with_picture is true without a picture column; set picture, or add [pictures]"
        )
    if not (items.texts or items.vectors or has_picture or description.codes):
        raise DatasetError(
            f"{path}: [items] has no texts, picture, vectors or codes; set at least one, to tell items apart"
        )
    return description


def _published(top: "_Section") -> DatasetDescription:
    """`published = FOLDER`: the data set's own description, with other rules and treatment of pictures."""
    folder = top.folder / top.text("published")
    found = describe_published(folder)
    if found is None:
        raise top.error("published", f"{str(folder)!r}, expected a folder with the files of {KNOWN_SETS}")
    items, interactions, events = (
        top.section(key) if key in top else _Section(top.path, key, {}) for key in ("items", "interactions", "events")
    )
    described = dataclasses.replace(
        found.items,
        unreadable_pictures=items.choice("unreadable_pictures", OnBadPicture, found.items.unreadable_pictures),
        only_with_picture=items.flag("only_with_picture"),
    )
    rules = dataclasses.replace(
        found.rules,
        types=_event_types(events),
        targets=interactions.texts("targets"),
        repeats=interactions.choice("repeats", OnRepeat, found.rules.repeats),
        min_interactions=interactions.count("min_interactions", default=found.rules.min_interactions),
    )
    name = top.text("name", default=found.name)
    for section in (top, items, interactions):
        section.close()
    if rules.types and rules.value_column is None:
        raise top.error("events", "no condition, expected one: published sets have ratings, not types")
    return dataclasses.replace(found, name=name, items=described, rules=_checked(top, rules))


def _checked(top: "_Section", rules: InteractionRules) -> InteractionRules:
    try:
        return check_rules(rules)
    except SettingsError as error:
        raise top.error("events", str(error)) from error


def _items(section: "_Section") -> tuple[ItemsDescription, CodesDescription | None]:
    file = section.table()
    item_id = section.text("item_id", default="item_id")
    items = ItemsDescription(
        file=file,
        form=_form(section),
        item_id=item_id,
        item_key=section.text_or_texts("item_key"),
        group_variants=section.text("group_variants", default="") or None,
        texts=section.texts("texts"),
        attributes=section.texts("attributes"),
        options=section.text_by_name("options"),
        picture=section.text("picture", default="") or None,
        picture_folder=section.folder / section.text("picture_folder", default="."),
        vectors=section.text_by_name("vectors"),
        unreadable_pictures=section.choice("unreadable_pictures", OnBadPicture, "error"),
        only_with_picture=section.flag("only_with_picture"),
    )
    columns = section.texts("codes")
    codes = CodesDescription(file=file, item_id=item_id, items_column=item_id, columns=columns) if columns else None
    section.close()
    return items, codes


def _form(section: "_Section") -> TableForm:
    separator = section.text("separator", default="") or None
    if separator is not None and len(separator) != 1:
        raise section.error("separator", f"{separator!r}, expected one character, such as ';'")
    encoding = section.text("encoding", default="utf-8")
    try:
        encoding = codecs.lookup(encoding).name
    except LookupError as error:
        raise section.error("encoding", f"{encoding!r}, expected an encoding, such as 'cp1252' or 'utf-16'") from error
    return TableForm(separator=separator, encoding=encoding, skip_without=section.texts("skip_without"))


def _pictures(section: "_Section", items: ItemsDescription) -> PicturesDescription:
    pictures = PicturesDescription(
        file=section.table(),
        item_id=section.text("item_id", default="item_id"),
        items_column=section.text("items_column", default=items.item_id),
        picture=section.text("picture"),
    )
    section.close()
    return pictures


def _codes(section: "_Section", items: ItemsDescription) -> CodesDescription:
    codes = CodesDescription(
        file=section.table(),
        item_id=section.text("item_id", default="item_id"),
        items_column=section.text("items_column", default=items.item_id),
        columns=section.texts("columns"),
        sizes=section.counts("sizes"),
        unique=section.flag("unique"),
    )
    section.close()
    return codes


def _interactions(top: "_Section") -> tuple[tuple[InteractionsDescription, ...], InteractionRules]:
    """The tables of interactions, and the rules for all of them, which any one table may set."""
    sections = top.sections("interactions")
    tables = tuple(map(_interactions_table, sections))
    types = _event_types(top.section("events")) if "events" in top else {}

    def set_once(key: str) -> "_Section":
        holding = [section for section in sections if key in section]
        if len(holding) > 1:
            raise holding[1].error(key, "a second value, expected it in one [[interactions]]; it holds for all")
        return holding[0] if holding else sections[0]

    rules = InteractionRules(
        types=types,
        targets=set_once("targets").texts("targets"),
        repeats=set_once("repeats").choice("repeats", OnRepeat, "keep"),
        min_interactions=set_once("min_interactions").count("min_interactions"),
        unknown_items=set_once("unknown_items").choice("unknown_items", OnUnknownItem, "error"),
    )
    for section, table in zip(sections, tables, strict=True):
        # Set in another table; here the key is known, too.
        section.know("targets", "repeats", "min_interactions", "unknown_items")
        section.close()
        if types and table.type is None and table.event is None and rules.value_column is None:
            raise section.error("type", "neither type nor event, expected one, to go with [events]")
        if table.event is not None and types and table.event not in types:
            raise section.error("event", f"{table.event!r}, expected one of [events]: {', '.join(map(repr, types))}")
    return tables, _checked(top, rules)


def _interactions_table(section: "_Section") -> InteractionsDescription:
    timestamp = section.text("timestamp", default="")
    position = section.text("position", default="")
    if bool(timestamp) == bool(position):
        found = "both" if timestamp else "neither"
        raise section.error("timestamp", f"{found} of timestamp and position, expected one")
    event_type, event = section.text("type", default="") or None, section.text("event", default="") or None
    if event_type is not None and event is not None:
        raise section.error("type", "both of type and event, expected one: a column of types, or the type of all rows")
    user_id = section.text("user_id", default="user_id")
    order_id = section.text("order_id", default="") or None
    of_order = [user_id, timestamp, event_type] if order_id else []
    return InteractionsDescription(
        file=section.table(),
        form=dataclasses.replace(
            _form(section),
            timestamp_format=section.text("timestamp_format", default="") or None,
            order_id=order_id,
            fill_down=tuple(column for column in of_order if column),
        ),
        user_id=user_id,
        item_id=section.text("item_id", default="item_id"),
        order=timestamp or position,
        is_time=bool(timestamp),
        type=event_type,
        event=event,
    )


def _event_types(section: "_Section") -> dict[str, EventType]:
    """`NAME = WEIGHT`, `NAME = "negative"`, or `NAME = {weight = .., counts = "..", history = .., when = ".."}`."""
    return {name: _event_type(section, name, section.value(name)) for name in section}


def _event_type(events: "_Section", name: str, value: Any) -> EventType:
    try:
        if isinstance(value, dict):
            section = events.section(name)
            when = section.text("when", default="")
            event_type = EventType(
                meaning=section.choice("counts", Meaning, "positive"),
                weight=section.number("weight", default=1.0),
                is_read=section.flag("history", default=True),
                when=Condition.parse(when) if when else None,
            )
            section.close()
            return event_type
        if isinstance(value, str):
            return EventType(meaning=events.choice(name, Meaning, "positive"))
        return EventType(weight=events.number(name))
    except SettingsError as error:
        raise events.error(name, str(error)) from error


class _Section:
    """One table of the TOML; remembers the keys that were read, to refuse the others."""

    def __init__(self, path: Path, name: str, content: dict[str, Any]) -> None:
        self.path = path
        self.folder = path.parent
        self._name = name
        self._content = content
        self._known: list[str] = []

    def error(self, key: str, problem: str) -> DescriptionError:
        place = f"[{self._name}] {key}" if self._name else key
        message = f"{self.path}, {place}: got {problem}; docs/datasets.md has the format"
        return DescriptionError(message, self._content, key)

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def value(self, key: str) -> Any:
        return self._content[key]

    def know(self, *keys: str) -> None:
        """Accept these keys, read elsewhere."""
        self._known += keys

    def section(self, key: str) -> "_Section":
        content = self._get(key, dict, "a table", None)
        return _Section(self.path, f"{self._name}.{key}" if self._name else key, content)

    def sections(self, key: str) -> list["_Section"]:
        """One table, or several: `[key]` or `[[key]]`."""
        value = self._content.get(key)
        if not isinstance(value, list):
            return [self.section(key)]
        self._known.append(key)
        if not value or not all(isinstance(content, dict) for content in value):
            raise self.error(key, f"{value!r}, expected one table or several")
        return [_Section(self.path, key, content) for content in value]

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, str, "text", default)
        if not value and default is None:
            raise self.error(key, "empty text, expected a name")
        return value

    def table(self) -> Path | SqlQuery:
        """Key `file`, or `sql` with `url_env`."""
        if "sql" not in self:
            self.know("sql")
            return self.folder / self.text("file")
        if "file" in self:
            raise self.error("sql", "both of file and sql, expected one")
        place = f"{self.path}, [{self._name}] sql"
        return SqlQuery(place, self.text("sql"), self.text("url_env", default=DEFAULT_URL_ENV))

    def texts(self, key: str) -> tuple[str, ...]:
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
        values = self._get(key, list, "a list of whole numbers", [])
        if not all(type(value) is int and value > 0 for value in values):
            raise self.error(key, f"{values!r}, expected a list of whole numbers of at least 1")
        return tuple(values)

    def count(self, key: str, default: int = 0) -> int:
        value = self._get(key, int, "a whole number", default)
        if value < 0:
            raise self.error(key, f"{value}, expected at least 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._content.get(key, default)
        if type(value) is int:
            self._known.append(key)
            return float(value)
        return self._get(key, float, "a number", default)

    def flag(self, key: str, *, default: bool = False) -> bool:
        return self._get(key, bool, "true or false", default)

    def choice(self, key: str, choices: Any, default: Any) -> Any:
        value = self.text(key, default=default)
        if value not in get_args(choices):
            raise self.error(key, f"{value!r}, expected one of {', '.join(map(repr, get_args(choices)))}")
        return value

    def text_by_name(self, key: str) -> dict[str, str]:
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
