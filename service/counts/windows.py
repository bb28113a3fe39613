"""Popular, trending and latest items within a window of time. `Windows` reads; the functions list.

Counted from the store itself, so every process and every bundle agree; kept for a few seconds.
"""

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float64, Int64

from clairo_core.catalogue import Catalogue
from clairo_core.recommender import Recommender
from service.live_catalogue import LiveCatalogue
from service.recommend.cache import SingleFlight
from service.recommend.wanted import Strangers
from service.store.behaviour import BehaviourStore, ItemUsers

KEPT_SECONDS = 2.0
BUSY_SHARE = 0.05
"""Reading a window takes at most this share of the time: a slow reading is kept longer."""
WEEK_SECONDS = 7 * 24 * 3600.0
MAX_KEPT = 64
"""Windows; the one read longest ago goes first."""

Kept = TypeVar("Kept")


class KeptReadings(Generic[Kept]):
    """Shares what was read a moment ago, and a reading in progress."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Kept]] = {}
        self._flights: SingleFlight[Kept] = SingleFlight()

    async def current(self, key: str, read: Callable[[], Coroutine[Any, Any, Kept]]) -> Kept:
        """What `read` returned, now or a moment ago."""
        good_until, kept = self._kept.get(key, (0.0, None))
        if kept is not None and time.monotonic() < good_until:
            return kept
        return await self._flights.run(key, lambda: self._read(key, read))

    async def _read(self, key: str, read: Callable[[], Coroutine[Any, Any, Kept]]) -> Kept:
        started = time.monotonic()
        found = await read()
        now = time.monotonic()
        # In order of reading, oldest first.
        self._kept.pop(key, None)
        self._kept[key] = (now + max(KEPT_SECONDS, (now - started) / BUSY_SHARE), found)
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class PopularRows:
    """Items of a window by users, best first, and then the others by popularity over all time."""

    rows: Int64[np.ndarray, "listed"]
    num_users: Int64[np.ndarray, "listed"]
    """Within the window."""


@dataclass(frozen=True, slots=True, eq=False)
class TrendingRows:
    """Items with more users in a window than in the one before, those that rise most first."""

    rows: Int64[np.ndarray, "listed"]
    num_users: Int64[np.ndarray, "listed"]
    num_users_before: Int64[np.ndarray, "listed"]


@dataclass(frozen=True, slots=True, eq=False)
class LatestRows:
    """Items by the time at which they were posted, newest first."""

    rows: Int64[np.ndarray, "listed"]
    posted_at: Float64[np.ndarray, "listed"]
    """In seconds since 1970."""


class Windows:
    """Reads what happened within windows. Belongs to one event loop. Raises `StoreError`."""

    def __init__(self, live: LiveCatalogue, store: BehaviourStore) -> None:
        self._live = live
        self._store = store
        self._users: KeptReadings[dict[str, ItemUsers]] = KeptReadings()
        self._posted: KeptReadings[dict[str, float]] = KeptReadings()

    async def users(self, window_seconds: float, windows_ago: int = 0) -> Mapping[str, ItemUsers]:
        """Users by item, by the served bundle's rules, in the window that ends now, or so many windows earlier."""
        rules = self._live.rules

        async def read() -> dict[str, ItemUsers]:
            until = time.time() - windows_ago * window_seconds
            return await self._store.users_within(until - window_seconds, until, rules)

        return await self._users.current(f"{self._live.bundle_id} {window_seconds} {windows_ago}", read)

    async def posted(self, window_seconds: float) -> Mapping[str, float]:
        """Items that were posted within the window, and when, in seconds since 1970."""

        async def read() -> dict[str, float]:
            return await self._store.posted_since(max(time.time() - window_seconds, 0.0))

        return await self._posted.current(f"{window_seconds}", read)

    async def weights(self, strangers: Strangers) -> Mapping[str, float]:
        """What ranks items for strangers: the rise, or the time of posting, within a week. See `StrangerWeights`."""
        if strangers == "latest":
            return await self.posted(WEEK_SECONDS)
        users, before = await self.users(WEEK_SECONDS), await self.users(WEEK_SECONDS, 1)
        rises = {
            item_id: rise_of(of_item.num_users, before[item_id].num_users if item_id in before else 0)
            for item_id, of_item in users.items()
        }
        return {item_id: rise for item_id, rise in rises.items() if rise > 0}


def popular_rows(
    users: Mapping[str, ItemUsers], recommender: Recommender, is_allowed: Bool[np.ndarray, "item"], limit: int
) -> PopularRows:
    """The `limit` allowed items with most users, each by the weight of his heaviest event; then the others."""
    rows, found = _found(users, recommender.catalogue)
    weights, num_users = np.zeros(len(is_allowed)), np.zeros(len(is_allowed), dtype=np.int64)
    weights[rows], num_users[rows] = [one.weight for one in found], [one.num_users for one in found]
    counted = np.flatnonzero(is_allowed & (weights > 0))
    best = counted[np.lexsort((counted, -weights[counted]))]
    others = recommender.popular.item_rows
    listed = np.concatenate([best, others[is_allowed[others] & (weights[others] == 0)]])[:limit]
    return PopularRows(listed, num_users[listed])


def trending_rows(
    users: Mapping[str, ItemUsers],
    users_before: Mapping[str, ItemUsers],
    catalogue: Catalogue,
    is_allowed: Bool[np.ndarray, "item"],
    limit: int,
) -> TrendingRows:
    """The `limit` allowed items that rise most: the difference of users over its standard deviation by chance."""
    now, before = np.zeros(len(is_allowed), dtype=np.int64), np.zeros(len(is_allowed), dtype=np.int64)
    for counts, of_window in ((now, users), (before, users_before)):
        rows, found = _found(of_window, catalogue)
        counts[rows] = [one.num_users for one in found]
    rises = rise_of(now, before)
    rising = np.flatnonzero(is_allowed & (rises > 0))
    listed = rising[np.lexsort((rising, -rises[rising]))][:limit]
    return TrendingRows(listed, now[listed], before[listed])


def rise_of(now: int | Int64[np.ndarray, "item"], before: int | Int64[np.ndarray, "item"]) -> Any:
    """The difference of users, over its standard deviation by chance."""
    return (now - before) / np.sqrt(now + before + 1.0)


def latest_rows(
    posted: Mapping[str, float], catalogue: Catalogue, is_allowed: Bool[np.ndarray, "item"], limit: int
) -> LatestRows:
    """The `limit` allowed items that were posted last."""
    rows, found = _found(posted, catalogue)
    posted_at = np.zeros(len(is_allowed))
    posted_at[rows] = found
    latest = np.flatnonzero(is_allowed & (posted_at > 0))
    listed = latest[np.lexsort((-latest, -posted_at[latest]))][:limit]
    return LatestRows(listed, posted_at[listed])


def _found(of_items: Mapping[str, Kept], catalogue: Catalogue) -> tuple[list[int], list[Kept]]:
    """Rows of those that the catalogue has, and their values."""
    known = [(row, value) for item_id, value in of_items.items() if (row := catalogue.find_row(item_id)) is not None]
    return [row for row, _ in known], [value for _, value in known]
