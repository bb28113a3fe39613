"""Strike a shop with one fault after another under traffic at half of its capacity, and count failed requests.

    python -m benchmarks.shop.faults [--json FILE] [--quick] [--bundle FOLDER] [--seconds 60]

A worker killed, Redis down, PostgreSQL crashed, then down for a while, its disk full, a bundle swapped, rolled back, a
damaged one offered, the clock set back an hour, an import killed and run again. No acknowledged write may be lost, no
answer wrong. A request may fail only if it was in flight on the killed process, or with 503 if it needs the store while
that is unusable.
--seconds is the duration per fault.
"""

import asyncio
import sys
import time
from pathlib import Path

from benchmarks.report import Row, run_benchmark
from benchmarks.service.http_load import NO_ANSWER
from benchmarks.shop.clients import ShopClients, count_of_statuses
from benchmarks.shop.fault_kinds import FAULTS, Fault, make_ballast, wait_until_well
from benchmarks.shop.run_on_shop import Times, capacity_of, capacity_row, run_on_shop, shop_flags
from benchmarks.shop.running_shop import Shop

SECONDS, QUICK_SECONDS = 60.0, 12.0
STRIKE_AT, HEAL_AT = 0.2, 0.5
"""As shares of a fault's seconds."""
TOO_MANY = 429


async def measured_faults(shop: Shop, clients: ShopClients, times: Times) -> list[Row]:
    """Find the capacity, then strike each fault under half of it."""
    await asyncio.to_thread(make_ballast, shop)
    capacity = await capacity_of(clients, times.capacity_seconds)
    rows = [capacity_row(capacity)]
    for fault in FAULTS:
        rows += await _fault_rows(fault, shop, clients, capacity / 2, times.seconds)
    return rows


async def _fault_rows(fault: Fault, shop: Shop, clients: ShopClients, per_second: float, seconds: float) -> list[Row]:
    promised = clients.ledger.stale_seconds
    if fault.is_store_down:
        # A retirement reaches the other worker only once the store is back.
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
        Row(f"{fault.name}: {outcome}; {count_of_statuses(load.answers)}", len(load.answers), "requests", "higher"),
        Row(f"{fault.name}: in flight during the strike", len(met_it), "requests", "lower"),
        Row(f"{fault.name}: excused broken connections", len(excused), "requests", "lower"),
        Row(f"{fault.name}: other broken connections", len(broken) - len(excused), "requests", "lower", 0),
        Row(f"{fault.name}: other failures", len(others), "requests", "lower", 0),
        Row(f"{fault.name}: p99 of good answers", load.percentile_ms(99), "ms", "lower"),
        Row(f"{fault.name}: recovery after the load", well_after, "s", "lower"),
    ]


def rows(*, bundle: Path | None, seconds: float | None, quick: bool) -> tuple[str, list[Row]]:
    """Describe the shop, and strike every fault."""
    times = Times.of(seconds or (QUICK_SECONDS if quick else SECONDS), quick)
    return run_on_shop(measured_faults, bundle, times, "fault", can_set_clock=True)


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, shop_flags("fault", SECONDS, QUICK_SECONDS)))
