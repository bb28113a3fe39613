"""/bundles: what can be served, and which of it is."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.openapi.models import Example

from service.bundles.shelf import deciding_metric
from service.http.openapi import problem_answers
from service.routes.parts import Parts, ReadyParts
from service.schemas.operator import ActivatedBundle, BundleList, ServableBundle

router = APIRouter(tags=["bundles"])

EXAMPLE = {"as GET /bundles lists it": Example(value="demo-shop-dd7c513358c7")}


@router.get(
    "/bundles",
    operation_id="list_bundles",
    summary="What can be served?",
    responses=problem_answers(503),
)
async def list_bundles(parts: ReadyParts) -> BundleList:
    """Every bundle in the operator's folder, with what it measured; one that cannot be read says why.

    The folder is looked through anew at each call, so a bundle that training has just written is there.
    """
    return BundleList(bundles=listed_bundles(parts))


@router.post(
    "/bundles/{bundle_id}/activate",
    operation_id="activate_bundle",
    summary="Serve another bundle, or the one before",
    responses=problem_answers(404, 409, 422, 503),
)
async def activate_bundle(
    bundle_id: Annotated[str, Path(max_length=256, description="As GET /bundles lists it.", openapi_examples=EXAMPLE)],
    parts: ReadyParts,
    allow_worse: Annotated[bool, Query(description="Take it though it measured worse, or was not measured.")] = False,
) -> ActivatedBundle:
    """Answers once the bundle is served; until then the one before is, and no request fails.

    Its files are verified, items posted since it was trained are carried into its catalogue, and it is warmed up,
    all beside the serving one. 409 if it is damaged, or if its NDCG@10 is lower than the serving one's and
    `allow_worse` was not said. What is activated is remembered over a restart, and other processes on the same store
    follow within seconds. Activating the bundle before is the rollback.
    """
    before = await parts.swap.activate(bundle_id, allow_worse=allow_worse)
    parts.sync.tell_others()
    return ActivatedBundle(
        bundle_id=parts.serving.bundle_id,
        previous_bundle_id=before,
        catalogue_version=parts.serving.catalogue_version,
    )


def listed_bundles(parts: Parts) -> list[ServableBundle]:
    """The shelf as clients see it."""
    listed = []
    for shelved in parts.swap.shelf.bundles():
        manifest = shelved.manifest
        listed.append(
            ServableBundle(
                name=shelved.folder.name,
                bundle_id=None if manifest is None else manifest.bundle_id,
                is_serving=manifest is not None and manifest.bundle_id == parts.serving.bundle_id,
                preset=None if manifest is None else manifest.preset,
                dataset_name=None if manifest is None else manifest.dataset_name,
                created_at=None if manifest is None else manifest.created_at,
                ndcg_at_10=None if manifest is None else deciding_metric(manifest.metrics),
                problem=shelved.problem,
            )
        )
    return listed
