"""Make item embeddings as long on average where modalities are missing as where all are there.

A missing modality leaves its part of the item embedding at the origin, so such items are shorter, and whatever scores
items by a product never recommends them: in our demo shop no new item without a picture, or without words, was found
by anybody, though among each other they were ranked well. Knows one number for each set of modalities that an item can
have; knows nothing of how items are fused. Start at `EvenedFusion.fuse`.

Close in spirit to the scaling of dropout (Srivastava et al. 2014), but measured on training items, because modalities
neither weigh the same nor, where fusion attends to them, simply add up.
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
"""With more, sets are too many to measure, and nothing is evened."""
MOST_FACTOR = 4.0
"""Where what is there says less than a sixteenth of what all would, the item stays short: it would be mostly chance."""


@dataclass(frozen=True, slots=True, eq=False)
class EvenedFusion:
    """Another fusion, then one factor for each set of modalities. Make one with `evened`."""

    content: Fusion
    factors: Float32[np.ndarray, "set"]
    """Of each set of modalities, the first modality counting 1, the second 2, the third 4, ...; 1 for all of them."""

    kind: ClassVar[str] = "evened"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names, in the order in which the inner fusion was fitted."""
        return self.content.modalities

    @property
    def dim(self) -> int:
        """Length of an item embedding."""
        return self.content.dim

    def fuse(self, embeddings: Mapping[str, ModalityEmbeddings]) -> FusedItems:
        """One item embedding for each row of the modality embeddings; zeros for an item that has no modality.

        Raises:
            FusionError: a modality is not given, its vectors have another length, or the numbers of items differ.
        """
        fused = self.content.fuse(embeddings)
        factors = self.factors[set_numbers(fused.is_present)]
        return FusedItems(fused.item_embeddings * factors[:, None], fused.is_present)

    def modality_energies(self, vectors: Float[np.ndarray, "vector dim"]) -> Float64[np.ndarray, "vector modality"]:
        """As the inner fusion has them: factors are of items, not of directions."""
        return self.content.modality_energies(vectors)

    def save(self, folder: Path) -> None:
        """Write fusion.json, the factors, and the inner fusion in a folder below."""
        save_array_folder(folder, "fusion", self.kind, {"factors": self.factors})
        self.content.save(folder / "content")


def set_numbers(is_present: Bool[np.ndarray, "item modality"]) -> Int64[np.ndarray, "item"]:
    """Each item's set of modalities as the number that `EvenedFusion.factors` is indexed by.

    >>> set_numbers(np.array([[True, False], [False, True], [True, True]])).tolist()
    [1, 2, 3]
    """
    numbers: Int64[np.ndarray, "item"] = is_present @ (1 << np.arange(is_present.shape[1], dtype=np.int64))
    return numbers


def evened(content: Fusion, embeddings: Mapping[str, ModalityEmbeddings]) -> Fusion:
    """The fusion with factors measured on those of the given items that have all modalities.

    It is returned as it is where there is nothing to even: one modality, more than `MOST_MODALITIES`, no item that has
    all, or items that are all alike.

    Args:
        content: fitted.
        embeddings: of the training items.

    Raises:
        FusionError: a modality is not given, its vectors have another length, or the numbers of items differ.
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
    # Nothing is known of items without any modality, and there is nothing to make longer.
    factors[0] = 1.0
    return EvenedFusion(content, factors.astype(np.float32))


def load_evened(folder: Path, content: Fusion) -> EvenedFusion:
    """Read what `save` wrote; `content` was read from the folder below.

    Raises:
        FusionError: the folder is damaged.
    """
    saved = load_array_folder(folder, "fusion", EvenedFusion.kind, FusionError)
    return EvenedFusion(content, saved.array("factors", np.float32, (1 << len(content.modalities),)))
