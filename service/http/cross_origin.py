"""Let pages of the operator's listed origins read answers (CORS). Without a list, no page of another origin can.

Pure ASGI, around everything but `Observation`: a page reads refusals too. Keys decide what a call may do, and no cookie
exists, so `Access-Control-Allow-Credentials` is never sent.

Source: WHATWG Fetch, "CORS protocol".
"""

from collections.abc import Set

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = (
    "Authorization, Content-Encoding, Content-Type, Idempotency-Key, If-None-Match, traceparent, X-API-Key, "
    "X-Request-ID"
)
EXPOSED_HEADERS = "ETag, Idempotency-Replayed, Location, Retry-After, X-Request-ID"
PREFLIGHT_SECONDS = 3600


class CrossOrigin:
    """ASGI middleware; `origins` are the listed ones, as browsers send them."""

    def __init__(self, app: ASGIApp, *, origins: Set[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight of a listed origin, and mark other answers to it as readable."""
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        is_listed = origin in self._origins
        if is_listed and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight_answer(origin)(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer_headers = MutableHeaders(scope=message)
                # Also without an origin: a cache must not answer a page with what it kept for an image.
                answer_headers.add_vary_header("Origin")
                if is_listed:
                    answer_headers["Access-Control-Allow-Origin"] = origin
                    answer_headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            await send(message)

        await self._app(scope, receive, send_marked)


def _preflight_answer(origin: str) -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            "Vary": "Origin",
        },
    )
