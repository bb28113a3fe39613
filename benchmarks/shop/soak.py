"""Ask a service for twice what it can do, for two minutes: memory stays flat, and nobody waits in vain.

    python -m benchmarks.shop.soak [--json FILE] [--quick]

Catalogue and model are those of `speed.serve`; no two requests are alike. What the service can do is measured
first, with clients that wait for each other. --quick soaks for 20 seconds.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.generate_contest import NUM_BEAMS, NUM_VIEWS, load_corpus
from benchmarks.speed.serve_bundle import different_bodies, histories_of, write_random_bundle
from benchmarks.speed.serve_load import NO_ANSWER, Load, closed_loop, constant_rate
from benchmarks.speed.serve_process import ServiceProcess, served_bundle

DEADLINE_SECONDS = 5.0
CAPACITY_CLIENTS = 32
TIMES_CAPACITY = 2.0
SAMPLE_SECONDS = 0.5
MAX_GROWTH_PERCENT = 5.0
OK, TOO_MANY = 200, 429


async def soaked(
    service: ServiceProcess,
    bodies: Iterator[bytes],
    capacity_seconds: float,
    soak_seconds: float,
    times_capacity: float = TIMES_CAPACITY,
) -> tuple[float, Load, list[float]]:
    """Good answers a second at most, what became of a multiple of such requests, and the memory meanwhile, in MiB."""
    capacity = (await closed_loop(service.url, bodies, CAPACITY_CLIENTS, capacity_seconds)).per_second
    memory: list[float] = []

    async def watch() -> None:
        while True:
            memory.append(service.resident_mib())
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    load = await constant_rate(service.url, bodies, times_capacity * capacity, soak_seconds)
    watching.cancel()
    return capacity, load, memory


def growth_percent(memory: list[float]) -> float:
    """From the highest of the second quarter, when all buffers have had their largest batch, to that of the last."""
    quarter = max(1, len(memory) // 4)
    return 100 * (max(memory[-quarter:]) / max(memory[quarter : 2 * quarter]) - 1)


def soak_rows(capacity: float, load: Load, memory: list[float], deadline_seconds: float) -> list[Row]:
    """What the issue asks of a soak."""
    accepted = [answer.seconds for answer in load.answers if answer.status != TOO_MANY]
    broken = load.with_status(NO_ANSWER)
    others = len(load.answers) - load.with_status(OK) - load.with_status(TOO_MANY) - broken
    return [
        Row("capacity, as clients that wait for each other find it", capacity, "requests/s", "higher"),
        Row("asked", len(load.answers) / load.seconds, "requests/s", "higher"),
        Row("answered", load.per_second, "requests/s", "higher"),
        Row("answered, of the capacity", 100 * load.per_second / capacity, "%", "higher"),
        Row("refused with 429", 100 * load.with_status(TOO_MANY) / len(load.answers), "%", "lower"),
        Row("answered with another status", others, "requests", "lower", 0),
        Row("connections broken", broken, "requests", "lower", 0),
        Row("accepted, slowest", max(accepted, default=0.0), "s", "lower", deadline_seconds),
        Row("memory at the end", memory[-1], "MiB", "lower"),
        Row(
            "memory, growth from the second quarter to the last",
            growth_percent(memory),
            "%",
            "lower",
            MAX_GROWTH_PERCENT,
        ),
    ]


def rows(quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    corpus = load_corpus()
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
    raise SystemExit(run_benchmark(rows))
