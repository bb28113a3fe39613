"""Score items by a sparse item-to-item matrix, summed over the history and weighted by age.

The matrix holds counts of which item follows which, or the strongest weights of EASE.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int
from scipy import sparse

from clairo_core.errors import ItemWeightsError
from clairo_core.ranking.count_increments import grown, padded
from clairo_core.storage.array_folder import ArrayFolder, load_array_folder, save_array_folder

_PART, _COUNTS_PART, _KIND = "item-weights", "pair-counts", "sparse"


@dataclass(frozen=True, slots=True, eq=False)
class RowScale:
    """What the counts of a row were divided by: (total + shrinkage) ** power."""

    totals: Float64[np.ndarray, "item"]
    shrinkage: float
    power: float

    def with_totals(self, added: Float64[np.ndarray, "all"]) -> "RowScale":
        """The scale after more counts; `added` has a number for each item of a later catalogue."""
        return replace(self, totals=padded(self.totals, len(added)) + added)

    @property
    def divisors(self) -> Float64[np.ndarray, "item"]:
        """One per row; 1 for a row without counts."""
        divisors: Float64[np.ndarray, "item"] = np.where(self.totals > 0, self.totals + self.shrinkage, 1.0)
        return divisors**self.power


@dataclass(frozen=True, slots=True, eq=False)
class ItemWeights:
    """An item of the history (row) adds to the score of another (column). Items posted since are in neither."""

    matrix: sparse.csr_matrix
    """float32, item x item."""
    age_weights: Float64[np.ndarray, "age"]
    """Of the history's last item, the one before it, ...; older items count nothing."""
    scale: RowScale | None = None
    """None in bundles of before, whose weights stay those of training."""

    def with_counts(self, counts: sparse.csr_matrix, totals: Float64[np.ndarray, "item"]) -> "ItemWeights":
        """The weights after more counts.

        Exact for followers. For EASE an approximation of the first order, which ignores that two items of a history
        may explain the same third one: the counts of a pair over users plus regularization.

        Args:
            counts: item x item of a later catalogue.
            totals: what they add to the total of each row.
        """
        if self.scale is None:
            return self
        scale = self.scale.with_totals(totals)
        before = padded(self.scale.divisors, len(totals))
        shrunk = sparse.diags((before / scale.divisors).astype(np.float32)) @ grown(self.matrix, len(totals))
        added = sparse.diags((1.0 / scale.divisors).astype(np.float32)) @ counts
        return replace(self, matrix=(shrunk + added).tocsr(), scale=scale)

    def scores(
        self, histories: Sequence[Int[np.ndarray, "position"]], num_items: int
    ) -> Float32[np.ndarray, "history item"]:
        """The weighted sum for each of `num_items` items; 0 without a weight from the history."""
        num_known = self.matrix.shape[0]
        users, items, weights = [], [], []
        for user, history in enumerate(histories):
            newest_first = np.asarray(history)[::-1][: len(self.age_weights)]
            is_known = newest_first < num_known
            items.append(newest_first[is_known])
            weights.append(self.age_weights[: len(newest_first)][is_known])
            users.append(np.full(len(items[-1]), user))
        recent = sparse.csr_matrix(
            (np.concatenate(weights), (np.concatenate(users), np.concatenate(items))),
            shape=(len(histories), num_known),
            dtype=np.float32,
        )
        scores = np.zeros((len(histories), num_items), dtype=np.float32)
        scores[:, :num_known] = (recent @ self.matrix).toarray()
        return scores

    def save(self, folder: Path) -> None:
        """Write item-weights.json and the arrays."""
        arrays = arrays_of(self.matrix) | {"age_weights": self.age_weights.astype(np.float64)}
        if self.scale is not None:
            arrays |= {
                "totals": self.scale.totals.astype(np.float64),
                "shrinkage_and_power": np.array([self.scale.shrinkage, self.scale.power]),
            }
        save_array_folder(folder, _PART, _KIND, arrays)


def load_item_weights(folder: Path) -> ItemWeights:
    """Load saved item weights.

    Raises:
        ItemWeightsError: a file is missing or damaged.
    """
    saved = load_array_folder(folder, _PART, _KIND, ItemWeightsError)
    matrix = matrix_of(saved)
    scale = None
    if "totals" in saved.arrays:
        shrinkage, power = saved.array("shrinkage_and_power", np.float64, (2,)).tolist()
        scale = RowScale(saved.array("totals", np.float64, (matrix.shape[0],)), shrinkage, power)
    return ItemWeights(matrix, saved.array("age_weights", np.float64, (None,)), scale)


def save_pair_counts(folder: Path, together: sparse.csr_matrix) -> None:
    """Write how many users have both items of each pair, as pair-counts.json and the arrays."""
    save_array_folder(folder, _COUNTS_PART, _KIND, arrays_of(together))


def load_pair_counts(folder: Path) -> sparse.csr_matrix:
    """Load saved pair counts.

    Raises:
        ItemWeightsError: a file is missing or damaged.
    """
    return matrix_of(load_array_folder(folder, _COUNTS_PART, _KIND, ItemWeightsError))


def arrays_of(matrix: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """A sparse matrix as arrays to save."""
    return {
        "weights": matrix.data.astype(np.float32),
        "columns": matrix.indices.astype(np.int32),
        "offsets": matrix.indptr.astype(np.int64),
    }


def matrix_of(saved: ArrayFolder) -> sparse.csr_matrix:
    """A square sparse matrix from saved arrays.

    Raises:
        ItemWeightsError: the arrays do not fit each other.
    """
    weights = saved.mapped("weights", np.float32, (None,))
    columns = saved.mapped("columns", np.int32, (len(weights),))
    offsets = saved.mapped("offsets", np.int64, (None,))
    num_items = len(offsets) - 1
    is_whole = (
        num_items >= 0 and offsets[0] == 0 and offsets[-1] == len(weights) and bool(np.all(np.diff(offsets) >= 0))
    )
    if not is_whole or (len(columns) and not 0 <= columns.min() <= columns.max() < num_items):
        raise ItemWeightsError(
            f"{saved.header_path.parent}: rows and columns do not fit each other; copy the folder again"
        )
    return sparse.csr_matrix((weights, columns, offsets), shape=(num_items, num_items))
