"""Change prices and stocks of a whole catalogue while clients ask for recommendations of what is in stock.

    python -m benchmarks.shop.patches [--json FILE] [--quick] [--bundle FOLDER] [--changes 5000] [--rounds 1]

An hour is compressed to five minutes: clients ask at a constant rate, half of the capacity, and in every other hour
PATCH /items makes 5,000 changes of price and stock, a thousand per call, spread over the hour, and over the catalogue
again and again if it is smaller. Times of both kinds of hours are compared, and those of requests beside a PATCH.
No answer may have an item that was acknowledged as sold out a second before, and no picture may be lost.
Needs bundles/demo of `make demo-bundle`, or --bundle. The first patch, which moves the bundle's items to the store,
comes before and is timed apart.
"""

import asyncio
import itertools
import json
import math
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from benchmarks.report import Row, run_benchmark
from benchmarks.repository import DEMO_BUNDLE
from benchmarks.service.http_load import Answered, ConnectionPool, Load, as_fast_as_answered, at_constant_rate
from benchmarks.service.service_process import served_bundle
from benchmarks.shop.clients import catalogue_item_ids
from benchmarks.shop.stock import IN_STOCK, MAX_PATCHES, Stock

NUM_CLIENTS = 20
HOUR_SECONDS, QUICK_HOUR_SECONDS = 300.0, 8.0
CAPACITY_SECONDS, QUICK_CAPACITY_SECONDS = 10.0, 4.0
PROMISED_SECONDS = 1.0
LIMIT = 10
AIMED_RATIO = 1.2


class StockedShop:
    """A service whose stock changes, and its clients."""

    def __init__(self, url: str, num_changes: int) -> None:
        self._pool = ConnectionPool(url)
        self._item_ids = catalogue_item_ids(url)
        self._passes = max(1, round(num_changes / len(self._item_ids)))
        self._bodies = _bodies(self._item_ids)
        self.stock = Stock(self._item_ids)
        self.patch_seconds: list[float] = []
        """Of each call of PATCH /items."""
        self.beside_patches: list[Answered] = []
        """Requests that a PATCH overlapped."""
        self._is_patching = False

    @property
    def num_changes(self) -> int:
        """Number of changes in an hour."""
        return self._passes * len(self._item_ids)

    async def patch_all(self, pause_seconds: float = 0.0) -> None:
        """Change price and stock of all items, with a pause before each call."""
        for patches in self.stock.next_patches():
            await asyncio.sleep(pause_seconds)
            self.stock.send(patches)
            body = json.dumps({"items": patches}).encode()
            started_at, self._is_patching = time.perf_counter(), True
            answer = await self._pool.ask("PATCH", "/items", body)
            self._is_patching = False
            self.patch_seconds.append(time.perf_counter() - started_at)
            if answer.status != 200:
                raise SystemExit(f"PATCH /items: expected 200, got {answer.status}: {answer.body.decode()}")
            self.stock.acknowledge(patches)

    async def capacity(self, seconds: float) -> float:
        """Recommendations per second in a closed loop."""
        answers: list[Answered] = []

        async def ask() -> None:
            answers.append(await self._ask(time.perf_counter()))

        took = await as_fast_as_answered(ask, NUM_CLIENTS, seconds)
        return Load(answers, took).per_second

    async def hour(self, per_second: float, seconds: float, *, is_patched: bool) -> list[Answered]:
        """Ask at a constant rate, and patch all items meanwhile if `is_patched`."""
        answers: list[Answered] = []

        async def ask(due_at: float) -> None:
            answers.append(await self._ask(due_at))

        asking = asyncio.create_task(at_constant_rate(ask, per_second, seconds))
        if is_patched:
            num_calls = math.ceil(self.num_changes / MAX_PATCHES)
            for _ in range(self._passes):
                await self.patch_all(seconds / (num_calls + 1))
        await asking
        return answers

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _ask(self, due_at: float) -> Answered:
        sent_at, is_beside = time.perf_counter(), self._is_patching
        answer = await self._pool.ask("POST", "/recommend", next(self._bodies))
        if answer.status == 200:
            item_ids = [item["item_id"] for item in json.loads(answer.body)["items"]]
            self.stock.check(item_ids, sent_at, PROMISED_SECONDS)
        answered = Answered(answer.status, time.perf_counter() - due_at)
        if is_beside or self._is_patching:
            self.beside_patches.append(answered)
        return answered


def _bodies(item_ids: list[str]) -> Iterator[bytes]:
    """Requests for what is in stock, no two alike."""
    random = np.random.default_rng(0)
    for seed in itertools.count():
        history = [item_ids[row] for row in random.integers(len(item_ids), size=5)]
        yield json.dumps({"history": history, "limit": LIMIT, "seed": seed, "filter": IN_STOCK}).encode()


async def measured(url: str, num_changes: int, rounds: int, quick: bool) -> tuple[str, list[Row]]:
    """Measure hours with and without patches, in turn."""
    seconds = QUICK_HOUR_SECONDS if quick else HOUR_SECONDS
    pictures = await asyncio.to_thread(num_pictures, url)
    shop = StockedShop(url, num_changes)
    await shop.patch_all()
    moved, shop.patch_seconds = shop.patch_seconds, []
    per_second = await shop.capacity(QUICK_CAPACITY_SECONDS if quick else CAPACITY_SECONDS) / 2
    answers: dict[bool, list[Answered]] = {False: [], True: []}
    for _ in range(rounds):
        for is_patched in (False, True):
            answers[is_patched] += await shop.hour(per_second, seconds, is_patched=is_patched)
    await shop.close()
    loads = {is_patched: Load(of_hours, rounds * seconds) for is_patched, of_hours in answers.items()}
    without, with_patches = (loads[is_patched].percentile_ms(99) for is_patched in (False, True))
    failed = sum(not answer.is_good for of_hours in answers.values() for answer in of_hours)
    lost = pictures - await asyncio.to_thread(num_pictures, url)
    return f"{shop.num_changes} changes per hour of {seconds:g} s, {per_second:.0f} requests per second", [
        Row("p99 without patches", without, "ms", "lower"),
        Row("p99 with patches", with_patches, "ms", "lower"),
        Row("p99 with / without", with_patches / without, "times", "lower", aim=AIMED_RATIO),
        Row("p99 beside a PATCH", Load(shop.beside_patches, rounds * seconds).percentile_ms(99), "ms", "lower"),
        Row("PATCH of 1,000 items of the bundle", float(np.median(moved)), "s", "lower"),
        Row("PATCH of 1,000 items, again", float(np.median(shop.patch_seconds)), "s", "lower", aim=1.0),
        Row("answers with an item sold out a second before", shop.stock.num_wrong, "items", "lower", 0),
        Row("lost pictures", lost, "pictures", "lower", 0),
        Row("failed requests", failed, "requests", "lower", 0),
    ]


def num_pictures(url: str) -> int:
    """Count items with a picture."""
    count, query = 0, {"limit": "200"}
    with httpx.Client(base_url=url) as client:
        while True:
            page = client.get("/items", params=query).raise_for_status().json()
            count += sum(item["picture_url"] is not None for item in page["items"])
            if page["next_cursor"] is None:
                return count
            query["cursor"] = page["next_cursor"]


def rows(*, bundle: Path, changes: int, rounds: int, quick: bool) -> tuple[str, list[Row]]:
    """Serve the bundle, and measure."""
    with TemporaryDirectory() as folder, served_bundle(bundle, Path(folder)) as service:
        described, table = asyncio.run(measured(service.url, changes, rounds, quick))
    return f"{bundle.name}: {described}", table


def _flags() -> ArgumentParser:
    flags = ArgumentParser(add_help=False)
    flags.add_argument("--bundle", type=Path, default=DEMO_BUNDLE, help="bundle to serve (default: bundles/demo)")
    flags.add_argument("--changes", type=int, default=5000, help="price changes per hour (default: 5000)")
    flags.add_argument("--rounds", type=int, default=1, help="hours of each kind (default: 1)")
    return flags


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, _flags()))
