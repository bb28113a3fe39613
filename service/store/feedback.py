"""Store users' events, append-only: each once, histories from them, and users who asked to be forgotten."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Select, and_, delete, exists, func, or_, select

from service.store.database import Database
from service.store.sql_tables import feedback_events, users

FEEDBACK_LOCK = "feedback"
MAX_HISTORY_ITEMS = 1000
DISLIKE = "dislike"
TYPES_LEFT_OUT = ("impression", DISLIKE)
"""Event types that never become part of a history."""
LIFTING_TYPES = ("like", "purchase")
"""Event types that lift an earlier dislike of the same item."""


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
    """Disliked, and neither liked nor purchased since. In no history."""


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
            digests = {user_digest(event.user_id) for event in events}
            query = select(users.c.user_digest, users.c.forgotten_until).where(
                users.c.namespace == self._namespace, users.c.user_digest.in_(digests)
            )
            forgotten_until = {row.user_digest: row.forgotten_until for row in (await connection.execute(query)).all()}
            is_forgotten = [
                event.timestamp <= forgotten_until.get(user_digest(event.user_id), float("-inf")) for event in events
            ]
            now = datetime.now(UTC)
            rows: dict[str, dict[str, object]] = {}
            for event, forgotten in zip(events, is_forgotten, strict=True):
                if not forgotten:
                    rows.setdefault(
                        event.event_id,
                        {
                            "namespace": self._namespace,
                            "event_id": event.event_id,
                            "user_id": event.user_id,
                            "item_id": event.item_id,
                            "type": event.type,
                            "timestamp": event.timestamp,
                            "recommendation_id": event.recommendation_id,
                            "received_at": now,
                        },
                    )
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

    async def user_items(self, user_id: str, window: int = MAX_HISTORY_ITEMS) -> UserItems:
        """Read a user's newest `window` items, all older ones, and the disliked ones.

        Raises:
            StoreError: the store cannot be read.
        """
        if "\x00" in user_id:
            # No event has such a user, and PostgreSQL refuses the query.
            return UserItems()
        columns = feedback_events.c
        disliked_items = self._dislikes([user_id]).with_only_columns(columns.item_id)
        is_in_history = and_(
            columns.namespace == self._namespace, columns.user_id == user_id, columns.type.not_in(TYPES_LEFT_OUT)
        )
        newest = (
            select(columns.item_id)
            .where(is_in_history, columns.item_id.not_in(disliked_items))
            .order_by(columns.timestamp.desc(), columns.sequence.desc())
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
        self, user_id: str, num_impressions: int, since: float, impressions: Collection[str]
    ) -> frozenset[str]:
        """List the items that a user was shown `num_impressions` times or more, all later than his last event on them.

        Args:
            user_id: any.
            num_impressions: at least 1.
            since: seconds since 1970; older events count for nothing.
            impressions: types of event for a shown item; all others are the user's own.

        Raises:
            StoreError: the store cannot be read.
        """
        if "\x00" in user_id:
            return frozenset()
        columns = feedback_events.c
        is_of_user = and_(columns.namespace == self._namespace, columns.user_id == user_id, columns.timestamp >= since)
        acted = (
            select(columns.item_id, func.max(columns.timestamp).label("last_at"))
            .where(is_of_user, columns.type.not_in(impressions))
            .group_by(columns.item_id)
            .subquery()
        )
        tired = (
            select(columns.item_id)
            .outerjoin_from(feedback_events, acted, acted.c.item_id == columns.item_id)
            .where(
                is_of_user,
                columns.type.in_(impressions),
                or_(acted.c.last_at.is_(None), columns.timestamp > acted.c.last_at),
            )
            .group_by(columns.item_id)
            .having(func.count() >= num_impressions)
        )
        async with self._database.reading() as connection:
            return frozenset((await connection.execute(tired)).scalars())

    async def disliked_pairs(self, user_ids: Collection[str]) -> set[tuple[str, str]]:
        """List (user_id, item_id) of what these users dislike, and have neither liked nor purchased since."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(self._dislikes(user_ids))).all()
        return {(row.user_id, row.item_id) for row in rows}

    def _dislikes(self, user_ids: Collection[str]) -> Select:
        """Select user and item of each dislike without a later like or purchase."""
        columns, lifting = feedback_events.c, feedback_events.alias().c
        # A difference, since SQLite would search for a bare timestamp in the index of all the user's events.
        seconds_later = lifting.timestamp - columns.timestamp
        is_lifted = exists().where(
            lifting.namespace == columns.namespace,
            lifting.user_id == columns.user_id,
            lifting.type.in_(LIFTING_TYPES),
            lifting.item_id == columns.item_id,
            or_(seconds_later > 0, and_(seconds_later == 0, lifting.sequence > columns.sequence)),
        )
        return (
            select(columns.user_id, columns.item_id)
            .where(
                columns.namespace == self._namespace,
                columns.user_id.in_(user_ids),
                columns.type == DISLIKE,
                ~is_lifted,
            )
            .distinct()
        )

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
                ),
            )
            for row in rows
        ]


def user_digest(user_id: str) -> str:
    """The stored form of a user who asked to be forgotten."""
    return hashlib.sha256(user_id.encode()).hexdigest()
