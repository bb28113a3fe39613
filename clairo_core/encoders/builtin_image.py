"""Encode an item's picture without pretrained weights: four blocks of classic descriptors.

The blocks are colour histogram, colour layout, texture, and visual words. The words (typical edge patches) and the
scales of the blocks are learned from the training items' pictures. Start at `BuiltinImageEncoder.encode`.

A picture is stretched to a square: nothing is cropped, and no border is described. On posters it hardly matters: with
padding, neighbours' viewers overlap 1% more, with cropping 2% less.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.encoders.item_content import picture_of
from clairo_core.encoders.picture_descriptors import (
    PATCH_DIM,
    SIDE_PIXELS,
    colour_histogram,
    colour_layout,
    gradient_patches,
    texture,
    visual_word_histogram,
)
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

_NUM_WORDS = 256
_MAX_FIT_PICTURES = 1_000
_MAX_FIT_PATCHES = 60_000
_NUM_BLOCKS = 4


@dataclass(frozen=True, eq=False)
class BuiltinImageEncoder:
    """Picture -> image embedding. Make one with `fit`."""

    words: Float32[np.ndarray, "word 36"]
    """Typical patches of oriented gradients."""
    block_scales: Float32[np.ndarray, "4"]
    """Factor of each block, for equal variance over the training pictures."""

    name: ClassVar[str] = "builtin-image"
    modality: ClassVar[str] = "image"

    @cached_property
    def dim(self) -> int:
        """Length of an image embedding."""
        return len(self._describe(np.zeros((SIDE_PIXELS, SIDE_PIXELS, 3), np.uint8)))

    @classmethod
    def fit(cls, items: Sequence[Item], seed: int = 0, progress: Progress = silent) -> "BuiltinImageEncoder":
        """Learn visual words and the balance of the blocks from at most 1,000 items, drawn by seed.

        Raises:
            EncoderError: no item has a readable picture.
        """
        with_picture = [item for item in items if item.picture is not None]
        drawn = np.random.default_rng(seed).permutation(len(with_picture))[:_MAX_FIT_PICTURES]
        chosen = [with_picture[row] for row in np.sort(drawn)]
        pictures = [
            pixels
            for item in progress(chosen, "learning visual words", len(chosen))
            if (pixels := _square_picture(item)) is not None
        ]
        if not pictures:
            raise EncoderError(
                f"none of the {len(items)} training items has a picture that can be read; leave the image modality out"
            )
        unscaled = cls(_learn_words(pictures, seed), np.ones(_NUM_BLOCKS, np.float32))
        by_block = zip(*(unscaled._blocks(pixels) for pixels in pictures), strict=True)
        deviations = [np.sqrt(np.var(np.stack(block), axis=0).sum()) for block in by_block]
        # A block without variance stays unscaled: fusion ignores it.
        scales = [1 / deviation if deviation > 1e-6 else 1.0 for deviation in deviations]
        return cls(unscaled.words, np.array(scales, np.float32))

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Embed each item's picture; missing if there is none, or it is unreadable."""
        vectors = np.zeros((len(items), self.dim), np.float32)
        is_present = np.zeros(len(items), np.bool_)
        for row, item in enumerate(progress(items, "encoding pictures", len(items))):
            pixels = _square_picture(item)
            if pixels is not None:
                vectors[row] = self._describe(pixels)
                is_present[row] = True
        return ModalityEmbeddings(vectors, is_present)

    def save(self, folder: Path) -> None:
        """Write encoder.json and the arrays into `folder`."""
        arrays = {"words": self.words, "block_scales": self.block_scales}
        save_array_folder(folder, "encoder", self.name, arrays, {"modality": self.modality, "dim": self.dim})

    @classmethod
    def load(cls, folder: Path) -> "BuiltinImageEncoder":
        """Load a saved encoder.

        Raises:
            EncoderError: the folder is damaged or holds something else.
        """
        saved = load_array_folder(folder, "encoder", cls.name, EncoderError)
        return cls(
            saved.array("words", np.float32, (None, PATCH_DIM)), saved.array("block_scales", np.float32, (_NUM_BLOCKS,))
        )

    def _describe(self, pixels: UInt8[np.ndarray, "side side 3"]) -> Float32[np.ndarray, "dim"]:
        return np.concatenate(
            [block * scale for block, scale in zip(self._blocks(pixels), self.block_scales, strict=True)]
        )

    def _blocks(self, pixels: UInt8[np.ndarray, "side side 3"]) -> Iterator[Float32[np.ndarray, "descriptor"]]:
        yield colour_histogram(pixels)
        yield colour_layout(pixels)
        yield texture(pixels)
        yield visual_word_histogram(gradient_patches(pixels), self.words)


def _square_picture(item: Item) -> UInt8[np.ndarray, "side side 3"] | None:
    """The item's picture stretched to the descriptors' size; None if missing, unreadable or blank."""
    picture = picture_of(item, SIDE_PIXELS)
    if picture is None:
        return None
    return np.asarray(picture.resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BILINEAR))


def _learn_words(pictures: Sequence[UInt8[np.ndarray, "side side 3"]], seed: int) -> Float32[np.ndarray, "word 36"]:
    """Cluster the pictures' patches into words; few patches give fewer words, none a single word of zeros."""
    import faiss  # noqa: PLC0415 - slow to import, and only fitting needs it

    patches = np.concatenate([gradient_patches(pixels) for pixels in pictures])
    patches = patches[patches.any(axis=1)]
    patches = patches[np.random.default_rng(seed).permutation(len(patches))[:_MAX_FIT_PATCHES]]
    if len(patches) == 0:
        return np.zeros((1, PATCH_DIM), np.float32)
    num_words = min(_NUM_WORDS, 1 + len(patches) // 10)
    # Small catalogues have few patches per word; this silences FAISS's warning.
    clustering = faiss.Kmeans(PATCH_DIM, num_words, niter=15, seed=seed + 1, min_points_per_centroid=1)
    clustering.train(np.ascontiguousarray(patches))
    return np.asarray(clustering.centroids, np.float32)
