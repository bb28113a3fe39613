import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.catalogue import Catalogue, build_catalogue, load_catalogue
from clairo_core.errors import CatalogueError, DuplicateItemError, FeatureSetError, UnknownItemError
from clairo_core.storage.growing_rows import GrowingRows
from clairo_core.storage.row_index import RowIndex
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, tiny_vocabulary

SIZES = (8, 8, 4)
# Tokens: 2..9 are the first category's values, 10..17 the second's, 18..21 the third's.
TOKENIZER = Tokenizer(tiny_vocabulary(SIZES, merges=[(2, 10), (18, 22), (3, 11)]))


def catalogue_of(num_items: int) -> Catalogue:
    return build_catalogue(
        [f"item-{row}" for row in range(num_items)], random_feature_sets(num_items, SIZES), TOKENIZER
    )


def test_an_item_has_its_features_as_tokens_and_its_canonical_tokens():
    catalogue = build_catalogue(["a", "b"], np.array([[0, 0, 0], [1, 1, 3]]), TOKENIZER)
    assert catalogue.feature_tokens.tolist() == [[2, 10, 18], [3, 11, 21]]
    assert [sorted(catalogue.canonical[row].tolist()) for row in range(2)] == [[23], [21, 24]]
    assert TOKENIZER.decode(catalogue.canonical[0].tolist()) is not None


def test_rows_are_found_by_id_and_unknown_ids_are_named():
    catalogue = catalogue_of(20)
    assert catalogue.row_of("item-7") == 7
    assert "item-7" in catalogue
    assert "item-70" not in catalogue
    assert 7 not in catalogue
    with pytest.raises(UnknownItemError, match="'item-70' is not in version 1"):
        catalogue.row_of("item-70")


def test_adding_an_item_gives_a_new_version_and_leaves_the_old_one():
    catalogue = catalogue_of(20)
    feature_set = tuple(random_feature_sets(21, SIZES)[20].tolist())
    later = catalogue.with_item("new", feature_set, TOKENIZER)
    assert (catalogue.version, len(catalogue), "new" in catalogue) == (1, 20, False)
    assert (later.version, len(later), later.row_of("new")) == (2, 21, 20)
    assert feature_set not in catalogue.taken
    assert feature_set in later.taken


def test_a_grown_catalogue_equals_one_built_at_once():
    sets = random_feature_sets(30, SIZES)
    grown = build_catalogue([str(row) for row in range(10)], sets[:10], TOKENIZER)
    for row in range(10, 30):
        grown = grown.with_item(str(row), sets[row].tolist(), TOKENIZER)
    whole = build_catalogue([str(row) for row in range(30)], sets, TOKENIZER)
    assert grown.item_ids == whole.item_ids
    np.testing.assert_array_equal(grown.feature_sets, whole.feature_sets)
    np.testing.assert_array_equal(grown.feature_tokens, whole.feature_tokens)
    np.testing.assert_array_equal(grown.canonical.ids, whole.canonical.ids)
    np.testing.assert_array_equal(grown.canonical.lengths, whole.canonical.lengths)


def test_two_versions_grown_from_the_same_one_are_independent():
    catalogue, sets = catalogue_of(10), random_feature_sets(12, SIZES)
    one = catalogue.with_item("one", sets[10].tolist(), TOKENIZER)
    other = catalogue.with_item("other", sets[11].tolist(), TOKENIZER)
    assert (one.find_row("one"), one.find_row("other")) == (10, None)
    assert (other.find_row("one"), other.find_row("other")) == (None, 10)


def test_a_retired_item_cannot_be_recommended_but_keeps_its_row_and_feature_set():
    catalogue = catalogue_of(10)
    later = catalogue.without_item("item-3")
    assert "item-3" in catalogue
    assert "item-3" not in later
    assert (later.version, later.num_live, len(later), later.row_of("item-3")) == (2, 9, 10, 3)
    assert tuple(catalogue.feature_sets[3].tolist()) in later.taken
    with pytest.raises(DuplicateItemError, match="was retired from the catalogue"):
        later.with_item("item-3", (7, 7, 3), TOKENIZER)
    with pytest.raises(UnknownItemError):
        catalogue.without_item("nobody")


def test_a_repeated_id_or_feature_set_is_refused():
    catalogue = catalogue_of(10)
    with pytest.raises(DuplicateItemError, match="'item-4' is in the catalogue"):
        catalogue.with_item("item-4", (7, 7, 3), TOKENIZER)
    with pytest.raises(DuplicateItemError, match="of item 'item-4'"):
        catalogue.with_item("new", tuple(catalogue.feature_sets[4].tolist()), TOKENIZER)
    with pytest.raises(DuplicateItemError, match="'b' in row 1 and a later row have the same id"):
        build_catalogue(["a", "b", "c", "b"], random_feature_sets(4, SIZES), TOKENIZER)
    with pytest.raises(DuplicateItemError, match="'a' in row 0 and a later row have the same feature set"):
        build_catalogue(["a", "b"], np.array([[0, 0, 0], [0, 0, 0]]), TOKENIZER)


def test_features_outside_the_vocabulary_are_refused():
    with pytest.raises(FeatureSetError):
        catalogue_of(3).with_item("new", (8, 0, 0), TOKENIZER)
    with pytest.raises(CatalogueError, match="2 item ids and 3 feature sets"):
        build_catalogue(["a", "b"], random_feature_sets(3, SIZES), TOKENIZER)


def test_a_loaded_catalogue_equals_the_saved_one(tmp_path):
    saved = catalogue_of(12).without_item("item-2")
    saved.save(tmp_path)
    loaded = load_catalogue(tmp_path, TOKENIZER.vocabulary)
    assert (loaded.version, loaded.item_ids) == (saved.version, saved.item_ids)
    np.testing.assert_array_equal(loaded.feature_sets, saved.feature_sets)
    np.testing.assert_array_equal(loaded.canonical.ids, saved.canonical.ids)
    np.testing.assert_array_equal(loaded.is_retired, saved.is_retired)
    assert loaded.row_of("item-11") == 11
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("name", ["item_ids.json", "catalogue.npz"])
def test_a_damaged_catalogue_is_refused_by_name(tmp_path, name):
    catalogue_of(12).save(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CatalogueError, match="copy the bundle again"):
        load_catalogue(tmp_path, TOKENIZER.vocabulary)
    path.unlink()
    with pytest.raises(CatalogueError, match="copy the bundle again"):
        load_catalogue(tmp_path, TOKENIZER.vocabulary)


def test_adding_items_at_once_equals_adding_them_one_by_one():
    sets = random_feature_sets(30, SIZES).tolist()
    start = build_catalogue([str(row) for row in range(10)], sets[:10], TOKENIZER)
    one_by_one = start
    for row in range(10, 30):
        one_by_one = one_by_one.with_item(str(row), sets[row], TOKENIZER)
    at_once = start.with_items([str(row) for row in range(10, 30)], sets[10:], TOKENIZER)
    assert (at_once.version, at_once.item_ids) == (one_by_one.version, one_by_one.item_ids)
    for mine, theirs in (
        (at_once.feature_sets, one_by_one.feature_sets),
        (at_once.feature_tokens, one_by_one.feature_tokens),
        (at_once.canonical.ids, one_by_one.canonical.ids),
        (at_once.canonical.lengths, one_by_one.canonical.lengths),
        (at_once.is_retired, one_by_one.is_retired),
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert at_once.row_of("29") == 29
    assert tuple(sets[29]) in at_once.taken
    assert start.with_items([], [], TOKENIZER).item_ids == start.item_ids


def test_repeats_among_items_added_at_once_are_refused():
    catalogue, free = catalogue_of(20), random_feature_sets(22, SIZES)[20:].tolist()
    with pytest.raises(DuplicateItemError, match="have the same id"):
        catalogue.with_items(["new", "new"], free, TOKENIZER)
    with pytest.raises(DuplicateItemError, match="have the same feature set"):
        catalogue.with_items(["new", "newer"], [free[0], free[0]], TOKENIZER)
    with pytest.raises(DuplicateItemError, match="is in the catalogue"):
        catalogue.with_items(["new", "item-3"], free, TOKENIZER)
    assert catalogue.with_items(["new", "newer"], free, TOKENIZER).row_of("newer") == 21


def test_two_versions_grown_by_many_items_are_independent():
    catalogue, free = catalogue_of(20), random_feature_sets(23, SIZES)[20:].tolist()
    one, other = (catalogue.with_item(name, free[place], TOKENIZER) for place, name in enumerate(("one", "other")))
    later = one.with_item("later", free[2], TOKENIZER)
    assert [version.feature_sets[20].tolist() for version in (one, other, later)] == [free[0], free[1], free[0]]
    assert later.feature_sets[21].tolist() == free[2]
    assert "other" not in later
    assert len(catalogue.feature_sets) == 20


@given(
    st.sampled_from([GrowingRows, GrowingRows.without_copy]),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100)), max_size=30),
)
@settings(deadline=None)
def test_versions_of_growing_rows_agree_with_plain_copies(new, steps):
    versions = [(new(np.arange(3, dtype=np.int32)), list(range(3)))]
    for number, (chosen, num_added) in enumerate(steps):
        growing, expected = versions[chosen % len(versions)]
        added = np.arange(1000 * number, 1000 * number + num_added, dtype=np.int32)
        versions.append((growing.with_rows(added), expected + added.tolist()))
    for growing, expected in versions:
        assert growing.rows.tolist() == expected


def test_rows_of_a_file_are_copied_when_a_version_first_grows():
    of_file = np.arange(3, dtype=np.int32)
    rows = GrowingRows.without_copy(of_file)
    longer = rows.with_rows(np.array([3], dtype=np.int32))
    assert np.shares_memory(rows.rows, of_file)
    assert not np.shares_memory(longer.rows, of_file)
    assert np.shares_memory(longer.rows, longer.with_rows(np.array([4], dtype=np.int32)).rows)


def test_an_empty_catalogue_can_grow():
    catalogue = build_catalogue([], np.zeros((0, 3), dtype=np.int32), TOKENIZER)
    assert catalogue.with_item("first", (1, 2, 3), TOKENIZER).row_of("first") == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
@settings(deadline=None)
def test_versions_of_an_index_agree_with_plain_dictionaries(steps):
    versions = [(RowIndex[str](), {})]
    for number, (chosen, probe) in enumerate(steps):
        index, expected = versions[chosen % len(versions)]
        key = f"key-{probe % 10}-{number}"
        versions.append((index.with_keys([key]), expected | {key: len(expected)}))
    keys = {key for _, expected in versions for key in expected}
    for index, expected in versions:
        assert len(index) == len(expected)
        assert {key: index.get(key) for key in keys if key in index} == expected


def test_items_described_again_equal_a_catalogue_built_with_their_new_sets():
    sets = random_feature_sets(21, SIZES)
    before = build_catalogue([f"item-{row}" for row in range(20)], sets[:20], TOKENIZER)
    # Rows 3 and 7 exchange theirs, row 5 gets a free one.
    changed = sets[:20].copy()
    changed[[3, 7, 5]] = sets[[7, 3, 20]]
    after = before.with_feature_sets([3, 7, 5], changed[[3, 7, 5]].tolist(), TOKENIZER)
    whole = build_catalogue(before.item_ids, changed, TOKENIZER)
    np.testing.assert_array_equal(after.feature_sets, whole.feature_sets)
    np.testing.assert_array_equal(after.feature_tokens, whole.feature_tokens)
    np.testing.assert_array_equal(after.canonical.ids, whole.canonical.ids)
    np.testing.assert_array_equal(after.canonical.lengths, whole.canonical.lengths)
    np.testing.assert_array_equal(before.feature_sets, sets[:20])
    assert tuple(sets[5].tolist()) not in after.taken
    assert tuple(sets[5].tolist()) in before.taken
    assert after.version == before.version
    # The set that row 5 left can go to a new item, here and nowhere else.
    assert after.with_item("new", sets[5].tolist(), TOKENIZER).row_of("new") == 20


def test_a_feature_set_of_another_item_is_refused_when_an_item_is_described_again():
    catalogue, sets = catalogue_of(20), random_feature_sets(21, SIZES)
    with pytest.raises(DuplicateItemError, match="'item-3' would get the feature set of item 'item-4'"):
        catalogue.with_feature_sets([3], [sets[4].tolist()], TOKENIZER)
    with pytest.raises(DuplicateItemError, match="have the same feature set"):
        catalogue.with_feature_sets([3, 4], [sets[20].tolist()] * 2, TOKENIZER)
    assert catalogue.with_feature_sets([3], [sets[3].tolist()], TOKENIZER).row_of("item-3") == 3
