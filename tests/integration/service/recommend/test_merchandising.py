"""Candidates, fields, boosts, groups and pins of POST /recommend."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.bundle.bundle import Bundle
from tests.blocking_service import BlockingService, blocking_service

HISTORY = ["item-3", "item-8"]
ALL_IDS = [f"item-{row}" for row in range(60)]


@pytest.fixture(scope="module")
def shop(bundle: Bundle) -> Iterator[BlockingService]:
    with blocking_service(bundle) as shop:
        yield shop


@pytest.fixture(scope="module")
def category_of(bundle: Bundle) -> dict[str, str]:
    return {item.item_id: item.attributes["category"] for item in bundle.items}


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def is_category(name: str) -> dict[str, str]:
    return {"attribute": "category", "equals": name}


@given(
    candidates=st.lists(st.sampled_from([*ALL_IDS, "unheard of", "nowhere"]), max_size=30),
    history=st.lists(st.sampled_from(ALL_IDS), max_size=4),
    diversity=st.sampled_from([0.0, 0.4]),
)
@settings(max_examples=10, deadline=None)
def test_candidates_come_back_complete_and_once(
    shop: BlockingService, candidates: list[str], history: list[str], diversity: float
) -> None:
    answer = shop.recommend(history=history, candidates=candidates, diversity=diversity)
    known = set(candidates) & set(ALL_IDS)
    assert sorted(ids_of(answer)) == sorted(known)
    assert set(answer["unknown_item_ids"]) == set(candidates) - known
    assert answer["next_cursor"] is None
    assert [item["rank"] for item in answer["items"]] == list(range(1, len(known) + 1))


def test_candidates_are_ranked_as_the_whole_catalogue_is(shop: BlockingService) -> None:
    everything = shop.recommend(history=HISTORY, limit=100)
    ranked = ids_of(shop.recommend(history=HISTORY, candidates=sorted(ids_of(everything))))
    assert ranked == ids_of(everything)


def test_disliked_retired_and_seen_candidates(shop: BlockingService) -> None:
    events = [
        {"user_id": "ann", "item_id": item_id, "type": kind, "timestamp": place}
        for place, (item_id, kind) in enumerate([("item-1", "click"), ("item-2", "dislike"), ("item-9", "purchase")], 1)
    ]
    assert shop.send("POST", "/feedback", {"events": events}).status_code == 200
    assert shop.send("POST", "/items", {"item_id": "withdrawn", "title": "Red mug"}).status_code == 201
    assert shop.send("DELETE", "/items/withdrawn").status_code == 204
    answer = shop.recommend(user_id="ann", candidates=["item-1", "item-2", "item-9", "withdrawn"])
    assert set(ids_of(answer)) == {"item-1", "item-2", "item-9"}
    assert answer["unknown_item_ids"] == ["withdrawn"]


@pytest.mark.parametrize(
    "beside",
    [
        {"filter": is_category("mug")},
        {"group": {"attribute": "category", "limit": 1}},
        {"exclude_item_ids": ["item-1"]},
    ],
)
def test_what_leaves_candidates_out_is_refused_beside_them(shop: BlockingService, beside: dict[str, Any]) -> None:
    answer = shop.send("POST", "/recommend", {"history": HISTORY, "candidates": ["item-1"], **beside})
    assert answer.status_code == 422
    assert f"candidates come back complete, got {next(iter(beside))} beside them" in answer.text


def test_items_have_the_fields_that_were_asked_for(shop: BlockingService, bundle: Bundle) -> None:
    items = shop.recommend(history=HISTORY, fields=["title", "attributes", "picture_url"])["items"]
    for item in items:
        listed = shop.send("GET", f"/items/{item['item_id']}").json()
        assert {name: item[name] for name in ("title", "attributes", "picture_url")} == {
            name: listed[name] for name in ("title", "attributes", "picture_url")
        }
    (first, *_) = shop.recommend(history=HISTORY, fields=["title"])["items"]
    assert first["title"] == items[0]["title"]
    assert first["attributes"] is first["picture_url"] is None
    assert shop.recommend(history=HISTORY)["items"][0]["title"] is None


def test_fields_follow_a_change_of_the_item_at_once(shop: BlockingService) -> None:
    shop.send("POST", "/items", {"item_id": "priced", "title": "Blue mug", "attributes": {"price": "9.00"}})
    asked = {"history": HISTORY, "candidates": ["priced"], "fields": ["attributes"]}
    assert shop.recommend(**asked)["items"][0]["attributes"] == {"price": "9.00"}
    shop.send("PUT", "/items/priced", {"title": "Blue mug", "attributes": {"price": "7.00"}})
    assert shop.recommend(**asked)["items"][0]["attributes"] == {"price": "7.00"}


@pytest.mark.parametrize(("kind", "sign"), [("boost", 1), ("bury", -1)])
@pytest.mark.parametrize("history", [HISTORY, []])
def test_a_boost_adds_the_logarithm_of_its_factor_to_scores(
    shop: BlockingService, category_of: dict[str, str], kind: str, sign: int, history: list[str]
) -> None:
    plain = {item["item_id"]: item["score"] for item in shop.recommend(history=history, limit=100)["items"]}
    rule = {"name": "mugs-first", "filter": is_category("mug"), "factor": 8}
    answer = shop.recommend(history=history, limit=100, **{kind: [rule]})
    for item in answer["items"]:
        is_moved = category_of.get(item["item_id"]) == "mug"
        assert item["rules"] == (["mugs-first"] if is_moved else [])
        assert item["score"] == pytest.approx(plain[item["item_id"]] + sign * is_moved * math.log(8), abs=1e-5)
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_boosts_of_one_item_add_up_and_change_a_cached_answer(shop: BlockingService) -> None:
    double = {"filter": is_category("lamp"), "factor": 2}
    once, twice = (shop.recommend(history=HISTORY, limit=100, boost=[double] * times) for times in (1, 2))
    score_once = {item["item_id"]: item["score"] for item in once["items"]}
    moved = [item for item in twice["items"] if item["rules"]]
    assert moved
    for item in moved:
        assert item["rules"] == ["boost-1", "boost-2"]
        assert item["score"] == pytest.approx(score_once[item["item_id"]] + math.log(2), abs=1e-5)


def test_a_boost_of_an_attribute_that_no_item_has_moves_none_and_warns(shop: BlockingService) -> None:
    answer = shop.recommend(history=HISTORY, boost=[{"filter": {"attribute": "colour", "exists": True}, "factor": 9}])
    assert answer["items"] == shop.recommend(history=HISTORY)["items"]
    assert answer["warnings"] == ["no item has an attribute 'colour': the condition matches no item"]


def test_an_explanation_names_the_rules_that_moved_an_item(shop: BlockingService) -> None:
    rule = {"name": "lamps", "filter": is_category("lamp"), "factor": 100}
    answer = shop.recommend(history=HISTORY, boost=[rule], pin=[{"item_id": "item-0", "rank": 1}], explain=True)
    assert answer["items"][0]["rules"] == ["lamps", "pin-1"]
    assert answer["items"][0]["explanation"]["text"].endswith("Moved by lamps, pin-1.")
    assert answer["items"][0]["explanation"]["because_of"]


@given(
    history=st.lists(st.sampled_from(ALL_IDS), max_size=3),
    limit=st.integers(4, 30),
    group_limit=st.integers(1, 4),
    diversity=st.sampled_from([0.0, 0.5]),
    factor=st.sampled_from([1, 50]),
)
@settings(max_examples=10, deadline=None)
def test_a_group_holds_on_every_page_and_loses_no_item(
    shop: BlockingService,
    category_of: dict[str, str],
    history: list[str],
    limit: int,
    group_limit: int,
    diversity: float,
    factor: int,
) -> None:
    pages = shop.pages(
        history=history,
        limit=limit,
        group={"attribute": "category", "limit": group_limit},
        boost=[{"filter": is_category("mug"), "factor": factor}],
        diversity=diversity,
        filter={"attribute": "category", "exists": True},
    )
    for page in pages:
        assert all(count <= group_limit for count in Counter(category_of[name] for name in ids_of(page)).values())
        if len(page["items"]) < limit:
            assert page["fallback_reason"] in ("group_exhausted", "filter_exhausted")
    listed = [name for page in pages for name in ids_of(page)]
    assert sorted(listed) == sorted(set(ALL_IDS) - set(history))


def test_each_value_of_a_list_is_a_group(shop: BlockingService) -> None:
    for item_id, sizes in {"shirt-sm": ["S", "M"], "shirt-m": ["M"], "shirt-l": ["L"]}.items():
        shop.send("POST", "/items", {"item_id": item_id, "title": "Shirt", "attributes": {"sizes": sizes}})
    pages = shop.pages(
        history=HISTORY,
        filter={"attribute": "sizes", "exists": True},
        group={"attribute": "sizes", "limit": 1},
        fields=["attributes"],
    )
    assert len(pages) == 2
    for page in pages:
        sizes = [size for item in page["items"] for size in item["attributes"]["sizes"]]
        assert len(sizes) == len(set(sizes))
    for item_id in ("shirt-sm", "shirt-m", "shirt-l"):
        shop.send("DELETE", f"/items/{item_id}")


@given(
    history=st.lists(st.sampled_from(ALL_IDS), max_size=3),
    limit=st.integers(5, 12),
    pins=st.dictionaries(st.sampled_from(ALL_IDS), st.integers(1, 25), max_size=5),
    diversity=st.sampled_from([0.0, 0.5]),
)
@settings(max_examples=10, deadline=None)
def test_pins_stand_where_they_are_pinned(
    shop: BlockingService, history: list[str], limit: int, pins: dict[str, int], diversity: float
) -> None:
    distinct = {rank: item_id for item_id, rank in pins.items()}
    pin = [{"item_id": item_id, "rank": rank} for rank, item_id in distinct.items()]
    pages = shop.pages(history=history, limit=limit, pin=pin, diversity=diversity)
    listed = [item for page in pages for item in page["items"]]
    assert [item["rank"] for item in listed] == list(range(1, len(listed) + 1))
    for place, (rank, item_id) in enumerate(distinct.items(), 1):
        if item_id in history:
            assert any(f"pin-{place} is passed by" in warning for warning in pages[0]["warnings"])
        else:
            assert (listed[rank - 1]["item_id"], listed[rank - 1]["rules"]) == (item_id, [f"pin-{place}"])


@pytest.mark.parametrize(
    ("request_fields", "reason"),
    [
        ({"pin": [{"item_id": "gone", "rank": 1}]}, "is retired or not in the catalogue"),
        ({"pin": [{"item_id": "item-3", "rank": 1}]}, "is excluded, disliked, or seen by this user"),
        ({"pin": [{"item_id": "item-5", "rank": 1}], "exclude_item_ids": ["item-5"]}, "is excluded, disliked"),
        ({"pin": [{"item_id": "item-0", "rank": 1}], "filter": is_category("mug")}, "does not pass the filter"),
        ({"pin": [{"item_id": "item-5", "rank": 1}], "candidates": ["item-6"]}, "is not among the candidates"),
    ],
)
def test_a_pin_that_may_not_be_recommended_is_passed_by(
    shop: BlockingService, request_fields: dict[str, Any], reason: str
) -> None:
    answer = shop.recommend(history=HISTORY, **request_fields)
    (pin,) = request_fields["pin"]
    assert pin["item_id"] not in ids_of(answer)
    assert f"pin-1 is passed by: item {pin['item_id']!r} {reason}" in answer["warnings"][0]


def test_two_pins_of_one_rank_are_refused(shop: BlockingService) -> None:
    pins = [{"item_id": "item-1", "rank": 2}, {"item_id": "item-2", "rank": 2}]
    answer = shop.send("POST", "/recommend", {"history": [], "pin": pins})
    assert answer.status_code == 422
    assert "several pins have rank 2; pin each item and each rank once" in answer.text
