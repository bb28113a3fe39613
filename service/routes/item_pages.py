"""Cursors of GET /items: a catalogue row as opaque text, so that clients do not build on what is in it."""

import base64
import binascii

from service.errors import InvalidBodyError

_PREFIX = b"row:"


def encoded_cursor(row: int) -> str:
    """The cursor that goes on before `row`.

    >>> decoded_cursor(encoded_cursor(48))
    48
    """
    return base64.urlsafe_b64encode(_PREFIX + str(row).encode()).decode().rstrip("=")


def decoded_cursor(cursor: str) -> int:
    """The inverse of `encoded_cursor`.

    Raises:
        InvalidBodyError: we never gave out this cursor.
    """
    try:
        decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    row = decoded.removeprefix(_PREFIX)
    if not decoded.startswith(_PREFIX) or not row.isdigit():
        message = "not a next_cursor of this service; leave it out to begin at the newest item"
        raise InvalidBodyError(f"query -> cursor: {message}", [{"loc": ["query", "cursor"], "msg": message}])
    return int(row)
