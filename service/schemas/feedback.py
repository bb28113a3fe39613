"""The JSON of feedback and users: what clients send and get. Never passed inward."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from service.schemas.items import TEXT_FIELD, RequestBody, check_text

MAX_EVENTS = 1000
MAX_TIMESTAMP = 253_402_300_799  # the end of the year 9999
MAX_PAGE_EVENTS = 1000

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(check_text), TEXT_FIELD]
EventType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class FeedbackEventBody(RequestBody):
    """One thing that a user did."""

    event_id: Identifier = Field(description="Yours, one an event: an event that comes twice is kept once.")
    user_id: Identifier
    item_id: Identifier
    type: EventType = Field(
        description="`view`, `click`, `cart`, `purchase`, `like` or a word of your own. `impression` and `dislike` "
        "are kept, but are no part of the history that recommendations are made from."
    )
    timestamp: float | None = Field(
        default=None, ge=0, le=MAX_TIMESTAMP, description="Seconds since 1970; when the event came, if left out."
    )
    recommendation_id: Identifier | None = Field(
        default=None, description="Of the recommendation that the user followed, if there was one."
    )


class FeedbackBody(RequestBody):
    """What users did."""

    events: list[FeedbackEventBody] = Field(min_length=1, max_length=MAX_EVENTS)


class EventResult(BaseModel):
    """What became of one event."""

    event_id: str
    status: Literal["accepted", "duplicate", "forgotten"] = Field(
        description="`forgotten`: it happened before the user asked to be forgotten, so it is not kept."
    )
    is_known_item: bool = Field(description="Whether the catalogue has the item; an event is kept either way.")


class FeedbackAnswer(BaseModel):
    """What became of the events, in the order in which they were sent."""

    num_accepted: int
    num_duplicates: int
    num_forgotten: int
    num_unknown_items: int = Field(description="Accepted events about items that the catalogue does not have.")
    results: list[EventResult]


class UserEvent(BaseModel):
    """One thing that a user did."""

    event_id: str
    item_id: str
    type: str
    timestamp: float
    recommendation_id: str | None


class UserAnswer(BaseModel):
    """A user's history, oldest first."""

    user_id: str
    events: list[UserEvent]
    next_cursor: str | None = Field(description="Give it as `cursor` to get what came later; null at the end.")
