"""Calls that record, list and delete users' events."""

from collections.abc import Sequence
from typing import Required, TypedDict

from service.client.calls.call import Call, answered_once, as_model, as_nothing, page, quoted
from service.schemas.feedback import FeedbackAnswer, UserAnswer


class FeedbackEvent(TypedDict, total=False):
    """An action of a user, under an `event_id` of your own."""

    event_id: Required[str]
    user_id: Required[str]
    item_id: Required[str]
    type: Required[str]
    timestamp: float | str | None
    recommendation_id: str | None


def add_feedback(events: Sequence[FeedbackEvent], *, idempotency_key: str | None = None) -> Call[FeedbackAnswer]:
    """Record what users did. An event sent twice is stored once."""
    body = {"events": [dict(event) for event in events]}
    return Call("POST", "/feedback", as_model(FeedbackAnswer), body=body, headers=answered_once(idempotency_key))


def get_user(user_id: str, *, cursor: str | None = None, limit: int = 100) -> Call[UserAnswer]:
    """List a page of a user's events, newest last. `cursor` is the previous page's `next_cursor`."""
    return Call("GET", f"/users/{quoted(user_id)}", as_model(UserAnswer), query=page(cursor, limit))


def forget_user(user_id: str) -> Call[None]:
    """Delete all events of a user permanently."""
    return Call("DELETE", f"/users/{quoted(user_id)}", as_nothing)
