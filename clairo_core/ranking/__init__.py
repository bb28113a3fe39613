"""Rank items by several models at once: the generator, a dense head, and item weights.

Histories and generated items come in, ranked items come out. Start at `JointRanking.rank`.
"""

from clairo_core.ranking.candidates import Generated, Penalty, RankedItems
from clairo_core.ranking.count_increments import CountIncrements, UserActions, increments_of
from clairo_core.ranking.dense_head import DenseHead, load_dense_head
from clairo_core.ranking.dense_heads import DenseHeads, load_dense_heads
from clairo_core.ranking.dislikes import (
    NOTHING_SINKS,
    DislikedNeighbours,
    disliked_neighbours,
    load_dislike_strength,
    lowered,
    save_dislike_strength,
)
from clairo_core.ranking.item_weights import (
    ItemWeights,
    RowScale,
    load_item_weights,
    load_pair_counts,
    save_pair_counts,
)
from clairo_core.ranking.joint_ranking import JointRanking, load_joint_ranking
from clairo_core.ranking.mixture import Mixture, load_mixture
from clairo_core.ranking.repeats import NO_LIFTS, RepeatLifts, load_repeat_lifts, placed_with_repeats

__all__ = [
    "NOTHING_SINKS",
    "NO_LIFTS",
    "CountIncrements",
    "DenseHead",
    "DenseHeads",
    "DislikedNeighbours",
    "Generated",
    "ItemWeights",
    "JointRanking",
    "Mixture",
    "Penalty",
    "RankedItems",
    "RepeatLifts",
    "RowScale",
    "UserActions",
    "disliked_neighbours",
    "increments_of",
    "load_dense_head",
    "load_dense_heads",
    "load_dislike_strength",
    "load_item_weights",
    "load_joint_ranking",
    "load_mixture",
    "load_pair_counts",
    "load_repeat_lifts",
    "lowered",
    "placed_with_repeats",
    "save_dislike_strength",
    "save_pair_counts",
]
