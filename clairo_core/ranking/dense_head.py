"""Score every item by the product of its vector with an encoded history. Start at `DenseHead.log_probabilities`.

An item's vector is its content embedding through a matrix, plus a part learned from interactions. A posted item has the
first part only; training drops the second part at random, so that the first suffices (as in Volkovs et al. 2017,
"DropoutNet").

Scores are exact for every item: one matrix product. `dense_index` finds the best without it in a large catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from clairo_core.errors import DenseHeadError
from clairo_core.ranking.history_encoder import HISTORY_ENCODERS, HistoryEncoder
from clairo_core.sequences import newest_padded
from clairo_core.storage.array_folder import load_array_folder, load_kind, save_array_folder
from clairo_core.storage.growing_rows import GrowingRows

_PART = "dense-head"
_ENCODER = "encoder."


@dataclass(frozen=True, eq=False)
class DenseHead:
    """One version of the item vectors, and the encoder that all versions share. Immutable."""

    encoder: HistoryEncoder
    vectors: GrowingRows
    """Item times dim, float32, by catalogue row."""
    content_map: Float32[np.ndarray, "content dim"]
    """Maps a posted item's embedding to its vector; no rows where items cannot be posted."""

    @property
    def item_vectors(self) -> Float32[np.ndarray, "item dim"]:
        """By catalogue row."""
        return self.vectors.rows

    @property
    def num_items(self) -> int:
        """Number of scored items."""
        return len(self.item_vectors)

    def on(self, device: torch.device) -> "DenseHead":
        """This head with its encoder and vectors on `device`."""
        self.vectors.on(device)
        return replace(self, encoder=self.encoder.to(device).eval())

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return self.encoder.norm.weight.device

    def with_items(self, item_embeddings: Float[np.ndarray, "new content"]) -> "DenseHead":
        """A version with posted items appended, in the order of their catalogue rows.

        Raises:
            DenseHeadError: the embeddings have another length than in training.
        """
        if item_embeddings.shape[1] != len(self.content_map):
            raise DenseHeadError(
                f"item embeddings have length {item_embeddings.shape[1]}, expected {len(self.content_map)} as in "
                "training; describe items with the bundle of this dense head"
            )
        longer = self.vectors.with_rows((item_embeddings @ self.content_map).astype(np.float32))
        longer.on(self.device)  # now, rather than when the first request asks
        return replace(self, vectors=longer)

    def with_vectors(self, rows: Int[np.ndarray, "changed"], vectors: Float[np.ndarray, "changed dim"]) -> "DenseHead":
        """A version with other vectors in these rows."""
        changed = self.vectors.with_replaced(rows, vectors.astype(np.float32))
        changed.on(self.device)
        return replace(self, vectors=changed)

    @torch.inference_mode()
    def log_probabilities(
        self, histories: Sequence[Int[np.ndarray, "position"]]
    ) -> Float32[np.ndarray, "history item"]:
        """Log-probability that each item comes next, over all items; no history may be empty."""
        products = self.encoded(histories) @ self.vectors.on(self.device).T
        log_probabilities: Float32[np.ndarray, "history item"] = torch.log_softmax(products, dim=1).cpu().numpy()
        return log_probabilities

    @torch.inference_mode()
    def encoded(self, histories: Sequence[Int[np.ndarray, "position"]]) -> Float[Tensor, "history dim"]:
        """The vector of each history; its product with an item's is the item's score."""
        vectors = self.vectors.on(self.device)
        # No earlier position attends to the padding.
        rows, lengths = newest_padded(histories, self.encoder.max_history_items)
        encoded = self.encoder(vectors[torch.from_numpy(rows).to(self.device, non_blocking=True)])
        ends = torch.from_numpy(lengths - 1).to(self.device, non_blocking=True)
        last: Float[Tensor, "history dim"] = encoded[torch.arange(len(rows), device=self.device), ends]
        return last

    def save(self, folder: Path) -> None:
        """Write dense-head.json and the arrays."""
        encoder = {_ENCODER + name: array.cpu().numpy() for name, array in self.encoder.state_dict().items()}
        save_array_folder(
            folder,
            _PART,
            self.encoder.kind,
            {"item_vectors": self.item_vectors, "content_map": self.content_map, **encoder},
            self.encoder.sizes,
        )


def load_dense_head(folder: Path, *, is_indexed: bool = False) -> DenseHead:
    """Load a saved dense head. With an index, vectors are looked up in its file, and not multiplied as a whole.

    Raises:
        DenseHeadError: a file is missing or damaged.
    """
    kind = load_kind(folder, _PART, DenseHeadError)
    if kind not in HISTORY_ENCODERS:
        known = ", ".join(HISTORY_ENCODERS)
        raise DenseHeadError(f"{folder}: dense head of kind {kind!r}, expected one of {known}; update CLAIRO")
    saved = load_array_folder(folder, _PART, kind, DenseHeadError)
    vectors = saved.mapped("item_vectors", np.float32, (None, None))
    dim = vectors.shape[1]
    content_map = saved.array("content_map", np.float32, (None, dim))
    wanted = HISTORY_ENCODERS[kind].size_names
    found = {name: saved.header.get(name) for name in wanted}
    sizes = {name: size for name, size in found.items() if isinstance(size, int) and size > 0}
    if len(sizes) < len(wanted) or dim % sizes.get("num_heads", 1):
        raise DenseHeadError(
            f"{saved.header_path}: sizes {found} do not fit an encoder of {dim} dimensions; copy the folder again"
        )
    encoder = HISTORY_ENCODERS[kind](dim, **sizes)
    weights: dict[str, Tensor] = {}
    for name, weight in encoder.state_dict().items():
        weights[name] = torch.from_numpy(saved.array(_ENCODER + name, np.float32, tuple(weight.shape)))
    encoder.load_state_dict(weights)
    rows = GrowingRows.without_copy(vectors) if is_indexed else GrowingRows(vectors)
    return DenseHead(encoder.eval(), rows, content_map)
