"""Metrics of the service for Prometheus.

Labels are few and bounded, never an item or a user. Each app has a registry of its own. Worker processes that serve
one port write their numbers to files in `shared_folder`, and whichever answers a scrape adds them up.
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
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of one app."""

    def __init__(self, shared_folder: Path | None = None) -> None:
        self._shared_folder = shared_folder
        self._registry = registry = CollectorRegistry()
        if shared_folder is None:
            ProcessCollector(registry=registry)
        self._request_seconds = Histogram(
            "clairo_request_duration_seconds",
            "Time from the request's head to the end of the response.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=registry,
        )
        self._queue_seconds = Histogram(
            "clairo_queue_duration_seconds",
            "Time that a request waits for the model.",
            buckets=SECONDS,
            registry=registry,
        )
        self._generate_seconds = Histogram(
            "clairo_generate_duration_seconds", "Time of the model per batch.", buckets=SECONDS, registry=registry
        )
        self._encode_seconds = Histogram(
            "clairo_encode_duration_seconds",
            "Time to encode posted items, per write.",
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_size = Histogram("clairo_batch_size", "Requests per batch.", buckets=BATCH_SIZES, registry=registry)
        self._queue_depth = Gauge(
            "clairo_queue_depth", "Requests that wait for the model.", registry=registry, multiprocess_mode="livesum"
        )
        self._cache_requests = Counter(
            "clairo_cache_requests", "Cache lookups by result.", ("result",), registry=registry
        )
        self._fallbacks = Counter(
            "clairo_fallback", "Answers with fallback items, by reason.", ("reason",), registry=registry
        )
        self._recommended = Counter(
            "clairo_recommended", "Recommended items by source.", ("source",), registry=registry
        )
        self._recommended_new = Counter(
            "clairo_recommended_new", "Recommended items that were posted after training.", registry=registry
        )
        self._placement_seconds = Histogram(
            "clairo_placement_duration_seconds",
            "Time to recommend for a saved placement.",
            ("placement",),
            buckets=SECONDS,
            registry=registry,
        )
        self._placement_fallbacks = Counter(
            "clairo_placement_fallback",
            "Answers for a saved placement with fallback items, by reason.",
            ("placement", "reason"),
            registry=registry,
        )
        self._catalogue_items = Gauge(
            "clairo_catalogue_items", "Recommendable items.", registry=registry, multiprocess_mode="livemin"
        )
        self._counts_complete_until = Gauge(
            "clairo_live_counts_timestamp_seconds",
            "All events stored until then, in seconds since 1970, are in the counts.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._bundle_info = Gauge(
            "clairo_bundle_info",
            "1 for the served bundle, 0 for earlier ones.",
            ("bundle_id",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._bundle_id: str | None = None
        # Present from the start: a rate over them is 0, not missing.
        for result in ("hit", "miss"):
            self._cache_requests.labels(result)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        if self._shared_folder is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._shared_folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request. `route` is its template, such as `/items/{item_id}`, or `none`."""
        self._request_seconds.labels(method if method in METHODS else "other", route, str(status)).observe(seconds)

    def count_cache_request(self, is_hit: bool) -> None:
        """Count a cache lookup."""
        self._cache_requests.labels("hit" if is_hit else "miss").inc()

    def count_recommended(self, sources: Sequence[str], num_new: int, fallback_reason: str | None) -> None:
        """Count a list of recommendations: each item's source, items posted after training, and any fallback reason."""
        for source in set(sources):
            self._recommended.labels(source).inc(sources.count(source))
        self._recommended_new.inc(num_new)
        if fallback_reason is not None:
            self._fallbacks.labels(fallback_reason).inc()

    def count_placement(self, placement: str, fallback_reason: str | None, seconds: float) -> None:
        """Count a list for a saved placement, of which there are few: `MAX_PLACEMENTS`."""
        self._placement_seconds.labels(placement).observe(seconds)
        if fallback_reason is not None:
            self._placement_fallbacks.labels(placement, fallback_reason).inc()

    def show_queue_depth(self, depth: int) -> None:
        """Set the number of requests that wait for the model."""
        self._queue_depth.set(depth)

    def count_batch(self, waited_seconds: Sequence[float], generate_seconds: float) -> None:
        """Count a batch: how long each request waited, and how long the model took."""
        self._batch_size.observe(len(waited_seconds))
        self._generate_seconds.observe(generate_seconds)
        for seconds in waited_seconds:
            self._queue_seconds.observe(seconds)

    @contextmanager
    def timed_encoding(self) -> Iterator[None]:
        """Time the encoding of posted items."""
        started_at = time.perf_counter()
        try:
            yield
        finally:
            self._encode_seconds.observe(time.perf_counter() - started_at)

    def show_serving(self, bundle_id: str, num_items: int, counts_complete_until: float) -> None:
        """Set the served bundle, its number of recommendable items, and up to when its counts are complete."""
        self._catalogue_items.set(num_items)
        self._counts_complete_until.set(counts_complete_until)
        if self._bundle_id not in (None, bundle_id):
            # A label in files shared by processes cannot be removed; 0 marks a bundle no longer served.
            self._bundle_info.labels(self._bundle_id).set(0)
        self._bundle_info.labels(bundle_id).set(1)
        self._bundle_id = bundle_id
