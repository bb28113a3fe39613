"""Placements in every kind of database: versions, deletions, and the most that are kept."""

import asyncio
from pathlib import Path

import pytest

from service.errors import TooManyPlacementsError
from service.store import placements as placements_module
from service.store.database import Database
from service.store.placements import PlacementStore


async def test_each_put_is_a_version_and_old_ones_stay_readable(database: Database) -> None:
    store = PlacementStore(database)
    first = await store.put("home", {"limit": 3})
    second = await store.put("home", {"limit": 4, "fields": ["title"]})
    await store.put("cart", {})
    assert [first.version, second.version, await store.count_versions()] == [1, 2, 3]
    assert [(saved.name, saved.version) for saved in await store.list_saved()] == [("cart", 1), ("home", 2)]
    assert await store.read_version("home", 1) == first
    assert await store.read_version("home", 2) == second
    assert await store.read_version("home", 3) is None
    assert await store.read_version("nowhere", 1) is None


async def test_a_deleted_placement_is_not_listed_and_its_versions_count_on(database: Database) -> None:
    store = PlacementStore(database)
    await store.put("home", {"limit": 3})
    assert await store.delete("home")
    assert not await store.delete("home")
    assert not await store.delete("nowhere")
    assert await store.list_saved() == []
    assert await store.read_version("home", 2) is None
    assert (await store.put("home", {"limit": 5})).version == 3
    kept = await store.read_version("home", 1)
    assert kept is not None
    assert kept.rules == {"limit": 3}


async def test_concurrent_puts_get_versions_of_their_own(database: Database) -> None:
    store = PlacementStore(database)
    saved = await asyncio.gather(*(store.put("home", {"limit": limit}) for limit in range(1, 9)))
    assert sorted(placement.version for placement in saved) == list(range(1, 9))


async def test_as_many_placements_as_are_kept_are_saved_and_no_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placements_module, "MAX_PLACEMENTS", 2)
    store = PlacementStore(database)
    await store.put("home", {})
    await store.put("cart", {})
    with pytest.raises(TooManyPlacementsError, match="2 placements are saved, the maximum; delete one"):
        await store.put("checkout", {})
    await store.put("cart", {"limit": 2})
    await store.delete("home")
    await store.put("checkout", {})


async def test_namespaces_keep_their_placements_apart(tmp_path: Path) -> None:
    one, other = Database(tmp_path / "clairo.db", "one"), Database(tmp_path / "clairo.db", "other")
    await one.open()
    await other.open()
    await PlacementStore(one).put("home", {})
    assert await PlacementStore(other).list_saved() == []
    await one.close()
    await other.close()
