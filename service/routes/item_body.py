"""Turn the body of POST or PUT /items, JSON or multipart, into an `Item`, or refuse it by field."""

import copy
import json
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from clairo_core.attributes import from_json
from clairo_core.items import Item
from clairo_core.values.ids import MAX_ID_CHARACTERS, check_item_id
from service.errors import MalformedBodyError
from service.http.body_route import JSON
from service.http.field_errors import invalid_fields, readable_errors
from service.picture_urls.fetch import SentItem
from service.picture_urls.hosts import MAX_URL_CHARACTERS
from service.schemas.item_patches import ItemPatchBody, ItemPatchEntry
from service.schemas.items import NewItemBody, decoded_base64
from service.store.item_patch import MAX_ATTRIBUTES, MAX_TEXT_FIELDS, ItemPatch

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Enough for a picture of 10 MiB in base64, and words."""

_MULTIPART = "multipart/form-data"
_JSON_FIELDS = ("texts", "attributes")
_MAX_FIELDS = MAX_TEXT_FIELDS + MAX_ATTRIBUTES

EXAMPLE_ITEM_ID = "mug-dawn"
_EXAMPLE_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQMAAAAlPW0iAAAABlBMVEX0yL7meDxqSlsYAAAAEklEQVR42mNgwAkY/zMwMaAjABSvAQ2eFPUR"
    "AAAAAElFTkSuQmCC"
)
_EXAMPLE = {
    "item_id": EXAMPLE_ITEM_ID,
    "title": "Dawn mug",
    "description": "A stoneware mug with a pink and orange glaze",
    "attributes": {"brand": "Fjord", "price": "18.00"},
}

EXAMPLE_CHANGE = {
    "title": "Dawn mug, second glaze",
    "description": "A stoneware mug with a red glaze",
    "attributes": {"brand": "Fjord", "price": "21.00"},
}

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        JSON: {
            "schema": NewItemBody.model_json_schema(),
            "examples": {
                "words and a picture": {"value": _EXAMPLE | {"picture": _EXAMPLE_PICTURE}},
                "words alone": {"value": _EXAMPLE | {"item_id": f"{EXAMPLE_ITEM_ID}-2"}},
            },
        },
        _MULTIPART: {
            "schema": {
                "type": "object",
                "required": ["item_id"],
                "additionalProperties": False,
                "properties": {
                    "item_id": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS},
                    "title": {"type": "string"},
                    "description": {"type": "string"},
                    "texts": {"type": "string", "description": "A JSON object of further text fields."},
                    "attributes": {"type": "string", "description": "A JSON object of attributes."},
                    "picture": {
                        "type": "string",
                        "format": "binary",
                        "description": "JPEG, PNG or WebP; at most 10 MiB and 40 megapixels.",
                    },
                    "picture_url": {
                        "type": "string",
                        "maxLength": MAX_URL_CHARACTERS,
                        "description": "https url to fetch it from instead; its host must be on the operator's list.",
                    },
                },
            }
        },
    },
}


def put_request_body() -> dict[str, Any]:
    """The request body of PUT /items/{item_id}: that of POST /items, with the id optional."""
    body = copy.deepcopy(REQUEST_BODY)
    body["description"] = "The whole item: a field that is absent is removed. An absent picture stays; null removes it."
    for media in body["content"].values():
        media["schema"]["required"] = [name for name in media["schema"].get("required", []) if name != "item_id"]
    body["content"][JSON]["examples"] = {"another glaze, another price": {"value": EXAMPLE_CHANGE}}
    return body


async def read_new_item(request: Request, item_id: str | None = None) -> SentItem[Item]:
    """Parse a body into an item. Its picture is neither fetched nor decoded yet.

    Args:
        request: has the body.
        item_id: the id in the url, which the body may leave out.

    Raises:
        MalformedBodyError: the body is not what its content type says.
        InvalidBodyError: a field is missing, unknown or invalid, or there are neither words nor a picture.
        ContentTooLargeError: over `MAX_BODY_BYTES`.
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type == _MULTIPART:
        fields, picture = await _read_multipart(request)
    else:
        fields, picture = await _read_json(request), None
    if item_id is not None and isinstance(fields, dict) and fields.setdefault("item_id", item_id) != item_id:
        raise invalid_fields([{"loc": ["item_id"], "msg": "differs from the id in the url; leave it out"}])
    return item_of_fields(fields, picture)


def check_id_in_url(item_id: str) -> None:
    """Refuse an id that no item can have.

    Raises:
        InvalidBodyError: it is one.
    """
    try:
        check_item_id(item_id)
    except ValueError as error:
        raise invalid_fields([{"loc": ["path", "item_id"], "msg": str(error)}]) from error


def item_of_fields(fields: Any, picture: bytes | None = None) -> SentItem[Item]:
    """Turn parsed JSON or a form's fields into an item. Its picture is neither fetched nor decoded yet.

    Raises:
        InvalidBodyError: a field is missing, unknown or invalid, or there are neither words nor a picture.
    """
    try:
        body = NewItemBody.model_validate(fields)
    except ValidationError as error:
        raise invalid_fields(readable_errors(error.errors(), fields)) from error
    if picture is not None and body.picture_url is not None:
        raise invalid_fields([{"loc": ["picture_url"], "msg": "got picture and picture_url; give one, not both"}])
    if body.picture is not None:
        try:
            picture = decoded_base64(body.picture)
        except ValueError as error:
            raise invalid_fields([{"loc": ["picture"], "msg": str(error)}]) from error
    if picture is None and body.picture_url is None and not body.all_texts():
        raise invalid_fields(
            [
                {
                    "loc": [],
                    "msg": "an item needs a title, a description, another text, or a picture; got none",
                }
            ]
        )
    item = Item(item_id=body.item_id, texts=body.all_texts(), attributes=from_json(body.attributes), picture=picture)
    has_picture = picture is not None or not body.model_fields_set.isdisjoint({"picture", "picture_url"})
    return SentItem(item, body.picture_url, keeps_picture=not has_picture)


def patch_of_fields(fields: Any) -> SentItem[ItemPatch]:
    """Turn a line of PATCH /items/bulk into a patch. Its picture is neither fetched nor decoded yet.

    Raises:
        InvalidBodyError: a field is missing, unknown or invalid.
    """
    try:
        body = ItemPatchEntry.model_validate(fields)
    except ValidationError as error:
        raise invalid_fields(readable_errors(error.errors(), fields)) from error
    return sent_patch(body, body.item_id)


def sent_patch(body: ItemPatchBody, item_id: str) -> SentItem[ItemPatch]:
    """Turn a body into a patch of this item. Its picture is neither fetched nor decoded yet."""
    sent = body.attributes or {}
    given = from_json({name: value for name, value in sent.items() if value is not None})
    patch = ItemPatch(
        item_id=item_id,
        texts=body.all_texts(),
        attributes={name: given.get(name) for name in sent},
        drops_texts=body.drops("texts"),
        drops_attributes=body.drops("attributes"),
        picture=body.picture,
        keeps_picture=body.model_fields_set.isdisjoint({"picture", "picture_url"}),
    )
    return SentItem(patch, body.picture_url)


async def _read_json(request: Request) -> Any:
    content = await request.body()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MalformedBodyError(f"the body is not JSON: {_first_line(error)}") from error


async def _read_multipart(request: Request) -> tuple[dict[str, Any], bytes | None]:
    """Read the text fields, and the picture's bytes if a file was chosen."""
    fields: dict[str, Any] = {}
    picture: bytes | None = None
    _, options = parse_options_header(request.headers["content-type"])
    end = b"--" + options.get(b"boundary", b"") + b"--"
    # The parser below accepts a truncated body and would drop the cut part: the picture.
    if end not in await request.body():
        raise MalformedBodyError("the form lacks its closing boundary; send the whole body")
    try:
        async with request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=MAX_BODY_BYTES) as form:
            for name, value in form.multi_items():
                if name in fields or (name == "picture" and picture is not None):
                    raise invalid_fields([{"loc": [name[:100]], "msg": "the field is repeated; send it once"}])
                if isinstance(value, UploadFile):
                    if name != "picture":
                        raise invalid_fields(
                            [{"loc": [name[:100]], "msg": "got a file, expected text; only picture is a file"}]
                        )
                    # A form without a chosen file sends an empty one without a name.
                    picture = await value.read() if value.size or value.filename else None
                elif name == "picture":
                    raise invalid_fields([{"loc": [name], "msg": "got text, expected a file with a filename"}])
                else:
                    fields[name] = _parsed_object(name, value) if name in _JSON_FIELDS else value
    except HTTPException as error:
        raise MalformedBodyError(f"the body is not a multipart form: {error.detail}") from error
    return fields, picture


def _parsed_object(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise invalid_fields([{"loc": [name], "msg": f"not a JSON object: {_first_line(error)}"}]) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
