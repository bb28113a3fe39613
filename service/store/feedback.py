"""Store users' events, append-only: each once, histories from them, and users who asked to be forgotten."""

import hashlib
import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.events import InteractionRules
from service.store.database import Database
from service.store.event_meanings import EventMeanings
from service.store.sql_tables import feedback_events, users

FEEDBACK_LOCK = "feedback"
MAX_HISTORY_ITEMS = 1000
NO_RULES = InteractionRules()
"""Those of a bundle whose dataset declared no types."""


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """An action of a user."""

    event_id: str
    user_id: str
    item_id: str
    type: str
    timestamp: float
    """Seconds since 1970."""
    recommendation_id: str | None = None
    value: float | None = None
    """A rating, for conditions of the rules."""


def made_event_id(
    user_id: str, item_id: str, event_type: str, timestamp: float | None, value: float | None = None
) -> str:
    """An id for an event that came without one: the same content, the same id; without a time, a new one.

    A value is content too: a rating that is changed within a second is no repetition.

    >>> made_event_id("ann", "mug", "view", 1.7e9) == made_event_id("ann", "mug", "view", 1700000000)
    True
    """
    if timestamp is None:
        return f"made-{uuid.uuid4().hex}"
    # In microseconds: the seconds of an ISO time and of a number may differ in their last bit.
    content = json.dumps([user_id, item_id, event_type, round(timestamp * 1e6), *([] if value is None else [value])])
    return f"made-{hashlib.sha256(content.encode()).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """A stored event; `sequence` grows in order of arrival."""

    sequence: int
    event: FeedbackEvent


@dataclass(frozen=True, slots=True)
class UserItems:
    """A user's items, as far as recommending reads them. All empty for an unknown user."""

    history: tuple[str, ...] = ()
    """The newest items of the history, oldest first."""
    older: frozenset[str] = frozenset()
    """All further items of the history."""
    disliked: frozenset[str] = frozenset()
    """Disliked, with no later event that lifts the dislike. In no history."""


@dataclass(frozen=True, slots=True)
class UserCount:
    """A user with events, and their number."""

    user_id: str
    num_events: int
    newest_at: float
    """Seconds since 1970."""


class EventOutcome(StrEnum):
    """Outcome for an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    FORGOTTEN = "forgotten"
    """Older than the user's request to be forgotten."""


class FeedbackStore:
    """Events of one namespace. Each writing method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace

    async def add_events(self, events: Sequence[FeedbackEvent]) -> list[EventOutcome]:
        """Store events whose event_id is new. The first event of an id counts.

        Raises:
            StoreError: none was stored.
        """
        if not events:
            return []
        # Shared among writers, but not with `forget_user`: an event arriving during it would survive.
        async with self._database.transaction(FEEDBACK_LOCK, is_shared=True) as connection:
            is_forgotten = await self._are_forgotten(connection, events)
            rows: dict[str, dict[str, object]] = {}
            now = datetime.now(UTC)
            for event, forgotten in zip(events, is_forgotten, strict=True):
                if not forgotten:
                    rows.setdefault(event.event_id, self._row_values(event, now))
            new: set[str] = set()
            if rows:
                insert = (
                    self._database.insert(feedback_events)
                    .values(list(rows.values()))
                    .on_conflict_do_nothing(index_elements=["namespace", "event_id"])
                    .returning(feedback_events.c.event_id)
                )
                new = set((await connection.execute(insert)).scalars().all())
        outcomes = []
        for event, forgotten in zip(events, is_forgotten, strict=True):
            if forgotten:
                outcomes.append(EventOutcome.FORGOTTEN)
            else:
                outcomes.append(EventOutcome.ACCEPTED if event.event_id in new else EventOutcome.DUPLICATE)
                new.discard(event.event_id)
        return outcomes

    async def user_events(self, user_id: str, after: tuple[float, int] | None, limit: int) -> Sequence[KeptEvent]:
        """List a user's events, oldest first; only those after a (timestamp, sequence) if `after` is given."""
        columns = feedback_events.c
        query = select(feedback_events).where(columns.namespace == self._namespace, columns.user_id == user_id)
        if after is not None:
            timestamp, sequence = after
            query = query.where(
                or_(
                    columns.timestamp > timestamp,
                    and_(columns.timestamp == timestamp, columns.sequence > sequence),
                )
            )
        query = query.order_by(columns.timestamp, columns.sequence).limit(limit)
        return await self._read(query)

    async def load_events(self, events: Sequence[FeedbackEvent]) -> int:
        """Store many events whose event_id is new, faster than `add_events`. Return the number of new ones.

        Raises:
            StoreError: none was stored.
        """
        async with self._database.transaction(FEEDBACK_LOCK, is_shared=True) as connection:
            is_forgotten = await self._are_forgotten(connection, events)
            now = datetime.now(UTC)
            rows = [
                self._row_values(event, now)
                for event, forgotten in zip(events, is_forgotten, strict=True)
                if not forgotten
            ]
            if not rows:
                return 0
            statement = (
                self._database.insert(feedback_events)
                .on_conflict_do_nothing(index_elements=["namespace", "event_id"])
                .returning(feedback_events.c.sequence)
            )
            return len((await connection.execute(statement, rows)).all())

    async def user_items(
        self, user_id: str, window: int = MAX_HISTORY_ITEMS, rules: InteractionRules = NO_RULES
    ) -> UserItems:
        """Read a user's newest `window` items, all older ones, and the disliked ones, by a bundle's rules.

        With chosen targets, an item with a target event stands in the history for its target events alone; with
        `repeats="drop"` every item stands there once, at its first time.

        Raises:
            StoreError: the store cannot be read.
        """
        if "\x00" in user_id:
            # No event has such a user, and PostgreSQL refuses the query.
            return UserItems()
        columns, means = feedback_events.c, EventMeanings(rules, feedback_events.c)
        is_users = and_(columns.namespace == self._namespace, columns.user_id == user_id)
        disliked_items = self._disliked_items(user_id, rules)
        is_in_history = and_(is_users, means.is_read)
        if rules.targets and rules.repeats == "keep":
            reached = select(columns.item_id).where(is_users, means.is_target)
            is_in_history = and_(is_in_history, or_(means.is_target, columns.item_id.not_in(reached)))
        is_kept = and_(is_in_history, columns.item_id.not_in(disliked_items))
        counted: Any = columns
        if rules.repeats == "drop" or rules.types:
            # As in training, where events of one user, item and time are one.
            same = [columns.item_id] if rules.repeats == "drop" else [columns.item_id, columns.timestamp]
            place = func.row_number().over(partition_by=same, order_by=[columns.timestamp, columns.sequence])
            counted = select(feedback_events, place.label("place")).where(is_kept).subquery().c
            is_kept = counted.place == 1
        newest = (
            select(counted.item_id)
            .where(is_kept)
            .order_by(counted.timestamp.desc(), counted.sequence.desc())
            .limit(window + 1)
        )
        async with self._database.reading() as connection:
            disliked = frozenset((await connection.execute(disliked_items)).scalars())
            newest_first = (await connection.execute(newest)).scalars().all()
            history = tuple(reversed(newest_first[:window]))
            older: frozenset[str] = frozenset()
            if len(newest_first) > window:
                of_all = (await connection.execute(select(columns.item_id).where(is_in_history).distinct())).scalars()
                older = frozenset(of_all) - set(history) - disliked
        return UserItems(history, older, disliked)

    async def tired_items(
        self, user_id: str, num_impressions: int, since: float, rules: InteractionRules = NO_RULES
    ) -> frozenset[str]:
        """List the items that a user was shown `num_impressions` times or more, all later than his last action on them.

        Args:
            user_id: any.
            num_impressions: at least 1.
            since: seconds since 1970; older events count for nothing.
            rules: of the bundle. Positive and negative events are actions.

        Raises:
            StoreError: the store cannot be read.
        """
        if "\x00" in user_id:
            return frozenset()
        columns, means = feedback_events.c, EventMeanings(rules, feedback_events.c)
        is_of_user = and_(columns.namespace == self._namespace, columns.user_id == user_id, columns.timestamp >= since)
        acted = (
            select(columns.item_id, func.max(columns.timestamp).label("last_at"))
            .where(is_of_user, means.is_action)
            .group_by(columns.item_id)
            .subquery()
        )
        tired = (
            select(columns.item_id)
            .outerjoin_from(feedback_events, acted, acted.c.item_id == columns.item_id)
            .where(
                is_of_user,
                means.is_impression,
                or_(acted.c.last_at.is_(None), columns.timestamp > acted.c.last_at),
            )
            .group_by(columns.item_id)
            .having(func.count() >= num_impressions)
        )
        async with self._database.reading() as connection:
            return frozenset((await connection.execute(tired)).scalars())

    def _disliked_items(self, user_id: str, rules: InteractionRules) -> Select:
        """Select the items whose newest event, of those that dislike or lift a dislike, is a dislike."""
        columns, means = feedback_events.c, EventMeanings(rules, feedback_events.c)
        place = func.row_number().over(
            partition_by=columns.item_id, order_by=[columns.timestamp.desc(), columns.sequence.desc()]
        )
        decisive = (
            select(columns.item_id, means.is_dislike.label("is_dislike"), place.label("place"))
            .where(
                columns.namespace == self._namespace,
                columns.user_id == user_id,
                or_(means.is_dislike, means.lifts_dislike),
            )
            .subquery()
        )
        return select(decisive.c.item_id).where(decisive.c.place == 1, decisive.c.is_dislike)

    async def users_after(self, user_id: str, limit: int) -> Sequence[UserCount]:
        """List users with events, in the database's order of ids, those after `user_id`; "" starts at the first."""
        columns = feedback_events.c
        query = (
            select(columns.user_id, func.count().label("num_events"), func.max(columns.timestamp).label("newest_at"))
            .where(columns.namespace == self._namespace, columns.user_id > user_id)
            .group_by(columns.user_id)
            .order_by(columns.user_id)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [UserCount(row.user_id, row.num_events, row.newest_at) for row in rows]

    async def have_events(self, user_ids: Collection[str]) -> set[str]:
        """The users among these who have events."""
        columns = feedback_events.c
        query = select(columns.user_id).where(columns.namespace == self._namespace, columns.user_id.in_(user_ids))
        async with self._database.reading() as connection:
            return set((await connection.execute(query.distinct())).scalars())

    async def forgotten_among(self, user_ids: Collection[str]) -> set[str]:
        """The users among these who asked to be forgotten, then or later."""
        async with self._database.reading() as connection:
            marks = await self._forgotten_until(connection, user_ids)
        return {user_id for user_id in user_ids if user_digest(user_id) in marks}

    async def events_after(self, sequence: int, limit: int) -> Sequence[KeptEvent]:
        """List all users' events after `sequence`, in order; an event that commits late is not skipped."""
        columns = feedback_events.c
        query = (
            select(feedback_events)
            .where(columns.namespace == self._namespace, columns.sequence > sequence)
            .order_by(columns.sequence)
            .limit(limit)
        )
        return await self._read(query, after_writers=FEEDBACK_LOCK)

    async def forget_user(self, user_id: str, until: float) -> None:
        """Delete all events of a user, and refuse events dated up to `until` from then on.

        Raises:
            StoreError: nothing was deleted.
        """
        columns = feedback_events.c
        mark = {"namespace": self._namespace, "user_digest": user_digest(user_id), "forgotten_until": until}
        async with self._database.transaction(FEEDBACK_LOCK) as connection:
            await connection.execute(
                delete(feedback_events).where(columns.namespace == self._namespace, columns.user_id == user_id)
            )
            await connection.execute(
                self._database.insert(users)
                .values(mark)
                .on_conflict_do_update(index_elements=["namespace", "user_digest"], set_={"forgotten_until": until})
            )

    async def _are_forgotten(self, connection: AsyncConnection, events: Sequence[FeedbackEvent]) -> list[bool]:
        """Whether each event is older than its user's request to be forgotten."""
        marks = await self._forgotten_until(connection, {event.user_id for event in events})
        if not marks:
            return [False] * len(events)
        return [event.timestamp <= marks.get(user_digest(event.user_id), float("-inf")) for event in events]

    async def _forgotten_until(self, connection: AsyncConnection, user_ids: Collection[str]) -> dict[str, float]:
        """Digest of each of these users who asked to be forgotten -> until when."""
        query = select(users.c.user_digest, users.c.forgotten_until).where(
            users.c.namespace == self._namespace, users.c.user_digest.in_({user_digest(one) for one in user_ids})
        )
        return {row.user_digest: row.forgotten_until for row in (await connection.execute(query)).all()}

    def _row_values(self, event: FeedbackEvent, received_at: datetime) -> dict[str, object]:
        return {
            "namespace": self._namespace,
            "event_id": event.event_id,
            "user_id": event.user_id,
            "item_id": event.item_id,
            "type": event.type,
            "value": event.value,
            "timestamp": event.timestamp,
            "recommendation_id": event.recommendation_id,
            "received_at": received_at,
        }

    async def _read(self, query: Select, after_writers: str = "") -> list[KeptEvent]:
        async with self._database.reading(after_writers) as connection:
            rows = (await connection.execute(query)).all()
        return [
            KeptEvent(
                row.sequence,
                FeedbackEvent(
                    event_id=row.event_id,
                    user_id=row.user_id,
                    item_id=row.item_id,
                    type=row.type,
                    timestamp=row.timestamp,
                    recommendation_id=row.recommendation_id,
                    value=row.value,
                ),
            )
            for row in rows
        ]


def user_digest(user_id: str) -> str:
    """The stored form of a user who asked to be forgotten."""
    return hashlib.sha256(user_id.encode()).hexdigest()
