"""List a catalogue's items by popularity, most popular first, and say how likely each is."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real


@dataclass(frozen=True, slots=True, eq=False)
class PopularItems:
    """All items of a catalogue in order of popularity. Make one with `popular_items`."""

    weights: Real[np.ndarray, "counted"]
    """Users or interactions in training, by row; rows past its end were added since and have none."""
    item_rows: Int64[np.ndarray, "item"]
    """Most popular first; ties, and items without interactions, in the order of their rows."""

    def extended(self, num_items: int) -> "PopularItems":
        """The list of a later catalogue with `num_items` rows: new items come last."""
        return replace(self, item_rows=np.append(self.item_rows, np.arange(len(self.item_rows), num_items)))

    def best(
        self, is_allowed: Bool[np.ndarray, "item"], count: int
    ) -> tuple[Int64[np.ndarray, "best"], Float64[np.ndarray, "best"]]:
        """The `count` most popular allowed items, and the logarithms of their shares of all weights."""
        best = self.item_rows[is_allowed[self.item_rows]][:count]
        # Each item weighs one more than it does: a new item has a probability too.
        weights = np.ones(len(best))
        is_counted = best < len(self.weights)
        weights[is_counted] += self.weights[best[is_counted]]
        return best, np.log(weights / (self.weights.sum() + len(self.item_rows)))


def popular_items(weights: Real[np.ndarray, "counted"], num_items: int) -> PopularItems:
    """Order the `num_items` rows of a catalogue by their users or interactions in training."""
    return PopularItems(weights, np.argsort(-weights, kind="stable")).extended(num_items)
