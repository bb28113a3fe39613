"""Types of attributes in every kind of database: fixed by the first use, declared, converted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from clairo_core.attributes import AttributeType, Value
from clairo_core.items import Item
from service.errors import InvalidItemError, StoredValuesError
from service.store.attribute_types import AttributeTypeStore, FixedType
from service.store.item_patch import ItemPatch
from service.store.sql_store import SqlStore
from service.store.store import StoredFeatures
from tests.new_databases import migrated_database
from tests.postgres_server import PostgresServer

TEXT, NUMBER, LIST, BOOLEAN = AttributeType.TEXT, AttributeType.NUMBER, AttributeType.LIST, AttributeType.BOOLEAN


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "clairo.db"
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return migrated_database(postgres)


@pytest.fixture
async def store(location: Path | str) -> AsyncIterator[SqlStore]:
    store = SqlStore(location, may_migrate=True)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def types(store: SqlStore) -> AttributeTypeStore:
    return AttributeTypeStore(store.database)


async def post(store: SqlStore, item_id: str, **attributes: Value) -> None:
    features = StoredFeatures("bundle-a", (hash(item_id) % 10**9,), np.float32([0.5]), ())
    await store.add_item(Item(item_id=item_id, texts={"title": "A"}, attributes=attributes), features)


async def attributes_of(store: SqlStore, item_id: str) -> dict[str, Value]:
    changes = await store.changes_since(0, "bundle-a")
    return [dict(change.item.attributes) for change in changes if change.item_id == item_id and change.item][-1]


async def test_the_first_use_of_a_name_fixes_its_type(store: SqlStore, types: AttributeTypeStore) -> None:
    await post(store, "mug", price=18.0, sizes=("S",), note="")
    assert await types.read() == {"price": FixedType(NUMBER, False), "sizes": FixedType(LIST, False)}
    with pytest.raises(InvalidItemError, match=r"item 'jug': attribute 'price': got a list .*, expected a number"):
        await post(store, "jug", price=("18",))
    await store.patch_items([ItemPatch(item_id="mug", attributes={"stock": 3.0})], {})
    assert (await types.read())["stock"] == FixedType(NUMBER, False)


async def test_a_text_that_can_be_read_as_the_first_uses_type_is(store: SqlStore) -> None:
    await post(store, "mug", price=18.0)
    await post(store, "jug", price="21.00 €")
    assert await attributes_of(store, "jug") == {"price": 21.0}
    with pytest.raises(InvalidItemError, match="'cheap'"):
        await post(store, "pot", price="cheap")


async def test_two_processes_never_give_a_name_two_types(location: Path | str, store: SqlStore) -> None:
    other = SqlStore(location)
    await other.open()
    writes = [post([store, other][n % 2], f"item-{n}", mixed=(("a",), True)[n % 2]) for n in range(10)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(outcome, InvalidItemError) for outcome in outcomes) == 5
    assert outcomes.count(None) == 5
    await other.close()


async def test_a_declared_type_is_strict(store: SqlStore, types: AttributeTypeStore) -> None:
    assert await types.declare({"price": NUMBER, "shelf": AttributeType.PATH}) == 0
    await post(store, "mug", price=18.0, shelf="Home >Kitchen")
    assert await attributes_of(store, "mug") == {"price": 18.0, "shelf": "Home > Kitchen"}
    with pytest.raises(InvalidItemError, match=r"'price': got text \('18'\), expected a number, declared") as refused:
        await post(store, "jug", price="18")
    assert refused.value.errors[0]["loc"] == ["attributes", "price"]


async def test_declaring_converts_stored_values(store: SqlStore, types: AttributeTypeStore) -> None:
    await post(store, "mug", price="18.00", sizes="S, M", new="yes", kind="mug")
    await post(store, "jug", price="1.234,56 €")
    await post(store, "pot", kind="pot")
    digest = await store.read_item_digest("mug")
    assert await types.declare({"price": NUMBER, "sizes": LIST, "new": BOOLEAN}) == 2
    assert await attributes_of(store, "mug") == {"price": 18.0, "sizes": ("S", "M"), "new": True, "kind": "mug"}
    assert await attributes_of(store, "jug") == {"price": 1234.56}
    assert [change.item_id for change in await store.changes_since(3, "bundle-a")] == ["jug", "mug"]
    assert await store.read_item_digest("mug") != digest
    assert await types.declare({"price": TEXT}) == 2
    assert (await attributes_of(store, "mug"))["price"] == "18"
    assert (await types.read())["sizes"] == FixedType(LIST, False)


async def test_a_type_that_stored_values_lack_is_refused_by_name(store: SqlStore, types: AttributeTypeStore) -> None:
    await post(store, "mug", price="18.00", size="one")
    await post(store, "jug", price="on request")
    await post(store, "pot", price="on request")
    known = await types.read()
    expected = r"'price': 2 items have values that are not a number, such as 'on request' of item 'jug'"
    with pytest.raises(StoredValuesError, match=expected):
        await types.declare({"size": LIST, "price": NUMBER})
    assert await types.read() == known
    assert await attributes_of(store, "mug") == {"price": "18.00", "size": "one"}


async def test_fixing_changes_no_known_type(store: SqlStore, types: AttributeTypeStore) -> None:
    await types.declare({"price": NUMBER})
    await types.fix({"price": TEXT, "brand": TEXT})
    assert await types.read() == {"brand": FixedType(TEXT, False), "price": FixedType(NUMBER, True)}


async def test_a_bundles_values_are_read_as_declared_when_they_move_to_the_store(
    store: SqlStore, types: AttributeTypeStore
) -> None:
    await types.declare({"price": NUMBER, "size": NUMBER})
    trained = Item(item_id="lamp", texts={"title": "Lamp"}, attributes={"price": "40.00", "size": "large"})
    await store.patch_items([ItemPatch(item_id="lamp", attributes={"stock": 1.0})], {"lamp": trained})
    assert await attributes_of(store, "lamp") == {"price": 40.0, "size": "large", "stock": 1.0}
