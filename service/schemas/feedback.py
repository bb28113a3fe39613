"""JSON of feedback and users."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from clairo_core.events import LONGEST_TYPE, is_type_name
from service.schemas.request_body import TEXT_FIELD, Identifier, RequestBody, Timestamp

MAX_EVENTS = 1000
MAX_TIMESTAMP = 253_402_300_799  # the end of the year 9999
MAX_PAGE_EVENTS = 1000
MAX_PAGE_USERS = 1000
MAX_AHEAD_SECONDS = 3600
"""Clocks differ, but an event further ahead would stay a user's newest until its date."""


def check_type(name: str) -> str:
    """Refuse a name that no rule can have.

    Raises:
        ValueError: it has spaces at the ends, or characters that do not print.
    """
    if not is_type_name(name):
        raise ValueError(f"got {name!r}, expected 1 to {LONGEST_TYPE} printable characters without spaces at the ends")
    return name


def refuse_milliseconds(sent: object) -> object:
    """Refuse numbers after the year 9999, with the likely reason; leave everything else to the field.

    Raises:
        ValueError: the number is too large for seconds.
    """
    if isinstance(sent, int | float) and sent > MAX_TIMESTAMP:
        raise ValueError("expected seconds since 1970, at most the year 9999; send milliseconds divided by 1000")
    return sent


EventType = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_TYPE), AfterValidator(check_type), TEXT_FIELD
]


class FeedbackEventBody(RequestBody):
    """An action of a user, or of a visitor who is not signed in."""

    event_id: Identifier | None = Field(
        default=None,
        description="Your own id of the event. An event sent again is stored once. Left out, it is made of user or "
        "session, item, type and timestamp; without a timestamp too, every event is new.",
    )
    user_id: Identifier | None = Field(default=None, description="Required without a `session_id`.")
    session_id: Identifier | None = Field(
        default=None,
        description="Your id of a visitor who is not signed in; of no effect beside a `user_id`. POST "
        "/users/{user_id}/merge makes its events a user's.",
    )
    item_id: Identifier
    type: EventType = Field(
        description="`view`, `click`, `cart`, `purchase`, `like` or any other name, with the meaning that `[events]` "
        "of the bundle's dataset gives it. Undeclared, an `impression` never becomes part of the user's history, and a "
        "`dislike` takes the item out of the history and of the user's recommendations until a later `like`, "
        "`purchase` or target of the same item."
    )
    timestamp: Annotated[Timestamp, Field(ge=0, le=MAX_TIMESTAMP), BeforeValidator(refuse_milliseconds)] | None = Field(
        default=None,
        description="Seconds since 1970, or ISO 8601 with zone; from 1970 to 9999. The time of arrival if left out or "
        "more than an hour ahead.",
    )
    recommendation_id: Identifier | None = Field(
        default=None, description="Id of the recommendation that the user followed, if any."
    )
    value: float | None = Field(
        default=None, description="A number for conditions of `[events]`, such as the rating of `rating >= 4`."
    )

    @model_validator(mode="after")
    def _has_user_or_session(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("expected a user_id, or the session_id of a visitor who is not signed in")
        return self

    def seconds(self, now: float) -> float:
        """When it happened, in seconds since 1970: `now` if it was not sent, or lies over an hour ahead."""
        return now if self.timestamp is None or self.is_ahead(now) else self.timestamp

    def is_ahead(self, now: float) -> bool:
        """Whether it is dated more than an hour ahead."""
        return self.timestamp is not None and self.timestamp > now + MAX_AHEAD_SECONDS


class FeedbackBody(RequestBody):
    """Actions of users."""

    events: list[FeedbackEventBody] = Field(min_length=1, max_length=MAX_EVENTS)


class MergeBody(RequestBody):
    """A session of the user."""

    session_id: Identifier


class MergeAnswer(BaseModel):
    """Outcome of a merge."""

    user_id: str
    session_id: str
    num_merged: int = Field(description="Events that became the user's by this call.")
    num_forgotten: int = Field(description="Events deleted: they are older than the user's request to be forgotten.")


class EventResult(BaseModel):
    """Outcome for one event."""

    event_id: str
    status: Literal["accepted", "duplicate", "forgotten"] = Field(
        description="`forgotten`: the event is older than the user's request to be forgotten and is not stored."
    )
    is_known_item: bool = Field(description="Whether the catalogue has the item. The event is stored either way.")


class FeedbackAnswer(BaseModel):
    """Outcomes, in the order of the events."""

    num_accepted: int
    num_duplicates: int
    num_forgotten: int
    num_unknown_items: int = Field(description="Accepted events about items that the catalogue lacks.")
    results: list[EventResult]
    warnings: list[str] = Field(description="What was accepted but looks wrong; empty as a rule.")


class UserEvent(BaseModel):
    """An action of the user."""

    event_id: str
    item_id: str
    type: str
    timestamp: float
    recommendation_id: str | None
    value: float | None = None


class UserAnswer(BaseModel):
    """A page of a user's events, oldest first."""

    user_id: str
    events: list[UserEvent]
    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")
    bundle_item_ids: list[str] = Field(
        default=[], description="What the served bundle kept of the user (`--with-users`): newest items, oldest first."
    )


class UserSummary(BaseModel):
    """A user, and how much is known of him."""

    user_id: str
    num_events: int = Field(description="Events from feedback.")
    newest_at: float | None = Field(description="Timestamp of the newest event; null without events.")
    num_bundle_items: int = Field(description="Items that the served bundle kept of the user (`--with-users`).")


class UserPage(BaseModel):
    """A page of users: first those with events, then those of the served bundle alone."""

    users: list[UserSummary]
    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")
