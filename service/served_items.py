"""The served items by catalogue row: the bundle's, and over them those that were posted or changed since.

A version never changes. The bundle's own items are read when asked for, so a million of them take no memory here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import overload

import numpy as np
from jaxtyping import Float32

from clairo_core.bundle.bundle import Bundle
from clairo_core.items import Item
from clairo_core.selection.item_search import ROWS_PER_BLOCK
from clairo_core.selection.search_index import search_text


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


_Block = Mapping[int, ServedItem]
"""Posted and changed items of consecutive rows, by row."""


class ServedItems(Sequence[ServedItem]):
    """Every item, retired ones included. Rows of a `TextSearch`."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._size = len(bundle.items)
        self._blocks: list[_Block] = [{} for _ in range(-(-self._size // ROWS_PER_BLOCK))]

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, row: int) -> ServedItem: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[ServedItem]: ...
    def __getitem__(self, row: int | slice) -> ServedItem | Sequence[ServedItem]:
        rows = range(self._size)[row]
        if isinstance(rows, range):
            return list(self._read(rows)) if rows.step == 1 else [self[one] for one in rows]
        return self._blocks[rows // ROWS_PER_BLOCK].get(rows) or self._trained(rows, self._bundle.items[rows])

    def __iter__(self) -> Iterator[ServedItem]:
        return self._read(range(self._size))

    def with_changes(self, new_items: Sequence[ServedItem], changed_items: Mapping[int, ServedItem]) -> "ServedItems":
        """The next version: `new_items` in the last rows, and others in place of those in these rows."""
        of_block: dict[int, dict[int, ServedItem]] = {}
        for row, served in chain(changed_items.items(), enumerate(new_items, self._size)):
            of_block.setdefault(row // ROWS_PER_BLOCK, {})[row] = served
        longer = ServedItems.__new__(ServedItems)
        longer._bundle = self._bundle
        longer._size = self._size + len(new_items)
        num_blocks = -(-longer._size // ROWS_PER_BLOCK)
        longer._blocks = [*self._blocks, *({} for _ in range(num_blocks - len(self._blocks)))]
        for number, items in of_block.items():
            longer._blocks[number] = {**longer._blocks[number], **items}
        return longer

    def rows_changed_since(self, before: "ServedItems") -> list[int]:
        """Rows of an earlier version that hold another item now."""
        return [
            row
            for old, new in zip(before._blocks, self._blocks, strict=False)
            if new is not old
            for row, served in new.items()
            if row < len(before) and served is not old.get(row)
        ]

    def version_of(self, block: int) -> object:
        """The same object for two versions only if no item of the block differs."""
        return self._blocks[block]

    def texts_of(self, rows: range) -> list[str]:
        """Id, words and attributes of each item in consecutive rows, case folded."""
        items = dict(enumerate(self._bundle.items[rows.start : rows.stop], rows.start))
        for block in range(rows.start // ROWS_PER_BLOCK, -(-rows.stop // ROWS_PER_BLOCK)):
            items |= {row: served.item for row, served in self._blocks[block].items() if row in rows}
        return [search_text(items[row]) for row in rows]

    def _read(self, rows: range) -> Iterator[ServedItem]:
        for row, item in enumerate(self._bundle.items[rows.start : rows.stop], rows.start):
            yield self._blocks[row // ROWS_PER_BLOCK].get(row) or self._trained(row, item)
        for row in range(max(rows.start, len(self._bundle.items)), rows.stop):
            yield self._blocks[row // ROWS_PER_BLOCK][row]

    def _trained(self, row: int, item: Item) -> ServedItem:
        return ServedItem(item, self._bundle.has_picture(row), False, self._bundle.missing_modalities(row))


def posted_item(
    item: Item,
    has_picture: bool,
    missing_modalities: tuple[str, ...],
    item_embedding: Float32[np.ndarray, "dim"] | None = None,
) -> ServedItem:
    """A posted item as it is served."""
    return ServedItem(item, has_picture, True, missing_modalities, item_embedding)
