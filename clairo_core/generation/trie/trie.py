"""The canonical tokens of all items as one flat trie. Start at `trie_of_tokens`.

Nodes are numbered level by level, in lexicographic order within a level, so the children of a node are a range of
nodes. Items are in lexicographic order too, so the items at or below a node are a range of items: one subtraction of
running counts gives how many of them a filter passes.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64

from clairo_core.errors import CatalogueError
from clairo_core.tokens.tokenizer import TokenBatch
from clairo_core.tokens.vocabulary import PAD

ROOT = 0
_REBUILD_FROM = 64
"""From this many new items on, rebuilding is cheaper than inserting one by one."""


@dataclass(frozen=True, eq=False)
class Trie:
    """Node 0 is the root; node n's children are the nodes `first_child[n]` to `first_child[n + 1] - 1`."""

    tokens: Int32[np.ndarray, "node"]
    """The token that leads to a node; PAD at the root."""
    first_child: Int32[np.ndarray, "node+1"]
    item_of_node: Int32[np.ndarray, "node"]
    """Row of the item whose tokens end here, or -1."""
    items_begin: Int32[np.ndarray, "node"]
    items_end: Int32[np.ndarray, "node"]
    """The items at or below a node are `item_order[items_begin:items_end]`; an item that ends at the node is first."""
    item_order: Int32[np.ndarray, "item"]
    """Item rows in lexicographic order of their tokens."""
    is_retired: Bool[np.ndarray, "item"]
    """By item row; nodes with only retired items below are never entered."""

    @property
    def num_nodes(self) -> int:
        """The root included."""
        return len(self.tokens)

    @property
    def num_items(self) -> int:
        """Retired ones included."""
        return len(self.item_order)

    @cached_property
    def place_of_item(self) -> Int64[np.ndarray, "item"]:
        """The place in `item_order` of each item's row."""
        places = np.empty(self.num_items, dtype=np.int64)
        places[self.item_order] = np.arange(self.num_items)
        return places

    @property
    def level_starts(self) -> Int64[np.ndarray, "level+1"]:
        """The first node of each level, then the number of nodes; the children of a level are the next level."""
        starts = [ROOT, 1]
        while starts[-1] < self.num_nodes:
            starts.append(int(self.first_child[starts[-1]]))
        return np.array(starts)

    def live_before(
        self, is_allowed: Bool[np.ndarray, "request item"] | None = None
    ) -> Int32[np.ndarray, "request item+1"]:
        """Running counts of the items of `item_order` that may be generated; one row for all without a filter.

        The number at or below a node is `live[items_end[node]] - live[items_begin[node]]`.
        """
        if is_allowed is None and not self.is_retired.any():
            return np.arange(self.num_items + 1, dtype=np.int32)[None]
        is_live = ~self.is_retired[None, self.item_order]
        if is_allowed is not None:
            is_live = is_live & is_allowed[:, self.item_order]
        counts = np.zeros((len(is_live), self.num_items + 1), dtype=np.int32)
        np.cumsum(is_live, axis=1, out=counts[:, 1:])
        return counts

    def updated(self, canonical: TokenBatch, is_retired: Bool[np.ndarray, "item"]) -> "Trie":
        """The trie of a later version of the same catalogue, with items appended or retired."""
        num_added = len(canonical) - self.num_items
        if num_added < 0 or num_added >= _REBUILD_FROM:
            return trie_of_tokens(canonical, is_retired)
        trie = self
        for row in range(self.num_items, len(canonical)):
            trie = trie.with_item(canonical[row])
        return Trie(
            trie.tokens,
            trie.first_child,
            trie.item_of_node,
            trie.items_begin,
            trie.items_end,
            trie.item_order,
            is_retired,
        )

    def with_item(self, item_tokens: Int32[np.ndarray, "token"]) -> "Trie":
        """The trie with one more item, in row `num_items`; equal to a rebuild, without sorting.

        Raises:
            CatalogueError: `item_tokens` is empty, or another item has the same tokens.
        """
        row, num_tokens = self.num_items, len(item_tokens)
        path, child = self._walk(item_tokens)
        if num_tokens == 0 or (len(path) > num_tokens and self.item_of_node[path[-1]] >= 0):
            raise CatalogueError(
                f"item row {row} has the tokens {item_tokens.tolist()}, expected some that no other item has; "
                "give every item a feature set of its own"
            )
        position = int(
            self.items_begin[path[-1]]
            if len(path) > num_tokens
            else self.items_begin[child]
            if child < self.first_child[path[-1] + 1]
            else self.items_end[path[-1]]
        )
        # Places of the new nodes, in old numbers: each before the first child of the node that its parent precedes.
        inserted = []
        for _ in range(num_tokens + 1 - len(path)):
            inserted.append(child)
            child = int(self.first_child[child])
        # A node's children move by one per new node whose parent precedes it.
        first_child = self.first_child.copy()
        for parent in [path[-1] + 1, *inserted[:-1]][: len(inserted)]:
            first_child[parent:] += 1
        numbers = [place + order for order, place in enumerate([*inserted, child])]
        begins, ends = self.items_begin.copy(), self.items_end.copy()
        for level in range(len(self.level_starts) - 1):
            # Item ranges ascend within a level, so those that move are its last.
            nodes = slice(int(self.level_starts[level]), int(self.level_starts[level + 1]))
            begins[nodes][np.searchsorted(begins[nodes], np.int32(position)) :] += 1
            ends[nodes][np.searchsorted(ends[nodes], np.int32(position), side="right") :] += 1
        on_path = np.asarray(path)
        begins[on_path], ends[on_path] = self.items_begin[on_path], self.items_end[on_path] + 1
        is_last = np.arange(len(inserted)) == len(inserted) - 1
        item_of_node = with_inserted(self.item_of_node, inserted, np.where(is_last, row, -1))
        if not inserted:
            item_of_node[path[-1]] = row
        return Trie(
            with_inserted(self.tokens, inserted, item_tokens[len(path) - 1 :]),
            with_inserted(first_child, inserted, np.asarray(numbers[1:])),
            item_of_node,
            with_inserted(begins, inserted, np.full(len(inserted), position)),
            with_inserted(ends, inserted, np.full(len(inserted), position + 1)),
            with_inserted(self.item_order, [position], np.array([row])),
            np.append(self.is_retired, False),
        )

    def _walk(self, item_tokens: Int32[np.ndarray, "token"]) -> tuple[list[int], int]:
        """The nodes from the root along the tokens as far as they exist, and the place of the next one."""
        path = [ROOT]
        for token in item_tokens.tolist():
            begin, end = int(self.first_child[path[-1]]), int(self.first_child[path[-1] + 1])
            child = begin + int(np.searchsorted(self.tokens[begin:end], token))
            if child == end or self.tokens[child] != token:
                return path, child
            path.append(child)
        return path, int(self.first_child[path[-1]])


def trie_of_tokens(canonical: TokenBatch, is_retired: Bool[np.ndarray, "item"]) -> Trie:
    """Build the trie of one token sequence per item: sort once, then a few array operations per level.

    Raises:
        CatalogueError: an item has no tokens, or two items have the same.
    """
    num_items, width = canonical.ids.shape
    # PAD is the lowest token: a prefix sorts before its extensions.
    order = np.lexsort(canonical.ids.T[::-1]) if width else np.arange(num_items)
    tokens, lengths = canonical.ids[order], canonical.lengths[order]
    is_new = np.ones((num_items, width), dtype=np.bool_)
    is_new[1:] = np.logical_or.accumulate(tokens[1:] != tokens[:-1], axis=1)
    check_item_tokens(order, lengths, is_new)

    node_tokens = [np.array([PAD], dtype=np.int32)]
    item_of_node = [np.array([-1])]
    begins, ends = [np.array([0])], [np.array([num_items])]
    num_children: list[Int64[np.ndarray, node]] = []
    for depth in range(width):
        prefix_starts = np.flatnonzero(is_new[:, depth])
        prefix_ends = np.append(prefix_starts[1:], num_items)
        goes_on = lengths[prefix_starts] > depth
        starts = prefix_starts[goes_on]
        parents = np.searchsorted(begins[-1], starts, side="right") - 1
        num_children.append(np.bincount(parents, minlength=len(begins[-1])))
        if not len(starts):
            break
        node_tokens.append(tokens[starts, depth])
        item_of_node.append(np.where(lengths[starts] == depth + 1, order[starts], -1))
        begins.append(starts)
        ends.append(prefix_ends[goes_on])
    num_children.append(np.zeros(sum(map(len, begins)) - sum(map(len, num_children)), dtype=np.int64))
    return Trie(
        np.concatenate(node_tokens),
        first_children(np.concatenate(num_children)),
        np.concatenate(item_of_node).astype(np.int32),
        np.concatenate(begins).astype(np.int32),
        np.concatenate(ends).astype(np.int32),
        order.astype(np.int32),
        is_retired,
    )


def with_inserted(
    array: Int32[np.ndarray, "place"], places: Sequence[int], values: Int[np.ndarray, "inserted"]
) -> Int32[np.ndarray, "longer"]:
    """A copy with a value inserted before each ascending place; for few values, faster than numpy's insert."""
    longer = np.empty(len(array) + len(places), dtype=np.int32)
    for order, (begin, end) in enumerate(itertools.pairwise([0, *places, len(array)])):
        longer[begin + order : end + order] = array[begin:end]
    longer[np.asarray(places, dtype=np.int64) + np.arange(len(places))] = values
    return longer


def first_children(num_children: Int[np.ndarray, "node"]) -> Int32[np.ndarray, "node+1"]:
    """Offsets of each node's children among all nodes: the root's first child is node 1."""
    offsets = np.ones(len(num_children) + 1, dtype=np.int32)
    np.cumsum(num_children, out=offsets[1:])
    offsets[1:] += 1
    return offsets


def check_item_tokens(
    order: Int[np.ndarray, "item"], lengths: Int[np.ndarray, "item"], is_new: Bool[np.ndarray, "item depth"]
) -> None:
    """Check that every item has tokens, and that no two have the same; rows are in lexicographic order.

    Raises:
        CatalogueError: an item has none, or two have the same.
    """
    if len(lengths) and lengths.min() < 1:
        raise CatalogueError(f"item row {order[lengths.argmin()]} has no tokens; give it a feature set")
    repeats = np.flatnonzero(~is_new[:, -1]) if len(lengths) else np.zeros(0, dtype=np.int64)
    if len(repeats):
        first, second = order[repeats[0] - 1], order[repeats[0]]
        raise CatalogueError(
            f"item rows {first} and {second} have the same tokens; give every item a feature set of its own"
        )
