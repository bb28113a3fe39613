"""Time requests over HTTP, with a real server in a process of its own, beside the engine called directly.

    python -m benchmarks.serve [--json FILE] [--quick]

Catalogue, model and histories are those of `benchmarks.generate`, 10k vocabulary, 5 views and 50 beams, float32. The
engine's own rate is that of batches of 16 in this process, measured before and after, the better one. Both have one
thread, and the clients run on the other core.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.generate_contest import BATCH, NUM_BEAMS, NUM_VIEWS, load_corpus
from benchmarks.report import Row, run_benchmark
from benchmarks.serve_bundle import different_bodies, histories_of, repeated_bodies, write_random_bundle
from benchmarks.serve_load import closed_loop, constant_rate
from benchmarks.serve_process import served_bundle
from clairo_core.bundle import load_bundle
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest

SIZES = {"num_views": NUM_VIEWS, "num_beams": NUM_BEAMS, "max_batch_size": BATCH}
NUM_REPEATED = 20


class Engine:
    """The recommender that the service serves, without the service."""

    def __init__(self, bundle: Path, histories: Sequence[Sequence[str]]) -> None:
        self._recommender = load_bundle(bundle).recommender("cpu", num_views=NUM_VIEWS, num_beams=NUM_BEAMS)
        self._requests = [
            RecommendationRequest(history=UserHistory(tuple(history)), limit=10, include_seen=True)
            for history in histories
        ]

    def seconds(self, batch_size: int, num_batches: int) -> float:
        """Of a request, on average over different batches; the first is not counted."""
        self._recommender.recommend_batch(self._requests[:batch_size])
        started = time.perf_counter()
        for start in range(0, num_batches * batch_size, batch_size):
            self._recommender.recommend_batch(self._requests[start : start + batch_size])
        return (time.perf_counter() - started) / num_batches / batch_size


def load_rows(
    url: str, title: str, histories: Sequence[Sequence[str]], seconds: float
) -> tuple[list[Row], float, float]:
    """One client, as many as fill two batches, and a constant rate; also one client's mean seconds, and the rate."""
    bodies = different_bodies(histories) if title == "cache off" else repeated_bodies(histories, NUM_REPEATED)
    lone = asyncio.run(closed_loop(url, bodies, 1, seconds))
    full = asyncio.run(closed_loop(url, bodies, 2 * BATCH, 2 * seconds))
    half = asyncio.run(constant_rate(url, bodies, full.per_second / 2, 2 * seconds))
    rows = []
    for name, load in (("1 client", lone), (f"{2 * BATCH} clients", full), ("half that rate, constant", half)):
        rows += [
            Row(f"{title}, {name}: throughput", load.per_second, "requests/s", "higher"),
            Row(f"{title}, {name}: p50", load.percentile_ms(50), "ms", "lower"),
            Row(f"{title}, {name}: p99", load.percentile_ms(99), "ms", "lower"),
            Row(f"{title}, {name}: not answered", len(load.answers) - load.with_status(200), "requests", "lower", 0),
        ]
    return rows, 1 / lone.per_second, full.per_second


def rows(quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    seconds, num_batches = (5.0, 2) if quick else (15.0, 6)
    torch.set_num_threads(1)
    corpus = load_corpus()
    histories = histories_of(corpus)
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        write_random_bundle(corpus, bundle)
        engine = Engine(bundle, histories)
        measured = measure_between(engine, lambda: served(bundle, Path(folder), histories, seconds), num_batches)
    return f"{corpus.name}; one thread", measured


def served(
    bundle: Path, folder: Path, histories: Sequence[Sequence[str]], seconds: float
) -> tuple[list[Row], float, float]:
    """Rows without and with a cache; one client's seconds and the full rate are those without."""
    with served_bundle(bundle, folder / "off", **SIZES, cache_max_entries=0) as service:
        table, lone_seconds, rate = load_rows(service.url, "cache off", histories, seconds)
    with served_bundle(bundle, folder / "on", **SIZES) as service:
        cached, cached_seconds, _ = load_rows(service.url, "cache on", histories, seconds)
    cached.append(Row("cache on, 1 client: a request that is in the cache", 1000 * cached_seconds, "ms", "lower"))
    return table + cached, lone_seconds, rate


def measure_between(engine: Engine, serve: Callable[[], tuple[list[Row], float, float]], num_batches: int) -> list[Row]:
    """The service's rows between two measurements of the engine, and what the one adds to the other."""
    lone, full = engine.seconds(1, BATCH * num_batches), engine.seconds(BATCH, num_batches)
    table, lone_seconds, rate = serve()
    lone, full = min(lone, engine.seconds(1, BATCH * num_batches)), min(full, engine.seconds(BATCH, num_batches))
    added = 1000 * (lone_seconds - lone)
    return [
        Row("engine alone, batch 1", 1000 * lone, "ms/request", "lower"),
        Row(f"engine alone, batch {BATCH}", 1 / full, "requests/s", "higher"),
        *table,
        Row("cache off, 1 client: not generation", added, "ms/request", "lower", aim=2),
        Row("cache off, 1 client: not generation, of all", 100 * added / (1000 * lone_seconds), "%", "lower"),
        Row(f"cache off, {2 * BATCH} clients: of the engine's rate", 100 * rate * full, "%", "higher", aim=80),
    ]


if __name__ == "__main__":
    raise SystemExit(run_benchmark(rows))
