"""GET /experiments: which experiment runs, and what came of each arm."""

from fastapi import APIRouter

from service.bundles.experiment import Arm
from service.http.openapi import problem_answers
from service.routes.parts import ReadyParts
from service.schemas.recommend import ExperimentAnswer, ExperimentArm, ExperimentList

router = APIRouter(tags=["experiments"])


@router.get(
    "/experiments",
    operation_id="list_experiments",
    summary="What came of an experiment",
    responses=problem_answers(503),
)
async def list_experiments(parts: ReadyParts) -> ExperimentList:
    """The arms of the experiment that the operator set up, with the share of recommendations that were followed.

    A recommendation is shown once feedback of type `impression` carries its `recommendation_id`, and followed once
    other feedback does, `dislike` aside. Only requests that name a user take part.
    """
    split = parts.split
    if split is None:
        return ExperimentList(experiments=[])
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
    return ExperimentList(
        experiments=[
            ExperimentAnswer(
                name=split.experiment.name,
                share=split.experiment.share,
                is_running=split.treatment is not None,
                arms=arms,
            )
        ]
    )
