"""Put another bundle in the place of the one that is served, without a failed request.

The newcomer is loaded beside the serving one, its files verified, its kernels and memory warmed by a batch, and the
items posted since it was trained are carried into its catalogue. Then it takes over between two awaits: a request is
answered by the one or by the other. What was activated is recorded, so that a restart serves it again and the other
processes on the same store follow.

Knows bundles, the batcher and ingestion; knows nothing of HTTP. Start at `BundleSwap.activate`.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable

import torch

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import ClairoError
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest
from service.bundles.shelf import DECIDING_METRIC, ActivationLog, BundleShelf, check_not_worse, deciding_metric
from service.errors import SwapInProgressError
from service.items.ingestion import Ingestion
from service.recommend.recommendations import ModelBatcher, ModelRequest
from service.serving import Serving
from service.settings import Settings
from service.store.store import Store
from service.telemetry.metrics import Metrics

logger = logging.getLogger("clairo.bundles")

RETRY_SECONDS = 10.0


class BundleSwap:
    """Swaps bundles in one process, one after the other."""

    def __init__(
        self,
        settings: Settings,
        shelf: BundleShelf,
        activations: ActivationLog,
        serving: Serving,
        store: Store,
        ingestion: Ingestion,
        batcher: ModelBatcher,
        metrics: Metrics,
        on_swapped: Callable[[], Awaitable[object]],
    ) -> None:
        """`on_swapped` is called when another bundle has taken over."""
        self.shelf = shelf
        self._settings = settings
        self._activations = activations
        self._serving = serving
        self._store = store
        self._ingestion = ingestion
        self._batcher = batcher
        self._metrics = metrics
        self._on_swapped = on_swapped
        self._one_at_a_time = asyncio.Lock()
        self._told_of: str | None = None
        self._may_try_at = 0.0

    async def activate(self, bundle_id: str, *, allow_worse: bool = False) -> str:
        """Serve this bundle from now on; the id of the one that was served until now.

        Activating the one that is served changes nothing.

        Raises:
            UnknownBundleError: there is none of this id.
            WorseBundleError: it measured worse than the serving one, or was not measured, and that is not allowed.
            BundleError: it is damaged, truncated or newer than this release; the serving one stays.
            SwapInProgressError: another activation has not ended yet.
            StoreError: the store cannot be used; the serving one stays.
        """
        if self._one_at_a_time.locked():
            raise SwapInProgressError("another bundle is being activated; try again when that has ended")
        async with self._one_at_a_time:
            shelved = await asyncio.to_thread(self.shelf.find, bundle_id)
            before = self._serving.bundle_id
            if bundle_id == before or shelved.manifest is None:
                # Others may have recorded one that cannot be served here: saying this one again settles it.
                if await last_activated(self._activations) not in (None, before):
                    await self._record(self._serving.bundle)
                return before
            if not allow_worse:
                check_not_worse(shelved.manifest, self._serving.bundle.manifest)
            bundle = await asyncio.to_thread(load_bundle, shelved.folder)
            # A client that leaves must not stop us between the record and the swap.
            await asyncio.shield(asyncio.create_task(self._swap_to(bundle, is_recorded=True)))
            return before

    async def follow(self) -> None:
        """Serve what another process activated, if that is another bundle than ours.

        A bundle that cannot be served here is said once and tried again from time to time: it may not be copied yet.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._one_at_a_time.locked():
            return
        async with self._one_at_a_time:
            wanted = await last_activated(self._activations)
            if wanted is None or wanted == self._serving.bundle_id:
                self._told_of = None
                return
            if wanted == self._told_of and time.monotonic() < self._may_try_at:
                return
            # Verifying a large bundle takes all cores for a while.
            self._may_try_at = time.monotonic() + RETRY_SECONDS
            try:
                shelved = await asyncio.to_thread(self.shelf.find, wanted)
                bundle = await asyncio.to_thread(load_bundle, shelved.folder)
                await self._swap_to(bundle, is_recorded=False)
            except ClairoError as error:
                if self._told_of != wanted:
                    logger.warning("bundle %s was activated, but cannot be served here: %s", wanted, error)
                self._told_of = wanted

    @property
    def is_behind(self) -> bool:
        """Whether another bundle was activated that this process cannot serve."""
        return self._told_of is not None

    async def _record(self, bundle: Bundle) -> None:
        value = deciding_metric(bundle.manifest.metrics)
        metrics = {} if value is None else {DECIDING_METRIC: value}
        await self._activations.record_bundle_activation(bundle.manifest.bundle_id, str(bundle.folder), metrics)

    async def _swap_to(self, bundle: Bundle, *, is_recorded: bool) -> None:
        candidate = await prepared_serving(bundle, self._settings)
        carrying = Ingestion(candidate, self._store, max_queue_depth=1, metrics=self._metrics)
        await carrying.catch_up()
        await warm_up(candidate, self._batcher, 1)
        if is_recorded:
            await self._record(bundle)
        before = self._serving.bundle_id
        await self._ingestion.take_over(carrying)
        logger.info("bundle %s is served in place of %s", self._serving.bundle_id, before)
        await self._on_swapped()
        # The old generator is part of reference cycles: gone now, not whenever the collector comes round.
        await asyncio.to_thread(_let_memory_go)


async def prepared_serving(bundle: Bundle, settings: Settings) -> Serving:
    """The bundle with its weights loaded and its trie built.

    Raises:
        GeneratorError: the weights do not fit, or there is no such device.
    """
    recommender = await asyncio.to_thread(
        bundle.recommender,
        settings.device,
        num_views=settings.num_views,
        num_beams=settings.num_beams,
        dtype=settings.dtype,
        cuda_graphs=settings.cuda_graphs,
    )
    return Serving(bundle, recommender)


async def warm_up(serving: Serving, batcher: ModelBatcher, batch_size: int) -> None:
    """Recommend alone and in a full batch: compiling and first allocations are not the first client's wait.

    The batcher has then also measured how long a request takes.
    """
    recommender = serving.recommender
    history = UserHistory(recommender.catalogue.item_ids[: recommender.max_history_items])
    request = ModelRequest(recommender, RecommendationRequest(history=history, limit=1))
    # Where one batch takes most of the deadline, the batcher refuses some of these already.
    alone = await asyncio.gather(batcher.submit(request), return_exceptions=True)
    others = await asyncio.gather(*(batcher.submit(request) for _ in range(batch_size)), return_exceptions=True)
    failures = [outcome for outcome in (*alone, *others) if isinstance(outcome, BaseException)]
    if len(failures) == 1 + batch_size:
        raise failures[0]


async def last_activated(activations: ActivationLog) -> str | None:
    """The bundle that is to be served; None if none was ever activated.

    Raises:
        StoreError: the store cannot be read.
    """
    recorded = await activations.bundle_activations()
    return recorded[-1].bundle_id if recorded else None


def _let_memory_go() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
