"""Turn any number of modality embeddings per item into one item embedding. Start at `ConcatPcaFusion.fuse`.

Each modality is centred, reduced by PCA to the same size and scaled to the same energy; then all are concatenated.

Source: PCA 1:1 and concatenation as in MGR-EF. We differ: the final PCA is a separate scheme, as OPQ rotates anyway; a
missing modality is the training mean, the origin here, and a flag (`EvenedFusion` restores the missing length). Items
are not normalized one by one: on films' posters and words that changed neighbours' overlap by about 1%, and it would
inflate items with little content.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion.fusion import FusedItems
from clairo_core.fusion.principal_components import principal_projection
from clairo_core.fusion.row_blocks import row_blocks
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

KIND = "concat-pca"


@dataclass(frozen=True, slots=True, eq=False)
class ConcatPcaFusion:
    """One training mean and one projection per modality. Make one with `fit_fusion`."""

    modalities: tuple[str, ...]
    means: Mapping[str, Float32[np.ndarray, "embedding"]]
    projections: Mapping[str, Float32[np.ndarray, "embedding component"]]
    """Principal components, scaled so that the squared length of a training item's part is 1 on average."""

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return sum(projection.shape[1] for projection in self.projections.values())

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """Fuse each row of the modality embeddings; modalities that were not fitted are ignored."""
        given = [self._checked(modality, embeddings) for modality in self.modalities]
        if len({len(part) for part in given}) > 1:
            counts = {modality: len(part) for modality, part in zip(self.modalities, given, strict=True)}
            raise FusionError(f"modalities have different numbers of items, {counts}; give one row per item")
        item_embeddings = np.empty((len(given[0]), self.dim), np.float32)
        for rows in row_blocks(len(given[0])):
            parts = [
                # Centring moves the training mean to the origin.
                np.where(part.is_present[rows, None], part.vectors[rows] - self.means[modality], 0)
                @ self.projections[modality]
                for modality, part in zip(self.modalities, given, strict=True)
            ]
            item_embeddings[rows] = np.concatenate(parts, axis=1)
        return FusedItems(item_embeddings, np.stack([part.is_present for part in given], axis=1))

    def modality_energies(self, vectors: Float[np.ndarray, "vector dim"]) -> Float64[np.ndarray, "vector modality"]:
        """The squared length of each vector's part in each modality."""
        widths = [self.projections[modality].shape[1] for modality in self.modalities]
        starts = np.cumsum([0, *widths[:-1]])
        return np.asarray(np.add.reduceat(np.square(vectors.astype(np.float64)), starts, axis=1))

    def save(self, folder: Path) -> None:
        """Write fusion.json and the arrays into `folder`."""
        arrays = {f"mean_{number}": self.means[modality] for number, modality in enumerate(self.modalities)}
        arrays |= {f"projection_{number}": self.projections[name] for number, name in enumerate(self.modalities)}
        save_array_folder(folder, "fusion", KIND, arrays, {"modalities": self.modalities})

    def _checked(self, modality: str, embeddings: Mapping[str, ModalityEmbeddings]) -> ModalityEmbeddings:
        if modality not in embeddings:
            raise FusionError(
                f"got embeddings of {sorted(embeddings)}, expected {modality!r} too; "
                "give rows that are not present for items that lack it"
            )
        given = embeddings[modality]
        length = len(self.means[modality])
        if given.vectors.shape[1] != length:
            raise FusionError(
                f"{modality} embeddings have shape {given.vectors.shape}, expected (items, {length}); "
                "use the encoder that the fusion was fitted with"
            )
        return given


def fit_fusion(
    embeddings: Mapping[str, ModalityEmbeddings],
    dim_per_modality: int,
    seed: int = 0,
    *,
    weights: Mapping[str, float] | None = None,
    whiten: bool = False,
    maps: Mapping[str, Float64[np.ndarray, "embedding mapped"]] | None = None,
) -> ConcatPcaFusion:
    """Fit means and principal components on training items; rows that are not present are left out.

    A modality with fewer directions than `dim_per_modality` (few items, or identical ones) is padded with zeros, so
    that an item embedding's length depends on the settings alone.

    Args:
        embeddings: of the training items.
        dim_per_modality: principal components per modality.
        seed: of the decomposition.
        weights: factor of each modality's part; 1 by default.
        whiten: whether all components of a modality have equal variance.
        maps: a matrix per modality, applied to its centred embeddings before the PCA, such as those of
            `fit_modality_maps`.

    Raises:
        FusionError: a weight is not positive or of an unknown modality; there is no modality, or no item has one of
            them; a vector is not finite; `dim_per_modality` is below 1.
    """
    if not embeddings or dim_per_modality < 1:
        raise FusionError(
            f"got {len(embeddings)} modalities of {dim_per_modality} dimensions each, expected at least one of each; "
            "give embeddings, or raise dim_per_modality"
        )
    weights = weights or {}
    unknown = sorted(set(weights) - set(embeddings))
    if unknown or not all(np.isfinite(weight) and weight > 0 for weight in weights.values()):
        raise FusionError(
            f"weights are {dict(weights)}, expected positive numbers for some of {', '.join(embeddings)}; "
            "leave a modality out instead of weighting it 0"
        )
    means, projections = {}, {}
    for modality, given in embeddings.items():
        present = given.vectors[given.is_present].astype(np.float64)
        if len(present) == 0:
            raise FusionError(f"no training item of {len(given)} has the modality {modality!r}; leave it out")
        if not np.isfinite(present).all():
            raise FusionError(f"{modality} embeddings have values that are not finite; check their encoder")
        mean = present.mean(axis=0)
        means[modality] = mean.astype(np.float32)
        centred = present - mean
        if maps is None:
            components = principal_projection(centred, dim_per_modality, seed, whiten=whiten)
        else:
            # Both matrices become one, for serving.
            mapped = centred @ maps[modality]
            components = maps[modality] @ principal_projection(mapped, dim_per_modality, seed, whiten=whiten)
        projections[modality] = (components * weights.get(modality, 1.0)).astype(np.float32)
    return ConcatPcaFusion(tuple(embeddings), means, projections)


def load_concat_pca(folder: Path) -> ConcatPcaFusion:
    """Load a saved concatenating fusion.

    Raises:
        FusionError: the folder is damaged, or holds another scheme.
    """
    saved = load_array_folder(folder, "fusion", KIND, FusionError)
    modalities = saved.texts("modalities")
    means = {name: saved.array(f"mean_{number}", np.float32, (None,)) for number, name in enumerate(modalities)}
    projections = {
        name: saved.array(f"projection_{number}", np.float32, (len(means[name]), None))
        for number, name in enumerate(modalities)
    }
    return ConcatPcaFusion(modalities, means, projections)
