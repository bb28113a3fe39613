"""Export items and feedback from the store as a data set for training: JSON Lines, pictures, dataset.toml.

Reads pages, so memory stays small for a store of any size. Written aside and renamed, so the folder is always
complete. The format is documented in docs/datasets.md.
"""

import asyncio
import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from clairo_core.attributes import AttributeType, Value, as_json, converted, singles_of
from clairo_core.events import EventType, InteractionRules
from clairo_core.items import Item
from clairo_core.storage.replaced_folder import replaced_folder
from clairo_core.values.ids import anonymous_user_id, check_item_id
from service.errors import ExportError
from service.store.attribute_types import AttributeTypeStore
from service.store.feedback import NO_RULES, FeedbackStore
from service.store.feedback_event import FeedbackEvent
from service.store.sql_store import SqlStore

if TYPE_CHECKING:
    from clairo_core.bundle.bundle import Bundle

PAGE_ITEMS = 200
PAGE_EVENTS = 5000
ITEMS_FILE = "items.jsonl"
INTERACTIONS_FILE = "interactions.jsonl"
RETIRED_FILE = "retired.json"
DESCRIPTION_FILE = "dataset.toml"
PICTURES_FOLDER = "pictures"
SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}


@dataclass(slots=True)
class Exported:
    """Counts and columns of an export."""

    num_items: int = 0
    num_pictures: int = 0
    num_interactions: int = 0
    refused_ids: list[str] = field(default_factory=list)
    """Items of a bundle that are left out: an older training took ids that no call can name, and this one does not."""
    columns: dict[tuple[str, str], str] = field(default_factory=dict)
    """("text" or "attribute", name) -> the name of its column."""
    item_ids: set[str] = field(default_factory=set)
    types: dict[str, AttributeType] = field(default_factory=dict)
    """Types of attributes that the bundle declares; of others, each value has its own."""
    num_unfit: int = 0
    """Values of posted items that do not fit their attribute's type, and are left out."""
    num_without_item: int = 0
    """Interactions with items that are not exported; training drops them, or they are left out."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Number of events by type, of those that no rule fits."""

    def column(self, kind: str, name: str) -> str:
        """Name the column of a text field or an attribute: its own name, or a prefixed one if that is taken."""
        if (kind, name) not in self.columns:
            taken = {"item_id", "picture", *self.columns.values()}
            column = name
            while column in taken:
                column = f"{kind}_{column}"
            self.columns[kind, name] = column
        return self.columns[kind, name]

    def fitted(self, name: str, value: Value) -> Value | None:
        """An attribute's value in the attribute's type; None if it does not fit."""
        if name not in self.types or not singles_of(value):
            return value
        try:
            return converted(value, self.types[name])
        except ValueError:
            self.num_unfit += 1
            return None


async def export_tables(
    store: SqlStore,
    feedback: FeedbackStore,
    folder: Path,
    bundle: "Bundle | None",
    since: float = -math.inf,
    rules: InteractionRules | None = None,
) -> Exported:
    """Write items, interactions and dataset.toml into `folder`, replacing an earlier export.

    Retired items are included because histories hold them; under a new bundle the service retires them again. A file
    of its own lists them. A merged session is its user's; any other is a user of its own, under `anonymous_user_id`.
    Impressions, events that the rules do not declare, and events before `since` (seconds since 1970) are left out.
    With a bundle, its items come first, except those whose content the store has. dataset.toml has `rules`, by default
    the bundle's. Items whose ids training refuses are left out and listed.

    Raises:
        ExportError: `folder` is something else, or cannot be written.
        StoreError: the store cannot be read.
    """
    stored = await AttributeTypeStore(store.database).read()
    types = {name: fixed.type for name, fixed in stored.items() if not fixed.is_declared}
    types |= {} if bundle is None else bundle.manifest.types_of_attributes
    types |= {name: fixed.type for name, fixed in stored.items() if fixed.is_declared}
    exported = Exported(types={name: one for name, one in types.items() if one is not AttributeType.TEXT})
    if rules is None:
        # Feedback on items that the store lacks.
        rules = dataclasses.replace(NO_RULES, unknown_items="drop")
        if bundle is not None and bundle.manifest.interactions is not None:
            rules = bundle.manifest.rules
    try:
        with replaced_folder(folder, marker=INTERACTIONS_FILE, expected="an export", error=ExportError) as aside:
            (aside / PICTURES_FOLDER).mkdir()
            with (aside / ITEMS_FILE).open("w", encoding="utf-8") as file:
                async for item in _items(store, bundle):
                    if not _is_item_id(item.item_id):
                        exported.refused_ids.append(item.item_id)
                        continue
                    await asyncio.to_thread(_write_item, file, aside / PICTURES_FOLDER, item, exported)
            if not exported.num_items:
                raise ExportError("the store has no items; post some, or add --bundle to export a bundle's items")
            with (aside / INTERACTIONS_FILE).open("w", encoding="utf-8") as file:
                await _write_interactions(file, feedback, rules, exported, since)
            (aside / RETIRED_FILE).write_text(json.dumps(await store.retired_items()), encoding="utf-8")
            (aside / DESCRIPTION_FILE).write_text(_description(folder.name, exported, rules), encoding="utf-8")
    except OSError as error:
        raise ExportError(
            f"{folder}: cannot be written ({error.strerror}); free space, or choose another --out"
        ) from error
    return exported


async def _items(store: SqlStore, bundle: "Bundle | None") -> AsyncIterator[Item]:
    """Read every item once: the bundle's that the store has not changed, then the store's."""
    from_bundle = set()
    for row, item in enumerate(bundle.items if bundle else []):
        if bundle is not None and await store.read_item_digest(item.item_id) is None:
            from_bundle.add(item.item_id)
            picture = bundle.read_picture(row)
            yield Item(item_id=item.item_id, texts=item.texts, attributes=item.attributes, picture=picture)
    after = ""
    while page := await store.items_after(after, PAGE_ITEMS):
        for item in page:
            # The store gets such an item when it changes during the export.
            if item.item_id not in from_bundle:
                yield item
        after = page[-1].item_id


def _is_item_id(item_id: str) -> bool:
    try:
        check_item_id(item_id)
    except ValueError:
        return False
    return True


def _write_item(file: TextIOWrapper, pictures: Path, item: Item, exported: Exported) -> None:
    record: dict[str, object] = {"item_id": item.item_id}
    record |= {exported.column("text", name): text for name, text in item.texts.items()}
    attributes = {
        exported.column("attribute", name): exported.fitted(name, value) for name, value in item.attributes.items()
    }
    record |= as_json({column: value for column, value in attributes.items() if value is not None})
    picture = item.read_picture()
    if picture is not None:
        suffix = next((suffix for start, suffix in SUFFIXES.items() if picture.startswith(start)), ".bin")
        name = hashlib.sha256(picture).hexdigest() + suffix
        (pictures / name).write_bytes(picture)
        record["picture"] = f"{PICTURES_FOLDER}/{name}"
        exported.num_pictures += 1
    file.write(json.dumps(record, ensure_ascii=False) + "\n")
    exported.num_items += 1
    exported.item_ids.add(item.item_id)


async def _write_interactions(
    file: TextIOWrapper, feedback: FeedbackStore, rules: InteractionRules, exported: Exported, since: float
) -> None:
    sequence = 0
    while page := await feedback.events_after(sequence, PAGE_EVENTS):
        for event in (kept.event for kept in page):
            if event.timestamp < since:
                continue
            event_type = rules.type_of(event.type, event.value)
            if event_type is None:
                exported.left_out[event.type] += 1
            elif rules.of(event_type).meaning != "impression":
                has_item = event.item_id in exported.item_ids
                exported.num_without_item += not has_item
                # Rules that refuse unknown items hold for the next training too.
                if has_item or rules.unknown_items == "drop":
                    file.write(json.dumps(_record(event, rules), ensure_ascii=False) + "\n")
                    exported.num_interactions += 1
        sequence = page[-1].sequence


def _record(event: FeedbackEvent, rules: InteractionRules) -> dict[str, object]:
    record: dict[str, object] = {
        "user_id": anonymous_user_id(event.session_id or "") if event.user_id is None else event.user_id,
        "item_id": event.item_id,
        "timestamp": event.timestamp,
        "type": event.type,
    }
    # A column of conditions must exist even if no event has a value.
    if event.value is not None or rules.value_column is not None:
        record.setdefault(rules.value_column or "value", event.value)
    return record


def _description(name: str, exported: Exported, rules: InteractionRules) -> str:
    texts = [column for (kind, _), column in exported.columns.items() if kind == "text"]
    attributes = {name: column for (kind, name), column in exported.columns.items() if kind == "attribute"}
    types = {attributes[name]: one for name, one in exported.types.items() if name in attributes}
    lines = [
        f"name = {_quoted(name)}",
        "",
        "[items]",
        f'file = "{ITEMS_FILE}"',
        f"texts = {_list(texts)}",
        f"attributes = {_list(list(attributes.values()))}",
        *([f"attribute_types = {_table(types)}"] if types else []),
        *(['picture = "picture"'] if exported.num_pictures else []),
        "",
        "[interactions]",
        f'file = "{INTERACTIONS_FILE}"',
        'timestamp = "timestamp"',
        'type = "type"',
        *([f"targets = {_list(rules.targets)}"] if rules.targets else []),
        f"repeats = {_quoted(rules.repeats)}",
        f"min_interactions = {rules.min_interactions}",
        f"unknown_items = {_quoted(rules.unknown_items)}",
    ]
    if rules.types:
        lines += ["", "[events]", *(f"{_quoted(name)} = {_event_type(one)}" for name, one in rules.types.items())]
    return "\n".join(lines) + "\n"


def _event_type(one: EventType) -> str:
    """An inline table; weight and history belong to positive types alone."""
    fields = [f"counts = {_quoted(one.meaning)}"]
    if one.meaning == "positive":
        fields += [f"weight = {one.weight!r}", f"history = {str(one.is_read).lower()}"]
    if one.when is not None:
        fields.append(f"when = {_quoted(str(one.when))}")
    return f"{{{', '.join(fields)}}}"


def _table(texts: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{_quoted(name)} = {_quoted(text)}' for name, text in texts.items())}}}"


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(_quoted(name) for name in names)}]"


def _quoted(text: str) -> str:
    """A TOML basic string. JSON's escapes are valid TOML, except surrogate pairs, which `ensure_ascii=False` avoids."""
    return json.dumps(text, ensure_ascii=False)
