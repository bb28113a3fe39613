"""Store placements: rules by name, every version kept.

A PUT or DELETE is one more version, so versions of a name count up from 1, also after a deletion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.errors import TooManyPlacementsError
from service.store.database import Database, in_utc
from service.store.sql_tables import placements

MAX_PLACEMENTS = 100
"""Bounds the labels of metrics, and what each process keeps in memory."""


@dataclass(frozen=True, slots=True)
class StoredPlacement:
    """One version of a placement."""

    name: str
    version: int
    rules: Mapping[str, Any] | None
    """The JSON that was put; None if this version deleted the placement."""
    saved_at: datetime


class PlacementStore:
    """Placements of one namespace. Raises `StoreError` where the store cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace

    async def put(self, name: str, rules: Mapping[str, Any]) -> StoredPlacement:
        """Save a placement as its next version.

        Raises:
            TooManyPlacementsError: `MAX_PLACEMENTS` others are saved.
        """
        async with self._database.transaction("placements") as connection:
            newest = {placement.name: placement for placement in await self._newest(connection)}
            others = [saved for saved in newest.values() if saved.rules is not None and saved.name != name]
            if len(others) >= MAX_PLACEMENTS:
                raise TooManyPlacementsError(
                    f"{MAX_PLACEMENTS} placements are saved, the maximum; delete one before saving another"
                )
            return await self._add(connection, name, newest.get(name), rules)

    async def delete(self, name: str) -> bool:
        """Delete a placement; its versions stay readable. False if it is not saved."""
        async with self._database.transaction("placements") as connection:
            newest = {placement.name: placement for placement in await self._newest(connection)}
            if name not in newest or newest[name].rules is None:
                return False
            await self._add(connection, name, newest[name], None)
            return True

    async def read_version(self, name: str, version: int) -> StoredPlacement | None:
        """Read one version; None if there is none of this number, or it deleted the placement."""
        query = select(placements).where(
            placements.c.namespace == self._namespace, placements.c.name == name, placements.c.version == version
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None or row.rules is None else _placement(row)

    async def count_versions(self) -> int:
        """The number of versions of all placements, which grows with every change."""
        query = select(func.count()).select_from(placements).where(placements.c.namespace == self._namespace)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def list_saved(self) -> Sequence[StoredPlacement]:
        """The newest version of every placement that is not deleted, by name."""
        async with self._database.reading() as connection:
            return [placement for placement in await self._newest(connection) if placement.rules is not None]

    async def _newest(self, connection: AsyncConnection) -> list[StoredPlacement]:
        is_ours = placements.c.namespace == self._namespace
        newest = (
            select(placements.c.name, func.max(placements.c.version).label("version"))
            .where(is_ours)
            .group_by(placements.c.name)
            .subquery()
        )
        query = (
            select(placements)
            .join(newest, (placements.c.name == newest.c.name) & (placements.c.version == newest.c.version))
            .where(is_ours)
        )
        return sorted(map(_placement, (await connection.execute(query)).all()), key=lambda saved: saved.name)

    async def _add(
        self,
        connection: AsyncConnection,
        name: str,
        before: StoredPlacement | None,
        rules: Mapping[str, Any] | None,
    ) -> StoredPlacement:
        added = StoredPlacement(name, 1 if before is None else before.version + 1, rules, datetime.now(UTC))
        await connection.execute(
            insert(placements).values(
                namespace=self._namespace,
                name=name,
                version=added.version,
                rules=rules,
                saved_at=added.saved_at,
            )
        )
        return added


def _placement(row: Row[Any]) -> StoredPlacement:
    return StoredPlacement(row.name, row.version, row.rules, in_utc(row.saved_at))
