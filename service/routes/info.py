"""GET /info: what is being served, by what, on what."""

import platform
import time
from importlib.metadata import version

import torch
from fastapi import APIRouter, Request

from service.http.openapi import problem_answers
from service.routes.parts import Readiness, ReadyParts
from service.schemas.operator import Info
from service.settings import Settings

router = APIRouter(tags=["health"])

RELEASES_SHOWN = ("clairo", "torch", "transformers", "numpy", "faiss-cpu", "fastapi")
SETTINGS_SHOWN = (
    # Listed one by one: a setting that is added later stays hidden until somebody has thought about it.
    "num_views",
    "num_beams",
    "max_batch_size",
    "batch_wait_seconds",
    "max_queue_depth",
    "request_deadline_seconds",
    "cache_max_entries",
    "cache_max_mib",
    "cache_ttl_seconds",
)


@router.get("/info", operation_id="get_info", summary="What is being served?", responses=problem_answers(503))
async def get_info(request: Request, parts: ReadyParts) -> Info:
    """The bundle, how it was trained and measured, how large the catalogue is now, and what runs it.

    Of the settings only those that name no address, path or secret: this call needs no key.
    """
    serving = parts.serving
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
        bundle_id=manifest.bundle_id,
        preset=manifest.preset,
        dataset_name=manifest.dataset_name,
        dataset_fingerprint=manifest.dataset_fingerprint,
        encoders=dict(manifest.encoders),
        metrics=dict(manifest.metrics),
        catalogue_version=serving.catalogue_version,
        num_items=serving.recommender.catalogue.num_live,
        num_posted_items=serving.num_posted_items,
        can_ingest=serving.bundle.can_ingest,
    )
