"""HEAD is answered wherever GET is: the same status and headers, without a body."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from service.app import create_app
from service.settings import Settings
from tests.running_service import drawn_picture, running_process
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with (
        running_process(bundle, tmp_path_factory.mktemp("data"), "--bundles-dir", str(bundle.parent)) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        yield client


def paths(client: httpx.Client) -> list[str]:
    """The path of every route with GET, and some that no route has."""
    picture = {"picture": ("x.png", drawn_picture())}
    assert client.put("/items/mug", data={"title": "Mug"}, files=picture).status_code in (200, 201)
    rows = b'{"item_id": "row", "title": "Row"}'
    job = client.post("/items/bulk", content=rows, headers={"Content-Type": "application/x-ndjson"})
    while client.get(job.headers["location"]).json()["state"] != "done":
        # Until then, its answer changes between two calls.
        time.sleep(0.02)
    assert client.put("/placements/home", json={}).is_success
    names = {
        "{item_id}": "mug",
        "{user_id}": "ann",
        "{name}": "home",
        "{bundle_id}": client.get("/info").json()["bundle_id"],
        "/jobs/{job_id}": job.headers["location"],
    }
    found = []
    for template in templates():
        path = template
        for name, value in names.items():
            path = path.replace(name, value)
        assert "{" not in path
        found.append(path)
    assert {"/", "/openapi.json"} <= set(found)
    return [*found, "/playground/playground.js", "/nowhere", "/items/nowhere", "/items?limit=0"]


def templates() -> list[str]:
    """Paths of all routes with GET, of the document or not."""
    app = create_app(Settings(bundle=Path("not-loaded")))
    routes = iter_route_contexts(app.routes)
    return [route.path_format for route in routes if route.path_format and "GET" in (route.methods or ())]


def test_head_has_the_status_and_headers_of_get_and_no_body(client: httpx.Client) -> None:
    found = paths(client)
    assert len(found) >= 15
    for path in found:
        got, headed = client.get(path), client.head(path)
        assert headed.status_code == got.status_code, path
        assert headed.content == b"", path
        for name in ("content-type", "etag", "cache-control", "content-security-policy"):
            assert headed.headers.get(name) == got.headers.get(name), (path, name)
        # These count seconds and requests.
        if path not in ("/info", "/metrics"):
            assert headed.headers.get("content-length") == got.headers.get("content-length"), path


def test_where_get_is_not_allowed_head_is_not_either(client: httpx.Client) -> None:
    for path in ("/recommend", "/feedback", "/recommend/batch"):
        headed = client.head(path)
        assert headed.status_code == 405, path
        assert headed.headers["allow"] == "POST"


def test_head_is_counted_as_head_under_its_route(client: httpx.Client) -> None:
    assert client.head("/items/mug").status_code == 200
    shown = client.get("/metrics").text
    assert any('method="HEAD"' in line and 'route="/items/{item_id}"' in line for line in shown.splitlines())
