"""Pictures by url in POST and PUT /items and in bulk: off unless the operator lists hosts."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import SettingsError
from service.settings import Settings, load_settings
from tests.picture_host import FakeHost, pictures_from, running_host
from tests.running_service import drawn_picture, running_service

PICTURE = drawn_picture()
URL = "http://old.test/mug.png"
MUG = {"item_id": "mug", "title": "Mug", "picture_url": URL}


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    async with running_host() as host:
        host.will_answer("200 OK", PICTURE)
        yield host


@pytest.fixture
async def client(bundle: Bundle, host: FakeHost) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, picture_urls=pictures_from(host)) as client:
        yield client


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()  # type: ignore[no-any-return]


async def test_without_listed_hosts_every_url_is_refused(bundle: Bundle) -> None:
    async with running_service(bundle) as client:
        refused = problem(await client.post("/items", json=MUG))
        assert refused["type"] == "urn:clairo:problem:picture-url"
        assert "CLAIRO_PICTURE_URL_HOSTS" in refused["detail"]
        assert refused["errors"][0]["loc"] == ["picture_url"]
        assert (await client.get("/items/mug")).status_code == 404


async def test_loopback_is_refused_even_if_listed(bundle: Bundle, host: FakeHost) -> None:
    async with running_service(bundle, picture_url_hosts="http://localhost,http://2130706433,http://[::1]") as client:
        for name in ("localhost", "2130706433", "[::1]"):
            refused = problem(await client.post("/items", json=MUG | {"picture_url": f"http://{name}/"}))
            assert "not public" in refused["detail"] or "cannot be resolved" in refused["detail"]
    assert host.requests == []


async def test_a_picture_by_url_is_fetched_once_and_stored(client: httpx.AsyncClient, host: FakeHost) -> None:
    posted = await client.post("/items", json=MUG)
    assert posted.status_code == 201, posted.text
    assert posted.json()["missing_modalities"] == []
    host.will_answer("404 Gone", b"")
    assert (await client.get("/items/mug/picture")).content == PICTURE


async def test_an_item_can_consist_of_a_url_alone(client: httpx.AsyncClient) -> None:
    answer = await client.put("/items/mug", json={"picture_url": URL})
    assert answer.status_code == 201, answer.text
    assert (await client.put("/items/mug", json={"picture_url": URL})).json()["outcome"] == "unchanged"


async def test_a_form_can_have_a_url(client: httpx.AsyncClient) -> None:
    answer = await client.post("/items", files={"item_id": (None, "mug"), "picture_url": (None, URL)})
    assert answer.status_code == 201, answer.text


async def test_a_refused_url_leaves_no_item(client: httpx.AsyncClient, host: FakeHost) -> None:
    for url, why in (
        ("https://elsewhere.test/mug.png", "not on this service's list"),
        ("http://old.test:8080/mug.png", "expected 80"),
        ("http://127.0.0.1/", "not on this service's list"),
        ("x", "no scheme"),
    ):
        assert why in problem(await client.post("/items", json=MUG | {"picture_url": url}))["detail"]
        assert why in problem(await client.put("/items/mug", json=MUG | {"picture_url": url}))["detail"]
    assert host.requests == []
    host.will_answer("302 Found", b"", "Location: http://127.0.0.1:1/")
    assert "redirects" in problem(await client.post("/items", json=MUG))["detail"]
    host.will_answer("200 OK", b"no picture")
    assert "cannot be used" in problem(await client.post("/items", json=MUG))["detail"]
    assert (await client.get("/items/mug")).status_code == 404


async def test_a_picture_and_a_url_together_are_refused(client: httpx.AsyncClient) -> None:
    refused = problem(await client.post("/items", json=MUG | {"picture": "aGk="}))
    assert refused["type"] == "urn:clairo:problem:invalid-fields"
    form = {"item_id": (None, "mug"), "picture_url": (None, URL), "picture": ("mug.png", PICTURE)}
    assert "not both" in problem(await client.post("/items", files=form))["detail"]


async def test_a_repeated_call_is_answered_without_fetching_again(client: httpx.AsyncClient, host: FakeHost) -> None:
    key = {"Idempotency-Key": "once"}
    first = await client.post("/items", json=MUG, headers=key)
    host.will_answer("404 Gone", b"")
    again = await client.post("/items", json=MUG, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(host.requests) == 1
    other = await client.post("/items", json=MUG | {"picture_url": f"{URL}?2"}, headers=key)
    assert problem(other)["type"] == "urn:clairo:problem:idempotency-key-reused"


async def test_bulk_lines_can_have_urls_and_rejected_ones_have_a_reason(client: httpx.AsyncClient) -> None:
    rows = [
        {"item_id": "a", "picture_url": URL},
        {"item_id": "b", "title": "B", "picture_url": "https://elsewhere.test/"},
        {"item_id": "c", "title": "C"},
    ]
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    job = await client.post("/items/bulk", content=body, headers={"Content-Type": "application/x-ndjson"})
    async with asyncio.timeout(60):
        while (done := (await client.get(job.headers["location"])).json())["state"] != "done":
            await asyncio.sleep(0.02)
    assert (done["num_accepted"], done["num_rejected"]) == (2, 1)
    assert done["rejected"][0]["line"] == 2
    assert "elsewhere.test" in done["rejected"][0]["reason"]
    assert (await client.get("/items/a/picture")).content == PICTURE


def test_an_invalid_list_of_hosts_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected HOST"):
        load_settings(Settings, {"bundle": tmp_path, "picture_url_hosts": "https://shop.test/pictures"}, {})
