"""POST /feedback: store users' events, each once."""

import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.http.body_route import BodyRoute
from service.http.idempotency import PARAMETER, digest_of_texts
from service.http.openapi import problem_answers
from service.routes.parts import ReadyParts
from service.schemas.feedback import EventResult, FeedbackAnswer, FeedbackBody
from service.store.feedback import EventOutcome, FeedbackEvent

router = APIRouter(tags=["users"], route_class=BodyRoute)

MAX_AHEAD_SECONDS = 3600
"""Clocks differ, but an event further ahead would stay a user's newest until its date."""

EXAMPLES = {
    "a purchase": {
        "value": {
            "events": [
                {
                    "event_id": "order-1-line-1",
                    "user_id": "u-1",
                    "item_id": "mug-12",
                    "type": "purchase",
                    "timestamp": 1700000000,
                }
            ]
        }
    }
}


@router.post(
    "/feedback",
    operation_id="add_feedback",
    summary="Record what users did",
    response_model=FeedbackAnswer,
    responses=problem_answers(400, 413, 422, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}, "parameters": [PARAMETER]},
)
async def add_feedback(body: FeedbackBody, request: Request, parts: ReadyParts) -> Response:
    """Events are stored durably before the answer; recommendations and training use them.

    An event with a known `event_id` is a duplicate and changes nothing, whatever its other fields, so a call can
    safely be sent again. Events about items that the catalogue lacks are stored too, as the item may follow. One
    malformed event refuses the whole call. An event dated more than an hour ahead is stored with the time of arrival,
    and `warnings` says so.
    """
    catalogue = parts.served.live.recommender.catalogue

    async def add(_: bool) -> Response:
        now = time.time()
        is_ahead = [event.timestamp is not None and event.timestamp > now + MAX_AHEAD_SECONDS for event in body.events]
        outcomes = await parts.feedback.add_events(
            [
                FeedbackEvent(
                    event_id=event.event_id,
                    user_id=event.user_id,
                    item_id=event.item_id,
                    type=event.type,
                    timestamp=now if event.timestamp is None or clamp else event.timestamp,
                    recommendation_id=event.recommendation_id,
                )
                for event, clamp in zip(body.events, is_ahead, strict=True)
            ]
        )
        results = [
            EventResult(
                event_id=event.event_id,
                status=outcome.value,
                is_known_item=catalogue.find_row(event.item_id) is not None,
            )
            for event, outcome in zip(body.events, outcomes, strict=True)
        ]
        answer = FeedbackAnswer(
            num_accepted=outcomes.count(EventOutcome.ACCEPTED),
            num_duplicates=outcomes.count(EventOutcome.DUPLICATE),
            num_forgotten=outcomes.count(EventOutcome.FORGOTTEN),
            num_unknown_items=sum(
                outcome is EventOutcome.ACCEPTED and not result.is_known_item
                for outcome, result in zip(outcomes, results, strict=True)
            ),
            results=results,
            warnings=_warnings([event.event_id for event, ahead in zip(body.events, is_ahead, strict=True) if ahead]),
        )
        return Response(answer.model_dump_json(), media_type="application/json")

    return await parts.answered_once.answer(request, "add_feedback", digest_of_texts(body.model_dump_json()), add)


def _warnings(ids_ahead: list[str]) -> list[str]:
    if not ids_ahead:
        return []
    return [
        f"{len(ids_ahead)} events are dated more than an hour ahead, the first with event_id {ids_ahead[0]!r}; "
        "the time of arrival counts for them: check the sender's clock, and send seconds, not milliseconds"
    ]
