"""List a catalogue's items by popularity, most popular first, and say how likely each is."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real

from clairo_core.ranking.count_increments import padded


@dataclass(frozen=True, slots=True, eq=False)
class PopularItems:
    """All items of a catalogue in order of popularity. Make one with `popular_items`."""

    weights: Real[np.ndarray, "counted"]
    """Users or interactions, by row; rows past its end were added since and have none."""
    item_rows: Int64[np.ndarray, "item"]
    """Most popular first; ties, and items without interactions, in the order of their rows."""

    def extended(self, num_items: int) -> "PopularItems":
        """The list of a later catalogue with `num_items` rows: new items come last."""
        return replace(self, item_rows=np.append(self.item_rows, np.arange(len(self.item_rows), num_items)))

    def with_users(self, added: Real[np.ndarray, "item"]) -> "PopularItems":
        """The list after more users; `added` has a number for each item."""
        return popular_items(padded(self.weights, len(added)) + added, len(self.item_rows))

    def best(
        self,
        is_allowed: Bool[np.ndarray, "item"],
        count: int,
        penalty: Callable[[Int64[np.ndarray, "item"]], Float64[np.ndarray, "item"]] | None = None,
    ) -> tuple[Int64[np.ndarray, "best"], Float64[np.ndarray, "best"]]:
        """The `count` most popular allowed items, and the logarithms of their shares of all weights.

        A penalty, by row, lowers these logarithms before the items are chosen.
        """
        allowed = self.item_rows[is_allowed[self.item_rows]]
        if penalty is None:
            return allowed[:count], self._log_shares(allowed[:count])
        log_shares = self._log_shares(allowed) - penalty(allowed)
        best_first = np.argsort(-log_shares, kind="stable")[:count]
        return allowed[best_first], log_shares[best_first]

    def _log_shares(self, item_rows: Int64[np.ndarray, "some"]) -> Float64[np.ndarray, "some"]:
        # Each item weighs one more than it does: a new item has a probability too.
        weights = np.ones(len(item_rows))
        is_counted = item_rows < len(self.weights)
        weights[is_counted] += self.weights[item_rows[is_counted]]
        log_shares: Float64[np.ndarray, "some"] = np.log(weights / (self.weights.sum() + len(self.item_rows)))
        return log_shares


def popular_items(weights: Real[np.ndarray, "counted"], num_items: int) -> PopularItems:
    """Order the `num_items` rows of a catalogue by their users or interactions in training."""
    return PopularItems(weights, np.argsort(-weights, kind="stable")).extended(num_items)
