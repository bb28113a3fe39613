"""Recommend: a user's history in, ranked items out. The main path; start reading at `Recommender.recommend_batch`.

Knows histories, views, beams and popularity, and that a joint ranking may have the last word; knows nothing of HTTP,
files or training.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64

from clairo_core.catalogue import Catalogue
from clairo_core.errors import GeneratorError, RankingError
from clairo_core.generation.recorded.cuda_graphs import CudaRecorder, Recorder
from clairo_core.generation.recorded.recorded_search import RecordedSearch, SearchSizes, record_search
from clairo_core.generation.search.beam_search import search
from clairo_core.generation.search.view_fusion import fuse_views
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.generation.trie.trie import Trie, build_trie
from clairo_core.items import UserHistory
from clairo_core.ranking import NO_LIFTS, JointRanking, RankedItems, RepeatLifts, placed_with_repeats
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
from clairo_core.request_chunks import REQUESTS_AT_ONCE_ON_GPU, chunks_of_similar_length
from clairo_core.tokens.tokenizer import TokenBatch, Tokenizer
from clairo_core.tokens.vocabulary import PAD

_ITEMS_PER_BEAM = 4
"""Kept of each view where more than beams cost nothing: an item is lost to the fused list less often."""


class Recommender:
    """A catalogue, and a generator that knows its tokens. Immutable: another catalogue makes another recommender."""

    def __init__(
        self,
        catalogue: Catalogue,
        tokenizer: Tokenizer,
        generator: Generator,
        popularity: Int[np.ndarray, "item"],
        *,
        num_views: int = 5,
        num_beams: int = 50,
        max_history_items: int = 20,
        joint_ranking: JointRanking | None = None,
        repeat_lifts: RepeatLifts = NO_LIFTS,
        recorder: Recorder | None = None,
        previous: "Recommender | None" = None,
    ) -> None:
        """Put the parts together.

        Args:
            catalogue: what can be recommended.
            tokenizer: of the vocabulary that the generator was trained with.
            generator: writes items' tokens.
            popularity: interactions in training, by row; rows past its end have none.
            num_views: random views of each history, fused.
            num_beams: kept for each view; a request for more items widens it.
            max_history_items: older items are left out, as they were in training.
            joint_ranking: ranks generated items together with the dense head's; without it the generator's order
                stands.
            repeat_lifts: for items of the history, where they may be recommended.
            recorder: records the search now, so that a GPU repeats it as a whole; without it, it goes step by step.
            previous: one for an earlier version of the same catalogue, to take over what has not changed.
        """
        self.catalogue = catalogue
        self.tokenizer = tokenizer
        self.generator = generator
        self.num_views = num_views
        self.num_beams = num_beams
        self.max_history_items = max_history_items
        self.repeat_lifts = repeat_lifts
        self.joint_ranking = None if joint_ranking is None else joint_ranking.on(generator.device)
        self.trie: Trie = build_trie(catalogue) if previous is None else previous.trie.updated(catalogue)
        self._device_trie = DeviceTrie(self.trie, generator)
        self._items_per_beam = _ITEMS_PER_BEAM if self._device_trie.is_reachable_softmax else 1
        self.recorded_search: RecordedSearch | None = None
        if previous is not None and previous.recorded_search is not None:
            self.recorded_search = previous.recorded_search.for_version(self._device_trie)
        elif recorder is not None:
            longest = max_history_items * len(tokenizer.vocabulary.category_names) + 1
            sizes = SearchSizes(
                num_views, num_beams, num_beams * self._items_per_beam, REQUESTS_AT_ONCE_ON_GPU, longest
            )
            self.recorded_search = record_search(generator, self._device_trie, sizes, recorder)
        self._popularity = popularity
        if previous is None:
            most_popular_first = np.argsort(-popularity, kind="stable").astype(np.int32)
            self._most_popular_first = np.append(
                most_popular_first, np.arange(len(popularity), len(catalogue), dtype=np.int32)
            )
        else:
            # Items added since have no interactions, so they come last, and in the order of their rows.
            earlier = previous._most_popular_first
            self._most_popular_first = np.append(earlier, np.arange(len(earlier), len(catalogue), dtype=np.int32))

    def with_catalogue(
        self, catalogue: Catalogue, item_embeddings: Float[np.ndarray, "new dim"] | None = None
    ) -> "Recommender":
        """A recommender for a later version of the same catalogue; this one goes on serving its own.

        Args:
            catalogue: the later version.
            item_embeddings: of its new items, in their order; a joint ranking needs them.

        Raises:
            RankingError: they are of another length, or of another number of items.
        """
        joint_ranking, num_new = self.joint_ranking, len(catalogue) - len(self.catalogue)
        if joint_ranking is not None and num_new:
            if item_embeddings is None or len(item_embeddings) != num_new:
                given = 0 if item_embeddings is None else len(item_embeddings)
                raise RankingError(
                    f"{given} item embeddings for {num_new} new items; give what `Bundle.describe` made of each"
                )
            joint_ranking = joint_ranking.with_items(item_embeddings)
        return self._like_this(catalogue, joint_ranking)

    def ranked_by(self, joint_ranking: JointRanking | None) -> "Recommender":
        """The same with another joint ranking; None leaves the generator alone."""
        return self._like_this(self.catalogue, joint_ranking)

    def with_repeat_lifts(self, repeat_lifts: RepeatLifts) -> "Recommender":
        """The same with other lifts for what a user has already."""
        return self._like_this(self.catalogue, self.joint_ranking, repeat_lifts)

    def _like_this(
        self, catalogue: Catalogue, joint_ranking: JointRanking | None, repeat_lifts: RepeatLifts | None = None
    ) -> "Recommender":
        return Recommender(
            catalogue,
            self.tokenizer,
            self.generator,
            self._popularity,
            num_views=self.num_views,
            num_beams=self.num_beams,
            max_history_items=self.max_history_items,
            joint_ranking=joint_ranking,
            repeat_lifts=self.repeat_lifts if repeat_lifts is None else repeat_lifts,
            previous=self,
        )

    def recommend(
        self,
        history: UserHistory,
        limit: int,
        *,
        include_seen: bool = False,
        exclude: Collection[str] = (),
        seed: int = 0,
    ) -> RecommendationList:
        """The `limit` best items for one user; see `recommend_batch`."""
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
        """The `limit` best items for each of many users, in their order; see `recommend_batch`."""
        return self.recommend_batch(
            [
                RecommendationRequest(
                    history=history, limit=limit, include_seen=include_seen, exclude=exclude, seed=seed
                )
                for history in histories
            ]
        )

    def recommend_batch(self, requests: Sequence[RecommendationRequest]) -> list[RecommendationList]:
        """Answer many requests, in their order; `limit` distinct items each, as long as there are so many.

        Items of a history that the catalogue does not know are left out. A history without a known item gets the most
        popular ones. If the generator's beams fall short of `limit`, the most popular of the others follow.
        """
        histories = [self.known_rows(request.history) for request in requests]
        answers: list[RecommendationList | None] = [None] * len(requests)
        device = self.generator.device
        for chunk, num_beams in chunks_of_similar_length(requests, histories, self.num_beams, device):
            asked, of_users = [requests[place] for place in chunk], [histories[place] for place in chunk]
            is_allowed = self.allowed_items(asked, of_users)
            generated = self.generate(of_users, [request.seed for request in asked], num_beams, is_allowed)
            for place, ranked in zip(chunk, self.ranked_together(asked, of_users, generated, is_allowed), strict=True):
                answers[place] = self.filled_up(requests[place], histories[place], ranked)
        return [
            self.filled_up(request, history, []) if answer is None else answer
            for request, history, answer in zip(requests, histories, answers, strict=True)
        ]

    def generate(
        self,
        histories: Sequence[Int64[np.ndarray, "position"]],
        seeds: Sequence[int],
        num_beams: int,
        is_allowed: Bool[np.ndarray, "request item"] | None = None,
    ) -> list[tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]]]:
        """What the generator writes for each history, best first: rows of items, and their scores.

        Args:
            histories: rows of items, oldest first; none empty.
            seeds: draw each history's views.
            num_beams: of each view.
            is_allowed: what may be written; None allows every item that is not retired.
        """
        views = self.encode_views(list(zip(histories, seeds, strict=True)))
        if self.recorded_search is not None:
            fused = self.recorded_search.run(self._device_trie, views, num_beams, is_allowed)
            if fused is not None:
                return fused
        request_of_view = np.repeat(np.arange(len(histories)), self.num_views)
        beams = search(
            self.generator,
            self._device_trie,
            views,
            num_beams,
            num_items=num_beams * self._items_per_beam,
            live_before=None if is_allowed is None else self.trie.live_before(is_allowed),
            request_of_view=request_of_view,
        )
        return fuse_views(beams, request_of_view, len(histories))

    def ranked_together(
        self,
        requests: Sequence[RecommendationRequest],
        histories: Sequence[Int64[np.ndarray, "position"]],
        generated: Sequence[tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]]],
        is_allowed: Bool[np.ndarray, "request item"] | None,
    ) -> list[list[Recommendation]]:
        """Each request's list, by the joint ranking if there is one, else as it was generated."""
        if self.joint_ranking is None:
            lift = self.repeat_lifts.generator
            everybody = [RankedItems(rows, scores, np.zeros(len(rows), dtype=np.bool_)) for rows, scores in generated]
        else:
            may_be_listed = np.broadcast_to(~self.catalogue.is_retired, (len(requests), len(self.catalogue)))
            if is_allowed is not None:
                may_be_listed = may_be_listed & is_allowed
            # Items of the history may leave their places to as many others.
            num_places = max(
                request.limit + len(history) * request.include_seen
                for request, history in zip(requests, histories, strict=True)
            )
            lift = self.repeat_lifts.together
            everybody = self.joint_ranking.rank(histories, generated, may_be_listed, num_places)
        lists = []
        for request, history, ranked in zip(requests, histories, everybody, strict=True):
            placed = placed_with_repeats(ranked, history, lift) if request.include_seen and lift else ranked
            sources = [DENSE if is_dense else GENERATIVE for is_dense in placed.is_dense]
            lists.append(self.listed(placed.item_rows[: request.limit], placed.scores[: request.limit], sources))
        return lists

    def known_rows(self, history: UserHistory) -> Int64[np.ndarray, "position"]:
        """Rows of the history's items that the catalogue knows, retired ones included, oldest first."""
        rows = (self.catalogue.find_row(item_id) for item_id in history.item_ids)
        return np.array([row for row in rows if row is not None], dtype=np.int64)

    def encode_views(self, histories: Sequence[tuple[Int64[np.ndarray, "position"], int]]) -> TokenBatch:
        """`num_views` random views of the newest items of each (history, seed), one after the other."""
        batches = [
            self.tokenizer.encode_history_views(
                self.catalogue.feature_tokens[rows[-self.max_history_items :]], self.num_views, seed
            )
            for rows, seed in histories
        ]
        lengths = np.concatenate([batch.lengths for batch in batches])
        ids = np.full((len(lengths), int(lengths.max())), PAD, dtype=np.int32)
        for place, batch in enumerate(batches):
            width = min(batch.ids.shape[1], ids.shape[1])
            ids[place * self.num_views : (place + 1) * self.num_views, :width] = batch.ids[:, :width]
        return TokenBatch(ids, lengths)

    def allowed_items(
        self, requests: Sequence[RecommendationRequest], histories: Sequence[Int64[np.ndarray, "position"]]
    ) -> Bool[np.ndarray, "request item"] | None:
        """Which items each request may be answered with, retired ones aside; None if no request forbids any."""
        if all(request.include_seen and not request.exclude and request.is_allowed is None for request in requests):
            return None
        return np.stack(
            [self.allowed_items_of(request, rows) for request, rows in zip(requests, histories, strict=True)]
        )

    def allowed_items_of(
        self, request: RecommendationRequest, history: Int64[np.ndarray, "position"]
    ) -> Bool[np.ndarray, "item"]:
        """Which items one request may be answered with, retired ones aside."""
        is_allowed = np.ones(len(self.catalogue), dtype=np.bool_)
        if request.is_allowed is not None:
            is_allowed[:] = False
            num_known = min(len(is_allowed), len(request.is_allowed))
            is_allowed[:num_known] = request.is_allowed[:num_known]
        if not request.include_seen:
            is_allowed[history] = False
        is_allowed[self.known_rows(UserHistory(tuple(request.exclude)))] = False
        return is_allowed

    def filled_up(
        self, request: RecommendationRequest, history: Int64[np.ndarray, "position"], ranked: list[Recommendation]
    ) -> RecommendationList:
        """The ranked items, then the most popular others, up to the request's limit."""
        items = list(ranked)
        num_missing = request.limit - len(items)
        if num_missing > 0:
            may_follow = self.allowed_items_of(request, history) & ~self.catalogue.is_retired
            may_follow[[self.catalogue.row_of(item.item_id) for item in items]] = False
            popular = self._most_popular_first[may_follow[self._most_popular_first]][:num_missing]
            # One more than was counted for every item, so that a new one has a probability too.
            counts = np.ones(len(popular), dtype=np.int64)
            was_counted = popular < len(self._popularity)
            counts[was_counted] += self._popularity[popular[was_counted]]
            shares = np.log(counts / (self._popularity.sum() + len(self.catalogue)))
            items += self.listed(popular, shares, [POPULAR] * len(popular), first_rank=len(items) + 1)
        reason = CATALOGUE_EXHAUSTED if len(items) < request.limit else None
        if not len(history):
            reason = UNKNOWN_HISTORY if request.history.item_ids else EMPTY_HISTORY
        return RecommendationList(tuple(items), reason)

    def listed(
        self,
        item_rows: Int[np.ndarray, "item"],
        scores: Float64[np.ndarray, "item"],
        sources: Sequence[str],
        first_rank: int = 1,
    ) -> list[Recommendation]:
        """Rows with scores as recommendations with ids and ranks; `sources` may be longer."""
        ranked = zip(item_rows.tolist(), scores.tolist(), sources, strict=False)
        return [
            Recommendation(self.catalogue.item_ids[row], rank, score, source)
            for rank, (row, score, source) in enumerate(ranked, first_rank)
        ]


def load_recommender(
    generator_folder: Path,
    tokenizer: Tokenizer,
    catalogue: Catalogue,
    popularity: Int[np.ndarray, "item"],
    *,
    device: str | torch.device = "auto",
    dtype: str = "float32",
    num_views: int = 5,
    num_beams: int = 50,
    max_history_items: int = 20,
    joint_ranking: JointRanking | None = None,
    repeat_lifts: RepeatLifts = NO_LIFTS,
    cuda_graphs: bool = True,
) -> Recommender:
    """A recommender around a checkpoint; see `load_generator` and `Recommender`.

    On a CUDA GPU the search is recorded as CUDA graphs, and repeated so, unless `cuda_graphs` is false.

    Raises:
        GeneratorError: the checkpoint cannot be used, or was trained with another vocabulary.
    """
    generator = load_generator(generator_folder, device, dtype=dtype)
    if generator.config.vocab_size != tokenizer.vocabulary.size:
        raise GeneratorError(
            f"{generator_folder}: writes {generator.config.vocab_size} tokens, the vocabulary has "
            f"{tokenizer.vocabulary.size}; use the vocabulary that the generator was trained with"
        )
    return Recommender(
        catalogue,
        tokenizer,
        generator,
        popularity,
        num_views=num_views,
        num_beams=num_beams,
        max_history_items=max_history_items,
        joint_ranking=joint_ranking,
        repeat_lifts=repeat_lifts,
        recorder=CudaRecorder(generator.device) if cuda_graphs and generator.device.type == "cuda" else None,
    )
