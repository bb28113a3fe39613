"""The parts that routes work with, and how a route gets them: only once all of them are ready."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from service.errors import NotReadyError
from service.experiments import Split
from service.ingestion import Ingestion
from service.recommendations import Recommendations
from service.serving import Serving
from service.store.store import Store
from service.user_histories import NoUserHistories, UserHistories


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that `service.app` put together."""

    serving: Serving
    recommendations: Recommendations
    ingestion: Ingestion
    store: Store
    user_histories: UserHistories = field(default_factory=NoUserHistories)
    split: Split | None = None
    """The experiment that runs, if there is one."""


@dataclass(slots=True)
class Readiness:
    """Whether the service can answer; belongs to the app's lifespan."""

    parts: Parts | None = None
    is_draining: bool = False


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
