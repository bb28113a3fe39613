"""Read a date and time: `microseconds_in` of ISO 8601, `moment_in` of every form that shops and databases write.

Digits of a second beyond the sixth are cut, so seven or nine digits, as .NET, Java and databases write them, are read.
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"([T ](?P<hour>\d\d)(:(?P<minute>\d\d)(:(?P<second>\d\d)([.,](?P<fraction>\d+))?)?)?"
    r"(?P<zone>Z|[+-]\d\d(:?\d\d)?)?)?",
    re.ASCII | re.IGNORECASE,
)

_LOCAL_DATE = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[./-])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4})(?!\d)", re.ASCII
)
_CLOCK = re.compile(
    r",? *T?(?P<hour>\d{1,2}):(?P<minute>\d\d)(?P<second>:\d\d([.,]\d+)?)?(?: ?(?P<half>[AP])\.?M\.?)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d(:?\d\d)?))?",
    re.ASCII | re.IGNORECASE,
)


def moment_in(text: str, *, day_first: bool | None = None) -> int:
    """Parse a date and time in any common form as microseconds since 1970; UTC without a zone.

    Beside ISO 8601: a space before the zone, `UTC` and `GMT`, `31.05.2024 17:02`, `2024/05/31`, `5:02 PM`, and the
    dates of mail (RFC 2822).

    Args:
        text: without spaces around it.
        day_first: whether 03/04/2024 is in April; None: such dates are refused unless one number is above 12.

    >>> moment_in("01.01.1970 00:01"), moment_in("Thu, 01 Jan 1970 02:01:00 +0200")
    (60000000, 60000000)

    Raises:
        ValueError: the text has none of these forms, or two readings; its message begins with "expected".
    """
    return microseconds_in(_iso_form(text, day_first))


def _iso_form(text: str, day_first: bool | None) -> str:
    if text[:1].isalpha() or text[1:3].strip().isalpha() or text[3:4].isalpha():
        return _iso_of_mail(text)
    if local := _LOCAL_DATE.match(text):
        day, month = int(local["first"]), int(local["second"])
        if local["mark"] != "." and not (day_first if day_first is not None else day > 12):
            if day_first is None and month <= 12 and day != month:
                raise ValueError(f"expected a date with one reading, and {local[0]} has two")
            day, month = month, day
        date, rest = f"{local['year']}-{month:02}-{day:02}", text[local.end() :]
    else:
        date, rest = text[:10].replace("/", "-"), text[10:]
    if not (clock := _CLOCK.fullmatch(rest)):
        return date + rest
    hour = int(clock["hour"])
    if clock["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("expected an hour from 1 to 12 before AM or PM")
        hour = hour % 12 + 12 * (clock["half"] in "Pp")
    zone = (clock["zone"] or "").upper().replace("UTC", "Z").replace("GMT", "Z")
    return f"{date} {hour:02}:{clock['minute']}{clock['second'] or ''}{zone}"


def _iso_of_mail(text: str) -> str:
    try:
        return parsedate_to_datetime(text).isoformat()
    except (ValueError, IndexError) as error:
        raise ValueError("expected a date and time such as Fri, 31 May 2024 17:00:00 +0200") from error


def microseconds_in(text: str, *, needs_zone: bool = False) -> int:
    """Parse a date, or a date and time, as microseconds since 1970; UTC without a zone.

    >>> microseconds_in("1970-01-02"), microseconds_in("1970-01-01T01:00:00.123456789+01:00")
    (86400000000, 123456)

    Raises:
        ValueError: the text is neither, or lacks a needed zone; its message begins with "expected".
    """
    form = _ISO.fullmatch(text)
    if form is not None and form["hour"] and needs_zone and not form["zone"]:
        raise ValueError("expected a zone after the time, such as Z for UTC in 2024-05-31T17:00:00Z")
    if form is None or (needs_zone and not form["zone"]):
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
