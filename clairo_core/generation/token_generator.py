"""Generate items token by token: views of the history -> beams inside the trie -> fused items. Start at `generate`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int64

from clairo_core.catalogue import Catalogue
from clairo_core.generation.recorded.recorded_search import RecordedSearch
from clairo_core.generation.search.beam_search import search
from clairo_core.generation.search.view_fusion import fuse_views
from clairo_core.generation.t5.generator import Generator
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.generation.trie.trie import build_trie
from clairo_core.ranking import Generated
from clairo_core.tokens.tokenizer import TokenBatch, Tokenizer, stacked

_ITEMS_PER_BEAM = 4
"""Items kept per beam where more than one costs nothing: fewer are lost before views are fused."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenGenerator:
    """A T5 and the trie of a catalogue's canonical tokens; an `ItemGenerator`."""

    catalogue: Catalogue
    tokenizer: Tokenizer
    """Of the vocabulary that the T5 was trained with."""
    t5: Generator
    trie: DeviceTrie
    """Of the catalogue, on the T5's device."""
    max_history_items: int
    recorded_search: RecordedSearch | None
    """Replays the search on a GPU as a whole; without one, it runs step by step."""

    @property
    def device(self) -> torch.device:
        """Where the T5 is."""
        return self.t5.device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the T5."""
        return self.t5.dtype

    def with_catalogue(self, catalogue: Catalogue) -> "TokenGenerator":
        """Return a generator for a later version of the same catalogue; the trie grows where it can."""
        if catalogue.has_items_of(self.catalogue):
            return replace(self, catalogue=catalogue)
        has_same_tokens = np.array_equal(self.catalogue.feature_sets, catalogue.feature_sets[: len(self.catalogue)])
        trie = DeviceTrie(self.trie.trie.updated(catalogue) if has_same_tokens else build_trie(catalogue), self.t5)
        recorded_search = self.recorded_search and self.recorded_search.for_version(trie)
        return replace(self, catalogue=catalogue, trie=trie, recorded_search=recorded_search)

    def generate(
        self,
        histories: Sequence[Int64[np.ndarray, "position"]],
        seeds: Sequence[int],
        num_views: int,
        num_beams: int,
        is_allowed: Bool[np.ndarray, "request item"] | None = None,
    ) -> list[Generated]:
        """Generate items for each history; see `ItemGenerator`."""
        views = self.encode_views(list(zip(histories, seeds, strict=True)), num_views)
        if self.recorded_search is not None and num_views == self.recorded_search.sizes.num_views:
            fused = self.recorded_search.run(self.trie, views, num_beams, is_allowed)
            if fused is not None:
                return [Generated(*of_history) for of_history in fused]
        request_of_view = np.repeat(np.arange(len(histories)), num_views)
        beams = search(
            self.t5,
            self.trie,
            views,
            num_beams,
            num_items=num_items_kept(self.trie, num_beams),
            live_before=None if is_allowed is None else self.trie.trie.live_before(is_allowed),
            request_of_view=request_of_view,
        )
        return [Generated(*of_history) for of_history in fuse_views(beams, request_of_view, len(histories))]

    def encode_views(
        self, histories: Sequence[tuple[Int64[np.ndarray, "position"], int]], num_views: int
    ) -> TokenBatch:
        """Encode `num_views` random views of the newest items of each (history, seed), one history after another."""
        return stacked(
            [
                self.tokenizer.encode_history_views(
                    self.catalogue.feature_tokens[rows[-self.max_history_items :]], num_views, seed
                )
                for rows, seed in histories
            ]
        )


def num_items_kept(trie: DeviceTrie, num_beams: int) -> int:
    """Items to keep per view: more than beams where items finish without a step of their own."""
    return num_beams * (_ITEMS_PER_BEAM if trie.is_reachable_softmax else 1)
