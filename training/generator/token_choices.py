"""For every token of every catalogue item, the alternatives in its place. Start at `token_choices`.

Most tokens of an item have none: two or three tokens identify it. A model that is trained on choices alone need not
memorize the catalogue.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from clairo_core.generation.trie.trie import ROOT, Trie
from clairo_core.tokens.tokenizer import TokenBatch
from clairo_core.tokens.vocabulary import EOS


@dataclass(frozen=True, eq=False)
class TokenChoices:
    """Node n's options are the tokens `options[first_option[n] : first_option[n + 1]]`, in rising order."""

    first_option: Int64[np.ndarray, "node+1"]
    options: Int32[np.ndarray, "option"]
    """Tokens that lead to a child, and EOS where an item ends at the node."""
    nodes: Int32[np.ndarray, "item step"]
    """The node at which each token of an item, and its EOS, is chosen; -1 after the item's last real choice."""

    @property
    def num_steps(self) -> Int64[np.ndarray, "item"]:
        """How many tokens identify each item; at least 1."""
        num_steps: Int64[np.ndarray, "item"] = np.maximum((self.nodes >= 0).sum(axis=1), 1)
        return num_steps


def token_choices(trie: Trie, canonical: TokenBatch) -> TokenChoices:
    """The choices of all items, in the order of `canonical`. Every item must be in the trie."""
    num_items, width = canonical.ids.shape
    ends_here = trie.item_of_node >= 0
    num_children = np.diff(trie.first_child)
    first_option = np.concatenate(([0], np.cumsum(num_children + ends_here))).astype(np.int64)
    options = np.full(first_option[-1], EOS, dtype=np.int32)
    # EOS is below every feature, so it comes before the children.
    parents = np.repeat(np.arange(trie.num_nodes), num_children)
    place = np.arange(1, trie.num_nodes) - trie.first_child[parents]
    options[first_option[parents] + ends_here[parents] + place] = trie.tokens[1:]

    # Nodes are numbered in the order of (parent, token), so a child is found by bisection.
    largest = int(trie.tokens.max(initial=0)) + 1
    keys = parents.astype(np.int64) * largest + trie.tokens[1:]
    nodes = np.full((num_items, width + 1), -1, dtype=np.int32)
    node = np.full(num_items, ROOT, dtype=np.int64)
    for step in range(width + 1):
        is_there = canonical.lengths >= step
        nodes[is_there, step] = node[is_there]
        if step < width:
            goes_on = canonical.lengths > step
            node[goes_on] = np.searchsorted(keys, node[goes_on] * largest + canonical.ids[goes_on, step]) + 1
    is_choice = (nodes >= 0) & (np.diff(first_option)[nodes] > 1)
    last_choice = width - is_choice[:, ::-1].argmax(axis=1)
    last_choice[~is_choice.any(axis=1)] = 0
    nodes[np.arange(width + 1) > last_choice[:, None]] = -1
    return TokenChoices(first_option, options, nodes)
