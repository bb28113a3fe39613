"""Load a service at twice its capacity for two minutes: memory stays flat, every request is answered or refused.

    python -m benchmarks.speed.soak [--json FILE] [--quick]

Catalogue and model are those of `speed.serve`, and no two requests are alike. A closed loop of clients finds the
capacity first. --quick soaks for 20 seconds.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.memory import MAX_GROWTH_PERCENT, growth_percent, sampled
from benchmarks.report import Row, run_benchmark
from benchmarks.service.http_load import NO_ANSWER, Load, closed_loop, constant_rate
from benchmarks.service.service_process import ServiceProcess, served_bundle
from benchmarks.speed.corpora import instruments
from benchmarks.speed.generate_contest import NUM_BEAMS, NUM_VIEWS, histories_of
from benchmarks.speed.random_bundle import different_bodies, write_random_bundle

DEADLINE_SECONDS = 5.0
CAPACITY_CLIENTS = 32
TIMES_CAPACITY = 2.0
OK, TOO_MANY = 200, 429


async def soaked(
    service: ServiceProcess,
    bodies: Iterator[bytes],
    capacity_seconds: float,
    soak_seconds: float,
    times_capacity: float = TIMES_CAPACITY,
) -> tuple[float, Load, list[float]]:
    """Find the capacity, then load the service at a multiple of it.

    Returns:
        Capacity in good answers per second, the load, and memory samples in MiB.
    """
    capacity = (await closed_loop(service.url, bodies, CAPACITY_CLIENTS, capacity_seconds)).per_second
    async with sampled(service.resident_mib) as memory:
        load = await constant_rate(service.url, bodies, times_capacity * capacity, soak_seconds)
    return capacity, load, memory


def soak_rows(capacity: float, load: Load, memory: list[float], deadline_seconds: float) -> list[Row]:
    """Rates, refusals, the slowest accepted answer, and memory."""
    accepted = [answer.seconds for answer in load.answers if answer.status != TOO_MANY]
    broken = load.with_status(NO_ANSWER)
    others = len(load.answers) - load.with_status(OK) - load.with_status(TOO_MANY) - broken
    return [
        Row("capacity, by a closed loop of clients", capacity, "requests/s", "higher"),
        Row("sent", len(load.answers) / load.seconds, "requests/s", "higher"),
        Row("answered", load.per_second, "requests/s", "higher"),
        Row("answered, of the capacity", 100 * load.per_second / capacity, "%", "higher"),
        Row("refused with 429", 100 * load.with_status(TOO_MANY) / len(load.answers), "%", "lower"),
        Row("answered with another status", others, "requests", "lower", 0),
        Row("connections broken", broken, "requests", "lower", 0),
        Row("slowest accepted answer", max(accepted, default=0.0), "s", "lower", deadline_seconds),
        Row("memory at the end", memory[-1], "MiB", "lower"),
        Row("memory growth, second quarter to last", growth_percent(memory), "%", "lower", MAX_GROWTH_PERCENT),
    ]


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and soak the service."""
    corpus = instruments(("text",))
    settings = {
        "num_views": NUM_VIEWS,
        "num_beams": NUM_BEAMS,
        "cache_max_entries": 0,
        "request_deadline_seconds": DEADLINE_SECONDS,
    }
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        write_random_bundle(corpus, bundle)
        with served_bundle(bundle, Path(folder) / "data", **settings) as service:
            bodies = different_bodies(histories_of(corpus))
            capacity, load, memory = asyncio.run(soaked(service, bodies, *((10.0, 20.0) if quick else (20.0, 120.0))))
    return f"{corpus.name}; one thread", soak_rows(capacity, load, memory, DEADLINE_SECONDS)


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
