"""The figures of ids, by hand and by law."""

import base64
import io
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clairo_core.items import Item
from clairo_core.progress import silent
from clairo_core.quantizers import OpqQuantizer
from clairo_core.sequences import ItemSequences
from tests.tiny import tiny_items
from training.comparison.item_pictures import THUMBNAIL_SIDE, thumbnail
from training.ids.ids_figures import figures_of, mean_of
from training.ids.ids_page import page_of
from training.ids.ids_text import as_share, text_of
from training.ids.item_ids import Origin, default_names, unique_ids
from training.ids.item_pairs import num_pairs, pairs_within
from training.ids.make_ids import reconstruction_error

CODES = np.array([[0, 0], [0, 0], [0, 1], [2, 3]])
IDS = unique_ids(("mug", "cup", "jug", "hat"), CODES, default_names(2), (4, 4), Origin("by hand", 0.25))
HISTORIES = ItemSequences.from_lists([[0, 1], [1, 0, 2], [3], [3, 2]])
CONTENT = np.array([[3, 0], [1, 0], [0, 2], [0, 0]], dtype=np.float32)
FIGURES = figures_of(IDS, CONTENT, HISTORIES)


def test_collisions_and_use_of_each_level_are_counted() -> None:
    assert (FIGURES.num_items, FIGURES.num_distinct, FIGURES.num_sharing, FIGURES.largest_group) == (4, 3, 2, 2)
    first, second = FIGURES.levels
    assert (first.num_used, first.num_dead) == (2, 2)
    # Shares 3/4 and 1/4.
    assert first.perplexity == pytest.approx(4 / 3**0.75)
    # Shares 1/2, 1/4, 1/4: entropy is one and a half bits.
    assert second.perplexity == pytest.approx(2**1.5)


def test_pairs_with_the_same_code_are_compared_with_any_pair() -> None:
    together = FIGURES.any_pair.together
    assert together is not None
    # mug-cup, mug-jug, cup-jug and jug-hat of six pairs.
    assert (together.value, together.num_pairs) == (4 / 6, 6)
    same = FIGURES.levels[0].same_code.together
    assert same is not None
    assert (same.value, same.num_pairs) == (1.0, 3)


def test_pairs_are_apart_by_how_many_first_codes_they_share() -> None:
    assert [(depth.num_shared, depth.num_pairs) for depth in FIGURES.depths] == [(0, 3), (1, 2), (2, 1)]
    # The hat has no content: no pair at depth 0 can be compared. mug and jug, cup and jug are at right angles.
    contents = [depth.likeness.content for depth in FIGURES.depths]
    assert contents[0] is None
    assert [mean and mean.value for mean in contents[1:]] == [0.0, 1.0]


def test_a_mean_over_few_pairs_has_no_interval() -> None:
    few, enough = mean_of(np.arange(29) < 9), mean_of(np.arange(100) < 50)
    assert few is not None
    assert enough is not None
    assert few.half_interval is None
    assert as_share(few) == "31.0%"
    assert as_share(enough) == "50.0% ±9.8%"


def test_without_content_and_histories_only_use_is_known() -> None:
    figures = figures_of(IDS, None, ItemSequences.from_lists([[0]]))
    assert figures.any_pair.content is None
    assert figures.any_pair.behaviour is None
    assert figures.any_pair.together is None
    assert "-" in text_of(figures, "ids", "shop")
    assert "Nothing to compare" in page_of(IDS, figures, "shop", tiny_items(4), silent)


def test_the_text_names_collisions_loss_and_dead_codes() -> None:
    lines = text_of(FIGURES, "ids.parquet", "shop").splitlines()
    assert lines[:3] == [
        "ids.parquet on shop: 4 items",
        "3 different semantic ids; 2 items (50.0%) share theirs, 2 at most the same",
        "codes lose 25.0% of the item embeddings' variance",
    ]
    assert lines[5].split()[:4] == ["code_0", "4", "2", "2"]
    assert FIGURES.as_dict()["levels"][0]["num_dead"] == 2


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_every_pair_of_a_group_comes_once(groups: list[int]) -> None:
    first, second = pairs_within(np.array(groups), np.random.default_rng(0))
    slow = [{a, b} for a, b in combinations(range(len(groups)), 2) if groups[a] == groups[b]]
    found = [{a, b} for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, slow))
    assert num_pairs(np.array(groups)) == len(slow)


def test_sampled_pairs_are_uniform_over_pairs_not_over_groups() -> None:
    # One pair in the first group, six in the second.
    groups = np.array([1, 0, 1, 0, 1, 1])
    first, second = pairs_within(groups, np.random.default_rng(0), most=6)
    assert len(first) == 6
    drawn: Counter[frozenset[int]] = Counter()
    for seed in range(500):
        first, second = pairs_within(groups, np.random.default_rng(seed), most=6)
        drawn.update(map(frozenset, zip(first.tolist(), second.tolist(), strict=True)))
    assert len(drawn) == 7
    assert all(len(pair) == 2 for pair in drawn)
    assert all(abs(count / 3000 - 1 / 7) < 0.02 for count in drawn.values())


def test_codes_that_say_all_lose_nothing_and_one_code_loses_all() -> None:
    embeddings = np.array([[0.0], [4.0]])
    quantizer = OpqQuantizer(np.eye(1, dtype=np.float32), np.array([[[0.0], [4.0], [2.0]]], dtype=np.float32))
    assert reconstruction_error(quantizer, embeddings, np.array([[0], [1]])) == 0.0
    assert reconstruction_error(quantizer, embeddings, np.array([[2], [2]])) == 1.0


def test_the_page_shows_items_behind_codes_with_their_words_escaped() -> None:
    items = [*tiny_items(2), Item(item_id="jug", texts={"title": "Jug <b>"}), *tiny_items(1)]
    page = page_of(IDS, FIGURES, "a & b", items, silent)
    assert "Semantic ids of a &amp; b" in page
    assert "Jug &lt;b&gt;" in page
    # Of the items with code 0 at the first level, with code 0 at the second, and of the two that share an id.
    assert page.count("<img ") == 2 + 2 + 2
    assert page.count('class="none"') == 1
    assert "<script" not in page
    assert "http" not in page


def test_a_thumbnail_is_a_small_picture_of_an_item_that_has_one() -> None:
    small = thumbnail(Item(item_id="x", texts={}, picture=tiny_items(1)[0].picture))
    assert small is not None
    picture = Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2])))
    assert max(picture.size) <= THUMBNAIL_SIDE
    assert thumbnail(Item(item_id="x", texts={})) is None
    assert thumbnail(Item(item_id="x", texts={}, picture=b"damaged")) is None
