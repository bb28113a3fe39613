"""Lower the items that are like one that the user dislikes. Start at `DislikedNeighbours.penalty_of`.

Two items are as similar as the larger of two cosines says: of their embeddings, and of their users (pair counts). Of
all disliked items the nearest one counts.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Int64

from clairo_core.errors import RankingError
from clairo_core.ranking.candidates import Penalty, RankedItems
from clairo_core.ranking.history_links import history_links
from clairo_core.ranking.joint_ranking import JointRanking
from clairo_core.ranking.pair_evidence import pair_cosines
from clairo_core.storage.growing_rows import GrowingRows

ROWS_AT_ONCE = 4096
"""Bounds the memory of similarities where a whole catalogue is lowered."""


@dataclass(frozen=True, slots=True, eq=False)
class DislikedNeighbours:
    """How far the neighbours of disliked items sink. Immutable. Make one with `disliked_neighbours`."""

    strength: float
    """Subtracted from the log-probability of an item whose similarity is 1. 0, as in older bundles, lowers nothing."""
    directions: GrowingRows | None = None
    """Item embeddings scaled to length 1, float32, by catalogue row; 0 for an item without content. None for
    precomputed codes."""

    def with_items(self, item_embeddings: Float[np.ndarray, "new dim"] | None, num_new: int) -> "DislikedNeighbours":
        """A version with posted items appended; without embeddings they are like no other."""
        if self.directions is None or not num_new:
            return self
        if item_embeddings is None:
            item_embeddings = np.zeros((num_new, self.directions.rows.shape[1]), dtype=np.float32)
        return replace(self, directions=self.directions.with_rows(_of_length_one(item_embeddings)))

    def with_embeddings(self, changed: Mapping[int, Float[np.ndarray, "dim"]]) -> "DislikedNeighbours":
        """A version with other embeddings in these rows."""
        if self.directions is None or not changed:
            return self
        rows, embeddings = np.array(list(changed), dtype=np.int64), np.stack(list(changed.values()))
        return replace(self, directions=self.directions.with_replaced(rows, _of_length_one(embeddings)))

    def penalty_of(self, disliked: Int[np.ndarray, "disliked"], ranking: JointRanking | None) -> Penalty:
        """Strength times similarity, for a user who dislikes the items in these rows.

        Args:
            disliked: at least one.
            ranking: its pair counts are read too; None: embeddings alone.
        """
        rows = np.unique(disliked)
        return lambda item_rows: self.strength * self.similarities(rows, item_rows, ranking)

    def similarities(
        self,
        disliked: Int[np.ndarray, "disliked"],
        item_rows: Int64[np.ndarray, "item"],
        ranking: JointRanking | None,
    ) -> Float64[np.ndarray, "item"]:
        """Each item's similarity to the nearest disliked one, in [0, 1]; see `penalty_of`."""
        nearest = np.zeros(len(item_rows))
        for start in range(0, len(item_rows), ROWS_AT_ONCE):
            some, into = item_rows[start : start + ROWS_AT_ONCE], nearest[start : start + ROWS_AT_ONCE]
            if self.directions is not None:
                cosines = self.directions.rows[disliked] @ self.directions.rows[some].T
                np.maximum(into, cosines.max(axis=0), out=into)
            if ranking is not None and ranking.together is not None:
                counts = ranking.training_counts
                known, is_known = disliked[disliked < len(counts)], some < len(counts)
                links = history_links(ranking.together, known).among(some[is_known])
                cosines = pair_cosines(links, counts[known], counts[some[is_known]])
                into[is_known] = np.maximum(into[is_known], cosines.max(axis=0, initial=0.0))
        return np.minimum(nearest, 1.0)


NOTHING_SINKS = DislikedNeighbours(0.0)


def disliked_neighbours(strength: float, item_embeddings: Float[np.ndarray, "item dim"] | None) -> DislikedNeighbours:
    """Neighbours by these embeddings, one per catalogue row; None for precomputed codes."""
    if strength == 0 or item_embeddings is None:
        return DislikedNeighbours(strength)
    return DislikedNeighbours(strength, GrowingRows(_of_length_one(item_embeddings)))


def lowered(ranked: RankedItems, penalty: Penalty) -> RankedItems:
    """Subtract the penalty from the scores, and sort again."""
    scores = ranked.scores - penalty(ranked.item_rows)
    order = np.argsort(-scores, kind="stable")
    return RankedItems(ranked.item_rows[order], scores[order], ranked.is_dense[order])


def save_dislike_strength(path: Path, strength: float) -> None:
    """Write the strength as JSON."""
    path.write_text(json.dumps({"strength": strength}), encoding="utf-8")


def load_dislike_strength(path: Path) -> float:
    """Load a saved strength; 0 if the file is missing, as in older bundles.

    Raises:
        RankingError: the file is damaged.
    """
    if not path.exists():
        return 0.0
    try:
        strength = float(json.loads(path.read_text(encoding="utf-8"))["strength"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RankingError(f"{path}: cannot be read ({error!r}); copy the bundle again") from error
    if not (math.isfinite(strength) and strength >= 0):
        raise RankingError(f"{path}: got strength {strength}, expected 0 or more; train the bundle again")
    return strength


def _of_length_one(vectors: Float[np.ndarray, "item dim"]) -> Float32[np.ndarray, "item dim"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float32[np.ndarray, "item dim"] = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return scaled
