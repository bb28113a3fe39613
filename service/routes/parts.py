"""The parts that routes work with, and how a route gets them: only once all of them are ready."""

import time
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from service.bundles.experiments import Split
from service.bundles.swap import BundleSwap
from service.errors import NotReadyError
from service.http.idempotency import AnsweredOnce
from service.items.bulk import BulkJobs
from service.items.ingestion import Ingestion
from service.keys.key_ring import KeyRing
from service.picture_urls.fetch import PictureUrls
from service.recommend.recommendations import Recommendations
from service.recommend.user_histories import UserHistories
from service.replicas.catalogue_sync import CatalogueSync
from service.replicas.redis_link import RedisLink
from service.serving import Serving
from service.store.feedback import FeedbackStore
from service.store.jobs import JobStore
from service.store.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that `service.app` put together."""

    serving: Serving
    recommendations: Recommendations
    ingestion: Ingestion
    store: Store
    user_histories: UserHistories
    feedback: FeedbackStore
    jobs: JobStore
    bulk_jobs: BulkJobs
    answered_once: AnsweredOnce
    key_ring: KeyRing
    swap: BundleSwap
    sync: CatalogueSync
    picture_urls: PictureUrls
    redis: RedisLink | None = None
    """Shares answers and news with other processes; None where there is only this one."""
    split: Split | None = None
    """The experiment that runs, if there is one."""


@dataclass(slots=True)
class Readiness:
    """Whether the service can answer; belongs to the app's lifespan."""

    parts: Parts | None = None
    is_draining: bool = False
    created_at: float = field(default_factory=time.monotonic)


def ready_parts(request: Request) -> Parts:
    """The parts.

    Raises:
        NotReadyError: bundle, trie or warm-up are not done yet.
    """
    readiness: Readiness = request.app.state.readiness
    if readiness.parts is None:
        raise NotReadyError("the bundle is being loaded; /health/ready answers 200 once it is served")
    return readiness.parts


ReadyParts = Annotated[Parts, Depends(ready_parts)]
