"""GET /experiments: the configured experiment, and the outcome of each arm."""

from fastapi import APIRouter

from service.bundles.experiment import Arm
from service.http.openapi import problem_answers
from service.routes.parts import ReadyParts
from service.schemas.recommend import ExperimentAnswer, ExperimentArm, ExperimentList

router = APIRouter(tags=["experiments"])


@router.get(
    "/experiments",
    operation_id="list_experiments",
    summary="Show the outcome of an experiment",
    responses=problem_answers(503),
)
async def list_experiments(parts: ReadyParts) -> ExperimentList:
    """Compare both arms of the configured experiment by the share of shown recommendations that were followed.

    A recommendation counts as shown once an impression in feedback carries its `recommendation_id`, and as followed
    once a positive event does, by the served bundle's rules for both arms. Only requests with a `user_id` take part.
    The experiment ends when its bundle is activated.
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
