"""A path prefix behind a proxy: calls, links and pages work below it, whether the proxy cuts it off or not."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import SettingsError
from service.settings import Settings, load_settings
from tests.running_service import running_service

PREFIX = "/shop/recommender"


@pytest.fixture
async def client(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, root_path=PREFIX) as client:
        yield client


@pytest.mark.parametrize("prefix", [PREFIX, ""])
async def test_calls_and_pages_answer_with_the_prefix_and_without(client: httpx.AsyncClient, prefix: str) -> None:
    for path in ("/", "/docs", "/clairo.js", "/playground/page.js", "/health/ready", "/items", "/openapi.json"):
        assert (await client.get(f"{prefix}{path}")).status_code == 200, path
    assert (await client.head(f"{prefix}/items")).status_code == 200
    assert (await client.post(f"{prefix}/recommend", json={"history": []})).status_code == 200


async def test_links_in_answers_carry_the_prefix(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"{PREFIX}/items")).json()
    picture_url = next(item["picture_url"] for item in page["items"] if item["picture_url"])
    assert picture_url.startswith(f"{PREFIX}/items/")
    assert (await client.get(picture_url)).status_code == 200
    created = await client.post(f"{PREFIX}/items", json={"item_id": "fresh", "title": "Fresh"})
    assert created.headers["location"] == f"{PREFIX}/items/fresh"
    assert (await client.get(created.headers["location"])).status_code == 200
    lines = json.dumps({"item_id": "line", "title": "Line"})
    job = await client.post(f"{PREFIX}/items/bulk", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert job.headers["location"].startswith(f"{PREFIX}/jobs/")
    document = (await client.get(f"{PREFIX}/openapi.json")).json()
    assert [server["url"] for server in document["servers"]] == [PREFIX]


async def test_the_bare_prefix_leads_to_the_page(client: httpx.AsyncClient) -> None:
    moved = await client.get(PREFIX)
    assert moved.is_redirect
    assert moved.headers["location"] == f"{PREFIX}/"
    assert (await client.get(f"{PREFIX}er/items")).status_code == 404


async def test_limits_and_problems_are_those_of_the_call_below_the_prefix(client: httpx.AsyncClient) -> None:
    refused = await client.post(f"{PREFIX}/recommend", content=b"x" * 2_000_000)
    assert refused.status_code == 413
    assert (await client.get(f"{PREFIX}/items/nowhere")).json()["instance"] == "/items/nowhere"


async def test_without_a_prefix_links_start_at_the_root(bundle: Bundle) -> None:
    async with running_service(bundle) as client:
        assert (await client.get("/openapi.json")).json()["servers"][0]["url"] == "/"
        created = await client.post("/items", json={"item_id": "fresh", "title": "Fresh"})
        assert created.headers["location"] == "/items/fresh"


@pytest.mark.parametrize("root_path", ["recommender", "/recommender/", "/", "/a b"])
def test_a_prefix_starts_with_a_slash_and_ends_without(root_path: str) -> None:
    with pytest.raises(SettingsError, match="--root-path"):
        load_settings(Settings, {"bundle": "bundle", "root_path": root_path}, {})
