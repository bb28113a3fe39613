"""Calls that add, change, retire, list and read items."""

import base64
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import EllipsisType
from typing import Any, Literal, Required, TypedDict

from clairo_client.answers import (
    ItemDetail,
    ItemPage,
    JobAnswer,
    JobList,
    JobSummary,
    PatchItemsAnswer,
    PutItemAnswer,
    PutSchemaAnswer,
    SchemaAnswer,
)
from clairo_client.calls.call import JSON_LINES, Call, answered_once, as_model, as_nothing, given, quoted

AttributeValue = str | float | bool | Sequence[str]
"""Text (a date and a category path too), number, boolean or list of texts."""
TypeName = Literal["text", "number", "boolean", "date", "list", "path"]


class NewItem(TypedDict, total=False):
    """An item of `create_items`, with the arguments of `create_item`."""

    item_id: Required[str]
    title: str
    description: str
    texts: Mapping[str, str]
    attributes: Mapping[str, AttributeValue]
    picture: bytes | None
    picture_url: str | None


def create_item(
    item_id: str,
    *,
    title: str = "",
    description: str = "",
    texts: Mapping[str, str] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    picture: bytes | None = None,
    picture_url: str | None = None,
    idempotency_key: str | None = None,
) -> Call[ItemDetail]:
    """Add a product. `picture` is a JPEG, PNG or WebP file; `picture_url` is for hosts on the operator's list."""
    body = _item_body(
        item_id=item_id,
        title=title,
        description=description,
        texts=texts,
        attributes=attributes,
        picture=picture,
        picture_url=picture_url,
    )
    return Call("POST", "/items", as_model(ItemDetail), body=body, headers=_answered_once(idempotency_key))


def put_item(
    item_id: str,
    *,
    title: str = "",
    description: str = "",
    texts: Mapping[str, str] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    picture: bytes | None = None,
    picture_url: str | None = None,
) -> Call[PutItemAnswer]:
    """Add or change a product. Fields left out are removed; the picture stays."""
    body = _item_body(
        title=title,
        description=description,
        texts=texts,
        attributes=attributes,
        picture=picture,
        picture_url=picture_url,
    )
    return Call("PUT", f"/items/{quoted(item_id)}", as_model(PutItemAnswer), body=body)


def patch_item(
    item_id: str,
    *,
    title: str | EllipsisType | None = ...,
    description: str | EllipsisType | None = ...,
    texts: Mapping[str, str | None] | EllipsisType | None = ...,
    attributes: Mapping[str, AttributeValue | None] | EllipsisType | None = ...,
    picture: bytes | EllipsisType | None = ...,
    picture_url: str | EllipsisType | None = ...,
) -> Call[PutItemAnswer]:
    """Change fields of a product. One that is left out stays, None removes it; texts and attributes one by one."""
    fields = {
        "title": title,
        "description": description,
        "texts": texts,
        "attributes": attributes,
        "picture": picture,
        "picture_url": picture_url,
    }
    changes = {name: value for name, value in fields.items() if value is not ...}
    return Call("PATCH", f"/items/{quoted(item_id)}", as_model(PutItemAnswer), body=_changes(changes))


def patch_items(items: Iterable[Mapping[str, Any]]) -> Call[PatchItemsAnswer]:
    """Change up to a thousand products, all or none: `item_id`, and the changes of `patch_item`, of each."""
    return Call("PATCH", "/items", as_model(PatchItemsAnswer), body={"items": [_changes(item) for item in items]})


def patch_item_lines(items: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None) -> Call[JobSummary]:
    """Change many products in the background, each as in `patch_items`; see `get_job` for progress."""
    return Call(
        "PATCH",
        "/items/bulk",
        as_model(JobSummary),
        content="\n".join(json.dumps(_changes(item)) for item in items).encode(),
        headers={"Content-Type": JSON_LINES, **_answered_once(idempotency_key)},
    )


def get_schema() -> Call[SchemaAnswer]:
    """Types of attributes, declared or fixed by the first use of a name."""
    return Call("GET", "/schema", as_model(SchemaAnswer))


def put_schema(attributes: Mapping[str, TypeName]) -> Call[PutSchemaAnswer]:
    """Declare exactly these types of attributes; stored values are converted, or the call is refused."""
    body = {"attributes": {name: {"type": type_} for name, type_ in attributes.items()}}
    return Call("PUT", "/schema", as_model(PutSchemaAnswer), body=body)


def create_items(items: Iterable[NewItem], *, idempotency_key: str | None = None) -> Call[JobSummary]:
    """Add or change many products in the background, each as `put_item` would; see `get_job` for progress."""
    lines = [json.dumps(_item_body(**item)) for item in items]
    return Call(
        "POST",
        "/items/bulk",
        as_model(JobSummary),
        content="\n".join(lines).encode(),
        headers={"Content-Type": JSON_LINES, **_answered_once(idempotency_key)},
    )


def list_jobs() -> Call[JobList]:
    """List unfinished jobs and the last hundred finished ones, the newest first."""
    return Call("GET", "/jobs", as_model(JobList))


def get_job(job_id: str, *, cursor: str | None = None, limit: int = 100) -> Call[JobAnswer]:
    """Job progress, and a page of rejected rows."""
    return Call("GET", f"/jobs/{quoted(job_id)}", as_model(JobAnswer), query=given(cursor=cursor, limit=limit))


def retire_item(item_id: str) -> Call[None]:
    """Never recommend an item again; `put_item` restores it."""
    return Call("DELETE", f"/items/{quoted(item_id)}", as_nothing)


def list_items(*, cursor: str | None = None, limit: int = 48, q: str = "") -> Call[ItemPage]:
    """List a page of the catalogue, newest first.

    Args:
        cursor: the previous page's `next_cursor`.
        limit: 1 to 200 items.
        q: words that must all occur in an item's id, texts or attributes.
    """
    return Call("GET", "/items", as_model(ItemPage), query=given(cursor=cursor, limit=limit, q=q))


def get_item(item_id: str) -> Call[ItemDetail]:
    """Get an item with its features and tokens."""
    return Call("GET", f"/items/{quoted(item_id)}", as_model(ItemDetail))


def get_item_picture(item_id: str) -> Call[bytes]:
    """Get an item's picture as a JPEG, PNG or WebP file."""
    return Call("GET", f"/items/{quoted(item_id)}/picture", lambda answer: answer.content)


def _answered_once(idempotency_key: str | None) -> dict[str, str]:
    """A key of the caller or of this call: an attempt that was answered 503 may have stored the items."""
    return answered_once(uuid.uuid4().hex if idempotency_key is None else idempotency_key)


def _changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    picture = changes.get("picture")
    return dict(changes) if picture is None else {**changes, "picture": base64.b64encode(picture).decode()}


def _item_body(*, picture: bytes | None = None, **fields: Any) -> dict[str, Any]:
    return given(picture=None if picture is None else base64.b64encode(picture).decode(), **fields)
