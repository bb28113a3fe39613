"""What every encoder is: items in, one modality embedding an item out, and whether the item had that modality.

Knows nothing of how an encoder works. Encoders read an `Item`'s words, picture or vectors, never its attributes.
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
                "expected (items, dim) with (items,)"
            )

    def __len__(self) -> int:
        return len(self.vectors)

    def select(self, is_chosen: Bool[np.ndarray, "item"]) -> "ModalityEmbeddings":
        """Those of some items, in their order."""
        return ModalityEmbeddings(self.vectors[is_chosen], self.is_present[is_chosen])


class ModalityEncoder(Protocol):
    """Content of one modality -> modality embedding."""

    @property
    def name(self) -> str:
        """What the manifest and tables call it, such as "builtin-text" or "open_clip:ViT-L-14/openai"."""

    @property
    def modality(self) -> str:
        """What it encodes, such as "text"."""

    @property
    def dim(self) -> int:
        """Length of a modality embedding."""

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """One row an item; content that is missing or unreadable gives zeros and is flagged, never an error."""

    def save(self, folder: Path) -> None:
        """Write all that `load_encoder` needs into `folder`."""
