"""Split each token between modalities: how much comes from pictures, how much from words. Start at `modality_shares`.

A code of a fused embedding stands for its centroid: rotated back, an offset from the training mean, whose energy the
fusion splits between modalities. Energies add up over the codes of a token. A precomputed code belongs to the modality
that its category's name begins with.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.fusion import Fusion
from clairo_core.quantizers import Quantizer
from clairo_core.tokens.spelling import categories_of_modalities
from clairo_core.tokens.vocabulary import FIRST_FEATURE_TOKEN, Vocabulary


@dataclass(frozen=True, slots=True, eq=False)
class ModalityShares:
    """Shares of the modalities in every token of a vocabulary."""

    modalities: tuple[str, ...]
    shares: Float64[np.ndarray, "token modality"]
    """Rows add up to 1, or are 0 for PAD, EOS and tokens without a modality, such as collision indices."""
    has_feature_of: Bool[np.ndarray, "token modality"]
    """Whether a feature of the token comes mostly from the modality."""

    def of(self, token: int) -> Mapping[str, float]:
        """A token's shares by modality; empty without any."""
        shares = self.shares[token]
        return dict(zip(self.modalities, shares.tolist(), strict=True)) if shares.any() else {}


def modality_shares(vocabulary: Vocabulary, fusion: Fusion | None, quantizer: Quantizer | None) -> ModalityShares:
    """The shares of every token. Without a fusion, from the names of the categories."""
    if fusion is None or quantizer is None:
        modalities, of_features = _of_named_categories(vocabulary)
    else:
        modalities, of_features = fusion.modalities, _of_codes(vocabulary, fusion, quantizer)
    energies = np.zeros((vocabulary.size, len(modalities)))
    energies[FIRST_FEATURE_TOKEN : vocabulary.features_end] = of_features
    total = energies.sum(axis=1)
    has_feature_of = np.zeros(energies.shape, dtype=np.bool_)
    says_something = np.flatnonzero(total > 0)
    has_feature_of[says_something, energies[says_something].argmax(axis=1)] = True
    for token, (left, right) in enumerate(
        zip(vocabulary.left.tolist(), vocabulary.right.tolist(), strict=True), vocabulary.first_merge_token
    ):
        energies[token] = energies[left] + energies[right]
        has_feature_of[token] = has_feature_of[left] | has_feature_of[right]
    total = energies.sum(axis=1, keepdims=True)
    return ModalityShares(modalities, energies / np.where(total > 0, total, 1), has_feature_of)


def _of_codes(vocabulary: Vocabulary, fusion: Fusion, quantizer: Quantizer) -> Float64[np.ndarray, "feature modality"]:
    """Energy of each code's centroid by modality."""
    energies = fusion.modality_energies(quantizer.code_vectors().reshape(-1, quantizer.dim))
    # The collision index follows the codebooks and has no modality.
    return np.pad(energies, ((0, vocabulary.num_features - len(energies)), (0, 0)))


def _of_named_categories(vocabulary: Vocabulary) -> tuple[tuple[str, ...], Float64[np.ndarray, "feature modality"]]:
    """Modalities by the part of a category's name before its number. Names without a number have no modality."""
    categories_of = categories_of_modalities(vocabulary.category_names)
    belongs = np.zeros((len(vocabulary.category_names), len(categories_of)))
    for column, categories in enumerate(categories_of.values()):
        belongs[list(categories), column] = 1
    return tuple(categories_of), np.repeat(belongs, vocabulary.category_sizes, axis=0)
