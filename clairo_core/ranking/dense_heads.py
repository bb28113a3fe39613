"""Use several dense heads as one: the mean of their log-probabilities. Start at `DenseHeads.log_probabilities`.

Heads that read histories differently, or began from other random weights, err differently; their mean errs less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from clairo_core.errors import DenseHeadError
from clairo_core.ranking.dense_head import DenseHead, load_dense_head

_FOLDER = "dense-head"


@dataclass(frozen=True, eq=False)
class DenseHeads:
    """One or more heads over the same items, with vectors of one length. Immutable."""

    heads: tuple[DenseHead, ...]

    @property
    def num_items(self) -> int:
        """Number of scored items."""
        return self.heads[0].num_items

    def on(self, device: torch.device) -> "DenseHeads":
        """These heads on `device`."""
        return DenseHeads(tuple(head.on(device) for head in self.heads))

    def with_items(self, item_embeddings: Float[np.ndarray, "new content"]) -> "DenseHeads":
        """A version with posted items appended; see `DenseHead.with_items`."""
        return DenseHeads(tuple(head.with_items(item_embeddings) for head in self.heads))

    def with_vectors(
        self, rows: Int[np.ndarray, "changed"], vectors: Float[np.ndarray, "changed head dim"]
    ) -> "DenseHeads":
        """A version with other vectors in these rows."""
        changed = [head.with_vectors(rows, vectors[:, place]) for place, head in enumerate(self.heads)]
        return DenseHeads(tuple(changed))

    def vectors_of(
        self, item_embedding: Float[np.ndarray, "content"], row: int | None = None
    ) -> Float32[np.ndarray, "head dim"]:
        """Each head's vector of an item with this embedding.

        Args:
            item_embedding: of a posted item. With `row`, the difference between this and the embedding in training.
            row: of a trained item, whose vectors move by the difference.
        """
        by_content = np.stack([item_embedding @ head.content_map for head in self.heads])
        if row is not None:
            by_content += np.stack([head.item_vectors[row] for head in self.heads])
        return by_content.astype(np.float32)

    def log_probabilities(
        self, histories: Sequence[Int[np.ndarray, "position"]]
    ) -> Float32[np.ndarray, "history item"]:
        """Log-probability that each item comes next, over all items; no history may be empty."""
        first, *others = self.heads
        mean = first.log_probabilities(histories)
        if others:
            mean = (mean + sum(head.log_probabilities(histories) for head in others)) / np.float32(len(self.heads))
            mean -= torch.logsumexp(torch.from_numpy(mean), dim=1, keepdim=True).numpy()
        return mean

    def save(self, folder: Path) -> None:
        """Write each head into a folder of its own: dense-head, dense-head-2, and so on."""
        for number, head in enumerate(self.heads, 1):
            head.save(_folder_of(folder, number))


def load_dense_heads(folder: Path) -> DenseHeads:
    """Load saved heads.

    Raises:
        DenseHeadError: a file is missing or damaged, or the heads do not fit each other.
    """
    heads = [load_dense_head(_folder_of(folder, 1))]
    while _folder_of(folder, len(heads) + 1).is_dir():
        heads.append(load_dense_head(_folder_of(folder, len(heads) + 1)))
    shapes = {(head.item_vectors.shape, head.content_map.shape) for head in heads}
    if len(shapes) > 1:
        raise DenseHeadError(
            f"{folder}: dense heads of shapes {sorted(shapes)}, expected one shape; copy the bundle again"
        )
    return DenseHeads(tuple(heads))


def _folder_of(folder: Path, number: int) -> Path:
    return folder / (_FOLDER if number == 1 else f"{_FOLDER}-{number}")
