"""How much of what a token says comes from pictures, and how much from words.

Knows vocabularies, fusions and quantizers; knows nothing of histories. Start at `modality_shares`.

A code of a fused embedding stands for its centroid. Rotated back, the centroid is an offset from the training mean, of
which the fusion says how much comes from each modality; that adds up over the codes of a token, and gives the shares.
A code that came with the data belongs to one modality, which its category's name begins with.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from clairo_core.fusion import Fusion
from clairo_core.quantizers import OpqQuantizer
from clairo_core.tokens.vocabulary import FIRST_FEATURE_TOKEN, Vocabulary


@dataclass(frozen=True, slots=True, eq=False)
class ModalityShares:
    """What every token of a vocabulary is made of."""

    modalities: tuple[str, ...]
    shares: Float64[np.ndarray, "token modality"]
    """Adding up to 1; all 0 for PAD, EOS and tokens of no modality, such as collision indices."""
    has_feature_of: Bool[np.ndarray, "token modality"]
    """Whether one of the token's features comes mostly from the modality."""

    def of(self, token: int) -> Mapping[str, float]:
        """A token's shares by modality; empty if it has none."""
        shares = self.shares[token]
        return dict(zip(self.modalities, shares.tolist(), strict=True)) if shares.any() else {}


def modality_shares(vocabulary: Vocabulary, fusion: Fusion | None, quantizer: OpqQuantizer | None) -> ModalityShares:
    """The shares of every token; from the names of the categories where there is no fusion."""
    if fusion is None or quantizer is None:
        modalities, of_features = _of_named_categories(vocabulary)
    else:
        modalities, of_features = fusion.modalities, _of_codes(vocabulary, fusion, quantizer)
    energies = np.zeros((vocabulary.size, len(modalities)))
    energies[FIRST_FEATURE_TOKEN : vocabulary.first_merge_token] = of_features
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


def _of_codes(
    vocabulary: Vocabulary, fusion: Fusion, quantizer: OpqQuantizer
) -> Float64[np.ndarray, "feature modality"]:
    """How much of each code's centroid comes from each modality."""
    num_codebooks, num_centroids, subdim = quantizer.codebooks.shape
    axes = quantizer.rotation.reshape(num_codebooks, subdim, quantizer.dim).astype(np.float64)
    centroids = np.einsum("kcs,ksd->kcd", quantizer.codebooks.astype(np.float64), axes)
    energies = fusion.modality_energies(centroids.reshape(-1, quantizer.dim))
    # Behind the codebooks comes the collision index, which says nothing of the item.
    return np.pad(energies, ((0, vocabulary.num_features - num_codebooks * num_centroids), (0, 0)))


def _of_named_categories(vocabulary: Vocabulary) -> tuple[tuple[str, ...], Float64[np.ndarray, "feature modality"]]:
    """Modalities by what stands before the number in a category's name; a name without one is of no modality."""
    matches = [re.fullmatch(r"(.+)_\d+", name) for name in vocabulary.category_names]
    prefixes = [match[1] if match else None for match in matches]
    modalities = tuple(dict.fromkeys(prefix for prefix in prefixes if prefix is not None))
    belongs = np.array([[prefix == modality for modality in modalities] for prefix in prefixes], dtype=np.float64)
    return modalities, np.repeat(belongs.reshape(len(prefixes), len(modalities)), vocabulary.category_sizes, axis=0)
