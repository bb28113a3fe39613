"""Draw a shop's requests: recommendations, feedback and merges of sessions, items with pictures, and bulk jobs.

Requests are seeded random draws. Each records its answer in the ledger by its own `settle`.
"""

import base64
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image

from benchmarks.service.http_load import HttpAnswer
from benchmarks.shop.ledger import Ledger

LIMIT = 10
NUM_USERS = 500
BULK_ROWS = 5
NUM_PICTURES = 20
PICTURE_SIDE = 64
SHARE_OF_USERS = 0.25
"""Share of recommendation requests that name a user instead of a history."""
SHARE_OF_SESSIONS, SHARE_OF_MERGES = 0.3, 0.2
"""Share of feedback by visitors who are not signed in, and of sessions that become users."""
KINDS = ("mug", "poster", "lamp", "bag", "teapot", "shirt")
COLOURS = ("red", "green", "blue", "yellow", "black", "white")


class Kind(StrEnum):
    """Kind of request."""

    RECOMMEND = "recommend"
    FEEDBACK = "feedback"
    ITEMS = "items"
    BULK = "bulk"


SHARES = {Kind.RECOMMEND: 0.90, Kind.FEEDBACK: 0.05, Kind.ITEMS: 0.04, Kind.BULK: 0.01}


@dataclass(frozen=True, slots=True)
class ShopRequest:
    """One call. `settle` gets the answer, or None without one, and the time of sending."""

    kind: Kind
    method: str
    path: str
    template: str
    """Path as in the OpenAPI document."""
    body: bytes
    settle: Callable[[HttpAnswer | None, float], None]
    content_type: str = "application/json"


class ShopTraffic:
    """An endless stream of requests."""

    def __init__(self, ledger: Ledger, seed: int = 0) -> None:
        self.ledger = ledger
        self._random = np.random.default_rng(seed)
        self._num_drawn = 0
        self._free_items: list[str] = []
        """Posted items in a known state: not retired, and no request about them in flight."""
        self._sessions: dict[str, dict[str, str]] = {}
        """Acknowledged events of sessions that no request merged: session -> event -> item."""
        self._pictures = [_picture(self._random) for _ in range(NUM_PICTURES)]

    def next_request(self) -> ShopRequest:
        """Draw the next request; kinds are drawn by their shares."""
        self._num_drawn += 1
        kind = str(self._random.choice([kind.value for kind in SHARES], p=list(SHARES.values())))
        draw = {
            Kind.RECOMMEND: self._recommendation,
            Kind.FEEDBACK: self._feedback,
            Kind.ITEMS: self._item,
            Kind.BULK: self._bulk_job,
        }[Kind(kind)]
        return draw()

    def _recommendation(self) -> ShopRequest:
        users = list(self.ledger.seen_by)
        body: dict[str, object] = {"limit": LIMIT}
        if users and self._random.random() < SHARE_OF_USERS:
            user_id = users[self._random.integers(len(users))]
            body["user_id"], seen = user_id, frozenset(self.ledger.seen_by[user_id])
        else:
            history = self._some(self.ledger.bundle_item_ids, int(self._random.integers(1, 13)))
            if self._free_items and self._random.random() < 0.2:
                history += self._some(self._free_items, 1)
            body["history"], seen = history, frozenset(history)

        def settle(answer: HttpAnswer | None, sent_at: float) -> None:
            if answer is not None and answer.status == 200:
                self.ledger.check_list(json.loads(answer.body), LIMIT, seen, sent_at)

        return _as_json(Kind.RECOMMEND, "POST", "/recommend", body, settle)

    def _feedback(self) -> ShopRequest:
        if self._sessions and self._random.random() < SHARE_OF_MERGES:
            return self._merge()
        session_id = f"{self.ledger.prefix}-session-{self._num_drawn}"
        is_session = self._random.random() < SHARE_OF_SESSIONS
        user_id = None if is_session else self._user_id()
        owner = {"session_id": session_id} if is_session else {"user_id": user_id}
        item_ids = self._some(self.ledger.bundle_item_ids, int(self._random.integers(1, 4)))
        item_ids_of = {
            f"{self.ledger.prefix}-event-{self._num_drawn}-{n}": item_id for n, item_id in enumerate(item_ids)
        }
        events = [
            owner | {"event_id": event_id, "item_id": item_id, "type": "click"}
            for event_id, item_id in item_ids_of.items()
        ]
        self.ledger.unsure_events |= item_ids_of.keys()

        def settle(answer: HttpAnswer | None, _: float) -> None:
            if is_known_outcome(answer):
                self.ledger.unsure_events -= item_ids_of.keys()
            if answer is not None and answer.status == 200:
                self.ledger.keep_events(user_id, item_ids_of)
                if is_session:
                    self._sessions[session_id] = item_ids_of

        return _as_json(Kind.FEEDBACK, "POST", "/feedback", {"events": events}, settle)

    def _merge(self) -> ShopRequest:
        session_id, item_ids_of = self._sessions.popitem()
        user_id = self._user_id()

        def settle(answer: HttpAnswer | None, _: float) -> None:
            if answer is not None and answer.status == 200:
                self.ledger.merge(user_id, item_ids_of)
            elif is_known_outcome(answer):
                self._sessions[session_id] = item_ids_of

        body = {"session_id": session_id}
        return _as_json(Kind.FEEDBACK, "POST", f"/users/{user_id}/merge", body, settle, "/users/{user_id}/merge")

    def _user_id(self) -> str:
        return f"user-{self._random.integers(NUM_USERS)}"

    def _item(self) -> ShopRequest:
        choice = self._random.random()
        if not self._free_items or choice < 0.5:
            return self._new_item()
        item_id = self._free_items.pop(self._random.integers(len(self._free_items)))
        if choice < 0.85:
            return self._patched_item(item_id) if choice < 0.7 else self._changed_item(item_id)
        return self._retired_item(item_id)

    def _new_item(self) -> ShopRequest:
        item_id = f"{self.ledger.prefix}-{self._num_drawn}"
        item = self._drawn_item(item_id)
        price = item["attributes"]["price"]  # type: ignore[index]
        self.ledger.attempt_items({item_id: price})

        def settle(answer: HttpAnswer | None, _: float) -> None:
            if answer is not None and answer.status == 201:
                self.ledger.keep_items({item_id: price})
                self._free_items.append(item_id)
            elif is_known_outcome(answer):
                self.ledger.refuse_items([item_id])

        return _as_json(Kind.ITEMS, "POST", "/items", item, settle)

    def _changed_item(self, item_id: str) -> ShopRequest:
        item = self._drawn_item(item_id)
        price = item["attributes"]["price"]  # type: ignore[index]
        return self._with_price(item_id, str(price), "PUT", item)

    def _patched_item(self, item_id: str) -> ShopRequest:
        price = self._drawn_price()
        return self._with_price(item_id, price, "PATCH", {"attributes": {"price": price}})

    def _with_price(self, item_id: str, price: str, method: str, body: dict[str, object]) -> ShopRequest:
        before = self.ledger.prices[item_id]
        self.ledger.prices[item_id] = before | {price}

        def settle(answer: HttpAnswer | None, _: float) -> None:
            if answer is not None and answer.status == 200:
                self.ledger.prices[item_id] = {price}
            elif is_known_outcome(answer):
                self.ledger.prices[item_id] = before
            else:
                return
            self._free_items.append(item_id)

        return _as_json(Kind.ITEMS, method, f"/items/{item_id}", body, settle, "/items/{item_id}")

    def _retired_item(self, item_id: str) -> ShopRequest:
        self.ledger.unsure_retired.add(item_id)

        def settle(answer: HttpAnswer | None, _: float) -> None:
            if is_known_outcome(answer):
                self.ledger.unsure_retired.discard(item_id)
            if answer is not None and answer.status == 204:
                self.ledger.retire(item_id)
            elif is_known_outcome(answer):
                self._free_items.append(item_id)

        return ShopRequest(Kind.ITEMS, "DELETE", f"/items/{item_id}", "/items/{item_id}", b"", settle)

    def _bulk_job(self) -> ShopRequest:
        rows = [self._drawn_item(f"{self.ledger.prefix}-bulk-{self._num_drawn}-{n}") for n in range(BULK_ROWS)]
        prices = {str(row["item_id"]): str(row["attributes"]["price"]) for row in rows}  # type: ignore[index]
        self.ledger.attempt_items(prices)

        def settle(answer: HttpAnswer | None, _: float) -> None:
            if answer is not None and answer.status == 202:
                self.ledger.keep_items(prices)
            elif is_known_outcome(answer):
                self.ledger.refuse_items(prices)

        body = "".join(json.dumps(row) + "\n" for row in rows).encode()
        return ShopRequest(
            Kind.BULK, "POST", "/items/bulk", "/items/bulk", body, settle, content_type="application/x-ndjson"
        )

    def _drawn_item(self, item_id: str) -> dict[str, object]:
        kind, colour = self._some(KINDS, 1)[0], self._some(COLOURS, 1)[0]
        return {
            "item_id": item_id,
            "title": f"{colour} {kind} {item_id}",
            "description": f"A {kind} for every day, in {colour}.",
            "attributes": {"category": kind, "price": self._drawn_price()},
            "picture": self._pictures[self._random.integers(NUM_PICTURES)],
        }

    def _drawn_price(self) -> str:
        return f"{self._random.integers(500, 9999) / 100:.2f}"

    def _some(self, of: Sequence[str], num: int) -> list[str]:
        return [of[place] for place in self._random.choice(len(of), size=min(num, len(of)), replace=False)]


def is_known_outcome(answer: HttpAnswer | None) -> bool:
    """Whether the write is known to be done or refused."""
    return answer is not None and answer.status < 500


def _as_json(
    kind: Kind,
    method: str,
    path: str,
    content: object,
    settle: Callable[[HttpAnswer | None, float], None],
    template: str = "",
) -> ShopRequest:
    return ShopRequest(kind, method, path, template or path, json.dumps(content).encode(), settle)


def _picture(random: np.random.Generator) -> str:
    """A PNG of coloured blocks, in base64."""
    file = io.BytesIO()
    blocks = Image.fromarray(random.integers(256, size=(4, 4, 3)).astype(np.uint8))
    blocks.resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.NEAREST).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
