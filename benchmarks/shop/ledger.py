"""Remember what clients were told, and see whether the store kept it and the answers fit it.

A write that was acknowledged must be there; one that was refused with 4xx must not; of one that got no answer, or a
5xx, nobody knows. Knows items, events and recommendations; knows nothing of connections or load.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PROMISED_SECONDS = 2.0
"""What one worker has acknowledged, the others know by then."""


class Ledger:
    """One run's, whose new items and events have ids that begin with `prefix`.

    `stale_seconds` is how long an item that was retired may be recommended yet.
    """

    def __init__(self, bundle_item_ids: Sequence[str], prefix: str = "new") -> None:
        self.bundle_item_ids = tuple(bundle_item_ids)
        self.prefix = prefix
        self.stale_seconds = PROMISED_SECONDS
        self.prices: dict[str, set[str]] = {}
        """Of every item that is kept for certain, the price; two where nobody knows which."""
        self.unsure_items: dict[str, str] = {}
        """With the price that each has if it is there."""
        self.retired_at: dict[str, float] = {}
        self.unsure_retired: set[str] = set()
        self.events: set[str] = set()
        self.unsure_events: set[str] = set()
        self.seen_by: dict[str, set[str]] = {}
        """By user, the items of acknowledged events."""
        self.wrong: Counter[str] = Counter()
        """What was wrong with answers, and how often."""
        self._known = set(bundle_item_ids)

    def attempt_items(self, prices: Mapping[str, str]) -> None:
        """Clients begin to post these; from now on they may be recommended."""
        self._known |= prices.keys()
        self.unsure_items |= prices

    def keep_items(self, prices: Mapping[str, str]) -> None:
        """They were acknowledged."""
        for item_id, price in prices.items():
            self.unsure_items.pop(item_id, None)
            self.prices[item_id] = {price}

    def refuse_items(self, item_ids: Iterable[str]) -> None:
        """They were refused."""
        for item_id in item_ids:
            self.unsure_items.pop(item_id, None)

    def retire(self, item_id: str) -> None:
        """Acknowledged just now."""
        self.retired_at[item_id] = time.perf_counter()

    def keep_events(self, user_id: str, item_ids_of: Mapping[str, str]) -> None:
        """Events, by their ids the items, were acknowledged."""
        self.events |= item_ids_of.keys()
        self.seen_by.setdefault(user_id, set()).update(item_ids_of.values())

    def check_list(self, answer: Mapping[str, Any], limit: int, seen: frozenset[str], sent_at: float) -> None:
        """Count what is wrong with the answer to a request for recommendations."""
        item_ids = [item["item_id"] for item in answer["items"]]
        allowed_until = sent_at - self.stale_seconds
        problems = {
            "an item twice": len(set(item_ids)) < len(item_ids),
            "too few items, and no reason": len(item_ids) < limit and answer["fallback_reason"] is None,
            "too many items": len(item_ids) > limit,
            "ranks not in order": [item["rank"] for item in answer["items"]] != list(range(1, len(item_ids) + 1)),
            "an item that was seen": not seen.isdisjoint(item_ids),
            "an item that nobody posted": not self._known.issuperset(item_ids),
            "an item that was retired": any(
                self.retired_at.get(item_id, sent_at) < allowed_until for item_id in item_ids
            ),
        }
        self.wrong.update(problem for problem, is_so in problems.items() if is_so)

    def lost_in(self, items: Mapping[str, str], retired: set[str], events: set[str]) -> Counter[str]:
        """What of all that was acknowledged the store does not have, and what it has that was refused.

        Args:
            items: the store's items, with their prices.
            retired: those of them that are retired.
            events: ids of the store's feedback.
        """
        return Counter(
            {
                "items": len(self.prices.keys() - items.keys()),
                "items' changes": sum(
                    items[item_id] not in prices for item_id, prices in self.prices.items() if item_id in items
                ),
                "retirements": len(self.retired_at.keys() - retired),
                "events": len(self.events - events),
                "refused, but there": len(items.keys() - self.prices.keys() - self.unsure_items.keys())
                + len(events - self.events - self.unsure_events)
                + len(retired - self.retired_at.keys() - self.unsure_retired),
            }
        )
