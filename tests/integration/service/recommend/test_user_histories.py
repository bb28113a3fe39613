"""POST /recommend with a stored history."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from service.errors import StoreError
from tests.running_service import running_service
from tests.tiny import tiny_bundle


class FakeUserHistories:
    """User histories in a dictionary; those of `broken` cannot be read."""

    def __init__(self, histories: dict[str, tuple[str, ...]]) -> None:
        self._histories = histories

    async def user_history(self, user_id: str) -> tuple[str, ...]:
        if user_id == "broken":
            raise StoreError("disk full")
        return self._histories.get(user_id, ())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))


@pytest.fixture
async def client(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle) as client:
        readiness = client._transport.app.state.readiness  # type: ignore[attr-defined]
        histories = FakeUserHistories({"ann": ("item-1", "item-2", "gone"), "bob": ("gone",)})
        readiness.parts = dataclasses.replace(readiness.parts, feedback=histories)
        yield client


async def items_of(client: httpx.AsyncClient, **request: Any) -> list[dict[str, Any]]:
    answer = await client.post("/recommend", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


async def test_a_stored_history_gets_the_same_answer_as_a_sent_one(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/recommend", json={"user_id": "ann"})).json()
    assert answer["ignored_item_ids"] == ["gone"]
    assert answer["fallback_reason"] is None
    assert answer["items"] == await items_of(client, history=["item-1", "item-2"])


async def test_a_sent_history_overrides_the_stored_one(client: httpx.AsyncClient) -> None:
    assert await items_of(client, user_id="ann", history=["item-5"]) == await items_of(client, history=["item-5"])


@pytest.mark.parametrize(("user_id", "reason"), [("nobody", "empty_history"), ("bob", "unknown_history")])
async def test_a_user_without_a_known_history_gets_the_popular_items(
    client: httpx.AsyncClient, user_id: str, reason: str
) -> None:
    answer = (await client.post("/recommend", json={"user_id": user_id, "limit": 4})).json()
    assert answer["fallback_reason"] == reason
    assert answer["items"] == await items_of(client, history=[], limit=4)


async def test_a_store_that_cannot_be_read_is_a_503(client: httpx.AsyncClient) -> None:
    answer = await client.post("/recommend", json={"user_id": "broken"})
    assert answer.status_code == 503
    assert "disk" not in answer.text


async def test_neither_history_nor_user_is_an_error(client: httpx.AsyncClient) -> None:
    answer = await client.post("/recommend", json={"limit": 3})
    assert answer.status_code == 422
    assert "expected a history" in answer.json()["detail"]
