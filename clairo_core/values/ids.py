"""Ids of items and users: one rule for tables, HTTP and exports, so that what training takes can be read and sent.

An item's id stands in urls as a path, so it also keeps clear of the parts that clients, proxies or routes rewrite.
"""

import hashlib
import re

MAX_ID_CHARACTERS = 256
CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
"""Characters, in a regular expression, that some databases cannot store. Tabs and line breaks are allowed."""
RESERVED_LAST_SEGMENTS = frozenset({"bought-together", "picture", "similar"})
RESERVED_ITEM_IDS = frozenset({"bulk"})

_ANONYMOUS_USER_ID = re.compile("session:[0-9a-f]{32}")
NOT_UNICODE = "the text is not Unicode: it has half a surrogate pair"
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROL_CHARACTERS = re.compile(f"[{CONTROL}]")


def check_unicode(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can escape and UTF-8 cannot hold.

    Raises:
        ValueError: the text has one.
    """
    if _SURROGATES.search(text):
        raise ValueError(NOT_UNICODE)
    return text


def check_text(text: str, label: str = "text") -> str:
    """Refuse control characters, besides what `check_unicode` refuses. `label` names the text in the error.

    Raises:
        ValueError: the text has one.
    """
    check_unicode(text)
    if _CONTROL_CHARACTERS.search(text):
        raise ValueError(f"{label} has control characters; only tabs and line breaks are allowed")
    return text


def check_user_id(user_id: str, label: str = "user_id") -> str:
    """Refuse an id that is empty, too long, or has control characters. `label` names the id in the error.

    Raises:
        ValueError: says why, and what to change.
    """
    _check_length(user_id, label)
    return check_text(user_id, label)


def check_item_id(item_id: str) -> str:
    """Refuse an id that a url's path cannot hold, besides one that is empty or too long.

    >>> check_item_id("mugs/blue 12")
    'mugs/blue 12'

    Raises:
        ValueError: says why, and what to change.
    """
    _check_length(item_id, "item_id")
    if not item_id.isprintable():
        raise ValueError("item_id has control characters or line breaks; use printable characters")
    if item_id != item_id.strip():
        raise ValueError("item_id begins or ends with a space; leave it out")
    segments = item_id.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError("item_id has an empty, '.' or '..' part between slashes, which no url can hold")
    if len(segments) > 1 and segments[-1] in RESERVED_LAST_SEGMENTS:
        raise ValueError(f"item_id ends in /{segments[-1]}, the path of another call; choose another id")
    if item_id in RESERVED_ITEM_IDS:
        raise ValueError(f"item_id {item_id!r} is reserved: /items/{item_id} is another call; choose another id")
    return item_id


def anonymous_user_id(session_id: str) -> str:
    """The id under which training reads the session of a visitor who is not signed in.

    >>> is_anonymous_user_id(anonymous_user_id("s-1")), is_anonymous_user_id("s-1")
    (True, False)
    """
    return f"session:{hashlib.sha256(session_id.encode()).hexdigest()[:32]}"


def is_anonymous_user_id(user_id: str) -> bool:
    """Whether an id is of `anonymous_user_id`."""
    return _ANONYMOUS_USER_ID.fullmatch(user_id) is not None


def shown(text: str, limit: int = 60) -> str:
    """An id in quotes for messages, cut if it is long."""
    return repr(text if len(text) <= limit else f"{text[:limit]}...")


def _check_length(text: str, label: str) -> None:
    if not 1 <= len(text) <= MAX_ID_CHARACTERS:
        raise ValueError(f"{label} has {len(text)} characters, expected 1 to {MAX_ID_CHARACTERS}; shorten it")
