"""Answer a call that names an Idempotency-Key once, and every repetition of it with the same answer.

Knows keys, digests and answers; knows nothing of what calls do. A call that fails leaves no record, unless it may have
done its work all the same.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
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
    "description": "Any text of your own, one a call. For a day, the same key and body get the same answer, and the "
    "call is not run again; another body under the same key is a 422.",
}

Work = Callable[[bool], Awaitable[Response]]


class AnsweredOnce:
    """Runs calls, or sends again what they were answered with."""

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._running: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def answer(self, request: Request, call: str, body_digest: str, work: Work) -> Response:
        """What `work` answers, or answered before; it is told whether an earlier attempt may have done its work.

        Raises:
            InvalidBodyError: the header is no key.
            IdempotencyKeyReusedError: the key came with another body before.
            StoreError: the key cannot be looked up.
        """
        key = request.headers.get(HEADER)
        if key is None:
            return await work(False)
        if not KEY_PATTERN.fullmatch(key):
            message = "expected 1 to 255 visible ASCII characters"
            raise InvalidBodyError(f"header -> {HEADER}: {message}", [{"loc": ["header", HEADER], "msg": message}])
        one_at_a_time = self._running.setdefault((call, key), asyncio.Lock())
        async with one_at_a_time:
            claim = await self._store.claim(call, key, body_digest)
            if claim.answer is not None:
                headers = claim.answer.headers | {REPLAYED_HEADER: "true"}
                return Response(claim.answer.body, claim.answer.status, headers)
            try:
                answer = await work(claim.is_retry)
            except ClairoError as error:
                # Of a database that breaks at the commit, nobody can say whether it was made.
                if not claim.is_retry and not isinstance(error, StoreError):
                    await self._store.release(call, key)
                raise
            headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
            await self._store.keep_answer(call, key, StoredAnswer(answer.status_code, headers, bytes(answer.body)))
            return answer


def digest_of(*parts: str) -> str:
    """SHA-256 over texts, and over where one ends and the next begins."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", errors="surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
