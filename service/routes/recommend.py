"""POST /recommend and /recommend/batch: histories in, ranked items out."""

import asyncio
import time
from collections.abc import Collection
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from clairo_core.errors import ClairoError
from clairo_core.items import UserHistory
from service.errors import InvalidBodyError, OverloadedError
from service.feedback.known_users import items_of_user
from service.http.body_route import JSON, BodyRoute
from service.http.disconnect import unless_disconnected
from service.http.field_errors import invalid_fields, readable_errors
from service.http.openapi import problem_answers
from service.http.problems import kind_of, problem_document
from service.http.request_context import request_id_of
from service.placements.combine import Placement, combined
from service.placements.saved import DEFAULT_PLACEMENT, SavedPlacements
from service.recommend.recommendations import Recommendations
from service.recommend.recommended import Recommended
from service.recommend.reranking import GROUP_EXHAUSTED
from service.recommend.wanted import POPULAR_FOR_STRANGERS, Wanted
from service.routes.page_cursor import EarlierPages, earlier_pages, page_cursor
from service.routes.parts import Parts, ReadyParts
from service.routes.recommend_answer import recommend_answer
from service.schemas.problems import Problem
from service.schemas.recommend import (
    BatchResult,
    RecommendAnswer,
    RecommendBatchAnswer,
    RecommendBatchBody,
    RecommendBody,
)
from service.store.feedback_event import Owner, id_of_owner

router = APIRouter(tags=["recommendations"], route_class=BodyRoute)

MAX_REQUESTS_AT_ONCE = 32
"""Bounds one call, so that other clients' requests do not wait behind a whole batch."""

TIRED_SECONDS = 30 * 24 * 3600
"""An impression counts this long."""

# Unknown ids do no harm: they are left out, and popular items come back.
EXAMPLES = {
    "from a history": {"value": {"history": ["mug-12", "mug-7"], "limit": 5}},
    "with timestamps": {
        "value": {
            "history": [
                {"item_id": "mug-12", "timestamp": 1700000000},
                {"item_id": "mug-7", "timestamp": 1700003600},
            ],
            "exclude_item_ids": ["mug-3"],
            "include_seen": True,
            "seed": 7,
        }
    },
    "for a new user": {"value": {"history": []}},
    "for a user with feedback": {"value": {"user_id": "u-1", "limit": 5}},
    "for a visitor who is not signed in": {"value": {"session_id": "s-1", "limit": 5}},
    "diverse and explained": {"value": {"history": ["mug-12", "mug-7"], "limit": 5, "diversity": 0.3, "explain": True}},
    "as fast as possible": {"value": {"history": ["mug-12", "mug-7"], "limit": 5, "quality": "fast"}},
    "only items of the bundle": {"value": {"history": ["mug-12"], "filter": {"only_new": False}}},
    "a category page": {
        "value": {"user_id": "u-1", "candidates": ["mug-3", "mug-7", "mug-9"], "fields": ["title", "picture_url"]}
    },
    "merchandised": {
        "value": {
            "history": ["mug-12"],
            "boost": [{"name": "own-brand", "filter": {"attribute": "brand", "equals": "Fjord"}, "factor": 2}],
            "bury": [{"filter": {"attribute": "stock", "range": {"lt": 3}}, "factor": 5}],
            "group": {"attribute": "brand", "limit": 2},
            "pin": [{"item_id": "mug-3", "rank": 1}],
        }
    },
}
BATCH_EXAMPLES = {
    "two users": {"value": {"requests": [{"history": ["mug-12"], "limit": 5}, {"user_id": "u-1", "limit": 3}]}}
}


@router.post(
    "/recommend",
    operation_id="recommend",
    summary="Recommend items for a history",
    response_model=RecommendAnswer,
    responses=problem_answers(400, 413, 422, 429, 503, 504),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def recommend(body: RecommendBody, parts: ReadyParts, request: Request) -> Response:
    """Recommend `limit` distinct items, best first, without those of the history unless `include_seen`.

    History items missing from the catalogue are ignored and listed in `ignored_item_ids`. An empty history, one of
    unknown items only, or a user without feedback gets the most popular items and a `fallback_reason`. If fewer than
    `limit` items pass the filter, `fallback_reason` is `filter_exhausted`. A filter on an attribute that no item has
    matches nothing, and `warnings` says so. The same request with the same `seed` gets
    the same answer from the same catalogue version, regardless of other requests, until feedback changes the counts.

    With a `user_id`, or the `session_id` of a visitor who is not signed in, every item of the stored history is left
    out, however old, and a disliked item is neither recommended, even with `include_seen`, nor part of the history or
    an explanation. Items like it sink. A later `like`, `purchase` or target of the same item lifts the dislike. The
    bundle's rules name the types that are read, and those that are dislikes.

    Rules act in this order: filter, boost and bury, group, diversity, pin. The placement's come first; see
    PUT /placements/{name} for what a request adds and what it replaces. Each item's `rules` names those that moved it.
    `next_cursor` asks for the next page. No page repeats an item, whatever is posted or retired meanwhile; ranks count
    on, and a group's limit holds on each page.
    """
    # Taken at one moment, before the first await.
    since, placement = parts.repeated_answers.version_of(), named_placement(body, parts.placements)
    answer = await unless_disconnected(request, recommend_one(body, parts))
    content = answer.model_dump_json().encode()
    if is_repeatable(body, placement, explores=parts.served.recommendations.explores):
        await parts.repeated_answers.keep(
            await request.body(),
            content,
            answer.recommendation_id,
            since,
            sources=tuple(item.source for item in answer.items),
            num_new=parts.served.live.num_new(item.item_id for item in answer.items),
            fallback_reason=answer.fallback_reason,
            placement=None if placement is None else placement.name,
        )
    return Response(content, media_type=JSON)


def is_repeatable(body: RecommendBody, placement: Placement | None, *, explores: bool) -> bool:
    """Whether an equal body gets the same items until catalogue, counts, bundle, placements or types change."""
    is_of_owner = body.user_id is not None or body.session_id is not None
    is_by_chance = body.seed is None and explores
    # Trending and latest items change with time.
    is_timeless = placement is None or placement.rules.strangers == POPULAR_FOR_STRANGERS
    # Changes of an experiment's bundle are not those of the served one.
    return body.bundle_id is None and not is_of_owner and not is_by_chance and is_timeless


@router.post(
    "/recommend/batch",
    operation_id="recommend_batch",
    summary="Recommend items for many histories",
    responses=problem_answers(400, 413, 422, 429, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": BATCH_EXAMPLES}}}},
)
async def recommend_batch(body: RecommendBatchBody, parts: ReadyParts, request: Request) -> RecommendBatchAnswer:
    """Run many POST /recommend requests in one call: one recommendation or problem per request, in order.

    A failing request gets its own problem and the others are answered. 429 if the service is too busy for all of them.
    """
    answered = await unless_disconnected(request, recommend_each(body.requests, parts))
    refused = [outcome for outcome in answered if isinstance(outcome, OverloadedError)]
    if len(refused) == len(answered):
        raise refused[0]
    return RecommendBatchAnswer(
        results=[
            BatchResult(problem=_problem_of(outcome, request, place))
            if isinstance(outcome, ClairoError)
            else BatchResult(recommendation=outcome)
            for place, outcome in enumerate(answered)
        ]
    )


async def recommend_each(requests: list[dict[str, Any]], parts: Parts) -> list[RecommendAnswer | ClairoError]:
    """Answer each request, or say why not, in order; a bounded number at once, so one call cannot fill the queue."""
    turnstile = asyncio.Semaphore(MAX_REQUESTS_AT_ONCE)

    async def answer_or_error(sent: dict[str, Any]) -> RecommendAnswer | ClairoError:
        try:
            body = RecommendBody.model_validate(sent)
        except ValidationError as error:
            return invalid_fields(readable_errors(error.errors(), sent))
        async with turnstile:
            try:
                return await recommend_one(body, parts)
            except ClairoError as error:
                if kind_of(error) is None:
                    raise
                return error

    async with asyncio.TaskGroup() as together:
        tasks = [together.create_task(answer_or_error(sent)) for sent in requests]
    return [task.result() for task in tasks]


async def recommend_one(body: RecommendBody, parts: Parts) -> RecommendAnswer:
    """Answer one body.

    Raises:
        InvalidBodyError: the placement is not saved, the cursor is of another request, or the bundle does not answer.
        ServiceError: the model is too busy, or the user's history cannot be read.
    """
    placement = named_placement(body, parts.placements)
    owner = await owner_of(body, parts)
    recommendations, arm = parts.served.recommendations, None
    # Another experiment may begin while this one answers.
    split = parts.split
    if body.bundle_id is not None:
        recommendations = recommendations_of(body.bundle_id, parts)
    elif split is not None:
        recommendations, arm = split.recommendations_for(None if owner is None else id_of_owner(owner))
    answer = await recommend_under(body, owner, placement, recommendations, parts)
    if split is not None and arm is not None:
        answer.recommendation_id = split.serve(answer.recommendation_id, arm)
    return answer


def recommendations_of(bundle_id: str, parts: Parts) -> Recommendations:
    """Recommendations of the served bundle, or of the experiment's.

    Raises:
        InvalidBodyError: neither has this id.
    """
    for served in parts.answering:
        if served.live.bundle_id == bundle_id:
            return served.recommendations
    known = " or ".join(served.live.bundle_id for served in parts.answering)
    message = f"got {bundle_id!r}, expected {known}; serve it, or compare it in an experiment"
    raise InvalidBodyError(f"body -> bundle_id: {message}", [{"loc": ["body", "bundle_id"], "msg": message}])


def named_placement(body: RecommendBody, placements: SavedPlacements) -> Placement | None:
    """The placement that a body names, or the default one; None if that is not saved.

    Raises:
        InvalidBodyError: the named one is not saved.
    """
    saved = placements.find(body.placement or DEFAULT_PLACEMENT)
    if saved is None and body.placement is not None:
        message = f"placement {body.placement} is not saved; PUT /placements/{body.placement} first"
        raise InvalidBodyError(f"body -> placement: {message}", [{"loc": ["body", "placement"], "msg": message}])
    return None if saved is None else Placement(saved.name, saved.rules)


async def owner_of(body: RecommendBody, parts: Parts) -> Owner | None:
    """The user or session whose feedback a body asks to follow.

    Raises:
        StoreError: the store cannot be read.
    """
    if body.user_id is None and body.session_id is not None:
        return await parts.feedback.owner_of_session(body.session_id)
    return body.user_id


async def recommend_under(
    body: RecommendBody,
    owner: Owner | None,
    placement: Placement | None,
    recommendations: Recommendations,
    parts: Parts,
    *,
    is_preview: bool = False,
) -> RecommendAnswer:
    """Answer one body under a placement. A preview has no further page, and no metric of answers counts it.

    Raises:
        InvalidBodyError: the cursor is of another request, or a filter cannot fit a declared type.
        ServiceError: the model is too busy, or the user's history cannot be read.
    """
    body.check_filters(parts.schema.declared)
    pages = earlier_pages(body)
    item_ids, exclude, disliked = body.history_item_ids(), body.exclude_item_ids, frozenset[str]()
    if item_ids is None and owner is not None:
        of_user = await items_of_user(owner, parts.served.live, parts.feedback)
        item_ids, disliked = of_user.history, of_user.disliked
        # The model reads the newest items only; what is left out follows the whole history.
        exclude = [*exclude, *(() if body.include_seen else of_user.older), *await tired_items(owner, parts)]
    rules = combined(body, placement)
    seed = body.seed
    if seed is None:
        seed = recommendations.default_seed() if pages is None else pages.seed
    wanted = Wanted(
        history=UserHistory(item_ids or ()),
        limit=rules.limit,
        include_seen=body.include_seen,
        exclude=tuple(exclude),
        disliked=tuple(disliked),
        item_filter=rules.item_filter,
        candidates=None if body.candidates is None else tuple(body.candidates),
        boosts=rules.boosts,
        group=rules.group,
        pins=rules.pins,
        given=() if pages is None else pages.item_ids,
        strangers=rules.strangers,
        diversity=body.diversity,
        explain=body.explain,
        seed=seed,
        quality=body.quality,
        placement=placement.name if placement is not None and not is_preview else None,
    )
    recommended = await recommendations.recommend(wanted, is_preview=is_preview)
    cursor = None if is_preview else next_cursor(body, wanted, recommended)
    return recommend_answer(recommended, rules.fields, cursor)


def next_cursor(body: RecommendBody, wanted: Wanted, recommended: Recommended) -> str | None:
    """The cursor after this answer; None if it holds the last item."""
    listed = (*wanted.given, *(item.item_id for item in recommended.answer.items))
    if body.candidates is None:
        is_short = len(recommended.answer.items) < wanted.limit
        # A group's limit holds on each page: what it left out comes on the next one.
        is_last = is_short and recommended.answer.fallback_reason != GROUP_EXHAUSTED
    else:
        is_last = set(body.candidates) <= {*listed, *recommended.unknown_item_ids}
    return None if is_last else page_cursor(body, EarlierPages(recommended.seed, listed))


async def tired_items(owner: Owner, parts: Parts) -> Collection[str]:
    """Items that the settings leave out, since the user or session was shown them often and did nothing with them.

    Raises:
        StoreError: the store cannot be read.
    """
    if not parts.tired_after_impressions:
        return ()
    since = time.time() - TIRED_SECONDS
    return await parts.feedback.tired_items(owner, parts.tired_after_impressions, since, parts.served.live.rules)


def _problem_of(error: ClairoError, request: Request, place: int) -> Problem:
    return Problem.model_validate(
        problem_document(error, f"{request.url.path}#/requests/{place}", request_id_of(request.scope))
    )
