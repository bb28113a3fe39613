"""Pass an item's precomputed modality embedding through: audio, video, or any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.storage.array_folder import load_array_folder, save_array_folder


@dataclass(frozen=True)
class PrecomputedEncoder:
    """`Item.vectors[modality]` -> the same vector. Make one with `fit`."""

    modality: str
    dim: int

    kind: ClassVar[str] = "precomputed"

    @property
    def name(self) -> str:
        """`precomputed`."""
        return self.kind

    @classmethod
    def fit(cls, items: Sequence[Item], modality: str) -> "PrecomputedEncoder":
        """Learn the length of the vectors.

        Raises:
            EncoderError: no item has a vector, or their lengths differ.
        """
        lengths = {len(item.vectors[modality]) for item in items if modality in item.vectors}
        if len(lengths) != 1:
            found = f"vectors of {sorted(lengths)} numbers" if lengths else "no vector"
            raise EncoderError(
                f"the {len(items)} training items have {found} named {modality!r}, expected vectors of one length; "
                "name the column under [items.vectors] of the dataset's TOML, or leave the modality out"
            )
        return cls(modality, lengths.pop())

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Return each item's vector; missing if absent, of another length, or not finite."""
        vectors = np.zeros((len(items), self.dim), np.float32)
        is_present = np.zeros(len(items), np.bool_)
        for row, item in enumerate(items):
            given = np.asarray(item.vectors.get(self.modality, ()), np.float32)
            if given.shape == (self.dim,) and np.isfinite(given).all():
                vectors[row], is_present[row] = given, True
        return ModalityEmbeddings(vectors, is_present)

    def save(self, folder: Path) -> None:
        """Write encoder.json into `folder`."""
        dim = np.array([self.dim], np.int64)
        save_array_folder(folder, "encoder", self.kind, {"dim": dim}, {"modality": self.modality})

    @classmethod
    def load(cls, folder: Path) -> "PrecomputedEncoder":
        """Load a saved encoder.

        Raises:
            EncoderError: the folder is damaged or holds something else.
        """
        saved = load_array_folder(folder, "encoder", cls.kind, EncoderError)
        return cls(saved.text("modality"), int(saved.array("dim", np.int64, (1,))[0]))
