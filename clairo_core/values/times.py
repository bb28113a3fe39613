"""Read a date and time of ISO 8601. Start at `microseconds_in`.

Digits of a second beyond the sixth are cut, so seven or nine digits, as .NET, Java and databases write them, are read.
"""

import re
from datetime import UTC, datetime, timedelta

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"([T ](?P<hour>\d\d)(:(?P<minute>\d\d)(:(?P<second>\d\d)([.,](?P<fraction>\d+))?)?)?"
    r"(?P<zone>Z|[+-]\d\d(:?\d\d)?)?)?",
    re.ASCII | re.IGNORECASE,
)


def microseconds_in(text: str, *, needs_zone: bool = False) -> int:
    """Parse a date, or a date and time, as microseconds since 1970; UTC without a zone.

    >>> microseconds_in("1970-01-02"), microseconds_in("1970-01-01T01:00:00.123456789+01:00")
    (86400000000, 123456)

    Raises:
        ValueError: the text is neither, or lacks a needed zone; its message begins with "expected".
    """
    form = _ISO.fullmatch(text)
    if form is None or (needs_zone and form["zone"] is None):
        raise ValueError(f"expected a date and time such as 2024-05-31T17:00:00{'Z' if needs_zone else ''}")
    clock = [int(form[part] or 0) for part in ("hour", "minute", "second")]
    zone = (form["zone"] or "+00").upper().replace("Z", "+00").replace(":", "")
    try:
        moment = datetime.fromisoformat(f"{form['date']}T{clock[0]:02}:{clock[1]:02}:{clock[2]:02}+00:00")
    except ValueError as error:
        raise ValueError(f"expected a date and time of the calendar ({error})") from error
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:] or 0))
    if offset >= timedelta(days=1) or int(zone[3:] or 0) > 59:
        raise ValueError("expected a zone of less than 24 hours and 60 minutes")
    fraction = int((form["fraction"] or "")[:6].ljust(6, "0"))
    since = (moment - _EPOCH) // _MICROSECOND + fraction
    return since - (offset // _MICROSECOND) * (-1 if zone[0] == "-" else 1)
