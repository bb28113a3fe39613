"""The keys of the namespace as this process knows them, and what each may do at this moment.

Read from the store again every other second, so a key that was made or revoked anywhere counts everywhere soon after.
While the store cannot be read, those that were read last count on: recommending goes on when a database is down.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable

from service.errors import KeyRateError, MissingScopeError, NoKeyError, StoreError
from service.keys.api_key import Scope, id_of_key, is_key_of, may
from service.keys.shared_rate import KeyRates
from service.store.keys import KeyRecord, KeyStore

logger = logging.getLogger("clairo.keys")

REFRESH_SECONDS = 2.0
MAX_WAIT_SECONDS = 0.5


class KeyRing:
    """Says of a key whether it opens a call."""

    def __init__(
        self, store: KeyStore, *, rates: KeyRates | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`rates` counts calls; without it, this process's alone are counted."""
        self._store = store
        self._clock = clock
        self._rates = rates or KeyRates(clock)
        self._records: dict[str, KeyRecord] = {}
        self._read_at = -math.inf
        self._reading: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Read the keys, if that was not done just now; a store that is slow is waited for no longer than a moment.

        Raises:
            StoreError: they have never been read, and cannot be.
        """
        if self._clock() - self._read_at < REFRESH_SECONDS:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        if self._read_at == -math.inf:
            await asyncio.shield(self._reading)
        else:
            await asyncio.wait({self._reading}, timeout=MAX_WAIT_SECONDS)

    async def _read(self) -> None:
        try:
            self._records = {record.key_id: record for record in await self._store.list_keys()}
        except StoreError:
            if self._read_at == -math.inf:
                raise
            logger.warning("the keys cannot be read again; those read before count on")
        self._read_at = self._clock()

    @property
    def has_keys(self) -> bool:
        """Whether a key was ever made: revoking the last one opens nothing."""
        return bool(self._records)

    async def check(self, key: str, scope: Scope) -> None:
        """Let a call pass, and count it.

        Raises:
            NoKeyError: this is no key, not one of this namespace, or one that was revoked.
            MissingScopeError: the key may not do this.
            KeyRateError: it has done too much in the last minute.
        """
        record = self._records.get(id_of_key(key) or "")
        if record is None or not is_key_of(record, key) or record.revoked_at is not None:
            raise NoKeyError("this API key is not valid here; `clairo-serve keys create` makes one")
        if not may(record, scope):
            raise MissingScopeError(
                f"this call needs the scope {scope}; the key has {', '.join(sorted(record.scopes))}"
            )
        if record.requests_per_minute is None:
            return
        if wait_seconds := await self._rates.take(record.key_id, record.requests_per_minute):
            raise KeyRateError(
                f"this key may call {record.requests_per_minute} times a minute; try again in "
                f"{math.ceil(wait_seconds)} seconds",
                math.ceil(wait_seconds),
            )
