"""/items: add, replace, change, retire, read and list products; read pictures."""

import asyncio
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.openapi.models import Example

from clairo_core.attributes import as_json
from clairo_core.errors import DuplicateItemError
from clairo_core.features import COLLISION_CATEGORY
from service.errors import InvalidBodyError, InvalidItemError, NoPictureError
from service.http.body_route import BodyRoute
from service.http.etags import answer_unless_known
from service.http.id_paths import id_in_path
from service.http.idempotency import PARAMETER, Attempt, digest_of_texts
from service.http.openapi import problem_answers
from service.http.root_path import linked
from service.items.ingestion import ItemPut
from service.live_catalogue import LiveCatalogue
from service.routes.cursors import page_cursor, place_of_page
from service.routes.item_body import (
    EXAMPLE_ITEM_ID,
    REQUEST_BODY,
    check_id_in_url,
    put_request_body,
    read_new_item,
    sent_patch,
)
from service.routes.parts import Parts, ReadyParts
from service.schemas.item_patches import PatchItemBody, PatchItemsAnswer, PatchItemsBody, PatchOutcome
from service.schemas.items import (
    MAX_PAGE_ITEMS,
    Feature,
    ItemDetail,
    ItemPage,
    ItemSummary,
    PutItemAnswer,
    Token,
)
from service.schemas.request_body import QueryInteger
from service.served_items import ServedItem
from service.store.store import WriteOutcome, item_digest

router = APIRouter(tags=["items"], route_class=BodyRoute)

PICTURE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
UNKNOWN_TYPE = "application/octet-stream"
PICTURE_MAX_AGE_SECONDS = 3600

ITEM_PATH = f"/items/{id_in_path('item_id')}"
EXAMPLE_PATCHES = {
    "a price, and out of a sale": {"value": {"attributes": {"price": "17.00", "sale": None}}},
    "another title, and no picture": {"value": {"title": "Dawn mug, third glaze", "picture": None}},
}
EXAMPLE_MANY_PATCHES = {
    "a price and a stock": {
        "value": {"items": [{"item_id": EXAMPLE_ITEM_ID, "attributes": {"price": "17.00", "in_stock": True}}]}
    }
}
EXAMPLE = {"the example of POST /items": Example(value=EXAMPLE_ITEM_ID)}
ItemIdInPath = Annotated[str, Path(description="Slashes need no escaping.", openapi_examples=EXAMPLE)]


@router.post(
    "/items",
    status_code=201,
    operation_id="create_item",
    summary="Add a product",
    response_model=ItemDetail,
    responses={
        201: {"headers": {"Location": {"description": "The item's url.", "schema": {"type": "string"}}}},
        **problem_answers(400, 409, 413, 415, 422, 429, 503),
    },
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": [PARAMETER]},
)
async def create_item(request: Request, parts: ReadyParts) -> Response:
    """201 once the item is stored durably and recommendable: the next request can return it.

    Send JSON with the picture in base64, or a multipart form with the picture as a file. `picture_url` replaces the
    picture if its host is on the operator's list; a url that is refused or returns no picture is a 422. A picture or
    words alone are enough; `missing_modalities` names what is missing. An id that exists already is a 409; that of a
    retired item restores it with this content. Ids may contain slashes, but no empty, `.` or `..` part between them.
    """
    sent = await read_new_item(request)
    sent_digest = item_digest(sent.item, sent.item.read_picture())

    async def add(attempt: Attempt) -> Response:
        item = await parts.picture_urls.with_picture(sent)
        try:
            with sent.blaming_url():
                await parts.served.ingestion.add_item(item)
        except DuplicateItemError:
            # An earlier attempt may have been cut short after the commit.
            digest = item_digest(item, item.read_picture())
            if not attempt.is_retry or await parts.store.read_item_digest(item.item_id) != digest:
                raise
        body = item_detail(parts.served.live, item.item_id).model_dump_json()
        return Response(body, 201, {"Location": item_url(item.item_id)}, "application/json")

    # The url itself: its picture may have changed when the call is retried.
    urls = () if sent.picture_url is None else (sent.picture_url,)
    body_digest = digest_of_texts(sent.item.item_id, sent_digest, *urls)
    return await parts.answered_once.answer(request, "create_item", body_digest, add)


@router.put(
    ITEM_PATH,
    operation_id="put_item",
    summary="Add or change a product",
    response_model=PutItemAnswer,
    responses={
        201: {"model": PutItemAnswer, "description": "The item is new."},
        **problem_answers(400, 409, 413, 415, 422, 429, 503),
    },
    openapi_extra={"requestBody": put_request_body()},
)
async def put_item(item_id: ItemIdInPath, request: Request, response: Response, parts: ReadyParts) -> PutItemAnswer:
    """Replace the item's content; fields left out are removed. The picture stays unless `picture` is null. Idempotent.

    201 for a new item, as POST /items. Otherwise 200 with an `outcome`. `changed`: words, attributes or picture
    differ and are shown, searched and filtered by at once. Other words or another picture describe the item again, so
    similar items and scores follow; an item of the bundle keeps its features and tokens (`features_kept`) until the
    next training, because histories and generator rely on them. `restored`: it was retired and is recommendable again.
    `unchanged`: it had this content already.
    """
    check_id_in_url(item_id)
    sent = await read_new_item(request, item_id)
    item = await parts.picture_urls.with_picture(sent)
    features_before = _features_of(parts.served.live, item.item_id)
    with sent.blaming_url():
        (outcome,) = await parts.served.ingestion.put_items([ItemPut(item, sent.keeps_picture)])
    if outcome is WriteOutcome.CREATED:
        response.status_code = 201
        response.headers["Location"] = item_url(item.item_id)
    return _changed_item(parts.served.live, item.item_id, outcome, features_before)


@router.patch(
    ITEM_PATH,
    operation_id="patch_item",
    summary="Change fields of a product",
    responses=problem_answers(400, 404, 409, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLE_PATCHES}}}},
)
async def patch_item(item_id: ItemIdInPath, body: PatchItemBody, parts: ReadyParts) -> PutItemAnswer:
    """JSON Merge Patch (RFC 7396): an absent field stays, null removes it; texts and attributes one by one.

    The picture stays unless `picture` or `picture_url` is sent. Attributes are shown and filtered by at once; other
    words or another picture describe the item again, as with PUT. A retired item stays retired.
    `Content-Type: application/merge-patch+json` is accepted too.
    """
    if body.item_id not in (None, item_id):
        message = "differs from the id in the url; leave it out"
        raise InvalidBodyError(f"item_id: {message}", [{"loc": ["body", "item_id"], "msg": message}])
    live = parts.served.live
    if live.recommender.catalogue.find_row(item_id) is None:
        # Another process may just have posted it.
        await parts.served.ingestion.catch_up()
    live.row_of(item_id)
    sent = sent_patch(body, item_id)
    patch = await parts.picture_urls.with_picture(sent)
    features_before = _features_of(live, item_id)
    try:
        with sent.blaming_url():
            (outcome,) = await parts.served.ingestion.patch_items([patch])
    except InvalidItemError as error:
        raise error.within("body") from error
    return _changed_item(live, item_id, outcome, features_before)


@router.patch(
    "/items",
    operation_id="patch_items",
    summary="Change fields of up to a thousand products",
    responses=problem_answers(400, 404, 409, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLE_MANY_PATCHES}}}},
)
async def patch_items(body: PatchItemsBody, parts: ReadyParts) -> PatchItemsAnswer:
    """Change items as PATCH /items/{item_id} does: all of them in one transaction, or none.

    An unknown item or an invalid value refuses the whole call and names the item. PATCH /items/bulk takes more of them,
    as a job.
    """
    patches = [sent_patch(entry, entry.item_id).item for entry in body.items]
    try:
        outcomes = await parts.served.ingestion.patch_items(patches)
    except InvalidItemError as error:
        place = next(place for place, patch in enumerate(patches) if patch.item_id == error.item_id)
        raise error.within("body", "items", place) from error
    return PatchItemsAnswer(
        items=[
            PatchOutcome(item_id=patch.item_id, outcome="changed" if outcome is WriteOutcome.CHANGED else "unchanged")
            for patch, outcome in zip(patches, outcomes, strict=True)
        ],
        catalogue_version=parts.served.live.catalogue_version,
    )


@router.delete(
    ITEM_PATH,
    status_code=204,
    operation_id="retire_item",
    summary="Retire an item",
    responses=problem_answers(404, 429, 503),
)
async def retire_item(item_id: ItemIdInPath, parts: ReadyParts) -> None:
    """Never recommend the item again. Histories that hold it keep their meaning.

    Idempotent. POST or PUT with the same id restores the item, with the content sent.
    """
    await parts.served.ingestion.retire_item(item_id)


@router.get(
    "/items",
    operation_id="list_items",
    summary="List the catalogue",
    responses=problem_answers(422, 503),
)
async def list_items(
    parts: ReadyParts,
    cursor: Annotated[str | None, Query(max_length=64, description="next_cursor of the previous page.")] = None,
    limit: Annotated[QueryInteger, Query(ge=1, le=MAX_PAGE_ITEMS, description="Items per page.")] = 48,
    q: Annotated[str, Query(max_length=200, description="Words that must all occur in id, texts or attributes.")] = "",
) -> ItemPage:
    """Newest first, without retired items. Items added meanwhile do not shift later pages.

    If fewer than 5 items match, items with similar words follow, most similar first: a word of letters alone may differ
    by one typing error, from 8 letters on by two.
    """
    place = None if cursor is None else place_of_page(cursor)
    # A search without matches reads every item: too slow for the event loop.
    found, next_place = await asyncio.to_thread(parts.served.live.page, q, place, limit)
    return ItemPage(
        items=[item_summary(served) for served in found],
        next_cursor=None if next_place is None else page_cursor(next_place),
    )


@router.get(
    f"{ITEM_PATH}/picture",
    operation_id="get_item_picture",
    summary="Get an item's picture",
    response_class=Response,
    responses={
        200: {
            "description": "The picture.",
            "content": {
                name: {"schema": {"type": "string", "format": "binary"}}
                for name in (*PICTURE_TYPES.values(), UNKNOWN_TYPE)
            },
        },
        304: {"description": "The picture still matches If-None-Match."},
        **problem_answers(404, 503),
    },
)
async def get_item_picture(item_id: ItemIdInPath, request: Request, parts: ReadyParts) -> Response:
    """JPEG, PNG or WebP: of a posted item as sent; of the bundle's items at most 512 pixels wide and high.

    An `<img>` of a shop's page carries a public key in the url: `?key=clairo_...`.
    """
    served = parts.served.live.find(item_id)
    picture = await read_picture(parts, served)
    media_type = next((name for start, name in PICTURE_TYPES.items() if picture.startswith(start)), None)
    headers = {"Cache-Control": f"private, max-age={PICTURE_MAX_AGE_SECONDS}"}
    if request.app.state.settings.cors_origins:
        # Pages of other origins show it.
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer_unless_known(request, picture, media_type or UNKNOWN_TYPE, headers)


@router.get(
    ITEM_PATH,
    operation_id="get_item",
    summary="Get an item with its features and tokens",
    responses=problem_answers(404, 503),
)
async def get_item(item_id: ItemIdInPath, parts: ReadyParts) -> ItemDetail:
    """Words, attributes, semantic id, features and tokens of an item of the bundle or a posted one."""
    return item_detail(parts.served.live, item_id)


def _changed_item(
    live: LiveCatalogue, item_id: str, outcome: WriteOutcome, features_before: list[int] | None
) -> PutItemAnswer:
    return PutItemAnswer(
        **item_detail(live, item_id).model_dump(),
        outcome=outcome.value,
        features_kept=_features_of(live, item_id) == features_before,
    )


def _features_of(live: LiveCatalogue, item_id: str) -> list[int] | None:
    row = live.recommender.catalogue.find_row(item_id)
    return None if row is None else live.recommender.catalogue.feature_sets[row].tolist()


async def read_picture(parts: Parts, served: ServedItem) -> bytes:
    """Read an item's encoded picture from the bundle or the store.

    Raises:
        NoPictureError: it has none.
    """
    picture: bytes | None = None
    if served.is_posted and served.has_picture:
        picture = await parts.store.read_picture(served.item.item_id)
    elif served.has_picture:
        row = parts.served.live.row_of(served.item.item_id)
        picture = await asyncio.to_thread(parts.served.live.bundle.read_picture, row)
    if picture is None:
        raise NoPictureError(f"item {served.item.item_id!r} has no picture; PUT the item with one")
    return picture


def item_url(item_id: str) -> str:
    """The path of an item, as clients reach it."""
    return linked(f"/items/{quote(item_id, safe='')}")


def item_summary(served: ServedItem) -> ItemSummary:
    """Summarize an item for lists."""
    item = served.item
    return ItemSummary(
        item_id=item.item_id,
        title=item.title,
        attributes=as_json(item.attributes),
        picture_url=f"{item_url(item.item_id)}/picture" if served.has_picture else None,
        origin="posted" if served.is_posted else "bundle",
    )


def item_detail(live: LiveCatalogue, item_id: str) -> ItemDetail:
    """An item with its features and tokens under the served bundle.

    Raises:
        UnknownItemError: the catalogue never had it.
    """
    served, row = live.find(item_id), live.row_of(item_id)
    catalogue, vocabulary = live.recommender.catalogue, live.bundle.vocabulary
    names = vocabulary.category_names
    feature_set = [int(value) for value in catalogue.feature_sets[row]]
    tokens = catalogue.canonical.ids[row, : catalogue.canonical.lengths[row]]
    return ItemDetail(
        **item_summary(served).model_dump(),
        texts=dict(served.item.texts),
        is_retired=bool(catalogue.is_retired[row]),
        semantic_id=[value for name, value in zip(names, feature_set, strict=True) if name != COLLISION_CATEGORY],
        feature_set=[Feature(category=name, value=value) for name, value in zip(names, feature_set, strict=True)],
        tokens=[
            Token(
                token=int(token),
                features=[
                    Feature(category=names[category], value=value)
                    for category, value in vocabulary.features_of(int(token))
                ],
            )
            for token in tokens
        ],
        missing_modalities=list(served.missing_modalities),
        bundle_id=live.bundle_id,
        catalogue_version=catalogue.version,
    )
