"""POST /recommend, through the whole service in one process."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from service.app import create_app
from service.settings import Settings
from tests.running_service import running_service


async def recommend(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


async def test_a_history_gets_limit_distinct_generated_items(client: httpx.AsyncClient, bundle: Bundle) -> None:
    history = list(bundle.catalogue.item_ids[:3])
    answer = await recommend(client, history=history, limit=10)
    assert len(set(ids_of(answer))) == 10
    assert not set(ids_of(answer)) & set(history)
    assert [item["rank"] for item in answer["items"]] == list(range(1, 11))
    assert {item["source"] for item in answer["items"]} == {"generative"}
    assert answer["fallback_reason"] is None
    assert answer["ignored_item_ids"] == []
    assert answer["bundle_id"] == bundle.manifest.bundle_id
    assert answer["catalogue_version"] == bundle.catalogue.version


async def test_seen_items_come_back_only_with_include_seen(client: httpx.AsyncClient, bundle: Bundle) -> None:
    history = list(bundle.catalogue.item_ids[:3])
    everything = await recommend(client, history=history, limit=100, include_seen=True)
    unseen = await recommend(client, history=history, limit=100)
    assert set(ids_of(everything)) == set(bundle.catalogue.item_ids)
    assert set(ids_of(everything)) - set(ids_of(unseen)) == set(history)


async def test_excluded_items_never_come_back(client: httpx.AsyncClient, bundle: Bundle) -> None:
    history = list(bundle.catalogue.item_ids[:2])
    excluded = ids_of(await recommend(client, history=history, limit=5))
    answer = await recommend(client, history=history, limit=5, exclude_item_ids=[*excluded, "unheard of"])
    assert not set(ids_of(answer)) & set(excluded)


async def test_the_same_request_has_the_same_items_and_an_id_of_its_own(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    history = list(bundle.catalogue.item_ids[:4])
    first = await recommend(client, history=history, seed=3)
    second = await recommend(client, history=history, seed=3)
    assert first["items"] == second["items"]
    assert first["recommendation_id"] != second["recommendation_id"]


async def test_an_empty_history_gets_the_popular_items_and_a_reason(client: httpx.AsyncClient) -> None:
    answer = await recommend(client, history=[], limit=5)
    assert answer["fallback_reason"] == "empty_history"
    assert {item["source"] for item in answer["items"]} == {"popular"}
    assert len(ids_of(answer)) == 5


async def test_a_history_of_unknown_items_gets_the_popular_ones(client: httpx.AsyncClient) -> None:
    answer = await recommend(client, history=["nobody", "knows", "nobody"], limit=5)
    assert answer["fallback_reason"] == "unknown_history"
    assert answer["ignored_item_ids"] == ["nobody", "knows"]
    assert ids_of(answer) == ids_of(await recommend(client, history=[], limit=5))


async def test_unknown_items_among_known_ones_are_ignored_and_listed(client: httpx.AsyncClient, bundle: Bundle) -> None:
    known = list(bundle.catalogue.item_ids[:2])
    answer = await recommend(client, history=[known[0], "nobody", known[1]])
    assert answer["ignored_item_ids"] == ["nobody"]
    assert answer["fallback_reason"] is None
    assert answer["items"] == (await recommend(client, history=known))["items"]


async def test_timestamps_put_a_history_in_order(client: httpx.AsyncClient, bundle: Bundle) -> None:
    first, second, third = bundle.catalogue.item_ids[:3]
    shuffled = [
        {"item_id": third, "timestamp": 1_700_000_300.5},
        {"item_id": first, "timestamp": "2023-11-14T22:15:00.0000000Z"},
        {"item_id": second, "timestamp": 1_700_000_200},
    ]
    answer = await recommend(client, history=shuffled)
    assert answer["items"] == (await recommend(client, history=[first, second, third]))["items"]


async def test_a_limit_beyond_the_catalogue_is_reported(client: httpx.AsyncClient, bundle: Bundle) -> None:
    answer = await recommend(client, history=[bundle.catalogue.item_ids[0]], limit=100)
    assert len(set(ids_of(answer))) == len(bundle.catalogue) - 1
    assert answer["fallback_reason"] == "catalogue_exhausted"


async def test_concurrent_requests_get_the_same_answers_as_alone(client: httpx.AsyncClient, bundle: Bundle) -> None:
    item_ids = bundle.catalogue.item_ids
    requests = [{"history": list(item_ids[n : n + 1 + n % 4]), "limit": 3 + n % 5, "seed": n} for n in range(12)]
    together = await asyncio.gather(*(recommend(client, **request) for request in requests))
    async with running_service(bundle, max_batch_size=1, cache_max_entries=0) as alone:
        for request, answer in zip(requests, together, strict=True):
            expected = await recommend(alone, **request)
            assert ids_of(answer) == ids_of(expected)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"limit": 0}, ["body", "limit"]),
        ({"limit": 101}, ["body", "limit"]),
        ({"limit": "5"}, ["body", "limit"]),
        ({"limit": True}, ["body", "limit"]),
        ({"seed": -1}, ["body", "seed"]),
        ({"include_seen": "yes"}, ["body", "include_seen"]),
        ({"exclude_item_ids": "a"}, ["body", "exclude_item_ids"]),
        ({"user_id": ""}, ["body", "user_id"]),
        ({"history": None}, ["body"]),
        ({"diversity": -0.1}, ["body", "diversity"]),
        ({"diversity": 1.1}, ["body", "diversity"]),
        ({"diversity": True}, ["body", "diversity"]),
        ({"explain": "yes"}, ["body", "explain"]),
        ({"history": [""]}, ["body", "history", 0]),
        ({"history": ["a"] * 1001}, ["body", "history"]),
        ({"history": [{"item_id": "a", "timestamp": 1}, "b"]}, ["body"]),
        ({"history": [{"item_id": "a", "timestamp": "yesterday"}]}, ["body", "history", 0]),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, change: dict[str, Any], where: list[Any]) -> None:
    answer = await client.post("/recommend", json={"history": ["a"]} | change)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(error["loc"][: len(where)] == where for error in answer.json()["errors"]), answer.text


async def test_an_answer_holds_its_seed(client: httpx.AsyncClient, bundle: Bundle) -> None:
    history = list(bundle.catalogue.item_ids[:4])
    assert (await recommend(client, history=history, seed=3))["seed"] == 3
    # Without exploration the default seed is fixed.
    assert (await recommend(client, history=history))["seed"] == 0


async def test_an_answer_that_takes_too_long_is_a_504(bundle: Bundle) -> None:
    async with running_service(bundle, request_deadline_seconds=1e-6) as client:
        answer = await client.post("/recommend", json={"history": [bundle.catalogue.item_ids[0]]})
    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:clairo:problem:deadline-exceeded"


async def test_too_many_concurrent_requests_get_a_retry_after(bundle: Bundle) -> None:
    async with running_service(bundle, max_queue_depth=1, max_batch_size=1) as client:
        answers = await asyncio.gather(
            *(client.post("/recommend", json={"history": [bundle.catalogue.item_ids[n]]}) for n in range(10))
        )
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["type"] == "urn:clairo:problem:overloaded"


async def test_before_it_is_ready_the_service_answers_503(tmp_path: Path) -> None:
    app = create_app(Settings(bundle=tmp_path))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        assert (await client.get("/health/live")).json() == {"status": "live"}
        for answer in (await client.get("/health/ready"), await client.post("/recommend", json={"history": []})):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["content-type"] == "application/problem+json"


async def test_once_ready_the_service_describes_its_bundle(client: httpx.AsyncClient, bundle: Bundle) -> None:
    assert (await client.get("/health/ready")).json()["bundle_id"] == bundle.manifest.bundle_id
    served = (await client.get("/info")).json()
    assert served["num_items"] == len(bundle.catalogue)
    assert served["can_ingest"] is True
    assert served["encoders"] == dict(bundle.manifest.encoders)


async def test_half_precision_finds_nearly_the_same_items_and_is_reported(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    history = list(bundle.catalogue.item_ids[:3])
    exact = ids_of(await recommend(client, history=history, limit=10))
    async with running_service(bundle, dtype="bfloat16") as half:
        assert (await half.get("/info")).json()["dtype"] == "bfloat16"
        assert len(set(exact) & set(ids_of(await recommend(half, history=history, limit=10)))) >= 8
    assert (await client.get("/info")).json()["dtype"] == "float32"
