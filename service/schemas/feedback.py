"""JSON of feedback and users."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from service.schemas.request_body import Identifier, RequestBody, Timestamp

MAX_EVENTS = 1000
MAX_TIMESTAMP = 253_402_300_799  # the end of the year 9999
MAX_PAGE_EVENTS = 1000

EventType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class FeedbackEventBody(RequestBody):
    """An action of a user."""

    event_id: Identifier = Field(description="Your own id of the event. An event sent again is stored once.")
    user_id: Identifier
    item_id: Identifier
    type: EventType = Field(
        description="`view`, `click`, `cart`, `purchase`, `like` or any other word. An `impression` never becomes part "
        "of the user's history. A `dislike` takes the item out of the history and of the user's recommendations until "
        "a later `like` or `purchase` of the same item."
    )
    timestamp: Annotated[Timestamp, Field(ge=0, le=MAX_TIMESTAMP)] | None = Field(
        default=None,
        description="Seconds since 1970, or ISO 8601 with zone; from 1970 to 9999. The time of arrival if left out or "
        "more than an hour ahead.",
    )
    recommendation_id: Identifier | None = Field(
        default=None, description="Id of the recommendation that the user followed, if any."
    )


class FeedbackBody(RequestBody):
    """Actions of users."""

    events: list[FeedbackEventBody] = Field(min_length=1, max_length=MAX_EVENTS)


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


class UserAnswer(BaseModel):
    """A page of a user's events, oldest first."""

    user_id: str
    events: list[UserEvent]
    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")
