"""Compute descriptors of a square RGB picture: colour histogram, colour layout, texture, edges.

Histograms are power-normalized and of unit length, so that a large plain area does not drown a small motif.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from scipy import sparse
from skimage.color import rgb2lab

SIDE_PIXELS = 128

PATCH_DIM = 36
_CELL_PIXELS = 8
_ORIENTATIONS = 9
# A patch with less contrast, such as a wall, has no visual word.
_LEAST_PATCH_CONTRAST = 0.75
_WORDS_PER_PATCH = 3
_COLOUR_LEVELS = 32  # of red, green and blue
_LIGHTNESS_BINS, _HUE_AXIS_BINS, _HUE_AXIS_RANGE = 4, 7, 80.0
_LAYOUT_GRID = 4
_TEXTURE_THRESHOLD = 3.0  # grey levels; JPEG noise stays below


def colour_histogram(pixels: UInt8[np.ndarray, "side side 3"]) -> Float32[np.ndarray, "colour"]:
    """Share of each colour; bins overlap, so a slight tint changes little."""
    _, membership = _colour_tables()
    counts = np.bincount(_colour_codes(pixels).ravel(), minlength=_COLOUR_LEVELS**3).astype(np.float32)
    return _unit_length(np.sqrt(membership @ counts))


def colour_layout(pixels: UInt8[np.ndarray, "side side 3"]) -> Float32[np.ndarray, "cell_axis"]:
    """The mean Lab colour of each cell of a 4 x 4 grid, in hundredths."""
    lab_of_code, _ = _colour_tables()
    cell = len(pixels) // _LAYOUT_GRID
    cells = np.take(lab_of_code, _colour_codes(pixels), axis=0).reshape(_LAYOUT_GRID, cell, _LAYOUT_GRID, cell, 3)
    return np.asarray(cells.mean(axis=(1, 3)).ravel() / np.float32(100))


def texture(pixels: UInt8[np.ndarray, "side side 3"]) -> Float32[np.ndarray, "pattern"]:
    """Histogram of uniform local binary patterns, at full and half size.

    Source: Ojala et al. 2002, "Multiresolution gray-scale and rotation invariant texture classification". We differ:
    orientation is kept (stripes are not dots), and a neighbour must be brighter by more than noise.
    """
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    histograms = [
        np.bincount(local_binary_patterns(level).ravel(), minlength=_UNIFORM_PATTERNS + 1).astype(np.float32)
        for level in (grey, _halved(grey))
    ]
    return np.concatenate([_unit_length(np.sqrt(histogram)) for histogram in histograms])


def gradient_patches(
    pixels: UInt8[np.ndarray, "side side 3"],
) -> Float32[np.ndarray, "patch 36"]:
    """Oriented gradients of each overlapping patch of 16 x 16 pixels: four cells, of unit length.

    A patch without contrast is a row of zeros.

    Source: Dalal and Triggs 2005, "Histograms of oriented gradients for human detection".
    """
    cells = _oriented_gradients(pixels)
    patches = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=2)
    patches = patches.reshape(-1, PATCH_DIM)
    contrast = np.linalg.norm(patches, axis=1, keepdims=True)
    patches /= np.maximum(contrast, _LEAST_PATCH_CONTRAST)
    # One strong edge must not hide weaker ones.
    patches = np.minimum(patches, 0.25) * (contrast > _LEAST_PATCH_CONTRAST)
    return np.asarray(patches / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-6))


def visual_word_histogram(
    patches: Float32[np.ndarray, "patch 36"], words: Float32[np.ndarray, "word 36"]
) -> Float32[np.ndarray, "word"]:
    """Histogram of visual words; a patch counts for its three nearest words, the nearest most.

    Source: Csurka et al. 2004, "Visual categorization with bags of keypoints"; soft assignment as Philbin et al. 2008.
    """
    drawn = patches[patches.any(axis=1)]
    similarity = drawn @ words.T
    count = min(_WORDS_PER_PATCH, len(words))
    nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    shares = np.take_along_axis(similarity, nearest, axis=1)
    shares = np.exp((shares - shares.max(axis=1, keepdims=True)) / 0.05)
    shares /= shares.sum(axis=1, keepdims=True)
    counts = np.bincount(nearest.ravel(), shares.ravel(), minlength=len(words))
    # Fourth root instead of the colours' square root: a small motif has few patches among many of a pattern.
    return _unit_length((counts**0.25).astype(np.float32))


def local_binary_patterns(grey: Float32[np.ndarray, "height width"]) -> Int64[np.ndarray, "inner_height inner_width"]:
    """Number of the uniform pattern of brighter neighbours, for each inner pixel.

    Patterns with at most two changes around the circle are numbered 0 to 57; all others are 58.
    """
    centre = grey[1:-1, 1:-1] + np.float32(_TEXTURE_THRESHOLD)
    height, width = centre.shape
    brighter = np.zeros(centre.shape, np.uint8)
    for bit, (down, right) in enumerate(((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))):
        brighter |= (grey[down : down + height, right : right + width] >= centre).view(np.uint8) << bit
    return _uniform_pattern_numbers()[brighter]


_UNIFORM_PATTERNS = 58


@cache
def _uniform_pattern_numbers() -> Int64[np.ndarray, "256"]:
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    is_uniform = (bits != np.roll(bits, 1, axis=1)).sum(axis=1) <= 2
    return np.where(is_uniform, np.cumsum(is_uniform) - 1, _UNIFORM_PATTERNS)


@cache
def _colour_tables() -> tuple[Float32[np.ndarray, "code 3"], sparse.csr_matrix]:
    """The Lab colour of each of the 32 x 32 x 32 colours, and its shares in the overlapping bins of Lab space."""
    levels = (np.arange(_COLOUR_LEVELS) + 0.5) / _COLOUR_LEVELS
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = rgb2lab(rgb).astype(np.float32)
    bins = np.array([_LIGHTNESS_BINS, _HUE_AXIS_BINS, _HUE_AXIS_BINS])
    lowest = np.array([0, -_HUE_AXIS_RANGE, -_HUE_AXIS_RANGE])
    highest = np.array([100, _HUE_AXIS_RANGE, _HUE_AXIS_RANGE])
    positions = np.clip((lab - lowest) / (highest - lowest), 0, 1) * (bins - 1)
    lower = np.minimum(positions.astype(np.int64), bins - 2)
    fractions = positions - lower
    shares = sparse.csr_matrix((int(bins.prod()), len(lab)))
    for corner in np.ndindex(2, 2, 2):
        bin_of_code = np.ravel_multi_index(tuple((lower + corner).T), tuple(bins))
        share = np.where(corner, fractions, 1 - fractions).prod(axis=1)
        shares = shares + sparse.csr_matrix((share, (bin_of_code, np.arange(len(lab)))), shape=shares.shape)
    is_used = np.asarray(shares.sum(axis=1)).ravel() > 1
    return lab, shares[is_used].astype(np.float32)


def _colour_codes(pixels: UInt8[np.ndarray, "side side 3"]) -> Int64[np.ndarray, "side side"]:
    levels = (pixels >> 3).astype(np.int64)
    return (levels[..., 0] * _COLOUR_LEVELS + levels[..., 1]) * _COLOUR_LEVELS + levels[..., 2]


def _oriented_gradients(pixels: UInt8[np.ndarray, "side side 3"]) -> Float32[np.ndarray, "row column orientation"]:
    """Gradient strength by orientation in each cell of 8 x 8 pixels, of the strongest channel."""
    # Square roots reduce the effect of light and shade.
    channels = np.moveaxis(np.sqrt(pixels.astype(np.float32) / 255), -1, 0)
    down, right = np.zeros_like(channels), np.zeros_like(channels)
    down[:, 1:-1] = channels[:, 2:] - channels[:, :-2]
    right[:, :, 1:-1] = channels[:, :, 2:] - channels[:, :, :-2]
    squares = down * down + right * right
    red, green, blue = squares
    # As argmax, which walks over the axis: the first of equal ones.
    strongest = np.where(blue > np.maximum(red, green), 2, np.where(green > red, 1, 0))[None]
    down, right = (np.take_along_axis(part, strongest, axis=0)[0] for part in (down, right))
    strength = np.sqrt(np.take_along_axis(squares, strongest, axis=0)[0])
    # An edge and its reverse have one orientation. Its strength is shared between the two nearest bins.
    half_turns = np.arctan2(down, right) / np.float32(np.pi)
    # Modulo 1, which numpy takes ten times as long for.
    position = np.where(half_turns == 1, np.float32(0), half_turns + (half_turns < 0)) * _ORIENTATIONS
    lower = np.minimum(position.astype(np.int64), _ORIENTATIONS - 1)
    upper_share = position - lower
    cells = len(pixels) // _CELL_PIXELS
    cell_of_pixel = np.arange(len(pixels)) // _CELL_PIXELS
    first_bin = (cell_of_pixel[:, None] * cells + cell_of_pixel) * _ORIENTATIONS
    bins = np.concatenate([(first_bin + lower).ravel(), (first_bin + (lower + 1) % _ORIENTATIONS).ravel()])
    weights = np.concatenate([(strength * (1 - upper_share)).ravel(), (strength * upper_share).ravel()])
    histogram = np.bincount(bins, weights, minlength=cells * cells * _ORIENTATIONS)
    return histogram.reshape(cells, cells, _ORIENTATIONS).astype(np.float32)


def _halved(grey: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "half_height half_width"]:
    height, width = grey.shape
    quarters = grey.reshape(height // 2, 2, width // 2, 2)
    return np.asarray(quarters.mean(axis=(1, 3)))


def _unit_length(histogram: Float32[np.ndarray, "bin"]) -> Float32[np.ndarray, "bin"]:
    length = np.linalg.norm(histogram)
    return histogram / length if length > 0 else histogram
