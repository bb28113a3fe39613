"""Generate the items whose codes are the most probable. Start at `ParallelGenerator.generate`.

Every item is scored, or a graph of similar semantic ids is searched: see `id_graph`. One pass has few kernels, so
nothing is recorded as CUDA graphs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, Int64
from scipy.special import logsumexp
from torch import Tensor
from torch.nn import functional

from clairo_core.catalogue import Catalogue
from clairo_core.errors import GeneratorError
from clairo_core.generation.parallel.code_kernels import sum_codes
from clairo_core.generation.parallel.id_graph import IdGraph, Links, code_similarity, id_graph
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.ranking import Generated
from clairo_core.ranking.allowed_items import AllowedItems
from clairo_core.ranking.best_items import best_items
from clairo_core.ranking.best_of_blocks import BestOfBlocks
from clairo_core.sequences import newest_padded
from clairo_core.storage.growing_rows import GrowingRows

_ITEMS_PER_BEAM = 4
"""As many more items come back, since they cost nothing: some may leave a list."""
_ITEMS_AT_ONCE = 8192
"""Their scores for 16 histories fit the cache."""

ScoresOf: TypeAlias = Callable[[Int64[np.ndarray, "item"]], Float32[np.ndarray, "item"]]
"""Item rows to scores."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ParallelGenerator:
    """A network and the codes of a catalogue's items; an `ItemGenerator`. Made by `parallel_generator`."""

    network: ParallelNetwork
    catalogue: Catalogue
    codes: GrowingRows
    """Item times codebook, int32: rows of the network's table of codes."""
    graph: IdGraph | None
    """Of the catalogue's semantic ids; None scores every item."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.code_vectors.device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the network."""
        return self.network.code_vectors.dtype

    @property
    def max_history_items(self) -> int:
        """As in training."""
        return self.network.sizes.max_history_items

    def with_catalogue(
        self,
        catalogue: Catalogue,
        item_embeddings: Float[np.ndarray, "new dim"] | None = None,
        changed_embeddings: Mapping[int, Float[np.ndarray, "dim"]] | None = None,
    ) -> "ParallelGenerator":
        """Return a generator for a later version of the same catalogue. New items are scored by their codes at once.

        Embeddings are not read.
        """
        if catalogue.has_items_of(self.catalogue):
            return replace(self, catalogue=catalogue)
        num_before = len(self.catalogue)
        codes, graph, feature_sets = self.codes, self.graph, catalogue.feature_sets
        changed = np.flatnonzero((feature_sets[:num_before] != self.catalogue.feature_sets).any(axis=1))
        if len(changed):
            of_changed = code_rows(feature_sets[changed], self.network.sizes)
            codes, graph = codes.with_replaced(changed, of_changed), graph and graph.with_codes(changed, of_changed)
        if len(catalogue) > num_before:
            of_new = code_rows(feature_sets[num_before:], self.network.sizes)
            codes, graph = codes.with_rows(of_new), graph and graph.with_items(of_new)
        codes.on(self.device)  # now, rather than when the first request asks
        return replace(self, catalogue=catalogue, codes=codes, graph=graph)

    @torch.inference_mode()
    def generate(
        self,
        histories: Sequence[Int64[np.ndarray, "position"]],
        seeds: Sequence[int],
        num_views: int,
        num_beams: int,
        is_allowed: Sequence[AllowedItems] | None = None,
    ) -> list[Generated]:
        """Generate items for each history; see `ItemGenerator`. There are no views.

        Seeds choose where a graph's search starts; without one, nothing is random.
        """
        if self.graph is not None:
            return self._searched(self.graph, histories, seeds, num_beams, is_allowed)
        allowed = [None] * len(histories) if is_allowed is None else is_allowed
        count = num_beams * _ITEMS_PER_BEAM
        if self.device.type == "cpu" and len(histories) > 1:
            return self._best_of_many(histories, allowed, count)
        return [
            self._best(scores, scores_of, of_request, count)
            for (scores, scores_of), of_request in zip(self._scored(histories), allowed, strict=True)
        ]

    def _best(
        self,
        scores: Float32[np.ndarray, "item"],
        scores_of: ScoresOf,
        allowed: AllowedItems | None,
        count: int,
    ) -> Generated:
        """The best allowed items of one history. Probabilities are those among all items that are not retired."""
        is_retired = self.catalogue.is_retired
        if is_retired.any():
            scores[is_retired] = -np.inf
        norm = np.float32(torch.logsumexp(torch.from_numpy(scores), dim=0).item())
        # Items of equal codes are equally probable: the order is that of rows.
        rows, _ = best_items(scores, count, allowed)
        rows = rows[scores[rows] > -np.inf]
        return self._generated(rows, scores[rows], norm, scores_of)

    def _best_of_many(
        self,
        histories: Sequence[Int64[np.ndarray, "position"]],
        allowed: Sequence[AllowedItems | None],
        count: int,
    ) -> list[Generated]:
        """As `_best`, for several histories on the CPU: an item's codes are looked up once for all."""
        tables = self.network.code_scores(self.code_logits_of(histories))
        by_code, codes = tables.T.contiguous(), torch.from_numpy(self.codes.rows)
        is_retired = self.catalogue.is_retired
        best = BestOfBlocks(len(histories), count + max(len(of_one.left_out) if of_one else 0 for of_one in allowed))
        for start in range(0, len(codes), _ITEMS_AT_ONCE):
            block = slice(start, start + _ITEMS_AT_ONCE)
            scores = functional.embedding_bag(codes[block], by_code, mode="sum").numpy()
            scores[is_retired[block]] = -np.inf
            best.add(scores)
        found = []
        for place, (table, of_request) in enumerate(zip(tables.numpy(), allowed, strict=True)):
            rows, scores = best.best(place)
            if of_request is not None:
                is_allowed = of_request.allows(rows)
                rows, scores = rows[is_allowed], scores[is_allowed]
            if len(rows) < count:
                # A filter allows few of the best, or there are few items.
                found.append(self._best(self._scores_by(table), partial(self._scores_by, table), of_request, count))
            else:
                norm, scores_of = best.log_sum(place), partial(self._scores_by, table)
                found.append(self._generated(rows[:count], scores[:count], norm, scores_of))
        return found

    def _generated(
        self,
        rows: Int64[np.ndarray, "best"],
        scores: Float32[np.ndarray, "best"],
        norm: np.float32,
        scores_of: ScoresOf,
    ) -> Generated:
        is_retired = self.catalogue.is_retired

        def log_probabilities_of(item_rows: Int64[np.ndarray, "item"]) -> Float32[np.ndarray, "item"]:
            return np.where(is_retired[item_rows], np.float32(-np.inf), scores_of(item_rows) - norm)

        return Generated(rows, (scores - norm).astype(np.float64), log_probabilities_of)

    def _scored(
        self, histories: Sequence[Int[np.ndarray, "position"]]
    ) -> Iterator[tuple[Float32[np.ndarray, "item"], ScoresOf]]:
        """For each history, the sum of every item's codes' log-probabilities, scaled, and the same for some rows."""
        logits = self.code_logits_of(histories)
        if self.device.type != "cpu":
            for of_history in self.network.item_scores(logits, self.codes.on(self.device)).T.cpu().numpy():
                of_all = np.ascontiguousarray(of_history)
                yield of_all, of_all.__getitem__
            return
        for table in self.network.code_scores(logits).numpy():
            yield self._scores_by(table), partial(self._scores_by, table)

    def _scores_by(
        self, code_scores: Float32[np.ndarray, "code"], item_rows: Int64[np.ndarray, "item"] | None = None
    ) -> Float32[np.ndarray, "item"]:
        """Sums of the scores of these items' codes; of all items without rows."""
        codes = self.codes.rows if item_rows is None else self.codes.rows[item_rows]
        scores = np.empty(len(codes), dtype=np.float32)
        sum_codes(code_scores, codes, scores)
        return scores

    def code_logits_of(
        self, histories: Sequence[Int[np.ndarray, "position"]]
    ) -> Float[Tensor, "codebook history centroid"]:
        """Logits of the next item's codes."""
        newest, lengths = newest_padded(histories, self.max_history_items)
        states = self.network(self.codes.on(self.device)[torch.from_numpy(newest).to(self.device)])
        last = states[torch.arange(len(states), device=self.device), torch.from_numpy(lengths - 1).to(self.device)]
        return self.network.code_logits(last)

    def _searched(
        self,
        graph: IdGraph,
        histories: Sequence[Int64[np.ndarray, "position"]],
        seeds: Sequence[int],
        num_beams: int,
        is_allowed: Sequence[AllowedItems] | None,
    ) -> list[Generated]:
        scores = self.network.code_scores(self.code_logits_of(histories)).cpu().numpy()
        allowed = [None] * len(histories) if is_allowed is None else is_allowed
        return [
            self._searched_for_one(graph, code_scores, seed, num_beams, of_request)
            for code_scores, seed, of_request in zip(scores, seeds, allowed, strict=True)
        ]

    def _searched_for_one(
        self,
        graph: IdGraph,
        code_scores: Float32[np.ndarray, "code"],
        seed: int,
        num_beams: int,
        allowed: AllowedItems | None,
    ) -> Generated:
        """Probabilities are those among the visited items, whatever is allowed."""
        is_live = ~self.catalogue.is_retired
        rows, scores = graph.walk(code_scores, seed, num_beams)
        rows, scores = rows[is_live[rows]], scores[is_live[rows]]
        norm = logsumexp(scores) if len(scores) else 0.0
        if allowed is not None:
            may_be_found = allowed.by_row() & is_live
            if np.count_nonzero(may_be_found) <= min(graph.most_visited(num_beams), len(is_live) // 2):
                # A filter: walks lead past most of what it allows, and cost no less than scoring all of it.
                rows = np.flatnonzero(may_be_found)
                scores = code_scores[self.codes.rows[rows]].sum(axis=1)
            else:
                is_allowed = allowed.allows(rows)
                rows, scores = rows[is_allowed], scores[is_allowed]
        best = np.lexsort((rows, -scores))[: num_beams * _ITEMS_PER_BEAM]
        return Generated(rows[best], np.minimum(scores[best] - norm, 0.0).astype(np.float64))


def parallel_generator(network: ParallelNetwork, catalogue: Catalogue, links: Links | None = None) -> ParallelGenerator:
    """The first generator of a catalogue. With `links`, a graph is searched.

    Raises:
        GeneratorError: the network or the links were trained with other codes.
    """
    network.eval()
    rows = code_rows(catalogue.feature_sets, network.sizes)
    graph = None if links is None else id_graph(links, rows, code_similarity(network.vectors_by_codebook))
    codes = GrowingRows(rows)
    codes.on(network.code_vectors.device)
    return ParallelGenerator(network=network, catalogue=catalogue, codes=codes, graph=graph)


def code_rows(
    feature_sets: Int32[np.ndarray, "item category"], sizes: NetworkSizes
) -> Int32[np.ndarray, "item codebook"]:
    """The items' codes as rows of the network's table of codes. The collision index, which comes last, is not read.

    Raises:
        GeneratorError: there are fewer codes, or larger ones, than the network has.
    """
    codes = feature_sets[:, : sizes.num_codebooks]
    largest = int(codes.max(initial=0))
    if codes.shape[1] < sizes.num_codebooks or largest >= sizes.num_centroids:
        raise GeneratorError(
            f"items have {codes.shape[1]} codes of up to {largest}, expected {sizes.num_codebooks} below "
            f"{sizes.num_centroids}; use the catalogue that the generator was trained with"
        )
    return codes + np.arange(sizes.num_codebooks, dtype=np.int32) * sizes.num_centroids
