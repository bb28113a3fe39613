"""Recommend: a user's history in, ranked items out. The main path; start reading at `Recommender.recommend_batch`.

Independent of HTTP, files and training.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float64, Int64, Real

from clairo_core.catalogue import Catalogue
from clairo_core.errors import RankingError
from clairo_core.generation.item_generator import ItemGenerator
from clairo_core.items import UserHistory
from clairo_core.ranking import (
    NOTHING_SINKS,
    CountIncrements,
    DislikedNeighbours,
    Generated,
    JointRanking,
    Penalty,
    RankedItems,
    RepeatLifts,
    lowered,
    placed_with_repeats,
)
from clairo_core.ranking.allowed_items import AllowedItems, all_but
from clairo_core.recommendation import (
    CATALOGUE_EXHAUSTED,
    DENSE,
    EMPTY_HISTORY,
    GENERATIVE,
    POPULAR,
    UNKNOWN_HISTORY,
    Recommendation,
    RecommendationList,
    RecommendationRequest,
)
from clairo_core.request_chunks import answers_by_chunk
from clairo_core.selection.allowed_by_requests import allowed_items, allowed_items_of
from clairo_core.selection.popular_items import PopularItems, popular_items
from clairo_core.serving_points import BALANCED, Points, ServingPoint
from clairo_core.tokens.tokenizer import Tokenizer

MAX_BEAMS = 1000
"""A longer list of the generator alone is filled up with popular items."""
_NOTHING_RANKED = RankedItems(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.bool_))


@dataclass(frozen=True, kw_only=True, eq=False)
class Recommender:
    """A catalogue, the generator of its items, and what ranks beside it. Immutable.

    `build_recommender` makes the first. The `with_*` methods and `ranked_by` return further ones that share
    everything unchanged; the original keeps serving its own catalogue.
    """

    catalogue: Catalogue
    tokenizer: Tokenizer
    """Of the vocabulary that the catalogue's tokens come from."""
    generator: ItemGenerator
    popular: PopularItems
    points: Points
    """The search for each quality; see `point_of`."""
    joint_ranking: JointRanking | None
    """Ranks generated items together with the dense head's; without one the generator's order stands."""
    repeat_lifts: RepeatLifts
    """For items of the history, where they may be recommended."""
    disliked_neighbours: DislikedNeighbours = NOTHING_SINKS
    """Lowers items like those that a user dislikes."""

    @property
    def max_history_items(self) -> int:
        """The generator reads this many of a history's newest items."""
        return self.generator.max_history_items

    def with_catalogue(
        self,
        catalogue: Catalogue,
        item_embeddings: Float[np.ndarray, "new dim"] | None = None,
        changed_vectors: Mapping[int, Float[np.ndarray, "head dense"]] | None = None,
        changed_embeddings: Mapping[int, Float[np.ndarray, "dim"]] | None = None,
    ) -> "Recommender":
        """Return a recommender for a later version of the same catalogue.

        Args:
            catalogue: the later version.
            item_embeddings: of its new items, in their order; a joint ranking needs them, and a generator that reads
                content.
            changed_vectors: by row, dense vectors of items with other content; see `Bundle.dense_vectors`.
            changed_embeddings: by row, embeddings of items with other content; see `Bundle.moved_embedding`.

        Raises:
            RankingError: embeddings of another length, or for another number of items.
            GeneratorError: the same, for a generator that reads content.
        """
        joint_ranking, num_new = self.joint_ranking, len(catalogue) - len(self.catalogue)
        if joint_ranking is not None and changed_vectors:
            rows = np.array(list(changed_vectors), dtype=np.int64)
            joint_ranking = joint_ranking.with_vectors(rows, np.stack(list(changed_vectors.values())))
        if joint_ranking is not None and num_new:
            num_embeddings = 0 if item_embeddings is None else len(item_embeddings)
            if item_embeddings is None or num_embeddings != num_new:
                raise RankingError(
                    f"got {num_embeddings} item embeddings for {num_new} new items, expected one per item; "
                    "pass those that `Bundle.describe_items` returns"
                )
            joint_ranking = joint_ranking.with_items(item_embeddings)
        neighbours = self.disliked_neighbours.with_embeddings(changed_embeddings or {})
        return replace(
            self,
            catalogue=catalogue,
            generator=self.generator.with_catalogue(catalogue, item_embeddings, changed_embeddings),
            popular=self.popular.extended(len(catalogue)),
            joint_ranking=joint_ranking,
            disliked_neighbours=neighbours.with_items(item_embeddings, num_new),
        )

    def ranked_by(self, joint_ranking: JointRanking | None) -> "Recommender":
        """Return this recommender with another joint ranking; None leaves the generator alone."""
        return replace(self, joint_ranking=joint_ranking and joint_ranking.on(self.generator.device))

    def with_repeat_lifts(self, repeat_lifts: RepeatLifts) -> "Recommender":
        """Return this recommender with other lifts for items of the history."""
        return replace(self, repeat_lifts=repeat_lifts)

    def with_disliked_neighbours(self, neighbours: DislikedNeighbours) -> "Recommender":
        """Return this recommender with another rule for items like disliked ones."""
        return replace(self, disliked_neighbours=neighbours)

    def with_points(self, points: Points) -> "Recommender":
        """Return this recommender with other searches."""
        return replace(self, points=points)

    def with_counts(self, increments: CountIncrements) -> "Recommender":
        """Return a recommender that also knows these interactions; see `JointRanking.with_counts`.

        The catalogue may have grown since they were counted.
        """
        return replace(
            self,
            popular=self.popular.with_users(increments.users),
            joint_ranking=self.joint_ranking and self.joint_ranking.with_counts(increments),
        )

    def with_popularity(self, popularity: Real[np.ndarray, "item"]) -> "Recommender":
        """Return this recommender with another popular list; see `build_recommender`."""
        return replace(self, popular=popular_items(popularity, len(self.catalogue)))

    def recommend(
        self,
        history: UserHistory,
        limit: int,
        *,
        include_seen: bool = False,
        exclude: Collection[str] = (),
        seed: int = 0,
    ) -> RecommendationList:
        """Recommend the `limit` best items to one user; see `recommend_batch`."""
        return self.recommend_many([history], limit, include_seen=include_seen, exclude=exclude, seed=seed)[0]

    def recommend_many(
        self,
        histories: Iterable[UserHistory],
        limit: int,
        *,
        include_seen: bool = False,
        exclude: Collection[str] = (),
        seed: int = 0,
    ) -> list[RecommendationList]:
        """Recommend the `limit` best items to each of many users, in their order; see `recommend_batch`."""
        return self.recommend_batch(
            [
                RecommendationRequest(
                    history=history, limit=limit, include_seen=include_seen, exclude=exclude, seed=seed
                )
                for history in histories
            ]
        )

    def recommend_batch(self, requests: Sequence[RecommendationRequest]) -> list[RecommendationList]:
        """Answer many requests, in their order, with `limit` distinct items each, or all that the catalogue has.

        Unknown items of a history are left out. A history without a known item gets the most popular items. Where the
        beams yield fewer than `limit` items, the most popular others follow.
        """
        histories = [self.known_rows(request.history) for request in requests]
        points = [self.point_of(request) for request in requests]
        ranked = answers_by_chunk(
            requests, histories, points, self.generator.device, self.rank, otherwise=_NOTHING_RANKED
        )
        return [self.filled_up(*answer) for answer in zip(requests, histories, ranked, strict=True)]

    def point_of(self, request: RecommendationRequest) -> ServingPoint:
        """The search for a request: the one of its quality.

        The joint ranking fills any list with the dense head's items, so its search does not depend on the limit, and a
        longer list begins with the shorter one. The search is wider where the generator must reach all listed items:
        without a joint ranking, where that only reranks, and where no more items are allowed than fit into the list.
        """
        point = self.points[request.quality]
        if self.joint_ranking is None and not point.generates:
            point = self.points[BALANCED]
        lists_all = request.is_allowed is not None and np.count_nonzero(request.is_allowed) <= request.limit
        fills_lists = self.joint_ranking is not None and not self.joint_ranking.reranks_densely
        if not point.generates or (fills_lists and not lists_all):
            return point
        return replace(point, num_beams=min(max(point.num_beams, request.limit), MAX_BEAMS))

    def rank(
        self,
        requests: Sequence[RecommendationRequest],
        histories: Sequence[Int64[np.ndarray, "position"]],
        point: ServingPoint,
    ) -> list[RankedItems]:
        """Rank items for each request: generate, then rank jointly. No history may be empty."""
        is_allowed = allowed_items(self.catalogue, requests, histories)
        generated = None
        if point.generates:
            seeds = [request.seed for request in requests]
            generated = self.generator.generate(histories, seeds, point.num_views, point.num_beams, is_allowed)
        return self.ranked_together(requests, histories, generated, is_allowed)

    def ranked_together(
        self,
        requests: Sequence[RecommendationRequest],
        histories: Sequence[Int64[np.ndarray, "position"]],
        generated: Sequence[Generated] | None,
        is_allowed: Sequence[AllowedItems] | None,
    ) -> list[RankedItems]:
        """Rank each request's items by the joint ranking, or as generated if there is none; may exceed `limit`.

        With `generated=None` nothing was generated, which takes a joint ranking.
        """
        penalties = [self.penalty_of(request) for request in requests]
        if self.joint_ranking is None:
            lift = self.repeat_lifts.generator
            ranked = [
                RankedItems(rows, scores, np.zeros(len(rows), dtype=np.bool_)) for rows, scores, _ in generated or ()
            ]
            ranked = [
                of_request if penalty is None else lowered(of_request, penalty)
                for of_request, penalty in zip(ranked, penalties, strict=True)
            ]
        else:
            lift = self.repeat_lifts.without_generator if generated is None else self.repeat_lifts.together
            may_be_listed = is_allowed or [all_but(np.zeros(0, dtype=np.int64), len(self.catalogue))] * len(requests)
            if self.catalogue.is_retired.any():
                may_be_listed = [of_request.within(~self.catalogue.is_retired) for of_request in may_be_listed]
            # A lift may drop every item of the history: as many others must be ranked.
            num_places = [
                request.limit + len(history) * request.include_seen
                for request, history in zip(requests, histories, strict=True)
            ]
            lifts = [self.lifts_of(request) for request in requests]
            ranked = self.joint_ranking.rank(histories, generated, may_be_listed, num_places, penalties, lifts)
        return [
            placed_with_repeats(of_request, history, lift) if request.include_seen and lift else of_request
            for request, history, of_request in zip(requests, histories, ranked, strict=True)
        ]

    def filled_up(
        self, request: RecommendationRequest, history: Int64[np.ndarray, "position"], ranked: RankedItems
    ) -> RecommendationList:
        """List the ranked items, then the most popular others, up to the request's limit."""
        rows, scores = ranked.item_rows[: request.limit], ranked.scores[: request.limit]
        sources = [DENSE if is_dense else GENERATIVE for is_dense in ranked.is_dense[: request.limit]]
        if len(rows) < request.limit:
            may_follow = allowed_items_of(self.catalogue, request, history).by_row() & ~self.catalogue.is_retired
            may_follow[rows] = False
            by_weight = self.popular
            if request.stranger_weights is not None and not len(history):
                by_weight = popular_items(request.stranger_weights, len(self.catalogue))
            popular, log_shares = by_weight.best(may_follow, request.limit - len(rows), self.penalty_of(request))
            rows, scores = np.append(rows, popular), np.append(scores, log_shares)
            sources += [POPULAR] * len(popular)
        reason = CATALOGUE_EXHAUSTED if len(rows) < request.limit else None
        if not len(history):
            reason = UNKNOWN_HISTORY if request.history.item_ids else EMPTY_HISTORY
        listed = zip(rows.tolist(), scores.tolist(), sources, strict=True)
        return RecommendationList(
            tuple(
                Recommendation(self.catalogue.item_ids[row], rank, score, source)
                for rank, (row, score, source) in enumerate(listed, 1)
            ),
            reason,
        )

    def penalty_of(self, request: RecommendationRequest) -> Penalty | None:
        """What lowers items like those that the request names as disliked, less its lifts; None if nothing does."""
        disliked, lifts = self.catalogue.known_rows(request.disliked), self.lifts_of(request)
        of_disliked: Penalty | None = None
        if self.disliked_neighbours.strength > 0 and len(disliked):
            of_disliked = self.disliked_neighbours.penalty_of(disliked, self.joint_ranking)
        if lifts is None:
            return of_disliked
        return lambda rows: (0.0 if of_disliked is None else of_disliked(rows)) - lifts[rows]

    def lifts_of(self, request: RecommendationRequest) -> Float64[np.ndarray, "item"] | None:
        """The request's lifts, by row of this catalogue; None if it has none."""
        if request.lifts is None:
            return None
        lifts, num_known = np.zeros(len(self.catalogue)), min(len(self.catalogue), len(request.lifts))
        lifts[:num_known] = request.lifts[:num_known]
        return lifts

    def known_rows(self, history: UserHistory) -> Int64[np.ndarray, "position"]:
        """Rows of the history's known items, retired ones included, oldest first."""
        return self.catalogue.known_rows(history.item_ids)
