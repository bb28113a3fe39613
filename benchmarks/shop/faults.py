"""One fault after another under a shop's traffic at half of capacity, and what its clients saw of each.

    python -m benchmarks.shop.faults [--json FILE] [--quick] [--bundle FOLDER] [--seconds 60]

A worker killed, Redis gone, PostgreSQL crashed, then away for a while, its disk full, a bundle swapped, rolled back, a
damaged one offered, the clock set back an hour. Nothing that was acknowledged may be lost, no answer wrong; requests
may fail that were in flight on the killed process, or that need the store while it cannot be used, and those with 503.
--seconds is for each fault.
"""

import asyncio
import sys
import time

from benchmarks.report import Row
from benchmarks.shop.clients import ShopClients, count_of_statuses
from benchmarks.shop.fault_kinds import FAULTS, Fault, make_ballast, wait_until_well
from benchmarks.shop.shop import Shop
from benchmarks.shop.shop_benchmark import Times, capacity_of, capacity_row, run_shop_benchmark
from benchmarks.speed.serve_load import NO_ANSWER

SECONDS, QUICK_SECONDS = 60.0, 12.0
STRIKE_AT, HEAL_AT = 0.2, 0.5
"""Of a fault's seconds."""
TOO_MANY = 429


async def measured_faults(shop: Shop, clients: ShopClients, times: Times) -> list[Row]:
    """What clients see of each fault, at half of the capacity that they find first."""
    await asyncio.to_thread(make_ballast, shop)
    capacity = await capacity_of(clients, times.capacity_seconds)
    rows = [capacity_row(capacity)]
    for fault in FAULTS:
        rows += await _seen_of(fault, shop, clients, capacity / 2, times.seconds)
    return rows


async def _seen_of(fault: Fault, shop: Shop, clients: ShopClients, per_second: float, seconds: float) -> list[Row]:
    promised = clients.ledger.stale_seconds
    if fault.is_store_away:
        # What one worker has retired, the other cannot know until the store is back.
        clients.ledger.stale_seconds = promised + seconds
    loading = asyncio.create_task(clients.ask_at_constant_rate(per_second, seconds))
    await asyncio.sleep(STRIKE_AT * seconds)
    strikes_at = time.perf_counter()
    outcome = await fault.strike(shop)
    has_struck_at = time.perf_counter()
    if fault.heal is not None:
        await asyncio.sleep((HEAL_AT - STRIKE_AT) * seconds)
        await fault.heal(shop)
    load = await loading
    well_after = await wait_until_well(shop)
    clients.ledger.stale_seconds = promised
    met_it = [answer for answer in load.answers if answer.sent_at < has_struck_at and answer.ended_at > strikes_at]
    failed = [answer for answer in load.answers if not answer.is_good and answer.status != TOO_MANY]
    broken = [answer for answer in failed if answer.status == NO_ANSWER]
    excused = [answer for answer in broken if fault.may_break_connections and answer in met_it]
    others = [answer for answer in failed if answer.status not in (NO_ANSWER, *fault.may_answer)]
    return [
        Row(
            f"{fault.name}: {outcome}; answers {count_of_statuses(load.answers)}", len(load.answers), "asked", "higher"
        ),
        Row(f"{fault.name}: in flight while it struck", len(met_it), "requests", "lower"),
        Row(f"{fault.name}: connections broken, of those", len(excused), "requests", "lower"),
        Row(f"{fault.name}: connections broken else", len(broken) - len(excused), "requests", "lower", 0),
        Row(f"{fault.name}: failed otherwise", len(others), "requests", "lower", 0),
        Row(f"{fault.name}: p99 of good answers", load.percentile_ms(99), "ms", "lower"),
        Row(f"{fault.name}: all well again, after the load", well_after, "s", "lower"),
    ]


if __name__ == "__main__":
    sys.exit(run_shop_benchmark(measured_faults, "a fault", SECONDS, QUICK_SECONDS, can_set_clock=True))
