"""GET /metrics: numbers for Prometheus."""

from fastapi import APIRouter, Request, Response

from service.routes.parts import Readiness
from service.telemetry.metrics import METRICS_MEDIA_TYPE, Metrics

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Export metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus's text format.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "clairo_queue_depth 0.0\n"}},
        }
    },
)
async def get_metrics(request: Request) -> Response:
    """Export counts and times. Needs no key, answers while the bundle is loading, and has no labels by user or item."""
    metrics: Metrics = request.app.state.metrics
    readiness: Readiness = request.app.state.readiness
    if readiness.parts is not None:
        served = readiness.parts.served
        num_items = served.live.recommender.catalogue.num_live
        metrics.show_serving(served.live.bundle_id, num_items, served.counts.complete_until)
    return Response(metrics.exposition(), media_type=METRICS_MEDIA_TYPE)
