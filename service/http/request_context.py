"""Give every request an id, bound its body, set security headers on its answer, and log one line.

Pure ASGI, around everything but `Observation`: answers of the framework itself pass through here, and an unforeseen
error becomes a problem document that `Observation` can count.
"""

import logging
import re
import time
import uuid
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.logs import REQUEST_ID

logger = logging.getLogger("clairo.requests")

REQUEST_ID_HEADER = "X-Request-ID"
MAX_LENGTH_DIGITS = 20
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._:-]{1,128}")

SECURITY_HEADERS = {
    # The playground loads its files from this host; blob: is the preview of a picture before it is posted.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; base-uri 'none'; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# Status, name and title of a problem, and its detail where it is always the same.
TOO_LARGE = (413, "content-too-large", "Picture, text or body too large")
MALFORMED_URL = (
    400,
    "malformed-url",
    "Malformed URL",
    "path or query have bytes that are not UTF-8; percent-encode ids and parameters as UTF-8",
)
AT_FAULT = (
    500,
    "internal-error",
    "Internal error",
    "an error that the request did not cause; the log has the reason under this request_id",
)

ProblemAnswer = Callable[..., Response]


class BodyTooLargeError(HTTPException):
    """The body is, or is announced as, larger than the call accepts.

    An HTTPException: the framework passes no other error on unchanged while it reads a body.
    """

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(413, f"the body exceeds the {limit} bytes that {path} accepts; send less")


def request_id_of(scope: Scope) -> str:
    """The request's id, set by `RequestContext`."""
    return str(scope["state"]["request_id"])


def max_body_bytes_of(scope: Scope) -> int:
    """The most bytes that the call accepts, set by `RequestContext`."""
    return int(scope["state"]["max_body_bytes"])


def is_utf8(scope: Scope) -> bool:
    """Whether path and query are UTF-8. A server decodes other bytes to U+FFFD, and so one id to another.

    >>> is_utf8({"raw_path": b"/items/%C3%BC", "query_string": b""}), is_utf8({"raw_path": b"/items/%FF"})
    (True, False)
    """
    try:
        for part in ("raw_path", "query_string"):
            unquote_to_bytes(scope.get(part) or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


class RequestContext:
    """ASGI middleware; `max_body_bytes(path)` bounds the body, `answer` builds a problem document."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: Callable[[str], int], answer: ProblemAnswer) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap an HTTP request; pass anything else on unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        headers = Headers(scope=scope)
        sent_id = headers.get(REQUEST_ID_HEADER, "")
        request_id = sent_id if REQUEST_ID_PATTERN.fullmatch(sent_id) else uuid.uuid4().hex
        limit = self._max_body_bytes(scope["path"])
        scope.setdefault("state", {}).update(request_id=request_id, max_body_bytes=limit)
        # A context variable of this request's task: each of its log lines carries the id.
        REQUEST_ID.set(request_id)
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer_headers = MutableHeaders(scope=message)
                answer_headers[REQUEST_ID_HEADER] = request_id
                for name, value in SECURITY_HEADERS.items():
                    answer_headers.setdefault(name, value)
                if "json" in answer_headers.get("content-type", ""):
                    # A user's history or recommendations: no proxy may keep them.
                    answer_headers.setdefault("Cache-Control", "no-store")
            await send(message)

        declared = headers.get("content-length", "")
        try:
            if declared.isdecimal() and int(declared[:MAX_LENGTH_DIGITS]) > limit:
                # Answered before the first byte of the body is read.
                detail = BodyTooLargeError(scope["path"], limit).detail
                await self._problem(scope, *TOO_LARGE, detail)(scope, receive, send_with_headers)
                return
            if not is_utf8(scope):
                await self._problem(scope, *MALFORMED_URL)(scope, receive, send_with_headers)
                return
            await self._app(scope, bounded_receive(receive, scope["path"], limit), send_with_headers)
        except ClientDisconnect:
            # The client is gone; the line below has no status.
            pass
        except Exception:
            logger.exception("request %s failed: %s %r", request_id, scope["method"], scope["path"])
            if status is not None:
                raise
            await self._problem(scope, *AT_FAULT)(scope, receive, send_with_headers)
        finally:
            logger.info(
                "%s %r status=%s seconds=%.4f request_id=%s",
                scope["method"],
                scope["path"],
                status,
                seconds := time.perf_counter() - started_at,
                request_id,
                extra={"method": scope["method"], "path": scope["path"], "status": status, "seconds": seconds},
            )

    def _problem(self, scope: Scope, status: int, name: str, title: str, detail: str) -> Response:
        return self._answer(
            status=status,
            name=name,
            title=title,
            detail=detail,
            instance=scope["path"],
            request_id=request_id_of(scope),
        )


def bounded_receive(receive: Receive, path: str, limit: int) -> Receive:
    """Bound `receive` to `limit` bytes, also under a missing or false Content-Length.

    Raises, when called:
        BodyTooLargeError: more than `limit` bytes have come.
    """
    count = 0

    async def receive_counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > limit:
            raise BodyTooLargeError(path, limit)
        return message

    return receive_counted
