"""Many users' item sequences as two flat arrays, the form that every numeric stage reads."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int32, Int64

from clairo_core.errors import DatasetError


@dataclass(frozen=True, slots=True, eq=False)
class ItemSequences:
    """Sequences of item rows, oldest first, one after another (compressed sparse rows).

    >>> sequences = ItemSequences.from_lists([[3, 1], [], [2]])
    >>> len(sequences), sequences[0].tolist(), sequences.lengths.tolist()
    (3, [3, 1], [2, 0, 1])
    """

    items: Int32[np.ndarray, "position"]
    """Rows of the item table."""
    offsets: Int64[np.ndarray, "sequence+1"]
    """Sequence i is items[offsets[i]:offsets[i + 1]]."""
    weights: Float32[np.ndarray, "position"] | None = None
    """How much each position counts in counts and losses, above 0; None where all count 1."""
    is_target: Bool[np.ndarray, "position"] | None = None
    """Whether each position is learned and measured; None where all are."""

    def __post_init__(self) -> None:
        """Check that the offsets split `items` into sequences.

        Raises:
            DatasetError: the offsets do not rise from 0 to the number of positions, a row is negative, or weights or
                targets are not one per position.
        """
        items, offsets = self.items, self.offsets
        if items.ndim != 1 or offsets.ndim != 1 or len(offsets) == 0:
            raise DatasetError(
                f"got items of shape {items.shape} and offsets of shape {offsets.shape}, expected one dimension each "
                "and at least one offset; use ItemSequences.from_lists"
            )
        if offsets[0] != 0 or offsets[-1] != len(items) or np.any(np.diff(offsets) < 0):
            raise DatasetError(
                f"got offsets {offsets[:3]}...{offsets[-1]}, expected them to rise from 0 to the number of positions, "
                f"{len(items)}; use ItemSequences.from_lengths"
            )
        if len(items) and items.min() < 0:
            raise DatasetError(
                f"position {int(items.argmin())} has item row {items.min()}, expected 0 or more; check the rows"
            )
        for name, of_positions in (("weights", self.weights), ("is_target", self.is_target)):
            if of_positions is not None and of_positions.shape != items.shape:
                raise DatasetError(f"got {name} of shape {of_positions.shape}, expected {items.shape}, as of the items")
        # One form for sequences that are alike, so that all of them take the same path.
        if self.weights is not None:
            all_count_one = bool((self.weights == 1.0).all())
            object.__setattr__(self, "weights", None if all_count_one else np.asarray(self.weights, dtype=np.float32))
        if self.is_target is not None and self.is_target.all():
            object.__setattr__(self, "is_target", None)
        # Kernels take exactly these types in C order. No copy is made where they are right already.
        object.__setattr__(self, "items", np.ascontiguousarray(items, dtype=np.int32))
        object.__setattr__(self, "offsets", np.ascontiguousarray(offsets, dtype=np.int64))

    @classmethod
    def from_lists(cls, sequences: Iterable[Sequence[int]]) -> "ItemSequences":
        """Flatten Python sequences of item rows."""
        rows = [np.asarray(sequence, dtype=np.int32).reshape(-1) for sequence in sequences]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        items = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
        return cls.from_lengths(items, lengths)

    @classmethod
    def from_lengths(cls, items: Int[np.ndarray, "position"], lengths: Int[np.ndarray, "sequence"]) -> "ItemSequences":
        """Split `items` into sequences of these lengths, in order."""
        return cls(items, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Int32[np.ndarray, "position"]:
        """The item rows of one sequence, as a view."""
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        return self.items[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[Int32[np.ndarray, "position"]]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> Int64[np.ndarray, "sequence"]:
        """Number of items in each sequence."""
        return np.diff(self.offsets)

    @property
    def each_weight(self) -> Float64[np.ndarray, "position"]:
        """The weight of every position, 1 where none are set."""
        return np.ones(len(self.items)) if self.weights is None else self.weights.astype(np.float64)

    @property
    def loss_weights(self) -> Float32[np.ndarray, "position"] | None:
        """The weight of every position as a target, 0 where it is not one; None where all weigh 1."""
        if self.is_target is None:
            return self.weights
        return self.is_target.astype(np.float32) if self.weights is None else self.weights * self.is_target

    def select(self, indices: Int[np.ndarray, "chosen"]) -> "ItemSequences":
        """The sequences at `indices`, in that order; repeats are allowed."""
        return self.take(self.offsets[indices], self.lengths[indices])

    def take(self, begins: Int[np.ndarray, "chosen"], lengths: Int[np.ndarray, "chosen"]) -> "ItemSequences":
        """Stretches of positions as sequences: `lengths` of them from each of `begins`."""
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self._at(np.repeat(begins, lengths) + within, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))

    def where(self, is_kept: Bool[np.ndarray, "position"]) -> "ItemSequences":
        """All sequences with some of their positions.

        >>> sequences = ItemSequences.from_lists([[3, 1], [2]])
        >>> [items.tolist() for items in sequences.where(np.array([False, True, False]))]
        [[1], []]
        """
        return self._at(np.flatnonzero(is_kept), np.concatenate([[0], np.cumsum(is_kept)])[self.offsets])

    def _at(
        self, positions: Int64[np.ndarray, "position"], offsets: Int64[np.ndarray, "sequence+1"]
    ) -> "ItemSequences":
        return ItemSequences(
            self.items[positions],
            offsets,
            None if self.weights is None else self.weights[positions],
            None if self.is_target is None else self.is_target[positions],
        )


def newest_padded(
    sequences: Sequence[Int[np.ndarray, "position"]], max_items: int
) -> tuple[Int64[np.ndarray, "sequence position"], Int64[np.ndarray, "sequence"]]:
    """The newest `max_items` of each sequence as rows of a matrix, filled with 0 at the end, and their lengths.

    >>> [array.tolist() for array in newest_padded([np.array([4, 5, 6]), np.array([7])], 2)]
    [[[5, 6], [7, 0]], [2, 1]]
    """
    newest = [np.asarray(sequence)[-max_items:] for sequence in sequences]
    lengths = np.array([len(sequence) for sequence in newest], dtype=np.int64)
    rows = np.zeros((len(newest), int(lengths.max(initial=0))), dtype=np.int64)
    for place, sequence in enumerate(newest):
        rows[place, : len(sequence)] = sequence
    return rows, lengths
