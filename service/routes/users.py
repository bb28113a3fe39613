"""GET /users, GET and DELETE /users/{user_id}: list users, list and delete a user's events."""

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.openapi.models import Example
from pydantic import AfterValidator

from clairo_core.values.ids import MAX_ID_CHARACTERS, check_user_id
from service.feedback.known_users import KnownUser, bundle_items_of, users_page
from service.http.id_paths import id_in_path
from service.http.openapi import problem_answers
from service.routes.cursors import event_cursor, place_of_event, place_of_user, user_cursor
from service.routes.parts import ReadyParts
from service.schemas.feedback import (
    MAX_PAGE_EVENTS,
    MAX_PAGE_USERS,
    UserAnswer,
    UserEvent,
    UserPage,
    UserSummary,
)
from service.schemas.request_body import TEXT_SCHEMA, QueryInteger

router = APIRouter(tags=["users"])

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
        users=[_summary(user) for user in page[:limit]],
        next_cursor=None if last is None else user_cursor(last.user_id, has_events=last.num_events > 0),
    )


def _summary(user: KnownUser) -> UserSummary:
    return UserSummary(
        user_id=user.user_id,
        num_events=user.num_events,
        newest_at=user.newest_at,
        num_bundle_items=user.num_bundle_items,
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
        events=[
            UserEvent(
                event_id=entry.event.event_id,
                item_id=entry.event.item_id,
                type=entry.event.type,
                timestamp=entry.event.timestamp,
                recommendation_id=entry.event.recommendation_id,
                value=entry.event.value,
            )
            for entry in page
        ],
        next_cursor=event_cursor(page[-1].event.timestamp, page[-1].sequence) if len(kept) > limit else None,
        bundle_item_ids=list(await bundle_items_of(user_id, parts.served.live, parts.feedback)),
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

    For that, a digest of the id is kept, and nothing else. Works for unknown users too. A bundle already trained on
    the events stays as it is; the next one is trained without them. What a bundle kept of the user (`--with-users`) is
    no longer read.
    """
    await parts.feedback.forget_user(user_id, time.time())
