"""A repeated POST /recommend is answered from bytes exactly as long as it would be computed the same."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from clairo_core.bundle.load_bundle import load_bundle
from service.placements.combine import Placement
from service.recommend.repeated_answers import MAX_BODY_BYTES, RepeatedAnswers
from service.routes.recommend import is_repeatable
from service.schemas.placements import PlacementBody
from service.schemas.recommend import RecommendBody
from tests.blocking_service import BlockingService, blocking_service
from tests.tiny import tiny_bundle

ID = "0" * 32
OF_BODY = {"history": ["item-3", "item-8"], "limit": 5, "fields": ["title", "attributes", "picture_url"]}
MUG = {"item_id": "new-mug", "title": "blue mug 9", "attributes": {"category": "mug"}}


def answers_of(version_of: Any, **bounds: float) -> RepeatedAnswers:
    return RepeatedAnswers(version_of, **({"max_entries": 9, "max_bytes": 10**6, "ttl_seconds": 60.0} | bounds))  # type: ignore[arg-type]


async def keep(answers: RepeatedAnswers, body: bytes, items: bytes, since: int) -> None:
    answer = b'{"recommendation_id":"%s","items":"%s"}' % (ID.encode(), items)
    await answers.keep(body, answer, ID, since, sources=(), num_new=0, fallback_reason=None, placement=None)


@given(st.lists(st.tuples(st.sampled_from(["change", "ask", "ask slowly"]), st.sampled_from([b"a", b"b"]))))
def test_an_answer_is_found_only_under_the_version_it_was_computed_for(steps: list[tuple[str, bytes]]) -> None:
    async def run() -> None:
        version = 0
        answers = answers_of(lambda: version)
        for step, body in steps:
            if step == "change":
                version += 1
                continue
            found = await answers.find(body)
            if found is not None:
                assert json.loads(found)["items"] == f"{body.decode()} of {version}"
                continue
            since, items = version, b"%s of %d" % (body, version)
            # While a slow answer is computed, the state changes.
            version += step == "ask slowly"
            await keep(answers, body, items, since)
            assert (await answers.find(body) is None) == (step == "ask slowly")

    asyncio.run(run())


async def test_each_answer_has_an_id_of_its_own_and_long_bodies_are_not_kept() -> None:
    answers, long = answers_of(lambda: 0), b"x" * (MAX_BODY_BYTES + 1)
    for body in (b"short", long):
        await keep(answers, body, b"1", since=0)
    ids = {json.loads(await answers.find(b"short") or b"")["recommendation_id"] for _ in range(3)}
    assert len(ids) == 3
    assert ID not in ids
    assert await answers.find(long) is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    tiny_bundle(folder / "first", num_items=40)
    tiny_bundle(folder / "second", num_items=40, seed=1)
    return folder


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[BlockingService]:
    with blocking_service(load_bundle(folder / "first"), bundles_dir=folder, live_counts_seconds=0.01) as shop:
        yield shop


HITS = ("clairo_cache_requests_total", {"result": "hit"})
CALLS = ("clairo_request_duration_seconds_count", {"route": "/recommend", "status": "200"})


def counted(shop: BlockingService, name: str, labels: dict[str, str]) -> float:
    families = text_string_to_metric_families(shop.send("GET", "/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def without_id(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "recommendation_id"}


def test_every_write_reaches_the_next_answer_to_the_same_body(shop: BlockingService, folder: Path) -> None:
    second = next(
        bundle["bundle_id"] for bundle in shop.send("GET", "/bundles").json()["bundles"] if bundle["name"] == "second"
    )

    def answer() -> dict[str, Any]:
        first, repeated = (shop.recommend(**OF_BODY) for _ in range(2))
        assert first["recommendation_id"] != repeated["recommendation_id"]
        assert without_id(first) == without_id(repeated)
        # As text of its own it is another body, which is computed.
        assert without_id(first) == without_id(shop.recommend(**OF_BODY, include_seen=False))
        return first

    def ids(answered: dict[str, Any]) -> list[str]:
        return [item["item_id"] for item in answered["items"]]

    before = answer()
    best = ids(before)[0]
    # What is shown of an item.
    shop.send("PATCH", f"/items/{best}", {"title": "renamed"})
    assert answer()["items"][0]["title"] == "renamed"
    # What may be recommended.
    shop.send("DELETE", f"/items/{best}")
    assert best not in ids(answer())
    version = answer()["catalogue_version"]
    assert shop.send("POST", "/items", MUG).status_code == 201
    assert answer()["catalogue_version"] > version
    # Rules of a placement, set and deleted.
    shop.send("PUT", "/placements/default", {"pin": [{"item_id": "new-mug", "rank": 1}]})
    assert ids(answer())[0] == "new-mug"
    shop.send("DELETE", "/placements/default")
    assert not answer()["items"][0]["rules"]
    # Another bundle.
    assert shop.send("POST", f"/bundles/{second}/activate?allow_worse=true").status_code == 200
    assert answer()["bundle_id"] == second


def test_a_declared_type_refuses_a_body_that_was_answered(shop: BlockingService) -> None:
    body = {"history": [], "filter": {"attribute": "shade", "equals": "blue"}}
    assert [shop.send("POST", "/recommend", body).status_code for _ in range(2)] == [200, 200]
    declared = shop.send("PUT", "/schema", {"attributes": {"shade": {"type": "number"}}})
    assert declared.status_code == 200, declared.text
    assert shop.send("POST", "/recommend", body).status_code == 422


@pytest.mark.parametrize(
    ("sent", "strangers", "explores", "is_kept"),
    [
        ({"history": ["a"]}, None, False, True),
        ({"history": ["a"]}, "popular", False, True),
        ({"history": ["a"], "seed": 1}, None, True, True),
        ({"history": ["a"]}, None, True, False),
        ({"user_id": "u"}, None, False, False),
        ({"history": ["a"], "session_id": "s"}, None, False, False),
        ({"history": []}, "trending", False, False),
    ],
)
def test_what_depends_on_a_user_chance_or_time_is_not_kept(
    sent: dict[str, Any], strangers: str | None, explores: bool, is_kept: bool
) -> None:
    placement = None if strangers is None else Placement("home", PlacementBody(strangers=strangers))  # type: ignore[arg-type]
    assert is_repeatable(RecommendBody.model_validate(sent), placement, explores=explores) == is_kept


def test_a_repeated_body_counts_as_a_hit_and_under_its_route(shop: BlockingService) -> None:
    shop.recommend(history=["item-5"])
    before = [counted(shop, *name) for name in (HITS, CALLS)]
    shop.recommend(history=["item-5"])
    assert [counted(shop, *name) for name in (HITS, CALLS)] == [before[0] + 1, before[1] + 1]


def test_a_packed_or_untyped_body_is_treated_as_ever(shop: BlockingService) -> None:
    body = json.dumps({"history": ["item-7"]}).encode()

    def send(content: bytes, **headers: str) -> httpx.Response:
        return shop.send_bytes("POST", "/recommend", content, headers)

    plain = {"Content-Type": "application/json"}
    assert send(body, **plain).status_code == 200
    assert send(body, **{"Content-Type": "text/xml"}).status_code == 415
    assert send(body).status_code == 415
    packed = send(gzip.compress(body), **plain, **{"Content-Encoding": "gzip"})
    assert without_id(packed.json()) == without_id(send(body, **plain).json())
    assert send(body, **plain, **{"Content-Encoding": "gzip"}).status_code == 400
