"""Columns of attributes and rows of item embeddings, for filters, diversity and similarity.

Before each use a table takes over added and changed items, on the event loop's thread, between two awaits. Another
bundle gets another table; a request that began with the old one finishes with it. Start at
`CurrentItemTable.current`.
"""

import asyncio
import hashlib

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from clairo_core.bundle.bundle import Bundle
from clairo_core.catalogue import Catalogue
from clairo_core.selection.attribute_columns import AttributeColumns
from clairo_core.selection.diversity import cosine_similarities, shared_code_similarities
from clairo_core.selection.item_filters import ItemFilter, allowed_rows, warnings_of
from clairo_core.selection.similar_items import EmbeddingTable, modality_similarities
from service.live_catalogue import LiveCatalogue
from service.served_items import ServedItems


class ItemTable:
    """Attributes and embeddings of a bundle's items and those posted since, retired ones included."""

    def __init__(self, bundle: Bundle, items: ServedItems) -> None:
        self.bundle = bundle
        self.items = ServedItems(bundle)
        self.columns = AttributeColumns.of(bundle.items.attributes, len(bundle.items))
        fused = bundle.item_embeddings
        self.vectors = None if fused is None else EmbeddingTable(fused.item_embeddings)
        """None in a bundle without encoders."""
        self._num_changes = -1
        self._follow(items)

    @property
    def bundle_id(self) -> str:
        """Id of the bundle."""
        return self.bundle.manifest.bundle_id

    def allowed_rows(self, item_filter: ItemFilter) -> Bool[np.ndarray, "item"]:
        """Mask of the rows that pass."""
        return allowed_rows(item_filter, self.columns, len(self.bundle.items))

    def warnings_of(self, item_filter: ItemFilter) -> tuple[str, ...]:
        """What about the filter may surprise its sender, given these items."""
        return warnings_of(item_filter, self.columns)

    def similarities(self, catalogue: Catalogue, rows: Int64[np.ndarray, "row"]) -> Float64[np.ndarray, "row row"]:
        """Cosines of item embeddings, or shares of equal codes where there are no embeddings."""
        if self.vectors is not None:
            return cosine_similarities(self.vectors.of_rows(rows))
        return shared_code_similarities(catalogue.feature_sets[rows])

    def modality_similarities(self, row: int, others: Int[np.ndarray, "other"]) -> list[dict[str, float | None]]:
        """Cosines of an item and each of the others within each modality; None where either item lacks it."""
        fusion = self.bundle.fusion
        if fusion is None or self.vectors is None or not len(others):
            return [{} for _ in others]
        vector, of_others = self.vectors.of_rows(np.array([row]))[0], self.vectors.of_rows(others)
        found = []
        for other, cosines in zip(others, modality_similarities(fusion, vector, of_others), strict=True):
            missing = {*self.items[row].missing_modalities, *self.items[other].missing_modalities}
            found.append(
                {
                    modality: None if modality in missing or np.isnan(cosine) else round(float(cosine), 4)
                    for modality, cosine in zip(fusion.modalities, cosines, strict=True)
                }
            )
        return found

    def take_over(self, live: LiveCatalogue) -> None:
        """Bring columns and embeddings in step with `live`, which must hold the same bundle."""
        if live.num_changes != self._num_changes:
            self._follow(live.items)
            self._num_changes = live.num_changes

    def _follow(self, items: ServedItems) -> None:
        """Take over a later version of the items."""
        before, changed = self.items, items.rows_changed_since(self.items)
        self.columns.replace({row: (before[row].item.attributes, items[row].item.attributes) for row in changed})
        for served in items[len(before) :]:
            self.columns.append(served.item.attributes)
        if self.vectors is not None:
            for row in changed:
                embedding = items[row].item_embedding
                if embedding is not None and embedding is not before[row].item_embedding:
                    self.vectors.replace(row, embedding)
            for served in items[len(before) :]:
                self.vectors.append(served.item_embedding)
        self.items = items


class CurrentItemTable:
    """The table of the served bundle."""

    def __init__(self, live: LiveCatalogue) -> None:
        self._live = live
        self._newest: ItemTable | None = None
        self._one_at_a_time = asyncio.Lock()

    async def current(self) -> ItemTable:
        """The table of the served bundle, in step with it until the caller's next await."""
        while self._newest is None or self._newest.bundle is not self._live.bundle:
            async with self._one_at_a_time:
                bundle = self._live.bundle
                if self._newest is None or self._newest.bundle is not bundle:
                    # Many items take seconds: not on the event loop.
                    self._newest = await asyncio.to_thread(ItemTable, bundle, self._live.items)
        self._newest.take_over(self._live)
        return self._newest

    def become(self, other: "CurrentItemTable") -> None:
        """Take over the table of a bundle that was swapped in, instead of building it again."""
        self._newest = other._newest


def digest_of_rows(is_allowed: Bool[np.ndarray, "item"]) -> str:
    """Digest a mask: what a filter selects may change while its words stay the same."""
    return hashlib.sha256(np.packbits(is_allowed).tobytes()).hexdigest()
