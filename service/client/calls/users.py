"""What users did: calls that say it, show it and forget it."""

from collections.abc import Sequence
from typing import Required, TypedDict

from service.client.calls.call import Call, answered_once, as_model, as_nothing, page, quoted
from service.schemas.feedback import FeedbackAnswer, UserAnswer


class FeedbackEvent(TypedDict, total=False):
    """One thing that a user did, told under an `event_id` of your own."""

    event_id: Required[str]
    user_id: Required[str]
    item_id: Required[str]
    type: Required[str]
    timestamp: float | None
    recommendation_id: str | None


def add_feedback(events: Sequence[FeedbackEvent], *, idempotency_key: str | None = None) -> Call[FeedbackAnswer]:
    """Say what users did; an event that is told twice is kept once."""
    body = {"events": [dict(event) for event in events]}
    return Call("POST", "/feedback", as_model(FeedbackAnswer), body=body, headers=answered_once(idempotency_key))


def get_user(user_id: str, *, cursor: str | None = None, limit: int = 100) -> Call[UserAnswer]:
    """A page of what a user did, the newest last; `cursor` is the page before's `next_cursor`."""
    return Call("GET", f"/users/{quoted(user_id)}", as_model(UserAnswer), query=page(cursor, limit))


def forget_user(user_id: str) -> Call[None]:
    """Delete every event of a user, for good."""
    return Call("DELETE", f"/users/{quoted(user_id)}", as_nothing)
