"""Read what all users did: new events in order of arrival, users by item in a window of time, and repeat purchases.

Start at `BehaviourStore`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.events import InteractionRules
from service.store.database import Database, in_utc
from service.store.event_marks import EventMarks, user_digest
from service.store.event_meanings import EventMeanings
from service.store.feedback import FEEDBACK_LOCK, KeptEvent, kept_event
from service.store.feedback_event import Owner, Session
from service.store.sql_tables import catalogue_changes, event_changes, feedback_events
from service.store.store import ChangeKind

MAX_EARLIER_EVENTS = 200
"""Of a user, the newest ones: with more, an event is paired with these alone."""
MAX_PURCHASED_ITEMS = 200
MIN_INTERVALS = 3
"""With fewer repeat purchases of an item, its interval is not known."""
MIN_INTERVAL_SECONDS = 24 * 3600.0
"""Purchases of one item within a day are one purchase."""
_USERS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class NewEvents:
    """A page of events."""

    events: Sequence[KeptEvent]
    up_to: int
    """Sequence of the last event that was looked at."""


@dataclass(frozen=True, slots=True)
class ItemUsers:
    """The users of an item within a window."""

    num_users: int
    weight: float
    """Each user by the weight of his heaviest event."""


@dataclass(frozen=True, slots=True)
class RepeatedItem:
    """An item that a user has bought, and how often it is bought again."""

    item_id: str
    last_bought_at: float
    """By this user, in seconds since 1970."""
    interval_seconds: float
    """Median between two purchases by one user."""
    num_intervals: int


class BehaviourStore:
    """Events of one namespace, over all users. Raises `StoreError` where the store cannot be read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace
        self._marks = EventMarks(database)

    async def num_changes(self) -> int:
        """How often stored events were deleted or became a user's: counts of before hold them as they were."""
        query = select(event_changes.c.number).where(event_changes.c.namespace == self._namespace)
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalar_one_or_none() or 0

    async def sequence_before(self, since: float) -> int:
        """The sequence after which the events later than `since` (seconds since 1970) begin."""
        columns = feedback_events.c
        async with self._database.reading(FEEDBACK_LOCK) as connection:
            newest = await self._newest_sequence(connection)
        # Without the lock: up to there every event has been committed.
        oldest = select(func.min(columns.sequence)).where(
            columns.namespace == self._namespace, columns.timestamp > since, columns.sequence <= newest
        )
        async with self._database.reading() as connection:
            first = (await connection.execute(oldest)).scalar_one()
        return newest if first is None else int(first) - 1

    async def events_after(self, sequence: int, since: float, limit: int) -> NewEvents:
        """List events after `sequence` and later than `since`, in order; one that commits late is not skipped."""
        columns = feedback_events.c
        # Arithmetic keeps databases from reading by time and sorting: most events after the sequence are wanted.
        is_later = columns.timestamp + 0.0 > since
        query = (
            select(feedback_events)
            .where(columns.namespace == self._namespace, columns.sequence > sequence, is_later)
            .order_by(columns.sequence)
            .limit(limit)
        )
        # Writers wait for a reader with their lock, so it comes only where there is something to read.
        async with self._database.reading() as connection:
            if await self._newest_sequence(connection) <= sequence:
                return NewEvents([], sequence)
        async with self._database.reading(FEEDBACK_LOCK) as connection:
            newest = await self._newest_sequence(connection)
            events = [kept_event(row) for row in (await connection.execute(query)).all()]
        return NewEvents(events, events[-1].sequence if len(events) == limit else newest)

    async def _newest_sequence(self, connection: AsyncConnection) -> int:
        query = select(func.max(feedback_events.c.sequence)).where(feedback_events.c.namespace == self._namespace)
        return (await connection.execute(query)).scalar_one() or 0

    async def events_up_to(self, sequence: int, owners: Collection[Owner]) -> Sequence[KeptEvent]:
        """List the newest `MAX_EARLIER_EVENTS` events of each of these owners up to `sequence`, in order."""
        columns, found = feedback_events.c, []
        user_ids = sorted(owner for owner in owners if isinstance(owner, str))
        session_ids = sorted(owner.session_id for owner in owners if isinstance(owner, Session))
        chosen = [(columns.user_id, columns.user_id.is_not(None), some) for some in _chunks(user_ids)]
        chosen += [(columns.session_id, columns.user_id.is_(None), some) for some in _chunks(session_ids)]
        async with self._database.reading() as connection:
            for column, is_owners, ids in chosen:
                place = func.row_number().over(partition_by=column, order_by=columns.sequence.desc())
                of_users = (
                    select(feedback_events, place.label("place"))
                    .where(
                        columns.namespace == self._namespace,
                        column.in_(ids),
                        is_owners,
                        columns.sequence <= sequence,
                    )
                    .subquery()
                )
                query = select(of_users).where(of_users.c.place <= MAX_EARLIER_EVENTS).order_by(of_users.c.sequence)
                found += [kept_event(row) for row in (await connection.execute(query)).all()]
        return found

    async def forgotten_among(self, user_ids: Sequence[str]) -> set[str]:
        """The users among these who asked to be forgotten, then or later."""
        digests = {user_digest(user_id): user_id for user_id in user_ids}
        marks: dict[str, float] = {}
        async with self._database.reading() as connection:
            for some in _chunks(list(digests)):
                marks |= await self._marks.forgotten_until(connection, some)
        return {digests[digest] for digest in marks}

    async def users_within(self, since: float, until: float, rules: InteractionRules) -> dict[str, ItemUsers]:
        """Users with a positive event in (since, until], in seconds since 1970, by item."""
        columns, means = feedback_events.c, EventMeanings(rules, feedback_events.c)
        of_user = (
            select(columns.item_id, func.max(means.weight).label("weight"))
            .where(
                columns.namespace == self._namespace,
                columns.timestamp > since,
                columns.timestamp <= until,
                means.is_positive,
            )
            # A session that is no user's counts as a user.
            .group_by(columns.item_id, columns.user_id, case((columns.user_id.is_(None), columns.session_id)))
            .subquery()
        )
        query = select(of_user.c.item_id, func.count(), func.sum(of_user.c.weight)).group_by(of_user.c.item_id)
        rows = await self._database.rows(query)
        return {item_id: ItemUsers(num_users, float(weight)) for item_id, num_users, weight in rows}

    async def posted_since(self, since: float) -> dict[str, float]:
        """Items that were first posted after `since`, and when, in seconds since 1970."""
        columns = catalogue_changes.c
        query = (
            select(columns.item_id, func.min(columns.created_at))
            .where(
                columns.namespace == self._namespace,
                columns.kind == ChangeKind.ADDED.value,
                columns.created_at > datetime.fromtimestamp(since, UTC),
            )
            .group_by(columns.item_id)
        )
        rows = await self._database.rows(query)
        return {item_id: in_utc(created_at).timestamp() for item_id, created_at in rows}

    async def repeated_items(self, user_id: str, rules: InteractionRules) -> list[RepeatedItem]:
        """The user's newest `MAX_PURCHASED_ITEMS` purchased items whose interval is known."""
        if "\x00" in user_id:
            return []
        columns, means = feedback_events.c, EventMeanings(rules, feedback_events.c)
        is_purchase = and_(columns.namespace == self._namespace, means.is_purchase)
        last_at = func.max(columns.timestamp).label("last_at")
        bought = (
            select(columns.item_id, last_at)
            .where(is_purchase, columns.user_id == user_id)
            .group_by(columns.item_id)
            .order_by(last_at.desc())
            .limit(MAX_PURCHASED_ITEMS)
        )
        async with self._database.reading() as connection:
            last_of = {item_id: float(last) for item_id, last in (await connection.execute(bought)).all()}
            medians = (await connection.execute(_median_intervals(is_purchase, list(last_of)))).all()
        return [
            RepeatedItem(item_id, last_of[item_id], float(median), int(number)) for item_id, number, median in medians
        ]


def _median_intervals(is_purchase: Any, item_ids: Sequence[str]) -> Select:
    """Select item, number of intervals and their median, of items with `MIN_INTERVALS`."""
    columns = feedback_events.c
    before = func.lag(columns.timestamp).over(
        partition_by=[columns.item_id, columns.user_id], order_by=[columns.timestamp, columns.sequence]
    )
    gaps = (
        select(columns.item_id, (columns.timestamp - before).label("gap"))
        .where(is_purchase, columns.item_id.in_(item_ids), columns.user_id.is_not(None))
        .subquery()
    )
    place = func.row_number().over(partition_by=gaps.c.item_id, order_by=gaps.c.gap)
    number = func.count().over(partition_by=gaps.c.item_id)
    ranked = (
        select(gaps.c.item_id, gaps.c.gap, place.label("place"), number.label("number"))
        .where(gaps.c.gap >= MIN_INTERVAL_SECONDS)
        .subquery()
        .c
    )
    # The middle one of an odd number, both middle ones of an even number.
    is_middle = and_(2 * ranked.place >= ranked.number, 2 * ranked.place <= ranked.number + 2)
    return (
        select(ranked.item_id, ranked.number, func.avg(ranked.gap))
        .where(is_middle, ranked.number >= MIN_INTERVALS)
        .group_by(ranked.item_id, ranked.number)
    )


def _chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _USERS_AT_ONCE] for start in range(0, len(ids), _USERS_AT_ONCE)]
