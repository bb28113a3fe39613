"""Examples in which some items compete as if they had just been posted."""

import numpy as np
import torch
from scipy import sparse

from clairo_core.ranking import DenseHead, DenseHeads, ItemWeights, JointRanking
from clairo_core.ranking.history_encoder import RecurrentHistoryEncoder
from clairo_core.storage.growing_rows import GrowingRows
from training.ranking.mixture_examples import with_new_items

NUM_ITEMS, DIM = 30, 4
IS_NEW = np.arange(NUM_ITEMS) % 5 == 0


def heads(seed: int) -> DenseHeads:
    torch.manual_seed(0)
    encoder = RecurrentHistoryEncoder(DIM, width=4, max_history_items=5)
    vectors = np.random.default_rng(seed).standard_normal((NUM_ITEMS, DIM)).astype(np.float32)
    return DenseHeads((DenseHead(encoder.eval(), GrowingRows(vectors), np.zeros((DIM, DIM), dtype=np.float32)),))


def counts(seed: int) -> sparse.csr_matrix:
    counted = sparse.random_array((NUM_ITEMS, NUM_ITEMS), density=0.4, rng=np.random.default_rng(seed))
    return sparse.csr_matrix(counted.astype(np.float32))


def ranking() -> JointRanking:
    weights = {"followers": ItemWeights(counts(1), np.ones(3))}
    return JointRanking(heads(0), weights, None, np.full(NUM_ITEMS, 7), counts(2))


def test_new_items_have_no_counts_and_the_others_keep_theirs() -> None:
    before, after = ranking(), with_new_items(ranking(), heads(1), IS_NEW)
    assert before.together is not None
    assert after.together is not None
    pairs = (
        (before.together, after.together),
        (before.item_weights["followers"].matrix, after.item_weights["followers"].matrix),
    )
    for all_counts, kept in pairs:
        expected = all_counts.toarray()
        expected[IS_NEW], expected[:, IS_NEW] = 0.0, 0.0
        np.testing.assert_array_equal(kept.toarray(), expected)
    np.testing.assert_array_equal(after.training_counts, np.where(IS_NEW, 0, 7))


def test_counts_without_new_items_share_their_rows_and_columns() -> None:
    before = ranking()
    after = with_new_items(before, heads(1), IS_NEW)
    assert before.together is not None
    assert after.together is not None
    assert np.shares_memory(after.together.indices, before.together.indices)


def test_new_items_take_the_vectors_of_posted_ones_beside_an_index_too() -> None:
    before = ranking()
    indexed = with_new_items(
        JointRanking(heads(0).indexed(), before.item_weights, None, before.training_counts), heads(1), IS_NEW
    )
    exact = with_new_items(before, heads(1), IS_NEW)
    expected = np.where(IS_NEW[:, None], heads(1).heads[0].item_vectors, heads(0).heads[0].item_vectors)
    np.testing.assert_array_equal(indexed.dense_heads.heads[0].item_vectors, expected)
    rows, history = np.arange(NUM_ITEMS), [np.array([1, 2])]
    found, of_all = (of.dense_heads.scores(history, [NUM_ITEMS])[0].of(rows) for of in (indexed, exact))
    np.testing.assert_allclose(found - found[0], of_all - of_all[0], atol=1e-4)
