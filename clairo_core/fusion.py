"""Turn the modality embeddings of items into one item embedding each, whatever the modalities are.

Each modality is centred, reduced by PCA to one size and brought to the same energy; then they stand side by side.
Knows nothing of encoders, codes or how many modalities there are.

Source: PCA 1:1 and concatenation as in the multimodal baselines of MGR. We differ: no final PCA (OPQ rotates anyway),
and a modality that an item lacks takes the training mean and a flag instead of a zero vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32
from sklearn.decomposition import PCA

from clairo_core.array_folder import load_array_folder, save_array_folder
from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.errors import FusionError

_KIND = "concat-pca"


@dataclass(frozen=True, slots=True, eq=False)
class FusedItems:
    """Item embeddings, and what they were made of."""

    item_embeddings: Float32[np.ndarray, "item dim"]
    is_present: Bool[np.ndarray, "item modality"]
    """In the order of the fusion's modalities; False where the training mean stands in."""


@dataclass(frozen=True, slots=True, eq=False)
class ConcatPcaFusion:
    """Fitted means and projections, one of each a modality."""

    modalities: tuple[str, ...]
    means: Mapping[str, Float32[np.ndarray, "embedding"]]
    projections: Mapping[str, Float32[np.ndarray, "embedding component"]]
    """Principal components, scaled so that a training item's part has unit energy on average."""

    @property
    def dim(self) -> int:
        """Size of an item embedding."""
        return sum(projection.shape[1] for projection in self.projections.values())

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """One item embedding for each row of the modality embeddings.

        Raises:
            FusionError: a modality is missing as a whole, has another size, or another number of items.
        """
        parts, flags = [], []
        for modality in self.modalities:
            given = self._checked(modality, embeddings)
            # The training mean projects to the origin of this modality's part.
            centred = np.where(given.is_present[:, None], given.vectors - self.means[modality], np.float32(0))
            parts.append(centred @ self.projections[modality])
            flags.append(given.is_present)
        if len({len(part) for part in parts}) != 1:
            sizes = {modality: len(part) for modality, part in zip(self.modalities, parts, strict=True)}
            raise FusionError(f"modalities have different numbers of items: {sizes}; give the same items for each")
        return FusedItems(np.concatenate(parts, axis=1).astype(np.float32), np.stack(flags, axis=1))

    def save(self, folder: Path) -> None:
        """Write fusion.json and the arrays into `folder`."""
        arrays = {f"mean.{modality}": mean for modality, mean in self.means.items()}
        arrays |= {f"projection.{modality}": projection for modality, projection in self.projections.items()}
        save_array_folder(folder, "fusion", _KIND, arrays, {"modalities": list(self.modalities)})

    def _checked(self, modality: str, embeddings: Mapping[str, ModalityEmbeddings]) -> ModalityEmbeddings:
        if modality not in embeddings:
            raise FusionError(
                f"no embeddings of modality {modality!r}; the fusion was fitted on {list(self.modalities)}; "
                "give rows that are not present where items lack it"
            )
        given = embeddings[modality]
        expected = len(self.means[modality])
        if given.vectors.ndim != 2 or given.vectors.shape[1] != expected:
            raise FusionError(
                f"{modality} embeddings have shape {given.vectors.shape}, expected (items, {expected}); "
                "use the encoder that the fusion was fitted with"
            )
        return given


def fit_fusion(embeddings: Mapping[str, ModalityEmbeddings], dim_per_modality: int, seed: int = 0) -> ConcatPcaFusion:
    """Fit means and principal components on training items; rows that are not present are left out.

    Where a modality has fewer items or dimensions than `dim_per_modality`, its part is filled up with zero
    components, so that all parts have the same size.

    Raises:
        FusionError: there is no modality, or one that no item has.
    """
    if not embeddings or dim_per_modality < 1:
        raise FusionError(
            f"{len(embeddings)} modalities at {dim_per_modality} dimensions each; give at least one of both"
        )
    means, projections = {}, {}
    for modality, given in embeddings.items():
        present = given.vectors[given.is_present].astype(np.float64)
        if len(present) == 0:
            raise FusionError(f"no training item has modality {modality!r}; leave it out")
        means[modality] = present.mean(axis=0).astype(np.float32)
        projections[modality] = principal_projection(present, dim_per_modality, seed)
    return ConcatPcaFusion(tuple(embeddings), means, projections)


def principal_projection(
    vectors: Float[np.ndarray, "item embedding"], dim: int, seed: int
) -> Float32[np.ndarray, "embedding component"]:
    """The first `dim` principal components as columns, scaled so that a projected item has unit mean energy."""
    rank = min(dim, *vectors.shape)
    components = PCA(rank, svd_solver="auto", random_state=seed).fit(vectors).components_.T
    # A component's sign is arbitrary: the largest entry is positive, so that every machine agrees.
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(rank)])
    energy = np.square((vectors - vectors.mean(axis=0)) @ components).sum(axis=1).mean()
    if energy > 0:
        components = components / np.sqrt(energy)
    return np.pad(components, ((0, 0), (0, dim - rank))).astype(np.float32)


def load_fusion(folder: Path) -> ConcatPcaFusion:
    """Read a fusion that `save` wrote.

    Raises:
        FusionError: the folder is damaged or holds something else.
    """
    saved = load_array_folder(folder, "fusion", _KIND, FusionError)
    modalities = saved.texts("modalities")
    means = {name: saved.array(f"mean.{name}", np.float32, (None,)) for name in modalities}
    projections = {name: saved.array(f"projection.{name}", np.float32, (len(means[name]), None)) for name in modalities}
    return ConcatPcaFusion(modalities, means, projections)
