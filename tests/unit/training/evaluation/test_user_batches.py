"""Batches of users by history length, and blocks of scored users."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.sequences import ItemSequences
from training.evaluation.user_batches import (
    USERS_PER_BATCH,
    USERS_PER_BLOCK,
    batches_by_length,
    scored_blocks,
    users_per_block,
)


@given(st.lists(st.lists(st.integers(0, 2), max_size=4), max_size=3 * USERS_PER_BATCH))
def test_batches_hold_every_user_once_in_order_of_length(histories: list[list[int]]) -> None:
    batches = list(batches_by_length(ItemSequences.from_lists(histories), ["a", "b", "c"], ""))
    users = [int(user) for batch, _ in batches for user in batch]
    assert sorted(users) == list(range(len(histories)))
    lengths = [len(histories[user]) for user in users]
    assert lengths == sorted(lengths)
    assert all(len(batch) == USERS_PER_BATCH for batch, _ in batches[:-1])


def test_a_batch_carries_the_users_histories_as_item_ids() -> None:
    [(users, histories)] = batches_by_length(ItemSequences.from_lists([[2, 0], [1]]), ["a", "b", "c"], "")
    assert users.tolist() == [1, 0]
    assert [history.item_ids for history in histories] == [("b",), ("c", "a")]


def test_a_block_has_fewer_users_where_a_catalogue_is_large() -> None:
    assert users_per_block(12_000) == USERS_PER_BLOCK
    assert 20 < users_per_block(1_000_000) < 30
    assert users_per_block(10**9) == 1


def test_blocks_of_scores_cover_all_users_in_order() -> None:
    class Lengths:
        def scores(self, histories: ItemSequences) -> np.ndarray:
            return histories.lengths[:, None].astype(float)

    histories = ItemSequences.from_lists([[0] * (user % 3) for user in range(USERS_PER_BLOCK + 1)])
    blocks = list(scored_blocks(Lengths(), histories))
    assert [users for users, _, _ in blocks] == [slice(0, USERS_PER_BLOCK), slice(USERS_PER_BLOCK, USERS_PER_BLOCK + 1)]
    assert np.concatenate([scores for _, _, scores in blocks])[:, 0].tolist() == histories.lengths.tolist()
