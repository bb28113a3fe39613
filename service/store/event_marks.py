"""Marks that decide what becomes of an arriving event: forgotten users, merged sessions, removed events.

Ids of forgotten users, of their sessions and of removed events are kept as digests. Every method runs in the caller's
transaction.
"""

import hashlib
from collections.abc import Collection

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.store.database import Database
from service.store.sql_tables import event_changes, merged_sessions, removed_events, users


class EventMarks:
    """The marks of one namespace."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace

    async def users_of_sessions(self, connection: AsyncConnection, session_ids: Collection[str]) -> dict[str, str]:
        """Session -> the user that it was merged into."""
        if not session_ids:
            return {}
        columns = merged_sessions.c
        query = select(columns.session_id, columns.user_id).where(
            columns.namespace == self._namespace, columns.session_id.in_(session_ids)
        )
        return {row.session_id: row.user_id for row in (await connection.execute(query)).all()}

    async def merge(self, connection: AsyncConnection, session_id: str, user_id: str) -> None:
        """Mark a session as a user's."""
        values = {"namespace": self._namespace, "session_id": session_id, "user_id": user_id}
        await connection.execute(insert(merged_sessions).values(values))

    async def forgotten_until(self, connection: AsyncConnection, digests: Collection[str]) -> dict[str, float]:
        """Digest of each of these users and sessions to forget -> until when, in seconds since 1970."""
        query = select(users.c.user_digest, users.c.forgotten_until).where(
            users.c.namespace == self._namespace, users.c.user_digest.in_(digests)
        )
        return {row.user_digest: row.forgotten_until for row in (await connection.execute(query)).all()}

    async def forget(self, connection: AsyncConnection, user_id: str, until: float) -> None:
        """Mark a user, and each session that was merged into him: it is nobody's again."""
        of_user = (merged_sessions.c.namespace == self._namespace, merged_sessions.c.user_id == user_id)
        sessions = (await connection.execute(select(merged_sessions.c.session_id).where(*of_user))).scalars().all()
        await connection.execute(delete(merged_sessions).where(*of_user))
        for digest in (user_digest(user_id), *map(session_digest, sessions)):
            mark = {"namespace": self._namespace, "user_digest": digest, "forgotten_until": until}
            await connection.execute(
                self._database.insert(users)
                .values(mark)
                .on_conflict_do_update(index_elements=["namespace", "user_digest"], set_={"forgotten_until": until})
            )

    async def removed_among(self, connection: AsyncConnection, event_ids: Collection[str]) -> set[str]:
        """The removed events among these."""
        query = select(removed_events.c.event_digest).where(removed_events.c.namespace == self._namespace)
        if (await connection.execute(query.limit(1))).first() is None:
            # As a rule; the digests of a large import take time.
            return set()
        digests = {event_digest(event_id): event_id for event_id in event_ids}
        found = await connection.execute(query.where(removed_events.c.event_digest.in_(digests)))
        return {digests[digest] for digest in found.scalars()}

    async def num_removed(self, connection: AsyncConnection) -> int:
        """Number of removed events."""
        query = select(func.count()).where(removed_events.c.namespace == self._namespace)
        return int((await connection.execute(query)).scalar_one())

    async def remove(self, connection: AsyncConnection, event_id: str) -> None:
        """Mark an event as removed; again changes nothing."""
        values = {"namespace": self._namespace, "event_digest": event_digest(event_id)}
        await connection.execute(
            self._database.insert(removed_events)
            .values(values)
            .on_conflict_do_nothing(index_elements=["namespace", "event_digest"])
        )

    async def count_change(self, connection: AsyncConnection) -> None:
        """Count a transaction that deleted stored events, or made them a user's; see `BehaviourStore.num_changes`."""
        await connection.execute(
            self._database.insert(event_changes)
            .values({"namespace": self._namespace, "number": 1})
            .on_conflict_do_update(index_elements=["namespace"], set_={"number": event_changes.c.number + 1})
        )


def user_digest(user_id: str) -> str:
    """The stored form of a user who asked to be forgotten."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def session_digest(session_id: str) -> str:
    """The stored form of a forgotten user's session; no user's, since no id has control characters."""
    return hashlib.sha256(f"\0session\0{session_id}".encode()).hexdigest()


def event_digest(event_id: str) -> str:
    """The stored form of a removed event."""
    return hashlib.sha256(event_id.encode()).hexdigest()
