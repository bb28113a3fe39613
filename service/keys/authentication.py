"""Check a request's API key before its body is read. No other place does.

`required_scope` gives the scope of each call, to the running service and its OpenAPI document alike. While no key
exists, callers that pass `CallerCheck` need none, and others get an error with the next step. Pure ASGI.
"""

from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clairo_core.errors import ClairoError
from service.errors import NoKeyError
from service.keys.api_key import Scope as KeyScope
from service.keys.callers import CallerCheck
from service.keys.key_ring import KeyRing
from service.keys.public_calls import KEY_PARAMETER, MAX_KEY_CHARACTERS, Networks, is_public, public_call

OPEN_PATHS = frozenset(
    {
        "/",
        "/clairo.d.ts",
        "/clairo.js",
        "/docs",
        "/health/live",
        "/health/ready",
        "/info",
        "/metrics",
        "/openapi.json",
        "/operator",
    }
)
OPEN_PREFIXES = ("/docs/", "/playground/")
READING_POSTS = ("/recommend", "/complements")
ADMIN_PREFIXES = ("/bundles", "/experiments")
ADMIN_PATHS = frozenset({"/jobs"})
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer clairo_...`."},
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key, without a prefix.",
    },
    "public_key": {
        "type": "apiKey",
        "in": "query",
        "name": KEY_PARAMETER,
        "description": "A key of scope `public`, where a page can send no header: in urls of pictures, in beacons.",
    },
}

Problem = Callable[[ClairoError, Scope], Response]
KeyRingOf = Callable[[Scope], KeyRing | None]


def required_scope(method: str, path: str) -> KeyScope | None:
    """The scope that a call needs; None if it needs no key. Unknown paths need one.

    >>> required_scope("POST", "/recommend/batch")
    <Scope.READ: 'read'>
    """
    if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
        return None
    if path in ADMIN_PATHS or any(path == prefix or path.startswith(f"{prefix}/") for prefix in ADMIN_PREFIXES):
        return KeyScope.ADMIN
    if method in ("GET", "HEAD", "OPTIONS"):
        return KeyScope.READ
    is_reading = any(path == reading or path.startswith(f"{reading}/") for reading in READING_POSTS)
    return KeyScope.READ if is_reading else KeyScope.WRITE


class Authentication:
    """ASGI middleware. `key_ring_of(scope)` is None until the app has its parts; no call is answered before."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        key_ring_of: KeyRingOf,
        problem: Problem,
        callers: CallerCheck,
        trusted_proxies: Networks = (),
    ) -> None:
        self._app = app
        self._key_ring_of = key_ring_of
        self._problem = problem
        self._callers = callers
        self._trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the problem of its key."""
        key_scope = required_scope(scope["method"], scope["path"]) if scope["type"] == "http" else None
        key_ring = None if key_scope is None else self._key_ring_of(scope)
        if key_scope is None or key_ring is None:
            await self._app(scope, receive, send)
            return
        try:
            await key_ring.refresh()
            await self._check(key_ring, key_scope, scope)
        except ClairoError as error:
            await self._problem(error, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _check(self, key_ring: KeyRing, key_scope: KeyScope, scope: Scope) -> None:
        headers = Headers(scope=scope)
        call = public_call(scope, headers, self._trusted_proxies)
        if not key_ring.has_keys:
            self._callers.check_without_keys(scope, headers, is_public=call is not None)
            return
        self._callers.check_with_keys(headers)
        key = sent_key(headers) or (call.key_in_url if call else "")
        if not key:
            raise NoKeyError("this call needs an API key; send it as Authorization: Bearer or as X-API-Key")
        await key_ring.check(key, key_scope, call)


def sent_key(headers: Headers) -> str:
    """The key in a request's headers; empty if there is none."""
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    key = bearer.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "").strip()
    return key[:MAX_KEY_CHARACTERS]


def describe_keys(document: dict[str, Any], problem_answers: Callable[..., dict[int | str, dict[str, Any]]]) -> None:
    """Add scopes, and the answers without them, to the OpenAPI document."""
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = required_scope(method.upper(), path)
            if scope is None:
                operation["security"] = []
                continue
            # OpenAPI lists scopes only for OAuth; ours go into the description.
            operation["security"] = [{"bearer": []}, {"api_key": []}]
            operation["x-required-scope"] = scope.value
            scopes = f"`{scope}`"
            if is_public(method.upper(), path):
                operation["security"].append({"public_key": []})
                scopes += " or `public`"
            operation["description"] = f"{operation.get('description', '')}\n\nNeeds a key with scope {scopes}.".strip()
            for status, answer in problem_answers(401, 403, 429, 503).items():
                operation["responses"].setdefault(str(status), answer)
