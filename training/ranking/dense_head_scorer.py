"""A bundle's dense head alone as a scorer, for its row of the table."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from clairo_core.ranking import DenseHead
from clairo_core.sequences import ItemSequences


@dataclass(frozen=True, slots=True, eq=False)
class DenseHeadScorer:
    """A dense head whose first rows are the dataset's items."""

    dense_head: DenseHead
    num_items: int

    def scores(self, histories: ItemSequences) -> Float32[np.ndarray, "user item"]:
        """Log-probabilities."""
        return self.dense_head.log_probabilities(list(histories))[:, : self.num_items]
