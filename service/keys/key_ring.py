"""The namespace's keys in this process, and a check of a key against scope and rate.

Read from the store again every two seconds, so creating or revoking a key soon takes effect in every process. While
the store is down, the keys read last stay valid, and recommending goes on.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable

from service.errors import KeyRateError, MissingScopeError, NoKeyError, StoreError
from service.keys.api_key import Scope, id_of_key, is_key_of, may
from service.keys.public_calls import PublicCall
from service.keys.shared_rate import KeyRates
from service.store.keys import KeyRecord, KeyStore

logger = logging.getLogger("clairo.keys")

REFRESH_SECONDS = 2.0
MAX_WAIT_SECONDS = 0.5


class KeyRing:
    """The keys read last. Start at `check`."""

    def __init__(
        self, store: KeyStore, *, rates: KeyRates | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`rates` counts calls, by default of this process alone."""
        self._store = store
        self._clock = clock
        self._rates = rates or KeyRates(clock)
        self._records: dict[str, KeyRecord] = {}
        self._read_at = -math.inf
        self._reading: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Read the keys again if they are older than two seconds, waiting at most `MAX_WAIT_SECONDS` for the store.

        Raises:
            StoreError: the first read failed.
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
        """Whether a key was ever created. Revoking the last one does not open the service."""
        return bool(self._records)

    async def check(self, key: str, scope: Scope, call: PublicCall | None = None) -> None:
        """Check a key for one call, and count the call.

        Args:
            key: as sent.
            scope: needed, unless the key is public.
            call: given if a public key may make it.

        Raises:
            NoKeyError: not a key, not of this namespace, revoked, or in a url without being public.
            MissingScopeError: the key lacks the scope.
            ForeignOriginError: a public key, on a page of another origin.
            KeyRateError: the key is over its rate.
        """
        record = self._records.get(id_of_key(key) or "")
        if record is None or not is_key_of(record, key) or record.revoked_at is not None:
            raise NoKeyError("the API key is unknown or revoked; create one with `clairo-serve keys create`")
        bucket = record.key_id
        if call is not None and Scope.PUBLIC.value in record.scopes:
            call.check_origin(record)
            bucket = f"{record.key_id}:{call.address}"
        elif call is not None and key == call.key_in_url:
            raise NoKeyError("a key in a url must have scope public; send this one as Authorization: Bearer")
        elif not may(record, scope):
            raise MissingScopeError(
                f"the key has scope {', '.join(sorted(record.scopes))}, expected {scope}; use a key with that scope"
            )
        if record.requests_per_minute is None:
            return
        if wait_seconds := await self._rates.take(bucket, record.requests_per_minute):
            raise KeyRateError(
                f"this key may make {record.requests_per_minute} calls per minute"
                f"{'' if bucket == record.key_id else ' from one address'}; retry in "
                f"{math.ceil(wait_seconds)} seconds",
                math.ceil(wait_seconds),
            )
