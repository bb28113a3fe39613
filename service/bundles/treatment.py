"""Serve an experiment's second bundle beside the first: its own recommender, the same store, batcher and cache.

Posted items reach it within a second of the first, from the store. Knows bundles and parts; knows nothing of HTTP.
Start at `open_split`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import SettingsError
from service.bundles.experiments import FeedbackEvents, Outcomes, Split, parsed_experiment
from service.bundles.shelf import BundleShelf
from service.bundles.swap import prepared_serving
from service.errors import StoreError
from service.items.ingestion import Ingestion
from service.recommend.cache import Cache
from service.recommend.recommendations import ModelBatcher, Recommendations
from service.settings import Settings
from service.store.store import Store
from service.telemetry.metrics import Metrics

logger = logging.getLogger("clairo.experiments")

CATCH_UP_SECONDS = 1.0


@asynccontextmanager
async def open_split(
    settings: Settings,
    served_bundle_id: str,
    store: Store,
    batcher: ModelBatcher,
    cache: Cache,
    feedback: FeedbackEvents,
    metrics: Metrics,
) -> AsyncIterator[Split | None]:
    """The experiment that the settings name, ready to answer; None if they name none.

    Raises:
        SettingsError: it is no experiment, or one of a bundle with itself.
        UnknownBundleError: the second bundle is neither in bundles_dir nor beside the first.
        BundleError: it cannot be served.
        StoreError: the database cannot be used.
    """
    if not settings.experiment:
        yield None
        return
    experiment = parsed_experiment(settings.experiment)
    if experiment.bundle_id == served_bundle_id:
        raise SettingsError(f"experiment {experiment.name}: {served_bundle_id} is served already; name another bundle")
    shelf = BundleShelf(settings.bundle, settings.bundles_dir or settings.bundle.parent)
    bundle = await asyncio.to_thread(load_bundle, shelf.find(experiment.bundle_id).folder)
    serving = await prepared_serving(bundle, settings)
    ingestion = Ingestion(serving, store, max_queue_depth=settings.max_queue_depth, metrics=metrics)
    await ingestion.catch_up()
    treatment = Recommendations(
        serving,
        batcher,
        cache,
        deadline_seconds=settings.request_deadline_seconds,
        exploration_temperature=settings.exploration_temperature,
        metrics=metrics,
    )
    await treatment.tables.current()
    keeping_up = asyncio.create_task(_keep_up(ingestion))
    try:
        yield Split(experiment, treatment, Outcomes(experiment, feedback))
    finally:
        keeping_up.cancel()
        with suppress(asyncio.CancelledError):
            await keeping_up


async def _keep_up(ingestion: Ingestion) -> None:
    while True:
        await asyncio.sleep(CATCH_UP_SECONDS)
        try:
            await ingestion.catch_up()
        except StoreError as error:
            logger.warning("the experiment's bundle cannot be brought up to date: %s", error)
