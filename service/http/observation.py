"""Time every request and give it a span, by its route's template and its status.

Pure ASGI, outermost in the app: answers given before any route was reached count too.
"""

import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.id_paths import CONVERTOR
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import finish_request_span, request_span

NO_ROUTE = "none"
CLIENT_WENT = 499
"""Status of a request whose client left before an answer began, as in nginx."""


class Observation:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Observe an HTTP request; pass anything else on unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        status = CLIENT_WENT
        method = scope["method"]

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with request_span(method, scope["path"], Headers(scope=scope)) as span:
            try:
                await self._app(scope, receive, send_observed)
            finally:
                route = str(getattr(scope.get("route"), "path", NO_ROUTE)).replace(f":{CONVERTOR}}}", "}")
                seconds = time.perf_counter() - started_at
                self._metrics.count_request(method, route, status, seconds)
                finish_request_span(span, method, route, status, scope.get("state", {}).get("request_id", ""))
