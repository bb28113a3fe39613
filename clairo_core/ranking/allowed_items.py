"""Keep which items one request allows: all or those of a mask, without a few. Start at `AllowedItems`.

Most requests leave out their history alone, so nothing here passes over the catalogue unless a mask does.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int64


@dataclass(frozen=True, slots=True, eq=False)
class AllowedItems:
    """What one request allows."""

    num_items: int
    """Of the catalogue."""
    left_out: Int64[np.ndarray, "few"]
    """Rows, ascending, each once."""
    mask: Bool[np.ndarray, "item"] | None = None
    """By row; None allows all but `left_out`."""

    def allows(self, item_rows: Int[np.ndarray, "item"]) -> Bool[np.ndarray, "item"]:
        """Whether each of these items is allowed."""
        allowed = np.ones(len(item_rows), dtype=np.bool_) if self.mask is None else self.mask[item_rows]
        if len(self.left_out):
            places = np.minimum(np.searchsorted(self.left_out, item_rows), len(self.left_out) - 1)
            allowed &= self.left_out[places] != item_rows
        return allowed

    def by_row(self) -> Bool[np.ndarray, "item"]:
        """Whether each item of the catalogue is allowed: a new array."""
        allowed = np.ones(self.num_items, dtype=np.bool_) if self.mask is None else self.mask.copy()
        allowed[self.left_out] = False
        return allowed

    def within(self, mask: Bool[np.ndarray, "item"]) -> "AllowedItems":
        """Those among the items of a mask."""
        both = mask if self.mask is None else self.mask & mask
        return AllowedItems(self.num_items, self.left_out, both)


def all_but(left_out: Int[np.ndarray, "few"], num_items: int) -> AllowedItems:
    """Allow all items of a catalogue but these rows."""
    return AllowedItems(num_items, np.unique(left_out).astype(np.int64))


def allowed_by(masks: Iterable[Bool[np.ndarray, "item"]]) -> list[AllowedItems]:
    """Allow the items of one mask per request."""
    nothing = np.zeros(0, dtype=np.int64)
    return [AllowedItems(len(mask), nothing, mask) for mask in masks]
