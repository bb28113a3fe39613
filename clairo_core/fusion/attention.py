"""Turn modality embeddings into item embeddings by attention over modalities. Start at `AttentionFusion.fuse`.

Each modality's part is projected into one space, and the parts are summed by attention weights, which add up to 1 over
the item's modalities. Training learns the matrices.

Source: additive attention (Bahdanau et al. 2015) over modalities, as in Hori et al. 2017. We differ: the sum is
multiplied by the number of modalities, so equal attention with untrained matrices is the plain concatenation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy.special import softmax

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion.concat_pca import ConcatPcaFusion, load_concat_pca
from clairo_core.fusion.fusion import FusedItems
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

_NEVER = -1e9


@dataclass(frozen=True, slots=True, eq=False)
class AttentionFusion:
    """A concatenation whose parts are weighted by attention and summed in one space."""

    content: ConcatPcaFusion
    keys: Float32[np.ndarray, "modality component key"]
    key_bias: Float32[np.ndarray, "modality key"]
    query: Float32[np.ndarray, "key"]
    values: Float32[np.ndarray, "modality component dim"]
    spread: Float32[np.ndarray, "modality component"]
    """Standard deviation of each component of each part over the training items, at their mean attention."""

    kind: ClassVar[str] = "attention"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in fitted order."""
        return self.content.modalities

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return int(self.values.shape[2])

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """Fuse each row of the modality embeddings; zeros for an item without modalities."""
        fused = self.content.fuse(embeddings)
        parts = fused.item_embeddings.reshape(len(fused.item_embeddings), *self.values.shape[:2])
        shares = self.attention(parts, fused.is_present) * len(self.modalities)
        item_embeddings = np.einsum("im,imc,mcd->id", shares, parts, self.values, optimize=True)
        return FusedItems(item_embeddings.astype(np.float32), fused.is_present)

    def attention(
        self, parts: Float[np.ndarray, "item modality component"], is_present: Bool[np.ndarray, "item modality"]
    ) -> Float[np.ndarray, "item modality"]:
        """Attention weights; they add up to 1 over an item's modalities."""
        keys = np.tanh(np.einsum("imc,mck->imk", parts, self.keys) + self.key_bias)
        return np.asarray(softmax(np.where(is_present, keys @ self.query, _NEVER), axis=1))

    def modality_energies(self, vectors: Float[np.ndarray, "vector dim"]) -> Float64[np.ndarray, "vector modality"]:
        """The variance that the training items' content in each modality has along each vector, at mean attention."""
        along = np.einsum("vd,mcd->vmc", vectors.astype(np.float64), self.values) * self.spread
        return np.asarray(np.square(along).sum(axis=2))

    def save(self, folder: Path) -> None:
        """Write fusion.json and the matrices, and the concatenation into a subfolder."""
        names = ("keys", "key_bias", "query", "values", "spread")
        save_array_folder(folder, "fusion", self.kind, {name: getattr(self, name) for name in names})
        self.content.save(folder / "content")


def load_attention(folder: Path) -> AttentionFusion:
    """Load a saved attention fusion.

    Raises:
        FusionError: the folder is damaged.
    """
    content = load_concat_pca(folder / "content")
    saved = load_array_folder(folder, "fusion", AttentionFusion.kind, FusionError)
    count = len(content.modalities)
    width = content.dim // count
    query = saved.array("query", np.float32, (None,))
    return AttentionFusion(
        content,
        saved.array("keys", np.float32, (count, width, len(query))),
        saved.array("key_bias", np.float32, (count, len(query))),
        query,
        saved.array("values", np.float32, (count, width, None)),
        saved.array("spread", np.float32, (count, width)),
    )
