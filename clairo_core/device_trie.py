"""A trie's arrays where the generator is, with what its softmax needs to know of every node.

Knows nodes and item rows; knows nothing of scores, views or beams.
"""

import numpy as np
import torch
from jaxtyping import Bool, Int32
from torch import Tensor

from clairo_core.generator import Generator
from clairo_core.generator_checkpoint import Softmax
from clairo_core.trie import Trie


class DeviceTrie:
    """A trie on the generator's device, and the root's part of the output matrix.

    A node's options are its children with an item below that is not retired, and its end if such an item ends there.
    Where the generator's softmax is over what can be reached, it is over the options: no filter changes it.
    """

    def __init__(self, trie: Trie, generator: Generator) -> None:
        def on_device(array: Int32[np.ndarray, "..."]) -> Int32[Tensor, "..."]:
            return torch.from_numpy(array).to(generator.device)

        self.trie = trie
        self.is_reachable_softmax = generator.config.softmax is Softmax.REACHABLE
        self.tokens = on_device(trie.tokens)
        self.first_child = on_device(trie.first_child)
        self.item_of_node = on_device(trie.item_of_node)
        self.items_begin = on_device(trie.items_begin)
        self.items_end = on_device(trie.items_end)
        live_before = trie.live_before()
        self.live_before = on_device(live_before)
        num_live = live_before[0, trie.items_end] - live_before[0, trie.items_begin]
        self.is_option: Bool[Tensor, node] = torch.from_numpy(num_live > 0).to(generator.device)
        # The end is an option where the first item at or below a node ends at it and is not retired.
        first = np.minimum(trie.items_begin + 1, trie.num_items)
        ends = (trie.item_of_node >= 0) & (live_before[0, first] > live_before[0, trie.items_begin])
        self.is_end_option: Bool[Tensor, node] = torch.from_numpy(ends).to(generator.device)
        live_items = trie.item_order[~trie.is_retired[trie.item_order]]
        only_items = np.full(trie.num_nodes, -1, dtype=np.int32)
        has_one = num_live == 1
        only_items[has_one] = live_items[live_before[0, trie.items_begin[has_one]]]
        self.only_items = on_device(only_items)
        """The one item at or below a node that is not retired, or -1: all tokens that follow are certain."""
        num_at_root = int(trie.first_child[1]) - 1
        self.root_children = torch.arange(1, num_at_root + 1, device=generator.device)
        self.root_output = generator.output_rows(self.tokens[1 : num_at_root + 1])
