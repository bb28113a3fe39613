"""Serve a bundle: its live catalogue, its ingestion and its recommendations, assembled here for every bundle alike.

The first bundle, the next one of a swap and the treatment of an experiment come out of `serve_bundle`.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from clairo_core.bundle.bundle import Bundle
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationList, RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.serving_points import QUALITIES, in_words
from service.counts.live_counts import LiveCounts
from service.counts.windows import Windows
from service.items.attribute_schema import AttributeSchema
from service.items.ingestion import Ingestion
from service.items.picture_pool import PicturePool
from service.live_catalogue import LiveCatalogue
from service.recommend.cache import Cache, InProcessCache
from service.recommend.recommendations import ModelBatcher, ModelRequest, Recommendations
from service.recommend.recommended import ENCODING, Recommended, decoded, encoded, size_in_memory
from service.recommend.redis_cache import LayeredCache, RedisCache
from service.recommend.repeated_answers import RepeatedAnswers, Version
from service.replicas.redis_link import RedisLink
from service.settings import Settings
from service.store.behaviour import BehaviourStore
from service.store.store import Store
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SharedParts:
    """Parts that all bundles served by one process share."""

    settings: Settings
    store: Store
    batcher: ModelBatcher
    schema: AttributeSchema
    cache: Cache[Recommended]
    """Its keys hold the bundle's id."""
    metrics: Metrics
    behaviour: BehaviourStore
    pictures: PicturePool
    on_written: Callable[[], None] = lambda: None
    """Called after the store has kept something new."""

    @property
    def full_batch(self) -> int:
        """Number of requests in a full batch."""
        return self.batcher.full_batch


@dataclass(frozen=True, slots=True)
class ServedBundle:
    """A bundle ready to answer."""

    live: LiveCatalogue
    ingestion: Ingestion
    counts: LiveCounts
    windows: Windows
    recommendations: Recommendations

    async def catch_up(self) -> None:
        """Bring catalogue and counts in step with the store.

        Raises:
            StoreError: the store cannot be read.
        """
        await self.ingestion.catch_up()
        await self.counts.catch_up()

    async def take_over(self, candidate: "ServedBundle") -> None:
        """Serve the candidate's bundle from now on; items posted meanwhile come along. Discard `candidate` then.

        Raises:
            StoreError: the store cannot be read; the bundle stays.
        """
        await self.ingestion.take_over(candidate.ingestion)
        self.counts.become(candidate.counts)
        self.recommendations.item_table.become(candidate.recommendations.item_table)


def recommender_of(bundle: Bundle, settings: Settings) -> Recommender:
    """Load a bundle's recommender as the operator wants it.

    Raises:
        GeneratorError: the weights do not fit, or the device does not exist.
    """
    return bundle.recommender(
        settings.device,
        num_views=settings.num_views,
        num_beams=settings.num_beams,
        dtype=settings.dtype,
        cuda_graphs=settings.cuda_graphs,
    )


async def serve_bundle(
    bundle: Bundle, shared: SharedParts, *, num_warm_up: int, recommender: Recommender | None = None
) -> ServedBundle:
    """Load the weights, build the trie, carry posted items and new counts into them, and warm up.

    `num_warm_up` requests are answered at once: a full batch before clients come, one beside a serving bundle. A
    `recommender` of the bundle's own catalogue may be loaded already.

    Raises:
        GeneratorError: the weights do not fit, or the device does not exist.
        StoreError: the store cannot be read.
    """
    settings = shared.settings
    if recommender is None:
        recommender = await asyncio.to_thread(recommender_of, bundle, settings)
    if recommender.points != bundle.manifest.points:
        logger.warning(
            "bundle %s is not served as it was measured: num_views and num_beams set %s, its manifest has %s",
            bundle.manifest.bundle_id,
            in_words(recommender.points),
            in_words(bundle.manifest.points),
        )
    live = LiveCatalogue(bundle, recommender)
    ingestion = Ingestion(
        live,
        shared.store,
        shared.schema,
        max_queue_depth=settings.max_queue_depth,
        metrics=shared.metrics,
        pictures=shared.pictures,
        on_written=shared.on_written,
    )
    windows = Windows(live, shared.behaviour)
    recommendations = Recommendations(
        live,
        shared.batcher,
        shared.cache,
        deadline_seconds=settings.request_deadline_seconds,
        exploration_temperature=settings.exploration_temperature,
        metrics=shared.metrics,
        stranger_weights=windows,
    )
    counts = LiveCounts(live, shared.behaviour, ingestion, interval_seconds=settings.live_counts_seconds)
    await shared.schema.count_as_first_use(live)
    await ingestion.catch_up()
    await counts.start()
    await recommendations.item_table.current()
    await _warm_up(live.recommender, shared.batcher, num_warm_up)
    await ingestion.warm_up()
    return ServedBundle(live, ingestion, counts, windows, recommendations)


async def _warm_up(recommender: Recommender, batcher: ModelBatcher, num_requests: int) -> None:
    """Recommend alone in each quality, then in a batch: no first client waits for compiling and first allocations.

    The batcher also measures how long a request takes.
    """
    history = UserHistory(recommender.catalogue.item_ids[: recommender.max_history_items])
    # By their search: where qualities share one, once is enough.
    qualities = {recommender.points[quality]: quality for quality in QUALITIES}.values()
    alone = [
        ModelRequest(recommender, RecommendationRequest(history=history, limit=1, quality=quality))
        for quality in qualities
    ]
    together = [ModelRequest(recommender, RecommendationRequest(history=history, limit=1))] * num_requests
    outcomes: list[RecommendationList | BaseException] = []
    # The batcher refuses some of them where one batch takes most of the deadline.
    for batch in (*([request] for request in alone), together):
        outcomes += await asyncio.gather(*map(batcher.submit, batch), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if len(failures) == len(outcomes):
        raise failures[0]


def open_repeated_answers(settings: Settings, version_of: Callable[[], Version], metrics: Metrics) -> RepeatedAnswers:
    """Answers as JSON, in the half of the cache's memory that `open_cache` leaves."""
    return RepeatedAnswers(
        version_of,
        max_entries=settings.cache_max_entries,
        max_bytes=settings.cache_max_mib * 1024 * 1024 // 2,
        ttl_seconds=settings.cache_ttl_seconds,
        metrics=metrics,
    )


def open_cache(settings: Settings, redis: RedisLink | None) -> Cache[Recommended]:
    """Answers in this process's memory, and in Redis where there is one."""
    near: InProcessCache[Recommended] = InProcessCache(
        settings.cache_max_entries,
        size_of=size_in_memory,
        max_bytes=settings.cache_max_mib * 1024 * 1024 // 2,
        ttl_seconds=settings.cache_ttl_seconds,
    )
    if redis is None:
        return near
    # Answers also depend on these, which no key holds: release and shop.
    prefix = f"clairo:{version('clairo')}:{settings.namespace}:answer-{ENCODING}:"
    far = RedisCache(redis, prefix, ttl_seconds=settings.cache_ttl_seconds, encode=encoded, decode=decoded)
    return LayeredCache(near, far)
