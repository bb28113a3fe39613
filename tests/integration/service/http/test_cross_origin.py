"""CORS: pages of listed origins read answers, others do not."""

from collections.abc import AsyncIterator

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from tests.running_service import running_service

SHOP, OTHER = "https://shop.example", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture
async def client(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, cors_origins=f"{SHOP}/, http://localhost:3000") as client:
        yield client


async def test_a_preflight_of_a_listed_origin_is_answered_without_a_key(client: httpx.AsyncClient) -> None:
    answer = await client.options("/recommend", headers={"Origin": SHOP, **PREFLIGHT})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key"} <= set(allowed)
    assert answer.headers["vary"] == "Origin"


async def test_a_listed_page_reads_answers_and_problems(client: httpx.AsyncClient) -> None:
    for body, status in (({"history": []}, 200), ({"nonsense": 1}, 422), ({"history": ["x" * 2_000_000]}, 413)):
        answer = await client.post("/recommend", json=body, headers={"Origin": SHOP})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


async def test_another_page_reads_nothing(client: httpx.AsyncClient) -> None:
    for origin in (OTHER, "null", "https://shop.example.evil.example", "http://shop.example"):
        refused = await client.options("/recommend", headers={"Origin": origin, **PREFLIGHT})
        assert refused.status_code >= 400
        answer = await client.get("/items", headers={"Origin": origin})
        for got in (refused, answer):
            assert "access-control-allow-origin" not in got.headers
            assert "Origin" in got.headers["vary"]


async def test_without_keys_a_listed_page_makes_public_calls_alone(client: httpx.AsyncClient) -> None:
    headers = {"Origin": SHOP}
    assert (await client.get("/items/item-1/similar", headers=headers)).status_code == 200
    for method, path in (("DELETE", "/items/item-1"), ("GET", "/users"), ("POST", "/items")):
        answer = await client.request(method, path, headers=headers)
        assert answer.json()["type"] == "urn:clairo:problem:foreign-origin"


async def test_no_origin_is_listed_by_default(bundle: Bundle) -> None:
    async with running_service(bundle) as client:
        answer = await client.options("/recommend", headers={"Origin": SHOP, **PREFLIGHT})
        assert answer.status_code >= 400
        assert not any(name.startswith("access-control") for name in answer.headers)


async def test_every_page_may_load_the_module_and_gets_it_once(client: httpx.AsyncClient) -> None:
    for name, kind in (("clairo.js", "text/javascript"), ("clairo.d.ts", "text/plain")):
        module = await client.get(f"/{name}", headers={"Origin": OTHER})
        assert module.headers["content-type"].startswith(kind)
        assert module.headers["access-control-allow-origin"] == "*"
        again = await client.get(f"/{name}", headers={"If-None-Match": module.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.head(f"/{name}")).status_code == 200
