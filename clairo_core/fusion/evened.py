"""Scale item embeddings with missing modalities to the average length of complete ones. Start at `EvenedFusion.fuse`.

A missing modality leaves its part of the item embedding at the origin. Such items are shorter, and rankers that score
by a product never recommend them: in our demo shop nobody was recommended a new item without a picture or without
words, although they were ranked well among each other. The fusion has one factor per set of modalities.

Similar to the scaling of dropout (Srivastava et al. 2014), but measured on training items, because modalities weigh
differently and, under attention, do not simply add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion.fusion import FusedItems, Fusion
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

MOST_MODALITIES = 8
"""With more there are too many sets to measure, and nothing is scaled."""
MOST_FACTOR = 4.0
"""Bounds the scaling: items with less than a sixteenth of the energy are mostly noise, and stay short."""


@dataclass(frozen=True, slots=True, eq=False)
class EvenedFusion:
    """Another fusion, then one factor per set of modalities. Make one with `evened`."""

    content: Fusion
    factors: Float32[np.ndarray, "set"]
    """By number of the set of modalities (see `set_numbers`); 1 for the complete set."""

    kind: ClassVar[str] = "evened"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in fitted order."""
        return self.content.modalities

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return self.content.dim

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """Fuse each row of the modality embeddings; zeros for an item without modalities."""
        fused = self.content.fuse(embeddings)
        factors = self.factors[set_numbers(fused.is_present)]
        return FusedItems(fused.item_embeddings * factors[:, None], fused.is_present)

    def modality_energies(self, vectors: Float[np.ndarray, "vector dim"]) -> Float64[np.ndarray, "vector modality"]:
        """The inner fusion's energies: factors scale items, not directions."""
        return self.content.modality_energies(vectors)

    def save(self, folder: Path) -> None:
        """Write fusion.json and the factors, and the inner fusion into a subfolder."""
        save_array_folder(folder, "fusion", self.kind, {"factors": self.factors})
        self.content.save(folder / "content")


def set_numbers(is_present: Bool[np.ndarray, "item modality"]) -> Int64[np.ndarray, "item"]:
    """Number each item's set of modalities, the index into `EvenedFusion.factors`: bit i is modality i.

    >>> set_numbers(np.array([[True, False], [False, True], [True, True]])).tolist()
    [1, 2, 3]
    """
    numbers: Int64[np.ndarray, "item"] = is_present @ (1 << np.arange(is_present.shape[1], dtype=np.int64))
    return numbers


def evened(content: Fusion, embeddings: Mapping[str, ModalityEmbeddings]) -> Fusion:
    """Measure factors on the items that have all modalities, and wrap the fusion.

    The fusion is returned unchanged with one modality, more than `MOST_MODALITIES`, no complete item, or identical
    items.

    Args:
        content: fitted.
        embeddings: of the training items.

    Raises:
        FusionError: a modality is missing, its vectors have another length, or the numbers of items differ.
    """
    count = len(content.modalities)
    is_whole = np.asarray(content.fuse(embeddings).is_present.all(axis=1))
    if not 1 < count <= MOST_MODALITIES or not is_whole.any():
        return content
    whole = {name: embeddings[name].select(is_whole) for name in content.modalities}

    def energy(number: int) -> float:
        taken = {
            name: given if number >> place & 1 else ModalityEmbeddings(given.vectors, np.zeros_like(given.is_present))
            for place, (name, given) in enumerate(whole.items())
        }
        return float(np.square(content.fuse(taken).item_embeddings.astype(np.float64)).sum(axis=1).mean())

    energies = np.array([energy(number) for number in range(1 << count)])
    if energies[-1] == 0:
        return content
    factors = np.sqrt(energies[-1] / np.maximum(energies, energies[-1] / MOST_FACTOR**2))
    # Items without any modality are zero.
    factors[0] = 1.0
    return EvenedFusion(content, factors.astype(np.float32))


def load_evened(folder: Path, content: Fusion) -> EvenedFusion:
    """Load a saved fusion; `content` was loaded from the subfolder.

    Raises:
        FusionError: the folder is damaged.
    """
    saved = load_array_folder(folder, "fusion", EvenedFusion.kind, FusionError)
    return EvenedFusion(content, saved.array("factors", np.float32, (1 << len(content.modalities),)))
