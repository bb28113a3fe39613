"""POST /feedback and /feedback/bulk, DELETE /feedback/{event_id}: store events, each once, and remove them."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.openapi.models import Example
from pydantic import AfterValidator, ValidationError
from starlette.responses import Response

from clairo_core.values.counted import counted
from clairo_core.values.ids import MAX_ID_CHARACTERS, check_user_id, shown
from service.errors import InvalidBodyError, UnknownEventError
from service.feedback.meanings import is_undeclared, undeclared_types, undeclared_warning
from service.http.body_route import BEACON, BodyRoute
from service.http.field_errors import readable_errors
from service.http.id_paths import id_in_path
from service.http.idempotency import PARAMETER, Attempt, digest_of_texts
from service.http.openapi import problem_answers
from service.live_catalogue import LiveCatalogue
from service.routes.bulk import job_of_lines, submitted_job
from service.routes.parts import ReadyParts
from service.schemas.feedback import EventResult, FeedbackAnswer, FeedbackBody, FeedbackEventBody
from service.schemas.request_body import TEXT_SCHEMA
from service.store.feedback import EventOutcome
from service.store.feedback_event import FeedbackEvent, Owner, Session, made_event_id
from service.store.jobs import JobKind

router = APIRouter(tags=["users"], route_class=BodyRoute)

MAX_BULK_EVENTS = 1_000_000
LATER_FIELDS = ("value", "session_id")
EventIdInPath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_ID_CHARACTERS,
        description="As sent, or as POST /feedback made it. Slashes need no escaping.",
        json_schema_extra=TEXT_SCHEMA,
        openapi_examples={"the example of POST /feedback": Example(value="order-1-line-1")},
    ),
    AfterValidator(check_user_id),
]
EXAMPLE_ROWS = """{"user_id": "u-1", "item_id": "mug-12", "type": "purchase", "timestamp": "2023-11-14T22:13:20Z"}
{"user_id": "u-2", "item_id": "mug-7", "type": "view", "timestamp": 1700000000}
"""
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
    },
    "a view by a visitor who is not signed in": {
        "value": {"events": [{"session_id": "s-1", "item_id": "mug-12", "type": "view"}]}
    },
}


@router.post(
    "/feedback",
    operation_id="add_feedback",
    summary="Record what users did",
    response_model=FeedbackAnswer,
    responses=problem_answers(400, 413, 422, 503),
    openapi_extra={
        "requestBody": {"content": {"application/json": {"examples": EXAMPLES}}},
        "parameters": [PARAMETER],
        BEACON: True,
    },
)
async def add_feedback(body: FeedbackBody, request: Request, parts: ReadyParts) -> Response:
    """Events are stored durably before the answer; recommendations and training use them.

    An event with a known `event_id` is a duplicate and changes nothing, whatever its other fields, so a call can
    safely be sent again; a removed one stays removed. Left out, the id is made of user or session, item, type and
    timestamp. Events of a session that was merged into a user are his. Events of a type that the
    bundle's rules do not declare are stored, count for nothing, and `warnings` says so. Events
    about items that the catalogue lacks are stored too, as the item may follow. One malformed event refuses the whole
    call. An event dated more than an hour ahead is stored with the time of arrival, and `warnings` says so.
    """
    live = parts.served.live
    catalogue = live.recommender.catalogue

    async def add(attempt: Attempt) -> Response:
        now = time.time()
        # An attempt that was cut short may have stored the events: also one without id and timestamp counts once.
        ids = [None if attempt.call_id is None else f"made-{attempt.call_id[:40]}-{n}" for n in range(len(body.events))]
        events = [_event_of(event, now, event_id) for event, event_id in zip(body.events, ids, strict=True)]
        outcomes = await parts.feedback.add_events(events)
        results = [
            EventResult(
                event_id=event.event_id,
                status=outcome.value,
                is_known_item=catalogue.find_row(event.item_id) is not None,
            )
            for event, outcome in zip(events, outcomes, strict=True)
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
            warnings=[
                *_warnings_of_time(
                    [kept.event_id for sent, kept in zip(body.events, events, strict=True) if sent.is_ahead(now)]
                ),
                *_warnings_of_types(events, live),
            ],
        )
        return Response(answer.model_dump_json(), media_type="application/json")

    # Without later fields a body has the digest that an earlier release gave it: its retries are answered across an
    # upgrade.
    absent = {name for name in LATER_FIELDS if all(getattr(event, name) is None for event in body.events)}
    sent = body.model_dump_json(exclude={"events": {"__all__": absent}})
    return await parts.answered_once.answer(request, "add_feedback", digest_of_texts(sent), add)


@router.post(
    "/feedback/bulk",
    operation_id="add_feedback_lines",
    summary="Record many events",
    **job_of_lines("One event, as in `events` of POST /feedback,", "two events", EXAMPLE_ROWS),
)
async def add_feedback_lines(request: Request, parts: ReadyParts) -> Response:
    """JSON Lines, gzip allowed: one event per line; at most 1,000,000 lines and 256 MiB.

    202 once all lines are stored. The job records them as POST /feedback would, each once, and resumes after a restart.
    An invalid line, and an event older than its user's request to be forgotten, is rejected; the job lists the reason.
    Events of types that the bundle's rules do not declare are accepted, count for nothing, and the job counts them.
    A job of lines sent before counts them as duplicates.
    """
    return await submitted_job(request, parts, JobKind.FEEDBACK, "add_feedback_lines", MAX_BULK_EVENTS)


@router.delete(
    f"/feedback/{id_in_path('event_id')}",
    status_code=204,
    operation_id="remove_event",
    summary="Remove an event",
    responses=problem_answers(404, 422, 503),
)
async def remove_event(event_id: EventIdInPath, parts: ReadyParts) -> None:
    """Delete an event, such as a mistake or a purchase that was sent back, immediately and permanently.

    Idempotent. A digest of the id is kept: sent again, the event is a duplicate. A bundle already trained on it stays
    as it is; the next one is trained without it. 404 for an event that the store never had.
    """
    if not await parts.feedback.remove_event(event_id):
        raise UnknownEventError(
            f"no event has the id {shown(event_id)}; send an event_id of POST /feedback or GET /users/{{user_id}}"
        )


def event_of_fields(fields: Any, event_id: str, now: float) -> FeedbackEvent:
    """Read an event of POST /feedback/bulk.

    Args:
        fields: the line's JSON.
        event_id: of an event with neither id nor timestamp.
        now: time of arrival, in seconds since 1970.

    Raises:
        InvalidBodyError: a field is missing, unknown or invalid.
    """
    try:
        return _event_of(FeedbackEventBody.model_validate(fields), now, event_id)
    except ValidationError as error:
        errors = readable_errors(error.errors(), fields)
        place = ".".join(map(str, errors[0]["loc"]))
        raise InvalidBodyError(f"{place}: {errors[0]['msg']}".removeprefix(": "), errors) from error


def _event_of(event: FeedbackEventBody, now: float, event_id: str | None = None) -> FeedbackEvent:
    """The event to store; `event_id` is for one with neither id nor timestamp."""
    own_id = event.event_id or (event_id if event.timestamp is None else None)
    return FeedbackEvent(
        event_id=own_id or made_event_id(_owner_of(event), event.item_id, event.type, event.timestamp, event.value),
        user_id=event.user_id,
        session_id=event.session_id,
        item_id=event.item_id,
        type=event.type,
        timestamp=event.seconds(now),
        recommendation_id=event.recommendation_id,
        value=event.value,
    )


def _owner_of(event: FeedbackEventBody) -> Owner:
    if event.user_id is not None:
        return event.user_id
    assert event.session_id is not None
    return Session(event.session_id)


def _warnings_of_types(events: Sequence[FeedbackEvent], live: LiveCatalogue) -> list[str]:
    num_by_type = undeclared_types(events, live.rules)
    if not num_by_type:
        return []
    first = next(event.event_id for event in events if is_undeclared(event, live.rules))
    return [undeclared_warning(num_by_type, live.rules, live.bundle_id, first)]


def _warnings_of_time(ids_ahead: list[str]) -> list[str]:
    if not ids_ahead:
        return []
    return [
        f"{counted(len(ids_ahead), 'event')} dated more than an hour ahead, the first with event_id {ids_ahead[0]!r}; "
        "the time of arrival counts for them: check the sender's clock, and send seconds, not milliseconds"
    ]
