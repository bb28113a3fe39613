"""What the benchmarks on a running shop share: their flags, clients who know it, and the count of what was kept."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.report import Row, run_benchmark
from benchmarks.shop.clients import ShopClients, catalogue_item_ids
from benchmarks.shop.ledger import Ledger
from benchmarks.shop.shop import Shop, running_shop
from benchmarks.shop.traffic import ShopTraffic

CAPACITY_CLIENTS = 32
CAPACITY_SECONDS, QUICK_CAPACITY_SECONDS = 30.0, 8.0
NUM_SERVED_CHECKED = 200


@dataclass(frozen=True)
class Times:
    """How long to ask."""

    capacity_seconds: float
    """With clients that wait for each other, to find out what the shop can do."""
    seconds: float
    """Of each part of what is measured then."""


Measure = Callable[[Shop, ShopClients, Times], Awaitable[list[Row]]]


def run_shop_benchmark(
    measure: Measure, part: str, seconds: float, quick_seconds: float, *, can_set_clock: bool = False
) -> int:
    """Take our own flags, --bundle and --seconds, off the command line; the rest is every benchmark's.

    Args:
        measure: What to do to the shop.
        part: What --seconds are for: a level, a fault.
        seconds: Where the flag is not there.
        quick_seconds: The same, with --quick.
        can_set_clock: Whether the shop runs by a clock of its own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--seconds", type=float)
    own, rest = parser.parse_known_args()

    def table(quick: bool) -> tuple[str, list[Row]]:
        times = Times(
            QUICK_CAPACITY_SECONDS if quick else CAPACITY_SECONDS,
            own.seconds or (quick_seconds if quick else seconds),
        )
        with (
            TemporaryDirectory() as folder,
            running_shop(Path(folder), own.bundle, can_set_clock=can_set_clock) as shop,
        ):
            rows, _ = measured_on(shop, measure, times)
            name = f"{shop.name}; 2 workers of one thread, PostgreSQL, Redis; {times.seconds:g} seconds {part}"
            return name, rows

    return run_benchmark(table, rest)


def measured_on(shop: Shop, measure: Measure, times: Times, prefix: str = "new") -> tuple[list[Row], ShopClients]:
    """The rows of `measure` and of what was kept, and the clients who asked; ids of theirs begin with `prefix`."""

    async def rows_and_clients() -> tuple[list[Row], ShopClients]:
        clients = ShopClients(shop.service.url, ShopTraffic(Ledger(catalogue_item_ids(shop.service.url), prefix)))
        rows = await measure(shop, clients, times)
        await clients.close()
        return rows, clients

    rows, clients = asyncio.run(rows_and_clients())
    return rows + kept_rows(shop, clients), clients


async def capacity_of(clients: ShopClients, capacity_seconds: float) -> float:
    """Requests a second that clients who wait for each other find, once all is warm."""
    await clients.ask_as_fast_as_answered(CAPACITY_CLIENTS, capacity_seconds / 4)
    return (await clients.ask_as_fast_as_answered(CAPACITY_CLIENTS, capacity_seconds)).per_second


def capacity_row(per_second: float) -> Row:
    """How the tables name it."""
    return Row("capacity, as clients that wait for each other find it", per_second, "requests/s", "higher")


def kept_rows(shop: Shop, clients: ShopClients) -> list[Row]:
    """What the store and the workers have, against what was acknowledged; and what was wrong with answers."""
    shop.wait_for_jobs()
    ledger = clients.ledger
    items = f"FROM items WHERE namespace = 'default' AND item_id LIKE '{ledger.prefix}-%'"
    prices = {row[0]: row[1] for row in shop.rows_of(f"SELECT item_id, attributes->>'price' {items}")}
    changes = f"FROM catalogue_changes WHERE namespace = 'default' AND item_id LIKE '{ledger.prefix}-%'"
    newest = shop.rows_of(f"SELECT DISTINCT ON (item_id) item_id, kind {changes} ORDER BY item_id, version DESC")
    retired = {item_id for item_id, kind in newest if kind == "retired"}
    feedback = f"FROM feedback_events WHERE namespace = 'default' AND event_id LIKE '{ledger.prefix}-%'"
    events = {row[0] for row in shop.rows_of(f"SELECT event_id {feedback}")}
    lost = ledger.lost_in(prices, retired, events)
    wrong = ledger.wrong
    acknowledged = {
        "items": len(ledger.prices),
        "retirements": len(ledger.retired_at),
        "events": len(ledger.events),
    }
    return [
        *(Row(f"acknowledged: {name}", count, "rows", "higher") for name, count in acknowledged.items()),
        *(Row(f"not kept, of those: {name}", count, "rows", "lower", 0) for name, count in lost.items()),
        Row("kept, but not served", num_unserved(shop.service.url, ledger), "items", "lower", 0),
        Row(f"wrong answers{_counted(wrong)}", wrong.total(), "answers", "lower", 0),
        Row(f"undeclared answers{_counted(clients.undeclared)}", clients.undeclared.total(), "answers", "lower", 0),
        Row("tracebacks in the service's log", shop.num_tracebacks(), "errors", "lower", 0),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name}: {count}' for name, count in counts.items())})" if counts else ""


def num_unserved(url: str, ledger: Ledger) -> int:
    """Of the newest items that are kept, how many a worker does not know; each is asked for anew, of any worker."""
    newest = list(ledger.prices)[-NUM_SERVED_CHECKED:]
    with httpx.Client(base_url=url, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        return sum(client.get(f"/items/{item_id}").status_code != 200 for item_id in newest)
