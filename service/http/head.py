"""Answer HEAD wherever GET is answered: the same headers, without a body (RFC 9110, section 9.3.2).

Pure ASGI, innermost: keys, limits and logs treat the request as HEAD, the routes as GET.
"""

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a HEAD request as GET unless its route has its own answer; pass anything else on unchanged."""
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        if not is_head or is_routed(scope, "HEAD") or not is_routed(scope, "GET"):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # A copy: the server reads the method too, and awaits a body after GET.
        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_head)
        finally:
            # The route, for the observation.
            scope.update(as_get, method="HEAD")


def is_routed(scope: Scope, method: str) -> bool:
    """Whether the app has a route for this method at the scope's path."""
    return any(route.matches({**scope, "method": method})[0] is Match.FULL for route in scope["app"].routes)
