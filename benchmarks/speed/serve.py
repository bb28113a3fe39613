"""Time requests over HTTP to a service in its own process, beside direct calls of the engine.

    python -m benchmarks.speed.serve [--device DEVICE] [--json FILE] [--quick]

Catalogue, model and histories are those of `speed.generate`: 10k vocabulary, 5 views, 50 beams, float32. The engine's
rate is that of batches of 16 in this process, the better of one run before and one after. Both have one thread, and the
clients run on the other core. "Not generation" is the median over histories of the extra time over HTTP, each history
being sent to the engine and right after over HTTP.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float64

from benchmarks.report import Row, device_flags, run_benchmark
from benchmarks.service.http_load import ConnectionPool, closed_loop, constant_rate
from benchmarks.service.service_process import served_bundle
from benchmarks.speed.corpora import instruments
from benchmarks.speed.generate_contest import BATCH, NUM_BEAMS, NUM_VIEWS, histories_of
from benchmarks.speed.random_bundle import different_bodies, repeated_bodies, write_random_bundle
from benchmarks.speed.timing import timed
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest

SIZES = {"num_views": NUM_VIEWS, "num_beams": NUM_BEAMS, "max_batch_size": BATCH}
NUM_REPEATED = 20
NUM_PAIRED, QUICK_NUM_PAIRED = 200, 40


class Engine:
    """The service's recommender, called directly."""

    def __init__(self, bundle: Path, histories: Sequence[Sequence[str]], device: str) -> None:
        self._recommender = load_bundle(bundle).recommender(device, num_views=NUM_VIEWS, num_beams=NUM_BEAMS)
        self._requests = [
            RecommendationRequest(history=UserHistory(tuple(history)), limit=10, include_seen=True)
            for history in histories
        ]

    def seconds_of(self, number: int) -> float:
        """Seconds of one request alone."""
        return timed(lambda: self._recommender.recommend_batch([self._requests[number]]))[1]

    def seconds(self, batch_size: int, num_batches: int) -> float:
        """Mean seconds per request over different batches, after a warm-up batch."""
        self._recommender.recommend_batch(self._requests[:batch_size])
        started = time.perf_counter()
        for start in range(0, num_batches * batch_size, batch_size):
            self._recommender.recommend_batch(self._requests[start : start + batch_size])
        return (time.perf_counter() - started) / num_batches / batch_size


async def paired_seconds(
    url: str, engine: Engine, histories: Sequence[Sequence[str]], num_requests: int
) -> Float64[np.ndarray, "request 2"]:
    """Seconds of each request by the engine, and right after over HTTP, after a warm-up pair."""
    pool, bodies, pairs = ConnectionPool(url), different_bodies(histories), []
    for number in range(num_requests + 1):
        by_engine = engine.seconds_of(number)
        started = time.perf_counter()
        await pool.ask("POST", "/recommend", next(bodies))
        pairs.append((by_engine, time.perf_counter() - started))
    await pool.close()
    return np.array(pairs[1:])


def load_rows(
    url: str, title: str, histories: Sequence[Sequence[str]], seconds: float
) -> tuple[list[Row], float, float]:
    """Measure one client, as many as fill two batches, and a constant rate.

    Returns:
        The rows, one client's mean seconds, and the rate of the many clients.
    """
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


def rows(*, device: str, quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure engine and service."""
    settings: dict[str, object] = {**SIZES, "device": device}
    seconds, num_batches, num_paired = (5.0, 2, QUICK_NUM_PAIRED) if quick else (15.0, 6, NUM_PAIRED)
    torch.set_num_threads(1)
    corpus = instruments(("text",))
    histories = histories_of(corpus)
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        write_random_bundle(corpus, bundle)
        engine = Engine(bundle, histories, device)
        before = engine.seconds(BATCH, num_batches)
        with served_bundle(bundle, Path(folder) / "off", **settings, cache_max_entries=0) as service:
            pairs = asyncio.run(paired_seconds(service.url, engine, histories, num_paired))
            table, _, rate = load_rows(service.url, "cache off", histories, seconds)
        with served_bundle(bundle, Path(folder) / "on", **settings) as service:
            cached, cached_seconds, _ = load_rows(service.url, "cache on", histories, seconds)
        full = min(before, engine.seconds(BATCH, num_batches))
    lone, over_http = (float(np.median(side)) for side in pairs.T)
    added = 1000 * float(np.median(pairs[:, 1] - pairs[:, 0]))
    table = [
        Row("engine alone, batch 1", 1000 * lone, "ms/request", "lower"),
        Row("the same requests over HTTP", 1000 * over_http, "ms/request", "lower"),
        Row("not generation", added, "ms/request", "lower", aim=2),
        Row("not generation, of all", 100 * added / (1000 * over_http), "%", "lower"),
        Row(f"engine alone, batch {BATCH}", 1 / full, "requests/s", "higher"),
        *table,
        Row(f"cache off, {2 * BATCH} clients: of the engine's rate", 100 * rate * full, "%", "higher", aim=80),
        *cached,
        Row("cache on, 1 client: a cached request", 1000 * cached_seconds, "ms", "lower"),
    ]
    return f"{corpus.name}; {device}, one thread", table


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, device_flags()))
