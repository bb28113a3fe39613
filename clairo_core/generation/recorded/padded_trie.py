"""A trie in tensors of fixed size and address while the catalogue grows, for a recorded search. Start at `PaddedTrie`.

A CUDA graph reads the addresses that it was recorded with. A later version of the trie is copied over the earlier one
on the device, in microseconds; recording again would take seconds, and is needed only when the spare room is used up.
"""

from dataclasses import dataclass

import numpy as np
import torch

from clairo_core.generation.t5.generator import Generator
from clairo_core.generation.trie.device_trie import DeviceTrie, TrieTensors
from clairo_core.generation.trie.trie import ROOT, Trie

_MIN_SPARE = 64


@dataclass(frozen=True, slots=True)
class TrieShape:
    """Sizes that hold a trie, and the most children that the beams of one view can have at each step."""

    num_nodes: int
    num_items: int
    num_at_root: int
    """Children of the root."""
    child_widths: tuple[int, ...]
    """For the beams at each level below the root, as far as beams continue."""

    def holds(self, other: "TrieShape") -> bool:
        """Whether a trie that needs `other` fits."""
        return (
            self.num_nodes >= other.num_nodes
            and self.num_items >= other.num_items
            and self.num_at_root >= other.num_at_root
            and len(self.child_widths) >= len(other.child_widths)
            and all(mine >= theirs for mine, theirs in zip(self.child_widths, other.child_widths, strict=False))
        )

    def with_spare_room(self) -> "TrieShape":
        """An eighth more of everything; a level without children stays the last: another step costs time."""
        return TrieShape(
            roomier(self.num_nodes),
            roomier(self.num_items),
            roomier(self.num_at_root),
            tuple(roomier(width) if width else 0 for width in self.child_widths),
        )


def roomier(size: int) -> int:
    """An eighth more, at least 64.

    >>> [roomier(size) for size in (0, 8, 8000)]
    [64, 72, 9000]
    """
    return size + max(size // 8, _MIN_SPARE)


def needed_shape(trie: Trie, num_beams: int, *, is_reachable_softmax: bool) -> TrieShape:
    """The shape that a trie needs: beams of a view are distinct nodes, so those with most children are the worst case.

    With a softmax over reachable tokens, a node with a single item below is never a beam.
    """
    num_children = np.diff(trie.first_child)
    goes_on = np.ones(trie.num_nodes, dtype=np.bool_)
    if is_reachable_softmax:
        goes_on = trie.items_end - trie.items_begin >= 2
    starts = trie.level_starts
    widths = []
    for begin, end in zip(starts[1:-1].tolist(), starts[2:].tolist(), strict=True):
        counts = num_children[begin:end][goes_on[begin:end]]
        if not len(counts):
            break
        if len(counts) > num_beams:
            counts = np.partition(counts, len(counts) - num_beams)[-num_beams:]
        widths.append(int(counts.sum()))
    return TrieShape(trie.num_nodes, trie.num_items, int(trie.first_child[1]) - 1, tuple(widths))


class PaddedTrie(TrieTensors):
    """Tensors of one shape that hold one trie after another; call `load` before the first search."""

    def __init__(self, shape: TrieShape, generator: Generator, *, is_reachable_softmax: bool) -> None:
        def room(size: int) -> torch.Tensor:
            return torch.zeros(size, dtype=torch.int32, device=generator.device)

        self.shape = shape
        super().__init__(
            is_reachable_softmax=is_reachable_softmax,
            tokens=room(shape.num_nodes),
            first_child=room(shape.num_nodes + 1),
            item_of_node=room(shape.num_nodes),
            items_begin=room(shape.num_nodes),
            items_end=room(shape.num_nodes),
            item_order=room(shape.num_items),
            live_before=room(shape.num_items + 1)[None],
            live_items=room(shape.num_items + 1),
            # Places past the root's children are other nodes or none; `is_root_child` tells them apart.
            root_children=torch.arange(1, shape.num_at_root + 1, device=generator.device).clamp_(
                max=shape.num_nodes - 1
            ),
            root_output=torch.zeros(shape.num_at_root, generator.config.d_model, device=generator.device),
        )

    def load(self, trie: DeviceTrie) -> None:
        """Copy a trie that fits the shape, asynchronously."""
        num_nodes, num_items = len(trie.tokens), len(trie.item_order)
        # Zeros or leftovers behind the copied part are never reached from the root.
        self.tokens[:num_nodes] = trie.tokens
        self.first_child[: num_nodes + 1] = trie.first_child
        self.item_of_node[:num_nodes] = trie.item_of_node
        self.items_begin[:num_nodes] = trie.items_begin
        self.items_end[:num_nodes] = trie.items_end
        self.item_order[:num_items] = trie.item_order
        self.live_before[:, : num_items + 1] = trie.live_before
        self.live_items[: len(trie.live_items)] = trie.live_items
        self.root_output[: len(trie.root_output)] = trie.root_output

    def is_root_child(self) -> torch.Tensor:
        """Which of `root_children` are children of the loaded trie's root."""
        return torch.arange(1, self.shape.num_at_root + 1, device=self.tokens.device) < self.first_child[ROOT + 1]
