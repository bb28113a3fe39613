"""Cut users' sequences into windows to train on, batched by length. Start at `WindowEpochs`.

Every position of a window but the last is an input, every one but the first a target. Successive windows of a sequence
share an item, so each interaction but the first is a target once. Interactions that are not learned are inputs alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from clairo_core.errors import TrainingError
from clairo_core.sequences import ItemSequences
from training.workbench.user_share import drawn_rows, most_per_user

NOTHING = -1
"""The target of padding, and of positions before an interaction that is not learned."""
_BATCHES_SORTED_TOGETHER = 50


@dataclass(frozen=True, slots=True, eq=False)
class NextItemBatch:
    """Windows of near-equal length, padded at the end."""

    inputs: Int64[Tensor, "window position"]
    targets: Int64[Tensor, "window position"]
    """The next items, or `NOTHING`."""
    weights: Float32[Tensor, "window position"] | None = None
    """Of the targets; None where all weigh 1."""

    @property
    def total_weight(self) -> float:
        """Of all targets."""
        is_target = self.targets != NOTHING
        return float(is_target.sum() if self.weights is None else self.weights[is_target].sum())

    def every(self, step: int, first: int) -> "NextItemBatch":
        """Each `step`-th window from `first` on."""
        weights = None if self.weights is None else self.weights[first::step]
        return NextItemBatch(self.inputs[first::step], self.targets[first::step], weights)

    def to(self, device: torch.device) -> "NextItemBatch":
        """The batch on a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return NextItemBatch(self.inputs.to(device), self.targets.to(device), weights)


def cut_windows(sequences: ItemSequences, max_inputs: int) -> Int64[np.ndarray, "window bound"]:
    """First position and end of each window in the flat sequences. The newest window of a sequence is full.

    Windows without a target are left out.

    >>> cut_windows(ItemSequences.from_lists([[7, 8, 9, 7, 8], [1]]), 2).tolist()
    [[2, 5], [0, 3]]
    """
    begins, ends = sequences.offsets[:-1], sequences.offsets[1:]
    num_windows = -(-np.maximum(sequences.lengths - 1, 0) // max_inputs)
    place = np.arange(int(num_windows.sum())) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
    last = np.repeat(ends, num_windows) - place * max_inputs
    first = np.maximum(np.repeat(begins, num_windows), last - max_inputs - 1)
    if sequences.is_target is not None:
        num_before = np.concatenate([[0], np.cumsum(sequences.is_target)])
        is_asked = num_before[last] > num_before[first + 1]
        first, last = first[is_asked], last[is_asked]
    return np.stack([first, last], axis=1)


def windows_per_user(
    sequences: ItemSequences, max_inputs: int, max_user_examples: int
) -> tuple[Int64[np.ndarray, "user"], int]:
    """Windows that `cut_windows` gives for each user, and the most of one user per epoch."""
    num_targets = np.maximum(sequences.lengths - 1, 0)
    most = -(-most_per_user(num_targets, max_user_examples) // max_inputs)
    if sequences.is_target is None:
        return -(-num_targets // max_inputs), most
    user = np.searchsorted(sequences.offsets, cut_windows(sequences, max_inputs)[:, 0], side="right") - 1
    return np.bincount(user, minlength=len(sequences)), most


def next_item_batches(
    sequences: ItemSequences, windows: Int64[np.ndarray, "window bound"], positions_per_batch: int, seed: int
) -> Iterator[NextItemBatch]:
    """One epoch in random order. A batch has about `positions_per_batch` positions, padding included."""
    rng = np.random.default_rng(seed)
    lengths = windows[:, 1] - windows[:, 0]
    items, loss_weights = sequences.items, sequences.loss_weights
    next_items = items if sequences.is_target is None else np.where(sequences.is_target, items, NOTHING)
    order = rng.permutation(len(windows))
    for batch in _grouped(order, lengths, positions_per_batch, rng):
        width = int(lengths[batch].max()) - 1
        inputs = np.zeros((len(batch), width), dtype=np.int64)
        targets = np.full((len(batch), width), NOTHING, dtype=np.int64)
        weights = None if loss_weights is None else np.zeros((len(batch), width), dtype=np.float32)
        for row, (begin, end) in enumerate(windows[batch]):
            inputs[row, : end - begin - 1] = items[begin : end - 1]
            targets[row, : end - begin - 1] = next_items[begin + 1 : end]
            if weights is not None and loss_weights is not None:
                weights[row, : end - begin - 1] = loss_weights[begin + 1 : end]
        yield NextItemBatch(
            torch.from_numpy(inputs),
            torch.from_numpy(targets),
            None if weights is None else torch.from_numpy(weights),
        )


class WindowEpochs:
    """Windows of all users, and those of each epoch: all, or a fresh sample of them."""

    def __init__(
        self, sequences: ItemSequences, *, max_inputs: int, max_user_examples: int, examples_per_epoch: int
    ) -> None:
        """Cut the windows.

        Args:
            sequences: of items.
            max_inputs: of a window.
            max_user_examples: most targets of one user per epoch, see `most_per_user`, in whole windows.
            examples_per_epoch: most targets of an epoch, but at least those of one window; 0 sets no limit.

        Raises:
            TrainingError: no sequence has two items.
        """
        self.sequences, self.examples_per_epoch = sequences, examples_per_epoch
        self.windows = cut_windows(sequences, max_inputs)
        if not len(self.windows):
            raise TrainingError("no user has two items in training, so there is nothing to learn; add interactions")
        self._of_users, self._most_of_user = windows_per_user(sequences, max_inputs, max_user_examples)

    def drawn(self, seed: int) -> Int64[np.ndarray, "window bound"]:
        """The windows of one epoch."""
        random = np.random.default_rng(seed)
        drawn: Int64[np.ndarray, "window bound"]
        drawn = self.windows[drawn_rows(self._of_users, self._most_of_user, random)]
        num_targets = drawn[:, 1] - drawn[:, 0] - 1
        if not 0 < self.examples_per_epoch < num_targets.sum():
            return drawn
        order = random.permutation(len(drawn))
        num_fitting = np.searchsorted(np.cumsum(num_targets[order]), self.examples_per_epoch, side="right")
        drawn = drawn[np.sort(order[: max(int(num_fitting), 1)])]
        return drawn

    def batches(self, seed: int, positions_per_batch: int) -> tuple[list[NextItemBatch], int]:
        """The batches of one epoch, and how many there are."""
        of_epoch = list(next_item_batches(self.sequences, self.drawn(seed), positions_per_batch, seed))
        return of_epoch, len(of_epoch)


def _grouped(
    order: Int64[np.ndarray, "window"],
    lengths: Int64[np.ndarray, "window"],
    positions_per_batch: int,
    rng: np.random.Generator,
) -> list[Int64[np.ndarray, "window"]]:
    """Sort stretches of the random order by length, cut them into batches, and shuffle the batches."""
    per_batch = max(1, int(positions_per_batch / max(float(lengths.mean()) - 1.0, 1.0)))
    batches: list[Int64[np.ndarray, "window"]] = []
    for start in range(0, len(order), per_batch * _BATCHES_SORTED_TOGETHER):
        stretch = order[start : start + per_batch * _BATCHES_SORTED_TOGETHER]
        stretch = stretch[np.argsort(lengths[stretch], kind="stable")]
        begin = 0
        while begin < len(stretch):
            # A batch of long windows has fewer of them.
            width = int(lengths[stretch[min(begin + per_batch, len(stretch)) - 1]]) - 1
            size = max(1, min(per_batch, positions_per_batch // max(width, 1)))
            batches.append(stretch[begin : begin + size])
            begin += size
    return [batches[place] for place in rng.permutation(len(batches))]
