"""Public keys: what a page of the shop may do, from its own origin, and how often."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.bundle import Bundle
from service.cli.commands import app
from tests.running_service import drawn_picture, running_service

SHOP = "https://shop.example"
ITEM = "/items/item-1"


def run_keys(data_dir: Path, *flags: str) -> tuple[int, str]:
    made = CliRunner().invoke(app, ["keys", "create", "--name", "page", "--data-dir", str(data_dir), *flags])
    return made.exit_code, made.stdout.strip() if made.exit_code == 0 else made.output


@pytest.fixture
def key(tmp_path: Path) -> str:
    code, key = run_keys(tmp_path, "--scope", "public", "--origin", f"{SHOP}/", "--origin", "http://localhost:3000")
    assert code == 0, key
    return key


@pytest.fixture
async def client(bundle: Bundle, tmp_path: Path, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, data_dir=tmp_path, database_url="", cors_origins=SHOP) as client:
        yield client


def page(key: str, origin: str = SHOP) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Origin": origin}


async def test_a_page_recommends_lists_and_records(client: httpx.AsyncClient, key: str) -> None:
    events = [{"user_id": "u-1", "item_id": "item-1", "type": "view", "event_id": "e-1"}]
    assert (await client.post("/recommend", json={"history": []}, headers=page(key))).status_code == 200
    assert (await client.post("/feedback", json={"events": events}, headers=page(key))).status_code == 200
    for path in (ITEM, f"{ITEM}/similar", f"{ITEM}/picture"):
        assert (await client.get(path, headers=page(key))).status_code == 200


async def test_a_page_reads_no_user_and_changes_nothing(client: httpx.AsyncClient, key: str) -> None:
    refused = [
        ("GET", "/users"),
        ("GET", "/users/u-1"),
        ("DELETE", "/users/u-1"),
        ("GET", "/items"),
        ("POST", "/items"),
        ("PUT", ITEM),
        ("DELETE", ITEM),
        ("POST", "/recommend/batch"),
        ("POST", "/feedback/bulk"),
        ("GET", "/bundles"),
    ]
    for method, path in refused:
        answer = await client.request(method, path, headers=page(key))
        assert answer.json()["type"] == "urn:clairo:problem:missing-scope", (method, path)


async def test_a_key_is_bound_to_its_origins(client: httpx.AsyncClient, key: str) -> None:
    for origin in (SHOP, "http://localhost:3000"):
        assert (await client.get(f"{ITEM}/similar", headers=page(key, origin))).status_code == 200
    for origin in ("https://evil.example", "http://shop.example", "https://shop.example:8443", "null"):
        refused = await client.get(f"{ITEM}/similar", headers=page(key, origin))
        assert refused.json()["type"] == "urn:clairo:problem:foreign-origin"
    # Browsers state the origin of every POST.
    nameless = await client.post("/recommend", json={"history": []}, headers={"Authorization": f"Bearer {key}"})
    assert "got no Origin, expected http://localhost:3000 or https://shop.example" in nameless.json()["detail"]


async def test_an_image_shows_a_picture_with_the_key_in_its_url_and_asks_for_it_once(
    client: httpx.AsyncClient, key: str
) -> None:
    shown = await client.get(f"{ITEM}/picture", params={"key": key})
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "image/png" or shown.headers["content-type"].startswith("image/")
    assert shown.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "max-age" in shown.headers["cache-control"]
    for tag in (shown.headers["etag"], f'"other", W/{shown.headers["etag"]}', "*"):
        again = await client.get(f"{ITEM}/picture", params={"key": key}, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    assert (await client.get(f"{ITEM}/picture")).status_code == 401
    assert (await client.get(f"{ITEM}/picture", params={"key": f"{key[:-1]}~"})).status_code == 401


async def test_only_a_public_key_may_stand_in_a_url(client: httpx.AsyncClient, tmp_path: Path) -> None:
    _, reading = await asyncio.to_thread(run_keys, tmp_path, "--scope", "read")
    await asyncio.sleep(2.1)
    assert (await client.get("/items", headers={"X-API-Key": reading})).status_code == 200
    refused = await client.get(f"{ITEM}/picture", params={"key": reading})
    assert refused.status_code == 401
    assert "must have scope public" in refused.json()["detail"]
    assert (await client.get("/items", params={"key": reading})).status_code == 401


async def test_a_beacon_records_events_without_a_header(client: httpx.AsyncClient, key: str) -> None:
    body = '{"events": [{"user_id": "u-1", "item_id": "item-1", "type": "view", "event_id": "e-9"}]}'
    headers = {"Content-Type": "text/plain;charset=UTF-8", "Origin": SHOP}
    for expected in ("accepted", "duplicate"):
        sent = await client.post("/feedback", params={"key": key}, content=body, headers=headers)
        assert sent.json()["results"][0]["status"] == expected
    wrong = await client.post("/recommend", params={"key": key}, content='{"history": []}', headers=headers)
    assert wrong.status_code == 415


async def test_the_rate_of_a_public_key_counts_for_each_address(bundle: Bundle, tmp_path: Path) -> None:
    _, key = await asyncio.to_thread(run_keys, tmp_path, "--scope", "public", "--origin", SHOP, "--rate", "2")
    settings = {"data_dir": tmp_path, "database_url": "", "trusted_proxies": "127.0.0.1"}
    async with running_service(bundle, **settings) as client:

        async def statuses(forwarded: str) -> list[int]:
            headers = page(key) | {"X-Forwarded-For": forwarded}
            return [(await client.get(f"{ITEM}/similar", headers=headers)).status_code for _ in range(3)]

        assert await statuses("192.0.2.1") == [200, 200, 429]
        assert await statuses("192.0.2.2") == [200, 200, 429]
        # What a client claims stands before what the proxy adds.
        assert await statuses("198.51.100.9, 192.0.2.2") == [429, 429, 429]
        limited = await client.get(f"{ITEM}/similar", headers=page(key) | {"X-Forwarded-For": "192.0.2.1"})
        assert "2 calls per minute from one address" in limited.json()["detail"]
        assert 1 <= int(limited.headers["retry-after"]) <= 30


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--scope", "public"], "go together"),
        (["--scope", "read", "--origin", SHOP], "go together"),
        (["--scope", "public", "--scope", "read", "--origin", SHOP], "create a second key"),
        (["--scope", "public", "--origin", "shop.example"], "expected an origin without a path"),
    ],
)
def test_scopes_and_origins_that_do_not_fit_are_refused(tmp_path: Path, flags: list[str], reason: str) -> None:
    code, output = run_keys(tmp_path, *flags)
    assert code == 2
    assert reason in output


def test_the_list_of_keys_shows_origins_and_the_default_rate(tmp_path: Path, key: str) -> None:
    listed = CliRunner().invoke(app, ["keys", "list", "--data-dir", str(tmp_path)]).output
    assert f"public http://localhost:3000 {SHOP}  1200 calls per minute per address" in listed


async def test_a_picture_posted_again_has_another_tag(bundle: Bundle) -> None:
    async with running_service(bundle) as client:
        tags = []
        for seed in (1, 2):
            await client.put("/items/fresh", data={"title": "Fresh"}, files={"picture": drawn_picture(seed)})
            tags.append((await client.get("/items/fresh/picture")).headers["etag"])
        assert tags[0] != tags[1]
        assert (await client.get("/items/fresh/picture")).headers["cross-origin-resource-policy"] == "same-origin"
