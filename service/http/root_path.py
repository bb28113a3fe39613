"""Serve below a path prefix, behind a proxy that passes the prefix on or cuts it off.

Inside, paths have no prefix. Links in answers get it from `linked`.
"""

from contextvars import ContextVar

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ROOT_PATH: ContextVar[str] = ContextVar("clairo_root_path", default="")


def linked(path: str) -> str:
    """A path of this service as clients reach it.

    >>> linked("/items/mug-12")
    '/items/mug-12'
    """
    return ROOT_PATH.get() + path


class RootPath:
    """ASGI middleware; `root_path` is empty or starts with a slash and ends without one."""

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the prefix off an HTTP request's path, if it is there."""
        if scope["type"] != "http" or not self._root_path:
            await self._app(scope, receive, send)
            return
        # A variable of this request's task.
        ROOT_PATH.set(self._root_path)
        if scope["path"] == self._root_path:
            # Relative links of the page need the slash.
            await RedirectResponse(f"{self._root_path}/")(scope, receive, send)
            return
        path = scope["path"]
        if path.startswith(f"{self._root_path}/"):
            scope = {**scope, "path": path.removeprefix(self._root_path)}
        await self._app(scope, receive, send)
