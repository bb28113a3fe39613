"""Put the service together: `create_app` is the one place where settings become parts and parts become routes.

The lifespan owns every resource. It loads the bundle beside the running server, so that /health/live answers at
once and everything else says 503 until weights, trie and warm-up are done.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import Scope

from clairo_core.bundle import Bundle, load_bundle
from clairo_core.items import UserHistory
from clairo_core.recommender import RecommendationRequest, Recommender
from service import bulk_body
from service.answered_once import AnsweredOnce
from service.batcher import Batcher
from service.bulk import BulkJobs
from service.cache import InProcessCache
from service.ingestion import Ingestion
from service.keys.authentication import Authentication
from service.keys.key_ring import KeyRing
from service.openapi import describe_problems
from service.problems import answer_to, install_problem_handlers, problem_response
from service.recommendations import ModelBatcher, ModelRequest, Recommendations, history_length, run_model_batch
from service.request_context import RequestContext
from service.routes import bulk, experiments, feedback, health, item_body, items, recommend, similar, users
from service.routes.parts import Parts, Readiness
from service.routes.playground import install_playground
from service.serving import Serving
from service.settings import Settings
from service.store.feedback import FeedbackStore
from service.store.idempotency import IdempotencyStore
from service.store.jobs import JobStore
from service.store.keys import KeyStore
from service.store.sql_store import SqlStore
from service.treatment import open_split

logger = logging.getLogger("clairo.app")

MAX_BODY_BYTES = 1024 * 1024
"""Of every call but those that take items."""

DESCRIPTION = """Recommends by generating: a history in, the items that come next out.

Items posted a moment ago included. Errors are `application/problem+json` (RFC 9457)."""

OnStarted = Callable[[Parts | Exception], None]


def create_app(settings: Settings, bundle: Bundle | None = None, on_started: OnStarted | None = None) -> FastAPI:
    """The service as an ASGI app.

    Args:
        settings: what the operator chose.
        bundle: loaded already; else the one that the settings name is loaded once the app runs.
        on_started: called once, in the event loop, with the parts when they are ready or with what went wrong.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness: Readiness = app.state.readiness
        may_stop = asyncio.Event()
        running = asyncio.create_task(_run_parts(settings, bundle, readiness, may_stop, on_started))
        try:
            yield
        finally:
            readiness.is_draining = True
            may_stop.set()
            await running

    app = FastAPI(
        title="CLAIRO",
        version=version("clairo"),
        description=DESCRIPTION,
        lifespan=lifespan,
        # The framework's own documentation pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.readiness = Readiness()
    install_problem_handlers(app)
    # The job of many items before what takes any path behind /items/.
    for routes in (recommend, similar, bulk, items, feedback, users, experiments, health):
        app.include_router(routes.router)
    install_playground(app)
    describe_problems(app)
    app.add_middleware(
        Authentication, key_ring_of=_key_ring_of, problem=answer_to, allow_open_network=settings.allow_open_network
    )
    app.add_middleware(RequestContext, max_body_bytes=_max_body_bytes, answer=problem_response)
    return app


async def _run_parts(
    settings: Settings,
    bundle: Bundle | None,
    readiness: Readiness,
    may_stop: asyncio.Event,
    on_started: OnStarted | None,
) -> None:
    """Open the parts, keep them until `may_stop`, close them; a failure to open is told, not raised."""
    try:
        async with open_parts(settings, bundle) as parts:
            readiness.parts = parts
            if on_started is not None:
                on_started(parts)
            await may_stop.wait()
    except Exception as error:
        if on_started is None:
            logger.exception("the service cannot start")
        else:
            on_started(error)


@asynccontextmanager
async def open_parts(settings: Settings, bundle: Bundle | None = None) -> AsyncIterator[Parts]:
    """Every part, ready to work, and closed in the end: those who wait are answered first.

    Raises:
        BundleError: the bundle cannot be served.
        StoreError: the database cannot be used.
    """
    if bundle is None:
        bundle = await asyncio.to_thread(load_bundle, settings.bundle)
    recommender = await asyncio.to_thread(
        bundle.recommender, settings.device, num_views=settings.num_views, num_beams=settings.num_beams
    )
    serving = Serving(bundle, recommender)
    store = SqlStore(settings.store_location, settings.namespace, may_migrate=settings.migrate or None)
    batcher: ModelBatcher = Batcher(
        run_model_batch,
        max_batch_size=settings.max_batch_size,
        max_wait_seconds=settings.batch_wait_seconds,
        max_queue_depth=settings.max_queue_depth,
        deadline_seconds=settings.request_deadline_seconds,
        length_of=history_length,
    )
    cache = InProcessCache(settings.cache_max_entries)
    recommendations = Recommendations(
        serving,
        batcher,
        cache,
        deadline_seconds=settings.request_deadline_seconds,
        exploration_temperature=settings.exploration_temperature,
    )
    ingestion = Ingestion(serving, store, max_queue_depth=settings.max_queue_depth)
    feedback = FeedbackStore(store.database)
    jobs = JobStore(store.database)
    bulk_jobs = BulkJobs(jobs, ingestion, item_body.item_of_fields)
    key_ring = KeyRing(KeyStore(store.database))
    try:
        await store.open()
        await key_ring.refresh()
        await ingestion.catch_up()
        await recommendations.tables.current()
        await batcher.start()
        await _warm_up(recommender, batcher, min(settings.max_batch_size, settings.max_queue_depth))
        await bulk_jobs.start()
        async with open_split(settings, serving.bundle_id, store, batcher, cache, feedback) as split:
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
                split=split,
            )
    finally:
        await bulk_jobs.stop()
        await ingestion.finish()
        await batcher.stop()
        await store.close()


async def _warm_up(recommender: Recommender, batcher: ModelBatcher, batch_size: int) -> None:
    """Recommend alone and in a full batch: compiling and first allocations are not the first client's wait.

    The batcher has then also measured how long a request takes.
    """
    history = UserHistory(recommender.catalogue.item_ids[: recommender.max_history_items])
    request = ModelRequest(recommender, RecommendationRequest(history=history, limit=1))
    await batcher.submit(request)
    # Where one batch takes most of the deadline, the batcher refuses some of these already.
    await asyncio.gather(*(batcher.submit(request) for _ in range(batch_size)), return_exceptions=True)


def _key_ring_of(scope: Scope) -> KeyRing | None:
    readiness: Readiness = scope["app"].state.readiness
    return None if readiness.parts is None else readiness.parts.key_ring


def _max_body_bytes(path: str) -> int:
    if path == "/items/bulk":
        return bulk_body.MAX_BODY_BYTES
    return item_body.MAX_BODY_BYTES if path == "/items" or path.startswith("/items/") else MAX_BODY_BYTES
