"""Generate items token by token: views of the history -> beams inside the trie -> fused items. Start at `generate`.

With a vocabulary of several languages, view k of a history is read and its items are written in language k modulo their
number; fusing the views merges the languages' lists.

Source of the languages: Zhai et al. 2025, "Multimodal Quantitative Language for Generative Recommendation". Its code
averages log-probabilities of an item in both lists and adds 1. We differ: we average probabilities, as over any views.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from clairo_core.catalogue import Catalogue
from clairo_core.errors import GeneratorError
from clairo_core.generation.recorded.recorded_search import RecordedSearch
from clairo_core.generation.search.beam_search import search, stacked_beams
from clairo_core.generation.search.view_fusion import fuse_views
from clairo_core.generation.t5.content_inputs import padded_content
from clairo_core.generation.t5.generator import Generator
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.generation.trie.trie import trie_of_tokens
from clairo_core.ranking import Generated
from clairo_core.ranking.allowed_items import AllowedItems
from clairo_core.storage.growing_rows import GrowingRows
from clairo_core.tokens.spelling import Language
from clairo_core.tokens.tokenizer import TokenBatch, Tokenizer, stacked

_ITEMS_PER_BEAM = 4
"""Items kept per beam where more than one costs nothing: fewer are lost before views are fused."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenGenerator:
    """A T5 and the tries of a catalogue's canonical tokens; an `ItemGenerator`."""

    catalogue: Catalogue
    tokenizer: Tokenizer
    """Of the vocabulary that the T5 was trained with."""
    t5: Generator
    tries: tuple[DeviceTrie, ...]
    """Of the catalogue, one per language of the vocabulary, on the T5's device."""
    max_history_items: int
    recorded_search: RecordedSearch | None
    """Replays the search of a single language on a GPU as a whole; without one, it runs step by step."""
    item_embeddings: GrowingRows | None = None
    """By catalogue row, float32, where the T5 reads them beside tokens; the vocabulary then merges nothing."""

    @property
    def device(self) -> torch.device:
        """Where the T5 is."""
        return self.t5.device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the T5."""
        return self.t5.dtype

    def with_catalogue(
        self,
        catalogue: Catalogue,
        item_embeddings: Float[np.ndarray, "new dim"] | None = None,
        changed_embeddings: Mapping[int, Float[np.ndarray, "dim"]] | None = None,
    ) -> "TokenGenerator":
        """Return a generator for a later version of the same catalogue; tries grow where they can.

        Raises:
            GeneratorError: the T5 reads item embeddings, and there is not one per new item.
        """
        read = self.item_embeddings
        if read is not None:
            read = read_embeddings(read, len(catalogue), item_embeddings, changed_embeddings or {})
        if catalogue.has_items_of(self.catalogue):
            return replace(self, catalogue=catalogue, item_embeddings=read)
        has_same_tokens = np.array_equal(self.catalogue.feature_sets, catalogue.feature_sets[: len(self.catalogue)])
        tries = []
        for language, trie in zip(self.tokenizer.vocabulary.languages, self.tries, strict=True):
            canonical = catalogue.canonical_in(language, self.tokenizer)
            grown = trie.trie.updated(canonical, catalogue.is_retired) if has_same_tokens else None
            tries.append(DeviceTrie(grown or trie_of_tokens(canonical, catalogue.is_retired), self.t5))
        recorded_search = self.recorded_search and self.recorded_search.for_version(tries[0])
        return replace(
            self, catalogue=catalogue, tries=tuple(tries), recorded_search=recorded_search, item_embeddings=read
        )

    def generate(
        self,
        histories: Sequence[Int64[np.ndarray, "position"]],
        seeds: Sequence[int],
        num_views: int,
        num_beams: int,
        is_allowed: Sequence[AllowedItems] | None = None,
    ) -> list[Generated]:
        """Generate items for each history; see `ItemGenerator`."""
        of_histories = list(zip(histories, seeds, strict=True))
        if self.recorded_search is not None and num_views == self.recorded_search.sizes.num_views:
            views = self.encode_views(of_histories, num_views)
            fused = self.recorded_search.run(self.tries[0], views, num_beams, is_allowed)
            if fused is not None:
                return [Generated(*of_history) for of_history in fused]
        languages = self.tokenizer.vocabulary.languages
        beams, requests = [], []
        for place, (language, trie) in enumerate(zip(languages[:num_views], self.tries, strict=False)):
            views_of_language = len(range(place, num_views, len(languages)))
            request_of_view = np.repeat(np.arange(len(histories)), views_of_language)
            found = search(
                self.t5,
                trie,
                self.encode_views(of_histories, views_of_language, language),
                num_beams,
                num_items=num_items_kept(trie, num_beams),
                is_allowed=is_allowed,
                request_of_view=request_of_view,
                content=self.content_of(histories, views_of_language),
            )
            beams.append(found)
            requests.append(request_of_view)
        fused = fuse_views(stacked_beams(beams), np.concatenate(requests), len(histories))
        return [Generated(*of_history) for of_history in fused]

    def encode_views(
        self,
        histories: Sequence[tuple[Int64[np.ndarray, "position"], int]],
        num_views: int,
        language: Language | None = None,
    ) -> TokenBatch:
        """Encode `num_views` views of the newest items of each (history, seed), one history after another.

        In one of the vocabulary's languages, by default the first.
        """
        return stacked(
            [
                self.tokenizer.encode_history_views(
                    self.catalogue.feature_tokens[rows[-self.max_history_items :]], num_views, seed, language=language
                )
                for rows, seed in histories
            ]
        )

    def content_of(
        self, histories: Sequence[Int64[np.ndarray, "position"]], num_views: int
    ) -> Float32[np.ndarray, "view place dim"] | None:
        """Embeddings of the items in each of `encode_views`; None where the T5 reads tokens alone."""
        if self.item_embeddings is None:
            return None
        newest = [rows[-self.max_history_items :] for rows in histories]
        lengths = np.array([len(rows) for rows in newest])
        return padded_content(self.item_embeddings.rows, np.concatenate(newest), lengths).repeat(num_views, axis=0)


def read_embeddings(
    before: GrowingRows,
    num_items: int,
    added: Float[np.ndarray, "new dim"] | None,
    changed: Mapping[int, Float[np.ndarray, "dim"]],
) -> GrowingRows:
    """The embeddings of a later version of a catalogue, which has `num_items`.

    Raises:
        GeneratorError: there is not one per new item.
    """
    num_new, num_added = num_items - len(before.rows), 0 if added is None else len(added)
    if num_added != num_new:
        raise GeneratorError(
            f"got {num_added} item embeddings for {num_new} new items, expected one per item, as the T5 reads them; "
            "pass those that `Bundle.describe_items` returns"
        )
    if changed:
        before = before.with_replaced(np.array(list(changed), dtype=np.int64), np.stack(list(changed.values())))
    return before.with_rows(added) if added is not None and num_new else before


def num_items_kept(trie: DeviceTrie, num_beams: int) -> int:
    """Items to keep per view: more than beams where items finish without a step of their own."""
    return num_beams * (_ITEMS_PER_BEAM if trie.is_reachable_softmax else 1)
