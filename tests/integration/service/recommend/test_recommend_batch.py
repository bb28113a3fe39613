"""POST /recommend/batch: one result or problem per request, in order, without overloading the service."""

import asyncio
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from tests.running_service import running_service


async def results_of(client: httpx.AsyncClient, requests: list[Any]) -> list[dict[str, Any]]:
    answer = await client.post("/recommend/batch", json={"requests": requests})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]  # type: ignore[no-any-return]


async def test_every_request_gets_the_same_answer_as_alone_in_order(client: httpx.AsyncClient) -> None:
    requests: list[dict[str, Any]] = [
        {"history": [f"item-{n}"], "limit": 2 + n % 3, "diversity": 0.5 * (n % 2)} for n in range(9)
    ]
    results = await results_of(client, requests)
    for request, result in zip(requests, results, strict=True):
        alone = (await client.post("/recommend", json=request)).json()
        assert result["problem"] is None
        assert result["recommendation"]["items"] == alone["items"]
    assert len({result["recommendation"]["recommendation_id"] for result in results}) == 9


async def test_a_failing_request_gets_its_own_problem_and_the_others_are_answered(client: httpx.AsyncClient) -> None:
    good = {"history": ["item-1"], "limit": 3}
    wrong = {"history": [], "filter": {"attribute": "price", "range": {"gte": "5"}}}
    results = await results_of(client, [good, {"history": [], "limit": 0}, wrong, {}, good])
    assert [result["problem"] is None for result in results] == [True, False, False, False, True]
    assert results[0]["recommendation"]["items"] == results[4]["recommendation"]["items"]
    limit, bound, nothing = (results[place]["problem"] for place in (1, 2, 3))
    assert limit["status"] == 422
    assert limit["type"] == "urn:clairo:problem:invalid-fields"
    assert limit["errors"][0]["loc"] == ["limit"]
    assert limit["instance"] == "/recommend/batch#/requests/1"
    assert bound["errors"][0]["loc"] == ["filter", "range", "gte"]
    assert nothing["errors"][0]["loc"] == []
    assert all(result["recommendation"] is None for result in results[1:4])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"requests": []},
        {"requests": [{"history": []}] * 101},
        {"requests": "all"},
        {"requests": ["all"]},
        {"requests": [[]]},
        {"requests": [{"history": []}], "limit": 3},
    ],
)
async def test_a_malformed_batch_is_refused_as_a_whole(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/recommend/batch", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_strange_requests_never_affect_the_others(client: httpx.AsyncClient) -> None:
    strange = rb'{"history": ["\ud800"]}, {"\udfff": 1}, {"history": [], "filter": %s}'
    body = b'{"requests": [{"history": [], "limit": 1}, ' + strange + b"]}"
    deep = b'{"not": ' * 400 + b'{"only_new": true}' + b"}" * 400
    answer = await client.post("/recommend/batch", content=body % deep, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert [result["problem"] is None for result in answer.json()["results"]][0::3] == [True, False]


async def test_a_batch_without_any_answer_is_overloaded_as_a_whole(bundle: Bundle) -> None:
    async with running_service(bundle, max_queue_depth=1, max_batch_size=1) as client:
        many = [{"history": [f"item-{n}"]} for n in range(12)]
        whole = await asyncio.gather(*(client.post("/recommend/batch", json={"requests": many[:1]}) for _ in range(20)))
        in_part = await results_of(client, many)
    assert {answer.status_code for answer in whole} <= {200, 429}
    problems = [result["problem"] for result in in_part if result["problem"]]
    assert problems
    assert {problem["status"] for problem in problems} == {429}
    assert any(result["recommendation"] for result in in_part)
