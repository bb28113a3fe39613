"""Export during writes, from every kind of database."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clairo_core.attributes import AttributeType
from clairo_core.items import Item
from clairo_core.values.ids import anonymous_user_id
from service.cli import export as exporting
from service.cli.export import export_tables
from service.store.feedback import FeedbackStore
from service.store.feedback_event import FeedbackEvent
from service.store.sql_store import SqlStore
from service.store.store import ItemWrite, StoredFeatures
from training.datasets import load_dataset


@dataclass
class FakeBundle:
    """A bundle's items, without pictures."""

    items: Sequence[Item]
    types: Mapping[str, AttributeType] = field(default_factory=dict)

    @property
    def manifest(self) -> SimpleNamespace:
        return SimpleNamespace(interactions=None, types_of_attributes=self.types)

    def read_picture(self, row: int) -> bytes | None:
        return None


class BusyStore(SqlStore):
    """Changes an item before each page."""

    changes: Sequence[Item] = ()

    async def items_after(self, item_id: str, limit: int) -> Sequence[Item]:
        if self.changes:
            changed, *self.changes = self.changes
            await self.write_items([ItemWrite(changed, None)])
        return await super().items_after(item_id, limit)


@pytest.fixture
async def store(location: Path | str | None) -> AsyncIterator[BusyStore]:
    store = BusyStore(location, may_migrate=True)
    await store.open()
    yield store
    await store.close()


def features(number: int) -> StoredFeatures:
    return StoredFeatures("bundle-a", (number,), np.float32([0.5]), ())


async def test_an_item_that_changes_during_an_export_is_written_once(
    store: BusyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE_ITEMS", 1)
    bundle = FakeBundle([Item(item_id=f"old-{n}", texts={"title": "Old"}) for n in range(4)])
    for number in range(4):
        await store.add_item(Item(item_id=f"posted-{number}", texts={"title": "Posted"}), features(number))
    await store.write_items([ItemWrite(Item(item_id="old-0", texts={"title": "Old, changed before"}), None)])
    store.changes = [
        Item(item_id=item_id, texts={"title": "Changed meanwhile"})
        for item_id in ("old-3", "posted-0", "old-1", "posted-3", "old-2", "posted-1")
    ]
    await export_tables(store, FeedbackStore(store.database), tmp_path / "out", bundle)  # type: ignore[arg-type]
    rows = [json.loads(line) for line in (tmp_path / "out" / "items.jsonl").read_text().splitlines()]
    written = [row["item_id"] for row in rows]
    assert sorted(written) == [*(f"old-{n}" for n in range(4)), *(f"posted-{n}" for n in range(4))]
    assert next(row["title"] for row in rows if row["item_id"] == "old-0") == "Old, changed before"


async def test_a_merged_session_is_exported_as_its_user_and_another_under_a_digest(
    store: BusyStore, tmp_path: Path
) -> None:
    feedback = FeedbackStore(store.database)
    await store.add_item(Item(item_id="mug", texts={"title": "Mug"}), features(1))
    await store.retire_item("mug")
    sessions = [FeedbackEvent(name, None, "mug", "click", 1.0, session_id=name) for name in ("merged", "nobody")]
    await feedback.add_events([*sessions, FeedbackEvent("own", "ann", "mug", "click", 2.0)])
    await feedback.merge_session("merged", "ann")
    await export_tables(store, feedback, tmp_path / "out", None)
    rows = [json.loads(line) for line in (tmp_path / "out" / "interactions.jsonl").read_text().splitlines()]
    assert [row["user_id"] for row in rows] == ["ann", anonymous_user_id("nobody"), "ann"]
    assert json.loads((tmp_path / "out" / "retired.json").read_text()) == ["mug"]


async def test_types_of_attributes_go_round_and_a_posted_value_that_does_not_fit_is_left_out(
    store: BusyStore, tmp_path: Path
) -> None:
    types = {"price": AttributeType.NUMBER, "since": AttributeType.DATE, "sizes": AttributeType.LIST}
    old = {"price": 9.9, "since": "2024-05-31", "sizes": ("S", "M"), "brand": "Fjord"}
    bundle = FakeBundle([Item(item_id="old", texts={"title": "Old"}, attributes=old)], types)
    new = Item(item_id="new", texts={"title": "New"}, attributes={"price": "7,50 €", "since": "soon", "brand": "Café"})
    await store.add_item(new, features(1))
    exported = await export_tables(store, FeedbackStore(store.database), tmp_path / "out", bundle)  # type: ignore[arg-type]
    assert exported.num_unfit == 1
    with (tmp_path / "out" / "interactions.jsonl").open("a") as events:
        events.write(json.dumps({"user_id": "ann", "item_id": "old", "timestamp": 1.7e9, "type": "purchase"}))
    dataset = load_dataset(tmp_path / "out")
    assert {item.item_id: item.attributes for item in dataset.items} == {
        "old": old,
        "new": {"price": 7.5, "brand": "Café"},
    }
    assert dataset.attribute_types == types
