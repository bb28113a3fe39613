"""Each operation of the service as a request to send and a way to read its answer; nothing here touches a network.

One function an operation, named as the OpenAPI document names it. What clients of either kind share is here, so that
they cannot differ. Knows paths and fields; knows nothing of connections or of trying again.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from service.recommend_schemas import RecommendAnswer
from service.schemas import ActivatedBundle, BundleList, Info, ItemDetail, ItemPage, Live, Ready

Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)

HistoryEntry = str | tuple[str, float]
"""An item id, or one with the seconds since 1970."""


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A request, and what its answer means."""

    method: str
    path: str
    read: Callable[[httpx.Response], Answer]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


def recommend(
    history: Sequence[HistoryEntry],
    *,
    limit: int = 10,
    exclude_item_ids: Sequence[str] = (),
    include_seen: bool = False,
    seed: int = 0,
    further: Mapping[str, Any] | None = None,
) -> Call[RecommendAnswer]:
    """Items for a history, oldest first; `further` fields are sent as they are."""
    entries = [entry if isinstance(entry, str) else {"item_id": entry[0], "timestamp": entry[1]} for entry in history]
    body = {
        "history": entries,
        "limit": limit,
        "exclude_item_ids": list(exclude_item_ids),
        "include_seen": include_seen,
        "seed": seed,
        **(further or {}),
    }
    return Call("POST", "/recommend", as_model(RecommendAnswer), body=body)


def create_item(
    item_id: str,
    *,
    title: str = "",
    description: str = "",
    texts: Mapping[str, str] | None = None,
    attributes: Mapping[str, str] | None = None,
    picture: bytes | None = None,
) -> Call[ItemDetail]:
    """Add a product; `picture` is a JPEG, PNG or WebP file."""
    body: dict[str, Any] = {
        "item_id": item_id,
        "title": title,
        "description": description,
        "texts": dict(texts or {}),
        "attributes": dict(attributes or {}),
    }
    if picture is not None:
        body["picture"] = base64.b64encode(picture).decode()
    return Call("POST", "/items", as_model(ItemDetail), body=body)


def list_items(*, cursor: str | None = None, limit: int = 48, q: str = "") -> Call[ItemPage]:
    """A page of the catalogue, newest first; `cursor` is the page before's `next_cursor`."""
    query = {"limit": limit, "q": q} | ({} if cursor is None else {"cursor": cursor})
    return Call("GET", "/items", as_model(ItemPage), query=query)


def get_item(item_id: str) -> Call[ItemDetail]:
    """An item, and how the bundle sees it."""
    return Call("GET", f"/items/{quoted(item_id)}", as_model(ItemDetail))


def get_item_picture(item_id: str) -> Call[bytes]:
    """An item's picture as a JPEG, PNG or WebP file."""
    return Call("GET", f"/items/{quoted(item_id)}/picture", lambda answer: answer.content)


def list_bundles() -> Call[BundleList]:
    """What can be served."""
    return Call("GET", "/bundles", as_model(BundleList))


def activate_bundle(bundle_id: str, *, allow_worse: bool = False) -> Call[ActivatedBundle]:
    """Serve another bundle, or the one before; answers once it is served, which may take minutes."""
    query = {"allow_worse": "true"} if allow_worse else {}
    return Call("POST", f"/bundles/{quoted(bundle_id)}/activate", as_model(ActivatedBundle), query=query)


def check_live() -> Call[Live]:
    """Does the process answer?"""
    return Call("GET", "/health/live", as_model(Live))


def check_ready() -> Call[Ready]:
    """Can it recommend?"""
    return Call("GET", "/health/ready", as_model(Ready))


def get_info() -> Call[Info]:
    """What is being served?"""
    return Call("GET", "/info", as_model(Info))


def get_metrics() -> Call[str]:
    """Counts and times in Prometheus's text format."""
    return Call("GET", "/metrics", lambda answer: answer.text)


def as_model(model: type[Model]) -> Callable[[httpx.Response], Model]:
    """Reads an answer's JSON as `model`; fields of a newer service are left out."""
    return lambda answer: model.model_validate_json(answer.content)


def quoted(segment: str) -> str:
    """An id as one segment of a path, its slashes included."""
    return quote(segment, safe="")
