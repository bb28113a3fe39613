"""Load a shop's two workers at half, full and twice their capacity: latency, memory, and writes lost.

    python -m benchmarks.shop.load [--json FILE] [--quick] [--bundle FOLDER] [--seconds 300]

Nine requests in ten are recommendations, the others feedback, items with pictures, and bulk jobs. PostgreSQL and Redis
are real. A closed loop of clients finds the capacity; each level then has a constant rate. Finally the store's rows are
compared with the acknowledged writes. --seconds is the duration per level. The bundle is that of `make demo-bundle` if
it exists.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.memory import MAX_GROWTH_PERCENT, growth_percent, sampled
from benchmarks.report import Row, run_benchmark
from benchmarks.service.http_load import NO_ANSWER, Answered, Load
from benchmarks.shop.clients import ShopAnswered, ShopClients, count_of_statuses
from benchmarks.shop.run_on_shop import Times, capacity_of, capacity_row, run_on_shop, shop_flags
from benchmarks.shop.running_shop import Shop
from benchmarks.shop.traffic import Kind

LEVELS = {"half": 0.5, "full": 1.0, "twice": 2.0}
"""Share of the capacity, by level."""
SECONDS, QUICK_SECONDS = 300.0, 15.0
SETTLE_SECONDS = 1.0
SOAKED_SECONDS = 120.0
"""Memory must be flat at levels this long: buffers and caches are full by then."""
TOO_MANY, TOO_LATE = 429, 504
MAX_LATE_PERCENT = 1.0
"""A request that would be late should be refused at once, but the service cannot foresee the machine's other load."""


async def measured_load(shop: Shop, clients: ShopClients, times: Times) -> list[Row]:
    """Find the capacity, then measure each level."""
    capacity = await capacity_of(clients, times.capacity_seconds)
    rows = [capacity_row(capacity)]
    for level, share in LEVELS.items():
        async with sampled(shop.service.resident_mib) as memory:
            load = await clients.ask_at_constant_rate(share * capacity, times.seconds)
        rows += load_rows(f"{level} capacity", load, memory, times.seconds)
        await asyncio.sleep(SETTLE_SECONDS)
    return rows


def load_rows(level: str, load: Load[ShopAnswered], memory: Sequence[float], seconds: float) -> list[Row]:
    """Rates, refusals, latencies and memory of one level."""
    refused = load.with_status(TOO_MANY)
    broken = load.with_status(NO_ANSWER)
    late = load.with_status(TOO_LATE)
    named = (TOO_MANY, TOO_LATE, NO_ANSWER)
    others = [answer for answer in load.answers if not answer.is_good and answer.status not in named]
    rows = [
        Row(f"{level}: sent", len(load.answers) / load.seconds, "requests/s", "higher"),
        Row(f"{level}: answered well", load.per_second, "requests/s", "higher"),
        Row(f"{level}: refused with 429", 100 * refused / len(load.answers), "%", "lower"),
        Row(f"{level}: late, 504", 100 * late / len(load.answers), "%", "lower", MAX_LATE_PERCENT),
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
    return [
        *rows,
        Row(f"{level}: memory of all processes at the end", memory[-1], "MiB", "lower"),
        Row(f"{level}: memory growth, second quarter to last", growth_percent(memory), "%", "lower", must),
    ]


def _named(words: str, answers: Sequence[Answered]) -> str:
    return f"{words} ({count_of_statuses(answers)})" if answers else words


def rows(*, bundle: Path | None, seconds: float | None, quick: bool) -> tuple[str, list[Row]]:
    """Describe the shop, and load it at every level."""
    times = Times.of(seconds or (QUICK_SECONDS if quick else SECONDS), quick)
    return run_on_shop(measured_load, bundle, times, "level")


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, shop_flags("level", SECONDS, QUICK_SECONDS)))
