"""What every baseline is: a score for every item, given nothing of a user but the history that is passed in."""

from typing import Protocol

import numpy as np
from jaxtyping import Float

from clairo_core.sequences import ItemSequences


class ItemScorer(Protocol):
    """Fitted on training sequences only."""

    def scores(self, histories: ItemSequences) -> Float[np.ndarray, "user item"]:
        """The higher, the sooner recommended; seen items are scored like all others."""
        ...
