"""The use case of POST /recommend: cache, then batcher, then the recommender that serves at that moment.

The model generates the requested list, or a longer one to choose from; an explanation runs the model again.
Independent of HTTP. Start at `Recommendations.recommend`.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.recommendation import RecommendationList, RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.serving_points import ServingPoint
from service.errors import DeadlineExceededError
from service.live_catalogue import LiveCatalogue
from service.recommend.batcher import Batcher
from service.recommend.cache import Cache, SingleFlight
from service.recommend.explanations import Explained, explain, requests_without_each
from service.recommend.item_table import CurrentItemTable, ItemTable, digest_of_rows
from service.recommend.recommended import Recommended
from service.recommend.reranking import pool_size, ranked
from service.recommend.wanted import Wanted
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import step

SEEDS = 2**31
"""A seed of our own is drawn below this."""


class ModelRequest(NamedTuple):
    """A request with its recommender, since one batch may span a swap of bundles."""

    recommender: Recommender
    request: RecommendationRequest


ModelBatcher = Batcher[ModelRequest, RecommendationList]


def run_model_batch(requests: Sequence[ModelRequest]) -> list[RecommendationList]:
    """Answer a batch in order; requests to one recommender are generated together."""
    answers: dict[int, RecommendationList] = {}
    for recommender in {id(request.recommender): request.recommender for request in requests}.values():
        places = [place for place, request in enumerate(requests) if request.recommender is recommender]
        batch = recommender.recommend_batch([requests[place].request for place in places])
        answers.update(zip(places, batch, strict=True))
    return [answers[place] for place in range(len(requests))]


def history_length(request: ModelRequest) -> int:
    """Number of encoded items: requests of similar length need little padding."""
    return min(len(request.request.history.item_ids), request.recommender.max_history_items)


class Recommendations:
    """Answers requests from the cache or by the model, each within the deadline."""

    def __init__(
        self,
        live: LiveCatalogue,
        batcher: ModelBatcher,
        cache: Cache[Recommended],
        *,
        deadline_seconds: float,
        exploration_temperature: float = 0.0,
        metrics: Metrics | None = None,
    ) -> None:
        self.item_table = CurrentItemTable(live)
        """Read by filters and similarity."""
        self._live = live
        self._batcher = batcher
        self._cache = cache
        self._flights: SingleFlight[Recommended] = SingleFlight()
        self._deadline_seconds = deadline_seconds
        self._temperature = exploration_temperature
        self._metrics = metrics or Metrics()

    def default_seed(self) -> int:
        """Seed of a request without one: 0, or drawn where the service explores."""
        return secrets.randbelow(SEEDS) if self._temperature > 0 else 0

    async def recommend(self, wanted: Wanted) -> Recommended:
        """Recommend the best items for one history.

        Raises:
            OverloadedError: too many requests wait for the model.
            DeadlineExceededError: the answer took longer than the operator allows.
        """
        table = await self.item_table.current()
        # Taken at one moment, before the next await: a swap of bundles never mixes two catalogues in one answer.
        recommender, counted_up_to = self._live.recommender, self._live.counted_up_to
        is_allowed = None if wanted.item_filter is None else table.allowed_rows(wanted.item_filter)
        warnings = () if wanted.item_filter is None else table.warnings_of(wanted.item_filter)
        point = recommender.points[wanted.quality]
        version = (recommender.catalogue.version, counted_up_to)
        key = cache_key(table.bundle_id, version, point, wanted, self._temperature, is_allowed)
        recommended = await self._cache.get(key)
        self._metrics.count_cache_request(recommended is not None)
        if recommended is None:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    recommended = await self._flights.run(
                        key, lambda: self._compute(key, wanted, recommender, table, is_allowed)
                    )
            except TimeoutError as error:
                raise DeadlineExceededError(
                    f"no answer within {self._deadline_seconds:g} seconds; request less or try again later"
                ) from error
        answer = recommended.answer
        self._metrics.count_recommended([item.source for item in answer.items], answer.fallback_reason)
        return replace(recommended, warnings=warnings)

    async def _compute(
        self,
        key: str,
        wanted: Wanted,
        recommender: Recommender,
        table: ItemTable,
        is_allowed: Bool[np.ndarray, "item"] | None,
    ) -> Recommended:
        catalogue = recommender.catalogue

        def similarities(item_ids: Sequence[str]) -> Float64[np.ndarray, "item item"]:
            return table.similarities(catalogue, np.array([catalogue.row_of(item_id) for item_id in item_ids]))

        request = RecommendationRequest(
            history=wanted.history,
            limit=pool_size(wanted, self._temperature),
            include_seen=wanted.include_seen,
            exclude=wanted.exclude,
            disliked=wanted.disliked,
            is_allowed=is_allowed,
            seed=wanted.seed,
            quality=wanted.quality,
        )
        with step("clairo.generate"):
            pool = await self._batcher.submit(ModelRequest(recommender, request))
        answer = ranked(pool, wanted, self._temperature, similarities)
        explanations: list[Explained] = []
        if wanted.explain:
            without_each = requests_without_each(
                recommender, wanted.history, answer.items, wanted.seed, wanted.quality, wanted.disliked
            )
            answers = await self._all_of([ModelRequest(recommender, request) for request in without_each])
            explanations = explain(table, recommender, wanted.history, answer, answers)
        distinct = dict.fromkeys(wanted.history.item_ids)
        recommended = Recommended(
            bundle_id=table.bundle_id,
            catalogue_version=catalogue.version,
            seed=wanted.seed,
            ignored_item_ids=tuple(item_id for item_id in distinct if catalogue.find_row(item_id) is None),
            answer=answer,
            explanations=tuple(explanations),
        )
        await self._cache.put(key, recommended)
        return recommended

    async def _all_of(self, requests: Sequence[ModelRequest]) -> list[RecommendationList]:
        """Answer all requests, in order; the first failure takes the others out of the queue."""
        submitted = [asyncio.create_task(self._batcher.submit(request)) for request in requests]
        try:
            return await asyncio.gather(*submitted)
        finally:
            for task in submitted:
                task.cancel()
            await asyncio.gather(*submitted, return_exceptions=True)


def cache_key(
    bundle_id: str,
    version: tuple[int, int],
    point: ServingPoint,
    wanted: Wanted,
    temperature: float,
    is_allowed: Bool[np.ndarray, "item"] | None,
) -> str:
    """Digest of everything that an answer depends on; qualities with the same search share answers.

    The version is the catalogue's, and that of the counts.
    """
    parts = [
        bundle_id,
        version,
        [point.num_views, point.num_beams],
        wanted.history.item_ids,
        wanted.limit,
        wanted.include_seen,
        sorted(set(wanted.exclude)),
        sorted(set(wanted.disliked)),
        None if is_allowed is None else digest_of_rows(is_allowed),
        wanted.diversity,
        temperature,
        wanted.seed,
        wanted.explain,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
