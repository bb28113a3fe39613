"""The dense head: probabilities over all items, causality, posted items scored by content."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DenseHeadError
from clairo_core.ranking import DenseHead, load_dense_head
from clairo_core.ranking.history_encoder import (
    HistoryEncoder,
    NormalizedTransformerHistoryEncoder,
    RecurrentHistoryEncoder,
    TransformerHistoryEncoder,
)
from clairo_core.storage.growing_rows import DeviceCopy, GrowingRows

NUM_ITEMS, DIM, CONTENT = 20, 8, 3


def recurrent() -> HistoryEncoder:
    return RecurrentHistoryEncoder(DIM, width=10, max_history_items=6)


def transformer() -> HistoryEncoder:
    return TransformerHistoryEncoder(DIM, num_layers=2, num_heads=2, max_history_items=6)


def normalized_transformer() -> HistoryEncoder:
    return NormalizedTransformerHistoryEncoder(DIM, num_layers=2, num_heads=2, max_history_items=6)


all_encoders = pytest.mark.parametrize("new_encoder", [recurrent, transformer, normalized_transformer])


def random_head(seed: int = 0, new_encoder: Callable[[], HistoryEncoder] = transformer) -> DenseHead:
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
    return DenseHead(new_encoder().eval(), GrowingRows(vectors), random.normal(size=(CONTENT, DIM)).astype(np.float32))


HISTORIES = st.lists(st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=9), min_size=1, max_size=5)


@all_encoders
@settings(max_examples=25, deadline=None)
@given(histories=HISTORIES)
def test_probabilities_of_a_history_do_not_depend_on_the_batch(
    new_encoder: Callable[[], HistoryEncoder], histories: list[list[int]]
) -> None:
    head = random_head(new_encoder=new_encoder)
    together = head.log_probabilities([np.array(history) for history in histories])
    assert together.shape == (len(histories), NUM_ITEMS)
    assert np.exp(together).sum(axis=1) == pytest.approx(np.ones(len(histories)), abs=1e-5)
    for history, row in zip(histories, together, strict=True):
        assert head.log_probabilities([np.array(history)])[0] == pytest.approx(row, abs=1e-4)


@pytest.mark.parametrize("new_encoder", [recurrent, normalized_transformer])
def test_normalized_vectors_are_read_alike_at_every_scale(new_encoder: Callable[[], HistoryEncoder]) -> None:
    torch.manual_seed(0)
    encoder, vectors = new_encoder().eval(), torch.randn(3, 6, DIM)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(100 * vectors), encoder(10 * vectors), atol=1e-4, rtol=0)


@all_encoders
def test_only_the_newest_items_are_read(new_encoder: Callable[[], HistoryEncoder]) -> None:
    head = random_head(new_encoder=new_encoder)
    newest = [3, 1, 4, 1, 5, 9]
    assert np.array_equal(
        head.log_probabilities([np.array([2, 7, *newest])]), head.log_probabilities([np.array(newest)])
    )


@all_encoders
def test_a_position_does_not_depend_on_later_ones(new_encoder: Callable[[], HistoryEncoder]) -> None:
    encoder = random_head(new_encoder=new_encoder).encoder
    vectors = torch.randn(1, 6, DIM)
    changed = vectors.clone()
    changed[:, 4:] = 7.0
    with torch.inference_mode():
        before, after = encoder(vectors), encoder(changed)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-3)


def test_a_posted_item_is_scored_by_its_content_and_the_earlier_version_stays() -> None:
    head = random_head()
    content = np.array([[1.0, -2.0, 0.5]], dtype=np.float32)
    later = head.with_items(content)
    assert later.item_vectors[NUM_ITEMS] == pytest.approx((content @ head.content_map)[0])
    assert (head.num_items, later.num_items) == (NUM_ITEMS, NUM_ITEMS + 1)
    history = [np.array([NUM_ITEMS, 2])]
    assert np.isfinite(later.log_probabilities(history)).all()
    with pytest.raises(DenseHeadError, match="have length 2, expected 3 as in training"):
        head.with_items(np.zeros((1, 2)))


def test_each_row_is_copied_to_a_device_once_for_all_versions() -> None:
    table = GrowingRows(np.arange(6, dtype=np.float32).reshape(3, 2))
    longer = table.with_rows(np.array([[7.0, 8.0]], dtype=np.float32))
    with torch.inference_mode():
        copy = DeviceCopy(longer.rows.base, torch.device("cpu"))
        first = copy.of(table.rows)
    assert first.tolist() == table.rows.tolist()
    table.rows[0] = -1.0  # the table never changes: a second copy would show this
    second = copy.of(longer.rows)
    assert second.tolist() == [[0.0, 1.0], *longer.rows[1:].tolist()]
    assert second.data_ptr() == first.data_ptr()
    assert copy.of(table.rows).shape == (3, 2)


def test_vectors_stay_on_the_encoders_device_and_posted_ones_join_them() -> None:
    vectors, absent = random_head().vectors, torch.device("meta")
    first = vectors.on(absent)
    longer = vectors.with_rows(np.zeros((1, DIM), dtype=np.float32)).on(absent)
    assert (first.device, first.shape, longer.shape) == (absent, (NUM_ITEMS, DIM), (NUM_ITEMS + 1, DIM))
    assert vectors.on(absent)._base is longer._base
    head = random_head()
    assert head.on(torch.device("cpu")).device == torch.device("cpu")
    assert np.shares_memory(head.vectors.on(head.device).numpy(), head.item_vectors)


@all_encoders
def test_a_loaded_head_equals_the_saved_one(new_encoder: Callable[[], HistoryEncoder], tmp_path: Path) -> None:
    head = random_head(new_encoder=new_encoder)
    head.save(tmp_path)
    again = load_dense_head(tmp_path)
    history = [np.array([3, 1, 4])]
    assert np.array_equal(again.log_probabilities(history), head.log_probabilities(history))
    assert np.array_equal(again.content_map, head.content_map)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"num_heads": 2', '"num_heads": 3', "do not fit an encoder"),
        ('"num_layers": 2', '"num_layers": 3', "is missing"),
        ('"num_layers": 2', '"num_layers": "many"', "do not fit an encoder"),
        ('"max_history_items": 6', '"max_history_items": 5', "expected"),
        ('"causal-transformer"', '"gated-recurrent"', "do not fit an encoder"),
        ('"causal-transformer"', '"of-next-year"', "update CLAIRO"),
    ],
)
def test_a_damaged_head_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    random_head().save(tmp_path)
    header = tmp_path / "dense-head.json"
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(DenseHeadError, match=words):
        load_dense_head(tmp_path)


def test_other_vectors_change_the_scores_of_their_items_alone() -> None:
    head = random_head()
    before = head.item_vectors.copy()
    moved = head.with_vectors(np.array([3, 5]), np.ones((2, DIM)))
    assert moved.item_vectors[[3, 5]].tolist() == np.ones((2, DIM)).tolist()
    others = np.delete(np.arange(NUM_ITEMS), [3, 5])
    np.testing.assert_array_equal(moved.item_vectors[others], before[others])
    np.testing.assert_array_equal(head.item_vectors, before)
    grown = moved.with_items(np.ones((1, CONTENT)))
    assert grown.num_items == NUM_ITEMS + 1
    assert grown.item_vectors[3].tolist() == [1.0] * DIM
