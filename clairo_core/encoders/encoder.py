"""The protocol of all encoders: items in, one modality embedding per item out, with a flag for missing content.

Encoders read an `Item`'s words, picture or vectors, never its attributes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32

from clairo_core.errors import EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent


@dataclass(frozen=True)
class ModalityEmbeddings:
    """One modality of many items."""

    vectors: Float32[np.ndarray, "item dim"]
    """Zeros where the modality is missing."""
    is_present: Bool[np.ndarray, "item"]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.is_present.shape != (len(self.vectors),):
            raise EncoderError(
                f"vectors of shape {self.vectors.shape} with flags of shape {self.is_present.shape}, "
                "expected (items, dim) with (items,); give one flag per row"
            )

    def __len__(self) -> int:
        return len(self.vectors)

    def select(self, is_chosen: Bool[np.ndarray, "item"]) -> "ModalityEmbeddings":
        """The embeddings of some items, in their order."""
        return ModalityEmbeddings(self.vectors[is_chosen], self.is_present[is_chosen])


class ModalityEncoder(Protocol):
    """Content of one modality -> modality embedding."""

    @property
    def name(self) -> str:
        """Name in manifest and tables, such as "builtin-text" or "open_clip:ViT-L-14/openai"."""

    @property
    def modality(self) -> str:
        """Modality, such as "text"."""

    @property
    def dim(self) -> int:
        """Length of a modality embedding."""

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Encode one row per item. Missing or unreadable content gives zeros and a flag, never an error."""

    def save(self, folder: Path) -> None:
        """Write the encoder into `folder`, for `load_encoder`."""
