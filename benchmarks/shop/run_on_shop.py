"""Run a benchmark on a shop: its flags, its capacity, its traffic, and the audit of acknowledged writes."""

import asyncio
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from benchmarks.report import Row
from benchmarks.shop.audit import audit_rows
from benchmarks.shop.clients import ShopClients, catalogue_item_ids
from benchmarks.shop.ledger import Ledger
from benchmarks.shop.running_shop import Shop, running_shop
from benchmarks.shop.traffic import ShopTraffic

CAPACITY_CLIENTS = 32
CAPACITY_SECONDS, QUICK_CAPACITY_SECONDS = 30.0, 8.0


@dataclass(frozen=True)
class Times:
    """Durations of the load."""

    capacity_seconds: float
    """Closed loop that finds the shop's capacity."""
    seconds: float
    """Each level or fault after that."""

    @classmethod
    def of(cls, seconds: float, quick: bool) -> Self:
        """Times of a full or a quick benchmark."""
        return cls(QUICK_CAPACITY_SECONDS if quick else CAPACITY_SECONDS, seconds)


Measure = Callable[[Shop, ShopClients, Times], Awaitable[list[Row]]]


def shop_flags(part: str, seconds: float, quick_seconds: float) -> ArgumentParser:
    """Flags of a benchmark on a shop: --bundle and --seconds; a `part` is a level or a fault."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--bundle", type=Path, help="bundle to serve (default: bundles/demo, else an untrained one)")
    parser.add_argument(
        "--seconds", type=float, help=f"duration per {part} (default: {seconds:g}, with --quick {quick_seconds:g})"
    )
    return parser


def run_on_shop(
    measure: Measure, bundle: Path | None, times: Times, part: str, *, can_set_clock: bool = False
) -> tuple[str, list[Row]]:
    """Start a shop, measure it, and audit its writes. Returns a description of the shop, and the rows."""
    with TemporaryDirectory() as folder, running_shop(Path(folder), bundle, can_set_clock=can_set_clock) as shop:
        rows, _ = measured_on(shop, measure, times)
        return f"{shop.name}; 2 workers of one thread, PostgreSQL, Redis; {times.seconds:g} seconds per {part}", rows


def measured_on(shop: Shop, measure: Measure, times: Times, prefix: str = "new") -> tuple[list[Row], ShopClients]:
    """Measure a running shop, and audit its writes; ids that its clients create begin with `prefix`."""

    async def rows_and_clients() -> tuple[list[Row], ShopClients]:
        clients = ShopClients(shop.service.url, ShopTraffic(Ledger(catalogue_item_ids(shop.service.url), prefix)))
        rows = await measure(shop, clients, times)
        await clients.close()
        return rows, clients

    rows, clients = asyncio.run(rows_and_clients())
    return rows + audit_rows(shop, clients), clients


async def capacity_of(clients: ShopClients, capacity_seconds: float) -> float:
    """Good answers per second in a closed loop, after a warm-up."""
    await clients.ask_as_fast_as_answered(CAPACITY_CLIENTS, capacity_seconds / 4)
    return (await clients.ask_as_fast_as_answered(CAPACITY_CLIENTS, capacity_seconds)).per_second


def capacity_row(per_second: float) -> Row:
    """Row of the capacity."""
    return Row("capacity, by a closed loop of clients", per_second, "requests/s", "higher")
