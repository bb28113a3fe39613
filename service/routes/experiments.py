"""/experiments: start one over two bundles, compare its arms, end it."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.openapi.models import Example

from service.bundles.experiment import Arm, Experiment
from service.bundles.split import Split
from service.http.body_route import BodyRoute
from service.http.openapi import problem_answers
from service.routes.parts import Parts, ReadyParts
from service.schemas.recommend import (
    EXPERIMENT_NAME_PATTERN,
    ExperimentAnswer,
    ExperimentArm,
    ExperimentList,
    StartedExperiment,
)

router = APIRouter(tags=["experiments"], route_class=BodyRoute)

NAME = {"a name": Example(value="next-bundle")}
EXAMPLES = {
    "half of the users": {"value": {"name": "next-bundle", "share": 0.5, "bundle_id": "demo-shop-dd7c513358c7"}}
}


@router.get(
    "/experiments",
    operation_id="list_experiments",
    summary="Show the outcome of an experiment",
    responses=problem_answers(503),
)
async def list_experiments(parts: ReadyParts) -> ExperimentList:
    """Compare both arms of the newest experiment by the share of shown recommendations that were followed.

    A recommendation counts as shown once an impression in feedback carries its `recommendation_id`, and as followed
    once a positive event does, by the served bundle's rules for both arms. Only requests with a `user_id` take part.
    """
    split = parts.split
    return ExperimentList(experiments=[] if split is None else [await _shown(split, parts)])


@router.post(
    "/experiments",
    status_code=201,
    operation_id="start_experiment",
    summary="Start an experiment",
    responses=problem_answers(400, 404, 409, 413, 422, 429, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def start_experiment(body: StartedExperiment, parts: ReadyParts) -> ExperimentAnswer:
    """Answer a share of users from another bundle, once that is verified and warmed up; the rest from the served one.

    A user stays in one arm. Other processes on the same store follow within seconds, and a restart goes on. 409 if an
    experiment runs, if the name was used before, or if the settings name an experiment. It ends by DELETE, or once its
    bundle is activated.
    """
    split = await parts.experiments.start(Experiment(body.name, body.share, body.bundle_id))
    return await _shown(split, parts)


@router.delete(
    "/experiments/{name}",
    status_code=204,
    operation_id="end_experiment",
    summary="End an experiment",
    responses=problem_answers(404, 409, 422, 503),
)
async def end_experiment(
    name: Annotated[str, Path(pattern=EXPERIMENT_NAME_PATTERN, openapi_examples=NAME)], parts: ReadyParts
) -> None:
    """Answer everybody from the served bundle again. Its arms stay readable until the next one starts. Idempotent.

    To keep the other bundle, activate it: that ends the experiment too. 409 if the settings name it.
    """
    await parts.experiments.end(name)


async def _shown(split: Split, parts: Parts) -> ExperimentAnswer:
    await split.outcomes.catch_up()
    bundle_ids = {Arm.CONTROL: split.control_bundle_id, Arm.TREATMENT: split.experiment.bundle_id}
    arms = [
        ExperimentArm(
            arm=arm,
            bundle_id=bundle_ids[arm],
            num_served=counts.num_served,
            num_shown=counts.num_shown,
            num_hit=counts.num_hit,
            hit_rate=counts.hit_rate,
            hit_rate_interval=counts.interval,
        )
        for arm, counts in split.outcomes.counts.items()
    ]
    return ExperimentAnswer(
        name=split.experiment.name,
        share=split.experiment.share,
        is_running=split.treatment is not None,
        is_in_settings=parts.experiments.is_in_settings,
        arms=arms,
    )
