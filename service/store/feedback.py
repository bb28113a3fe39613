"""Store the events of users and sessions: each once, histories from them, merged sessions, and forgotten users."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from clairo_core.events import InteractionRules
from clairo_core.values.ids import shown
from service.errors import SessionMergedError
from service.store.database import Database
from service.store.event_marks import EventMarks, session_digest, user_digest
from service.store.feedback_event import FeedbackEvent, Owner, Session, id_of_owner
from service.store.history_queries import disliked_items, is_in_history, newest_items, tired_items
from service.store.sql_tables import feedback_events

FEEDBACK_LOCK = "feedback"
MAX_HISTORY_ITEMS = 1000
NEVER = float("-inf")
NO_RULES = InteractionRules()
"""Those of a bundle whose dataset declared no types."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """A stored event; `sequence` grows in order of arrival."""

    sequence: int
    event: FeedbackEvent


@dataclass(frozen=True, slots=True)
class UserItems:
    """The items of a user or session, as far as recommending reads them. All empty for an unknown one."""

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


@dataclass(frozen=True, slots=True)
class SessionMerged:
    """Outcome of a merge, in numbers of events."""

    num_merged: int
    """Of the session before, the user's now."""
    num_forgotten: int
    """Deleted, since they are older than the user's request to be forgotten."""


class FeedbackStore:
    """Events of one namespace. Each writing method is one transaction.

    Raises `StoreError` where the store cannot be used; a transaction has then changed nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace
        self._marks = EventMarks(database)

    async def add_events(self, events: Sequence[FeedbackEvent]) -> list[EventOutcome]:
        """Store events whose event_id is new. The first event of an id counts; a removed one stays out.

        Events of a merged session are its user's.
        """
        if not events:
            return []
        # Shared among writers, but not with `forget_user`: an event arriving during it would survive.
        async with self._database.transaction(FEEDBACK_LOCK, is_shared=True) as connection:
            admitted = await self._admitted(connection, events)
            rows: dict[str, dict[str, object]] = {}
            for row in await self._new_rows(connection, admitted):
                rows.setdefault(str(row["event_id"]), row)
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
        for event in admitted:
            if event is None:
                outcomes.append(EventOutcome.FORGOTTEN)
            else:
                outcomes.append(EventOutcome.ACCEPTED if event.event_id in new else EventOutcome.DUPLICATE)
                new.discard(event.event_id)
        return outcomes

    async def load_events(self, events: Sequence[FeedbackEvent]) -> int:
        """Store many events whose event_id is new, faster than `add_events`. Return the number of new ones."""
        async with self._database.transaction(FEEDBACK_LOCK, is_shared=True) as connection:
            rows = await self._new_rows(connection, await self._admitted(connection, events))
            if not rows:
                return 0
            statement = (
                self._database.insert(feedback_events)
                .on_conflict_do_nothing(index_elements=["namespace", "event_id"])
                .returning(feedback_events.c.sequence)
            )
            return len((await connection.execute(statement, rows)).all())

    async def remove_event(self, event_id: str) -> bool:
        """Delete an event, and keep it out from then on. Return whether the store had it, or removed it before."""
        columns = feedback_events.c
        # Alone: the same event, sent again meanwhile, would be stored again.
        async with self._database.transaction(FEEDBACK_LOCK) as connection:
            deleted = await connection.execute(
                delete(feedback_events).where(columns.namespace == self._namespace, columns.event_id == event_id)
            )
            if deleted.rowcount:
                await self._marks.remove(connection, event_id)
                await self._marks.count_change(connection)
                return True
            return bool(await self._marks.removed_among(connection, [event_id]))

    async def num_removed(self) -> int:
        """Number of events removed so far."""
        async with self._database.reading() as connection:
            return await self._marks.num_removed(connection)

    async def merge_session(self, session_id: str, user_id: str) -> SessionMerged:
        """Make a session's events a user's, those that arrive from then on too. Again changes nothing.

        Raises:
            SessionMergedError: the session is another user's.
        """
        is_of_session = self._is_of(Session(session_id))
        # Alone: an event of the session that arrives meanwhile would be nobody's.
        async with self._database.transaction(FEEDBACK_LOCK) as connection:
            merged_into = (await self._marks.users_of_sessions(connection, [session_id])).get(session_id)
            if merged_into not in (None, user_id):
                raise SessionMergedError(
                    f"session {shown(session_id)} is another user's already; start a new session when a user signs out"
                )
            if merged_into is None:
                await self._marks.merge(connection, session_id, user_id)
            until = await self._marks.forgotten_until(connection, [user_digest(user_id)])
            forgotten = await connection.execute(
                delete(feedback_events).where(
                    is_of_session, feedback_events.c.timestamp <= until.get(user_digest(user_id), NEVER)
                )
            )
            merged = await connection.execute(update(feedback_events).where(is_of_session).values(user_id=user_id))
            if forgotten.rowcount or merged.rowcount:
                await self._marks.count_change(connection)
            return SessionMerged(merged.rowcount, forgotten.rowcount)

    async def owner_of_session(self, session_id: str) -> Owner:
        """The user that a session was merged into, or the session itself."""
        async with self._database.reading() as connection:
            users = await self._marks.users_of_sessions(connection, [session_id])
        return users.get(session_id, Session(session_id))

    async def user_events(self, user_id: str, after: tuple[float, int] | None, limit: int) -> Sequence[KeptEvent]:
        """List a user's events, oldest first; only those after a (timestamp, sequence) if `after` is given."""
        columns = feedback_events.c
        query = select(feedback_events).where(self._is_of(user_id))
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

    async def user_items(
        self, owner: Owner, window: int = MAX_HISTORY_ITEMS, rules: InteractionRules = NO_RULES
    ) -> UserItems:
        """Read the newest `window` items, all older ones, and the disliked ones, by a bundle's rules.

        With chosen targets, an item with a target event stands in the history for its target events alone; with
        `repeats="drop"` every item stands there once, at its first time.
        """
        if "\x00" in id_of_owner(owner):
            # No event has such a user, and PostgreSQL refuses the query.
            return UserItems()
        is_of_owner = self._is_of(owner)
        async with self._database.reading() as connection:
            disliked = frozenset((await connection.execute(disliked_items(is_of_owner, rules))).scalars())
            newest = newest_items(is_of_owner, rules).limit(window + 1)
            newest_first = (await connection.execute(newest)).scalars().all()
            history = tuple(reversed(newest_first[:window]))
            older: frozenset[str] = frozenset()
            if len(newest_first) > window:
                items = select(feedback_events.c.item_id).where(is_in_history(is_of_owner, rules)).distinct()
                older = frozenset((await connection.execute(items)).scalars()) - set(history) - disliked
        return UserItems(history, older, disliked)

    async def tired_items(
        self, owner: Owner, num_impressions: int, since: float, rules: InteractionRules = NO_RULES
    ) -> frozenset[str]:
        """List the items shown `num_impressions` times or more, all later than the last action on them.

        Args:
            owner: any user or session.
            num_impressions: at least 1.
            since: seconds since 1970; older events count for nothing.
            rules: of the bundle. Positive and negative events are actions.
        """
        if "\x00" in id_of_owner(owner):
            return frozenset()
        is_recent = and_(self._is_of(owner), feedback_events.c.timestamp >= since)
        async with self._database.reading() as connection:
            return frozenset((await connection.execute(tired_items(is_recent, rules, num_impressions))).scalars())

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
        rows = await self._database.rows(query)
        return [UserCount(row.user_id, row.num_events, row.newest_at) for row in rows]

    async def have_events(self, user_ids: Collection[str]) -> set[str]:
        """The users among these who have events."""
        columns = feedback_events.c
        query = select(columns.user_id).where(columns.namespace == self._namespace, columns.user_id.in_(user_ids))
        async with self._database.reading() as connection:
            return set((await connection.execute(query.distinct())).scalars())

    async def forgotten_among(self, user_ids: Collection[str]) -> set[str]:
        """The users among these who asked to be forgotten, then or later."""
        digests = {user_digest(user_id): user_id for user_id in user_ids}
        async with self._database.reading() as connection:
            marks = await self._marks.forgotten_until(connection, digests)
        return {digests[digest] for digest in marks}

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

        Both hold for sessions merged into him; his events of them are deleted, later ones are nobody's.
        """
        async with self._database.transaction(FEEDBACK_LOCK) as connection:
            deleted = await connection.execute(delete(feedback_events).where(self._is_of(user_id)))
            await self._marks.forget(connection, user_id, until)
            if deleted.rowcount:
                await self._marks.count_change(connection)

    def _is_of(self, owner: Owner) -> ColumnElement[bool]:
        """Whether an event is this user's, or this session's and nobody's."""
        columns = feedback_events.c
        if isinstance(owner, Session):
            is_owners = and_(columns.session_id == owner.session_id, columns.user_id.is_(None))
        else:
            is_owners = columns.user_id == owner
        return and_(columns.namespace == self._namespace, is_owners)

    async def _admitted(
        self, connection: AsyncConnection, events: Sequence[FeedbackEvent]
    ) -> list[FeedbackEvent | None]:
        """Each event, as its user's if its session was merged; None if it is older than a request to be forgotten."""
        sessions = {event.session_id for event in events if event.user_id is None and event.session_id is not None}
        user_of = await self._marks.users_of_sessions(connection, sessions)
        user_ids = {event.user_id for event in events if event.user_id is not None} | {*user_of.values()}
        digests = {*map(user_digest, user_ids), *map(session_digest, sessions)}
        marks = await self._marks.forgotten_until(connection, digests)
        admitted: list[FeedbackEvent | None] = []
        for event in events:
            session_id = event.session_id if event.user_id is None else None
            owned = event if session_id is None else replace(event, user_id=user_of.get(session_id))
            until = NEVER
            if marks:
                of_user = NEVER if owned.user_id is None else marks.get(user_digest(owned.user_id), NEVER)
                of_session = NEVER if session_id is None else marks.get(session_digest(session_id), NEVER)
                until = max(of_user, of_session)
            admitted.append(None if event.timestamp <= until else owned)
        return admitted

    async def _new_rows(
        self, connection: AsyncConnection, admitted: Sequence[FeedbackEvent | None]
    ) -> list[dict[str, object]]:
        """Values of the events that were not removed before."""
        events = [event for event in admitted if event is not None]
        removed = await self._marks.removed_among(connection, [event.event_id for event in events])
        now = datetime.now(UTC)
        return [self._row_values(event, now) for event in events if event.event_id not in removed]

    def _row_values(self, event: FeedbackEvent, received_at: datetime) -> dict[str, object]:
        return {
            "namespace": self._namespace,
            "event_id": event.event_id,
            "user_id": event.user_id,
            "session_id": event.session_id,
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
        return [kept_event(row) for row in rows]


def kept_event(row: Row) -> KeptEvent:
    """A row of `feedback_events`."""
    return KeptEvent(
        row.sequence,
        FeedbackEvent(
            event_id=row.event_id,
            user_id=row.user_id,
            item_id=row.item_id,
            type=row.type,
            timestamp=row.timestamp,
            recommendation_id=row.recommendation_id,
            value=row.value,
            session_id=row.session_id,
        ),
    )
