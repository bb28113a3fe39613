"""The served bundle at this moment: its recommender, and its items by catalogue row.

All of a moment is one object that never changes. Only the event loop's thread puts another one in its place, so a
thread that reads it once finds recommender, items and search of the same moment. Independent of HTTP, stores and
encoders.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from jaxtyping import Float32

from clairo_core.attributes import AttributeType
from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import UnknownItemError
from clairo_core.events import InteractionRules
from clairo_core.items import Item
from clairo_core.recommender import Recommender
from clairo_core.selection.item_search import TextSearch
from service.served_items import ServedItem, ServedItems

FEW_MATCHES = 5
"""Fewer items than this that contain all words are followed by items with similar words."""


@dataclass(frozen=True, slots=True)
class PagePlace:
    """Where a page of a search begins."""

    num_edits: int
    """Between the words and those of the items: 0 while items contain each of them."""
    before_row: int
    """Only rows below this one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moment:
    bundle: Bundle
    rules: InteractionRules
    recommender: Recommender
    items: ServedItems
    search: TextSearch
    counts_version: tuple[int, int] = (0, 0)
    num_changes: int = 0
    declared_types: Mapping[str, AttributeType] = field(default_factory=dict)


class LiveCatalogue:
    """The current recommender, and the items by catalogue row."""

    def __init__(self, bundle: Bundle, recommender: Recommender) -> None:
        items = ServedItems(bundle)
        self._now = _Moment(
            bundle=bundle,
            rules=bundle.manifest.rules,
            recommender=recommender,
            items=items,
            search=TextSearch(items, bundle.search_index),
        )

    @property
    def bundle(self) -> Bundle:
        """The served bundle."""
        return self._now.bundle

    @property
    def rules(self) -> InteractionRules:
        """By which feedback is read."""
        return self._now.rules

    @property
    def recommender(self) -> Recommender:
        """Of the newest catalogue and counts."""
        return self._now.recommender

    @property
    def num_changes(self) -> int:
        """Counts up with every added or replaced item, and every swap of bundles."""
        return self._now.num_changes

    @property
    def counts_version(self) -> tuple[int, int]:
        """The last event in the recommender's counts and the number of changes to stored events that they know.

        0 while they are those of training.
        """
        return self._now.counts_version

    @property
    def declared_types(self) -> Mapping[str, AttributeType]:
        """By which values of the bundle's items were last read again."""
        return self._now.declared_types

    @property
    def bundle_id(self) -> str:
        """The bundle's id."""
        return self.bundle.manifest.bundle_id

    @property
    def catalogue_version(self) -> int:
        """The version of the catalogue that the recommender answers from."""
        return self.recommender.catalogue.version

    @property
    def items(self) -> ServedItems:
        """Every item by catalogue row, retired ones included: those of this moment."""
        return self._now.items

    @property
    def num_posted_items(self) -> int:
        """Number of posted items, retired ones included."""
        return len(self.items) - len(self.bundle.items)

    def num_new(self, item_ids: Iterable[str]) -> int:
        """How many of these items were posted after training."""
        rows = map(self.recommender.catalogue.find_row, item_ids)
        return sum(row is not None and row >= len(self.bundle.items) for row in rows)

    def swap(
        self,
        recommender: Recommender,
        new_items: Sequence[ServedItem],
        changed_items: Mapping[int, ServedItem] | None = None,
        declared_types: Mapping[str, AttributeType] | None = None,
    ) -> None:
        """Answer with `recommender` from now on.

        Args:
            recommender: over a later version of the same catalogue.
            new_items: the last rows of its catalogue.
            changed_items: by row, items with new content.
            declared_types: by which they were read, if it was these that changed.
        """
        items = self._now.items.with_changes(new_items, changed_items or {})
        self._now = replace(
            self._now,
            recommender=recommender,
            items=items,
            search=self._now.search.of(items),
            num_changes=self._now.num_changes + 1,
            declared_types=self._now.declared_types if declared_types is None else declared_types,
        )

    def recount(self, recommender: Recommender, counts_version: tuple[int, int]) -> None:
        """Answer with `recommender` from now on: of the same catalogue, with other counts."""
        self._now = replace(self._now, recommender=recommender, counts_version=counts_version)

    def become(self, other: "LiveCatalogue") -> None:
        """Take over the bundle and all items of `other`, which is discarded."""
        # Higher than either: a table in step with one of both must not take itself to be in step now.
        num_changes = max(self.num_changes, other.num_changes) + 1
        self._now = replace(other._now, num_changes=num_changes)

    def row_of(self, item_id: str) -> int:
        """An item's row in the catalogue, retired or not.

        Raises:
            UnknownItemError: the catalogue has never had it.
        """
        return _row_in(self._now, item_id)

    def embedding_of(self, row: int) -> Float32[np.ndarray, "dim"] | None:
        """The embedding of the item in this row; None in a bundle of precomputed codes."""
        embedding = self.items[row].item_embedding
        if embedding is None and self.bundle.item_embeddings is not None and row < len(self.bundle.items):
            embedding = self.bundle.item_embeddings.item_embeddings[row]
        return embedding

    def with_content(self, row: int, item: Item, has_picture: bool) -> ServedItem:
        """The item in this row with new content; embedding and missing modalities stay."""
        return replace(self.items[row], item=item, has_picture=has_picture, is_posted=True)

    def find(self, item_id: str) -> ServedItem:
        """An item, retired or not.

        Raises:
            UnknownItemError: the catalogue has never had it.
        """
        now = self._now
        return now.items[_row_in(now, item_id)]

    def page(self, words: str, place: PagePlace | None, limit: int) -> tuple[list[ServedItem], PagePlace | None]:
        """Items that contain each of `words`, newest first; if these are few, then items with similar words.

        Runs in any thread. Retired items are left out; see `TextSearch.rows_like` for similar words, whose items come
        with the fewest edits first, newest first.

        Args:
            words: searched in id, texts and attributes, ignoring case; empty finds all.
            place: of the previous page; None begins at the newest.
            limit: maximum number of items.

        Returns:
            The items, and the place of the next page; None at the end.
        """
        now, wanted = self._now, words.casefold().split()
        is_retired, num_rows = now.recommender.catalogue.is_retired, len(now.items)

        def rows_with_words(before_row: int) -> Iterator[int]:
            return (row for row in now.search.rows_with(wanted, min(before_row, num_rows)) if not is_retired[row])

        start = place or PagePlace(0, num_rows)
        rows: list[int] = []
        if start.num_edits == 0:
            rows = list(islice(rows_with_words(start.before_row), limit + 1))
            if len(rows) > limit:
                return [now.items[row] for row in rows[:limit]], PagePlace(0, rows[limit] + 1)
            all_rows = rows if place is None else islice(rows_with_words(num_rows), FEW_MATCHES)
            if len(list(all_rows)) >= FEW_MATCHES:
                return [now.items[row] for row in rows], None
        similar, num_edits = now.search.rows_like(wanted, num_rows)
        is_further = (num_edits > start.num_edits) | ((num_edits == start.num_edits) & (similar < start.before_row))
        further = np.flatnonzero(is_further & ~is_retired[similar])
        shown = further[: limit - len(rows)]
        rows += similar[shown].tolist()
        if len(shown) == len(further):
            return [now.items[row] for row in rows], None
        first_left = further[len(shown)]
        next_place = PagePlace(int(num_edits[first_left]), int(similar[first_left]) + 1)
        return [now.items[row] for row in rows], next_place


def _row_in(moment: _Moment, item_id: str) -> int:
    row = moment.recommender.catalogue.find_row(item_id)
    if row is None:
        raise UnknownItemError(
            f"item {item_id!r} is not in bundle {moment.bundle.manifest.bundle_id} and was not posted; "
            "POST it to /items first"
        )
    return row
