"""Numbers are accepted as JSON and urls write them, without coercion."""

from typing import Any

import httpx

WRONG: list[dict[str, Any]] = [
    {"seed": 1349.0},
    {"seed": "12"},
    {"seed": True},
    {"limit": 10.0},
    {"limit": "10"},
    {"limit": True},
    {"include_seen": 1},
    {"include_seen": "true"},
    {"diversity": "0.5"},
    {"history": [{"item_id": "a", "timestamp": "3"}]},
    {"filter": {"attribute": "price", "range": {"gte": "3"}}},
]


async def test_a_body_accepts_no_number_of_another_type(client: httpx.AsyncClient) -> None:
    for wrong in WRONG:
        body = {"history": []} | wrong
        assert (await client.post("/recommend", json=body)).status_code == 422, wrong
        batch = (await client.post("/recommend/batch", json={"requests": [body]})).json()
        assert batch["results"][0]["problem"]["status"] == 422, wrong


async def test_a_url_accepts_decimal_digits_only(client: httpx.AsyncClient) -> None:
    for path in ("/items", "/items/item-0/similar", "/popular", "/users/ann/buy-again", "/users/ann", "/jobs/abc"):
        for limit in ("10.0", "%2B10", "%2010", "1_0", "010", "1e1", "true", "", "٣", "9" * 30):
            answer = await client.get(f"{path}?limit={limit}")
            assert answer.status_code == 422, (path, limit)
            assert answer.json()["errors"][0]["loc"] == ["query", "limit"]
    for path in ("/items", "/items/item-0/similar", "/popular", "/users/ann/buy-again", "/users/ann"):
        assert (await client.get(f"{path}?limit=10")).status_code == 200
