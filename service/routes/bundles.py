"""/bundles: list bundles, activate one, and go back."""

import asyncio
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query
from fastapi.openapi.models import Example
from starlette.responses import FileResponse

from service.bundles.not_worse import deciding_metric
from service.bundles.shelf import ShelvedBundle
from service.errors import NoReportError, UnknownBundleError
from service.http.openapi import problem_answers
from service.http.root_path import linked
from service.routes.parts import Parts, ReadyParts
from service.schemas.operator import ActivatedBundle, BundleDetail, BundleList, ServableBundle

router = APIRouter(tags=["bundles"])

REPORT_HEADERS = {
    # Its script draws the map. Sandboxed without an origin, the page reaches no key and no call of this service.
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
EXAMPLE = {"as GET /bundles lists it": Example(value="demo-shop-dd7c513358c7")}
BundleIdInPath = Annotated[str, Path(max_length=256, description="As GET /bundles lists it.", openapi_examples=EXAMPLE)]


@router.get(
    "/bundles",
    operation_id="list_bundles",
    summary="List bundles",
    responses=problem_answers(503),
)
async def list_bundles(parts: ReadyParts) -> BundleList:
    """List every bundle in the operator's folder with its metrics, or the reason why it cannot be read.

    Each call reads the folder again, so a bundle that training has just written is listed.
    """
    shelved = await asyncio.to_thread(parts.swap.shelf.bundles)
    return BundleList(bundles=[_servable(one, parts) for one in shelved])


@router.get(
    "/bundles/{bundle_id}",
    operation_id="get_bundle",
    summary="Get a bundle with its metrics",
    responses=problem_answers(404, 422, 503),
)
async def get_bundle(bundle_id: BundleIdInPath, parts: ReadyParts) -> BundleDetail:
    """A bundle of the operator's folder, and what its training measured: tables with intervals, and curves."""
    shelved = await asyncio.to_thread(parts.swap.shelf.find, bundle_id)
    if shelved.manifest is None:
        raise UnknownBundleError(f"bundle {bundle_id!r} cannot be read; GET /bundles lists the reason")
    return BundleDetail(
        **_servable(shelved, parts).model_dump(),
        encoders=dict(shelved.manifest.encoders),
        metrics=dict(shelved.manifest.metrics),
        trained_on=None if shelved.manifest.trained_on is None else dict(shelved.manifest.trained_on),
    )


@router.get("/bundles/{bundle_id}/report", include_in_schema=False)
async def show_report(bundle_id: Annotated[str, Path(max_length=256)], parts: ReadyParts) -> FileResponse:
    """Show the page that `clairo-train report` wrote into the bundle's folder; 404 if it did not."""
    page = (await asyncio.to_thread(parts.swap.shelf.find, bundle_id)).report
    if page is None:
        raise NoReportError(f"bundle {bundle_id!r} has no report; run clairo-train report on its folder")
    return FileResponse(page, media_type="text/html", headers=REPORT_HEADERS)


@router.post(
    "/bundles/{bundle_id}/activate",
    operation_id="activate_bundle",
    summary="Serve another bundle",
    responses=problem_answers(404, 409, 422, 503),
)
async def activate_bundle(
    bundle_id: BundleIdInPath,
    parts: ReadyParts,
    allow_worse: Annotated[bool, Query(description="Serve it even if nothing shows that it is as good.")] = False,
) -> ActivatedBundle:
    """Serve another bundle; answers once it has taken over, and no request fails meanwhile.

    Beside the served bundle, its files are verified, items posted since its training enter its catalogue, and it is
    warmed up. 409 if it is damaged or cannot be used here. Without `allow_worse`, 409 too if its NDCG@10 is lower than
    that of the served bundle, was not measured on the same targets, or finds none of them. The activation survives
    restarts, and other processes on the same store follow within seconds. The previous bundle is not compared; POST
    /bundles/rollback finds it. Activating the bundle of an experiment ends the experiment.
    """
    return _activated(parts, await parts.swap.activate(bundle_id, allow_worse=allow_worse))


@router.post(
    "/bundles/rollback",
    operation_id="roll_back_bundle",
    summary="Go back to the bundle served before",
    responses=problem_answers(409, 503),
)
async def roll_back_bundle(parts: ReadyParts) -> ActivatedBundle:
    """Serve the bundle that the served one replaced, without a comparison; answers once it has taken over.

    Called again, it goes one bundle further back, to the one in the settings at last. It works after a restart, and
    other processes on the same store follow within seconds. 409 if no bundle was served before, if that one is
    damaged or no longer in the operator's folder, and while an experiment compares with the served bundle.
    """
    if parts.split is not None:
        parts.split.check_rollback()
    return _activated(parts, await parts.swap.roll_back())


def _activated(parts: Parts, before: str) -> ActivatedBundle:
    return ActivatedBundle(
        bundle_id=parts.served.live.bundle_id,
        previous_bundle_id=before,
        catalogue_version=parts.served.live.catalogue_version,
    )


def _servable(shelved: ShelvedBundle, parts: Parts) -> ServableBundle:
    manifest = shelved.manifest
    return ServableBundle(
        name=shelved.folder.name,
        bundle_id=None if manifest is None else manifest.bundle_id,
        is_serving=manifest is not None and manifest.bundle_id == parts.served.live.bundle_id,
        preset=None if manifest is None else manifest.preset,
        dataset_name=None if manifest is None else manifest.dataset_name,
        created_at=None if manifest is None else manifest.created_at,
        ndcg_at_10=None if manifest is None else deciding_metric(manifest.metrics),
        problem=shelved.problem,
        report_url=(
            linked(f"/bundles/{quote(manifest.bundle_id, safe='')}/report")
            if manifest is not None and shelved.report is not None
            else None
        ),
    )
