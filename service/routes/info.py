"""GET /info: the served bundle, and the software and device that serve it."""

import platform
import time
from importlib.metadata import version

import torch
from fastapi import APIRouter, Request

from service.http.openapi import problem_answers
from service.routes.parts import Readiness, ReadyParts
from service.schemas.operator import Info, Search
from service.settings import Settings

router = APIRouter(tags=["health"])

RELEASES_SHOWN = ("clairo", "torch", "transformers", "numpy", "faiss-cpu", "fastapi")
SETTINGS_SHOWN = (
    # Listed one by one, so that a new setting stays hidden until somebody decides to show it.
    "max_batch_size",
    "batch_wait_seconds",
    "max_queue_depth",
    "request_deadline_seconds",
    "cache_max_entries",
    "cache_max_mib",
    "cache_ttl_seconds",
)


@router.get("/info", operation_id="get_info", summary="Describe what is served", responses=problem_answers(503))
async def get_info(request: Request, parts: ReadyParts) -> Info:
    """Describe the bundle, its training and metrics, the catalogue's size, and the software and device in use.

    Shows only settings without addresses, paths or secrets, since this call needs no key.
    """
    serving = parts.served.live
    manifest = serving.bundle.manifest
    settings: Settings = request.app.state.settings
    readiness: Readiness = request.app.state.readiness
    return Info(
        version=version("clairo"),
        python_version=platform.python_version(),
        releases={name: version(name) for name in RELEASES_SHOWN},
        device=str(serving.recommender.generator.device),
        dtype=str(serving.recommender.generator.dtype).removeprefix("torch."),
        num_threads=torch.get_num_threads(),
        uptime_seconds=round(time.monotonic() - readiness.created_at, 3),
        settings={name: getattr(settings, name) for name in SETTINGS_SHOWN},
        qualities={
            quality: Search(num_views=point.num_views, num_beams=point.num_beams)
            for quality, point in serving.recommender.points.items()
        },
        bundle_id=manifest.bundle_id,
        answering_bundle_ids=[served.live.bundle_id for served in parts.answering],
        preset=manifest.preset,
        dataset_name=manifest.dataset_name,
        dataset_fingerprint=manifest.dataset_fingerprint,
        encoders=dict(manifest.encoders),
        metrics=dict(manifest.metrics),
        trained_on=None if manifest.trained_on is None else dict(manifest.trained_on),
        catalogue_version=serving.catalogue_version,
        num_items=serving.recommender.catalogue.num_live,
        num_posted_items=serving.num_posted_items,
        can_ingest=serving.bundle.can_ingest,
    )
