"""Turn semantic ids into feature sets, one feature per category, no two items alike.

`feature_sets_with_collision_index` makes a catalogue's feature sets, `nearest_free_feature_set` that of an item posted
later.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32, Int64

from clairo_core.errors import FeatureSetError, FeatureSpaceFullError

COLLISION_CATEGORY = "collision"
_SMALLEST_CAPACITY = 16
_MIXING_FACTOR = 31


@dataclass(frozen=True)
class FeatureSpace:
    """The categories of a feature set, in order: one per codebook, then usually the collision index."""

    category_names: tuple[str, ...]
    category_sizes: tuple[int, ...]
    """Number of values of each category; a feature's value is in [0, size)."""

    def __post_init__(self) -> None:
        if len(self.category_names) != len(self.category_sizes) or not self.category_names:
            raise FeatureSetError(
                f"{len(self.category_names)} category names and {len(self.category_sizes)} sizes; "
                "give each category one name and one size"
            )
        if len(set(self.category_names)) != len(self.category_names):
            raise FeatureSetError(f"category names repeat: {list(self.category_names)}; rename some")
        if min(self.category_sizes) < 1:
            raise FeatureSetError(
                f"category sizes are {list(self.category_sizes)}, expected at least 1 each; drop empty ones"
            )

    @property
    def num_features(self) -> int:
        """Number of values over all categories."""
        return sum(self.category_sizes)

    def check(self, feature_sets: Int[np.ndarray, "item category"]) -> None:
        """Check that every feature belongs to this space.

        Raises:
            FeatureSetError: another number of categories, non-integers, or a value outside [0, size).
        """
        if feature_sets.ndim != 2 or feature_sets.shape[1] != len(self.category_names):
            raise FeatureSetError(
                f"feature sets have shape {feature_sets.shape}, expected (items, {len(self.category_names)}); "
                f"give one feature for each of {list(self.category_names)}"
            )
        if not np.issubdtype(feature_sets.dtype, np.integer):
            raise FeatureSetError(f"feature sets are {feature_sets.dtype}, expected integers; convert them")
        is_unknown = (feature_sets < 0) | (feature_sets >= np.asarray(self.category_sizes))
        if is_unknown.any():
            row, category = np.argwhere(is_unknown)[0]
            raise FeatureSetError(
                f"item row {row}, category {self.category_names[category]!r}: got feature "
                f"{feature_sets[row, category]}, expected 0 to {self.category_sizes[category] - 1}; "
                "use the quantizer of this feature space"
            )


def assign_collision_indices(semantic_ids: Int[np.ndarray, "item codebook"]) -> Int32[np.ndarray, "item"]:
    """Number the items that share their codes, in row order: 0, 1, 2, ... places after `first_collision_index`.

    >>> assign_collision_indices(np.array([[7, 7], [1, 2], [7, 7]])).tolist()
    [0, 0, 1]
    """
    if len(semantic_ids) == 0:
        return np.zeros(0, np.int32)
    _, group_of_item, group_sizes = np.unique(semantic_ids, axis=0, return_inverse=True, return_counts=True)
    by_group = np.argsort(group_of_item.ravel(), kind="stable")
    group_starts = np.cumsum(group_sizes) - group_sizes
    indices = np.empty(len(semantic_ids), np.int32)
    indices[by_group] = np.arange(len(semantic_ids)) - np.repeat(group_starts, group_sizes)
    return indices


def first_collision_index(codes: Iterable[int], capacity: int) -> int:
    """The collision index at which items with these codes start: a hash of the codes.

    If every item with unique codes had index 0, this most frequent of all features would dominate merge rules and
    generator.

    >>> first_collision_index((7, 7), 16), first_collision_index((1, 2), 16)
    (0, 1)
    """
    mixed = 0
    for code in codes:
        mixed = (mixed * _MIXING_FACTOR + code) % capacity
    return mixed


def _first_collision_indices(
    semantic_ids: Int[np.ndarray, "item codebook"], capacity: int
) -> Int64[np.ndarray, "item"]:
    """`first_collision_index` of every item."""
    mixed = np.zeros(len(semantic_ids), np.int64)
    for codes in semantic_ids.T:
        mixed = (mixed * _MIXING_FACTOR + codes) % capacity
    return mixed


def assign_hash_buckets(
    semantic_ids: Int[np.ndarray, "item codebook"], drawn: Int[np.ndarray, "item"], capacity: int
) -> Int32[np.ndarray, "item"]:
    """Keep each item's drawn bucket, or take the next free one where an earlier item with the same codes has it.

    At most `capacity` items may share their codes.

    >>> assign_hash_buckets(np.array([[7, 7], [1, 2], [7, 7], [7, 7]]), np.array([3, 3, 3, 0]), 4).tolist()
    [3, 3, 0, 1]
    """
    taken: set[tuple[int, ...]] = set()
    buckets = np.empty(len(semantic_ids), np.int32)
    for row, codes in enumerate(semantic_ids.tolist()):
        bucket = int(drawn[row])
        while (*codes, bucket) in taken:
            bucket = (bucket + 1) % capacity
        taken.add((*codes, bucket))
        buckets[row] = bucket
    return buckets


def collision_capacity(semantic_ids: Int[np.ndarray, "item codebook"]) -> int:
    """Number of collision indices to provide: the largest group of equal codes can double; at least 16."""
    if len(semantic_ids) == 0:
        return _SMALLEST_CAPACITY
    return max(_SMALLEST_CAPACITY, 2 * (int(assign_collision_indices(semantic_ids).max()) + 1))


def feature_sets_with_collision_index(
    semantic_ids: Int[np.ndarray, "item codebook"],
    codebook_sizes: Sequence[int],
    capacity: int,
    *,
    codebook_names: Sequence[str] | None = None,
    drawn: Int[np.ndarray, "item"] | None = None,
) -> tuple[Int32[np.ndarray, "item category"], FeatureSpace]:
    """Append the collision index, which makes every item's feature set unique.

    Args:
        semantic_ids: codes, one column per codebook.
        codebook_sizes: number of codes of each codebook, used or not.
        capacity: number of collision indices; see `collision_capacity`.
        codebook_names: `code_0`, `code_1`, ... by default.
        drawn: a random index for each item, below `capacity`, in place of `first_collision_index`; see
            `assign_hash_buckets`.

    Raises:
        FeatureSetError: a code is outside its codebook.
        FeatureSpaceFullError: more than `capacity` items share their codes.
    """
    names = tuple(codebook_names or (f"code_{codebook}" for codebook in range(len(codebook_sizes))))
    FeatureSpace(names, tuple(codebook_sizes)).check(semantic_ids)
    indices = assign_collision_indices(semantic_ids)
    if len(indices) and indices.max() >= capacity:
        raise FeatureSpaceFullError(
            f"{indices.max() + 1} items share the codes {semantic_ids[indices.argmax()].tolist()}, "
            f"but there are only {capacity} collision indices; raise the capacity to at least {indices.max() + 1}"
        )
    if drawn is None:
        indices = (_first_collision_indices(semantic_ids, capacity) + indices) % capacity
    else:
        indices = assign_hash_buckets(semantic_ids, drawn, capacity)
    space = FeatureSpace((*names, COLLISION_CATEGORY), (*codebook_sizes, capacity))
    return np.column_stack([semantic_ids, indices]).astype(np.int32), space


def nearest_free_feature_set(
    nearest_codes: Iterable[tuple[int, ...]],
    taken: Container[tuple[int, ...]],
    space: FeatureSpace,
) -> tuple[int, ...]:
    """Find the nearest codes that have a free collision index, and the first such index.

    Args:
        nearest_codes: semantic ids, nearest first, such as `quantizers.nearest_codes`; read as far as needed.
        taken: the catalogue's feature sets, those of retired items included.
        space: one category per codebook, then the collision index; without one, the codes alone must be free.

    Raises:
        FeatureSetError: the codes do not fit the categories of `space`.
        FeatureSpaceFullError: every feature set is taken.
    """
    sizes = space.category_sizes
    for codes in nearest_codes:
        capacities = sizes[len(codes) :]
        if not len(sizes) - 1 <= len(codes) <= len(sizes) or not all(map(_fits, codes, sizes)):
            raise FeatureSetError(
                f"got the codes {list(codes)}, but the categories have {list(sizes)} values; "
                "use the quantizer that the catalogue was made with"
            )
        for ending in _endings(codes, capacities):
            if codes + ending not in taken:
                return codes + ending
    raise FeatureSpaceFullError("every feature set of the space is taken; train a bundle with more codes")


def _endings(codes: tuple[int, ...], capacities: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Collision indices from the codes' first one on; nothing to append where the space has none."""
    if not capacities:
        yield ()
        return
    first, capacity = first_collision_index(codes, capacities[0]), capacities[0]
    for place in range(capacity):
        yield ((first + place) % capacity,)


def _fits(code: int, size: int) -> bool:
    return 0 <= code < size
