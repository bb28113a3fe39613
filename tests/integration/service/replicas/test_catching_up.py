"""Two services in one process on one store: each soon serves the other's items, with the same features."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from tests.postgres_server import PostgresServer
from tests.running_service import running_service
from tests.tiny import tiny_bundle

PROMISED_SECONDS = 2.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=30))


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'clairo.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


async def post(client: httpx.AsyncClient, item_id: str) -> None:
    item = {"item_id": item_id, "title": "blue mug", "description": "A mug for every day, in blue."}
    answer = await client.post("/items", json=item)
    assert answer.status_code == 201, answer.text


async def test_an_item_posted_to_one_is_soon_recommendable_on_the_other(bundle: Bundle, database_url: str) -> None:
    async with (
        running_service(bundle, database_url=database_url, migrate=True) as one,
        running_service(bundle, database_url=database_url, migrate=True) as other,
    ):
        await post(one, "mug")
        posted_at = time.monotonic()
        body = {"history": ["mug"], "limit": 1}
        async with asyncio.timeout(20):
            while (await other.post("/recommend", json=body)).json()["ignored_item_ids"]:
                await asyncio.sleep(0.02)
        assert time.monotonic() - posted_at < PROMISED_SECONDS

        twins = [f"twin-{number}" for number in range(8)]
        await asyncio.gather(*(post((one, other)[place % 2], item_id) for place, item_id in enumerate(twins)))

        async def features_on(client: httpx.AsyncClient) -> list[str]:
            found = [(await client.get(f"/items/{item_id}")).json() for item_id in twins]
            return [str(item.get("feature_set")) for item in found]

        async with asyncio.timeout(20):
            while "None" in (there := await features_on(one) + await features_on(other)):
                await asyncio.sleep(0.05)
        assert there[:8] == there[8:]
        assert len(set(there)) == 8


async def test_an_item_can_be_changed_through_one_right_after_it_was_posted_to_the_other(
    bundle: Bundle, database_url: str
) -> None:
    async with (
        running_service(bundle, database_url=database_url, migrate=True) as one,
        running_service(bundle, database_url=database_url, migrate=True) as other,
    ):
        for number in range(3):
            await post(one, f"mug-{number}")
            changed = await other.patch(f"/items/mug-{number}", json={"attributes": {"price": "17.00"}})
            assert changed.status_code == 200, changed.text
        assert (await other.patch("/items/nothing", json={"title": "Nothing"})).status_code == 404
