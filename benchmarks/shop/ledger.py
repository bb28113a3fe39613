"""Record acknowledged writes, and check answers and the store against them.

An acknowledged write must be in the store, one refused with 4xx must not. A write without an answer, or with a 5xx, may
be either. Independent of HTTP.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

REFUSED = "refused, but stored"
PROMISED_SECONDS = 2.0
"""Time within which every worker serves a write that one acknowledged."""


class Ledger:
    """Ledger of one run; ids of its new items and events begin with `prefix`.

    A retired item may still be recommended for `stale_seconds`.
    """

    def __init__(self, bundle_item_ids: Sequence[str], prefix: str = "new") -> None:
        self.bundle_item_ids = tuple(bundle_item_ids)
        self.prefix = prefix
        self.stale_seconds = PROMISED_SECONDS
        self.prices: dict[str, set[str]] = {}
        """Price of every acknowledged item; two while a change is unconfirmed."""
        self.unsure_items: dict[str, str] = {}
        """Price of each item whose write is unconfirmed."""
        self.retired_at: dict[str, float] = {}
        self.unsure_retired: set[str] = set()
        self.events: set[str] = set()
        self.unsure_events: set[str] = set()
        self.user_of: dict[str, str] = {}
        """User of every event that an acknowledged merge made his."""
        self.seen_by: dict[str, set[str]] = {}
        """Items of acknowledged events, by user."""
        self.wrong: Counter[str] = Counter()
        """Faults of answers, counted by name."""
        self._known = set(bundle_item_ids)

    def attempt_items(self, prices: Mapping[str, str]) -> None:
        """Record items about to be posted; they may be recommended from now on."""
        self._known |= prices.keys()
        self.unsure_items |= prices

    def keep_items(self, prices: Mapping[str, str]) -> None:
        """Record acknowledged items."""
        for item_id, price in prices.items():
            self.unsure_items.pop(item_id, None)
            self.prices[item_id] = {price}

    def refuse_items(self, item_ids: Iterable[str]) -> None:
        """Record refused items."""
        for item_id in item_ids:
            self.unsure_items.pop(item_id, None)

    def retire(self, item_id: str) -> None:
        """Record an acknowledged retirement, now."""
        self.retired_at[item_id] = time.perf_counter()

    def keep_events(self, user_id: str | None, item_ids_of: Mapping[str, str]) -> None:
        """Record acknowledged events of a user, or of a session with None: their items by event id."""
        self.events |= item_ids_of.keys()
        if user_id is not None:
            self.seen_by.setdefault(user_id, set()).update(item_ids_of.values())

    def merge(self, user_id: str, item_ids_of: Mapping[str, str]) -> None:
        """Record an acknowledged merge of a session with these events."""
        self.user_of |= dict.fromkeys(item_ids_of, user_id)
        self.keep_events(user_id, item_ids_of)

    def check_list(self, answer: Mapping[str, Any], limit: int, seen: frozenset[str], sent_at: float) -> None:
        """Count the faults of an answer to POST /recommend."""
        item_ids = [item["item_id"] for item in answer["items"]]
        allowed_until = sent_at - self.stale_seconds
        problems = {
            "an item twice": len(set(item_ids)) < len(item_ids),
            "too few items without a reason": len(item_ids) < limit and answer["fallback_reason"] is None,
            "too many items": len(item_ids) > limit,
            "ranks not in order": [item["rank"] for item in answer["items"]] != list(range(1, len(item_ids) + 1)),
            "a seen item": not seen.isdisjoint(item_ids),
            "an unknown item": not self._known.issuperset(item_ids),
            "a retired item": any(self.retired_at.get(item_id, sent_at) < allowed_until for item_id in item_ids),
        }
        self.wrong.update(problem for problem, is_so in problems.items() if is_so)

    def lost_in(self, items: Mapping[str, str], retired: set[str], events: Mapping[str, str]) -> Counter[str]:
        """Count acknowledged rows that the store lacks, and refused ones that it has.

        Args:
            items: the store's items, with their prices.
            retired: ids of the retired ones.
            events: ids of the store's feedback, with their users; "" for those of sessions.
        """
        return Counter(
            {
                "items": len(self.prices.keys() - items.keys()),
                "items' changes": sum(
                    items[item_id] not in prices for item_id, prices in self.prices.items() if item_id in items
                ),
                "retirements": len(self.retired_at.keys() - retired),
                "events": len(self.events - events.keys()),
                "merges of events": sum(events.get(event_id) != user_id for event_id, user_id in self.user_of.items()),
                REFUSED: len(items.keys() - self.prices.keys() - self.unsure_items.keys())
                + len(events.keys() - self.events - self.unsure_events)
                + len(retired - self.retired_at.keys() - self.unsure_retired),
            }
        )
