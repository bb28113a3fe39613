"""A request and a parser of its answer, for any operation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel

JSON_LINES = "application/x-ndjson"

Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A request, and how to parse its answer."""

    method: str
    path: str
    read: Callable[[httpx2.Response], Answer]
    """Raises ValueError if the service cannot have answered this."""
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    """Sent as JSON."""
    content: bytes | None = None
    """Sent unchanged if `body` is None; `headers` hold its `Content-Type`."""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 0.0
    """Waited for an answer even if the client's timeout is shorter."""
    is_repeatable: bool = True
    """Whether a repetition does no harm where the first attempt, answered 503, was carried out after all."""


def as_model(model: type[Model]) -> Callable[[httpx2.Response], Model]:
    """Parse the answer's JSON as `model`, ignoring fields of a newer service."""
    return lambda answer: model.model_validate_json(answer.content)


def as_nothing(answer: httpx2.Response) -> None:
    """Expect an empty answer: a page of a proxy would otherwise pass for a deletion."""
    if answer.content:
        raise ValueError("expected no content")


def quoted(segment: str) -> str:
    """Quote an id as one path segment, slashes included, and dots that would make it another path."""
    return segment.replace(".", "%2E") if segment in (".", "..") else quote(segment, safe="")


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None: the service has defaults for the others.

    >>> given(limit=10, cursor=None)
    {'limit': 10}
    """
    return {name: value for name, value in fields.items() if value is not None}


def answered_once(idempotency_key: str | None) -> dict[str, str]:
    """The header that makes a repeated call run once; none without a key."""
    return {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
