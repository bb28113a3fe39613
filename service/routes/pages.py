"""Pages and scripts, outside the OpenAPI document.

Playground at /, the operator's page at /operator, reference at /docs, /clairo.js for shops.
"""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from service.http.etags import answer_unless_known
from service.http.request_context import SECURITY_HEADERS

SERVICE_FOLDER = Path(__file__).resolve().parent.parent
PLAYGROUND_FOLDER = SERVICE_FOLDER / "playground"
REFERENCE_FOLDER = SERVICE_FOLDER / "reference"
BROWSER_FOLDER = SERVICE_FOLDER / "browser"
SWAGGER_UI = ("fastapi_swagger", "resources")
"""Swagger UI's script and style; nothing else of that package is used."""
# Swagger UI's icons are images in its style.
REFERENCE_POLICY = SECURITY_HEADERS["Content-Security-Policy"].replace("img-src", "img-src data:")
# Browsers revalidate each time: a page never runs another release's script.
REVALIDATED = {"Cache-Control": "no-cache"}
# Modules are loaded by pages of every origin. They hold no secret.
SHARED = {**REVALIDATED, "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}


def install_pages(app: FastAPI) -> None:
    """Serve the pages and their files."""

    @app.get("/", include_in_schema=False)
    async def show_playground() -> FileResponse:
        return FileResponse(PLAYGROUND_FOLDER / "index.html", headers=REVALIDATED)

    @app.get("/operator", include_in_schema=False)
    async def show_operator() -> FileResponse:
        return FileResponse(PLAYGROUND_FOLDER / "operator" / "index.html", headers=REVALIDATED)

    @app.get("/docs", include_in_schema=False)
    async def show_reference() -> FileResponse:
        headers = {**REVALIDATED, "Content-Security-Policy": REFERENCE_POLICY}
        return FileResponse(REFERENCE_FOLDER / "index.html", headers=headers)

    for name, media_type in (("clairo.js", "text/javascript"), ("clairo.d.ts", "text/plain")):
        app.add_route(f"/{name}", _module_route(BROWSER_FOLDER / name, media_type), include_in_schema=False)
    app.mount("/playground", _FreshFiles(directory=PLAYGROUND_FOLDER), name="playground")
    app.mount("/docs", _FreshFiles(directory=REFERENCE_FOLDER, packages=[SWAGGER_UI]), name="reference")


def _module_route(path: Path, media_type: str) -> Any:
    content = path.read_bytes()

    async def show_module(request: Request) -> Response:
        return answer_unless_known(request, content, media_type, SHARED)

    return show_module


class _FreshFiles(StaticFiles):
    """Files that browsers revalidate each time."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers.update(REVALIDATED)
        return response
