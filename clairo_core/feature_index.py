"""Find the item of a feature set, and feature sets that are taken: no two items may be alike in any language.

A vocabulary of one language spells whole feature sets, so only equal ones are alike. Of several languages, each spells
some categories, and these must tell all items apart too.
"""

import struct
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from clairo_core.storage.row_index import RowIndex

SpelledCategories = tuple[tuple[int, ...], ...]
"""For each language, the categories that it spells."""


@dataclass(frozen=True, slots=True)
class FeatureIndex:
    """Rows of a catalogue by the features that each language spells. As a container: feature sets that are taken."""

    spelled: SpelledCategories
    rows: tuple[RowIndex[bytes], ...]
    """One per language."""

    def __contains__(self, feature_set: object) -> bool:
        return isinstance(feature_set, tuple) and self.row_like(feature_set) is not None

    def row_like(self, feature_set: Sequence[int]) -> int | None:
        """The row of an item that a language spells like this feature set, or None."""
        for categories, rows in zip(self.spelled, self.rows, strict=True):
            row = rows.get(struct.pack(f"<{len(categories)}i", *(feature_set[category] for category in categories)))
            if row is not None:
                return row
        return None

    def with_rows(self, feature_sets: Int32[np.ndarray, "added category"]) -> "FeatureIndex":
        """A version with more rows; none may be alike."""
        each = zip(self.spelled, self.rows, strict=True)
        added = tuple(rows.with_keys(keys_of(feature_sets, categories)) for categories, rows in each)
        return FeatureIndex(self.spelled, added)

    def with_replaced(
        self, old: Int32[np.ndarray, "row category"], new: Int32[np.ndarray, "row category"]
    ) -> "FeatureIndex":
        """A version in which rows have other feature sets; new ones may be ones that become free."""
        replaced = [
            rows.with_replaced(dict(zip(keys_of(old, categories), keys_of(new, categories), strict=True)))
            for categories, rows in zip(self.spelled, self.rows, strict=True)
        ]
        return FeatureIndex(self.spelled, tuple(replaced))

    def first_row_like_another(
        self, old: Int32[np.ndarray, "row category"], new: Int32[np.ndarray, "row category"]
    ) -> tuple[int, int] | None:
        """The first of `new` that a row not in `old` is alike, and that row; None if all are free."""
        for categories, rows in zip(self.spelled, self.rows, strict=True):
            leaving = set(keys_of(old, categories))
            for place, key in enumerate(keys_of(new, categories)):
                row = None if key in leaving else rows.get(key)
                if row is not None:
                    return place, row
        return None


class TakenFeatureSets:
    """Feature sets that are taken: those in `others`, those added, and all that a language spells like one of them."""

    def __init__(self, spelled: SpelledCategories, others: Container[tuple[int, ...]] = ()) -> None:
        self._spelled = spelled
        self._others = others
        self._parts: set[tuple[int, ...]] = set()

    def __contains__(self, feature_set: object) -> bool:
        if not isinstance(feature_set, tuple):
            return False
        return not self._parts.isdisjoint(self._parts_of(feature_set)) or feature_set in self._others

    def add(self, feature_set: tuple[int, ...]) -> None:
        """Take a feature set."""
        self._parts.update(self._parts_of(feature_set))

    def _parts_of(self, feature_set: tuple[int, ...]) -> list[tuple[int, ...]]:
        each = enumerate(self._spelled)
        return [(language, *(feature_set[category] for category in categories)) for language, categories in each]


def keys_of(feature_sets: Int32[np.ndarray, "item category"], categories: tuple[int, ...]) -> list[bytes]:
    """Some categories of each feature set as bytes: a quarter of a tuple's memory, and made for a table at once.

    >>> keys_of(np.array([[1, 2, 3]], np.int32), (0, 2)) == [np.array([1, 3], "<i4").tobytes()]
    True
    """
    packed = np.ascontiguousarray(feature_sets[:, categories], dtype="<i4").tobytes()
    width = 4 * len(categories)
    return [packed[start : start + width] for start in range(0, len(packed), width)]
