"""Faults of a shop's back end, made on purpose: strike and heal each."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from benchmarks.service.service_process import children_of
from benchmarks.shop.killed_import import kill_import
from benchmarks.shop.running_shop import Shop
from benchmarks.shop.shelf import activation_path
from benchmarks.shop.shifted_clock import set_clock
from service.schemas.feedback import MAX_EVENTS
from tests.postgres_server import WAL_SEGMENT_BYTES

SET_BACK_SECONDS = 3600.0
CALL_SECONDS = 120
NOTICE_SECONDS = 0.1
WELL_SECONDS = 120
NUM_PROBES = 12
"""Each new connection goes to a random worker; this many reach all of them."""
BALLAST_NAMESPACE = "ballast"
FULL_DISK_EVENTS = "full-disk-"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    name: str
    strike: Callable[[Shop], Awaitable[str]]
    """Returns its outcome in words, once it has struck."""
    heal: Callable[[Shop], Awaitable[None]] | None = None
    may_answer: frozenset[int] = frozenset()
    """Statuses excused beside 2xx and 429."""
    may_break_connections: bool = False
    is_store_down: bool = False


async def _kill_worker(shop: Shop) -> str:
    (first, *_) = shop.service.worker_ids()
    os.kill(first, signal.SIGKILL)
    # Connections stay open until its last thread ends; only then does its parent reap it.
    while first in children_of(shop.service.process_id):
        await asyncio.sleep(0.001)
    # The clients have yet to notice that their idle connections to it are closed.
    await asyncio.sleep(NOTICE_SECONDS)
    return "killed one of two"


async def _kill_redis(shop: Shop) -> str:
    await asyncio.to_thread(shop.redis.kill)
    return "killed"


async def _start_redis(shop: Shop) -> None:
    await asyncio.to_thread(shop.redis.start)


async def _crash_postgres(shop: Shop) -> str:
    started_at = time.perf_counter()
    await asyncio.to_thread(shop.postgres.restart, signal.SIGQUIT)
    return f"back after {time.perf_counter() - started_at:.1f} seconds"


async def _stop_postgres(shop: Shop) -> str:
    await asyncio.to_thread(shop.postgres.stop)
    return "stopped"


async def _start_postgres(shop: Shop) -> None:
    await asyncio.to_thread(shop.postgres.start)


async def _fill_disk(shop: Shop) -> str:
    query = "SELECT min(pg_relation_size(name::regclass)) FROM (VALUES ('items'), ('feedback_events')) AS t (name)"
    ((size,),) = await asyncio.to_thread(shop.rows_of, query)
    if int(size) < WAL_SEGMENT_BYTES:
        raise SystemExit(f"the smallest table holds {size} bytes; make_ballast must add {WAL_SEGMENT_BYTES} first")
    await asyncio.to_thread(shop.postgres.fill_disk, int(size))
    # More than the rest of the last pages can hold.
    event = {"user_id": "u" * 200, "item_id": "i" * 200, "type": "impression"}
    events = [event | {"event_id": f"{FULL_DISK_EVENTS}{number}"} for number in range(MAX_EVENTS)]
    async with httpx.AsyncClient(base_url=shop.service.url, timeout=CALL_SECONDS) as client:
        refused = await client.post("/feedback", json={"events": events})
    kept = f"SELECT count(*) FROM feedback_events WHERE event_id LIKE '{FULL_DISK_EVENTS}%'"
    ((num_kept,),) = await asyncio.to_thread(shop.rows_of, kept)
    if refused.status_code != 503 or num_kept != "0":
        raise SystemExit(f"{MAX_EVENTS} events: expected 503 and none kept, got {refused.text} and {num_kept} kept")
    return f"{MAX_EVENTS} events in one call answered 503, none kept"


async def _free_disk(shop: Shop) -> None:
    await asyncio.to_thread(shop.postgres.free_disk)


async def _swap_bundle(shop: Shop) -> str:
    return await _activate(shop, shop.shelf.second, 200)


async def _roll_back(shop: Shop) -> str:
    return await _activate(shop, shop.shelf.first, 200)


async def _offer_damaged(shop: Shop) -> str:
    return await _activate(shop, shop.shelf.damaged, 409)


async def _activate(shop: Shop, bundle_id: str, expected: int) -> str:
    started_at = time.perf_counter()
    async with httpx.AsyncClient(base_url=shop.service.url, timeout=CALL_SECONDS) as client:
        answer = await client.post(activation_path(bundle_id))
        if answer.status_code != expected:
            raise SystemExit(f"{activation_path(bundle_id)}: expected {expected}, got {answer.text}")
    return f"answered {expected} after {time.perf_counter() - started_at:.1f} seconds"


async def _set_clock_back(shop: Shop) -> str:
    before = await _service_time(shop, "before")
    set_clock(shop.clock, -SET_BACK_SECONDS)
    return f"went {before - await _service_time(shop, 'after'):.0f} seconds back"


async def _set_clock_right(shop: Shop) -> None:
    set_clock(shop.clock, 0.0)


async def _service_time(shop: Shop, name: str) -> float:
    """The service's clock: the timestamp that it gives a new event."""
    event = {"event_id": f"clock-{name}", "user_id": f"clock-{name}", "item_id": "clock", "type": "impression"}
    async with httpx.AsyncClient(base_url=shop.service.url, timeout=CALL_SECONDS) as client:
        (await client.post("/feedback", json={"events": [event]})).raise_for_status()
        user = (await client.get(f"/users/{event['user_id']}")).raise_for_status().json()
        (await client.delete(f"/users/{event['user_id']}")).raise_for_status()
    return float(user["events"][0]["timestamp"])


UNAVAILABLE = frozenset({503})
FAULTS = (
    Fault("a worker killed", _kill_worker, may_break_connections=True),
    Fault("Redis down", _kill_redis, _start_redis),
    Fault("PostgreSQL crashed", _crash_postgres, may_answer=UNAVAILABLE, is_store_down=True),
    Fault("PostgreSQL down", _stop_postgres, _start_postgres, may_answer=UNAVAILABLE, is_store_down=True),
    Fault("the store's disk full", _fill_disk, _free_disk, may_answer=UNAVAILABLE),
    Fault("a bundle swapped", _swap_bundle),
    Fault("a bundle rolled back", _roll_back),
    Fault("a damaged bundle offered", _offer_damaged),
    Fault("the clock set back", _set_clock_back, _set_clock_right),
    Fault("an import killed and run again", kill_import),
)


def make_ballast(shop: Shop) -> None:
    """Add rows of an unused namespace, until the tables are as large as the smallest file limit."""
    now = "now()"
    many = "FROM generate_series(1, 10000) AS n"
    shop.rows_of(
        "INSERT INTO feedback_events (namespace, event_id, user_id, item_id, type, timestamp, received_at) "
        f"SELECT '{BALLAST_NAMESPACE}', n, repeat('u', 100), n, 'view', n, {now} {many}"
    )
    shop.rows_of(
        "INSERT INTO items (namespace, item_id, texts, attributes, content_digest, created_at) "
        f"SELECT '{BALLAST_NAMESPACE}', n, json_build_array(repeat('t', 100)), '{{}}', n, {now} {many}"
    )


async def wait_until_well(shop: Shop) -> float:
    """Wait until both workers serve the active bundle. Returns the seconds.

    Raises:
        SystemExit: they do not within WELL_SECONDS.
    """
    started_at = time.perf_counter()
    while not await _is_well(shop):
        if time.perf_counter() - started_at > WELL_SECONDS:
            raise SystemExit(f"the service is not well after {WELL_SECONDS} seconds; read its log")
        await asyncio.sleep(0.2)
    return time.perf_counter() - started_at


async def _is_well(shop: Shop) -> bool:
    (newest,) = await asyncio.to_thread(
        shop.rows_of,
        "SELECT coalesce((SELECT bundle_id FROM bundle_activations ORDER BY sequence DESC LIMIT 1), '')",
    )
    wanted = newest[0] or shop.shelf.first
    if not shop.is_whole:
        return False
    no_kept = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=shop.service.url, timeout=CALL_SECONDS, limits=no_kept) as client:
        for _ in range(NUM_PROBES):
            ready = await client.get("/health/ready")
            answer = await client.post("/recommend", json={"user_id": "nobody", "limit": 1})
            if ready.status_code != 200 or answer.status_code != 200 or answer.json()["bundle_id"] != wanted:
                return False
    return True
