"""Rank items by several signals at once: what the generator writes, a dense head, and what follows what."""

from clairo_core.ranking.dense_head import DenseHead, load_dense_head
from clairo_core.ranking.item_weights import ItemWeights, load_item_weights
from clairo_core.ranking.joint_ranking import JointRanking, load_joint_ranking
from clairo_core.ranking.mixture import Mixture, load_mixture

__all__ = [
    "DenseHead",
    "ItemWeights",
    "JointRanking",
    "Mixture",
    "load_dense_head",
    "load_item_weights",
    "load_joint_ranking",
    "load_mixture",
]
