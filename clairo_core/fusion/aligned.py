"""Turn modality embeddings into item embeddings in which items that follow one another in histories are close.

Pictures and words are fused by PCA and concatenation; a matrix then turns up what of them tells how an item is used,
and turns down the rest. Knows that matrix; how it is fitted to behaviour is training's matter. Start at
`AlignedFusion.fuse`.

An item that nobody has touched is placed by its content alone, where items of such content are placed by what people
did with them. Close in spirit to DropoutNet (Volkovs et al. 2017), which learns to do without behaviour by leaving it
out; here it is one linear regression, so that training takes seconds and nothing is drawn by chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64

from clairo_core.array_folder import load_array_folder, save_array_folder
from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion.concat_pca import ConcatPcaFusion, load_concat_pca
from clairo_core.fusion.fusion import FusedItems

KIND = "aligned"


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFusion:
    """A content fusion, then a matrix."""

    content: ConcatPcaFusion
    alignment: Float32[np.ndarray, "content dim"]
    """Without intercept: an item of which nothing is known is at the origin, the training mean of both sides."""
    content_spread: Float32[np.ndarray, "content"]
    """Standard deviation of each component of the content embedding over the training items."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in the order in which the content fusion was fitted."""
        return self.content.modalities

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return int(self.alignment.shape[1])

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """One item embedding for each row of the modality embeddings, by content alone.

        Raises:
            FusionError: a modality is not given, its vectors have another length, or the numbers of items differ.
        """
        fused = self.content.fuse(embeddings)
        return FusedItems(fused.item_embeddings @ self.alignment, fused.is_present)

    def modality_energies(self, vectors: Float[np.ndarray, "vector dim"]) -> Float64[np.ndarray, "vector modality"]:
        """The variance that the training items' content in each modality has along each vector."""
        return self.content.modality_energies((vectors @ self.alignment.T) * self.content_spread)

    def save(self, folder: Path) -> None:
        """Write fusion.json, the matrix, and the content fusion in a folder below."""
        save_array_folder(folder, "fusion", KIND, {"alignment": self.alignment, "content_spread": self.content_spread})
        self.content.save(folder / "content")


def load_aligned(folder: Path) -> AlignedFusion:
    """Read an aligned fusion that `save` wrote.

    Raises:
        FusionError: the folder is damaged.
    """
    content = load_concat_pca(folder / "content")
    saved = load_array_folder(folder, "fusion", KIND, FusionError)
    return AlignedFusion(
        content,
        saved.array("alignment", np.float32, (content.dim, None)),
        saved.array("content_spread", np.float32, (content.dim,)),
    )
