"""Calls that add, change, retire, list and read items."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Required, TypedDict

from clairo_client.answers import ItemDetail, ItemPage, JobAnswer, JobSummary, PutItemAnswer
from clairo_client.calls.call import JSON_LINES, Call, answered_once, as_model, as_nothing, given, quoted

AttributeValue = str | float | bool | Sequence[str]
"""Text (a date and a category path too), number, boolean or list of texts."""


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
    return Call("POST", "/items", as_model(ItemDetail), body=body, headers=answered_once(idempotency_key))


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
    """Add or change a product. Fields left out are removed, the picture too."""
    body = _item_body(
        title=title,
        description=description,
        texts=texts,
        attributes=attributes,
        picture=picture,
        picture_url=picture_url,
    )
    return Call("PUT", f"/items/{quoted(item_id)}", as_model(PutItemAnswer), body=body)


def create_items(items: Iterable[NewItem], *, idempotency_key: str | None = None) -> Call[JobSummary]:
    """Add or change many products in the background, each as `put_item` would; see `get_job` for progress."""
    lines = [json.dumps(_item_body(**item)) for item in items]
    return Call(
        "POST",
        "/items/bulk",
        as_model(JobSummary),
        content="\n".join(lines).encode(),
        headers={"Content-Type": JSON_LINES, **answered_once(idempotency_key)},
    )


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


def _item_body(*, picture: bytes | None = None, **fields: Any) -> dict[str, Any]:
    return given(picture=None if picture is None else base64.b64encode(picture).decode(), **fields)
