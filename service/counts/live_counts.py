"""Fold new feedback into the served recommender's counts, within seconds and in every process alike.

Each process reads the store's events in order of arrival, counts them, and swaps in a recommender that knows them.
Nothing is counted twice: the bundle has learned the events up to the newest one of its training, so only later ones
count (`BundleManifest.learned_until`). An event that arrives afterwards with an earlier time waits for the next
training. A restart counts from there again. So does a process once the store has deleted events or made them a user's
(forgotten users, removed events, merged sessions): sums cannot be undone, since what they held is gone.

Start at `LiveCounts.catch_up`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Int64
from scipy import sparse

from clairo_core.bundle.bundle import Bundle
from clairo_core.ranking import CountIncrements, increments_of
from clairo_core.ranking.count_increments import grown, padded
from clairo_core.recommender import Recommender
from service.counts.user_actions import actions_of, owner_of
from service.items.ingestion import Ingestion
from service.live_catalogue import LiveCatalogue
from service.store.behaviour import BehaviourStore

MAX_EVENTS_AT_ONCE = 20_000
MAX_STEPS_AT_START = 5
"""As many events as are folded before the first request; the rest follow beside it."""
BUSY_SHARE = 0.1
"""Folding takes at most this share of the time: the next step waits nine times as long as the last one worked."""


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """How many users have both items of each pair, and interactions by item, those since training included."""

    together: sparse.csr_matrix
    """Symmetric; as many rows as there are interactions."""
    interactions: Int64[np.ndarray, "item"]
    """Items past its end, posted since, have none."""

    def with_counts(self, increments: CountIncrements) -> "PairCounts":
        """The counts after more events."""
        num_items = len(increments.interactions)
        return PairCounts(
            (grown(self.together, num_items) + increments.together).tocsr(),
            padded(self.interactions, num_items) + increments.interactions,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _NextEvents:
    """What the next events add to the counts."""

    increments: CountIncrements | None
    """None without events."""
    up_to: int
    """Sequence of the last event that was looked at."""
    is_last: bool
    """Whether no event was waiting behind them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Recount:
    """Counts since training in the making, from the first event on, page by page."""

    num_changes: int
    """To stored events, when it began."""
    sequence: int | None = None
    increments: CountIncrements | None = None


class LiveCounts:
    """Up to which event the served recommender's counts reach. Belongs to one event loop."""

    def __init__(
        self, live: LiveCatalogue, store: BehaviourStore, ingestion: Ingestion, *, interval_seconds: float
    ) -> None:
        """With an `interval_seconds` of 0, counts stay those of training."""
        self._live = live
        self._store = store
        self._ingestion = ingestion
        self._interval_seconds = interval_seconds
        self._may_fold_at = 0.0
        self._worked_seconds = 0.0
        """By this step, without its waits for writes of items, which an import or a swap may prolong."""
        self._sequence: int | None = None
        self._num_changes = 0
        self._recount: _Recount | None = None
        self._pairs = _pairs_of(live.recommender) or _no_pairs(live.bundle)
        self._complete_until = live.bundle.manifest.learned_until

    @property
    def pairs(self) -> PairCounts:
        """The served bundle's counts, and those folded since."""
        return self._pairs

    @property
    def complete_until(self) -> float:
        """Every event that the store had by then, in seconds since 1970, is in the counts."""
        return self._complete_until

    async def start(self) -> None:
        """Fold the events since training, up to a bound; `catch_up` folds the rest.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._interval_seconds:
            self._num_changes = await self._store.num_changes()
        for _ in range(MAX_STEPS_AT_START if self._interval_seconds else 0):
            if not await self._fold_next():
                return

    async def catch_up(self) -> None:
        """Fold the next events, if it is time to. If counted ones were deleted or became a user's, count again too.

        Raises:
            StoreError: the store cannot be read; the counts stay as they are.
        """
        if not self._interval_seconds or time.monotonic() < self._may_fold_at:
            return
        self._worked_seconds = 0.0
        num_changes = await self._store.num_changes()
        if self._recount is None and num_changes != self._num_changes:
            self._recount = _Recount(num_changes)
        is_behind = self._recount is not None and await self._count_again(self._recount)
        is_behind = await self._fold_next() or is_behind
        pause = self._worked_seconds / BUSY_SHARE - self._worked_seconds
        self._may_fold_at = time.monotonic() + (pause if is_behind else max(self._interval_seconds, pause))

    def become(self, other: "LiveCounts") -> None:
        """Take over the counts of a bundle that was swapped in; call it between the swap and the next await."""
        self._sequence, self._pairs, self._complete_until = other._sequence, other._pairs, other._complete_until
        self._num_changes, self._recount = other._num_changes, other._recount

    async def _fold_next(self) -> bool:
        """Fold up to `MAX_EVENTS_AT_ONCE` events; return whether there may be more."""
        bundle, sequence, started_at = self._live.bundle, self._sequence, time.time()
        events = await self._events_after(sequence)
        increments = events.increments

        def is_current() -> bool:
            return self._live.bundle is bundle and self._sequence == sequence

        def with_events(recommender: Recommender) -> tuple[Recommender, PairCounts] | None:
            if increments is None or not is_current():
                return None
            recommender = recommender.with_counts(increments)
            return recommender, _pairs_of(recommender) or self._pairs.with_counts(increments)

        if increments is None:
            is_folded = is_current()
        else:
            is_folded = await self._serve(with_events, events.up_to, self._num_changes)
        if is_folded:
            self._sequence = events.up_to
            if events.is_last:
                self._complete_until = started_at
        return not events.is_last

    async def _count_again(self, recount: _Recount) -> bool:
        """Count a page again, and with the last one serve the new sums; return whether there may be more."""
        bundle = self._live.bundle
        events = await self._events_after(recount.sequence)
        increments = events.increments or increments_of([], len(self._live.recommender.catalogue))
        if recount.increments is not None:
            increments = recount.increments.plus(increments)

        def of_training_and_events(recommender: Recommender) -> tuple[Recommender, PairCounts] | None:
            if self._live.bundle is not bundle or self._recount is not recount:
                return None
            recommender = bundle.with_counts_of_training(recommender).with_counts(increments)
            return recommender, _pairs_of(recommender) or _no_pairs(bundle).with_counts(increments)

        if not events.is_last:
            if self._recount is recount:
                self._recount = _Recount(recount.num_changes, events.up_to, increments)
        elif await self._serve(of_training_and_events, events.up_to, recount.num_changes):
            self._sequence, self._num_changes, self._recount = events.up_to, recount.num_changes, None
        return not events.is_last

    async def _events_after(self, sequence: int | None) -> _NextEvents:
        """Count up to `MAX_EVENTS_AT_ONCE` events after one; with None, the first ones since training."""
        # Taken at one moment: a swap of bundles meanwhile discards what is counted here.
        bundle, rules = self._live.bundle, self._live.rules
        since = bundle.manifest.learned_until
        if sequence is None:
            sequence = await self._store.sequence_before(since)
        with self._working():
            new = await self._store.events_after(sequence, since, MAX_EVENTS_AT_ONCE)
        if not new.events:
            return _NextEvents(None, new.up_to, is_last=True)
        if any(self._live.recommender.catalogue.find_row(kept.event.item_id) is None for kept in new.events):
            # An item may have been posted by another process just before its first event.
            await self._ingestion.catch_up()
        owners = {owner_of(kept.event) for kept in new.events}
        kept_users = [owner for owner in owners if isinstance(owner, str) and bundle.users.find_row(owner) is not None]
        with self._working():
            earlier = await self._store.events_up_to(sequence, owners)
            forgotten = await self._store.forgotten_among(kept_users) if kept_users else set()
            catalogue = self._live.recommender.catalogue
            actions = partial(actions_of, earlier, new.events, catalogue, bundle, rules, forgotten)
            increments = await asyncio.to_thread(lambda: increments_of(actions(), len(catalogue)))
        return _NextEvents(increments, new.up_to, is_last=len(new.events) < MAX_EVENTS_AT_ONCE)

    async def _serve(
        self, recounted: Callable[[Recommender], tuple[Recommender, PairCounts] | None], up_to: int, num_changes: int
    ) -> bool:
        """Serve a recommender with other counts, unless a swap of bundles made them useless. Return whether it did."""
        is_served = False

        def serve(outcome: tuple[Recommender, PairCounts] | None) -> None:
            nonlocal is_served
            if outcome is not None:
                is_served = True
                recommender, self._pairs = outcome
                self._live.recount(recommender, (up_to, num_changes))

        def recounted_at_work(recommender: Recommender) -> tuple[Recommender, PairCounts] | None:
            with self._working():
                return recounted(recommender)

        await self._ingestion.between_writes(recounted_at_work, serve)
        return is_served

    @contextmanager
    def _working(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._worked_seconds += time.monotonic() - began


def _pairs_of(recommender: Recommender) -> PairCounts | None:
    """The recommender's own counts, so that they are not kept twice; None if it has none."""
    ranking = recommender.joint_ranking
    if ranking is None or ranking.together is None:
        return None
    return PairCounts(ranking.together, ranking.training_counts)


def _no_pairs(bundle: Bundle) -> PairCounts:
    num_items = len(bundle.popularity)
    return PairCounts(sparse.csr_matrix((num_items, num_items), dtype=np.float32), bundle.popularity)
