"""Turn an item's picture into an image embedding, with no weights to download: four blocks of classic descriptors.

How much of each colour, which colour where, texture, and visual words. The words (typical patches of edges) and the
balance of the blocks are learned from the training items' pictures. Knows pictures and descriptors; knows nothing of
texts or catalogues. Start at `BuiltinImageEncoder.encode`.

A picture is stretched to a square: nothing is cut off, and no border is described. On posters it hardly matters:
with padding, neighbours' viewers overlap 1% more, with cutting 2% less.
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
    """What each block is multiplied with, so that all vary equally much over the training pictures."""

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
            EncoderError: none of these items has a picture that can be read.
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
        # A block that never varies can be left as it is: no fusion will look at it.
        scales = [1 / deviation if deviation > 1e-6 else 1.0 for deviation in deviations]
        return cls(unscaled.words, np.array(scales, np.float32))

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Embed each item's picture; missing where there is none, or none that can be read."""
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
        """Read what `save` wrote.

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
    """The item's picture stretched to the size of the descriptors; None if there is none that shows anything."""
    picture = picture_of(item, SIDE_PIXELS)
    if picture is None:
        return None
    return np.asarray(picture.resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BILINEAR))


def _learn_words(pictures: Sequence[UInt8[np.ndarray, "side side 3"]], seed: int) -> Float32[np.ndarray, "word 36"]:
    """Cluster the pictures' patches; fewer words where there are few patches, one of zeros where there are none."""
    import faiss  # noqa: PLC0415 - slow to import, and only fitting needs it

    patches = np.concatenate([gradient_patches(pixels) for pixels in pictures])
    patches = patches[patches.any(axis=1)]
    patches = patches[np.random.default_rng(seed).permutation(len(patches))[:_MAX_FIT_PATCHES]]
    if len(patches) == 0:
        return np.zeros((1, PATCH_DIM), np.float32)
    num_words = min(_NUM_WORDS, 1 + len(patches) // 10)
    # Few patches a word is what a small catalogue has: said here, FAISS does not warn of it.
    clustering = faiss.Kmeans(PATCH_DIM, num_words, niter=15, seed=seed + 1, min_points_per_centroid=1)
    clustering.train(np.ascontiguousarray(patches))
    return np.asarray(clustering.centroids, np.float32)
