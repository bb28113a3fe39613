"""/users: list users, list and delete a user's events, and make a session's events a user's."""

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.openapi.models import Example
from pydantic import AfterValidator

from clairo_core.values.ids import MAX_ID_CHARACTERS, check_user_id
from service.feedback.known_users import bundle_items_of, users_page
from service.http.body_route import BodyRoute
from service.http.id_paths import id_in_path
from service.http.openapi import problem_answers
from service.routes.cursors import event_cursor, place_of_event, place_of_user, user_cursor
from service.routes.parts import ReadyParts
from service.schemas.feedback import (
    MAX_PAGE_EVENTS,
    MAX_PAGE_USERS,
    MergeAnswer,
    MergeBody,
    UserAnswer,
    UserEvent,
    UserPage,
    UserSummary,
)
from service.schemas.request_body import TEXT_SCHEMA, QueryInteger

router = APIRouter(tags=["users"], route_class=BodyRoute)

MERGE_EXAMPLES = {"a visitor signs in": {"value": {"session_id": "s-1"}}}
USER_PATH = f"/users/{id_in_path('user_id')}"
UserIdInPath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_ID_CHARACTERS,
        description="Slashes need no escaping.",
        json_schema_extra=TEXT_SCHEMA,
        openapi_examples={"the example of POST /feedback": Example(value="u-1")},
    ),
    AfterValidator(check_user_id),
]


@router.get("/users", operation_id="list_users", summary="List users", responses=problem_answers(422, 503))
async def list_users(
    parts: ReadyParts,
    cursor: Annotated[str | None, Query(max_length=1500, description="next_cursor of the previous page.")] = None,
    limit: Annotated[QueryInteger, Query(ge=1, le=MAX_PAGE_USERS, description="Users per page.")] = 100,
) -> UserPage:
    """Users with feedback, then those that only the served bundle knows (`clairo-train run --with-users`).

    A forgotten user is listed again only with events since. Users who come or go meanwhile may be missed.
    """
    after, has_events = ("", True) if cursor is None else place_of_user(cursor)
    page = await users_page(parts.served.live, parts.feedback, after, limit + 1, has_events=has_events)
    last = page[limit - 1] if len(page) > limit else None
    return UserPage(
        users=[UserSummary.model_validate(user, from_attributes=True) for user in page[:limit]],
        next_cursor=None if last is None else user_cursor(last.user_id, has_events=last.num_events > 0),
    )


@router.get(
    USER_PATH,
    operation_id="get_user",
    summary="List a user's events",
    responses=problem_answers(422, 503),
)
async def get_user(
    user_id: UserIdInPath,
    parts: ReadyParts,
    cursor: Annotated[str | None, Query(max_length=100, description="next_cursor of the previous page.")] = None,
    limit: Annotated[QueryInteger, Query(ge=1, le=MAX_PAGE_EVENTS, description="Events per page.")] = 100,
) -> UserAnswer:
    """Ordered by timestamp, newest last; empty for a user who is unknown or was forgotten."""
    after = None if cursor is None else place_of_event(cursor)
    kept = await parts.feedback.user_events(user_id, after, limit + 1)
    page = kept[:limit]
    return UserAnswer(
        user_id=user_id,
        events=[UserEvent.model_validate(entry.event, from_attributes=True) for entry in page],
        next_cursor=event_cursor(page[-1].event.timestamp, page[-1].sequence) if len(kept) > limit else None,
        bundle_item_ids=list(await bundle_items_of(user_id, parts.served.live, parts.feedback)),
    )


@router.post(
    f"{USER_PATH}/merge",
    operation_id="merge_session",
    summary="Make a session a user's",
    responses=problem_answers(400, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": MERGE_EXAMPLES}}}},
)
async def merge_session(user_id: UserIdInPath, body: MergeBody, parts: ReadyParts) -> MergeAnswer:
    """Make all events of a session the user's, those that arrive later too: for a visitor who signs in.

    Idempotent. Events older than the user's request to be forgotten are deleted. 409 if the session is another
    user's: start a new session when a user signs out. DELETE /users/{user_id} deletes merged events too, and the
    session's later ones are a stranger's again.
    """
    merged = await parts.feedback.merge_session(body.session_id, user_id)
    return MergeAnswer(
        user_id=user_id,
        session_id=body.session_id,
        num_merged=merged.num_merged,
        num_forgotten=merged.num_forgotten,
    )


@router.delete(
    USER_PATH,
    status_code=204,
    operation_id="forget_user",
    summary="Forget a user",
    responses=problem_answers(422, 503),
)
async def forget_user(user_id: UserIdInPath, parts: ReadyParts) -> None:
    """Delete all events of the user immediately and permanently. Events dated before now are refused from then on.

    For that, digests of the id and of merged sessions' ids are kept, and nothing else. Works for unknown users too. A
    bundle already trained on the events stays as it is; the next one is trained without them. What a bundle kept of the
    user (`--with-users`) is no longer read.
    """
    await parts.feedback.forget_user(user_id, time.time())
