"""A shop's traffic at half, full and twice of what its two workers can do: how long answers take, and what is kept.

    python -m benchmarks.shop_load [--json FILE] [--quick] [--bundle FOLDER] [--seconds 300]

Nine requests in ten want recommendations, the others bring feedback, items with pictures, and bulk jobs. PostgreSQL
and Redis are real. What the service can do is measured first, with clients that wait for each other; then requests
come at a constant rate. In the end, the store's rows are counted against what was acknowledged. --seconds is for each
of the three; --quick takes a few. The bundle is the demo shop's where `make demo-bundle` has made it.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.report import Row, run_benchmark
from benchmarks.serve_load import NO_ANSWER, Answered, Load
from benchmarks.serve_process import ServiceProcess
from benchmarks.shop import Shop, running_shop
from benchmarks.shop_clients import ShopAnswered, ShopClients, catalogue_item_ids, count_of_statuses
from benchmarks.shop_ledger import Ledger
from benchmarks.shop_traffic import Kind, ShopTraffic

CAPACITY_CLIENTS = 32
LEVELS = {"half": 0.5, "full": 1.0, "twice": 2.0}
"""Of the capacity."""
SECONDS, QUICK_SECONDS = 300.0, 15.0
CAPACITY_SECONDS, QUICK_CAPACITY_SECONDS = 30.0, 8.0
SAMPLE_SECONDS = 0.5
SETTLE_SECONDS = 1.0
MAX_GROWTH_PERCENT = 5.0
SOAKED_SECONDS = 120.0
"""From so long on, memory must be flat: buffers and caches are full by then."""
NUM_SERVED_CHECKED = 200
TOO_MANY, TOO_LATE = 429, 504
MAX_LATE_PERCENT = 1.0
"""A request that cannot be answered in time is to be refused at once, but what the machine does next nobody knows."""


def clients_of(shop: Shop, prefix: str = "new") -> ShopClients:
    """Clients who know the catalogue, and have not asked for anything yet; ids of theirs begin with `prefix`."""
    return ShopClients(shop.service.url, ShopTraffic(Ledger(catalogue_item_ids(shop.service.url), prefix)))


async def measured_load(
    service: ServiceProcess, clients: ShopClients, capacity_seconds: float, seconds: float
) -> list[Row]:
    """The capacity, and what becomes of the traffic at each level."""
    await clients.ask_as_fast_as_answered(CAPACITY_CLIENTS, capacity_seconds / 4)
    capacity = (await clients.ask_as_fast_as_answered(CAPACITY_CLIENTS, capacity_seconds)).per_second
    rows = [Row("capacity, as clients that wait for each other find it", capacity, "requests/s", "higher")]
    for level, share in LEVELS.items():
        memory: list[float] = []
        watching = asyncio.create_task(_watch(service, memory))
        load = await clients.ask_at_constant_rate(share * capacity, seconds)
        watching.cancel()
        rows += load_rows(f"{level} capacity", load, memory, seconds)
        await asyncio.sleep(SETTLE_SECONDS)
    return rows


async def _watch(service: ServiceProcess, memory: list[float]) -> None:
    while True:
        memory.append(await asyncio.to_thread(service.resident_mib))
        await asyncio.sleep(SAMPLE_SECONDS)


def load_rows(level: str, load: Load[ShopAnswered], memory: Sequence[float], seconds: float) -> list[Row]:
    """What the issue asks of one level."""
    refused = load.with_status(TOO_MANY)
    broken = load.with_status(NO_ANSWER)
    late = load.with_status(TOO_LATE)
    named = (TOO_MANY, TOO_LATE, NO_ANSWER)
    others = [answer for answer in load.answers if not answer.is_good and answer.status not in named]
    rows = [
        Row(f"{level}: asked", len(load.answers) / load.seconds, "requests/s", "higher"),
        Row(f"{level}: answered well", load.per_second, "requests/s", "higher"),
        Row(f"{level}: refused with 429", 100 * refused / len(load.answers), "%", "lower"),
        Row(f"{level}: too late, 504", 100 * late / len(load.answers), "%", "lower", MAX_LATE_PERCENT),
        Row(f"{level}: {_named('answered with another status', others)}", len(others), "requests", "lower", 0),
        Row(f"{level}: connections broken", broken, "requests", "lower", 0),
    ]
    for kind in Kind:
        of_kind = Load([answer for answer in load.answers if answer.kind is kind], load.seconds)
        if any(answer.is_good for answer in of_kind.answers):
            rows += [
                Row(f"{level}: {kind}, p50", of_kind.percentile_ms(50), "ms", "lower"),
                Row(f"{level}: {kind}, p99", of_kind.percentile_ms(99), "ms", "lower"),
            ]
    must = MAX_GROWTH_PERCENT if seconds >= SOAKED_SECONDS else None
    quarter = max(1, len(memory) // 4)
    second, last = max(memory[quarter : 2 * quarter]), max(memory[-quarter:])
    return [
        *rows,
        Row(f"{level}: memory of all processes at the end", memory[-1], "MiB", "lower"),
        Row(
            f"{level}: memory, growth from the second quarter to the last",
            100 * (last / second - 1),
            "%",
            "lower",
            must,
        ),
    ]


def _named(words: str, answers: Sequence[Answered]) -> str:
    return f"{words} ({count_of_statuses(answers)})" if answers else words


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


def _counted(counts: "dict[str, int]") -> str:
    return f" ({', '.join(f'{name}: {count}' for name, count in counts.items())})" if counts else ""


def num_unserved(url: str, ledger: Ledger) -> int:
    """Of the newest items that are kept, how many a worker does not know; each is asked for anew, of any worker."""
    newest = list(ledger.prices)[-NUM_SERVED_CHECKED:]
    with httpx.Client(base_url=url, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        return sum(client.get(f"/items/{item_id}").status_code != 200 for item_id in newest)


def rows_of(bundle: Path | None, seconds: float, capacity_seconds: float) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    with TemporaryDirectory() as folder, running_shop(Path(folder), bundle) as shop:

        async def measure() -> tuple[list[Row], ShopClients]:
            clients = clients_of(shop)
            rows = await measured_load(shop.service, clients, capacity_seconds, seconds)
            await clients.close()
            return rows, clients

        rows, clients = asyncio.run(measure())
        rows += kept_rows(shop, clients)
        return f"{shop.name}; 2 workers of one thread, PostgreSQL, Redis; {seconds:g} seconds a level", rows


def main() -> int:
    """Take our own flags off the command line; the rest is every benchmark's."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--seconds", type=float)
    own, rest = parser.parse_known_args()

    def measure(quick: bool) -> tuple[str, list[Row]]:
        seconds = own.seconds or (QUICK_SECONDS if quick else SECONDS)
        return rows_of(own.bundle, seconds, QUICK_CAPACITY_SECONDS if quick else CAPACITY_SECONDS)

    return run_benchmark(measure, rest)


if __name__ == "__main__":
    sys.exit(main())
