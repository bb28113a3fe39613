"""The use case of POST /recommend: cache, then batcher, then the recommender that serves at that moment.

The model generates the requested list, or a longer one to choose from; an explanation runs the model again.
Independent of HTTP. Start at `Recommendations.recommend`.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from clairo_core.attributes import Single, singles_of
from clairo_core.catalogue import Catalogue
from clairo_core.recommendation import Recommendation, RecommendationList, RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.selection.item_filters import IsOneOf, Not
from clairo_core.serving_points import ServingPoint
from service.errors import DeadlineExceededError
from service.live_catalogue import LiveCatalogue
from service.recommend.batcher import Batcher
from service.recommend.cache import Cache, SingleFlight
from service.recommend.explanations import Explained, explain, requests_without_each
from service.recommend.item_table import CurrentItemTable, ItemTable, digest_of_rows
from service.recommend.recommended import Recommended
from service.recommend.reranking import GroupCap, pool_size, ranked
from service.recommend.rules import RulesOfMoment, StrangerWeights, is_for_strangers, rules_of_moment
from service.recommend.wanted import Group, Pin, Wanted
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import step

SEEDS = 2**31
"""A seed of our own is drawn below this."""
MAX_POOLS = 8
"""Further pools are ranked while a group's limit leaves a list short, each without the groups that are full."""


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
        stranger_weights: StrangerWeights | None = None,
    ) -> None:
        self.item_table = CurrentItemTable(live)
        """Read by filters and similarity."""
        self._live = live
        self._batcher = batcher
        self._cache = cache
        self._flights: SingleFlight[Recommended] = SingleFlight()
        self._may_explain = asyncio.Semaphore(batcher.full_batch)
        """One explanation is as many requests as its history has items: all of them together wait as one full batch."""
        self._deadline_seconds = deadline_seconds
        self._temperature = exploration_temperature
        self._metrics = metrics or Metrics()
        self._stranger_weights = stranger_weights

    @property
    def explores(self) -> bool:
        """Whether a request without a seed gets one by chance."""
        return self._temperature > 0

    def default_seed(self) -> int:
        """Seed of a request without one: 0, or drawn where the service explores."""
        return secrets.randbelow(SEEDS) if self.explores else 0

    async def recommend(self, wanted: Wanted, *, is_preview: bool = False) -> Recommended:
        """Recommend the best items for one history. A preview counts in no metric of answers.

        Raises:
            OverloadedError: too many requests wait for the model.
            StoreError: what strangers get cannot be read.
            DeadlineExceededError: the answer took longer than the operator allows.
        """
        started_at = time.perf_counter()
        weights = None
        if self._stranger_weights is not None and is_for_strangers(wanted, self._live.recommender.catalogue):
            weights = await self._stranger_weights.weights(wanted.strangers)
        table = await self.item_table.current()
        # Taken at one moment, before the next await: a swap of bundles never mixes two catalogues in one answer.
        recommender = self._live.recommender
        wanted, rules = rules_of_moment(wanted, table, recommender, weights)
        point = recommender.points[wanted.quality]
        grouped_as = "" if wanted.group is None else self._live.declared_types.get(wanted.group.attribute, "")
        version = (recommender.catalogue.version, *self._live.counts_version, grouped_as)
        key = cache_key(table.bundle_id, version, point, wanted, self._temperature, rules)
        recommended = await self._cache.get(key)
        if not is_preview:
            self._metrics.count_cache_request(recommended is not None)
        if recommended is None:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    recommended = await self._flights.run(
                        key, lambda: self._compute(key, wanted, recommender, table, rules)
                    )
            except TimeoutError as error:
                raise DeadlineExceededError(
                    f"no answer within {self._deadline_seconds:g} seconds; request less or try again later"
                ) from error
        answer = recommended.answer
        if not is_preview:
            num_new = self._live.num_new(item.item_id for item in answer.items)
            self._metrics.count_recommended([item.source for item in answer.items], num_new, answer.fallback_reason)
        if wanted.placement is not None:
            seconds = time.perf_counter() - started_at
            self._metrics.count_placement(wanted.placement, answer.fallback_reason, seconds)
        rows = [recommender.catalogue.row_of(item.item_id) for item in answer.items]
        return replace(
            recommended,
            warnings=rules.warnings,
            unknown_item_ids=rules.unknown_item_ids,
            served_items=tuple(table.items[row] for row in rows),
        )

    async def _compute(
        self, key: str, wanted: Wanted, recommender: Recommender, table: ItemTable, rules: RulesOfMoment
    ) -> Recommended:
        catalogue = recommender.catalogue

        def similarities(item_ids: Sequence[str]) -> Float64[np.ndarray, "item item"]:
            return table.similarities(catalogue, catalogue.known_rows(item_ids))

        pinned_ids = tuple(pin.item_id for pin in rules.pins)
        request = RecommendationRequest(
            history=wanted.history,
            limit=pool_size(wanted, self._temperature),
            include_seen=wanted.include_seen or wanted.candidates is not None,
            exclude=(*wanted.exclude, *wanted.given, *pinned_ids),
            disliked=wanted.disliked,
            is_allowed=rules.is_allowed,
            candidates=wanted.candidates and tuple(name for name in wanted.candidates if name not in pinned_ids),
            lifts=rules.lifts,
            stranger_weights=rules.stranger_weights,
            seed=wanted.seed,
            quality=wanted.quality,
        )
        with step("clairo.generate"):
            pinned, pool = await self._pinned_and_pool(recommender, request, wanted.group, rules.pins, table)
        cap = GroupCap(wanted.group, groups_in(table, catalogue, wanted.group))
        answer = ranked(pool, pinned, wanted, self._temperature, similarities, cap)
        answer = named_by_rules(answer, catalogue, wanted, rules)
        explanations: list[Explained] = []
        if wanted.explain:
            without_each = requests_without_each(
                recommender, wanted.history, answer.items, wanted.seed, wanted.quality, wanted.disliked
            )
            answers = await self._all_of(
                [ModelRequest(recommender, request) for request in without_each], self._may_explain
            )
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

    async def _pinned_and_pool(
        self,
        recommender: Recommender,
        request: RecommendationRequest,
        group: Group | None,
        pins: Sequence[Pin],
        table: ItemTable,
    ) -> tuple[list[tuple[Pin, Recommendation]], RecommendationList]:
        """Rank the pins' items, and a pool of others that fills the list whatever the group leaves out."""
        requests = [ModelRequest(recommender, request)]
        if pins:
            item_ids = tuple(pin.item_id for pin in pins)
            of_pins = replace(request, candidates=item_ids, limit=len(pins), include_seen=True)
            requests.append(ModelRequest(recommender, of_pins))
        pool, *others = await self._all_of(requests)
        by_id = {item.item_id: item for item in others[0].items} if others else {}
        pinned = [(pin, by_id[pin.item_id]) for pin in pins]
        if group is None:
            return pinned, pool
        items, found = list(pool.items), pool
        for _ in range(MAX_POOLS - 1):
            cap = GroupCap(group, groups_in(table, recommender.catalogue, group))
            cap.count(by_id)
            if len(found.items) < request.limit or len(cap.kept(items)) >= request.limit // 2:
                break
            # The table may have grown since the request's own mask was made.
            is_open = table.allowed_rows(Not(IsOneOf(group.attribute, cap.full)))[: len(recommender.catalogue)]
            request = replace(
                request,
                exclude=(*request.exclude, *(item.item_id for item in found.items)),
                is_allowed=is_open if request.is_allowed is None else request.is_allowed & is_open,
            )
            found = (await self._all_of([ModelRequest(recommender, request)]))[0]
            items += found.items
        return pinned, RecommendationList(tuple(items), found.fallback_reason)

    async def _all_of(
        self, requests: Sequence[ModelRequest], turnstile: AbstractAsyncContextManager[object] | None = None
    ) -> list[RecommendationList]:
        """Answer all requests, in order; the first failure takes the others out of the queue.

        `turnstile` bounds how many of them wait for the model at once.
        """

        async def answered(request: ModelRequest) -> RecommendationList:
            async with turnstile or nullcontext():
                return await self._batcher.submit(request)

        submitted = [asyncio.create_task(answered(request)) for request in requests]
        try:
            return await asyncio.gather(*submitted)
        finally:
            for task in submitted:
                task.cancel()
            await asyncio.gather(*submitted, return_exceptions=True)


def groups_in(table: ItemTable, catalogue: Catalogue, group: Group | None) -> Callable[[str], tuple[Single, ...]]:
    """Which groups an item is in: one for each value of the attribute."""

    def groups_of(item_id: str) -> tuple[Single, ...]:
        attributes = table.items[catalogue.row_of(item_id)].item.attributes
        return () if group is None or group.attribute not in attributes else singles_of(attributes[group.attribute])

    return groups_of


def named_by_rules(
    answer: RecommendationList, catalogue: Catalogue, wanted: Wanted, rules: RulesOfMoment
) -> RecommendationList:
    """Name the boosts that moved each item before group and pins, and the source of items for strangers."""
    return replace(
        answer,
        items=tuple(
            replace(
                item,
                source=wanted.strangers if item.item_id in rules.weighed_item_ids else item.source,
                rules=(*rules.boosts_of(catalogue.row_of(item.item_id)), *item.rules),
            )
            for item in answer.items
        ),
    )


def cache_key(
    bundle_id: str,
    version: tuple[int | str, ...],
    point: ServingPoint,
    wanted: Wanted,
    temperature: float,
    rules: RulesOfMoment,
) -> str:
    """Digest of everything that an answer depends on; qualities with the same search share answers.

    The version is the catalogue's, that of the counts, and the declared type of the group's attribute.
    """
    weights = rules.stranger_weights
    parts = [
        bundle_id,
        version,
        [point.num_views, point.num_beams],
        wanted.history.item_ids,
        wanted.limit,
        wanted.include_seen,
        sorted(set(wanted.exclude)),
        sorted(set(wanted.disliked)),
        None if rules.is_allowed is None else digest_of_rows(rules.is_allowed),
        wanted.candidates,
        [[boost.name, boost.log_factor, digest_of_rows(passes)] for boost, passes in rules.boosted],
        None if wanted.group is None else [wanted.group.name, wanted.group.attribute, wanted.group.limit],
        [[pin.name, pin.item_id, pin.rank] for pin in rules.pins],
        wanted.given,
        None if weights is None else [wanted.strangers, hashlib.sha256(weights.tobytes()).hexdigest()],
        wanted.diversity,
        temperature,
        wanted.seed,
        wanted.explain,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
