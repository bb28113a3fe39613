"""Descriptors of a picture: each responds to its own property, and fast ones agree with slow readable twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.encoders.picture_descriptors import (
    PATCH_DIM,
    SIDE_PIXELS,
    colour_histogram,
    colour_layout,
    gradient_patches,
    local_binary_patterns,
    texture,
    visual_word_histogram,
)


def plain(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((SIDE_PIXELS, SIDE_PIXELS, 3), (red, green, blue), np.uint8)


def stripes(period: int = 16, is_upright: bool = True) -> np.ndarray:
    pixels = plain(40, 80, 160)
    pixels[:, np.arange(SIDE_PIXELS) % period < period // 2] = (200, 220, 240)
    return pixels if is_upright else pixels.swapaxes(0, 1).copy()


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE_PIXELS, SIDE_PIXELS, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixels", [plain(0, 0, 0), plain(255, 255, 255), plain(200, 30, 90), stripes(), noise()])
def test_every_picture_gives_finite_descriptors_of_the_same_length(pixels: np.ndarray) -> None:
    words = np.eye(5, PATCH_DIM, dtype=np.float32)
    for descriptor, length in [
        (colour_histogram(pixels), len(colour_histogram(noise(1)))),
        (colour_layout(pixels), 48),
        (texture(pixels), 118),
        (visual_word_histogram(gradient_patches(pixels), words), 5),
    ]:
        assert descriptor.shape == (length,)
        assert descriptor.dtype == np.float32
        assert np.isfinite(descriptor).all()


def test_a_slight_tint_moves_the_colours_less_than_another_colour_does() -> None:
    red, tinted, blue = (colour_histogram(plain(*colour)) for colour in [(200, 30, 40), (206, 36, 46), (40, 30, 200)])
    assert np.linalg.norm(red - tinted) < 0.4 * np.linalg.norm(red - blue)


def test_the_histogram_ignores_position_and_the_layout_does_not() -> None:
    above = plain(200, 30, 40)
    above[SIDE_PIXELS // 2 :] = (40, 30, 200)
    below = above[::-1].copy()
    assert np.allclose(colour_histogram(above), colour_histogram(below), atol=1e-6)
    assert np.linalg.norm(colour_layout(above) - colour_layout(below)) > 0.5


def test_the_layout_of_white_is_lightness_100_without_colour() -> None:
    cells = colour_layout(plain(255, 255, 255)).reshape(16, 3)
    assert cells[:, 0] == pytest.approx(1.0, abs=0.02)
    assert cells[:, 1:] == pytest.approx(0.0, abs=0.02)


def test_texture_and_patches_distinguish_vertical_from_horizontal_stripes() -> None:
    for describe in (texture, lambda pixels: gradient_patches(pixels).mean(axis=0)):
        assert np.linalg.norm(describe(stripes()) - describe(stripes(is_upright=False))) > 0.3


def test_a_plain_wall_has_no_patches() -> None:
    assert not gradient_patches(plain(120, 90, 60)).any()
    assert not visual_word_histogram(gradient_patches(plain(120, 90, 60)), np.ones((3, PATCH_DIM), np.float32)).any()


def test_an_upright_edge_has_a_level_gradient() -> None:
    pixels = plain(0, 0, 0)
    pixels[:, SIDE_PIXELS // 2 + 4 :] = 255
    patches = gradient_patches(pixels)
    cells = patches[patches.any(axis=1)].reshape(-1, 4, 9)
    assert (cells.sum(axis=(0, 1)).argsort()[-1]) == 0
    assert np.count_nonzero(cells.sum(axis=(0, 1))) == 1


def test_patches_are_of_unit_length_or_empty() -> None:
    lengths = np.linalg.norm(gradient_patches(noise()), axis=1)
    assert lengths == pytest.approx(np.ones(15 * 15), abs=1e-5)


def test_a_patch_counts_most_for_its_nearest_word() -> None:
    words = np.eye(4, PATCH_DIM, dtype=np.float32)
    patch = np.zeros((1, PATCH_DIM), np.float32)
    patch[0, :3] = (0.9, 0.4, 0.17)
    histogram = visual_word_histogram(patch, words)
    assert histogram[0] > histogram[1] > histogram[2] > histogram[3] == 0
    assert np.linalg.norm(histogram) == pytest.approx(1.0)


def slow_binary_pattern(grey: np.ndarray, row: int, column: int) -> int:
    """The number of one pixel's pattern, neighbour by neighbour."""
    around = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]

    def is_uniform(bits: list[bool]) -> bool:
        return sum(bits[place] != bits[place - 1] for place in range(8)) <= 2

    brighter = [bool(grey[row + down, column + right] >= grey[row, column] + 3) for down, right in around]
    if not is_uniform(brighter):
        return 58
    byte = sum(bit << place for place, bit in enumerate(brighter))
    return sum(is_uniform([bool(smaller >> place & 1) for place in range(8)]) for smaller in range(byte))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_binary_patterns_match_the_slow_reference(seed: int, contrast: int) -> None:
    grey = np.random.default_rng(seed).integers(0, contrast, (6, 7)).astype(np.float32)
    fast = local_binary_patterns(grey)
    slow = [[slow_binary_pattern(grey, row, column) for column in range(1, 6)] for row in range(1, 5)]
    assert fast.tolist() == slow
