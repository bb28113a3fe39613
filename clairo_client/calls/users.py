"""Calls that record, list and delete users' events."""

import gzip
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Required, TypedDict

from clairo_client.answers import FeedbackAnswer, JobSummary, MergeAnswer, UserAnswer, UserPage
from clairo_client.calls.call import JSON_LINES, Call, answered_once, as_model, as_nothing, given, quoted


class FeedbackEvent(TypedDict, total=False):
    """An action of a user, or in a session without a user; it needs one of both ids.

    Without an `event_id` of your own, the service makes one of its content.
    """

    event_id: str | None
    user_id: str | None
    session_id: str | None
    item_id: Required[str]
    type: Required[str]
    timestamp: float | str | None
    recommendation_id: str | None
    value: float | None


def add_feedback(events: Sequence[FeedbackEvent], *, idempotency_key: str | None = None) -> Call[FeedbackAnswer]:
    """Record what users did. An event sent twice is stored once."""
    body = {"events": _safe_to_repeat(events, idempotency_key)}
    return Call("POST", "/feedback", as_model(FeedbackAnswer), body=body, headers=answered_once(idempotency_key))


def add_feedback_lines(events: Iterable[FeedbackEvent], *, idempotency_key: str | None = None) -> Call[JobSummary]:
    """Record many events in the background, up to a million; see `get_job` for progress. Sent as gzip."""
    lines = "\n".join(json.dumps(event) for event in _safe_to_repeat(events, idempotency_key))
    headers = {"Content-Type": JSON_LINES, "Content-Encoding": "gzip", **answered_once(idempotency_key)}
    # Without the time in the header, the same events are the same body.
    content = gzip.compress(lines.encode(), mtime=0)
    return Call("POST", "/feedback/bulk", as_model(JobSummary), content=content, headers=headers)


def _safe_to_repeat(events: Iterable[FeedbackEvent], idempotency_key: str | None) -> list[FeedbackEvent]:
    """The events, those without id and timestamp with an id: an attempt answered 503 may have stored them.

    With a key the body stays as it is: sent again by the caller, it must be the same.
    """
    return [
        {**event, "event_id": uuid.uuid4().hex}
        if idempotency_key is None and event.get("event_id") is None and event.get("timestamp") is None
        else event
        for event in events
    ]


def remove_event(event_id: str) -> Call[None]:
    """Delete an event permanently: a mistake, or a purchase that was sent back."""
    return Call("DELETE", f"/feedback/{quoted(event_id)}", as_nothing)


def list_users(*, cursor: str | None = None, limit: int = 100) -> Call[UserPage]:
    """List a page of users. `cursor` is the previous page's `next_cursor`."""
    return Call("GET", "/users", as_model(UserPage), query=given(cursor=cursor, limit=limit))


def get_user(user_id: str, *, cursor: str | None = None, limit: int = 100) -> Call[UserAnswer]:
    """List a page of a user's events, newest last. `cursor` is the previous page's `next_cursor`."""
    return Call("GET", f"/users/{quoted(user_id)}", as_model(UserAnswer), query=given(cursor=cursor, limit=limit))


def merge_session(user_id: str, session_id: str) -> Call[MergeAnswer]:
    """Make all events of a session the user's, those that arrive later too."""
    body = {"session_id": session_id}
    return Call("POST", f"/users/{quoted(user_id)}/merge", as_model(MergeAnswer), body=body)


def forget_user(user_id: str) -> Call[None]:
    """Delete all events of a user permanently."""
    return Call("DELETE", f"/users/{quoted(user_id)}", as_nothing)
