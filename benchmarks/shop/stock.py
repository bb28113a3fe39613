"""Prices and stocks that change every hour, and a check that no answer has a product that is sold out.

Independent of HTTP.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

SHARE_SOLD_OUT = 0.3
MAX_PATCHES = 1000
"""Of one call of PATCH /items."""
IN_STOCK = {"attribute": "in_stock", "equals": True}


class Stock:
    """Stock of a shop's items, as acknowledged by the service."""

    def __init__(self, item_ids: Sequence[str], seed: int = 0) -> None:
        self._item_ids = list(item_ids)
        self._random = np.random.default_rng(seed)
        self._sold_out_at: dict[str, float] = {}
        """Since when an item has been acknowledged as sold out."""
        self.num_wrong = 0
        """Items of answers that had been sold out for longer than the promise."""

    def next_patches(self) -> list[list[dict[str, Any]]]:
        """Draw new prices and stocks of all items, in bodies of PATCH /items."""
        patches = [
            {
                "item_id": item_id,
                "attributes": {
                    "stock_price": round(float(self._random.uniform(5, 60)), 2),
                    "in_stock": bool(self._random.random() >= SHARE_SOLD_OUT),
                },
            }
            for item_id in self._item_ids
        ]
        return [patches[start : start + MAX_PATCHES] for start in range(0, len(patches), MAX_PATCHES)]

    def send(self, patches: Iterable[dict[str, Any]]) -> None:
        """Record patches that are about to be sent: an item may be in stock from now on."""
        for patch in patches:
            if patch["attributes"]["in_stock"]:
                self._sold_out_at.pop(patch["item_id"], None)

    def acknowledge(self, patches: Iterable[dict[str, Any]]) -> None:
        """Record acknowledged patches: an item may be sold out from now on."""
        now = time.perf_counter()
        for patch in patches:
            if not patch["attributes"]["in_stock"]:
                self._sold_out_at.setdefault(patch["item_id"], now)

    def check(self, item_ids: Iterable[str], sent_at: float, promised_seconds: float) -> None:
        """Count the items of an answer that had been sold out for `promised_seconds` when it was asked for."""
        self.num_wrong += sum(
            sent_at > self._sold_out_at.get(item_id, sent_at) + promised_seconds for item_id in item_ids
        )
