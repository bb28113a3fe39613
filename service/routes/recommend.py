"""POST /recommend and /recommend/batch: histories in, ranked items out."""

import asyncio
import uuid
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError

from clairo_core.errors import ClairoError, ItemFilterError
from clairo_core.items import UserHistory
from service.errors import InvalidBodyError, OverloadedError
from service.http.disconnect import unless_disconnected
from service.http.openapi import problem_answers
from service.http.problems import kind_of, problem_document, readable_errors
from service.http.request_context import request_id_of
from service.recommend.explanations import Explained
from service.recommend.recommendations import Recommended, Wanted
from service.routes.parts import Parts, ReadyParts
from service.schemas.items import Feature
from service.schemas.problems import Problem
from service.schemas.recommend import (
    MAX_HISTORY_ITEMS,
    BatchResult,
    ExplainedBy,
    Explanation,
    RecommendAnswer,
    RecommendBatchAnswer,
    RecommendBatchBody,
    RecommendBody,
    RecommendedItem,
)

router = APIRouter(tags=["recommendations"])

MAX_REQUESTS_AT_ONCE = 32
"""Of one batch: the others' requests are not kept waiting behind all of it."""

# Ids that no catalogue needs to know: unknown items are left out and the popular ones come back.
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
    "for somebody new": {"value": {"history": []}},
    "for a user whose feedback is known": {"value": {"user_id": "u-1", "limit": 5}},
    "unlike each other, and why": {
        "value": {"history": ["mug-12", "mug-7"], "limit": 5, "diversity": 0.3, "explain": True}
    },
    "nothing that was posted since training": {"value": {"history": ["mug-12"], "filter": {"only_new": False}}},
}
BATCH_EXAMPLES = {
    "two users": {"value": {"requests": [{"history": ["mug-12"], "limit": 5}, {"user_id": "u-1", "limit": 3}]}}
}


@router.post(
    "/recommend",
    operation_id="recommend",
    summary="Recommend items for a history",
    responses=problem_answers(400, 413, 422, 429, 503, 504),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": EXAMPLES}}}},
)
async def recommend(body: RecommendBody, parts: ReadyParts, request: Request) -> RecommendAnswer:
    """`limit` distinct items, best first, none of them in the history unless `include_seen`.

    Items of the history that the catalogue does not know are left out and listed in `ignored_item_ids`. An empty
    history, or one of unknown items alone, gets the most popular items and a `fallback_reason`; so does a user of
    whom no feedback is known. Where fewer than `limit` items pass the filter, `fallback_reason` says so. The same
    request with the same `seed` to the same catalogue version has the same answer, whatever else is asked.
    """
    return await unless_disconnected(request, answer_to(body, parts))


@router.post(
    "/recommend/batch",
    operation_id="recommend_batch",
    summary="Recommend items for many histories",
    responses=problem_answers(400, 413, 422, 429, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"examples": BATCH_EXAMPLES}}}},
)
async def recommend_batch(body: RecommendBatchBody, parts: ReadyParts, request: Request) -> RecommendBatchAnswer:
    """As many calls of POST /recommend in one: a recommendation or a problem each, in the order of the requests.

    What is wrong with one request is said in its place, and the others are answered. 429 where the service is too
    busy for any of them.
    """
    answered = await unless_disconnected(request, answers_to_all(body.requests, parts))
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


async def answers_to_all(requests: list[dict[str, Any]], parts: Parts) -> list[RecommendAnswer | ClairoError]:
    """An answer each, or what was wrong, in order; some at once, so that one call does not fill the queue."""
    turnstile = asyncio.Semaphore(MAX_REQUESTS_AT_ONCE)

    async def answer_or_error(sent: dict[str, Any]) -> RecommendAnswer | ClairoError:
        try:
            body = RecommendBody.model_validate(sent)
        except ValidationError as error:
            errors = readable_errors(error.errors())
            return InvalidBodyError(str(errors[0]["msg"]), errors)
        async with turnstile:
            try:
                return await answer_to(body, parts, where=("filter",))
            except ClairoError as error:
                if kind_of(error) is None:
                    raise
                return error

    async with asyncio.TaskGroup() as together:
        tasks = [together.create_task(answer_or_error(sent)) for sent in requests]
    return [task.result() for task in tasks]


async def answer_to(body: RecommendBody, parts: Parts, where: tuple[str, ...] = ("body", "filter")) -> RecommendAnswer:
    """The recommendations that a body asks for; `where` its filter stands, for errors.

    Raises:
        InvalidBodyError: its filter asks for what the catalogue's items do not have.
        ServiceError: the model is too busy, or users' histories cannot be read.
    """
    item_ids = body.history_item_ids()
    if item_ids is None and body.user_id is not None:
        item_ids = (await parts.user_histories.user_history(body.user_id))[-MAX_HISTORY_ITEMS:]
    wanted = Wanted(
        history=UserHistory(item_ids or ()),
        limit=body.limit,
        include_seen=body.include_seen,
        exclude=tuple(body.exclude_item_ids),
        item_filter=None if body.filter is None else body.filter.item_filter(),
        diversity=body.diversity,
        explain=body.explain,
        seed=body.seed,
    )
    recommendations, arm = parts.recommendations, None
    if parts.split is not None:
        recommendations, arm = parts.split.recommendations_for(body.user_id, recommendations)
    try:
        recommended = await recommendations.recommend(wanted)
    except ItemFilterError as error:
        raise invalid_filter(error, where) from error
    recommendation_id = uuid.uuid4().hex
    if parts.split is not None and arm is not None:
        recommendation_id = parts.split.serve(recommendation_id, arm)
    return recommend_answer(recommended, recommendation_id)


def invalid_filter(error: ItemFilterError, where: tuple[str, ...]) -> InvalidBodyError:
    """What is wrong with a filter, as the field that it is in."""
    return InvalidBodyError(str(error), [{"loc": [*where, *error.path], "msg": str(error)}])


def recommend_answer(recommended: Recommended, recommendation_id: str) -> RecommendAnswer:
    """An answer as clients get it."""
    items = recommended.answer.items
    explanations = recommended.explanations or [None] * len(items)
    return RecommendAnswer(
        recommendation_id=recommendation_id,
        bundle_id=recommended.bundle_id,
        catalogue_version=recommended.catalogue_version,
        seed=recommended.seed,
        fallback_reason=recommended.answer.fallback_reason,
        ignored_item_ids=list(recommended.ignored_item_ids),
        items=[
            RecommendedItem(
                item_id=item.item_id,
                rank=item.rank,
                score=item.score,
                source=item.source,
                explanation=None if explained is None else _explanation(explained),
            )
            for item, explained in zip(items, explanations, strict=True)
        ],
    )


def _explanation(explained: Explained) -> Explanation:
    return Explanation(
        text=explained.text,
        because_of=[
            ExplainedBy(
                item_id=reason.item_id,
                title=reason.title,
                effect=reason.effect,
                shared_attributes=dict(reason.shared_attributes),
                shared_features=[Feature(category=name, value=value) for name, value in reason.shared_features],
                modality_similarity=dict(reason.modality_similarity),
            )
            for reason in explained.because_of
        ],
    )


def _problem_of(error: ClairoError, request: Request, place: int) -> Problem:
    return Problem.model_validate(
        problem_document(error, f"{request.url.path}#/requests/{place}", request_id_of(request.scope))
    )
