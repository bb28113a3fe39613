"""The served bundle at this moment: its recommender, and its items by catalogue row.

Only the event loop's thread changes it, and between two awaits, so every reader finds it whole. Independent of HTTP,
stores and encoders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32

from clairo_core.attributes import AttributeType, texts_of
from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import UnknownItemError
from clairo_core.items import Item
from clairo_core.recommender import Recommender
from clairo_core.selection.item_search import TextSearch


@dataclass(frozen=True, slots=True)
class ServedItem:
    """One item, for pages and searches."""

    item: Item
    """Without its picture, which is in the bundle, or for a posted item in the store."""
    has_picture: bool
    is_posted: bool
    """Whether its content is in the store: posted, or put in place of the bundle's."""
    missing_modalities: tuple[str, ...]
    item_embedding: Float32[np.ndarray, "dim"] | None = field(default=None, compare=False)
    """For an item that was posted or whose content has changed; the bundle holds those of its other items."""


class LiveCatalogue:
    """The current recommender, and the items by catalogue row."""

    def __init__(self, bundle: Bundle, recommender: Recommender) -> None:
        self.bundle = bundle
        self.rules = bundle.manifest.rules
        """By which feedback is read."""
        self.recommender = recommender
        self.num_changes = 0
        """Counts up with every added or replaced item, and every swap of bundles."""
        self.counts_version = (0, 0)
        """The last event in the recommender's counts and the number of changes to stored events that they know; 0 while
        they are those of training."""
        self.declared_types: Mapping[str, AttributeType] = {}
        """By which the values of the bundle's items are read."""
        self._items = [
            _served_item(item, bundle.has_picture(row), bundle.missing_modalities(row), is_posted=False)
            for row, item in enumerate(bundle.items)
        ]
        items = self._items
        self._search = TextSearch(lambda row: _search_text(items[row].item))

    @property
    def bundle_id(self) -> str:
        """The bundle's id."""
        return self.bundle.manifest.bundle_id

    @property
    def catalogue_version(self) -> int:
        """The version of the catalogue that the recommender answers from."""
        return self.recommender.catalogue.version

    @property
    def items(self) -> Sequence[ServedItem]:
        """Every item by catalogue row, retired ones included."""
        return self._items

    @property
    def num_posted_items(self) -> int:
        """Number of posted items, retired ones included."""
        return len(self._items) - len(self.bundle.items)

    def swap(
        self,
        recommender: Recommender,
        new_items: Sequence[ServedItem],
        changed_items: Mapping[int, ServedItem] | None = None,
    ) -> None:
        """Answer with `recommender` from now on.

        Args:
            recommender: over a later version of the same catalogue.
            new_items: the last rows of its catalogue.
            changed_items: by row, items with new content.
        """
        changed_items = changed_items or {}
        first_new = len(self._items)
        self._items.extend(new_items)
        for row, item in changed_items.items():
            self._items[row] = item
        self._search.forget([*changed_items, *range(first_new, len(self._items))])
        self.num_changes += 1
        self.recommender = recommender

    def recount(self, recommender: Recommender, counts_version: tuple[int, int]) -> None:
        """Answer with `recommender` from now on: of the same catalogue, with other counts."""
        self.recommender, self.counts_version = recommender, counts_version

    def become(self, other: "LiveCatalogue") -> None:
        """Take over the bundle and all items of `other`, which is discarded."""
        self.bundle, self.rules = other.bundle, other.rules
        self.recommender, self._items, self._search = other.recommender, other._items, other._search
        self.counts_version, self.declared_types = other.counts_version, other.declared_types
        # Higher than either: a table in step with one of both must not take itself to be in step now.
        self.num_changes = max(self.num_changes, other.num_changes) + 1

    def row_of(self, item_id: str) -> int:
        """An item's row in the catalogue, retired or not.

        Raises:
            UnknownItemError: the catalogue has never had it.
        """
        row = self.recommender.catalogue.find_row(item_id)
        if row is None:
            raise UnknownItemError(
                f"item {item_id!r} is not in bundle {self.bundle_id} and was not posted; POST it to /items first"
            )
        return row

    def embedding_of(self, row: int) -> Float32[np.ndarray, "dim"] | None:
        """The embedding of the item in this row; None in a bundle of precomputed codes."""
        embedding = self._items[row].item_embedding
        if embedding is None and self.bundle.item_embeddings is not None and row < len(self.bundle.items):
            embedding = self.bundle.item_embeddings.item_embeddings[row]
        return embedding

    def with_content(self, row: int, item: Item, has_picture: bool) -> ServedItem:
        """The item in this row with new content; embedding and missing modalities stay."""
        return replace(self._items[row], item=item, has_picture=has_picture, is_posted=True)

    def find(self, item_id: str) -> ServedItem:
        """An item, retired or not.

        Raises:
            UnknownItemError: the catalogue has never had it.
        """
        return self._items[self.row_of(item_id)]

    def page(self, words: str, before_row: int | None, limit: int) -> tuple[list[ServedItem], int | None]:
        """Items that contain each of `words`, newest first, without retired ones.

        Args:
            words: searched in id, texts and attributes, ignoring case; empty finds all.
            before_row: only rows below this one; None begins at the newest.
            limit: maximum number of items.

        Returns:
            The items, and the `before_row` of the next page; None at the end.
        """
        # Runs in a thread: the bundle may be swapped meanwhile.
        items, search, is_retired = self._items, self._search, self.recommender.catalogue.is_retired
        num_rows = min(len(items), len(is_retired))
        newest = num_rows if before_row is None else min(before_row, num_rows)
        found: list[ServedItem] = []
        for row in search.rows_with(words.casefold().split(), newest):
            if is_retired[row]:
                continue
            if len(found) == limit:
                return found, row + 1
            found.append(items[row])
        return found, None


def posted_item(
    item: Item,
    has_picture: bool,
    missing_modalities: tuple[str, ...],
    item_embedding: Float32[np.ndarray, "dim"] | None = None,
) -> ServedItem:
    """A posted item as it is served."""
    served = _served_item(item, has_picture, missing_modalities, is_posted=True)
    return replace(served, item_embedding=item_embedding)


def _served_item(item: Item, has_picture: bool, missing_modalities: tuple[str, ...], *, is_posted: bool) -> ServedItem:
    return ServedItem(item, has_picture, is_posted, missing_modalities)


def _search_text(item: Item) -> str:
    """Id, words and attributes, case folded."""
    attributes = (text for value in item.attributes.values() for text in texts_of(value))
    return "\n".join([item.item_id, *item.texts.values(), *attributes]).casefold()
