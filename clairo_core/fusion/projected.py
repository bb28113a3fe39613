"""Project another fusion's item embeddings by a matrix: principal components of all modalities, or fitted to behaviour.

Start at `ProjectedFusion.fuse`; `fit_final_pca` fits one, training fits an `AlignedFusion`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion.fusion import FusedItems, Fusion
from clairo_core.fusion.principal_components import principal_projection
from clairo_core.storage.array_folder import save_array_folder


@dataclass(frozen=True, slots=True, eq=False)
class ProjectedFusion:
    """A content fusion, then a matrix."""

    content: Fusion
    alignment: Float32[np.ndarray, "content dim"]
    """Without intercept: an item without content stays at the origin, the training mean."""
    content_spread: Float32[np.ndarray, "content"]
    """Standard deviation of each component of the content embedding over the training items."""

    kind: ClassVar[str] = "final-pca"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in fitted order."""
        return self.content.modalities

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return int(self.alignment.shape[1])

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """Fuse each row of the modality embeddings."""
        fused = self.content.fuse(embeddings)
        return FusedItems(fused.item_embeddings @ self.alignment, fused.is_present)

    def modality_energies(self, vectors: Float[np.ndarray, "vector dim"]) -> Float64[np.ndarray, "vector modality"]:
        """The variance that the training items' content in each modality has along each vector."""
        return self.content.modality_energies((vectors @ self.alignment.T) * self.content_spread)

    def save(self, folder: Path) -> None:
        """Write fusion.json and the matrix, and the content fusion into a subfolder."""
        save_array_folder(
            folder, "fusion", self.kind, {"alignment": self.alignment, "content_spread": self.content_spread}
        )
        self.content.save(folder / "content")


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFusion(ProjectedFusion):
    """A content fusion, then a matrix fitted to behaviour: items that follow each other in histories are close.

    The matrix amplifies directions that predict usage, and damps the rest. An item without interactions is placed by
    its content, near items of similar content and known usage. Similar to DropoutNet (Volkovs et al. 2017), which
    learns to cope without behaviour by dropping it; here one linear regression suffices, which takes seconds and is
    deterministic.
    """

    kind: ClassVar[str] = "aligned"


def fit_final_pca(
    content: Fusion, embeddings: Mapping[str, ModalityEmbeddings], dim: int, *, whiten: bool = False, seed: int = 0
) -> ProjectedFusion:
    """Fit the first `dim` principal components of the training items' content, at a mean squared length of 1.

    Args:
        content: fitted on the same items.
        embeddings: of the training items.
        dim: of the item embedding; with fewer directions the rest are zeros.
        whiten: whether all components have equal variance.
        seed: of the decomposition.

    Raises:
        FusionError: `dim` is below 1.
    """
    if dim < 1:
        raise FusionError(f"the final PCA has {dim} dimensions, expected at least 1; raise it")
    fused = content.fuse(embeddings).item_embeddings.astype(np.float64)
    is_known: Bool[np.ndarray, "item"] = np.abs(fused).max(axis=1) > 0
    # Not centred: the origin is the mean of present items, and the place of missing modalities.
    matrix = principal_projection(fused[is_known], dim, seed, whiten=whiten)
    return ProjectedFusion(content, matrix, fused.std(axis=0).astype(np.float32))
