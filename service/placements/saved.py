"""The saved placements in this process, read again once another process has saved one. Start at `SavedPlacements`."""

import asyncio
from collections.abc import Sequence

from pydantic import ValidationError

from service.errors import StoreError, UnknownPlacementError
from service.schemas.placements import PlacementAnswer, PlacementBody
from service.store.placements import PlacementStore, StoredPlacement

DEFAULT_PLACEMENT = "default"
"""Applies to requests that name none, if it is saved."""


class SavedPlacements:
    """The placements read last. Requests read them from memory; changes go to the store first."""

    def __init__(self, store: PlacementStore) -> None:
        self._store = store
        self._by_name: dict[str, PlacementAnswer] = {}
        self.num_versions = 0
        """Of all placements, as read last: it grows with every change."""
        self._one_at_a_time = asyncio.Lock()

    async def catch_up(self) -> None:
        """Read the placements again if there are further versions.

        Raises:
            StoreError: the store cannot be read, or holds what this CLAIRO cannot read; the placements stay.
        """
        async with self._one_at_a_time:
            num_versions = await self._store.count_versions()
            if num_versions != self.num_versions:
                saved = await self._store.list_saved()
                self._by_name = {placement.name: _readable(placement) for placement in saved}
                self.num_versions = num_versions

    def all(self) -> Sequence[PlacementAnswer]:
        """Every placement, by name."""
        return list(self._by_name.values())

    def find(self, name: str) -> PlacementAnswer | None:
        """The newest version of a placement; None if it is not saved."""
        return self._by_name.get(name)

    async def read(self, name: str, version: int | None) -> PlacementAnswer:
        """A placement, or an earlier version of it, also once it is deleted.

        Raises:
            UnknownPlacementError: it is not saved, or has no such version.
            StoreError: the store cannot be read.
        """
        if version is not None:
            stored = await self._store.read_version(name, version)
            if stored is None:
                raise UnknownPlacementError(
                    f"placement {name} has no version {version} with rules; GET /placements/{name} shows its newest one"
                )
            return _readable(stored)
        found = self.find(name)
        if found is None:
            raise _unknown(name)
        return found

    async def put(self, name: str, rules: PlacementBody) -> PlacementAnswer:
        """Save a placement's next version, which applies in this process at once.

        Raises:
            TooManyPlacementsError: there are as many as the store takes.
            StoreError: nothing was saved.
        """
        stored = await self._store.put(name, rules.as_sent())
        await self.catch_up()
        return _readable(stored)

    async def delete(self, name: str) -> None:
        """Delete a placement; its versions stay readable.

        Raises:
            UnknownPlacementError: it is not saved.
            StoreError: nothing was deleted.
        """
        if not await self._store.delete(name):
            raise _unknown(name)
        await self.catch_up()


def _readable(stored: StoredPlacement) -> PlacementAnswer:
    try:
        rules = PlacementBody.model_validate(stored.rules)
    except ValidationError as error:
        raise StoreError(
            f"placement {stored.name}, version {stored.version}, cannot be read: another CLAIRO saved it; upgrade this "
            "one, or PUT the placement again"
        ) from error
    return PlacementAnswer(name=stored.name, version=stored.version, saved_at=stored.saved_at, rules=rules)


def _unknown(name: str) -> UnknownPlacementError:
    return UnknownPlacementError(f"placement {name} is not saved; PUT /placements/{name} first")
