"""What an operation is turned into: a request, and the way to read its answer. Knows nothing of any operation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A request, and what its answer means."""

    method: str
    path: str
    read: Callable[[httpx.Response], Answer]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    """Sent as JSON."""
    content: bytes | None = None
    """Sent as it is, where `body` is None; its `Content-Type` is one of the headers."""
    headers: Mapping[str, str] = field(default_factory=dict)


def as_model(model: type[Model]) -> Callable[[httpx.Response], Model]:
    """Reads an answer's JSON as `model`; fields of a newer service are left out."""
    return lambda answer: model.model_validate_json(answer.content)


def as_nothing(_: httpx.Response) -> None:
    """Reads an answer that is no more than its status."""


def quoted(segment: str) -> str:
    """An id as one segment of a path, its slashes included."""
    return quote(segment, safe="")


def page(cursor: str | None, limit: int) -> dict[str, Any]:
    """The query of an operation that gives a page; `cursor` is the page before's `next_cursor`."""
    return {"limit": limit} | ({} if cursor is None else {"cursor": cursor})


def answered_once(idempotency_key: str | None) -> dict[str, str]:
    """The header with which a call that is sent twice is carried out once; none without a key."""
    return {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
