"""The demo shop: pictures, texts and purchases; half of a taste shows in the picture, half in the words."""

import doctest
import hashlib
import io
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clairo_core.errors import SettingsError
from training.demo_shop import phrases, shoppers, words, write_demo_shop
from training.demo_shop.motifs import MOTIF_DRAWINGS
from training.demo_shop.patterns import PATTERN_DRAWINGS
from training.demo_shop.pen import SIDE
from training.demo_shop.product_pictures import PALETTE_COLOURS, SILHOUETTES, paint_picture
from training.demo_shop.products import (
    KINDS,
    MAKES,
    MOTIFS,
    NUM_SHAPES,
    PALETTES,
    PATTERNS,
    THEMES,
    Product,
    invent_products,
)
from training.demo_shop.shoppers import Purchase, go_shopping
from training.demo_shop.words import write_words

Rows = list[dict[str, Any]]

SEEN_NOT_TOLD = {*PALETTES, *PATTERNS, *MOTIFS} | set(
    re.findall(
        r"\w+",
        """
        stripe striped dot dotted check checked checkered wave wavy scallop zigzagged pattern patterned
        leaves moons mountains cats stars flowers boats fishes motif colour coloured colourful palette
        red orange yellow green blue purple pink brown black white grey navy teal golden beige
        """,
    )
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def rows_of(path: Path) -> Rows:
    rows: Rows = pq.read_table(path).to_pylist()
    return rows


def pixels(png: bytes) -> bytes:
    return Image.open(io.BytesIO(png)).tobytes()


@pytest.fixture(scope="module")
def a_product() -> Product:
    return invent_products(1, rng())[0]


@pytest.fixture(scope="module")
def full_shop() -> tuple[list[Product], list[Purchase]]:
    products = invent_products(1000, rng(1))
    return products, go_shopping(products, 1500, rng(2))


@pytest.fixture(scope="module")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shops") / "new" / "demo"
    write_demo_shop(folder, num_items=40, num_users=30, seed=5)
    return folder


def test_the_description_names_the_tables_and_their_columns(small_shop: Path):
    description = tomllib.loads((small_shop / "dataset.toml").read_text(encoding="utf-8"))
    items, interactions = description["items"], description["interactions"]
    item_columns = set(pq.read_schema(small_shop / items["file"]).names)
    interaction_columns = set(pq.read_schema(small_shop / interactions["file"]).names)
    assert {items["item_id"], *items["texts"], items["picture"], *items["attributes"]} == item_columns
    assert {interactions[column] for column in ("user_id", "item_id", "timestamp")} == interaction_columns


def test_the_folder_holds_exactly_three_files(small_shop: Path):
    assert {path.name for path in small_shop.iterdir()} == {"dataset.toml", "interactions.parquet", "items.parquet"}


def test_every_item_has_a_unique_id_words_a_price_and_a_square_picture(small_shop: Path):
    items = rows_of(small_shop / "items.parquet")
    assert len(items) == len({item["item_id"] for item in items}) == 40
    for item in items:
        assert item["title"]
        assert len(item["description"]) > 80
        assert item["category"] in KINDS
        assert 0 < item["price"] < 200
        picture = Image.open(io.BytesIO(item["picture"]))
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (SIDE, SIDE))


def test_every_purchase_is_of_an_existing_item(small_shop: Path):
    item_ids = {item["item_id"] for item in rows_of(small_shop / "items.parquet")}
    interactions = rows_of(small_shop / "interactions.parquet")
    assert {row["item_id"] for row in interactions} <= item_ids
    assert len({row["user_id"] for row in interactions}) == 30


def test_the_seed_determines_the_shop(small_shop: Path, tmp_path: Path):
    def contents(folder: Path) -> tuple[Rows, Rows]:
        items = [{**item, "picture": pixels(item["picture"])} for item in rows_of(folder / "items.parquet")]
        return items, rows_of(folder / "interactions.parquet")

    write_demo_shop(tmp_path / "again", num_items=40, num_users=30, seed=5)
    write_demo_shop(tmp_path / "other", num_items=40, num_users=30, seed=6)
    assert contents(tmp_path / "again") == contents(small_shop)
    items, interactions = contents(tmp_path / "other")
    assert items != contents(small_shop)[0]
    assert interactions != contents(small_shop)[1]


def test_words_and_purchases_are_the_same_on_every_machine(small_shop: Path):
    items = [{**item, "picture": None} for item in rows_of(small_shop / "items.parquet")]
    tables = repr((items, rows_of(small_shop / "interactions.parquet")))
    assert (
        hashlib.sha256(tables.encode()).hexdigest()
        == "cd4bd74eb8770391725b807c7bb2c3554b272a5ebf18ad331cf146717e26952e"
    )


def test_progress_has_a_step_per_picture(tmp_path: Path):
    reports: list[tuple[str, int | None, int]] = []

    def count_steps(steps: Iterable[Product], label: str, total: int | None = None) -> Iterable[Product]:
        listed = list(steps)
        reports.append((label, total, len(listed)))
        return listed

    write_demo_shop(tmp_path, num_items=3, num_users=1, progress=count_steps)
    assert reports == [("drawing pictures", 3, 3)]


@pytest.mark.parametrize(("num_items", "num_users"), [(0, 5), (5, 0), (-1, -1)])
def test_a_shop_without_items_or_users_is_refused(tmp_path: Path, num_items: int, num_users: int):
    with pytest.raises(SettingsError, match=f"{num_items} items and {num_users} users"):
        write_demo_shop(tmp_path / "none", num_items=num_items, num_users=num_users)
    assert not (tmp_path / "none").exists()


def test_a_shop_of_one_item_sells_it_once_to_every_user(tmp_path: Path):
    write_demo_shop(tmp_path, num_items=1, num_users=4)
    assert len(rows_of(tmp_path / "interactions.parquet")) == 4


def test_every_kind_palette_pattern_and_motif_can_be_drawn():
    assert set(SILHOUETTES) == set(KINDS) == set(shoppers.NEXT_KINDS)
    assert set(PALETTE_COLOURS) == set(PALETTES)
    assert set(PATTERN_DRAWINGS) == set(PATTERNS)
    assert set(MOTIF_DRAWINGS) == set(MOTIFS)


def test_every_kind_theme_and_make_has_words():
    assert set(phrases.KIND_NOUNS) == set(phrases.KIND_DETAILS) == set(KINDS)
    assert set(phrases.THEME_SERIES) == set(phrases.THEME_OPENERS) == set(phrases.THEME_CLOSERS) == set(THEMES)
    assert set(phrases.MAKE_PHRASES) == set(MAKES)


def test_no_two_looks_have_the_same_picture(a_product: Product):
    looks = (
        [replace(a_product, kind=kind, shape=shape) for kind in KINDS for shape in range(NUM_SHAPES)]
        + [replace(a_product, kind="poster", palette=palette, pattern="dots") for palette in PALETTES]
        + [replace(a_product, kind="cushion", pattern=pattern) for pattern in PATTERNS]
        + [replace(a_product, kind="lamp", motif=motif) for motif in MOTIFS]
    )
    pictures_of = {look: paint_picture(look).tobytes() for look in looks}
    assert len(set(pictures_of.values())) == len(pictures_of)


def test_the_picture_is_independent_of_theme_make_brand_and_price(a_product: Product):
    retold = replace(a_product, theme="music", make="recycled", brand="Side B", price_cents=1)
    assert paint_picture(retold).tobytes() == paint_picture(a_product).tobytes()


def test_the_words_are_independent_of_the_look(a_product: Product):
    redrawn = replace(a_product, palette="plum", pattern="zigzag", motif="cat", shape=2, scene=1, tint=5)
    assert write_words(redrawn, rng()) == write_words(a_product, rng())


def test_no_word_names_a_colour_a_pattern_or_a_motif():
    for product in invent_products(600, rng(3)):
        told = set(re.findall(r"[a-z]+", " ".join(write_words(product, rng(4))).lower()))
        assert not told & SEEN_NOT_TOLD


def test_words_state_kind_and_theme_in_full_sentences():
    for seed, product in enumerate(invent_products(600, rng(3))):
        title, description = write_words(product, rng(seed))
        nouns = phrases.KIND_NOUNS[product.kind]
        assert any(noun.removeprefix("pair of ") in title.lower() for noun in nouns)
        assert any(title.startswith(series) for series in phrases.THEME_SERIES[product.theme])
        assert "{" not in description
        assert re.search(r"\ba (?=[aeio]|um)", description, re.IGNORECASE) is None
        assert all(sentence[0].isupper() or sentence[0].isdigit() for sentence in re.split(r"(?<=\.) ", description))


def test_attributes_are_evenly_spread_and_independent(full_shop):
    products, _ = full_shop
    palettes = Counter(product.palette for product in products)
    assert max(palettes.values()) - min(palettes.values()) <= 1
    pairs = Counter((product.palette, product.theme) for product in products)
    assert len(pairs) == len(PALETTES) * len(THEMES)


def histories_of(purchases: list[Purchase]) -> list[list[Purchase]]:
    histories: dict[str, list[Purchase]] = {}
    for purchase in purchases:
        histories.setdefault(purchase.user_id, []).append(purchase)
    return list(histories.values())


def test_histories_are_short_ordered_in_time_and_without_repeats(full_shop):
    histories = histories_of(full_shop[1])
    lengths = [len(history) for history in histories]
    assert (min(lengths), max(lengths)) == (3, 12)
    assert 5.5 < np.mean(lengths) < 7
    for history in histories:
        assert len({purchase.item_id for purchase in history}) == len(history)
        moments = [purchase.timestamp for purchase in history]
        assert moments == sorted(set(moments))


def test_popularity_has_a_head_and_a_long_tail(full_shop):
    products, purchases = full_shop
    counts = sorted(Counter(purchase.item_id for purchase in purchases).values(), reverse=True)
    assert 0.2 < sum(counts[:100]) / sum(counts) < 0.4
    assert len(counts) > 0.95 * len(products)


def test_the_next_purchase_shares_palette_and_theme_with_the_last_far_beyond_chance(full_shop):
    products, purchases = full_shop
    product_of = {product.item_id: product for product in products}
    pairs = [
        (product_of[last.item_id], product_of[following.item_id])
        for history in histories_of(purchases)
        for last, following in pairwise(history)
    ]
    for attribute in ("palette", "theme"):
        assert np.mean([getattr(a, attribute) == getattr(b, attribute) for a, b in pairs]) > 0.4
    assert np.mean([b.kind in shoppers.NEXT_KINDS[a.kind] for a, b in pairs]) > 0.35


def test_looks_and_words_together_predict_the_next_purchase_better_than_either(full_shop):
    """Rank by how often a shopper bought the same attribute values; the last purchase is held out."""
    products, purchases = full_shop
    row_of = {product.item_id: row for row, product in enumerate(products)}
    histories = [[row_of[purchase.item_id] for purchase in history] for history in histories_of(purchases)]
    popularity = np.bincount([row for history in histories for row in history[:-1]], minlength=len(products))

    def agreement(attribute: str) -> np.ndarray:
        values = np.array([getattr(product, attribute) for product in products])
        return (values[:, None] == values[None, :]).astype(np.float32)

    def recall_at_10(similarity: np.ndarray) -> float:
        hits = 0
        for *history, target in histories:
            score = similarity[history].mean(axis=0) + 0.1 * np.log1p(popularity)
            score[history] = -np.inf
            hits += int(target in np.argsort(-score, kind="stable")[:10])
        return hits / len(histories)

    looks = agreement("palette") + 0.3 * agreement("pattern")
    told = agreement("theme") + 0.3 * agreement("make")
    by_popularity = recall_at_10(np.zeros_like(looks))
    by_both = recall_at_10(looks + told)
    assert by_both > 1.3 * max(recall_at_10(looks), recall_at_10(told))
    assert by_both > 8 * by_popularity


def test_examples_in_docstrings_hold():
    results = doctest.testmod(words)
    assert results.attempted > 0
    assert results.failed == 0
