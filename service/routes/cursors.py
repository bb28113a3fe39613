"""Cursors of pages: a place in a list as opaque text, so that clients do not depend on its meaning.

A cursor that is none of ours is an `InvalidBodyError`.
"""

import base64
import binascii
import math

from clairo_core.values.ids import MAX_ID_CHARACTERS, check_text
from service.errors import InvalidBodyError
from service.live_catalogue import PagePlace

MAX_POSITION = 2**31 - 1
MAX_SEQUENCE = 2**63 - 1


def page_cursor(place: PagePlace) -> str:
    """The cursor of a page of items.

    >>> place_of_page(page_cursor(PagePlace(1, 48)))
    PagePlace(num_edits=1, before_row=48)
    """
    edits = f"{place.num_edits}:" if place.num_edits else ""
    return _encoded(f"row:{edits}{place.before_row}")


def place_of_page(cursor: str) -> PagePlace:
    """The inverse of `page_cursor`."""
    kind, *numbers = _decoded(cursor).split(":")
    if kind != "row" or len(numbers) not in (1, 2) or not all(map(str.isdecimal, numbers)):
        raise _unknown_cursor()
    num_edits, before_row = map(int, ("0", *numbers)[-2:])
    if max(num_edits, before_row) > MAX_POSITION:
        raise _unknown_cursor()
    return PagePlace(num_edits, before_row)


def event_cursor(timestamp: float, sequence: int) -> str:
    """The cursor of the events after this one.

    >>> place_of_event(event_cursor(1700000000.5, 7))
    (1700000000.5, 7)
    """
    return _encoded(f"event:{timestamp!r}:{sequence}")


def place_of_event(cursor: str) -> tuple[float, int]:
    """The inverse of `event_cursor`."""
    kind, *parts = _decoded(cursor).split(":")
    try:
        timestamp, sequence = float(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        raise _unknown_cursor() from None
    if kind != "event" or len(parts) != 2 or not math.isfinite(timestamp) or not 0 <= sequence <= MAX_SEQUENCE:
        raise _unknown_cursor()
    return timestamp, sequence


def position_cursor(position: int) -> str:
    """The cursor of the job rows from this position on.

    >>> position_of(position_cursor(48))
    48
    """
    return _encoded(f"at:{position}")


def position_of(cursor: str) -> int:
    """The inverse of `position_cursor`."""
    kind, _, position = _decoded(cursor).partition(":")
    if kind != "at" or not position.isdecimal() or int(position) > MAX_POSITION:
        raise _unknown_cursor()
    return int(position)


def user_cursor(user_id: str, *, has_events: bool) -> str:
    """The cursor of the users after this one: among those with events, or among the bundle's others.

    >>> place_of_user(user_cursor("änn:1", has_events=True))
    ('änn:1', True)
    """
    return _encoded(f"{'user' if has_events else 'bundle'}:{user_id}")


def place_of_user(cursor: str) -> tuple[str, bool]:
    """The inverse of `user_cursor`."""
    kind, _, user_id = _decoded(cursor).partition(":")
    try:
        check_text(user_id)
    except ValueError:
        raise _unknown_cursor() from None
    if kind not in ("user", "bundle") or len(user_id) > MAX_ID_CHARACTERS:
        raise _unknown_cursor()
    return user_id, kind == "user"


def _encoded(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise _unknown_cursor() from None


def _unknown_cursor() -> InvalidBodyError:
    message = "not a next_cursor of this call; leave it out to get the first page"
    return InvalidBodyError(f"query -> cursor: {message}", [{"loc": ["query", "cursor"], "msg": message}])
