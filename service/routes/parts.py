"""The parts that routes work with, available once all of them are ready."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from service.bundles.experiments import Experiments
from service.bundles.split import Split
from service.bundles.swap import BundleSwap
from service.errors import NotReadyError
from service.http.idempotency import AnsweredOnce
from service.items.attribute_schema import AttributeSchema
from service.jobs.bulk import BulkJobs
from service.keys.key_ring import KeyRing
from service.picture_urls.fetch import PictureUrls
from service.placements.saved import SavedPlacements
from service.recommend.repeated_answers import RepeatedAnswers
from service.replicas.redis_link import RedisLink
from service.serving import ServedBundle
from service.store.behaviour import BehaviourStore
from service.store.feedback import FeedbackStore
from service.store.jobs import JobStore
from service.store.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that routes work with, put together by `service.app`."""

    served: ServedBundle
    swap: BundleSwap
    experiments: Experiments
    store: Store
    schema: AttributeSchema
    feedback: FeedbackStore
    behaviour: BehaviourStore
    jobs: JobStore
    bulk_jobs: BulkJobs
    answered_once: AnsweredOnce
    key_ring: KeyRing
    placements: SavedPlacements
    repeated_answers: RepeatedAnswers
    publish_write: Callable[[], None]
    """Wakes the other processes after a write to the store."""
    picture_urls: PictureUrls
    redis: RedisLink | None
    """Shares answers and news with other processes; None for a single process."""
    tired_after_impressions: int
    """See `Settings`."""

    @property
    def split(self) -> Split | None:
        """The newest experiment, if any."""
        return self.experiments.split

    @property
    def answering(self) -> tuple[ServedBundle, ...]:
        """The bundles that can answer: the served one, and that of a running experiment."""
        treatment = None if self.split is None else self.split.treatment
        return (self.served,) if treatment is None else (self.served, treatment)


@dataclass(slots=True)
class Readiness:
    """Whether the service can answer; owned by the app's lifespan."""

    parts: Parts | None = None
    is_draining: bool = False
    created_at: float = field(default_factory=time.monotonic)


async def ready_parts(request: Request) -> Parts:
    """The parts. Async, since the framework calls other dependencies in a thread.

    Raises:
        NotReadyError: loading and warm-up are not done yet.
    """
    readiness: Readiness = request.app.state.readiness
    if readiness.parts is None:
        raise NotReadyError("the bundle is being loaded; retry once /health/ready answers 200")
    return readiness.parts


ReadyParts = Annotated[Parts, Depends(ready_parts)]
