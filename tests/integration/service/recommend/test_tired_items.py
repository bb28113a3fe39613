"""Impressions without an action: items that a user was shown often are left out for him, if the settings say so."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from service.routes.recommend import TIRED_SECONDS
from tests.running_service import running_service

DAY = 24 * 3600


@pytest.fixture
async def shop(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, tired_after_impressions=3) as client:
        yield client


async def send(client: httpx.AsyncClient, kind: str, item_id: str, *ages: float, user_id: str = "ann") -> None:
    """Send events that happened `ages` seconds ago."""
    now = time.time()
    events = [
        {
            "event_id": f"{user_id}-{kind}-{item_id}-{age}",
            "user_id": user_id,
            "item_id": item_id,
            "type": kind,
            "timestamp": now - age,
        }
        for age in ages
    ]
    assert (await client.post("/feedback", json={"events": events})).status_code == 200


async def listed(client: httpx.AsyncClient, **request: Any) -> set[str]:
    answer = await client.post("/recommend", json={"user_id": "ann", "limit": 60} | request)
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"]}


async def test_an_item_shown_thrice_is_left_out_for_this_user_until_he_acts_on_it(shop: httpx.AsyncClient) -> None:
    await send(shop, "view", "item-1", 9 * DAY)
    await send(shop, "impression", "item-7", 3 * DAY, 2 * DAY)
    await send(shop, "impression", "item-8", 3 * DAY, 2 * DAY, DAY)
    assert {"item-7", "item-8"} & await listed(shop) == {"item-7"}
    assert "item-8" not in await listed(shop, include_seen=True)
    assert "item-8" in await listed(shop, user_id="bob")
    assert "item-8" in await listed(shop, history=["item-1"])
    await send(shop, "view", "item-8", 60)
    assert "item-8" in await listed(shop, include_seen=True)


async def test_after_thirty_days_an_impression_counts_no_more(shop: httpx.AsyncClient) -> None:
    await send(shop, "impression", "item-7", TIRED_SECONDS + 60, DAY, 60)
    await send(shop, "impression", "item-8", TIRED_SECONDS - 60, DAY, 60)
    assert {"item-7", "item-8"} & await listed(shop) == {"item-7"}


async def test_by_default_nobody_tires(bundle: Bundle) -> None:
    async with running_service(bundle) as client:
        await send(client, "impression", "item-7", *range(50))
        assert "item-7" in await listed(client)
