"""Fold new feedback into the served recommender's counts, within seconds and in every process alike.

Each process reads the store's events in order of arrival, counts them, and swaps in a recommender that knows them.
Nothing is counted twice: the bundle has learned the events up to the newest one of its training, so only later ones
count (`BundleManifest.learned_until`). An event that arrives afterwards with an earlier time waits for the next
training. A restart counts from there again. A user who is forgotten leaves the sums with the next training or restart.

Start at `LiveCounts.catch_up`.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from scipy import sparse

from clairo_core.bundle.bundle import Bundle
from clairo_core.catalogue import Catalogue
from clairo_core.events import InteractionRules
from clairo_core.ranking import CountIncrements, UserActions, increments_of
from clairo_core.ranking.count_increments import grown, padded
from clairo_core.recommender import Recommender
from service.items.ingestion import Ingestion
from service.live_catalogue import LiveCatalogue
from service.store.behaviour import MAX_EARLIER_EVENTS, BehaviourStore
from service.store.feedback import KeptEvent
from service.store.feedback_event import FeedbackEvent, Owner, Session

MAX_EVENTS_AT_ONCE = 20_000
MAX_STEPS_AT_START = 5
"""As many events as are folded before the first request; the rest follow beside it."""
BUSY_SHARE = 0.1
"""Folding takes at most this share of the time: the next step waits nine times as long as the last one took."""


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
        self._sequence: int | None = None
        self._pairs = _pairs_of(live.recommender) or _no_pairs(live.bundle)

    @property
    def pairs(self) -> PairCounts:
        """The served bundle's counts, and those folded since."""
        return self._pairs

    async def start(self) -> None:
        """Fold the events since training, up to a bound; `catch_up` folds the rest.

        Raises:
            StoreError: the store cannot be read.
        """
        for _ in range(MAX_STEPS_AT_START if self._interval_seconds else 0):
            if not await self._fold_next():
                return

    async def catch_up(self) -> None:
        """Fold the next events, if it is time to.

        Raises:
            StoreError: the store cannot be read; the counts stay as they are.
        """
        started = time.monotonic()
        if not self._interval_seconds or started < self._may_fold_at:
            return
        is_behind = await self._fold_next()
        took = time.monotonic() - started
        pause = took / BUSY_SHARE - took
        self._may_fold_at = started + took + (pause if is_behind else max(self._interval_seconds, pause))

    def become(self, other: "LiveCounts") -> None:
        """Take over the counts of a bundle that was swapped in; call it between the swap and the next await."""
        self._sequence, self._pairs = other._sequence, other._pairs

    async def _fold_next(self) -> bool:
        """Fold up to `MAX_EVENTS_AT_ONCE` events; return whether there may be more."""
        # Taken at one moment: a swap of bundles meanwhile discards what is counted here.
        bundle, rules, folded = self._live.bundle, self._live.rules, self._sequence
        since = bundle.manifest.learned_until
        if folded is None:
            folded = await self._store.sequence_before(since)
        new = await self._store.events_after(folded, since, MAX_EVENTS_AT_ONCE)
        if not new.events:
            if self._live.bundle is bundle:
                self._sequence = new.up_to
            return False
        if any(self._live.recommender.catalogue.find_row(kept.event.item_id) is None for kept in new.events):
            # An item may have been posted by another process just before its first event.
            await self._ingestion.catch_up()
        earlier = await self._store.events_up_to(folded, {owner_of(kept.event) for kept in new.events})
        catalogue = self._live.recommender.catalogue
        increments = await asyncio.to_thread(
            lambda: increments_of(actions_of(earlier, new.events, catalogue, bundle, rules), len(catalogue))
        )

        def recounted(recommender: Recommender) -> tuple[Recommender, PairCounts] | None:
            if self._live.bundle is not bundle:
                return None
            recommender = recommender.with_counts(increments)
            return recommender, _pairs_of(recommender) or self._pairs.with_counts(increments)

        def serve(outcome: tuple[Recommender, PairCounts] | None) -> None:
            if outcome is not None:
                recommender, self._pairs = outcome
                self._sequence = new.up_to
                self._live.recount(recommender, new.up_to)

        await self._ingestion.between_writes(recounted, serve)
        return len(new.events) == MAX_EVENTS_AT_ONCE


def _pairs_of(recommender: Recommender) -> PairCounts | None:
    """The recommender's own counts, so that they are not kept twice; None if it has none."""
    ranking = recommender.joint_ranking
    if ranking is None or ranking.together is None:
        return None
    return PairCounts(ranking.together, ranking.training_counts)


def _no_pairs(bundle: Bundle) -> PairCounts:
    num_items = len(bundle.popularity)
    return PairCounts(sparse.csr_matrix((num_items, num_items), dtype=np.float32), bundle.popularity)


def actions_of(
    earlier: Iterable[KeptEvent],
    new: Iterable[KeptEvent],
    catalogue: Catalogue,
    bundle: Bundle,
    rules: InteractionRules,
) -> list[UserActions]:
    """Each user's positive events on items of the catalogue: items that the bundle kept, then earlier and new events.

    Users without a new one among them are left out.
    """
    counted: dict[Owner, list[_Action]] = {}
    added: dict[Owner, list[_Action]] = {}
    for events, by_user in ((earlier, counted), (new, added)):
        for kept in events:
            action = _action_of(kept.event, catalogue, rules)
            if action is not None:
                by_user.setdefault(owner_of(kept.event), []).append(action)
    actions = []
    for owner, last in added.items():
        first = [*_kept_actions(bundle, owner), *counted.get(owner, ())]
        rows, weights, is_read = zip(*first, *last, strict=True)
        actions.append(UserActions(np.array(rows), np.array(weights), np.array(is_read), len(first)))
    return actions


class _Action(NamedTuple):
    row: int
    weight: float
    is_read: bool


def _action_of(event: FeedbackEvent, catalogue: Catalogue, rules: InteractionRules) -> _Action | None:
    row, name = catalogue.find_row(event.item_id), rules.type_of(event.type, event.value)
    if row is None or name is None:
        return None
    meaning = rules.of(name)
    return _Action(row, meaning.weight, meaning.is_read) if meaning.meaning == "positive" else None


def owner_of(event: FeedbackEvent) -> Owner:
    """The event's user, or its session while that is no user's."""
    return Session(event.session_id or "") if event.user_id is None else event.user_id


def _kept_actions(bundle: Bundle, owner: Owner) -> list[_Action]:
    """The newest items that the bundle kept of a user, oldest first; none of a session."""
    user = bundle.users.find_row(owner) if isinstance(owner, str) else None
    newest = () if user is None else bundle.users.newest[user][-MAX_EARLIER_EVENTS:].tolist()
    return [_Action(row, 1.0, True) for row in newest]
