"""The live catalogue: a page is of one moment, and pages of any size make up one list."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import Item
from clairo_core.recommender import Recommender
from service.live_catalogue import FEW_MATCHES, LiveCatalogue, PagePlace
from service.served_items import ServedItem, ServedItems, posted_item
from tests.tiny import tiny_bundle

TITLES = ("red teapot", "blue teapot", "teaopt of clay", "tea post", "umbrella, striped", "mug")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=20))


def recommender_of(num_rows: int, retired: tuple[int, ...] = ()) -> Recommender:
    """The part that a page reads."""
    is_retired = np.isin(np.arange(num_rows), retired)
    return cast(Recommender, SimpleNamespace(catalogue=SimpleNamespace(is_retired=is_retired, version=num_rows)))


def posted(number: int, title: str) -> ServedItem:
    return posted_item(Item(item_id=f"new-{number}", texts={"title": title}), False, ())


def live_with(bundle: Bundle, titles: list[str], retired: tuple[int, ...] = ()) -> LiveCatalogue:
    live = LiveCatalogue(bundle, recommender_of(20))
    new = [posted(number, title) for number, title in enumerate(titles)]
    live.swap(recommender_of(20 + len(new), retired), new)
    return live


def pages_of(live: LiveCatalogue, words: str, limit: int) -> Iterator[list[str]]:
    place: PagePlace | None = None
    while True:
        found, place = live.page(words, place, limit)
        yield [served.item.title for served in found]
        if place is None:
            return


def titles_of(live: LiveCatalogue, words: str) -> list[str]:
    return [title for page in pages_of(live, words, 100) for title in page]


def test_items_with_similar_words_follow_those_that_contain_them(bundle: Bundle) -> None:
    live = live_with(bundle, list(TITLES), retired=(21,))
    assert titles_of(live, "teaopt") == ["teaopt of clay", "red teapot"]
    assert titles_of(live, "Umbrela") == ["umbrella, striped"]
    assert titles_of(live, "clya teapot") == ["teaopt of clay"]
    assert titles_of(live, "teapot") == ["red teapot", "teaopt of clay"]


def test_many_matches_are_not_followed_by_similar_words(bundle: Bundle) -> None:
    live = live_with(bundle, [*TITLES, *["teapot"] * (FEW_MATCHES - 2)])
    assert titles_of(live, "teapot") == ["teapot"] * (FEW_MATCHES - 2) + ["blue teapot", "red teapot"]
    assert [title for page in pages_of(live, "teapot", 2) for title in page] == titles_of(live, "teapot")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(TITLES), max_size=9), st.sampled_from(["", "teapot", "taepot", "tea"]), st.data())
def test_pages_of_any_size_make_up_the_same_list(
    bundle: Bundle, titles: list[str], words: str, data: st.DataObject
) -> None:
    retired = data.draw(st.sets(st.integers(0, 19 + len(titles)), max_size=3))
    live = live_with(bundle, titles, tuple(retired))
    limit = data.draw(st.integers(1, 8))
    pages = list(pages_of(live, words, limit))
    assert [title for page in pages for title in page] == titles_of(live, words)
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)


def test_a_page_is_of_one_moment_whenever_another_bundle_is_swapped_in(bundle: Bundle) -> None:
    one, other = live_with(bundle, ["red teapot"] * 30), live_with(bundle, ["blue teapot"] * 3)
    live = LiveCatalogue(bundle, recommender_of(20))
    live.become(one)
    has_ended = threading.Event()

    def swap() -> None:
        while not has_ended.is_set():
            for candidate in (other, one):
                live.become(candidate)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        found = {tuple(titles_of(live, "teapot")) for _ in range(300)}
    finally:
        has_ended.set()
        swapping.join()
    assert found <= {("red teapot",) * 30, ("blue teapot",) * 3}


def test_versions_of_the_items_stay_as_they_were(bundle: Bundle) -> None:
    first = ServedItems(bundle)
    second = first.with_changes([posted(0, "a"), posted(1, "b")], {3: posted(3, "changed")})
    third = second.with_changes([], {3: second[3], 21: posted(1, "c")})
    assert [len(first), len(second), len(third)] == [20, 22, 22]
    assert [served.item.title for served in second[-2:]] == ["a", "b"]
    assert (second[3].item.title, third[21].item.title) == ("changed", "c")
    assert first[3] == ServedItem(bundle.items[3], bundle.has_picture(3), False, bundle.missing_modalities(3))
    assert list(first) == [first[row] for row in range(20)]
    assert list(third) == list(third[:]) == [third[row] for row in range(22)]
    assert [third.rows_changed_since(before) for before in (first, second, third)] == [[3], [21], []]


def test_another_bundle_counts_as_a_change_of_every_table(bundle: Bundle) -> None:
    live, other = live_with(bundle, ["a"]), live_with(replace(bundle), [])
    before = live.num_changes
    live.become(other)
    assert live.num_changes > max(before, other.num_changes)
