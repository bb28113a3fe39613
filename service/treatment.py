"""Serve an experiment's second bundle beside the first: its own recommender, the same store, batcher and cache.

Posted items reach it within a second of the first, from the store. Knows bundles and parts; knows nothing of HTTP.
Start at `open_split`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from clairo_core.bundle import load_bundle
from clairo_core.bundle_manifest import MANIFEST_FILE, read_manifest
from clairo_core.errors import BundleError, BundleNotFoundError, SettingsError
from service.cache import Cache
from service.errors import StoreError
from service.experiments import FeedbackEvents, Outcomes, Split, parsed_experiment
from service.ingestion import Ingestion
from service.metrics import Metrics
from service.recommendations import ModelBatcher, Recommendations
from service.serving import Serving
from service.settings import Settings
from service.store.store import Store

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
        BundleError: the second bundle is not beside the first, or cannot be served.
        StoreError: the database cannot be used.
    """
    if not settings.experiment:
        yield None
        return
    experiment = parsed_experiment(settings.experiment)
    if experiment.bundle_id == served_bundle_id:
        raise SettingsError(f"experiment {experiment.name}: {served_bundle_id} is served already; name another bundle")
    bundle = await asyncio.to_thread(load_bundle, folder_of(experiment.bundle_id, settings.bundle.parent))
    recommender = await asyncio.to_thread(
        bundle.recommender, settings.device, num_views=settings.num_views, num_beams=settings.num_beams
    )
    serving = Serving(bundle, recommender)
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


def folder_of(bundle_id: str, bundles: Path) -> Path:
    """The folder among `bundles` that holds this bundle.

    Raises:
        BundleNotFoundError: none of them does.
    """
    found = []
    for manifest in sorted(bundles.glob(f"*/{MANIFEST_FILE}")):
        # A damaged neighbour is no reason not to serve this one.
        with suppress(BundleError):
            found.append(read_manifest(manifest.parent).bundle_id)
            if found[-1] == bundle_id:
                return manifest.parent
    raise BundleNotFoundError(
        f"there is no bundle {bundle_id} in {bundles}, only {', '.join(found) or 'none'}; put its folder there"
    )


async def _keep_up(ingestion: Ingestion) -> None:
    while True:
        await asyncio.sleep(CATCH_UP_SECONDS)
        try:
            await ingestion.catch_up()
        except StoreError as error:
            logger.warning("the experiment's bundle cannot be brought up to date: %s", error)
