"""Precomputed codes as vectors: one modality per family of columns, no code lost, everything else unchanged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import DatasetError
from clairo_core.items import Item
from clairo_core.sequences import ItemSequences
from training.datasets.code_vectors import one_hot_codes, with_codes_as_vectors
from training.datasets.dataset import Codes, Dataset, build_dataset

NAMES, SIZES = ("text_0", "text_1", "image_0", "rq"), (3, 2, 4, 2)


def dataset_of(codes: list[list[int]]) -> Dataset:
    items = tuple(Item(item_id=str(row), texts={"title": f"item {row}"}) for row in range(len(codes)))
    table = Codes(np.array(codes, dtype=np.int32).reshape(-1, len(NAMES)), NAMES, SIZES, False)
    return build_dataset("coded", items, ("anna",), ItemSequences.from_lists([[0]]), codes=table)


def test_each_family_of_columns_becomes_a_modality_and_replaces_the_codes() -> None:
    dataset = with_codes_as_vectors(dataset_of([[2, 1, 0, 1], [0, 0, 3, 0]]))
    assert dataset.semantic_ids is None
    assert dataset.modalities == ("text", "text_codes", "image_codes", "rq_codes")
    assert dataset.items[0].vectors["text_codes"].tolist() == [0, 0, 1, 0, 1]
    assert dataset.items[1].vectors["image_codes"].tolist() == [0, 0, 0, 1]
    assert dataset.items[1].title == "item 1"


@given(st.lists(st.tuples(*(st.integers(0, size - 1) for size in SIZES)), min_size=1, max_size=8))
def test_the_codes_can_be_read_back_from_the_vectors(codes: list[tuple[int, ...]]) -> None:
    table = np.array(codes, dtype=np.int32)
    vectors = one_hot_codes(table, list(SIZES))
    ends = np.cumsum(SIZES)
    found = [part.argmax(axis=1) for part in np.split(vectors, ends[:-1], axis=1)]
    assert np.stack(found, axis=1).tolist() == table.tolist()
    assert (vectors.sum(axis=1) == len(SIZES)).all()


def test_codes_as_vectors_change_the_fingerprint() -> None:
    dataset = dataset_of([[0, 0, 0, 0]])
    assert with_codes_as_vectors(dataset).fingerprint != dataset.fingerprint


def test_a_dataset_without_codes_is_refused() -> None:
    plain = build_dataset("plain", (Item(item_id="a"),), ("anna",), ItemSequences.from_lists([[0]]))
    with pytest.raises(DatasetError, match=r"plain has no precomputed codes; leave dataset\.codes at ids"):
        with_codes_as_vectors(plain)
