"""What every kind of generator offers: histories in, items with log-probabilities out."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int64

from clairo_core.catalogue import Catalogue
from clairo_core.ranking import Generated
from clairo_core.ranking.allowed_items import AllowedItems


class ItemGenerator(Protocol):
    """Generates items of one version of a catalogue. Immutable."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def dtype(self) -> torch.dtype:
        """Number format of its weights."""

    @property
    def max_history_items(self) -> int:
        """Older items are left out, as in training."""

    def generate(
        self,
        histories: Sequence[Int64[np.ndarray, "position"]],
        seeds: Sequence[int],
        num_views: int,
        num_beams: int,
        is_allowed: Sequence[AllowedItems] | None = None,
    ) -> list[Generated]:
        """Generate items for each history.

        Args:
            histories: item rows, oldest first; none empty.
            seeds: of everything random, one per history.
            num_views: random views of each history, fused. A kind without views ignores it.
            num_beams: per view; about as many items come back.
            is_allowed: by history, the items that may be generated; None allows every item that is not retired.

        Returns:
            Item rows, best first, and log-probabilities per history.
        """

    def with_catalogue(
        self,
        catalogue: Catalogue,
        item_embeddings: Float[np.ndarray, "new dim"] | None = None,
        changed_embeddings: Mapping[int, Float[np.ndarray, "dim"]] | None = None,
    ) -> "ItemGenerator":
        """Return a generator for a later version of the same catalogue.

        Args:
            catalogue: the later version.
            item_embeddings: of its new items, in their order; a generator that reads content needs them.
            changed_embeddings: by row, embeddings of items with other content.
        """
