"""The use case of POST /recommend: cache, then batcher, then the recommender that is served at that moment.

Knows requests, keys and deadlines; knows nothing of HTTP or of how items are generated. Start at
`Recommendations.recommend`.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from clairo_core.recommender import Recommendation, RecommendationList, RecommendationRequest, Recommender
from service.batcher import Batcher
from service.cache import Cache, SingleFlight
from service.errors import DeadlineExceededError
from service.metrics import Metrics
from service.serving import Serving
from service.tracing import step


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
    ignored_item_ids: tuple[str, ...]
    """Items of the history that the catalogue does not know, each once."""
    answer: RecommendationList


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
        metrics: Metrics | None = None,
    ) -> None:
        self._serving = serving
        self._batcher = batcher
        self._cache = cache
        self._flights = SingleFlight()
        self._deadline_seconds = deadline_seconds
        self._metrics = metrics or Metrics()

    async def recommend(self, request: RecommendationRequest) -> Recommended:
        """The best items for one history; `request.is_allowed` is not part of the cache's key and must be None.

        Raises:
            OverloadedError: too many requests wait for the model.
            DeadlineExceededError: the answer took longer than the operator allows.
        """
        bundle_id, recommender = self._serving.bundle_id, self._serving.recommender
        catalogue = recommender.catalogue
        key = cache_key(bundle_id, catalogue.version, request)
        answer = await self._cache.get(key)
        if answer is None:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    answer = await self._flights.run(
                        key, lambda: self._compute(key, ModelRequest(recommender, request))
                    )
            except TimeoutError as error:
                raise DeadlineExceededError(
                    f"no answer within {self._deadline_seconds:g} seconds; ask for less or try again later"
                ) from error
        item_ids = dict.fromkeys(request.history.item_ids)
        ignored = tuple(item_id for item_id in item_ids if catalogue.find_row(item_id) is None)
        recommended = decoded_answer(answer)
        self._metrics.count_recommended([item.source for item in recommended.items], recommended.fallback_reason)
        return Recommended(bundle_id, catalogue.version, ignored, recommended)

    async def _compute(self, key: str, request: ModelRequest) -> bytes:
        with step("clairo.generate"):
            answer = encoded_answer(await self._batcher.submit(request))
        await self._cache.put(key, answer)
        return answer


def cache_key(bundle_id: str, catalogue_version: int, request: RecommendationRequest) -> str:
    """Everything that an answer depends on, as a digest of fixed length."""
    parts = [
        bundle_id,
        catalogue_version,
        request.history.item_ids,
        request.limit,
        request.include_seen,
        sorted(set(request.exclude)),
        request.seed,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def encoded_answer(answer: RecommendationList) -> bytes:
    """An answer as JSON, for the cache."""
    return json.dumps(asdict(answer)).encode()


def decoded_answer(encoded: bytes) -> RecommendationList:
    """The inverse of `encoded_answer`."""
    answer = json.loads(encoded)
    items = tuple(Recommendation(**item) for item in answer["items"])
    return RecommendationList(items, answer["fallback_reason"])
