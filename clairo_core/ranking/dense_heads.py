"""Use several dense heads as one: the mean of their log-probabilities. Start at `DenseHeads.log_probabilities`.

Heads that read histories differently, or began from other random weights, err differently; their mean errs less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64

from clairo_core.errors import DenseHeadError
from clairo_core.ranking.dense_head import DenseHead, load_dense_head
from clairo_core.ranking.dense_index import INDEXED_FROM, DenseIndex, build_dense_index, load_dense_index
from clairo_core.ranking.dense_scores import SPARE, DenseScores, ExactScores, IndexedScores

_FOLDER, _INDEX = "dense-head", "dense-index.faiss"


@dataclass(frozen=True, eq=False)
class DenseHeads:
    """One or more heads over the same items, with vectors of one length. Immutable."""

    heads: tuple[DenseHead, ...]
    index: DenseIndex | None = None
    """Of a large catalogue's items as trained; used on the CPU."""
    changed: Int64[np.ndarray, "changed"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Rows that the index holds with another vector."""

    @property
    def num_items(self) -> int:
        """Number of scored items."""
        return self.heads[0].num_items

    def on(self, device: torch.device) -> "DenseHeads":
        """These heads on `device`."""
        return replace(self, heads=tuple(head.on(device) for head in self.heads))

    def with_items(self, item_embeddings: Float[np.ndarray, "new content"]) -> "DenseHeads":
        """A version with posted items appended; see `DenseHead.with_items`."""
        return replace(self, heads=tuple(head.with_items(item_embeddings) for head in self.heads))

    def with_vectors(
        self, rows: Int[np.ndarray, "changed"], vectors: Float[np.ndarray, "changed head dim"]
    ) -> "DenseHeads":
        """A version with other vectors in these rows."""
        changed = [head.with_vectors(rows, vectors[:, place]) for place, head in enumerate(self.heads)]
        return replace(self, heads=tuple(changed), changed=np.union1d(self.changed, rows))

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

    def scores(self, histories: Sequence[Int[np.ndarray, "position"]], num_best: Sequence[int]) -> list[DenseScores]:
        """Score each history's items: so many of its best are asked for. Exact without an index, and on a GPU."""
        if self.index is None or self.heads[0].device.type != "cpu":
            return [ExactScores(of_history) for of_history in self.log_probabilities(histories)]
        queries = [head.encoded(histories).numpy() / np.float32(len(self.heads)) for head in self.heads]
        vectors = tuple(head.item_vectors for head in self.heads)
        num_posted = self.num_items - self.index.num_items
        not_indexed = np.union1d(self.changed, np.arange(num_posted) + self.index.num_items)
        found = self.index.nearest(np.concatenate(queries, axis=1), int(SPARE * max(num_best)))
        return [
            IndexedScores(tuple(of_heads), vectors, self.index, best_first[: int(SPARE * count)], not_indexed)
            for *of_heads, best_first, count in zip(*queries, found, num_best, strict=True)
        ]

    def indexed(self) -> "DenseHeads":
        """These heads with an index of their items as they are."""
        index = build_dense_index([head.item_vectors for head in self.heads])
        return replace(self, index=index, changed=np.zeros(0, dtype=np.int64))

    def save(self, folder: Path) -> None:
        """Write each head into a folder of its own: dense-head, dense-head-2, and so on. Many items are indexed."""
        for number, head in enumerate(self.heads, 1):
            head.save(_folder_of(folder, number))
        if self.num_items >= INDEXED_FROM:
            is_current = self.index is not None and self.index.num_items == self.num_items and not len(self.changed)
            index = (self if is_current else self.indexed()).index
            assert index is not None
            index.save(folder / _INDEX)


def load_dense_heads(folder: Path) -> DenseHeads:
    """Load saved heads.

    Raises:
        DenseHeadError: a file is missing or damaged, or the heads do not fit each other.
    """
    is_indexed = (folder / _INDEX).exists()
    heads = [load_dense_head(_folder_of(folder, 1), is_indexed=is_indexed)]
    while _folder_of(folder, len(heads) + 1).is_dir():
        heads.append(load_dense_head(_folder_of(folder, len(heads) + 1), is_indexed=is_indexed))
    shapes = {(head.item_vectors.shape, head.content_map.shape) for head in heads}
    if len(shapes) > 1:
        raise DenseHeadError(
            f"{folder}: dense heads of shapes {sorted(shapes)}, expected one shape; copy the bundle again"
        )
    index = None
    if is_indexed:
        index = load_dense_index(folder / _INDEX, [head.item_vectors for head in heads])
    return DenseHeads(tuple(heads), index)


def _folder_of(folder: Path, number: int) -> Path:
    return folder / (_FOLDER if number == 1 else f"{_FOLDER}-{number}")
