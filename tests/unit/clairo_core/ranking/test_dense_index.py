"""Dense heads by an index: against all products, with masks, lifts, and items posted or changed since."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DenseHeadError
from clairo_core.ranking import DenseHeads, dense_heads, load_dense_heads
from clairo_core.ranking.allowed_items import AllowedItems
from clairo_core.ranking.dense_index import build_dense_index
from tests.unit.clairo_core.ranking.test_dense_head import NUM_ITEMS, random_head

HEADS = DenseHeads((random_head(0), random_head(1)))
HISTORIES = [np.array([3, 1, 4]), np.array([15])]
RANDOM = np.random.default_rng(0)


def later(heads: DenseHeads) -> DenseHeads:
    """Three items posted, one changed."""
    posted = heads.with_items(RANDOM.standard_normal((3, 3), dtype=np.float32))
    dim = heads.heads[0].item_vectors.shape[1]
    return posted.with_vectors(np.array([5]), np.full((1, 2, dim), 0.5, dtype=np.float32))


@given(st.booleans(), st.none() | st.integers(0, 2**32), st.sets(st.integers(0, NUM_ITEMS - 1)), st.integers(1, 30))
@settings(deadline=None)
def test_an_index_that_finds_all_gives_what_all_products_give(
    has_changed: bool, mask_seed: int | None, left_out: set[int], num_places: int
) -> None:
    heads = later(HEADS.indexed()) if has_changed else HEADS.indexed()
    num_items = heads.num_items
    random = np.random.default_rng(mask_seed)
    mask = None if mask_seed is None else random.random(num_items) < random.random()
    allowed = AllowedItems(num_items, np.array(sorted(left_out), dtype=np.int64), mask)
    lifts = random.random(num_items) if mask_seed is not None and mask_seed % 2 else None
    exact = DenseHeads(heads.heads).scores(HISTORIES, num_places)
    for found, expected in zip(heads.scores(HISTORIES, [NUM_ITEMS] * len(HISTORIES)), exact, strict=True):
        rows = np.arange(num_items)
        np.testing.assert_allclose(found.of(rows), expected.of(rows), atol=1e-5)
        of_all, best = found.best(7, num_places, allowed, lifts)
        of_all_by_products, best_by_products = expected.best(7, num_places, allowed, lifts)
        assert of_all.tolist() == of_all_by_products.tolist()
        assert sorted(best.tolist()) == sorted(best_by_products.tolist())


def test_the_index_finds_most_of_the_best_and_keeps_to_a_mask() -> None:
    random = np.random.default_rng(1)
    centres = random.standard_normal((40, 8)).repeat(100, axis=0)
    vectors = (centres + 0.3 * random.standard_normal((4000, 8))).astype(np.float32)
    index, queries = build_dense_index([vectors[:, :4], vectors[:, 4:]]), vectors[::500]
    found = [set(rows.tolist()) for rows in index.nearest(queries, 50)]
    best = np.argsort(-queries @ vectors.T, axis=1)[:, :10].tolist()
    assert np.mean([len(ours.intersection(of_query)) for ours, of_query in zip(found, best, strict=True)]) > 8
    odd = np.arange(4000) % 2 == 1
    assert odd[index.nearest(queries[:1], 20, odd)[0]].all()


def test_many_items_are_saved_with_their_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_heads, "INDEXED_FROM", NUM_ITEMS)
    HEADS.save(tmp_path)
    loaded = load_dense_heads(tmp_path)
    assert loaded.index is not None
    (tmp_path / "again").mkdir()
    loaded.save(tmp_path / "again")
    name = "dense-index.faiss"
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
    later(HEADS).save(tmp_path / "again")
    (tmp_path / "again" / name).rename(tmp_path / name)
    with pytest.raises(DenseHeadError, match="copy the bundle again"):
        load_dense_heads(tmp_path)
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(DenseHeadError, match="cannot be read"):
        load_dense_heads(tmp_path)
