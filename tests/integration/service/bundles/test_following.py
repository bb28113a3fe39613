"""Two processes on one store: what one does while the other loads a bundle, and what a swap replaces at once."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from service.app import open_parts
from service.bundles import shelf
from service.settings import Settings
from tests.running_service import running_service

MUG = {"item_id": "posted-mug", "title": "blue mug 99", "description": "A mug for every day, in blue."}


@pytest.fixture
def bundles(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundles"))


@pytest.fixture
async def processes(bundles: Path) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    settings = {"bundles_dir": bundles, "database_url": f"sqlite:///{bundles.parent / 'clairo.db'}"}
    first = load_bundle(bundles / "first")
    async with running_service(first, **settings) as one, running_service(first, **settings) as other:
        yield one, other


class SlowLoads:
    """Loads the first bundle at once, and each later one when it may, or fails."""

    def __init__(self) -> None:
        self.num_begun = 0
        self.may_end = threading.Event()
        self.failure: Exception | None = None

    def __call__(self, folder: Path) -> Bundle:
        self.num_begun += 1
        if self.num_begun > 1:
            self.may_end.wait(timeout=30)
            if self.failure is not None:
                raise self.failure
        return load_bundle(folder)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowLoads]:
    loads = SlowLoads()
    monkeypatch.setattr(shelf, "load_bundle", loads)
    yield loads
    loads.may_end.set()


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await is_so():
            await asyncio.sleep(0.02)


async def test_items_are_followed_while_another_processs_bundle_is_loaded(
    processes: tuple[httpx.AsyncClient, httpx.AsyncClient], loads: SlowLoads, bundles: Path
) -> None:
    one, other = processes
    second = read_manifest(bundles / "second").bundle_id

    async def serves_second() -> bool:
        return bool((await other.get("/info")).json()["bundle_id"] == second)

    async def is_loading() -> bool:
        return loads.num_begun == 2

    async def has_mug() -> bool:
        return (await other.get("/items/posted-mug")).status_code == 200

    async def has_retired_one() -> bool:
        return bool((await other.get("/items/item-3")).json()["is_retired"])

    assert (await one.post(f"/bundles/{second}/activate", timeout=60)).status_code == 200
    await until(is_loading)
    assert (await one.post("/items", json=MUG)).status_code == 201
    assert (await one.delete("/items/item-3")).status_code == 204
    await until(has_mug)
    await until(has_retired_one)
    assert not await serves_second()
    loads.may_end.set()
    await until(serves_second)
    assert await has_mug()


async def test_a_process_that_fails_to_load_the_activated_bundle_is_degraded_and_does_not_try_all_the_time(
    processes: tuple[httpx.AsyncClient, httpx.AsyncClient], loads: SlowLoads, bundles: Path
) -> None:
    one, other = processes
    second = read_manifest(bundles / "second").bundle_id
    loads.failure = RuntimeError("CUDA out of memory")
    loads.may_end.set()

    async def is_degraded() -> bool:
        return bool((await other.get("/health/ready")).json()["status"] == "degraded")

    async def has_mug() -> bool:
        return (await other.get("/items/posted-mug")).status_code == 200

    assert (await one.post(f"/bundles/{second}/activate", timeout=60)).status_code == 200
    await until(is_degraded)
    assert (await one.post("/items", json=MUG)).status_code == 201
    await until(has_mug)
    assert loads.num_begun == 2


async def test_an_experiment_can_be_ended_through_a_process_that_still_loads_its_bundle(
    processes: tuple[httpx.AsyncClient, httpx.AsyncClient], loads: SlowLoads, bundles: Path
) -> None:
    one, other = processes

    async def is_loading() -> bool:
        return loads.num_begun == 2

    async def has_ended() -> bool:
        return not (await one.get("/experiments")).json()["experiments"][0]["is_running"]

    sent = {"name": "next", "share": 0.5, "bundle_id": read_manifest(bundles / "second").bundle_id}
    assert (await one.post("/experiments", json=sent, timeout=60)).status_code == 201
    await until(is_loading)
    assert (await other.delete("/experiments/another")).status_code == 404
    assert (await other.delete("/experiments/next")).status_code == 204
    await until(has_ended)


async def test_a_swap_replaces_catalogue_and_counts_at_one_moment(bundles: Path) -> None:
    second = read_manifest(bundles / "second").bundle_id
    settings = Settings(
        bundle=bundles / "first",
        bundles_dir=bundles,
        database_url="sqlite:///:memory:",
        device="cpu",
        num_views=1,
        live_counts_seconds=0,
    )
    async with open_parts(settings) as parts:
        served, seen = parts.served, []
        activating = asyncio.create_task(parts.swap.activate(second))
        while not activating.done():
            of_moment = served.live.bundle, served.counts.pairs
            if of_moment not in seen:
                seen.append(of_moment)
            await asyncio.sleep(0)
        assert [bundle.folder.name for bundle, _ in seen] == ["first", "second"]
