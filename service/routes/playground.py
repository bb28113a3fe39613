"""GET /: the playground, one static page over the public API alone."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

PLAYGROUND_FOLDER = Path(__file__).resolve().parent.parent / "playground"


def install_playground(app: FastAPI) -> None:
    """Serve the page at / and its files under /playground/, outside the OpenAPI document."""

    @app.get("/", include_in_schema=False)
    async def show_playground() -> FileResponse:
        return FileResponse(PLAYGROUND_FOLDER / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/playground", _FreshFiles(directory=PLAYGROUND_FOLDER), name="playground")


class _FreshFiles(StaticFiles):
    """Files that browsers revalidate each time, so that a page never runs another release's script."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response
