"""Cut users into batches for a recommender, and into blocks for a scorer."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int64

from clairo_core.items import UserHistory
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.evaluation.few_scores import FewItemsScorer, FewScores
from training.evaluation.item_scorer import ItemScorer

USERS_PER_BATCH = 32
USERS_PER_BLOCK = 512
BLOCK_BYTES = 1 << 30
"""Bounds the memory of all items' scores: with more than 52,000 items, a block has fewer users."""
BYTES_PER_SCORE = 40
"""A score in double precision, its copies while places are found, and its item."""


def batches_by_length(
    histories: ItemSequences, item_ids: Sequence[str], label: str, progress: Progress[int] = silent
) -> Iterator[tuple[Int64[np.ndarray, "user"], list[UserHistory]]]:
    """Batch users by history length, shortest first: a batch is padded to its longest history.

    Args:
        histories: rows of the dataset's items, one sequence per user.
        item_ids: item id per row.
        label: shown by `progress`.
        progress: over batches.

    Yields:
        Users as rows of `histories`, and their histories as item ids.
    """
    order = np.argsort(histories.lengths, kind="stable")
    starts = range(0, len(order), USERS_PER_BATCH)
    for start in progress(starts, label, len(starts)):
        users = order[start : start + USERS_PER_BATCH]
        yield users, [UserHistory(tuple(item_ids[row] for row in histories[user])) for user in users]


def scored_blocks(
    scorer: ItemScorer, histories: ItemSequences, label: str = "", progress: Progress[int] = silent
) -> Iterator[tuple[slice, ItemSequences, Float[np.ndarray, "user item"] | FewScores]]:
    """Score all items for some users at a time. Yields their slice of `histories`, their histories and the scores."""
    scores_of = scorer.few_scores if isinstance(scorer, FewItemsScorer) else scorer.scores
    size = USERS_PER_BLOCK
    if len(histories) > 1:
        size = users_per_block(scores_of(histories.select(np.arange(1))).shape[1])
    starts = range(0, len(histories), size)
    for start in progress(starts, label, len(starts)):
        users = slice(start, min(start + size, len(histories)))
        block = histories.select(np.arange(users.start, users.stop))
        yield users, block, scores_of(block)


def users_per_block(num_items: int) -> int:
    """The most users whose scores of so many items fit into `BLOCK_BYTES`, and no more than `USERS_PER_BLOCK`."""
    return min(USERS_PER_BLOCK, max(1, BLOCK_BYTES // (BYTES_PER_SCORE * num_items)))
