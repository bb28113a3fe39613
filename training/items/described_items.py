"""Items as the later stages take them: feature sets, and the parts that made them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from clairo_core.features import COLLISION_CATEGORY, FeatureSpace
from clairo_core.fusion import FusedItems, Fusion
from clairo_core.quantizers import Quantizer
from training.items.encode_stage import EncodedItems


@dataclass(frozen=True, slots=True, eq=False)
class ContentParts:
    """The parts that turn an item's content into a feature set, now and once it is served."""

    encoded: Mapping[str, EncodedItems]
    """By modality."""
    fusion: Fusion
    quantizer: Quantizer
    fused: FusedItems
    """Item embeddings as they were quantized."""


@dataclass(frozen=True, slots=True, eq=False)
class DescribedItems:
    """Every item's feature set."""

    feature_sets: Int32[np.ndarray, "item category"]
    space: FeatureSpace
    key: str
    """Names everything that the feature sets depend on."""
    content: ContentParts | None = None
    """None for precomputed codes."""

    def as_posted(self) -> Float32[np.ndarray, "item dim"]:
        """Each item's embedding by its content alone, like a posted item's. With precomputed codes, its features."""
        if self.content is None:
            return self._one_column_per_feature()
        encoded = self.content.encoded
        embeddings = {modality: encoded[modality].embeddings() for modality in self.content.fusion.modalities}
        return self.content.fusion.fuse(embeddings).item_embeddings.astype(np.float32)

    def start_vectors(self) -> Float32[np.ndarray, "feature dim"] | None:
        """Where the codes' tokens start, codebook after codebook; None for precomputed codes."""
        if self.content is None:
            return None
        vectors = self.content.quantizer.start_vectors()
        return vectors.reshape(-1, vectors.shape[-1])

    def _one_column_per_feature(self) -> Float32[np.ndarray, "item feature"]:
        """1 where an item has a feature. The collision index says nothing about content and has no columns."""
        sizes = [
            0 if name == COLLISION_CATEGORY else size
            for name, size in zip(self.space.category_names, self.space.category_sizes, strict=True)
        ]
        columns = np.zeros((len(self.feature_sets), sum(sizes)), np.float32)
        rows, first = np.arange(len(columns)), 0
        for features, size in zip(self.feature_sets.T, sizes, strict=True):
            if size:
                columns[rows, first + features] = 1
                first += size
        return columns
