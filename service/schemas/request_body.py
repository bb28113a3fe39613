"""Base class of request bodies, and field types that several of them share."""

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)

from clairo_core.values.ids import CONTROL, MAX_ID_CHARACTERS, check_text, check_user_id
from clairo_core.values.times import microseconds_in

UNION_TAG = "tag:"
"""Begins the names of a union's members, which stand in the places of errors and are not shown."""
PLAIN_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
TEXT_SCHEMA: dict[str, JsonValue] = {"pattern": f"^[^{CONTROL}]*$"}
"""`check_text` as a JSON schema."""
TEXT_FIELD = Field(json_schema_extra=TEXT_SCHEMA)


class RequestBody(BaseModel):
    """JSON that a client sends."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def check_named_id(text: str, info: ValidationInfo) -> str:
    """`check_user_id`, with the field's name in the error."""
    return check_user_id(text, info.field_name or "id")


def check_named_text(text: str, info: ValidationInfo) -> str:
    """`check_text`, with the field's name in the error."""
    return check_text(text, info.field_name or "text")


Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS),
    AfterValidator(check_named_id),
    TEXT_FIELD,
]
"""Id of a user or an event, or of an item that need not be new."""
FieldName = Annotated[
    str, StringConstraints(min_length=1, max_length=100), AfterValidator(check_named_text), TEXT_FIELD
]


def check_plain_integer(number: object) -> object:
    """Refuse spellings of an integer that JSON does not have, such as 10.0, +10 and 1_0.

    >>> check_plain_integer("10")
    '10'
    """
    if isinstance(number, str) and not PLAIN_INTEGER.fullmatch(number):
        raise ValueError("expected an integer in decimal digits, such as 10")
    return number


def seconds_of_time(sent: object) -> object:
    """Convert an ISO 8601 time with zone to seconds since 1970; leave everything else to the field.

    >>> seconds_of_time("1970-01-01T01:00:00+00:00"), seconds_of_time(3600)
    (3600.0, 3600)
    """
    return microseconds_in(sent, needs_zone=True) / 1e6 if isinstance(sent, str) else sent


QueryInteger = Annotated[int, BeforeValidator(check_plain_integer)]
Timestamp = Annotated[
    float,
    BeforeValidator(seconds_of_time),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}),
]
"""Seconds since 1970, or an ISO 8601 time with zone."""
