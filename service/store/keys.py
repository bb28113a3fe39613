"""Store API keys by their SHA-256, with scopes and owner. Never a key itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, select, update

from service.store.database import Database, in_utc
from service.store.sql_tables import api_keys


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A stored API key."""

    key_id: str
    name: str
    key_digest: str
    scopes: frozenset[str]
    requests_per_minute: int | None
    """None for no limit. Of a public key: for each client address."""
    created_at: datetime
    revoked_at: datetime | None = None
    origins: frozenset[str] = frozenset()
    """Of a public key: the pages that may use it, as `https://shop.example`."""


class KeyStore:
    """Keys of one namespace. Raises `StoreError` where the store cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace

    async def add_key(self, key: KeyRecord) -> None:
        """Store a key."""
        async with self._database.transaction("keys") as connection:
            await connection.execute(
                insert(api_keys).values(
                    namespace=self._namespace,
                    key_id=key.key_id,
                    name=key.name,
                    key_digest=key.key_digest,
                    scopes=sorted(key.scopes),
                    requests_per_minute=key.requests_per_minute,
                    created_at=key.created_at,
                    origins=sorted(key.origins),
                )
            )

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke a key permanently; False if it is unknown or already revoked."""
        columns = api_keys.c
        statement = (
            update(api_keys)
            .where(columns.namespace == self._namespace, columns.key_id == key_id, columns.revoked_at.is_(None))
            .values(revoked_at=datetime.now(UTC))
        )
        async with self._database.transaction("keys") as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def list_keys(self) -> Sequence[KeyRecord]:
        """List all keys, oldest first, revoked ones included."""
        query = select(api_keys).where(api_keys.c.namespace == self._namespace).order_by(api_keys.c.created_at)
        rows = await self._database.rows(query)
        return [
            KeyRecord(
                key_id=row.key_id,
                name=row.name,
                key_digest=row.key_digest,
                scopes=frozenset(row.scopes),
                requests_per_minute=row.requests_per_minute,
                created_at=in_utc(row.created_at),
                revoked_at=None if row.revoked_at is None else in_utc(row.revoked_at),
                origins=frozenset(row.origins),
            )
            for row in rows
        ]
