"""Prices and stocks change every hour while clients recommend: no picture is lost, nothing sold out is recommended.

`PATCHED_HOURS` is how many hours; a week has 168.
"""

import asyncio
import os
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from benchmarks.shop.stock import IN_STOCK, Stock
from clairo_core.bundle.load_bundle import load_bundle
from tests.running_service import running_service
from tests.tiny import tiny_bundle

NUM_HOURS = int(os.environ.get("PATCHED_HOURS", "3"))
NUM_ITEMS = 2000
NUM_CLIENTS = 20
PROMISED_SECONDS = 1.0


async def patch_all(client: httpx.AsyncClient, stock: Stock) -> None:
    for patches in stock.next_patches():
        stock.send(patches)
        answer = await client.patch("/items", json={"items": patches})
        assert answer.status_code == 200, answer.text
        stock.acknowledge(patches)


async def recommend_until(is_over: asyncio.Event, client: httpx.AsyncClient, stock: Stock, seed: int) -> int:
    random = np.random.default_rng(seed)
    num_answers = 0
    while not is_over.is_set():
        sent_at = time.perf_counter()
        history = [f"item-{row}" for row in random.integers(NUM_ITEMS, size=5)]
        answer = await client.post("/recommend", json={"history": history, "limit": 10, "filter": IN_STOCK})
        if answer.status_code == 429:
            continue
        items = answer.json()["items"]
        assert len(items) == 10
        # In one process it holds from the acknowledgement on.
        stock.check([item["item_id"] for item in items], sent_at, promised_seconds=0.0)
        num_answers += 1
    return num_answers


@pytest.mark.timeout(0 if NUM_HOURS > 10 else 300)
async def test_nothing_sold_out_is_recommended_and_no_picture_is_lost(tmp_path: Path) -> None:
    bundle = load_bundle(tiny_bundle(tmp_path / "bundle", num_items=NUM_ITEMS, can_ingest=False))
    stock, is_over = Stock(bundle.catalogue.item_ids), asyncio.Event()
    async with running_service(bundle, data_dir=tmp_path, database_url="", request_deadline_seconds=60) as client:
        await patch_all(client, stock)
        clients = [asyncio.create_task(recommend_until(is_over, client, stock, seed)) for seed in range(NUM_CLIENTS)]
        for _ in range(NUM_HOURS):
            await patch_all(client, stock)
        is_over.set()
        assert sum(await asyncio.gather(*clients)) >= NUM_CLIENTS
        assert stock.num_wrong == 0
        for row in range(0, NUM_ITEMS, 97):
            picture = await client.get(f"/items/item-{row}/picture")
            assert picture.content == (bundle.read_picture(row) or picture.content)
            assert (picture.status_code == 200) == bundle.has_picture(row)
