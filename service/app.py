"""Wire the service: settings become parts, parts become routes. Start at `create_app`.

The lifespan owns every resource and loads the bundle beside the running server: /health/live answers at once, all else
is 503 until weights, trie and warm-up are done. A replacement process listens only then, since others still answer.
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
from clairo_core.recommender import Recommender
from service.bundles.experiments import Experiments
from service.bundles.shelf import BundleShelf
from service.bundles.swap import BundleSwap, first_bundle
from service.errors import NewerStoreError, OutdatedStoreError, StoreError
from service.feedback.bulk import FeedbackRows
from service.http.cross_origin import CrossOrigin
from service.http.head import HeadAsGet
from service.http.idempotency import AnsweredOnce
from service.http.observation import Observation
from service.http.openapi import describe_problems
from service.http.problems import answer_to, install_problem_handlers, problem_response
from service.http.repeated_requests import RepeatedRequests
from service.http.request_context import RequestContext
from service.http.root_path import RootPath
from service.items.attribute_schema import AttributeSchema
from service.items.bulk import BATCH_PATCHES, ItemRows
from service.items.ingestion import ItemPut
from service.items.picture_pool import PicturePool
from service.jobs import bulk_body
from service.jobs.bulk import BulkJobs
from service.keys.authentication import Authentication
from service.keys.callers import CallerCheck
from service.keys.key_ring import KeyRing
from service.keys.shared_rate import KeyRates
from service.picture_urls.fetch import PictureUrls
from service.picture_urls.hosts import parsed_hosts
from service.placements.saved import SavedPlacements
from service.recommend.batcher import Batcher
from service.recommend.recommendations import ModelBatcher, history_length, run_model_batch
from service.recommend.repeated_answers import RepeatedAnswers
from service.replicas.catalogue_sync import CatalogueSync
from service.replicas.redis_link import RedisLink
from service.routes import (
    bought_together,
    bulk,
    bundles,
    buy_again,
    experiments,
    feedback,
    health,
    info,
    item_body,
    items,
    placements,
    popular,
    recommend,
    schema,
    similar,
    users,
)
from service.routes import metrics as metrics_route
from service.routes.pages import install_pages
from service.routes.parts import Parts, Readiness
from service.serving import ServedBundle, SharedParts, open_cache, open_repeated_answers, serve_bundle
from service.settings import Settings
from service.store.attribute_types import AttributeTypeStore
from service.store.behaviour import BehaviourStore
from service.store.experiments import ExperimentStore
from service.store.feedback import FeedbackStore
from service.store.idempotency import IdempotencyStore
from service.store.jobs import JobKind, JobStore
from service.store.keys import KeyStore
from service.store.placements import PlacementStore
from service.store.sql_store import SqlStore
from service.store.store import Store
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import flush_spans

logger = logging.getLogger("clairo.app")

MAX_BODY_BYTES = 1024 * 1024
"""Bounds the body of each call that does not receive items."""
STORE_RETRY_SECONDS = 1.0

DESCRIPTION = """Send a history, get the items most likely to come next, newly posted ones included.

Errors are `application/problem+json` (RFC 9457). HEAD is answered wherever GET is."""

OnStarted = Callable[[Parts | Exception], None]


def create_app(
    settings: Settings,
    bundle: Bundle | None = None,
    on_started: OnStarted | None = None,
    *,
    metrics: Metrics | None = None,
    is_replacement: bool = False,
    picture_urls: PictureUrls | None = None,
    recommender: Recommender | None = None,
) -> FastAPI:
    """Create the service as an ASGI app.

    Args:
        settings: of the operator.
        bundle: already loaded; by default, the one in the settings is loaded once the app runs.
        on_started: called once, in the event loop, with the parts when they are ready, or with the error.
        metrics: by default, new ones.
        is_replacement: other processes answer at this address; listen once the parts are ready.
        picture_urls: by default, fetches from the hosts in the settings.
        recommender: of `bundle`, if it is loaded too.
    """
    metrics = metrics or Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness: Readiness = app.state.readiness
        may_stop, has_started = asyncio.Event(), asyncio.Event()

        def report(outcome: Parts | Exception) -> None:
            has_started.set()
            if on_started is not None:
                on_started(outcome)
            elif isinstance(outcome, Exception):
                logger.error("the service cannot start", exc_info=outcome)

        opening = open_parts(settings, bundle, metrics, picture_urls, recommender)
        running = asyncio.create_task(_run_parts(opening, readiness, may_stop, report))
        try:
            if is_replacement:
                await has_started.wait()
            yield
        finally:
            readiness.is_draining = True
            may_stop.set()
            await running
            # Not at exit: the signal that stopped the server ends the process right after this.
            await asyncio.to_thread(flush_spans)

    app = FastAPI(
        title="CLAIRO",
        version=version("clairo"),
        description=DESCRIPTION,
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        servers=[
            {"url": settings.root_path or "/", "description": "The service that this document comes from."},
        ],
        lifespan=lifespan,
        # The framework's documentation pages load scripts from another host. Ours is in routes/pages.py.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # The framework's spans would duplicate ours, and show paths and queries, which hold ids of items and users.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.readiness = Readiness()
    app.state.settings = settings
    app.state.metrics = metrics
    install_problem_handlers(app)
    # Calls below an item or a user must precede those that match any path below /items/ and /users/.
    by_behaviour = (popular, bought_together, buy_again)
    shop = (recommend, similar, placements, *by_behaviour, bulk, items, schema, feedback, users)
    for routes in (*shop, experiments, bundles, health, info, metrics_route):
        app.include_router(routes.router)
    install_pages(app)
    describe_problems(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RepeatedRequests, answers_of=_answers_of)
    origins = settings.cors_origin_names
    callers = CallerCheck(settings.allow_open_network, settings.allowed_host_names, settings.host, origins)
    app.add_middleware(
        Authentication,
        key_ring_of=_key_ring_of,
        problem=answer_to,
        callers=callers,
        trusted_proxies=settings.trusted_networks,
    )
    app.add_middleware(RequestContext, max_body_bytes=_max_body_bytes, answer=problem_response)
    app.add_middleware(CrossOrigin, origins=origins)
    app.add_middleware(Observation, metrics=metrics)
    app.add_middleware(RootPath, root_path=settings.root_path)
    return app


async def _run_parts(
    opening: AbstractAsyncContextManager[Parts],
    readiness: Readiness,
    may_stop: asyncio.Event,
    on_started: OnStarted,
) -> None:
    """Open the parts, keep them until `may_stop`, close them; report a failure to open instead of raising it."""
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
    recommender: Recommender | None = None,
) -> AsyncIterator[Parts]:
    """Open every part, ready to work; answer waiting requests, then close them.

    Raises:
        BundleError: the bundle cannot be served.
        StoreError: the database cannot be used.
    """
    metrics = metrics or Metrics()
    shelf = BundleShelf(settings.bundle, settings.bundles_dir, settings.bundle_copies)
    if bundle is None and settings.bundles_dir is None:
        # Before a database is created for it. Where bundles can be swapped, the store decides which one to load.
        bundle = await asyncio.to_thread(shelf.load_configured)
    redis = RedisLink(settings.redis_url) if settings.redis_url else None
    sync = CatalogueSync(redis=redis, channel=f"clairo:{settings.namespace}:written")
    store = SqlStore(settings.store_location, settings.namespace, may_migrate=settings.migrate or None)
    batcher: ModelBatcher = Batcher(
        run_model_batch,
        max_batch_size=settings.max_batch_size,
        max_wait_seconds=settings.batch_wait_seconds,
        max_queue_depth=settings.max_queue_depth,
        deadline_seconds=settings.request_deadline_seconds,
        length_of=history_length,
        metrics=metrics,
    )
    attribute_schema = AttributeSchema(AttributeTypeStore(store.database))
    behaviour, cache = BehaviourStore(store.database), open_cache(settings, redis)
    pictures = PicturePool()
    shared = SharedParts(
        settings, store, batcher, attribute_schema, cache, metrics, behaviour, pictures, on_written=sync.publish_write
    )
    # Closed in reverse: parts opened first are needed longest.
    async with AsyncExitStack() as opened:
        opened.callback(shelf.close)
        if redis is not None:
            opened.push_async_callback(redis.close)
        opened.push_async_callback(store.close)
        opened.callback(pictures.close)
        await open_store(store, settings.database_wait_seconds)
        store_of_feedback, jobs = FeedbackStore(store.database), JobStore(store.database)
        rates = KeyRates(time.monotonic, redis, f"clairo:{settings.namespace}:rate:")
        key_ring = KeyRing(KeyStore(store.database), rates=rates)
        await key_ring.refresh()
        placements_saved = SavedPlacements(PlacementStore(store.database))
        await placements_saved.catch_up()
        opened.push_async_callback(batcher.stop)
        await batcher.start()
        served = await _serve_first(bundle, recommender, shelf, shared)
        opened.push_async_callback(served.ingestion.finish)
        of_moment = Experiments(shared, served, store_of_feedback, ExperimentStore(store.database))
        opened.callback(of_moment.close)
        await of_moment.open()
        swap = BundleSwap(shelf, shared, served, on_swapped=of_moment.follow_swap)
        opened.push_async_callback(sync.stop)

        async def show_serving() -> None:
            # Also in a worker that is never scraped: with several, one exposes the numbers of all.
            num_items = served.live.recommender.catalogue.num_live
            metrics.show_serving(served.live.bundle_id, num_items, served.counts.complete_until)

        catch_up = (attribute_schema.refresh, placements_saved.catch_up, served.catch_up, of_moment.catch_up)
        follow = ((swap.follow,),) if settings.bundles_dir else ()
        await sync.start((*catch_up, show_serving), *follow, (of_moment.follow,))

        def state_version() -> tuple[object, ...]:
            live = served.live
            return (
                live.num_changes,
                live.counts_version,
                placements_saved.num_versions,
                attribute_schema.num_changes,
            )

        picture_urls = picture_urls or PictureUrls(parsed_hosts(settings.picture_url_hosts))
        ingestion = served.ingestion
        bulk_jobs = BulkJobs(
            jobs,
            {
                JobKind.ITEMS: ItemRows(
                    jobs,
                    lambda sent: ingestion.put_items([ItemPut(one.item, one.keeps_picture) for one in sent]),
                    picture_urls,
                    item_body.item_of_fields,
                ),
                JobKind.PATCHES: ItemRows(
                    jobs,
                    lambda sent: ingestion.patch_items([one.item for one in sent]),
                    picture_urls,
                    item_body.patch_of_fields,
                    BATCH_PATCHES,
                ),
                JobKind.FEEDBACK: FeedbackRows(
                    jobs, store_of_feedback, feedback.event_of_fields, lambda: served.live.rules
                ),
            },
        )
        opened.push_async_callback(bulk_jobs.stop)
        await bulk_jobs.start()
        yield Parts(
            served=served,
            swap=swap,
            experiments=of_moment,
            store=store,
            schema=attribute_schema,
            feedback=store_of_feedback,
            behaviour=behaviour,
            jobs=jobs,
            bulk_jobs=bulk_jobs,
            answered_once=AnsweredOnce(IdempotencyStore(store.database)),
            key_ring=key_ring,
            placements=placements_saved,
            repeated_answers=open_repeated_answers(settings, state_version, metrics),
            publish_write=sync.publish_write,
            picture_urls=picture_urls,
            redis=redis,
            tired_after_impressions=settings.tired_after_impressions,
        )


async def _serve_first(
    bundle: Bundle | None, recommender: Recommender | None, shelf: BundleShelf, shared: SharedParts
) -> ServedBundle:
    """Serve the first bundle, the given one with its recommender; a swap frees it, as no other name holds it."""
    first = await first_bundle(shared.settings, bundle, shelf, shared.store)
    made = recommender if first is bundle else None
    return await serve_bundle(first, shared, num_warm_up=shared.full_batch, recommender=made)


async def open_store(store: Store, wait_seconds: float) -> None:
    """Open the store, retrying while the database is not up yet.

    Raises:
        StoreError: it is not up in time, or cannot be used.
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
            logger.warning("the database cannot be used yet, retrying: %s", error)
            await asyncio.sleep(STORE_RETRY_SECONDS)


def _key_ring_of(scope: Scope) -> KeyRing | None:
    readiness: Readiness = scope["app"].state.readiness
    return None if readiness.parts is None else readiness.parts.key_ring


def _answers_of(scope: Scope) -> RepeatedAnswers | None:
    readiness: Readiness = scope["app"].state.readiness
    return None if readiness.parts is None else readiness.parts.repeated_answers


def _max_body_bytes(path: str) -> int:
    if path in ("/items/bulk", "/feedback/bulk"):
        return bulk_body.MAX_BODY_BYTES
    return item_body.MAX_BODY_BYTES if path == "/items" or path.startswith("/items/") else MAX_BODY_BYTES
