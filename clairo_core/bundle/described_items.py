"""Describe items from their content by a bundle's frozen parts: embedding, codes, feature set and tokens."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from jaxtyping import Float32

from clairo_core.encoders import ModalityEncoder
from clairo_core.feature_index import TakenFeatureSets
from clairo_core.features import FeatureSpace, nearest_free_feature_set
from clairo_core.fusion import FusedItems, Fusion
from clairo_core.items import Item
from clairo_core.quantizers import Quantizer
from clairo_core.quantizers.nearest_codes import nearest_codes
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class DescribedItem:
    """An item's content in a bundle's terms."""

    item_embedding: Float32[np.ndarray, "dim"]
    semantic_id: tuple[int, ...]
    """The nearest codes."""
    feature_set: tuple[int, ...]
    """The nearest free one; as a rule the semantic id and a collision index."""
    tokens: tuple[int, ...]
    """The canonical tokens of the feature set."""
    missing_modalities: tuple[str, ...]
    """Replaced by the training mean, because the item lacks them or they are unreadable."""


def describe_content(
    items: Sequence[Item],
    taken: Container[tuple[int, ...]],
    encoders: Mapping[str, ModalityEncoder],
    fusion: Fusion,
    quantizer: Quantizer,
    vocabulary: Vocabulary,
) -> list[DescribedItem]:
    """Describe items, each with the nearest feature set that neither `taken` nor an earlier item has.

    Raises:
        FeatureSetError: the vocabulary was made with another quantizer.
        FeatureSpaceFullError: every feature set is in use.
    """
    fused = fuse_content(items, encoders, fusion)
    space = FeatureSpace(vocabulary.category_names, vocabulary.category_sizes)
    tokenizer = Tokenizer(vocabulary)
    in_use = TakenFeatureSets(vocabulary.spelled_categories, taken)
    described = []
    for row, item_embedding in enumerate(fused.item_embeddings):
        nearest = nearest_codes(quantizer, item_embedding)
        semantic_id = next(nearest)
        feature_set = nearest_free_feature_set(chain([semantic_id], nearest), in_use, space)
        in_use.add(feature_set)
        feature_tokens = vocabulary.feature_tokens(np.array([feature_set], dtype=np.int32))
        described.append(
            DescribedItem(
                item_embedding,
                semantic_id,
                feature_set,
                tuple(tokenizer.encode_canonical(feature_tokens).tolist()),
                missing_modalities(fusion, fused, row),
            )
        )
    return described


def fuse_content(items: Sequence[Item], encoders: Mapping[str, ModalityEncoder], fusion: Fusion) -> FusedItems:
    """Item embeddings as posted items get them; a missing or unreadable modality takes the training mean."""
    return fusion.fuse({modality: encoder.encode(items) for modality, encoder in encoders.items()})


def missing_modalities(fusion: Fusion, fused: FusedItems, row: int) -> tuple[str, ...]:
    """Names of the modalities that one item lacks."""
    return tuple(
        modality
        for modality, is_present in zip(fusion.modalities, fused.is_present[row], strict=True)
        if not is_present
    )
