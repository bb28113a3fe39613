"""Dislikes from POST /feedback: items like a disliked one sink."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.serving_points import ServingPoint
from service.recommend.recommendations import cache_key
from service.recommend.rules import RulesOfMoment
from service.recommend.wanted import UserHistory, Wanted
from tests.running_service import running_service
from tests.tiny import tiny_bundle

STRENGTH = 2.0
HISTORY = ["item-1", "item-2"]
DISLIKED = "item-17"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return replace(load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")), dislike_strength=STRENGTH)


@pytest.fixture
async def shop(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    """Ann and Bob viewed the same; Ann dislikes an item."""
    # As wide as the catalogue: every item is in the list.
    async with running_service(bundle, num_beams=80) as client:
        viewed = [("ann", item_id, "view") for item_id in HISTORY] + [("bob", item_id, "view") for item_id in HISTORY]
        for number, (user_id, item_id, kind) in enumerate([*viewed, ("ann", DISLIKED, "dislike")]):
            event = {"event_id": str(number), "user_id": user_id, "item_id": item_id, "type": kind}
            assert (await client.post("/feedback", json={"events": [event]})).status_code == 200
        yield client


async def listed(client: httpx.AsyncClient, **request: Any) -> dict[str, dict[str, Any]]:
    answer = await client.post("/recommend", json={"limit": 80} | request)
    assert answer.status_code == 200, answer.text
    return {item["item_id"]: item for item in answer.json()["items"]}


async def similarities(client: httpx.AsyncClient) -> dict[str, float]:
    found = (await client.get(f"/items/{DISLIKED}/similar", params={"limit": 80})).json()["items"]
    return {of_item["item"]["item_id"]: of_item["similarity"] for of_item in found}


async def test_items_sink_as_far_as_they_are_similar_to_the_disliked_one(shop: httpx.AsyncClient) -> None:
    before = await listed(shop, user_id="bob", exclude_item_ids=[DISLIKED])
    after, alike = await listed(shop, user_id="ann"), await similarities(shop)
    assert set(after) == set(before)
    assert max(alike[item_id] for item_id in after) > 0.3
    for item_id, item in after.items():
        lowered = before[item_id]["score"] - STRENGTH * max(alike[item_id], 0.0)
        assert item["score"] == pytest.approx(lowered, abs=1e-4)
    nearest = max(after, key=lambda item_id: alike[item_id])
    assert after[nearest]["rank"] > before[nearest]["rank"]
    liked = {"event_id": "e", "user_id": "ann", "item_id": DISLIKED, "type": "like"}
    await shop.post("/feedback", json={"events": [liked]})
    assert await listed(shop, user_id="ann") == await listed(shop, history=[*HISTORY, DISLIKED])


async def test_a_posted_twin_of_a_disliked_item_sinks_at_once(shop: httpx.AsyncClient, bundle: Bundle) -> None:
    texts = bundle.items[bundle.catalogue.row_of(DISLIKED)].texts
    for item_id, title in (("twin", texts["title"]), ("other", "a thing without a name")):
        posted = await shop.post("/items", json={"item_id": item_id, **texts, "title": title})
        assert posted.status_code == 201, posted.text
    alike = await similarities(shop)
    before, after = await listed(shop, user_id="bob", exclude_item_ids=[DISLIKED]), await listed(shop, user_id="ann")
    for item_id in ("twin", "other"):
        lost = before[item_id]["score"] - after[item_id]["score"]
        assert lost == pytest.approx(STRENGTH * max(alike[item_id], 0.0), abs=1e-4)
    assert alike["twin"] > 0.3


async def test_an_item_with_new_content_sinks_by_it(shop: httpx.AsyncClient, bundle: Bundle) -> None:
    texts = bundle.items[bundle.catalogue.row_of(DISLIKED)].texts
    earlier = await similarities(shop)
    changed = min(set(earlier) - {*HISTORY}, key=lambda item_id: earlier[item_id])
    assert (await shop.put(f"/items/{changed}", json=dict(texts))).status_code == 200
    alike = await similarities(shop)
    assert alike[changed] > earlier[changed]
    before, after = await listed(shop, user_id="bob", exclude_item_ids=[DISLIKED]), await listed(shop, user_id="ann")
    lost = before[changed]["score"] - after[changed]["score"]
    assert lost == pytest.approx(STRENGTH * max(alike[changed], 0.0), abs=1e-4)


async def test_the_popular_list_of_a_user_with_dislikes_alone_is_lowered_too(shop: httpx.AsyncClient) -> None:
    event = {"event_id": "c", "user_id": "carl", "item_id": DISLIKED, "type": "dislike"}
    await shop.post("/feedback", json={"events": [event]})
    before, after, alike = await listed(shop, history=[]), await listed(shop, user_id="carl"), await similarities(shop)
    assert {item["source"] for item in after.values()} == {"popular"}
    assert set(before) - set(after) == {DISLIKED}
    for item_id, item in after.items():
        lowered = before[item_id]["score"] - STRENGTH * max(alike[item_id], 0.0)
        assert item["score"] == pytest.approx(lowered, abs=1e-5)


async def test_explanations_and_diversity_keep_the_lowered_scores(shop: httpx.AsyncClient) -> None:
    plain = await listed(shop, user_id="ann")
    explained = await listed(shop, user_id="ann", limit=8, explain=True)
    assert list(explained) == list(plain)[:8]
    assert {name: item["score"] for name, item in explained.items()} == pytest.approx(
        {name: plain[name]["score"] for name in explained}
    )
    bob = await listed(shop, user_id="bob", limit=80, exclude_item_ids=[DISLIKED], explain=True)
    for name, item in explained.items():
        effects = {reason["item_id"]: reason["effect"] for reason in item["explanation"]["because_of"]}
        of_bob = {reason["item_id"]: reason["effect"] for reason in bob[name]["explanation"]["because_of"]}
        assert effects == pytest.approx(of_bob, abs=1e-3), "a dislike lowers an item whatever is left out"
    diverse = await listed(shop, user_id="ann", limit=8, diversity=0.5)
    assert {name: item["score"] for name, item in diverse.items()} == pytest.approx(
        {name: plain[name]["score"] for name in diverse}
    )
    assert DISLIKED not in diverse


async def test_a_batch_answers_users_with_and_without_dislikes_as_alone(shop: httpx.AsyncClient) -> None:
    requests = [{"user_id": user_id, "limit": 12} for user_id in ("ann", "bob")]
    results = (await shop.post("/recommend/batch", json={"requests": requests})).json()["results"]
    for request, result in zip(requests, results, strict=True):
        alone = (await shop.post("/recommend", json=request)).json()["items"]
        assert [item["item_id"] for item in result["recommendation"]["items"]] == [item["item_id"] for item in alone]


def test_a_disliked_item_and_an_excluded_one_have_different_cache_keys() -> None:
    wanted = Wanted(history=UserHistory(("a",)), limit=3)
    keys = {
        cache_key("bundle", (1, 0), ServingPoint(1, 1), changed, 0.0, RulesOfMoment())
        for changed in (wanted, replace(wanted, exclude=("b",)), replace(wanted, disliked=("b",)))
    }
    assert len(keys) == 3
