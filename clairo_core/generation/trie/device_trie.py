"""A trie's arrays on the generator's device, and the options of every node for its softmax."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from clairo_core.generation.t5.generator import Generator
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.generation.trie.trie import Trie


@dataclass(eq=False)
class TrieTensors:
    """`Trie`'s arrays as tensors, and the root's part of the output matrix.

    A node's options are its children with an item at or below that is not retired, and its end if such an item ends
    there. A softmax over reachable tokens is over the options, independent of any filter.
    """

    is_reachable_softmax: bool
    tokens: Int32[Tensor, "node"]
    first_child: Int32[Tensor, "node+1"]
    item_of_node: Int32[Tensor, "node"]
    items_begin: Int32[Tensor, "node"]
    items_end: Int32[Tensor, "node"]
    item_order: Int32[Tensor, "item"]
    live_before: Int32[Tensor, "1 item+1"]
    live_items: Int32[Tensor, "live+1"]
    """Items that are not retired, in the trie's order, then -1 for nodes without such an item."""
    root_children: Int[Tensor, "child"]
    root_output: Float[Tensor, "child d_model"]

    def is_option(self, nodes: Int[Tensor, "*node"]) -> Bool[Tensor, "*node"]:
        """Whether an item at or below the node is not retired."""
        live = self.live_before[0]
        return live[self.items_end[nodes]] > live[self.items_begin[nodes]]

    def is_end_option(self, nodes: Int[Tensor, "*node"]) -> Bool[Tensor, "*node"]:
        """Whether an item that is not retired ends at the node; it is the first at or below."""
        live, begins = self.live_before[0], self.items_begin[nodes]
        has_item = self.item_of_node[nodes] >= 0
        return has_item & (live[begins + has_item] > live[begins])

    def only_items(self, nodes: Int[Tensor, "*node"]) -> Int[Tensor, "*node"]:
        """The only item at or below the node that is not retired, or -1; its remaining tokens are certain."""
        live = self.live_before[0]
        before = live[self.items_begin[nodes]]
        return torch.where(live[self.items_end[nodes]] - before == 1, self.live_items[before], -1)


class DeviceTrie(TrieTensors):
    """A trie on the generator's device."""

    def __init__(self, trie: Trie, generator: Generator) -> None:
        def on_device(array: Int32[np.ndarray, "..."]) -> Int32[Tensor, "..."]:
            return torch.from_numpy(array).to(generator.device)

        self.trie = trie
        live_items = (
            trie.item_order if not trie.is_retired.any() else trie.item_order[~trie.is_retired[trie.item_order]]
        )
        num_at_root = int(trie.first_child[1]) - 1
        tokens = on_device(trie.tokens)
        super().__init__(
            is_reachable_softmax=generator.config.softmax is Softmax.REACHABLE,
            tokens=tokens,
            first_child=on_device(trie.first_child),
            item_of_node=on_device(trie.item_of_node),
            items_begin=on_device(trie.items_begin),
            items_end=on_device(trie.items_end),
            item_order=on_device(trie.item_order),
            live_before=on_device(trie.live_before()),
            live_items=on_device(np.append(live_items, np.int32(-1))),
            root_children=torch.arange(1, num_at_root + 1, device=generator.device),
            root_output=generator.output_rows(tokens[1 : num_at_root + 1]),
        )
