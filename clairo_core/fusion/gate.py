"""Turn modality embeddings into item embeddings with one gate per modality and item. Start at `GatedFusion.fuse`.

Each part of a concatenation is multiplied by a gate computed from all parts and from the missing modalities. Training
learns the gates' weights.

Source: the gated multimodal unit of Arevalo et al. 2017. We differ: parts stay side by side instead of being summed, in
any number, and a gate of 1 (zero weights) is the plain concatenation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy.special import expit

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion.concat_pca import ConcatPcaFusion, load_concat_pca
from clairo_core.fusion.fusion import FusedItems
from clairo_core.storage.array_folder import load_array_folder, save_array_folder


@dataclass(frozen=True, slots=True, eq=False)
class GatedFusion:
    """A concatenation, then one gate from 0 to 2 per modality and item."""

    content: ConcatPcaFusion
    part_weights: Float32[np.ndarray, "dim modality"]
    presence_weights: Float32[np.ndarray, "modality modality"]
    bias: Float32[np.ndarray, "modality"]
    mean_squares: Float32[np.ndarray, "modality"]
    """Mean squared gates over the training items."""

    kind: ClassVar[str] = "gate"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in fitted order."""
        return self.content.modalities

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return self.content.dim

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """Fuse each row of the modality embeddings."""
        fused = self.content.fuse(embeddings)
        width = self.dim // len(self.modalities)
        opened = np.repeat(self.gates(fused.item_embeddings, fused.is_present), width, axis=1)
        return FusedItems((fused.item_embeddings * opened).astype(np.float32), fused.is_present)

    def gates(
        self, parts: Float[np.ndarray, "item dim"], is_present: Bool[np.ndarray, "item modality"]
    ) -> Float[np.ndarray, "item modality"]:
        """The factor of each modality of each item; 1 leaves it unchanged."""
        return np.asarray(2 * expit(parts @ self.part_weights + is_present @ self.presence_weights + self.bias))

    def modality_energies(self, vectors: Float[np.ndarray, "vector dim"]) -> Float64[np.ndarray, "vector modality"]:
        """The squared length of each vector's part in each modality, times the mean squared gate."""
        return np.asarray(self.content.modality_energies(vectors) * self.mean_squares)

    def save(self, folder: Path) -> None:
        """Write fusion.json and the gates' weights, and the concatenation into a subfolder."""
        names = ("part_weights", "presence_weights", "bias", "mean_squares")
        save_array_folder(folder, "fusion", self.kind, {name: getattr(self, name) for name in names})
        self.content.save(folder / "content")


def load_gate(folder: Path) -> GatedFusion:
    """Load a saved gated fusion.

    Raises:
        FusionError: the folder is damaged.
    """
    content = load_concat_pca(folder / "content")
    saved = load_array_folder(folder, "fusion", GatedFusion.kind, FusionError)
    count = len(content.modalities)
    return GatedFusion(
        content,
        saved.array("part_weights", np.float32, (content.dim, count)),
        saved.array("presence_weights", np.float32, (count, count)),
        saved.array("bias", np.float32, (count,)),
        saved.array("mean_squares", np.float32, (count,)),
    )
