"""Number items without their content, and write the numbers as codes. Start at `numbered_feature_sets`.

Source: Hua et al. 2023, "How to Index Item IDs for Recommendation Foundation Models", random and sequential indexing.
We differ: a number is written in digits of one base, most significant first, all of the same length, where the paper
leaves decimal numbers to SentencePiece. Neighbouring numbers share their leading digits in both.
"""

import numpy as np
from jaxtyping import Int32, Int64

from clairo_core.errors import SettingsError
from clairo_core.features import FeatureSpace
from clairo_core.sequences import ItemSequences


def random_numbers(num_items: int, seed: int) -> Int64[np.ndarray, "item"]:
    """Each item's place in a random order."""
    return np.random.default_rng(seed).permutation(num_items)


def sequential_numbers(training: ItemSequences, num_items: int) -> Int64[np.ndarray, "item"]:
    """Each item's place in the order of first occurrence, sequence by sequence; items that never occur follow by row.

    Items of one history lie close together.

    >>> sequential_numbers(ItemSequences.from_lists([[4, 2], [2, 0]]), 5).tolist()
    [2, 3, 1, 4, 0]
    """
    seen, first = np.unique(training.items, return_index=True)
    unseen = np.setdiff1d(np.arange(num_items), seen)
    numbers = np.empty(num_items, np.int64)
    numbers[np.concatenate([seen[np.argsort(first)], unseen])] = np.arange(num_items)
    return numbers


def numbered_feature_sets(
    numbers: Int64[np.ndarray, "item"], base: int
) -> tuple[Int32[np.ndarray, "item digit"], FeatureSpace]:
    """Write numbers in digits of `base`, as few as the largest number takes.

    >>> feature_sets, space = numbered_feature_sets(np.array([0, 5, 11]), 4)
    >>> feature_sets.tolist(), space.category_sizes
    ([[0, 0], [1, 1], [2, 3]], (3, 4))

    Raises:
        SettingsError: `base` is below 2.
    """
    if base < 2:
        raise SettingsError(f"quantize.num_centroids is {base}; expected at least 2, the base of item numbers")
    digits = [numbers % base]
    left = numbers // base
    while left.any():
        digits.append(left % base)
        left = left // base
    feature_sets = np.stack(digits[::-1], axis=1).astype(np.int32)
    # No item has a higher leading digit, and none is ever added.
    sizes = (int(feature_sets[:, 0].max()) + 1, *[base] * (len(digits) - 1))
    return feature_sets, FeatureSpace(tuple(f"digit_{place}" for place in range(len(digits))), sizes)
