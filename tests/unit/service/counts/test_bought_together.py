"""Complements: by lift first, then by content, never the given items."""

import numpy as np
import pytest
from scipy import sparse

from clairo_core.selection.similar_items import EmbeddingTable
from service.counts.bought_together import complements
from service.counts.live_counts import PairCounts

NUM_ITEMS = 6
ALL = np.ones(NUM_ITEMS, dtype=np.bool_)
VECTORS = EmbeddingTable(np.array([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3], [0, 1], [-1, 0]], dtype=np.float32))


def counts() -> PairCounts:
    """Item 0's users have the bestseller 1 as often as anybody, item 4 far more often, and item 3 once."""
    together = np.zeros((5, 5), dtype=np.float32)
    together[0, 1], together[0, 4], together[0, 3], together[2, 3] = 8, 8, 1, 20
    return PairCounts(sparse.csr_matrix(together + together.T), np.array([20, 100, 60, 60, 10]))


def test_lift_comes_first_and_content_fills_the_list() -> None:
    found = complements(counts(), VECTORS, np.array([0]), ALL, 4)
    assert [(one.row, one.source) for one in found] == [
        (4, "behaviour"),
        (1, "content"),
        (2, "content"),
        (3, "content"),
    ]
    assert found[0].support == 8
    assert found[0].lift == pytest.approx(2.2, abs=0.5)
    assert found[1].lift is None


def test_given_and_forbidden_items_are_not_listed() -> None:
    is_allowed = ALL.copy()
    is_allowed[1] = False
    found = complements(counts(), VECTORS, np.array([0, 4]), is_allowed, 10)
    assert {one.row for one in found} == {2, 3}


def test_without_embeddings_behaviour_alone_is_listed() -> None:
    assert [one.row for one in complements(counts(), None, np.array([0]), ALL, 4)] == [4]


def test_an_item_posted_since_is_completed_by_content() -> None:
    found = complements(counts(), VECTORS, np.array([5]), ALL, 3)
    assert found == []
    more_alike = EmbeddingTable(np.eye(NUM_ITEMS, 2, dtype=np.float32) + 0.1)
    assert {one.source for one in complements(counts(), more_alike, np.array([5]), ALL, 3)} == {"content"}


def test_nothing_given_completes_nothing() -> None:
    assert complements(counts(), VECTORS, np.array([], dtype=np.int64), ALL, 3) == []
