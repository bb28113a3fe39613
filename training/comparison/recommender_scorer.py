"""Turn a recommender's lists into scores of all items, to mix it with other scorers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.evaluation.user_batches import batches_by_length

LIST_LENGTH = 100
"""Items that get a score; lower places would hardly change a mixture."""


@dataclass(frozen=True, slots=True, eq=False)
class RecommenderScorer:
    """A recommender as a scorer."""

    recommender: Recommender
    item_ids: Sequence[str]
    """Item id per row of the dataset."""

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """Probabilities of the listed items, seen ones included; 0 for all others."""
        row_of = {item_id: row for row, item_id in enumerate(self.item_ids)}
        scores = np.zeros((len(histories), len(self.item_ids)))
        for users, batch in batches_by_length(histories, self.item_ids, "generator"):
            answers = self.recommender.recommend_many(batch, LIST_LENGTH, include_seen=True)
            for user, answer in zip(users, answers, strict=True):
                for entry in answer.items:
                    # Items posted after training are not in the dataset.
                    if entry.item_id in row_of:
                        scores[user, row_of[entry.item_id]] = np.exp(entry.score)
        return scores
