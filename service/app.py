"""Put the service together: `create_app` is the one place where settings become parts and parts become routes.

The lifespan owns every resource. It loads the bundle beside the running server, so that /health/live answers at
once and everything else says 503 until weights, trie and warm-up are done. Only one that takes another's place lets
the others answer until then.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import Scope

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import ClairoError
from service.bundles.shelf import ActivationLog, BundleShelf
from service.bundles.swap import BundleSwap, last_activated, prepared_serving, warm_up
from service.bundles.treatment import open_split
from service.errors import NewerStoreError, OutdatedStoreError, StoreError
from service.http.idempotency import AnsweredOnce
from service.http.observation import Observation
from service.http.openapi import describe_problems
from service.http.problems import answer_to, install_problem_handlers, problem_response
from service.http.request_context import RequestContext
from service.items import bulk_body
from service.items.bulk import BulkJobs
from service.items.ingestion import Ingestion
from service.keys.authentication import Authentication
from service.keys.key_ring import KeyRing
from service.keys.shared_rate import KeyRates
from service.picture_urls.fetch import PictureUrls
from service.picture_urls.hosts import parsed_hosts
from service.recommend.batcher import Batcher
from service.recommend.cache import Cache, InProcessCache
from service.recommend.counted_cache import CountedCache
from service.recommend.recommendations import ModelBatcher, Recommendations, history_length, run_model_batch
from service.recommend.redis_cache import LayeredCache, RedisCache
from service.replicas.catalogue_sync import CatalogueSync
from service.replicas.redis_link import RedisLink
from service.routes import (
    bulk,
    bundles,
    experiments,
    feedback,
    health,
    info,
    item_body,
    items,
    recommend,
    similar,
    users,
)
from service.routes import metrics as metrics_route
from service.routes.parts import Parts, Readiness
from service.routes.playground import install_playground
from service.serving import Serving
from service.settings import Settings
from service.store.feedback import FeedbackStore
from service.store.idempotency import IdempotencyStore
from service.store.jobs import JobStore
from service.store.keys import KeyStore
from service.store.sql_store import SqlStore
from service.store.store import Store
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import flush_spans

logger = logging.getLogger("clairo.app")

MAX_BODY_BYTES = 1024 * 1024
"""Of every call but those that take items."""
STORE_RETRY_SECONDS = 1.0

DESCRIPTION = """Recommends by generating: a history in, the items that come next out.

Items posted a moment ago included. Errors are `application/problem+json` (RFC 9457)."""

OnStarted = Callable[[Parts | Exception], None]


def create_app(
    settings: Settings,
    bundle: Bundle | None = None,
    on_started: OnStarted | None = None,
    *,
    metrics: Metrics | None = None,
    is_replacement: bool = False,
    picture_urls: PictureUrls | None = None,
) -> FastAPI:
    """The service as an ASGI app.

    Args:
        settings: what the operator chose.
        bundle: loaded already; else the one that the settings name is loaded once the app runs.
        on_started: called once, in the event loop, with the parts when they are ready or with what went wrong.
        metrics: where the app counts; else numbers of its own.
        is_replacement: others answer at this address: the server begins to listen once the parts are ready.
        picture_urls: what fetches pictures; else one that asks the hosts that the settings list.
    """
    metrics = metrics or Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness: Readiness = app.state.readiness
        may_stop, has_started = asyncio.Event(), asyncio.Event()

        def tell(outcome: Parts | Exception) -> None:
            has_started.set()
            if on_started is not None:
                on_started(outcome)
            elif isinstance(outcome, Exception):
                logger.error("the service cannot start", exc_info=outcome)

        opening = open_parts(settings, bundle, metrics, picture_urls)
        running = asyncio.create_task(_run_parts(opening, readiness, may_stop, tell))
        try:
            if is_replacement:
                await has_started.wait()
            yield
        finally:
            readiness.is_draining = True
            may_stop.set()
            await running
            # Here and not at exit: the signal that stopped the server ends the process right after this.
            await asyncio.to_thread(flush_spans)

    app = FastAPI(
        title="CLAIRO",
        version=version("clairo"),
        description=DESCRIPTION,
        lifespan=lifespan,
        # The framework's own documentation pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # The framework's own spans would double ours, and name paths and queries, which hold ids of items and users.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.readiness = Readiness()
    app.state.settings = settings
    app.state.metrics = metrics
    install_problem_handlers(app)
    # The job of many items before what takes any path behind /items/.
    routers = (recommend, similar, bulk, items, feedback, users, experiments, bundles, health, info, metrics_route)
    for routes in routers:
        app.include_router(routes.router)
    install_playground(app)
    describe_problems(app)
    app.add_middleware(
        Authentication, key_ring_of=_key_ring_of, problem=answer_to, allow_open_network=settings.allow_open_network
    )
    app.add_middleware(RequestContext, max_body_bytes=_max_body_bytes, answer=problem_response)
    app.add_middleware(Observation, metrics=metrics)
    return app


async def _run_parts(
    opening: AbstractAsyncContextManager[Parts],
    readiness: Readiness,
    may_stop: asyncio.Event,
    on_started: OnStarted,
) -> None:
    """Open the parts, keep them until `may_stop`, close them; a failure to open is told, not raised."""
    try:
        async with opening as parts:
            readiness.parts = parts
            on_started(parts)
            await may_stop.wait()
    except Exception as error:
        on_started(error)


@asynccontextmanager
async def open_parts(
    settings: Settings,
    bundle: Bundle | None = None,
    metrics: Metrics | None = None,
    picture_urls: PictureUrls | None = None,
) -> AsyncIterator[Parts]:
    """Every part, ready to work, and closed in the end: those who wait are answered first.

    Raises:
        BundleError: the bundle cannot be served.
        StoreError: the database cannot be used.
    """
    metrics = metrics or Metrics()
    if bundle is None and settings.bundles_dir is None:
        # Before a database is made for it. Where bundles can be swapped, the store says which one to load.
        bundle = await asyncio.to_thread(load_bundle, settings.bundle)
    redis = RedisLink(settings.redis_url) if settings.redis_url else None
    store = SqlStore(settings.store_location, settings.namespace, may_migrate=settings.migrate or None)
    shelf = BundleShelf(settings.bundle, settings.bundles_dir)
    batcher: ModelBatcher = Batcher(
        run_model_batch,
        max_batch_size=settings.max_batch_size,
        max_wait_seconds=settings.batch_wait_seconds,
        max_queue_depth=settings.max_queue_depth,
        deadline_seconds=settings.request_deadline_seconds,
        length_of=history_length,
        observer=metrics,
    )
    # Closed in reverse: what was opened first is needed longest.
    async with AsyncExitStack() as opened:
        if redis is not None:
            opened.push_async_callback(redis.close)
        opened.push_async_callback(store.close)
        await open_store(store, settings.database_wait_seconds)
        # Held by `serving` alone from here on: a bundle that is swapped out must not stay in memory.
        serving = await first_serving(settings, bundle, shelf, store)
        sync = CatalogueSync(redis=redis, channel=f"clairo:{settings.namespace}:written")
        ingestion = Ingestion(
            serving,
            store,
            max_queue_depth=settings.max_queue_depth,
            metrics=metrics,
            on_written=sync.tell_others,
        )
        cache = CountedCache(open_cache(settings, redis), metrics)
        recommendations = Recommendations(
            serving,
            batcher,
            cache,
            deadline_seconds=settings.request_deadline_seconds,
            exploration_temperature=settings.exploration_temperature,
            metrics=metrics,
        )
        swap = BundleSwap(
            settings,
            shelf,
            store,
            serving,
            store,
            ingestion,
            batcher,
            metrics,
            # What was read of the bundle before is let go of at once, not at the next request.
            on_swapped=recommendations.tables.current,
        )
        feedback = FeedbackStore(store.database)
        jobs = JobStore(store.database)
        pictures_from = picture_urls or PictureUrls(parsed_hosts(settings.picture_url_hosts))
        bulk_jobs = BulkJobs(jobs, ingestion, pictures_from, item_body.item_of_fields)
        rates = KeyRates(time.monotonic, redis, f"clairo:{settings.namespace}:rate:")
        key_ring = KeyRing(KeyStore(store.database), rates=rates)
        await key_ring.refresh()
        await ingestion.catch_up()
        opened.push_async_callback(batcher.stop)
        await batcher.start()
        await warm_up(serving, batcher, min(settings.max_batch_size, settings.max_queue_depth))
        opened.push_async_callback(ingestion.finish)
        opened.push_async_callback(sync.stop)

        async def show_serving() -> None:
            # Of a worker that nobody scrapes as well: where there are several, one answers for all.
            metrics.show_serving(serving.bundle_id, serving.recommender.catalogue.num_live)

        follow = (swap.follow,) if settings.bundles_dir else ()
        await sync.start((ingestion.catch_up, *follow, show_serving))
        await recommendations.tables.current()
        opened.push_async_callback(bulk_jobs.stop)
        await bulk_jobs.start()
        async with open_split(settings, serving.bundle_id, store, batcher, cache, feedback, metrics) as split:
            yield Parts(
                serving,
                recommendations,
                ingestion,
                store,
                user_histories=feedback,
                feedback=feedback,
                jobs=jobs,
                bulk_jobs=bulk_jobs,
                answered_once=AnsweredOnce(IdempotencyStore(store.database)),
                key_ring=key_ring,
                swap=swap,
                sync=sync,
                picture_urls=pictures_from,
                redis=redis,
                split=split,
            )


async def open_store(store: Store, wait_seconds: float) -> None:
    """Open the store, trying again for a while where the database is not up yet.

    Raises:
        StoreError: it is not up in time, or cannot be used at all.
    """
    give_up_at = time.monotonic() + wait_seconds
    while True:
        try:
            return await store.open()
        except (NewerStoreError, OutdatedStoreError):
            raise
        except StoreError as error:
            if time.monotonic() >= give_up_at:
                raise
            logger.warning("the database cannot be used yet, trying again: %s", error)
            await asyncio.sleep(STORE_RETRY_SECONDS)


async def first_serving(
    settings: Settings, bundle: Bundle | None, shelf: BundleShelf, activations: ActivationLog
) -> Serving:
    """What to begin with: the bundle that was activated last if it is there, else the one that the settings name.

    Raises:
        BundleError: it cannot be served.
    """
    activated = await last_activated(activations) if settings.bundles_dir is not None else None
    if activated is not None and (bundle is None or bundle.manifest.bundle_id != activated):
        try:
            bundle = await asyncio.to_thread(load_bundle, shelf.find(activated).folder)
            logger.info("bundle %s was activated last and is served, whatever %s is", activated, settings.bundle)
        except ClairoError as error:
            logger.warning("bundle %s was activated last, but cannot be served: %s", activated, error)
    if bundle is None:
        bundle = await asyncio.to_thread(load_bundle, settings.bundle)
    return await prepared_serving(bundle, settings)


def open_cache(settings: Settings, redis: RedisLink | None) -> Cache:
    """Answers in this process's memory, and in Redis where there is one."""
    near = InProcessCache(
        settings.cache_max_entries,
        max_bytes=settings.cache_max_mib * 1024 * 1024,
        ttl_seconds=settings.cache_ttl_seconds,
    )
    if redis is None:
        return near
    # What the request does not say, but the answer depends on: another shop, other beams, another release.
    views_and_beams = f"{settings.num_views}x{settings.num_beams}"
    prefix = f"clairo:{version('clairo')}:{settings.namespace}:{views_and_beams}:answer:"
    return LayeredCache(near, RedisCache(redis, prefix, ttl_seconds=settings.cache_ttl_seconds))


def _key_ring_of(scope: Scope) -> KeyRing | None:
    readiness: Readiness = scope["app"].state.readiness
    return None if readiness.parts is None else readiness.parts.key_ring


def _max_body_bytes(path: str) -> int:
    if path == "/items/bulk":
        return bulk_body.MAX_BODY_BYTES
    return item_body.MAX_BODY_BYTES if path == "/items" or path.startswith("/items/") else MAX_BODY_BYTES
