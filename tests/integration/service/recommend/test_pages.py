"""Pages of POST /recommend: cursors that never repeat an item, and fit one request alone."""

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.bundle.bundle import Bundle
from service.errors import InvalidBodyError
from service.routes.page_cursor import MAX_LISTED_ITEMS, EarlierPages, _digests, earlier_pages, page_cursor
from service.schemas.recommend import RecommendBody
from tests.blocking_service import BlockingService, blocking_service

HISTORY = ["item-3", "item-8"]
ALL_IDS = [f"item-{row}" for row in range(60)]


@pytest.fixture(scope="module")
def shop(bundle: Bundle) -> Iterator[BlockingService]:
    with blocking_service(bundle) as shop:
        yield shop


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_pages_never_repeat_an_item_and_list_all_of_them(bundle: Bundle) -> None:
    with blocking_service(bundle, exploration_temperature=0.5) as shop:

        @given(
            history=st.lists(st.sampled_from(ALL_IDS), max_size=3),
            limit=st.integers(8, 25),
            diversity=st.sampled_from([0.0, 0.6]),
            include_seen=st.booleans(),
        )
        @settings(max_examples=8, deadline=None)
        def check(history: list[str], limit: int, diversity: float, include_seen: bool) -> None:
            asked = {"history": history, "limit": limit, "diversity": diversity, "include_seen": include_seen}
            pages = shop.pages(**asked)
            listed = [name for page in pages for name in ids_of(page)]
            assert sorted(listed) == sorted(set(ALL_IDS) - (set() if include_seen else set(history)))
            assert len({page["seed"] for page in pages}) == 1

        check()


def test_ranks_count_on_over_pages(shop: BlockingService) -> None:
    first = shop.recommend(history=HISTORY, limit=10)
    second = shop.recommend(history=HISTORY, limit=20, cursor=first["next_cursor"])
    assert ids_of(first) == ids_of(shop.recommend(history=HISTORY, limit=10))
    assert [item["rank"] for item in second["items"]] == list(range(11, 31))
    assert not set(ids_of(first)) & set(ids_of(second))


def test_items_posted_and_retired_between_two_pages_repeat_and_skip_none(bundle: Bundle) -> None:
    with blocking_service(bundle) as shop:
        check_pages_of_a_growing_catalogue(shop)


def check_pages_of_a_growing_catalogue(shop: BlockingService) -> None:
    first = shop.recommend(history=HISTORY, limit=10)
    for number in range(5):
        shop.send("POST", "/items", {"item_id": f"new-{number}", "title": "Blue mug"})
    shop.send("DELETE", f"/items/{ids_of(first)[0]}")
    listed = ids_of(first)
    page = first
    while page["next_cursor"] is not None:
        page = shop.recommend(history=HISTORY, limit=10, cursor=page["next_cursor"])
        listed += ids_of(page)
    assert sorted(listed) == sorted({*ALL_IDS, *(f"new-{number}" for number in range(5))} - set(HISTORY))


def test_candidates_with_a_limit_come_back_on_pages(shop: BlockingService) -> None:
    candidates = ["unheard of", *ALL_IDS[:25]]
    pages = shop.pages(history=HISTORY, candidates=candidates, limit=10)
    assert [len(page["items"]) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in ids_of(page)] == ids_of(
        shop.recommend(history=HISTORY, candidates=candidates)
    )
    assert all(page["unknown_item_ids"] == ["unheard of"] for page in pages)


def test_a_cursor_of_another_request_is_refused_by_the_fields_that_differ(shop: BlockingService) -> None:
    cursor = shop.recommend(history=HISTORY, limit=5)["next_cursor"]
    answer = shop.send("POST", "/recommend", {"history": ["item-1"], "diversity": 0.5, "cursor": cursor})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["loc"] == ["body", "cursor"]
    assert error["msg"].startswith("of a request with other diversity, history; send the fields of the first page")


def test_limit_fields_and_explain_may_differ_from_the_first_page(shop: BlockingService) -> None:
    cursor = shop.recommend(history=HISTORY, limit=5)["next_cursor"]
    page = shop.recommend(history=HISTORY, limit=2, fields=["title"], explain=True, cursor=cursor)
    assert [item["rank"] for item in page["items"]] == [6, 7]


def test_a_cursor_with_half_a_surrogate_pair_is_refused(shop: BlockingService) -> None:
    content = json.dumps([0, _digests(RecommendBody(history=["item-1"])), ["\ud800"]])
    cursor = base64.urlsafe_b64encode(zlib.compress(content.encode())).decode().rstrip("=")
    answer = shop.send("POST", "/recommend", {"history": ["item-1"], "limit": 5, "cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "cursor"])


def test_a_batch_takes_cursors_too(shop: BlockingService) -> None:
    cursor = shop.recommend(history=HISTORY, limit=5)["next_cursor"]
    requests = [{"history": HISTORY, "limit": 5, "cursor": cursor}, {"history": [], "cursor": "x"}]
    page, refused = shop.send("POST", "/recommend/batch", {"requests": requests}).json()["results"]
    assert page["recommendation"]["items"][0]["rank"] == 6
    assert "not a next_cursor of POST /recommend" in refused["problem"]["detail"]


BODY = RecommendBody(history=["a"])


@given(seed=st.integers(0, 2**31 - 1), item_ids=st.lists(st.text(min_size=1, max_size=20), max_size=30))
def test_reading_a_cursor_returns_what_it_was_made_of(seed: int, item_ids: list[str]) -> None:
    made = page_cursor(BODY, EarlierPages(seed, tuple(item_ids)))
    assert earlier_pages(RecommendBody(history=["a"], cursor=made)) == EarlierPages(seed, tuple(item_ids))


def test_pages_end_after_a_thousand_items() -> None:
    item_ids = tuple(f"item-{place}" for place in range(MAX_LISTED_ITEMS))
    assert page_cursor(BODY, EarlierPages(0, item_ids)) is None
    assert page_cursor(BODY, EarlierPages(0, item_ids[1:])) is not None


@given(
    st.one_of(
        st.text(max_size=50),
        st.binary(max_size=50).map(lambda sent: base64.urlsafe_b64encode(sent).decode()),
        st.sampled_from(["[]", "[0, {}, [1]]", "[-1, {}, []]", "[true, {}, []]", "{}", "[0, {}]", "[" * 5000]).map(
            lambda text: base64.urlsafe_b64encode(zlib.compress(text.encode())).decode()
        ),
        st.just(base64.urlsafe_b64encode(zlib.compress(b"0" * 20_000_000)).decode()),
    )
)
@settings(deadline=None)
def test_any_other_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidBodyError, match="not a next_cursor of POST /recommend"):
        earlier_pages(RecommendBody(history=["a"], cursor=cursor))
