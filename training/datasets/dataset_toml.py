"""Turn a dataset's TOML into a `DatasetDescription`. Start at `read_description`; docs/datasets.md has the format.

No table is read.
"""

import codecs
import dataclasses
from pathlib import Path
from typing import Any

from clairo_core.attributes import AttributeType
from clairo_core.errors import DatasetError, SettingsError
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
    DeclaredType,
    InteractionsDescription,
    ItemsDescription,
    OnBadPicture,
    PicturesDescription,
)
from training.datasets.published import KNOWN_SETS, describe_published
from training.datasets.tables.table_form import TableForm
from training.datasets.toml_section import TomlSection, load_toml


def read_description(path: Path) -> DatasetDescription:
    """Read a dataset's TOML; file names in it are relative to its folder.

    Raises:
        DatasetError: the file does not exist or is not TOML, or a key is missing, unknown, or of the wrong type.
    """
    return describe(path, load_toml(path))


def describe(path: Path, content: dict[str, Any]) -> DatasetDescription:
    """Turn the tables of a dataset's TOML into its description; `path` is for errors and relative file names.

    Raises:
        DescriptionError: one key is missing, unknown, or of the wrong type.
        DatasetError: keys do not go together.
    """
    top = TomlSection(path, "", content)
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


def _published(top: TomlSection) -> DatasetDescription:
    """`published = FOLDER`: the data set's own description, with other rules, treatment of pictures, and codes."""
    folder = top.folder / top.text("published")
    found = describe_published(folder)
    if found is None:
        raise top.error("published", f"{str(folder)!r}, expected a folder with the files of {KNOWN_SETS}")
    items, interactions, events = (
        top.section(key) if key in top else TomlSection(top.path, key, {})
        for key in ("items", "interactions", "events")
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
    codes = _codes(top.section("codes"), found.items) if "codes" in top else found.codes
    name = top.text("name", default=found.name)
    for section in (top, items, interactions):
        section.close()
    if rules.types and rules.value_column is None:
        raise top.error("events", "no condition, expected one: published sets have ratings, not types")
    return dataclasses.replace(found, name=name, items=described, codes=codes, rules=_checked(top, rules))


def _checked(top: TomlSection, rules: InteractionRules) -> InteractionRules:
    try:
        return check_rules(rules)
    except SettingsError as error:
        raise top.error("events", str(error)) from error


def _items(section: TomlSection) -> tuple[ItemsDescription, CodesDescription | None]:
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
        attribute_types=_attribute_types(section),
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


def _attribute_types(items: TomlSection) -> dict[str, DeclaredType]:
    """`NAME = TYPE`, or `NAME = {type = "list", separator = ".."}`."""
    if "attribute_types" not in items:
        items.know("attribute_types")
        return {}
    types = items.section("attribute_types")
    attributes = items.texts("attributes")
    for name in types:
        if name not in attributes:
            raise types.error(name, f"{name!r}, expected one of attributes: {', '.join(map(repr, attributes))}")
    return {name: _declared_type(types, name) for name in types}


def _declared_type(types: TomlSection, name: str) -> DeclaredType:
    if not isinstance(types.value(name), dict):
        return DeclaredType(type=AttributeType(types.choice(name, AttributeType, None)))
    section = types.section(name)
    separator = section.text("separator", default=",")
    declared = DeclaredType(type=AttributeType(section.choice("type", AttributeType, "list")), separator=separator)
    section.close()
    if declared.type is not AttributeType.LIST or not separator:
        raise types.error(name, f"{types.value(name)!r}, expected a separator of a list; remove it for other types")
    return declared


def _form(section: TomlSection) -> TableForm:
    separator = section.text("separator", default="") or None
    if separator is not None and len(separator) != 1:
        raise section.error("separator", f"{separator!r}, expected one character, such as ';'")
    encoding = section.text("encoding", default="utf-8")
    try:
        encoding = codecs.lookup(encoding).name
    except LookupError as error:
        raise section.error("encoding", f"{encoding!r}, expected an encoding, such as 'cp1252' or 'utf-16'") from error
    return TableForm(separator=separator, encoding=encoding, skip_without=section.texts("skip_without"))


def _pictures(section: TomlSection, items: ItemsDescription) -> PicturesDescription:
    pictures = PicturesDescription(
        file=section.table(),
        item_id=section.text("item_id", default="item_id"),
        items_column=section.text("items_column", default=items.item_id),
        picture=section.text("picture"),
    )
    section.close()
    return pictures


def _codes(section: TomlSection, items: ItemsDescription) -> CodesDescription:
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


def _interactions(top: TomlSection) -> tuple[tuple[InteractionsDescription, ...], InteractionRules]:
    """The tables of interactions, and the rules for all of them, which any one table may set."""
    sections = top.sections("interactions")
    tables = tuple(map(_interactions_table, sections))
    types = _event_types(top.section("events")) if "events" in top else {}

    def set_once(key: str) -> TomlSection:
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


def _interactions_table(section: TomlSection) -> InteractionsDescription:
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


def _event_types(section: TomlSection) -> dict[str, EventType]:
    """`NAME = WEIGHT`, `NAME = "negative"`, or `NAME = {weight = .., counts = "..", history = .., when = ".."}`."""
    return {name: _event_type(section, name, section.value(name)) for name in section}


def _event_type(events: TomlSection, name: str, value: Any) -> EventType:
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
