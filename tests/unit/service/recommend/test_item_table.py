"""The table that filters and similarity read stays in step: items added, items changed, another bundle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import Item
from clairo_core.selection.item_filters import Exists, IsOneOf
from service.recommend.item_table import ItemTable, ItemTables, digest_of_rows
from service.serving import ServedItem, Serving, posted_item
from tests.tiny import tiny_bundle

MUGS = IsOneOf("category", ("mug",))


@dataclass
class FakeServing:
    """What a table reads of `Serving`."""

    bundle: Bundle
    items: Sequence[ServedItem]
    num_changes: int = 0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=20))


@pytest.fixture
def serving(bundle: Bundle) -> FakeServing:
    return FakeServing(bundle, [posted_item(item, False, ()) for item in bundle.items])


def tables_of(serving: FakeServing) -> ItemTables:
    return ItemTables(cast(Serving, serving))


async def mugs(tables: ItemTables) -> list[int]:
    return np.flatnonzero((await tables.current()).allowed_rows(MUGS)).tolist()


async def test_an_item_whose_attributes_change_passes_by_the_new_ones(serving: FakeServing) -> None:
    tables = tables_of(serving)
    before = await mugs(tables)
    other = next(row for row in range(20) if row not in before)
    changed = replace(serving.items[other].item, attributes={"category": "mug", "made in": "Delft"})
    serving.items = [*serving.items]
    serving.items[other] = replace(serving.items[other], item=changed)
    assert await mugs(tables) == before
    serving.num_changes += 1
    assert await mugs(tables) == sorted([*before, other])
    made_in = (await tables.current()).allowed_rows(Exists("made in"))
    assert np.flatnonzero(made_in).tolist() == [other]


async def test_an_item_that_is_added_is_there_with_what_is_known_of_it(serving: FakeServing, bundle: Bundle) -> None:
    tables = tables_of(serving)
    before = await mugs(tables)
    assert bundle.item_embeddings is not None
    new = Item(item_id="new", attributes={"category": "mug"})
    twin = posted_item(new, False, ("image",), bundle.item_embeddings.item_embeddings[3])
    serving.items = [*serving.items, twin, posted_item(replace(new, item_id="blank"), False, ())]
    serving.num_changes += 1
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
    serving: FakeServing, bundle: Bundle
) -> None:
    tables = tables_of(serving)
    old = await tables.current()
    serving.bundle, serving.items = replace(bundle), serving.items[:5]
    new = await tables.current()
    assert new is not old
    assert (len(old.items), len(new.items)) == (20, 5)
    assert new.bundle is serving.bundle
    assert len(old.allowed_rows(MUGS)) == 20


def test_a_digest_tells_masks_apart() -> None:
    masks = [np.zeros(9, dtype=np.bool_), np.ones(9, dtype=np.bool_), np.arange(9) == 3]
    assert len({digest_of_rows(mask) for mask in masks}) == 3
    assert digest_of_rows(masks[2]) == digest_of_rows(np.arange(9) == 3)


def test_a_bundle_of_ready_made_codes_compares_codes(tmp_path_factory: pytest.TempPathFactory) -> None:
    codes = load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "codes", num_items=12, can_ingest=False))
    table = ItemTable(codes, [posted_item(item, False, ()) for item in codes.items])
    similarities = table.similarities(codes.catalogue, np.array([4, 7]))
    assert similarities.shape == (2, 2)
    assert similarities[0, 0] == 1
    shared = (codes.catalogue.feature_sets[4] == codes.catalogue.feature_sets[7]).mean()
    assert similarities[0, 1] == pytest.approx(shared)
    assert table.modality_similarities(4, np.array([7])) == [{}]
