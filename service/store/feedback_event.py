"""An event of feedback, whose it is, and the id of one that came without."""

import hashlib
import json
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """An action of a user, or of a session whose user is not known."""

    event_id: str
    user_id: str | None
    """None for an event of a session that was not merged into a user."""
    item_id: str
    type: str
    timestamp: float
    """Seconds since 1970."""
    recommendation_id: str | None = None
    value: float | None = None
    """A rating, for conditions of the rules."""
    session_id: str | None = None
    """Never None without a user."""


@dataclass(frozen=True, slots=True)
class Session:
    """A visitor who is not signed in."""

    session_id: str


Owner = str | Session
"""Whose events: a user's, by his id, or those of a session that was not merged into a user."""


def made_event_id(
    owner: Owner, item_id: str, event_type: str, timestamp: float | None, value: float | None = None
) -> str:
    """An id for an event that came without one: the same content, the same id; without a time, a new one.

    A value is content too: a rating that is changed within a second is no repetition.

    >>> made_event_id("ann", "mug", "view", 1.7e9) == made_event_id("ann", "mug", "view", 1700000000)
    True
    """
    if timestamp is None:
        return f"made-{uuid.uuid4().hex}"
    # A list for a session, a text for a user: their contents differ.
    sent_by = [owner.session_id] if isinstance(owner, Session) else owner
    # In microseconds: the seconds of an ISO time and of a number may differ in their last bit.
    content = json.dumps([sent_by, item_id, event_type, round(timestamp * 1e6), *([] if value is None else [value])])
    return f"made-{hashlib.sha256(content.encode()).hexdigest()[:40]}"


def id_of_owner(owner: Owner) -> str:
    """The user's or the session's id."""
    return owner.session_id if isinstance(owner, Session) else owner
