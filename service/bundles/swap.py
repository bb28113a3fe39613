"""Replace the served bundle without a failed request.

The next bundle is loaded beside the served one, verified and warmed up, with the items posted since its training in its
catalogue. It takes over between two awaits, so each request is answered by one bundle. The store records activations:
a restart serves the last one, and other processes on the same store follow.

Independent of HTTP. Start at `BundleSwap.activate`; `BundleSwap.roll_back` undoes it.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager

import torch

from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import BundleStorageError, ClairoError
from service.bundles.not_worse import DECIDING_METRIC, check_not_worse, deciding_metric
from service.bundles.shelf import BundleShelf
from service.errors import RollbackError, SwapInProgressError, UnknownBundleError
from service.serving import ServedBundle, SharedParts, serve_bundle
from service.settings import Settings
from service.store.store import Store

logger = logging.getLogger("clairo.bundles")

RETRY_SECONDS = 10.0


class BundleSwap:
    """Swaps bundles in one process, one at a time."""

    def __init__(
        self,
        shelf: BundleShelf,
        shared: SharedParts,
        served: ServedBundle,
        on_swapped: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_swapped` is called between two awaits, right after another bundle took over."""
        self.shelf = shelf
        self._shared = shared
        self._served = served
        self._on_swapped = on_swapped
        self._one_at_a_time = asyncio.Lock()
        self._is_activating = False
        self._unservable: str | None = None
        self._may_try_at = 0.0

    async def activate(self, bundle_id: str, *, allow_worse: bool = False) -> str:
        """Serve this bundle from now on; return the id of the one served until now.

        Activating the served bundle changes nothing.

        Raises:
            UnknownBundleError: no bundle has this id.
            WorseBundleError: it is not shown to be as good as the served one, which did not replace it, without
                `allow_worse`.
            BundleError: it is damaged, truncated or newer than this release; the served one stays.
            ClairoError: a part of it cannot be used, such as an encoder without its library; the served one stays.
            SwapInProgressError: another activation is in progress.
            StoreError: the store cannot be used; the served one stays.
        """
        return await self._alone(lambda: self._activate(bundle_id, allow_worse=allow_worse))

    async def roll_back(self) -> str:
        """Serve the bundle that the served one replaced; return the id of the one served until now.

        Called again, it goes one bundle further back. The recorded activations decide, so every process goes back to
        the same bundle, also after a restart.

        Raises:
            RollbackError: no bundle was served before, or it is not on the shelf any more.
            BundleError: it is damaged, truncated or newer than this release; the served one stays.
            ClairoError: a part of it cannot be used; the served one stays.
            SwapInProgressError: another activation is in progress.
            StoreError: the store cannot be used; the served one stays.
        """
        return await self._alone(self._roll_back)

    async def _alone(self, swap: Callable[[], Coroutine[None, None, str]]) -> str:
        if self._is_activating:
            raise SwapInProgressError("another bundle is being activated; try again when that has ended")
        self._is_activating = True

        async def swap_when_free() -> str:
            try:
                # Another process's activation may be followed at this moment: it ends by itself.
                async with self._one_at_a_time:
                    return await swap()
            finally:
                self._is_activating = False

        # A client that leaves must not stop us between the record and the swap.
        return await asyncio.shield(asyncio.create_task(swap_when_free()))

    async def _activate(self, bundle_id: str, *, allow_worse: bool) -> str:
        shelved = await asyncio.to_thread(self.shelf.find, bundle_id)
        before = self._served.live.bundle_id
        if bundle_id == before or shelved.manifest is None:
            # Another process may have recorded one that cannot be served here: recording this one settles it.
            if await last_activated(self._shared.store) not in (None, before):
                await self._record(self._served.live.bundle)
            return before
        if not allow_worse and bundle_id != await self._previous(before):
            check_not_worse(shelved.manifest, self._served.live.bundle.manifest)
        bundle = await asyncio.to_thread(shelved.load)
        await self._swap_to(bundle, is_recorded=True)
        return before

    async def _roll_back(self) -> str:
        if self._shared.settings.bundles_dir is None:
            raise RollbackError("no bundles_dir is set, so no other bundle can be served; set it and restart")
        recorded = [activation.bundle_id for activation in await self._shared.store.bundle_activations()]
        configured = await asyncio.to_thread(self.shelf.configured_id)
        order = serving_order(configured, recorded)
        if len(order) < 2:
            raise RollbackError(
                f"no bundle was served before {self._served.live.bundle_id}; serve another one with "
                "POST /bundles/{bundle_id}/activate"
            )
        before = order[-2]
        try:
            return await self._activate(before, allow_worse=True)
        except UnknownBundleError as error:
            raise RollbackError(
                f"bundle {before}, which was served before, is not in bundles_dir any more; copy it back, or serve "
                "another one with POST /bundles/{bundle_id}/activate"
            ) from error

    async def follow(self) -> None:
        """Serve the bundle that another process activated, if it is not served yet.

        A bundle that cannot be served here is logged once and tried again later: its copy may be on the way.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._one_at_a_time.locked():
            return
        async with self._one_at_a_time:
            activated = await last_activated(self._shared.store)
            if activated is None or activated == self._served.live.bundle_id:
                self._unservable = None
                return
            if activated == self._unservable and time.monotonic() < self._may_try_at:
                return
            # Verifying a large bundle takes all cores for a while.
            self._may_try_at = time.monotonic() + RETRY_SECONDS
            try:
                shelved = await asyncio.to_thread(self.shelf.fetched, activated)
                if shelved is None:
                    # The next step looks again: an activation here need not wait for the fetch.
                    return
                bundle = await asyncio.to_thread(shelved.load)
                await self._swap_to(bundle, is_recorded=False)
            except Exception as error:
                # Also what no bundle should raise, such as a GPU's lack of memory.
                if self._unservable != activated:
                    unforeseen = None if isinstance(error, ClairoError) else error
                    logger.warning(
                        "bundle %s was activated, but cannot be served here: %s", activated, error, exc_info=unforeseen
                    )
                self._unservable = activated

    @property
    def is_behind(self) -> bool:
        """Whether another bundle was activated that this process cannot serve."""
        return self._unservable is not None

    async def _previous(self, served: str) -> str | None:
        """The bundle that the served one replaced: going back to it needs no comparison."""
        recorded = await self._shared.store.bundle_activations()
        before = [activation.bundle_id for activation in recorded if activation.bundle_id != served]
        return before[-1] if before else await asyncio.to_thread(self.shelf.configured_id)

    async def _record(self, bundle: Bundle) -> None:
        value = deciding_metric(bundle.manifest.metrics)
        metrics = {} if value is None else {DECIDING_METRIC: value}
        await self._shared.store.record_bundle_activation(bundle.manifest.bundle_id, str(bundle.folder), metrics)
        self._shared.on_written()

    async def _swap_to(self, bundle: Bundle, *, is_recorded: bool) -> None:
        with _without_full_collections():
            candidate = await serve_bundle(bundle, self._shared, num_warm_up=1)
            if is_recorded:
                await self._record(bundle)
            before = self._served.live.bundle_id
            await self._served.take_over(candidate)
        self._on_swapped()
        logger.info("bundle %s is served in place of %s", self._served.live.bundle_id, before)
        # The old generator is part of reference cycles: free it now, not at some later collection.
        await asyncio.to_thread(_free_memory)


async def first_bundle(settings: Settings, bundle: Bundle | None, shelf: BundleShelf, store: Store) -> Bundle:
    """The bundle to start with: the last activated one if it can be loaded, else the one given or in the settings.

    Raises:
        BundleError: it cannot be served, or object storage does not answer: the one activated last may be there.
        StoreError: the store cannot be read.
    """
    activated = await last_activated(store) if settings.bundles_dir is not None else None
    if activated is not None and (bundle is None or bundle.manifest.bundle_id != activated):
        try:
            shelved = await asyncio.to_thread(shelf.find, activated)
            bundle = await asyncio.to_thread(shelved.load)
            logger.info("bundle %s was activated last and is served instead of %s", activated, settings.bundle)
        except BundleStorageError:
            raise
        except ClairoError as error:
            logger.warning("bundle %s was activated last, but cannot be served: %s", activated, error)
    if bundle is None:
        bundle = await asyncio.to_thread(shelf.load_configured)
    return bundle


async def last_activated(store: Store) -> str | None:
    """Id of the bundle to serve; None if none was ever activated.

    Raises:
        StoreError: the store cannot be read.
    """
    recorded = await store.bundle_activations()
    return recorded[-1].bundle_id if recorded else None


def serving_order(configured: str | None, activated: Iterable[str]) -> list[str]:
    """Bundles up to the active one, each before the one that replaced it.

    An activation of the bundle before the last goes back to it, and removes the last.

    >>> serving_order("first", ["second", "third", "second"])
    ['first', 'second']

    Args:
        configured: the bundle in the settings, if it can be read.
        activated: recorded activations, oldest first.
    """
    order = [] if configured is None else [configured]
    for bundle_id in activated:
        if order[-2:-1] == [bundle_id]:
            order.pop()
        elif order[-1:] != [bundle_id]:
            order.append(bundle_id)
    return order


@contextmanager
def _without_full_collections() -> Iterator[None]:
    """Put off collections that visit every object: they stop all answers, and the next bundle's items cause many."""
    youngest, middle, oldest = gc.get_threshold()
    gc.set_threshold(youngest, middle, 1_000_000)
    try:
        yield
    finally:
        gc.set_threshold(youngest, middle, oldest)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
