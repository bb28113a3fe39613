"""The protocol of all baselines: score every item from the history alone."""

from typing import Protocol

import numpy as np
from jaxtyping import Float

from clairo_core.sequences import ItemSequences


class ItemScorer(Protocol):
    """Fitted on training sequences only."""

    def scores(self, histories: ItemSequences) -> Float[np.ndarray, "user item"]:
        """Score all items, seen ones included; higher ranks first."""
        ...
