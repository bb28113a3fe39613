"""The use case of POST /recommend: cache, then batcher, then the recommender that is served at that moment.

What is wanted becomes a request for the model, perhaps for a longer list than was asked for; chance and diversity
choose among what comes back, and an explanation asks the model again. Knows requests, keys and deadlines; knows
nothing of HTTP or of how items are generated. Start at `Recommendations.recommend`.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.items import UserHistory
from clairo_core.recommendation import Recommendation, RecommendationList, RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.selection.item_filters import ItemFilter
from service.errors import DeadlineExceededError
from service.recommend.batcher import Batcher
from service.recommend.cache import Cache, SingleFlight
from service.recommend.explanations import Explained, Reason, explain, requests_without_each
from service.recommend.item_table import ItemTable, ItemTables, digest_of_rows
from service.recommend.reranking import Reranking, reranked, with_reason_for_filter
from service.serving import Serving
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import step

SEEDS = 2**31
"""One is drawn from so many where chance has a say and the client leaves it to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a client asks for."""

    history: UserHistory
    limit: int
    include_seen: bool = False
    exclude: tuple[str, ...] = ()
    item_filter: ItemFilter | None = None
    diversity: float = 0.0
    explain: bool = False
    seed: int | None = None
    """None leaves it to the service: 0, or a new one each time where it explores."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request, and the recommender to ask: a swap meanwhile does not mix two catalogues in one answer."""

    recommender: Recommender
    request: RecommendationRequest


@dataclass(frozen=True, slots=True)
class Recommended:
    """An answer, and the catalogue that it is from."""

    bundle_id: str
    catalogue_version: int
    seed: int
    ignored_item_ids: tuple[str, ...]
    """Items of the history that the catalogue does not know, each once."""
    answer: RecommendationList
    explanations: tuple[Explained, ...]
    """One for each item, or none if none was wanted."""


ModelBatcher = Batcher[ModelRequest, RecommendationList]


def run_model_batch(requests: Sequence[ModelRequest]) -> list[RecommendationList]:
    """Answer a batch in order; requests to one recommender are generated for together."""
    answers: dict[int, RecommendationList] = {}
    for recommender in {id(request.recommender): request.recommender for request in requests}.values():
        places = [place for place, request in enumerate(requests) if request.recommender is recommender]
        batch = recommender.recommend_batch([requests[place].request for place in places])
        answers.update(zip(places, batch, strict=True))
    return [answers[place] for place in range(len(requests))]


def history_length(request: ModelRequest) -> int:
    """How many items are encoded: requests of like length fill up little of each other's batch."""
    return min(len(request.request.history.item_ids), request.recommender.max_history_items)


class Recommendations:
    """Answers requests from the cache or by the model, each within the deadline."""

    def __init__(
        self,
        serving: Serving,
        batcher: ModelBatcher,
        cache: Cache,
        *,
        deadline_seconds: float,
        exploration_temperature: float = 0.0,
        metrics: Metrics | None = None,
    ) -> None:
        self.tables = ItemTables(serving)
        """What filters and similarity read."""
        self._serving = serving
        self._batcher = batcher
        self._cache = cache
        self._flights = SingleFlight()
        self._deadline_seconds = deadline_seconds
        self._temperature = exploration_temperature
        self._metrics = metrics or Metrics()

    async def recommend(self, wanted: Wanted) -> Recommended:
        """The best items for one history.

        Raises:
            ItemFilterError: the filter asks for what the catalogue's items do not have.
            OverloadedError: too many requests wait for the model.
            DeadlineExceededError: the answer took longer than the operator allows.
        """
        table = await self.tables.current()
        bundle_id, recommender = self._serving.bundle_id, self._serving.recommender
        catalogue = recommender.catalogue
        is_allowed = None if wanted.item_filter is None else table.allowed_rows(wanted.item_filter)
        seed = wanted.seed
        if seed is None:
            seed = secrets.randbelow(SEEDS) if self._temperature > 0 else 0
        reranking = Reranking(wanted.diversity, self._temperature, seed)
        key = cache_key(bundle_id, catalogue.version, wanted, reranking, is_allowed)
        encoded = await self._cache.get(key)
        if encoded is None:
            computation = _Computation(recommender, table, wanted, reranking, is_allowed)
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    encoded = await self._flights.run(key, lambda: self._compute(key, computation))
            except TimeoutError as error:
                raise DeadlineExceededError(
                    f"no answer within {self._deadline_seconds:g} seconds; ask for less or try again later"
                ) from error
        item_ids = dict.fromkeys(wanted.history.item_ids)
        ignored = tuple(item_id for item_id in item_ids if catalogue.find_row(item_id) is None)
        answer, explanations = decoded_answer(encoded)
        self._metrics.count_recommended([item.source for item in answer.items], answer.fallback_reason)
        return Recommended(bundle_id, catalogue.version, seed, ignored, answer, explanations)

    async def _compute(self, key: str, computation: "_Computation") -> bytes:
        recommender, wanted, reranking = computation.recommender, computation.wanted, computation.reranking
        request = RecommendationRequest(
            history=wanted.history,
            limit=reranking.pool_size(wanted.limit),
            include_seen=wanted.include_seen,
            exclude=wanted.exclude,
            is_allowed=computation.is_allowed,
            seed=reranking.seed,
        )
        with step("clairo.generate"):
            pool = await self._batcher.submit(ModelRequest(recommender, request))
        answer = reranked(pool, wanted.limit, reranking, computation.similarities)
        if wanted.item_filter is not None:
            answer = with_reason_for_filter(answer, wanted.limit)
        explanations: list[Explained] = []
        if wanted.explain:
            without_each = requests_without_each(recommender, wanted.history, answer.items, reranking.seed)
            answers = await self._all_of([ModelRequest(recommender, request) for request in without_each])
            explanations = explain(computation.table, recommender, wanted.history, answer, answers)
        encoded = encoded_answer(answer, explanations)
        await self._cache.put(key, encoded)
        return encoded

    async def _all_of(self, requests: Sequence[ModelRequest]) -> list[RecommendationList]:
        """The answers to all requests, in order; the first that fails takes the others out of the queue."""
        submitted = [asyncio.create_task(self._batcher.submit(request)) for request in requests]
        try:
            return await asyncio.gather(*submitted)
        finally:
            for task in submitted:
                task.cancel()
            await asyncio.gather(*submitted, return_exceptions=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Computation:
    """All that one answer is computed from, taken at one moment: a swap of the bundle meanwhile changes none of it."""

    recommender: Recommender
    table: ItemTable
    wanted: Wanted
    reranking: Reranking
    is_allowed: Bool[np.ndarray, "item"] | None

    def similarities(self, item_ids: Sequence[str]) -> Float64[np.ndarray, "item item"]:
        """How alike recommended items are."""
        catalogue = self.recommender.catalogue
        return self.table.similarities(catalogue, np.array([catalogue.row_of(item_id) for item_id in item_ids]))


def cache_key(
    bundle_id: str,
    catalogue_version: int,
    wanted: Wanted,
    reranking: Reranking,
    is_allowed: Bool[np.ndarray, "item"] | None,
) -> str:
    """Everything that an answer depends on, as a digest of fixed length."""
    parts = [
        bundle_id,
        catalogue_version,
        wanted.history.item_ids,
        wanted.limit,
        wanted.include_seen,
        sorted(set(wanted.exclude)),
        None if is_allowed is None else digest_of_rows(is_allowed),
        asdict(reranking),
        wanted.explain,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def encoded_answer(answer: RecommendationList, explanations: Sequence[Explained] = ()) -> bytes:
    """An answer as JSON, for the cache."""
    return json.dumps(asdict(answer) | {"explanations": [asdict(explained) for explained in explanations]}).encode()


def decoded_answer(encoded: bytes) -> tuple[RecommendationList, tuple[Explained, ...]]:
    """The inverse of `encoded_answer`."""
    answer = json.loads(encoded)
    items = tuple(Recommendation(**item) for item in answer["items"])
    explanations = tuple(
        Explained(explained["text"], tuple(_decoded_reason(reason) for reason in explained["because_of"]))
        for explained in answer["explanations"]
    )
    return RecommendationList(items, answer["fallback_reason"]), explanations


def _decoded_reason(reason: dict[str, object]) -> Reason:
    features = reason.pop("shared_features")
    pairs = features if isinstance(features, list) else []
    return Reason(**reason, shared_features=tuple((str(name), int(value)) for name, value in pairs))  # type: ignore[arg-type]
