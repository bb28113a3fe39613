"""`explain` in POST /recommend: explanations agree with leaving items out."""

import asyncio
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest
from service.recommend.explanations import ALIKE, LEAST_EFFECT
from tests.running_service import running_service

HISTORY = ["item-3", "item-8", "item-20", "item-3"]


async def explained(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json={"history": HISTORY, "limit": 6, "explain": True} | request)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_explaining_changes_nothing_but_the_explanation(client: httpx.AsyncClient) -> None:
    answer, plain = await explained(client), await explained(client, explain=False)
    assert [item | {"explanation": None} for item in answer["items"]] == plain["items"]
    assert all(item["explanation"]["text"] for item in answer["items"])
    assert (await explained(client))["items"] == answer["items"]


async def test_the_effect_of_an_item_is_the_drop_of_the_score_without_it(
    client: httpx.AsyncClient, bundle: Bundle
) -> None:
    recommender = bundle.recommender("cpu", num_views=2, num_beams=len(bundle.catalogue))

    def scores_of(item_ids: list[str]) -> dict[str, float]:
        # As wide as the catalogue, the search is exact: the slow twin of ranking the recommended items alone.
        request = RecommendationRequest(history=UserHistory(tuple(item_ids)), limit=60, include_seen=True)
        return {item.item_id: item.score for item in recommender.recommend_batch([request])[0].items}

    whole = scores_of(HISTORY)
    without = {left_out: scores_of([kept for kept in HISTORY if kept != left_out]) for left_out in set(HISTORY)}
    for item in (await explained(client))["items"]:
        lost = {left_out: whole[item["item_id"]] - scores[item["item_id"]] for left_out, scores in without.items()}
        effects = {reason["item_id"]: reason["effect"] for reason in item["explanation"]["because_of"]}
        assert effects == pytest.approx({left_out: lost[left_out] for left_out in effects}, abs=1e-3)
        assert list(effects.values()) == sorted(effects.values(), reverse=True)
        # Every item with a clear effect is named, and none without.
        assert {left_out for left_out, loss in lost.items() if loss > LEAST_EFFECT + 1e-3} <= set(effects)
        assert all(effect >= LEAST_EFFECT for effect in effects.values())


async def test_shared_attributes_and_codes_agree_with_the_catalogue(client: httpx.AsyncClient, bundle: Bundle) -> None:
    items = {item.item_id: item for item in bundle.items}
    names = bundle.vocabulary.category_names
    for recommended in (await explained(client, limit=20))["items"]:
        feature_set = bundle.catalogue.feature_sets[bundle.catalogue.row_of(recommended["item_id"])]
        for reason in recommended["explanation"]["because_of"]:
            ours, theirs = items[recommended["item_id"]].attributes, items[reason["item_id"]].attributes
            assert reason["shared_attributes"] == dict(set(ours.items()) & set(theirs.items()))
            assert reason["title"] == items[reason["item_id"]].title
            seen = bundle.catalogue.feature_sets[bundle.catalogue.row_of(reason["item_id"])]
            codes = {(feature["category"], feature["value"]) for feature in reason["shared_features"]}
            assert codes == {
                (name, value)
                for name, value, of_seen in zip(names, feature_set.tolist(), seen.tolist(), strict=True)
                if value == of_seen and name != "collision"
            }
            assert set(reason["modality_similarity"]) == {"text", "image"}


async def test_a_missing_value_is_not_a_shared_attribute(client: httpx.AsyncClient, bundle: Bundle) -> None:
    for item in bundle.items:
        put = {"title": item.title, "attributes": {"brand": "nan", "colour": "", "kind": "thing"}}
        assert (await client.put(f"/items/{item.item_id}", json=put)).status_code == 200
    answer = await explained(client, history=["item-0", "item-1"])
    reasons = [reason for item in answer["items"] for reason in item["explanation"]["because_of"]]
    assert reasons
    assert all(reason["shared_attributes"] == {"kind": "thing"} for reason in reasons)


async def test_what_shares_no_attribute_is_the_recommended_item(client: httpx.AsyncClient, bundle: Bundle) -> None:
    for item in bundle.items:
        put = {"title": f"thing {item.item_id}", "attributes": {"brand": item.item_id}}
        assert (await client.put(f"/items/{item.item_id}", json=put)).status_code == 200
    answer = await explained(client, limit=20)
    unlike = 0
    for explanation in (item["explanation"] for item in answer["items"] if item["explanation"]["because_of"]):
        strongest = explanation["because_of"][0]
        if all((cosine or 0) < ALIKE for cosine in strongest["modality_similarity"].values()):
            unlike += 1
            end = f"It shares no attribute with “{strongest['title']}”; people's histories link them."
            assert explanation["text"].endswith(end)
    assert unlike


async def test_the_only_item_of_a_history_is_named_without_an_effect(client: httpx.AsyncClient) -> None:
    for history in (["item-5"], ["item-5", "unheard of", "item-5"]):
        for item in (await explained(client, history=history))["items"]:
            (reason,) = item["explanation"]["because_of"]
            assert reason["item_id"] == "item-5"
            assert reason["effect"] is None
            assert "the only one in the history" in item["explanation"]["text"]


async def test_popular_items_are_explained_by_the_empty_history(client: httpx.AsyncClient) -> None:
    for item in (await explained(client, history=[]))["items"]:
        assert item["explanation"]["because_of"] == []
        assert "no history to go by" in item["explanation"]["text"]


async def test_explanations_work_with_all_other_options(client: httpx.AsyncClient) -> None:
    mugs = {"attribute": "category", "equals": "mug"}
    answer = await explained(client, filter=mugs, diversity=0.4, include_seen=True, seed=5, limit=4)
    assert len(answer["items"]) == 4
    assert all(item["explanation"]["text"] for item in answer["items"])


async def test_a_queue_too_short_for_an_explanation_is_overloaded(bundle: Bundle) -> None:
    async with running_service(bundle, max_queue_depth=1, max_batch_size=1) as client:
        answer = await client.post("/recommend", json={"history": HISTORY, "explain": True})
        assert answer.status_code in (200, 429)
        # Refused requests leave the queue.
        assert (await client.post("/recommend", json={"history": HISTORY})).status_code == 200


async def test_an_explanation_never_fills_the_queue_of_the_model(bundle: Bundle) -> None:
    history = [f"item-{number}" for number in range(12)]
    async with running_service(bundle, max_queue_depth=8, max_batch_size=4) as client:

        async def asked(number: int, **request: Any) -> int:
            body = {"history": history, "limit": 3, "seed": number} | request
            return (await client.post("/recommend", json=body)).status_code

        explaining = [asyncio.create_task(asked(number, explain=True)) for number in range(2)]
        while not all(task.done() for task in explaining):
            assert await asked(0, history=["item-1"]) == 200
        assert [task.result() for task in explaining] == [200, 200]
