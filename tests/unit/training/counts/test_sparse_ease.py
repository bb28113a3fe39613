"""EASE on the strongest pairs: by hand, against exact EASE, and against a slow twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from training.config.preset import MixSettings
from training.counts import strongest_entries
from training.counts.ease import count_together, count_users, ease_weights
from training.counts.fit_item_weights import fit_item_weights, pair_counts
from training.counts.sparse_ease import NUM_PAIRS, SparseEaseSettings, fit_sparse_ease, sparse_ease_weights
from training.evaluation.split import EvaluationSplit

NUM_ITEMS = 6
sequences_of_items = st.lists(st.lists(st.integers(0, NUM_ITEMS - 1), max_size=8), min_size=1, max_size=8)


def test_each_item_is_solved_on_its_strongest_pair() -> None:
    # Item 0: 3 users, two of them with 1, one with 2. With lambda 1, 1 is worth 2 / (2 + 1) to it, and 2 nothing.
    training = ItemSequences.from_lists([[0, 1], [0, 1], [0, 2]])
    together, users = pair_counts(training, 3, 9), count_users(training, 3)
    assert users.tolist() == [3, 2, 1]
    weights = sparse_ease_weights(together, users, 1.0, num_pairs=1).toarray()
    assert weights == pytest.approx(np.array([[0, 2 / 4, 1 / 4], [2 / 3, 0, 0], [0, 0, 0]]), abs=1e-6)
    fitted = fit_sparse_ease(together, users, SparseEaseSettings(1.0, 0.5, num_pairs=1), weights_per_item=1)
    assert fitted.weights.toarray() == pytest.approx(np.array([[0, 1 / 2, 0], [2 / 3, 0, 0], [0, 0, 0]]), abs=1e-6)
    # 1 is the last item with weight 1, 0 the one before it with weight a half.
    scores = fitted.scores(ItemSequences.from_lists([[0, 1]]))
    assert scores == pytest.approx(np.array([[2 / 3, 1 / 4, 0]]), abs=1e-6)


@given(sequences_of_items)
def test_with_all_pairs_the_weights_are_those_of_ease(sequences: list[list[int]]) -> None:
    training = ItemSequences.from_lists(sequences)
    together, users = pair_counts(training, NUM_ITEMS, NUM_ITEMS), count_users(training, NUM_ITEMS)
    exact = ease_weights(count_together(training, NUM_ITEMS).toarray(), 5.0)
    # Exact EASE weighs items without common users too, where others link them.
    linked = together.toarray() > 0
    is_whole = linked.sum(axis=0) == NUM_ITEMS - 1
    weights = sparse_ease_weights(together, users, 5.0, NUM_ITEMS).toarray()
    assert weights[:, is_whole] == pytest.approx(exact[:, is_whole], abs=1e-4)


@given(sequences_of_items, st.integers(1, 9))
def test_results_do_not_depend_on_the_blocks_of_rows(sequences: list[list[int]], most_entries: int) -> None:
    training = ItemSequences.from_lists(sequences)
    users, found = count_users(training, NUM_ITEMS), []
    for entries in (strongest_entries.MOST_ENTRIES, most_entries):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strongest_entries, "MOST_ENTRIES", entries)
            together = pair_counts(training, NUM_ITEMS, 2)
            solved = fit_sparse_ease(together, users, SparseEaseSettings(5.0, 1.0, num_pairs=3), 2)
            found.append((together.toarray().tolist(), solved.weights.toarray().tolist()))
    assert found[0] == found[1]


def test_a_catalogue_above_the_limit_has_sparse_ease() -> None:
    training = ItemSequences.from_lists([[0, 1, 2], [0, 1], [2, 3]])
    users = EvaluationSplit(ItemSequences.from_lists([[0], [2]]), np.int32([1, 3]), np.int32([0, 1]))
    together, settings = pair_counts(training, 4, 9), MixSettings(max_ease_items=3)
    weights, chosen = fit_item_weights(training, 4, together, users, settings, silent)
    assert chosen["ease"]["num_pairs"] == NUM_PAIRS
    assert weights["ease"].scale is not None
    assert weights["ease"].matrix[0, 1] == pytest.approx((2 * 102 - 1) / (102**2 - 1))
