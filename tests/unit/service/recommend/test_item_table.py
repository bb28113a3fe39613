"""The item table stays in step: items added, items changed, another bundle."""

from dataclasses import replace

import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import Item
from clairo_core.selection.item_filters import Exists, IsOneOf
from service.live_catalogue import LiveCatalogue
from service.recommend.item_table import CurrentItemTable, ItemTable, digest_of_rows
from service.served_items import ServedItems, posted_item
from tests.tiny import tiny_bundle

MUGS = IsOneOf("category", ("mug",))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=20))


@pytest.fixture
def live(bundle: Bundle) -> LiveCatalogue:
    return LiveCatalogue(bundle, bundle.recommender("cpu", num_views=1))


async def mugs(tables: CurrentItemTable) -> list[int]:
    return np.flatnonzero((await tables.current()).allowed_rows(MUGS)).tolist()


async def test_an_item_with_changed_attributes_passes_by_the_new_ones(live: LiveCatalogue) -> None:
    tables = CurrentItemTable(live)
    before = await mugs(tables)
    other = next(row for row in range(20) if row not in before)
    changed = replace(live.items[other].item, attributes={"category": "mug", "made in": "Delft"})
    live.swap(live.recommender, (), {other: live.with_content(other, changed, False)})
    assert await mugs(tables) == sorted([*before, other])
    made_in = (await tables.current()).allowed_rows(Exists("made in"))
    assert np.flatnonzero(made_in).tolist() == [other]


async def test_an_added_item_enters_with_its_attributes_and_embedding(live: LiveCatalogue, bundle: Bundle) -> None:
    tables = CurrentItemTable(live)
    before = await mugs(tables)
    assert bundle.item_embeddings is not None
    new = Item(item_id="new", attributes={"category": "mug"})
    twin = posted_item(new, False, ("image",), bundle.item_embeddings.item_embeddings[3])
    live.swap(live.recommender, [twin, posted_item(replace(new, item_id="blank"), False, ())])
    assert await mugs(tables) == [*before, 20, 21]
    table = await tables.current()
    assert table.vectors is not None
    rows, cosines = table.vectors.most_similar(20, 1, np.ones(22, dtype=np.bool_))
    assert rows.tolist() == [3]
    assert cosines[0] == pytest.approx(1.0, abs=1e-5)
    (similarity,) = table.modality_similarities(20, rows)
    assert similarity["image"] is None
    assert similarity["text"] == pytest.approx(1.0, abs=1e-3)


async def test_another_bundle_gets_another_table_and_the_old_one_stays_as_it_was(
    live: LiveCatalogue, bundle: Bundle
) -> None:
    tables = CurrentItemTable(live)
    old = await tables.current()
    live.become(LiveCatalogue(replace(bundle), live.recommender))
    live.swap(live.recommender, [posted_item(Item(item_id="new"), False, ())])
    new = await tables.current()
    assert new is not old
    assert (len(old.items), len(new.items)) == (20, 21)
    assert new.bundle is live.bundle
    assert len(old.allowed_rows(MUGS)) == 20


async def test_a_table_that_is_swapped_in_takes_over_items_that_came_during_the_swap(bundle: Bundle) -> None:
    recommender = bundle.recommender("cpu", num_views=1)
    served, candidate = LiveCatalogue(bundle, recommender), LiveCatalogue(replace(bundle), recommender)
    table, prepared = CurrentItemTable(served), CurrentItemTable(candidate)
    before = await mugs(table)

    def post(item_id: str) -> None:
        mug = posted_item(Item(item_id=item_id, attributes={"category": "mug"}), False, ())
        candidate.swap(recommender, [mug])

    post("before the warm-up")
    await prepared.current()
    post("during the swap")
    served.become(candidate)
    table.become(prepared)
    assert await mugs(table) == [*before, 20, 21]


def test_different_masks_have_different_digests() -> None:
    masks = [np.zeros(9, dtype=np.bool_), np.ones(9, dtype=np.bool_), np.arange(9) == 3]
    assert len({digest_of_rows(mask) for mask in masks}) == 3
    assert digest_of_rows(masks[2]) == digest_of_rows(np.arange(9) == 3)


def test_a_bundle_of_ready_made_codes_compares_codes(tmp_path_factory: pytest.TempPathFactory) -> None:
    codes = load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "codes", num_items=12, can_ingest=False))
    table = ItemTable(codes, ServedItems(codes))
    similarities = table.similarities(codes.catalogue, np.array([4, 7]))
    assert similarities.shape == (2, 2)
    assert similarities[0, 0] == 1
    shared = (codes.catalogue.feature_sets[4] == codes.catalogue.feature_sets[7]).mean()
    assert similarities[0, 1] == pytest.approx(shared)
    assert table.modality_similarities(4, np.array([7])) == [{}]
