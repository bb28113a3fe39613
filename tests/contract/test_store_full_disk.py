"""A full disk: acknowledged writes stay, failed ones leave nothing, and writing resumes once there is space."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from clairo_core.items import Item
from service.errors import StoreError
from service.store.feedback import FeedbackStore
from service.store.feedback_event import FeedbackEvent
from service.store.sql_store import SqlStore
from service.store.store import StoredFeatures


async def limit_pages(store: SqlStore, pages: int) -> None:
    """Limit SQLite's size on every connection, as a full disk would."""
    async with store.database.transaction() as connection:
        await connection.execute(text(f"PRAGMA max_page_count = {pages}"))


async def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "clairo.db")
    await store.open()
    feedback = FeedbackStore(store.database)
    connection = sqlite3.connect(tmp_path / "clairo.db")
    (num_pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    await limit_pages(store, num_pages + 40)
    kept: list[str] = []

    async def fill() -> None:
        for number in range(1000):
            features = StoredFeatures("bundle-a", (number,), np.float32([0.5]), ())
            await store.add_item(Item(item_id=f"item-{number}", picture=bytes(20_000)), features)
            kept.append(f"item-{number}")

    with pytest.raises(StoreError, match="full"):
        await fill()
    assert kept
    events = [FeedbackEvent(f"e{number}", "ann", "x" * 256, "click", 1.0) for number in range(1000)]
    with pytest.raises(StoreError, match="full"):
        await feedback.add_events(events)
    assert [change.item_id for change in await store.changes_since(0, "bundle-a")] == kept
    assert (await feedback.user_items("ann")).history == ()
    await limit_pages(store, 1_000_000)
    assert await store.add_item(Item(item_id="after"), StoredFeatures("bundle-a", (-1,), np.float32([0.5]), ())) == (
        len(kept) + 1
    )
    await store.close()
