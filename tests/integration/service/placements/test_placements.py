"""Placements: saved, read, tried and deleted, and what they do to POST /recommend."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clairo_core.bundle.bundle import Bundle
from service.app import open_parts
from service.keys.api_key import Scope
from service.keys.authentication import required_scope
from service.recommend.recommendations import Recommendations
from service.recommend.wanted import Strangers, UserHistory, Wanted
from service.settings import Settings
from tests.blocking_service import BlockingService, blocking_service
from tests.running_service import running_service

HISTORY = ["item-3", "item-8"]
MUGS = {"attribute": "category", "equals": "mug"}
LAMPS = {"attribute": "category", "equals": "lamp"}


@pytest.fixture
def shop(bundle: Bundle) -> Iterator[BlockingService]:
    with blocking_service(bundle) as shop:
        yield shop


def put(shop: BlockingService, name: str, **rules: Any) -> dict[str, Any]:
    answer = shop.send("PUT", f"/placements/{name}", rules)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def categories_of(answer: dict[str, Any]) -> set[str]:
    return {item["attributes"]["category"] for item in answer["items"]}


def test_a_saved_placement_applies_to_requests_that_name_it(shop: BlockingService) -> None:
    put(shop, "home", filter=MUGS, fields=["attributes"], limit=4)
    answer = shop.recommend(history=HISTORY, placement="home")
    assert len(answer["items"]) == 4
    assert categories_of(answer) == {"mug"}
    assert len(shop.recommend(history=HISTORY)["items"]) == 10


def test_the_default_applies_where_no_placement_is_named(shop: BlockingService) -> None:
    put(shop, "default", filter={"not": MUGS}, fields=["attributes"])
    put(shop, "mugs", filter=MUGS, fields=["attributes"])
    assert "mug" not in categories_of(shop.recommend(history=HISTORY, limit=50))
    assert categories_of(shop.recommend(history=HISTORY, placement="mugs")) == {"mug"}
    (result,) = shop.send("POST", "/recommend/batch", {"requests": [{"history": []}]}).json()["results"]
    assert "mug" not in categories_of(result["recommendation"])
    shop.send("DELETE", "/placements/default")
    assert categories_of(shop.recommend(history=HISTORY, limit=50, fields=["attributes"])) >= {"mug"}


def test_each_put_is_a_version_and_old_ones_stay_readable(shop: BlockingService) -> None:
    assert put(shop, "home", limit=3)["version"] == 1
    second = put(shop, "home", limit=4, boost=[{"filter": MUGS, "factor": 2}])
    assert shop.send("GET", "/placements/home").json() == second
    assert shop.send("GET", "/placements/home?version=1").json()["rules"] == {"limit": 3}
    assert second["rules"] == {"limit": 4, "boost": [{"filter": MUGS, "factor": 2.0}]}
    put(shop, "cart")
    assert [saved["name"] for saved in shop.send("GET", "/placements").json()["placements"]] == ["cart", "home"]
    assert shop.send("DELETE", "/placements/home").status_code == 204
    for path in ("/placements/home", "/placements/home?version=3", "/placements/home?version=9"):
        answer = shop.send("GET", path)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:clairo:problem:unknown-placement")
    assert shop.send("GET", "/placements/home?version=2").json() == second
    assert shop.send("DELETE", "/placements/home").status_code == 404
    assert put(shop, "home")["version"] == 4


def test_a_placement_that_is_not_saved_is_refused_by_name(shop: BlockingService) -> None:
    answer = shop.send("POST", "/recommend", {"history": [], "placement": "nowhere"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"loc": ["body", "placement"], "msg": "placement nowhere is not saved; PUT /placements/nowhere first"}
    ]


@pytest.mark.parametrize("name", ["Home", "home page", "-home", "a" * 64, "h%C3%B6me"])
def test_a_name_that_is_no_label_is_refused(shop: BlockingService, name: str) -> None:
    assert shop.send("PUT", f"/placements/{name}", {}).status_code == 422


def test_a_preview_shows_before_and_after_and_saves_nothing(shop: BlockingService) -> None:
    put(shop, "home", filter=MUGS, fields=["attributes"])
    draft = {"filter": LAMPS, "fields": ["attributes"], "limit": 2}
    answer = shop.send("POST", "/placements/home/preview", {"rules": draft, "request": {"history": HISTORY}}).json()
    assert categories_of(answer["before"]) == {"mug"}
    assert categories_of(answer["after"]) == {"lamp"}
    assert len(answer["after"]["items"]) == 2
    assert answer["before"]["next_cursor"] is answer["after"]["next_cursor"] is None
    assert shop.send("GET", "/placements/home").json()["version"] == 1
    unsaved = shop.send("POST", "/placements/new/preview", {"rules": {"limit": 1}, "request": {"history": HISTORY}})
    assert [len(unsaved.json()[when]["items"]) for when in ("before", "after")] == [10, 1]
    assert shop.send("GET", "/placements/new").status_code == 404
    refused = shop.send("POST", "/placements/home/preview", {"rules": {}, "request": {"history": [], "placement": "x"}})
    assert refused.status_code == 422


def test_rules_of_a_placement_are_named_after_it(shop: BlockingService) -> None:
    put(shop, "home", boost=[{"filter": MUGS, "factor": 100}], pin=[{"item_id": "item-20", "rank": 2}])
    items = shop.recommend(history=HISTORY, placement="home", fields=["attributes"])["items"]
    assert "home.pin-1" in items[1]["rules"]
    assert items[0]["rules"] == ["home.boost-1"]


def test_metrics_count_saved_placements_and_no_previews(shop: BlockingService) -> None:
    put(shop, "home", filter={"attribute": "category", "equals": "nothing"})
    for _ in range(2):
        shop.recommend(history=HISTORY, placement="home")
    shop.recommend(history=HISTORY)
    before = counts_of_answers(shop)
    shop.send("POST", "/placements/home/preview", {"rules": {}, "request": {"history": HISTORY}})
    counts = counts_of_answers(shop)
    assert counts == before
    assert counts["clairo_placement_duration_seconds_count", "home"] == 2
    assert counts["clairo_placement_fallback_total", "home", "filter_exhausted"] == 2
    assert {labels[1] for labels in counts if "placement" in labels[0]} == {"home"}


def counts_of_answers(shop: BlockingService) -> dict[tuple[str, ...], float]:
    of_answers = ("clairo_placement", "clairo_recommended", "clairo_fallback", "clairo_cache")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(shop.send("GET", "/metrics").text)
        for sample in family.samples
        if sample.name.startswith(of_answers) and sample.name.endswith(("_count", "_total"))
    }


def test_strangers_of_a_placement_get_popular_items_where_nothing_is_trending(shop: BlockingService) -> None:
    put(shop, "home", strangers="trending")
    answer = shop.recommend(history=[], placement="home")
    popular = shop.recommend(history=[])
    for of_item in ("item_id", "source"):
        assert [item[of_item] for item in answer["items"]] == [item[of_item] for item in popular["items"]]


def test_a_placement_keeps_what_is_out_of_stock_or_archived_out(shop: BlockingService) -> None:
    for_sale = [{"attribute": "stock", "range": {"gt": 0}}, {"not": {"attribute": "archived", "equals": True}}]
    put(shop, "default", filter={"all_of": for_sale}, group={"attribute": "brand", "limit": 3})
    for item_id, attributes in {
        "sold-out": {"stock": 0, "archived": False},
        "archived": {"stock": 5, "archived": True},
        "for-sale": {"stock": 5, "archived": False},
    }.items():
        shop.send("POST", "/items", {"item_id": item_id, "title": "Mug", "attributes": attributes})
    assert [item["item_id"] for item in shop.recommend(history=HISTORY)["items"]] == ["for-sale"]


class CountedLatest:
    """Counts two items as latest, one of them unknown, and nothing as trending."""

    async def weights(self, strangers: Strangers) -> dict[str, float]:
        return {"item-59": 7.0, "item-7": 9.0, "not in the catalogue": 8.0} if strangers == "latest" else {}


async def test_strangers_are_ranked_by_the_weights_that_a_service_counts(bundle: Bundle) -> None:
    async with open_parts(Settings(bundle=bundle.folder, database_url="sqlite:///:memory:"), bundle) as parts:
        served = parts.served
        counting = Recommendations(
            served.live,
            served.recommendations._batcher,
            served.recommendations._cache,
            deadline_seconds=10.0,
            stranger_weights=CountedLatest(),
        )
        wanted = Wanted(history=UserHistory(()), limit=3, strangers="latest", explain=True)
        latest = await counting.recommend(wanted)
        best_popular = (await served.recommendations.recommend(replace(wanted, strangers="popular"))).answer.items[0]
        assert [(item.item_id, item.source) for item in latest.answer.items] == [
            ("item-7", "latest"),
            ("item-59", "latest"),
            (best_popular.item_id, "popular"),
        ]
        assert latest.explanations[0].text == "One of the latest products: there is no history to go by."
        popular = await served.recommendations.recommend(wanted)
        assert popular.answer.items[0].source == "popular"


def test_reading_a_placement_needs_read_and_changing_or_trying_it_write() -> None:
    scopes = {
        (method, path): required_scope(method, path)
        for method, path in [
            ("GET", "/placements"),
            ("GET", "/placements/home"),
            ("PUT", "/placements/home"),
            ("DELETE", "/placements/home"),
            ("POST", "/placements/home/preview"),
        ]
    }
    assert [*scopes.values()] == [Scope.READ, Scope.READ, Scope.WRITE, Scope.WRITE, Scope.WRITE]


async def test_a_placement_saved_by_one_process_soon_applies_in_another_and_survives_a_restart(
    bundle: Bundle, tmp_path: Path
) -> None:
    database_url = f"sqlite:///{tmp_path / 'clairo.db'}"
    asked = {"history": HISTORY, "placement": "home"}
    async with (
        running_service(bundle, database_url=database_url) as first,
        running_service(bundle, database_url=database_url) as second,
    ):
        (await first.put("/placements/home", json={"limit": 3})).raise_for_status()
        async with asyncio.timeout(10):
            while (answer := await second.post("/recommend", json=asked)).status_code == 422:
                await asyncio.sleep(0.05)
        assert len(answer.json()["items"]) == 3
    async with running_service(bundle, database_url=database_url) as again:
        assert len((await again.post("/recommend", json=asked)).json()["items"]) == 3
