"""Split every user's sequence leave-last-out: the last item tests, the one before validates, the rest trains.

Users with fewer than three items only train.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

from clairo_core.sequences import ItemSequences
from training.datasets.dataset import Dataset

MIN_ITEMS_TO_EVALUATE = 3


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSplit:
    """One next item to predict per user with enough items."""

    histories: ItemSequences
    """Items before the target, oldest first."""
    targets: Int32[np.ndarray, "user"]
    user_rows: Int32[np.ndarray, "user"]
    """The users' rows in the dataset, ascending."""


def training_sequences(dataset: Dataset) -> ItemSequences:
    """Every user's sequence without its last two items; sequences of fewer than three items stay whole.

    Row i is the dataset's user i.
    """
    lengths = dataset.sequences.lengths
    is_evaluated = lengths >= MIN_ITEMS_TO_EVALUATE
    return _beginnings(dataset.sequences, np.arange(len(lengths)), np.where(is_evaluated, lengths - 2, lengths))


def validation_split(dataset: Dataset) -> EvaluationSplit:
    """Predict each second to last item from those before it."""
    return _evaluation_split(dataset.sequences, items_left_out=2)


def test_split(dataset: Dataset) -> EvaluationSplit:
    """Predict each last item from all before it."""
    return _evaluation_split(dataset.sequences, items_left_out=1)


# pytest would collect it as a test wherever it is imported.
test_split.__test__ = False  # type: ignore[attr-defined]


def training_items(dataset: Dataset) -> Bool[np.ndarray, "item"]:
    """Mark the items that occur in a training sequence."""
    is_training_item = np.zeros(len(dataset.items), dtype=np.bool_)
    is_training_item[training_sequences(dataset).items] = True
    return is_training_item


def some_users(split: EvaluationSplit, count: int, seed: int) -> EvaluationSplit:
    """Draw a seeded sample of at most `count` users, in order; 0 keeps all."""
    if count == 0 or len(split.targets) <= count:
        return split
    chosen = np.sort(np.random.default_rng(seed).permutation(len(split.targets))[:count])
    return EvaluationSplit(
        split.histories.select(chosen),
        split.targets[chosen],
        split.user_rows[chosen],
    )


def _evaluation_split(sequences: ItemSequences, items_left_out: int) -> EvaluationSplit:
    user_rows = np.flatnonzero(sequences.lengths >= MIN_ITEMS_TO_EVALUATE)
    lengths = sequences.lengths[user_rows] - items_left_out
    targets = sequences.items[sequences.offsets[user_rows] + lengths]
    return EvaluationSplit(_beginnings(sequences, user_rows, lengths), targets, user_rows.astype(np.int32))


def _beginnings(sequences: ItemSequences, rows: np.ndarray, lengths: np.ndarray) -> ItemSequences:
    """The first `lengths[i]` items of sequence `rows[i]`."""
    step = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    positions = np.repeat(sequences.offsets[rows], lengths) + step
    return ItemSequences.from_lengths(sequences.items[positions], lengths)
