"""GET /health/live and /health/ready: does the process answer, and can it recommend?"""

from fastapi import APIRouter, Request

from service.errors import NotReadyError
from service.http.openapi import problem_answers
from service.routes.parts import Readiness, ReadyParts
from service.schemas.operator import Live, Ready

router = APIRouter(tags=["health"])

BUNDLE_IS_ANOTHER = "another bundle was activated that this process cannot serve; its log has the reason"
REDIS_IS_AWAY = "Redis does not answer: each process caches its own answers, and polls the store for new items"


@router.get(
    "/health/live",
    operation_id="check_live",
    summary="Does the process answer?",
    responses={200: {"content": {"application/json": {"example": {"status": "live"}}}}},
)
async def check_live() -> Live:
    """Use neither store nor model, so that a slow database never kills a healthy process."""
    return Live()


@router.get(
    "/health/ready",
    operation_id="check_ready",
    summary="Can it recommend?",
    responses=problem_answers(503),
)
async def check_ready(request: Request, parts: ReadyParts) -> Ready:
    """200 once weights, trie and warm-up are done; 503 before, and while the service shuts down.

    `degraded` is 200 too: the service answers, but Redis or the activated bundle is missing.
    """
    readiness: Readiness = request.app.state.readiness
    if readiness.is_draining:
        raise NotReadyError("the service is shutting down; use another process")
    degraded = [] if parts.redis is None or await parts.redis.check() else [REDIS_IS_AWAY]
    degraded += [BUNDLE_IS_ANOTHER] if parts.swap.is_behind else []
    return Ready(
        status="degraded" if degraded else "ready",
        bundle_id=parts.served.live.bundle_id,
        catalogue_version=parts.served.live.catalogue_version,
        degraded=degraded,
    )
