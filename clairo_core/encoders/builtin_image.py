"""Turn an item's picture into an image embedding, with no pretrained weights.

Four classic descriptors of the picture at 128 pixels: how much of each colour (HSV histogram), which colour where
(Lab means and spreads on a grid), texture (local binary patterns, Ojala et al. 2002) and edges (histograms of oriented
gradients, Dalal and Triggs 2005). Fitting only balances them: every block has the same energy on training items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from skimage.color import rgb2lab
from skimage.feature import hog, local_binary_pattern

from clairo_core.array_folder import load_array_folder, save_array_folder
from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import ContentError, EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent

SIDE_PIXELS = 128
_COLOUR_BINS = (16, 3, 3)
_GRID = 4
_FITTED_ON = 2000
"""Means and energies do not change with more pictures than this."""


@dataclass(frozen=True, eq=False)
class BuiltinImageEncoder:
    """Training means and scales of the descriptors."""

    mean: Float32[np.ndarray, "dim"]
    scale: Float32[np.ndarray, "dim"]
    """One value for a whole block: one over its root mean energy."""

    name: ClassVar[str] = "builtin-image"
    modality: ClassVar[str] = "image"

    @property
    def dim(self) -> int:
        """Size of an embedding."""
        return len(self.mean)

    @classmethod
    def fit(cls, items: Sequence[Item], seed: int = 0, progress: Progress[Item] = silent) -> "BuiltinImageEncoder":
        """Learn the balance of the blocks from (a seeded sample of) training items that have a picture.

        Raises:
            EncoderError: no item has a picture that can be read.
        """
        order = np.random.default_rng(seed).permutation(len(items))[:_FITTED_ON]
        chosen = [items[row] for row in np.sort(order)]
        described = [describe_item(item) for item in progress(chosen, "balancing picture descriptors", len(chosen))]
        readable = [blocks for blocks in described if blocks is not None]
        if not readable:
            raise EncoderError(
                "no training item has a picture that can be read; leave the image modality out, or name a picture "
                "column"
            )
        means, scales = [], []
        for block in zip(*readable, strict=True):
            values = np.stack(block)
            energy = float(np.square(values - values.mean(axis=0)).sum(axis=1).mean())
            means.append(values.mean(axis=0))
            scales.append(np.full(values.shape[1], 1.0 / np.sqrt(energy) if energy > 0 else 1.0))
        return cls(np.concatenate(means).astype(np.float32), np.concatenate(scales).astype(np.float32))

    def encode(self, items: Sequence[Item], progress: Progress[Item] = silent) -> ModalityEmbeddings:
        """Embed items; one without a picture that can be read is not present."""
        vectors = np.zeros((len(items), self.dim), dtype=np.float32)
        is_present = np.zeros(len(items), dtype=np.bool_)
        for row, item in enumerate(progress(items, "looking at pictures", len(items))):
            blocks = describe_item(item)
            if blocks is not None:
                vectors[row] = (np.concatenate(blocks) - self.mean) * self.scale
                is_present[row] = True
        return ModalityEmbeddings(vectors, is_present)

    def save(self, folder: Path) -> None:
        """Write encoder.json and the arrays into `folder`."""
        arrays = {"mean": self.mean, "scale": self.scale}
        save_array_folder(folder, "encoder", self.name, arrays, {"modality": self.modality, "dim": self.dim})

    @classmethod
    def load(cls, folder: Path) -> "BuiltinImageEncoder":
        """Read what `save` wrote.

        Raises:
            EncoderError: the folder is damaged or holds something else.
        """
        saved = load_array_folder(folder, "encoder", cls.name, EncoderError)
        mean = saved.array("mean", np.float32, (None,))
        return cls(mean, saved.array("scale", np.float32, mean.shape))


def describe_item(item: Item) -> tuple[Float[np.ndarray, "block"], ...] | None:
    """The descriptors of the item's picture, or None if there is none that can be read."""
    try:
        content = item.read_picture()
        if content is None:
            return None
        picture = decode_picture(content, shortest_side=SIDE_PIXELS)
    except (ContentError, OSError):
        return None
    return describe_picture(np.asarray(picture.resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BILINEAR)))


def describe_picture(pixels: UInt8[np.ndarray, "side side 3"]) -> tuple[Float[np.ndarray, "block"], ...]:
    """Colour amounts, colour layout, texture and edges of a square RGB picture."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    return colour_amounts(pixels), colour_layout(pixels), texture(grey), edges(grey)


def colour_amounts(pixels: UInt8[np.ndarray, "side side 3"]) -> Float[np.ndarray, "bin"]:
    """Square roots of the shares of hue, saturation and value bins: their distance is Hellinger's."""
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV")).reshape(-1, 3)
    bins = (hsv.astype(np.int64) * _COLOUR_BINS) >> 8
    flat = np.ravel_multi_index((bins[:, 0], bins[:, 1], bins[:, 2]), _COLOUR_BINS)
    return np.sqrt(np.bincount(flat, minlength=int(np.prod(_COLOUR_BINS))) / len(flat))


def colour_layout(pixels: UInt8[np.ndarray, "side side 3"]) -> Float[np.ndarray, "cell_colour"]:
    """Mean and spread of Lab colour in each cell of a grid."""
    cell = len(pixels) // _GRID
    cells = (rgb2lab(pixels) / 100.0).reshape(_GRID, cell, _GRID, cell, 3)
    return np.concatenate([cells.mean(axis=(1, 3)).ravel(), cells.std(axis=(1, 3)).ravel()])


def texture(grey: UInt8[np.ndarray, "side side"]) -> Float[np.ndarray, "pattern"]:
    """Square roots of the shares of uniform local binary patterns, at two radii, over the quarters of the picture."""
    half = len(grey) // 2
    histograms = []
    for radius in (1, 3):
        patterns = local_binary_pattern(grey, P=8, R=radius, method="uniform").astype(np.int64)
        quarters = patterns.reshape(2, half, 2, half).swapaxes(1, 2).reshape(4, -1)
        histograms += [np.sqrt(np.bincount(quarter, minlength=10) / len(quarter)) for quarter in quarters]
    return np.concatenate(histograms)


def edges(grey: UInt8[np.ndarray, "side side"]) -> Float[np.ndarray, "gradient"]:
    """Histograms of oriented gradients on an 8 by 8 grid, square-rooted."""
    gradients = hog(grey, orientations=8, pixels_per_cell=(16, 16), cells_per_block=(2, 2), block_norm="L2-Hys")
    return np.sqrt(np.asarray(gradients, dtype=np.float64))
