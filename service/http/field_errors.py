"""Say what an invalid field should have held, in our words instead of Pydantic's. Start at `readable_errors`."""

from collections.abc import Mapping, Sequence
from typing import Any

from clairo_core.values.ids import NOT_UNICODE
from service.errors import InvalidBodyError

Place = tuple[str | int, ...]

MAX_REPORTED_FIELDS = 20
MAX_FIELD_NAME_CHARACTERS = 100
MAX_SHOWN_DIGITS = 25

EXPECTED: Mapping[str, str] = {
    "bool_parsing": "expected true or false",
    "bool_type": "got {got}, expected true or false",
    "dict_type": "got {got}, expected an object",
    "extra_forbidden": "this call has no such field; leave it out, or look for its name in /openapi.json",
    "finite_number": "expected a finite number",
    "float_type": "got {got}, expected a number",
    "greater_than": "got {number}, expected more than {gt}",
    "greater_than_equal": "got {number}, expected at least {ge}",
    "int_from_float": "got {got}, expected an integer",
    "int_type": "got {got}, expected an integer",
    "json_invalid": "the body is not JSON: {error}",
    "less_than": "got {number}, expected less than {lt}",
    "less_than_equal": "got {number}, expected at most {le}",
    "list_type": "got {got}, expected a list",
    "literal_error": "expected {expected}",
    "missing": "it is missing; this field is required",
    "model_attributes_type": "got {got}, expected an object",
    "model_type": "got {got}, expected an object",
    "string_pattern_mismatch": "expected text that matches {pattern}",
    "string_too_long": "got {size} characters, expected at most {max_length}",
    "string_too_short": "got {size} characters, expected at least {min_length}",
    "string_type": "got {got}, expected text",
    "string_unicode": NOT_UNICODE,
    "too_long": "got {size} entries, expected at most {max_length}",
    "too_short": "got {size} entries, expected at least {min_length}",
}
"""By Pydantic's type of the error; `readable_errors` fills in what was sent and what limits it."""
OTHER = "this value does not fit the field; /openapi.json describes it"
"""For every other type of error."""
OWN = "value_error"
"""A ValueError of a check of ours, whose sentence is kept."""


def readable_errors(errors: Sequence[Any], sent: object) -> list[dict[str, Any]]:
    """The first few of Pydantic's errors as `{loc, msg}`; texts that were sent are not repeated.

    Of a value that fits no type of a union there is one error, or those inside it.

    Args:
        errors: of one validation.
        sent: what was validated.
    """
    sentences: dict[Place, list[str]] = {}
    for error in errors:
        sentences.setdefault(_place_of(error, sent), []).append(_sentence(error))
    outer = {place[:length] for place in sentences for length in range(len(place))}
    return [
        {"loc": [_shown(part) for part in place], "msg": _either(of_place)}
        for place, of_place in list(sentences.items())
        if place not in outer
    ][:MAX_REPORTED_FIELDS]


def _place_of(error: Mapping[str, Any], sent: object) -> Place:
    """Where in `sent` the error is: Pydantic's `loc` without the names of a union's types."""
    place: Place = ()
    for number, part in enumerate(error["loc"], start=1):
        is_missing = error["type"] == "missing" and number == len(error["loc"])
        if isinstance(sent, Mapping) and (part in sent or is_missing):
            place, sent = (*place, part), sent.get(part)
        elif isinstance(part, int):
            place, sent = (*place, part), sent[part] if isinstance(sent, list) else None
    return place


def _shown(part: str | int) -> str | int:
    return part if isinstance(part, int) else part[:MAX_FIELD_NAME_CHARACTERS]


def _either(sentences: Sequence[str]) -> str:
    """One sentence for all types of a union.

    >>> _either(["got 5, expected text", "got 5, expected an object"])
    'got 5, expected text or an object'
    """
    start, expected, _ = sentences[0].partition("expected ")
    return " or ".join([sentences[0], *(sentence.removeprefix(start + expected) for sentence in sentences[1:])])


def invalid_fields(errors: Sequence[Mapping[str, Any]]) -> InvalidBodyError:
    """The error to raise for `errors`, such as those of `readable_errors`. Its text is the first one."""
    return InvalidBodyError(text_of(errors[0]), errors)


def text_of(error: Mapping[str, Any]) -> str:
    """An error as one line.

    >>> text_of({"loc": ["body", "limit"], "msg": "got 0, expected at least 1"})
    'body -> limit: got 0, expected at least 1'
    """
    where = " -> ".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}" if where else str(error["msg"])


def _sentence(error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    if error["type"] == OWN:
        return str(context["error"])
    sent = error["input"]
    got = {
        "got": kind_of_value(sent),
        # In a url numbers are text.
        "number": shown_number(sent),
        "size": len(sent) if isinstance(sent, str | list | dict) else 0,
    }
    return EXPECTED.get(error["type"], OTHER).format(**got, **context)


def kind_of_value(value: object) -> str:
    """Name a JSON value: numbers as they are, anything else by its kind.

    >>> [kind_of_value(value) for value in (None, True, 2.5, "2.5", [1], {})]
    ['null', 'true', '2.5', 'text', 'a list', 'an object']
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return shown_number(value)
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def shown_number(value: object) -> str:
    """A number as text, cut if it is long."""
    text = str(value)
    return text if len(text) <= MAX_SHOWN_DIGITS else f"{text[:MAX_SHOWN_DIGITS]}..."
