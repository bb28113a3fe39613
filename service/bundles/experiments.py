"""The experiment of this moment: the one in the settings, or the one started last over the API.

An experiment of the API is in the store: a restart goes on with it, and other processes on the same store follow
within seconds. Start at `Experiments.start`.
"""

import asyncio
import logging
import time

from clairo_core.errors import ClairoError
from service.bundles.experiment import Experiment
from service.bundles.outcomes import FeedbackLog, Outcomes
from service.bundles.shelf import BundleShelf
from service.bundles.split import Split, open_split
from service.errors import ExperimentConflictError, UnknownExperimentError
from service.serving import ServedBundle, SharedParts, serve_bundle
from service.store.experiments import ExperimentStore, StoredExperiment

logger = logging.getLogger("clairo.experiments")

RETRY_SECONDS = 10.0
FROM_SETTINGS = "stands in the settings; remove CLAIRO_EXPERIMENT and restart"


class Experiments:
    """At most one experiment in one process, running or ended."""

    def __init__(
        self, shared: SharedParts, served: ServedBundle, feedback: FeedbackLog, store: ExperimentStore
    ) -> None:
        self.split: Split | None = None
        """None before the first one."""
        self._shared = shared
        self._served = served
        self._feedback = feedback
        self._store = store
        settings = shared.settings
        self._shelf = BundleShelf(
            settings.bundle, settings.bundles_dir or settings.bundle.parent, settings.bundle_copies
        )
        self._one_at_a_time = asyncio.Lock()
        self._may_try_at = 0.0

    @property
    def is_in_settings(self) -> bool:
        """Whether the settings name the experiment; the API then changes none."""
        return bool(self._shared.settings.experiment)

    async def open(self) -> None:
        """Open the experiment in the settings, or the newest one in the store, warmed up.

        Raises:
            SettingsError: that of the settings is malformed, or compares a bundle with itself.
            UnknownBundleError: its bundle is neither in bundles_dir nor beside the first.
            BundleError: its bundle cannot be served.
            StoreError: the database cannot be used.
        """
        self.split = await open_split(self._shared, self._served, self._feedback, self._shelf)
        await self.follow()

    async def start(self, experiment: Experiment) -> Split:
        """Answer a share of users from another bundle from now on.

        Raises:
            ExperimentConflictError: another one runs, the name was used before, or the bundle is the served one.
            UnknownBundleError: no bundle has this id.
            ClairoError: the bundle cannot be served; nothing changes.
        """
        # A client that leaves must not stop us between the record and the split.
        return await asyncio.shield(asyncio.create_task(self._start(experiment)))

    async def _start(self, experiment: Experiment) -> Split:
        if self.is_in_settings:
            raise ExperimentConflictError(f"an experiment {FROM_SETTINGS}")
        async with self._one_at_a_time:
            control_id = self._served.live.bundle_id
            if experiment.bundle_id == control_id:
                raise ExperimentConflictError(f"bundle {control_id} is served already; name another one")
            if self.split is not None and self.split.treatment is not None:
                running = self.split.experiment.name
                raise ExperimentConflictError(f"experiment {running} is running; DELETE /experiments/{running} first")
            treatment = await self._treatment(experiment.bundle_id)
            await self._store.start(experiment.name, experiment.share, experiment.bundle_id, control_id)
            split = self.split = self._new_split(experiment, control_id, treatment)
        logger.info("experiment %s has started over bundle %s", experiment.name, experiment.bundle_id)
        self._shared.on_written()
        return split

    async def end(self, name: str) -> None:
        """Answer everybody from the served bundle again. An experiment that has ended stays so.

        The store decides which one is the newest: this process may be loading its bundle, or unable to.

        Raises:
            ExperimentConflictError: it is in the settings.
            UnknownExperimentError: it is not the newest one.
            StoreError: nothing has changed.
        """
        here = self.split if self.split is not None and self.split.experiment.name == name else None
        if self.is_in_settings and here is not None:
            raise ExperimentConflictError(f"experiment {name} {FROM_SETTINGS}")
        stored = None if self.is_in_settings else await self._store.newest()
        if stored is None or stored.name != name:
            raise UnknownExperimentError(f"no experiment {name!r}; GET /experiments lists the newest one")
        await self._store.end(name)
        if here is not None:
            here.treatment = None
        logger.info("experiment %s has ended", name)
        self._shared.on_written()

    async def follow(self) -> None:
        """Start or end what another process has started or ended.

        A bundle that cannot be served here is logged, and tried again later: its copy may be on the way.

        Raises:
            StoreError: the store cannot be read.
        """
        if self.is_in_settings or self._one_at_a_time.locked():
            return
        async with self._one_at_a_time:
            stored = await self._store.newest()
            if stored is None:
                return
            split = self.split
            if split is None or split.experiment.name != stored.name:
                await self._follow_start(stored)
            elif stored.ended_at is not None:
                split.treatment = None
            elif split.treatment is None:
                # Its bundle was activated.
                await self._store.end(stored.name)

    async def _follow_start(self, stored: StoredExperiment) -> None:
        experiment = Experiment(stored.name, stored.share, stored.bundle_id)
        is_over = stored.ended_at is not None or stored.bundle_id == self._served.live.bundle_id
        if is_over:
            self.split = self._new_split(experiment, stored.control_bundle_id, None)
            return
        if time.monotonic() < self._may_try_at:
            return
        try:
            if await asyncio.to_thread(self._shelf.fetched, stored.bundle_id) is None:
                return
            treatment = await self._treatment(stored.bundle_id)
        except Exception as error:
            self._may_try_at = time.monotonic() + RETRY_SECONDS
            unforeseen = None if isinstance(error, ClairoError) else error
            logger.warning("experiment %s cannot be followed here: %s", stored.name, error, exc_info=unforeseen)
            return
        self.split = self._new_split(experiment, self._served.live.bundle_id, treatment)

    def close(self) -> None:
        """End running fetches of bundles."""
        self._shelf.close()

    def follow_swap(self) -> None:
        """Compare with the bundle that is served now; end the experiment if that is its own."""
        if self.split is not None:
            self.split.follow_swap()

    async def catch_up(self) -> None:
        """Bring the treatment's catalogue and counts in step with the store.

        Raises:
            StoreError: the store cannot be read.
        """
        if self.split is not None:
            await self.split.catch_up()

    async def _treatment(self, bundle_id: str) -> ServedBundle:
        shelved = await asyncio.to_thread(self._shelf.find, bundle_id)
        bundle = await asyncio.to_thread(shelved.load)
        return await serve_bundle(bundle, self._shared, num_warm_up=1)

    def _new_split(self, experiment: Experiment, control_id: str, treatment: ServedBundle | None) -> Split:
        served = self._served
        outcomes = Outcomes(experiment, self._feedback, lambda: served.live.rules)
        return Split(experiment, outcomes, served, control_id, treatment)
