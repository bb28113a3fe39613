"""Run a call with an Idempotency-Key once, and answer each repetition with the same answer.

Independent of what calls do. A failed call leaves no record, unless its work may have been done.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response

from clairo_core.errors import ClairoError
from service.errors import InvalidBodyError, StoreError
from service.store.idempotency import IdempotencyStore, StoredAnswer

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,255}")
KEPT_HEADERS = ("content-type", "location")
PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "Any text, unique per call. For a day, the same key and body get the same answer without a second "
    "run; the same key with another body is a 422.",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a call."""

    call_id: str | None = None
    """The same for each attempt of a call with a key; None without a key."""
    is_retry: bool = False
    """Whether an earlier attempt may have succeeded."""


Work = Callable[[Attempt], Awaitable[Response]]


class AnsweredOnce:
    """Runs calls, or repeats their answers."""

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._running: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def answer(self, request: Request, call: str, body_digest: str, work: Work) -> Response:
        """Answer with `work`, or with its earlier answer.

        Raises:
            InvalidBodyError: the header is not a valid key.
            IdempotencyKeyReusedError: the key came with another body before.
            StoreError: the key cannot be looked up.
        """
        key = request.headers.get(HEADER)
        if key is None:
            return await work(Attempt())
        if not KEY_PATTERN.fullmatch(key):
            message = "expected 1 to 255 visible ASCII characters"
            raise InvalidBodyError(f"header -> {HEADER}: {message}", [{"loc": ["header", HEADER], "msg": message}])
        one_at_a_time = self._running.setdefault((call, key), asyncio.Lock())
        async with one_at_a_time:
            claim = await self._store.claim(call, key, body_digest)
            if claim.answer is not None:
                headers = claim.answer.headers | {REPLAYED_HEADER: "true"}
                return Response(claim.answer.body, claim.answer.status, headers)
            call_id = digest_of_texts(call, key, claim.claimed_at.isoformat())
            try:
                answer = await work(Attempt(call_id, claim.is_retry))
            except ClairoError as error:
                # If the database fails at the commit, the commit may have been made.
                if not claim.is_retry and not isinstance(error, StoreError):
                    await self._store.release(call, key)
                raise
            headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
            await self._store.keep_answer(call, key, StoredAnswer(answer.status_code, headers, bytes(answer.body)))
            return answer


def digest_of_texts(*texts: str) -> str:
    """SHA-256 over texts and their boundaries."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", errors="surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
