"""Turn item sequences into padded windows of bounded length, in shuffled batches of near-equal lengths.

Padding follows a window's items.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from clairo_core.sequences import ItemSequences

POOL_BATCHES = 20
"""Windows are sorted by length within a pool of this many batches."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A batch of histories; item rows are padded with `num_items`, which is not an item."""

    items: Int[Tensor, "user place"]
    lengths: Int[Tensor, "user"]
    weights: Float[Tensor, "user place"] | None = None
    """Of each place as a target, 0 for padding; None where all weigh 1."""


def last_windows(histories: ItemSequences, num_items: int, max_length: int) -> Windows:
    """Take each history's newest `max_length` items."""
    lengths = np.minimum(histories.lengths, max_length)
    return _windows(histories, histories.offsets[1:] - lengths, lengths, num_items)


def window_batches(
    training: ItemSequences, num_items: int, *, max_length: int, batch_size: int, random: np.random.Generator
) -> Iterator[Windows]:
    """Yield one epoch: every sequence of two or more items once, of longer than `max_length` a random part."""
    users = random.permutation(np.flatnonzero(training.lengths >= 2))
    lengths, loss_weights = np.minimum(training.lengths[users], max_length), training.loss_weights
    starts = training.offsets[users] + random.integers(0, training.lengths[users] - lengths + 1)
    for first in range(0, len(users), batch_size * POOL_BATCHES):
        pool = np.arange(first, min(first + batch_size * POOL_BATCHES, len(users)))
        by_length = pool[np.argsort(lengths[pool], kind="stable")]
        batches = [by_length[place : place + batch_size] for place in range(0, len(pool), batch_size)]
        for batch in (batches[place] for place in random.permutation(len(batches))):
            yield _windows(training, starts[batch], lengths[batch], num_items, loss_weights)


def number_of_window_batches(training: ItemSequences, batch_size: int) -> int:
    """Number of batches of `window_batches`."""
    num_users = int(np.count_nonzero(training.lengths >= 2))
    whole_pools, rest = divmod(num_users, batch_size * POOL_BATCHES)
    return whole_pools * POOL_BATCHES + -(-rest // batch_size)


def _windows(
    sequences: ItemSequences,
    starts: Int64[np.ndarray, "user"],
    lengths: Int64[np.ndarray, "user"],
    num_items: int,
    loss_weights: Float32[np.ndarray, "position"] | None = None,
) -> Windows:
    places = np.arange(max(1, int(lengths.max(initial=0))))
    is_item = places < lengths[:, None]
    items = np.full(is_item.shape, num_items, dtype=np.int64)
    positions = (starts[:, None] + places)[is_item]
    items[is_item] = sequences.items[positions]
    weights = None
    if loss_weights is not None:
        weights = torch.zeros(is_item.shape)
        weights[torch.from_numpy(is_item)] = torch.from_numpy(loss_weights[positions])
    return Windows(torch.from_numpy(items), torch.from_numpy(lengths.astype(np.int64)), weights)
