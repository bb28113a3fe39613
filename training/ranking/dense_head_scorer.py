"""A bundle's dense heads alone as a scorer, for their row of the table."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from clairo_core.ranking import DenseHeads
from clairo_core.sequences import ItemSequences


@dataclass(frozen=True, slots=True, eq=False)
class DenseHeadScorer:
    """Dense heads whose first rows are the dataset's items."""

    dense_heads: DenseHeads
    num_items: int

    def scores(self, histories: ItemSequences) -> Float32[np.ndarray, "user item"]:
        """Log-probabilities."""
        return self.dense_heads.log_probabilities(list(histories))[:, : self.num_items]
