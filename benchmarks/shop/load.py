"""A shop's traffic at half, full and twice of what its two workers can do: how long answers take, and what is kept.

    python -m benchmarks.shop.load [--json FILE] [--quick] [--bundle FOLDER] [--seconds 300]

Nine requests in ten want recommendations, the others bring feedback, items with pictures, and bulk jobs. PostgreSQL
and Redis are real. What the service can do is measured first, with clients that wait for each other; then requests
come at a constant rate. In the end, the store's rows are counted against what was acknowledged. --seconds is for each
of the three; --quick takes a few. The bundle is the demo shop's where `make demo-bundle` has made it.
"""

import asyncio
import sys
from collections.abc import Sequence

from benchmarks.report import Row
from benchmarks.shop.clients import ShopAnswered, ShopClients, count_of_statuses
from benchmarks.shop.shop import Shop
from benchmarks.shop.shop_benchmark import Times, capacity_of, capacity_row, run_shop_benchmark
from benchmarks.shop.traffic import Kind
from benchmarks.speed.serve_load import NO_ANSWER, Answered, Load
from benchmarks.speed.serve_process import ServiceProcess

LEVELS = {"half": 0.5, "full": 1.0, "twice": 2.0}
"""Of the capacity."""
SECONDS, QUICK_SECONDS = 300.0, 15.0
SAMPLE_SECONDS = 0.5
SETTLE_SECONDS = 1.0
MAX_GROWTH_PERCENT = 5.0
SOAKED_SECONDS = 120.0
"""From so long on, memory must be flat: buffers and caches are full by then."""
TOO_MANY, TOO_LATE = 429, 504
MAX_LATE_PERCENT = 1.0
"""A request that cannot be answered in time is to be refused at once, but what the machine does next nobody knows."""


async def measured_load(shop: Shop, clients: ShopClients, times: Times) -> list[Row]:
    """The capacity, and what becomes of the traffic at each level."""
    capacity = await capacity_of(clients, times.capacity_seconds)
    rows = [capacity_row(capacity)]
    for level, share in LEVELS.items():
        memory: list[float] = []
        watching = asyncio.create_task(_watch(shop.service, memory))
        load = await clients.ask_at_constant_rate(share * capacity, times.seconds)
        watching.cancel()
        rows += load_rows(f"{level} capacity", load, memory, times.seconds)
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


if __name__ == "__main__":
    sys.exit(run_shop_benchmark(measured_load, "a level", SECONDS, QUICK_SECONDS))
