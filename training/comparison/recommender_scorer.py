"""Turn a recommender's lists into scores of all items, so that it can be added to others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from clairo_core.items import UserHistory
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.evaluation.rankings import USERS_A_BATCH

LIST_LENGTH = 100
"""Items that get a score: the further down the list, the less it would count."""


@dataclass(frozen=True, slots=True, eq=False)
class RecommenderScorer:
    """A recommender as a scorer."""

    recommender: Recommender
    item_ids: Sequence[str]
    """The dataset's, in its order."""

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """Probabilities of the items that are listed, seen ones among them; 0 for all others."""
        row_of = {item_id: row for row, item_id in enumerate(self.item_ids)}
        scores = np.zeros((len(histories), len(self.item_ids)))
        # Histories of one length together: a batch is padded to its longest.
        order = np.argsort(histories.lengths, kind="stable")
        for start in range(0, len(order), USERS_A_BATCH):
            users = order[start : start + USERS_A_BATCH]
            asked = [UserHistory(tuple(self.item_ids[row] for row in histories[user])) for user in users]
            answers = self.recommender.recommend_many(asked, LIST_LENGTH, include_seen=True)
            for user, answer in zip(users, answers, strict=True):
                for entry in answer.items:
                    # An item posted to the bundle since it was trained is in no dataset.
                    if entry.item_id in row_of:
                        scores[user, row_of[entry.item_id]] = np.exp(entry.score)
        return scores
