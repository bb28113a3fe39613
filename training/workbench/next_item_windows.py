"""Cut users' sequences into windows to train on, batched by length.

Every position of a window but the last is an input, every one but the first a target. Successive windows of a sequence
share an item, so each interaction but the first is a target once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from clairo_core.sequences import ItemSequences
from training.workbench.user_share import most_per_user

NOTHING = -1
"""The target of padding."""
_BATCHES_SORTED_TOGETHER = 50


@dataclass(frozen=True, slots=True, eq=False)
class NextItemBatch:
    """Windows of near-equal length, padded at the end."""

    inputs: Int64[Tensor, "window position"]
    targets: Int64[Tensor, "window position"]
    """`NOTHING` for padding."""


def cut_windows(sequences: ItemSequences, max_inputs: int) -> Int64[np.ndarray, "window bound"]:
    """First position and end of each window in the flat sequences. The newest window of a sequence is full.

    >>> cut_windows(ItemSequences.from_lists([[7, 8, 9, 7, 8], [1]]), 2).tolist()
    [[2, 5], [0, 3]]
    """
    windows = []
    for begin, end in zip(sequences.offsets[:-1].tolist(), sequences.offsets[1:].tolist(), strict=True):
        last = end
        while last - begin > 1:
            windows.append((max(begin, last - max_inputs - 1), last))
            last -= max_inputs
    return np.array(windows, dtype=np.int64).reshape(-1, 2)


def windows_per_user(
    sequences: ItemSequences, max_inputs: int, max_user_examples: int
) -> tuple[Int64[np.ndarray, "user"], int]:
    """Windows that `cut_windows` gives for each user, and the most of one user per epoch."""
    num_targets = np.maximum(sequences.lengths - 1, 0)
    most_targets = most_per_user(num_targets, max_user_examples)
    return -(-num_targets // max_inputs), -(-most_targets // max_inputs)


def next_item_batches(
    sequences: ItemSequences, windows: Int64[np.ndarray, "window bound"], positions_per_batch: int, seed: int
) -> Iterator[NextItemBatch]:
    """One epoch in random order. A batch has about `positions_per_batch` positions, padding included."""
    rng = np.random.default_rng(seed)
    lengths = windows[:, 1] - windows[:, 0]
    order = rng.permutation(len(windows))
    for batch in _grouped(order, lengths, positions_per_batch, rng):
        width = int(lengths[batch].max()) - 1
        inputs = np.zeros((len(batch), width), dtype=np.int64)
        targets = np.full((len(batch), width), NOTHING, dtype=np.int64)
        for row, (begin, end) in enumerate(windows[batch]):
            inputs[row, : end - begin - 1] = sequences.items[begin : end - 1]
            targets[row, : end - begin - 1] = sequences.items[begin + 1 : end]
        yield NextItemBatch(torch.from_numpy(inputs), torch.from_numpy(targets))


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
