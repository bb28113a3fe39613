"""Count and time what the service does, as Prometheus reads it.

Names are those of the HTTP contract; labels are few and bounded, never an item or a user. Each app has a registry of
its own. Where several worker processes serve one port, `shared_folder` holds their numbers in files that any of them
adds up, so that a scrape says the same whichever worker answers it.

Knows prometheus-client; knows nothing of routes, batches or recommenders beyond the numbers it is given.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST
SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Read by prometheus-client itself when it is imported, so it is set before a worker process starts."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Every number of one app."""

    def __init__(self, shared_folder: Path | None = None) -> None:
        self._shared_folder = shared_folder
        self._registry = registry = CollectorRegistry()
        if shared_folder is None:
            ProcessCollector(registry=registry)
        self._request_seconds = Histogram(
            "clairo_request_duration_seconds",
            "From a request's head to the end of its answer.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=registry,
        )
        self._queue_seconds = Histogram(
            "clairo_queue_duration_seconds", "Waiting for the model.", buckets=SECONDS, registry=registry
        )
        self._generate_seconds = Histogram(
            "clairo_generate_duration_seconds", "The model on one batch.", buckets=SECONDS, registry=registry
        )
        self._encode_seconds = Histogram(
            "clairo_encode_duration_seconds", "Describing one posted item.", buckets=SECONDS, registry=registry
        )
        self._batch_size = Histogram(
            "clairo_batch_size", "Requests generated for at once.", buckets=BATCH_SIZES, registry=registry
        )
        self._queue_depth = Gauge(
            "clairo_queue_depth", "Requests that wait.", registry=registry, multiprocess_mode="livesum"
        )
        self._cache_requests = Counter(
            "clairo_cache_requests", "Answers looked for in the cache.", ("result",), registry=registry
        )
        self._fallbacks = Counter(
            "clairo_fallback", "Answers that are not, or not only, generated.", ("reason",), registry=registry
        )
        self._recommended = Counter("clairo_recommended", "Items recommended.", ("source",), registry=registry)
        self._catalogue_items = Gauge(
            "clairo_catalogue_items", "Items that can be recommended.", registry=registry, multiprocess_mode="livemin"
        )
        self._bundle_info = Gauge(
            "clairo_bundle_info",
            "1 for the bundle that is served, 0 for one that was.",
            ("bundle_id",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._bundle_id: str | None = None
        # There from the start, so that a rate over them is 0 and not missing.
        for result in ("hit", "miss"):
            self._cache_requests.labels(result)

    def exposition(self) -> bytes:
        """Everything, in Prometheus's text format."""
        if self._shared_folder is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._shared_folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request answered. `route` is the template, `/items/{item_id}`, or `none`."""
        self._request_seconds.labels(method if method in METHODS else "other", route, str(status)).observe(seconds)

    def count_cache_request(self, is_hit: bool) -> None:
        """One answer looked for."""
        self._cache_requests.labels("hit" if is_hit else "miss").inc()

    def count_recommended(self, sources: Sequence[str], fallback_reason: str | None) -> None:
        """One list recommended: where each item is from, and why it is not generated, if so."""
        for source in set(sources):
            self._recommended.labels(source).inc(sources.count(source))
        if fallback_reason is not None:
            self._fallbacks.labels(fallback_reason).inc()

    def show_queue_depth(self, depth: int) -> None:
        """As many requests wait for the model."""
        self._queue_depth.set(depth)

    def count_batch(self, waited_seconds: Sequence[float], generate_seconds: float) -> None:
        """One batch went through the model, its requests having waited so long."""
        self._batch_size.observe(len(waited_seconds))
        self._generate_seconds.observe(generate_seconds)
        for seconds in waited_seconds:
            self._queue_seconds.observe(seconds)

    @contextmanager
    def timed_encoding(self) -> Iterator[None]:
        """Time one item's description."""
        started_at = time.perf_counter()
        try:
            yield
        finally:
            self._encode_seconds.observe(time.perf_counter() - started_at)

    def show_serving(self, bundle_id: str, num_items: int) -> None:
        """This bundle is served, with as many items."""
        self._catalogue_items.set(num_items)
        if self._bundle_id not in (None, bundle_id):
            # In files shared by processes a label cannot be taken back: 0 says that it is no longer served.
            self._bundle_info.labels(self._bundle_id).set(0)
        self._bundle_info.labels(bundle_id).set(1)
        self._bundle_id = bundle_id
