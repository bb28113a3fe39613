"""The protocol of all fusion schemes: modality embeddings of items in, one item embedding per item out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from clairo_core.encoders.encoder import ModalityEmbeddings


@dataclass(frozen=True, slots=True, eq=False)
class FusedItems:
    """Item embeddings, and the modalities that they were made of."""

    item_embeddings: Float32[np.ndarray, "item dim"]
    is_present: Bool[np.ndarray, "item modality"]
    """In the order of the fusion's modalities; False where the training mean was used."""


class Fusion(Protocol):
    """A fitted scheme. Frozen: a posted item is fused as the training items were."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in fitted order."""

    @property
    def dim(self) -> int:
        """Length of an item embedding."""

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """Fuse each row of the modality embeddings; modalities that were not fitted are ignored.

        Raises:
            FusionError: a modality is missing, its vectors have another length, or the numbers of items differ.
        """

    def modality_energies(self, vectors: Float[np.ndarray, "vector dim"]) -> Float64[np.ndarray, "vector modality"]:
        """The part of each direction's energy that comes from each modality, in any unit."""

    def save(self, folder: Path) -> None:
        """Write fusion.json and the arrays into `folder`."""
