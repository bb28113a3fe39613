"""Store the answers of calls with an Idempotency-Key for a day, so that a repeated call gets the same answer.

A record starts as a claim, before the call does anything. If the call is cut short, the claim stays, and a retry with
the same key and body learns that the earlier attempt may have done part of the work.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.errors import IdempotencyKeyReusedError
from service.store.database import Database, in_utc
from service.store.sql_tables import idempotency_records as records

LIFETIME = timedelta(days=1)
MAX_RECORDS = 100_000
PRUNE_EVERY = 100


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer, to be sent again."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """State of a key before its call runs."""

    answer: StoredAnswer | None
    """The earlier answer, if there is one."""
    is_retry: bool
    """Whether an earlier attempt may have done the work or part of it."""
    claimed_at: datetime
    """The same for each attempt of a call; a day later the key is another call's."""


class IdempotencyStore:
    """Records of one namespace."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace
        self._num_claims = 0

    async def claim(self, call: str, key: str, body_digest: str) -> Claim:
        """Look up a key, and claim it if it is new or expired.

        Raises:
            IdempotencyKeyReusedError: the key was used with another body.
            StoreError: nothing was written.
        """
        now = datetime.now(UTC)
        async with self._database.transaction("idempotency") as connection:
            if self._num_claims % PRUNE_EVERY == 0:
                await self._prune(connection, now)
            self._num_claims += 1
            query = select(records).where(self._is_record(call, key), records.c.created_at > now - LIFETIME)
            row = (await connection.execute(query)).first()
            if row is None:
                await connection.execute(delete(records).where(self._is_record(call, key)))
                await connection.execute(
                    insert(records).values(
                        namespace=self._namespace,
                        call=call,
                        idempotency_key=key,
                        body_digest=body_digest,
                        created_at=now,
                    )
                )
                return Claim(None, is_retry=False, claimed_at=now)
        if row.body_digest != body_digest:
            raise IdempotencyKeyReusedError("this Idempotency-Key was used with another body; use a new key per body")
        if row.status is None:
            return Claim(None, is_retry=True, claimed_at=in_utc(row.created_at))
        answer = StoredAnswer(row.status, dict(row.headers), row.body)
        return Claim(answer, is_retry=True, claimed_at=in_utc(row.created_at))

    async def keep_answer(self, call: str, key: str, answer: StoredAnswer) -> None:
        """Store the answer of a claimed call.

        Raises:
            StoreError: the record stays a claim.
        """
        async with self._database.transaction() as connection:
            await connection.execute(
                update(records)
                .where(self._is_record(call, key))
                .values(status=answer.status, headers=answer.headers, body=answer.body)
            )

    async def release(self, call: str, key: str) -> None:
        """Release a claim whose call failed without effect."""
        async with self._database.transaction() as connection:
            await connection.execute(delete(records).where(self._is_record(call, key), records.c.status.is_(None)))

    def _is_record(self, call: str, key: str) -> ColumnElement[bool]:
        return and_(records.c.namespace == self._namespace, records.c.call == call, records.c.idempotency_key == key)

    async def _prune(self, connection: AsyncConnection, now: datetime) -> None:
        is_ours = records.c.namespace == self._namespace
        await connection.execute(delete(records).where(is_ours, records.c.created_at <= now - LIFETIME))
        count = (await connection.execute(select(func.count()).select_from(records).where(is_ours))).scalar_one()
        if count > MAX_RECORDS:
            surplus = (
                select(records.c.created_at)
                .where(is_ours)
                .order_by(records.c.created_at)
                .offset(count - MAX_RECORDS)
                .limit(1)
            )
            oldest_kept = (await connection.execute(surplus)).scalar_one()
            await connection.execute(delete(records).where(is_ours, records.c.created_at < oldest_kept))
