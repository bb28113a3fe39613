"""Write log lines as text for people or as JSON for machines, each with its request's id.

Passwords in urls and keys in headers are masked in every line.
"""

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that the running task answers."""

MASK = "***"
_SECRETS = (
    re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE),
    re.compile(r"(?P<before>\bbearer\s+)[^\s'\",;]+", re.IGNORECASE),
    re.compile(r"(?P<before>\b(?:x-api-key|password|passwd)['\"]?\s*[:=]\s*b?['\"]?)[^\s'\",;]+", re.IGNORECASE),
)
_SIGNS = ("://", "bearer", "x-api-key", "passw")
"""Each of the patterns needs one of them."""
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def set_up_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Write all log lines from INFO up to standard error, or to `stream`, as `text` or `json`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def without_secrets(text: str) -> str:
    """Mask passwords in urls and keys in headers.

    >>> without_secrets("postgresql://shop:hidden@db/clairo, Authorization: Bearer abc.def")
    'postgresql://shop:***@db/clairo, Authorization: Bearer ***'
    """
    # Most lines hold none, and searching takes longer than writing them.
    folded = text.casefold()
    if not any(sign in folded for sign in _SIGNS):
        return text
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<before>{MASK}", text)
    return text


class TextLines(logging.Formatter):
    """Text lines: time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        request_id = REQUEST_ID.get()
        line = super().format(record)
        about = "" if request_id is None or request_id in line else f" request_id={request_id}"
        return without_secrets(f"{line}{about}")


class JsonLines(logging.Formatter):
    """JSON lines, one object each: time, level, logger, message, request_id and the record's `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if (request_id := REQUEST_ID.get()) is not None:
            fields["request_id"] = request_id
        fields |= {
            name: without_secrets(value) if isinstance(value, str) else value
            for name, value in vars(record).items()
            if name not in _OF_EVERY_RECORD
        }
        if record.exc_info:
            fields["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(fields, default=lambda value: without_secrets(str(value)))
