"""Split users between the served bundle and an experiment's bundle.

Requests without a user are answered by the served bundle and counted in no arm. Activating the experiment's bundle
ends the experiment in every process that follows: from then on it answers everybody. Start at
`Split.recommendations_for`.
"""

import asyncio
import logging
from dataclasses import dataclass

from clairo_core.errors import SettingsError
from service.bundles.experiment import Arm, Experiment, parsed_experiment
from service.bundles.outcomes import FeedbackLog, Outcomes
from service.bundles.shelf import BundleShelf
from service.errors import RollbackError
from service.recommend.recommendations import Recommendations
from service.serving import ServedBundle, SharedParts, serve_bundle

logger = logging.getLogger("clairo.experiments")


@dataclass(slots=True)
class Split:
    """An experiment over two bundles."""

    experiment: Experiment
    outcomes: Outcomes
    control: ServedBundle
    control_bundle_id: str
    """While it runs, the served bundle; afterwards, the last one that was compared."""
    treatment: ServedBundle | None
    """None once the experiment has ended."""

    def recommendations_for(self, user_id: str | None) -> tuple[Recommendations, Arm | None]:
        """Recommendations for this user, and the arm; None outside the experiment."""
        if user_id is None or self.treatment is None:
            return self.control.recommendations, None
        arm = self.experiment.arm_of(user_id)
        return (self.treatment if arm is Arm.TREATMENT else self.control).recommendations, arm

    def serve(self, recommendation_id: str, arm: Arm) -> str:
        """Count a recommendation given in this arm; return its marked id."""
        self.outcomes.counts[arm].num_served += 1
        return self.experiment.mark(recommendation_id, arm)

    async def catch_up(self) -> None:
        """Bring the treatment's catalogue and counts in step with the store.

        Raises:
            StoreError: the store cannot be read.
        """
        if self.treatment is not None:
            await self.treatment.catch_up()

    def follow_swap(self) -> None:
        """Compare with the bundle that is served now; end the experiment if that is its own."""
        if self.treatment is None:
            return
        if self.control.live.bundle_id != self.experiment.bundle_id:
            self.control_bundle_id = self.control.live.bundle_id
            return
        self.treatment = None
        self.log_end()

    def check_rollback(self) -> None:
        """Refuse to roll back under a running experiment, which would change the bundle that it compares with.

        Raises:
            RollbackError: it is running.
        """
        if self.treatment is not None:
            raise RollbackError(
                f"experiment {self.experiment.name} compares with the served bundle {self.control_bundle_id}; end it "
                f"with DELETE /experiments/{self.experiment.name}, or remove it from the settings and restart, or name "
                "the bundle to compare with from now on: POST /bundles/{bundle_id}/activate"
            )

    def log_end(self) -> None:
        """Log why the experiment has ended, and the next step."""
        logger.warning(
            "experiment %s has ended: its bundle %s is served to everybody; if the settings name it, remove it there",
            self.experiment.name,
            self.experiment.bundle_id,
        )


async def open_split(
    shared: SharedParts, served: ServedBundle, feedback: FeedbackLog, shelf: BundleShelf
) -> Split | None:
    """Open the experiment in the settings, warmed up; None if they name none.

    An experiment whose bundle was activated has ended.

    Raises:
        SettingsError: it is malformed, or compares a bundle with itself.
        UnknownBundleError: its bundle is neither in bundles_dir nor beside the first.
        BundleError: its bundle cannot be served.
        StoreError: the database cannot be used.
    """
    settings = shared.settings
    if not settings.experiment:
        return None
    experiment = parsed_experiment(settings.experiment)
    control_id = served.live.bundle_id
    treatment = None
    if experiment.bundle_id != control_id:
        shelved = await asyncio.to_thread(shelf.find, experiment.bundle_id)
        bundle = await asyncio.to_thread(shelved.load)
        treatment = await serve_bundle(bundle, shared, num_warm_up=shared.full_batch)
    else:
        control_id = await _bundle_before(experiment, shared, shelf)
    outcomes = Outcomes(experiment, feedback, lambda: served.live.rules)
    split = Split(experiment, outcomes, served, control_id, treatment)
    if treatment is None:
        split.log_end()
    return split


async def _bundle_before(experiment: Experiment, shared: SharedParts, shelf: BundleShelf) -> str:
    """Id of the bundle served before the experiment's own was activated.

    Raises:
        SettingsError: it was not activated, so the settings compare it with itself.
    """
    settings = shared.settings
    recorded = await shared.store.bundle_activations() if settings.bundles_dir is not None else ()
    activated = [activation.bundle_id for activation in recorded]
    configured = await asyncio.to_thread(shelf.configured_id)
    before = [one for one in (configured, *activated) if one is not None and one != experiment.bundle_id]
    if activated[-1:] != [experiment.bundle_id] or not before:
        raise SettingsError(
            f"experiment {experiment.name}: {experiment.bundle_id} is served already; name another bundle"
        )
    return before[-1]
