"""Find the most probable semantic ids by a walk along similar ones, not by scoring all. Start at `IdGraph.walk`.

A node is a semantic id, its edges lead to the most similar others. A walk starts at random nodes; each step visits the
neighbours of the best nodes so far.

Source: Hou et al. 2025, "Generating Long Semantic IDs in Parallel for Recommendation" (RPG), graph-constrained
decoding. We differ: no node is scored twice, and posted items join the graph.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, Int64
from torch import Tensor
from torch.nn import functional

from clairo_core.errors import GeneratorError
from clairo_core.generation.parallel.graph_kernels import link_back, walk
from clairo_core.progress import Progress, silent
from clairo_core.storage.growing_rows import GrowingRows
from clairo_core.storage.row_index import RowIndex

_NODES_AT_ONCE = 64
"""Fits the cache."""


class Links(NamedTuple):
    """The edges of a graph, and how far to walk along them: what a checkpoint keeps."""

    neighbours: Int32[np.ndarray, "node degree"]
    """Most similar first. Nodes are the distinct semantic ids, sorted; a node with fewer others has loops."""
    num_steps: int


@dataclass(frozen=True, kw_only=True, eq=False)
class IdGraph:
    """The semantic ids of a catalogue's items, linked to similar ones. Immutable; made by `id_graph`."""

    num_steps: int
    codes: GrowingRows
    """Node times codebook: rows of the network's table of codes."""
    neighbours: GrowingRows
    """See `Links`. Posted items may stand in any place."""
    node_of_item: GrowingRows
    node_of_codes: RowIndex[bytes]
    similarity: Float32[np.ndarray, "code centroid"]
    """See `code_similarity`."""

    def most_visited(self, num_beams: int) -> int:
        """Upper bound of the nodes that a walk visits."""
        return num_beams * (1 + self.num_steps * int(self.neighbours.rows.shape[1]))

    def walk(
        self, code_scores: Float32[np.ndarray, "code"], seed: int, num_beams: int
    ) -> tuple[Int64[np.ndarray, "visited"], Float32[np.ndarray, "visited"]]:
        """Visit nodes for one history. Returns the rows of their items, ascending, and the sums of their codes' scores.

        Args:
            code_scores: of every code.
            seed: of the nodes to start at.
            num_beams: nodes to start at, and to expand in each step.
        """
        codes, neighbours = self.codes.rows, self.neighbours.rows
        starts = np.arange(len(codes))
        if len(codes) > num_beams:
            starts = np.random.default_rng(seed).choice(len(codes), num_beams, replace=False)
        visited, scores = walk(code_scores, codes, neighbours, starts, num_beams, self.num_steps)
        of_node = np.full(len(codes), -np.inf, dtype=np.float32)
        of_node[visited] = scores
        of_item = of_node[self.node_of_item.rows]
        item_rows = np.flatnonzero(of_item > -np.inf)
        return item_rows, of_item[item_rows]

    def with_items(self, codes: Int32[np.ndarray, "new codebook"]) -> "IdGraph":
        """A version with these items in the last rows. One with a semantic id of its own is linked both ways."""
        graph, nodes = self._with_nodes(codes)
        return replace(graph, node_of_item=graph.node_of_item.with_rows(nodes))

    def with_codes(
        self, item_rows: Int[np.ndarray, "changed"], codes: Int32[np.ndarray, "changed codebook"]
    ) -> "IdGraph":
        """A version in which these items have other semantic ids. Their nodes stay, for walks to pass."""
        graph, nodes = self._with_nodes(codes)
        return replace(graph, node_of_item=graph.node_of_item.with_replaced(item_rows, nodes))

    def _with_nodes(self, codes: Int32[np.ndarray, "item codebook"]) -> tuple["IdGraph", Int32[np.ndarray, "item"]]:
        """A version with the nodes of these codes, and each item's node."""
        keys = keys_of(codes)
        places = {key: place for place, key in enumerate(keys) if key not in self.node_of_codes}
        node_of_codes = self.node_of_codes.with_keys(list(places)) if places else self.node_of_codes
        nodes = np.array([node_of_codes.get(key) for key in keys], dtype=np.int32)
        if not places:
            return self, nodes
        first_new, degree = len(self.codes.rows), self.neighbours.rows.shape[1]
        of_all = self.codes.with_rows(codes[list(places.values())])
        new = np.arange(first_new, len(of_all.rows))
        of_new = most_similar(self.similarity, of_all.rows, new, degree)
        neighbours = np.concatenate([self.neighbours.rows, of_new])
        link_back(self.similarity, of_all.rows, neighbours, first_new)
        grown = replace(self, codes=of_all, neighbours=GrowingRows(neighbours), node_of_codes=node_of_codes)
        return grown, nodes


def id_graph(
    links: Links, item_codes: Int32[np.ndarray, "item codebook"], similarity: Float32[np.ndarray, "code centroid"]
) -> IdGraph:
    """The first graph of a catalogue.

    Raises:
        GeneratorError: the links are those of other items.
    """
    codes, nodes = distinct(item_codes)
    neighbours, num_nodes = links.neighbours, len(codes)
    if len(neighbours) != num_nodes or not 0 <= neighbours.min(initial=0) <= neighbours.max(initial=0) < num_nodes:
        raise GeneratorError(
            f"the graph has {len(neighbours)} semantic ids, expected the catalogue's {num_nodes}; use the catalogue "
            "that the generator was trained with"
        )
    return IdGraph(
        num_steps=links.num_steps,
        codes=GrowingRows(codes),
        neighbours=GrowingRows(neighbours),
        node_of_item=GrowingRows(nodes),
        node_of_codes=RowIndex(keys_of(codes)),
        similarity=similarity,
    )


def fit_links(
    item_codes: Int32[np.ndarray, "item codebook"],
    similarity: Float32[np.ndarray, "code centroid"],
    degree: int,
    num_steps: int,
    progress: Progress[int] = silent,
) -> Links:
    """Link every semantic id to its `degree` most similar ones. Time grows with the square of their number."""
    codes, _ = distinct(item_codes)
    return Links(most_similar(similarity, codes, np.arange(len(codes)), degree, progress), num_steps)


def code_similarity(vectors: Float[Tensor, "codebook centroid dim"]) -> Float32[np.ndarray, "code centroid"]:
    """Cosine of every code, by its row in the table of codes, with every code of its codebook."""
    unit = functional.normalize(vectors.detach().float(), dim=2)
    return np.ascontiguousarray((unit @ unit.transpose(1, 2)).flatten(0, 1).cpu().numpy())


def most_similar(
    similarity: Float32[np.ndarray, "code centroid"],
    codes: Int32[np.ndarray, "node codebook"],
    nodes: Int[np.ndarray, "some"],
    degree: int,
    progress: Progress[int] = silent,
) -> Int32[np.ndarray, "some degree"]:
    """The most similar others of some nodes, best first; missing ones are the node itself.

    Two nodes are as similar as their codes are, summed over codebooks.
    """
    num_centroids, all_codes = similarity.shape[1], torch.from_numpy(codes)
    by_codebook = similarity.reshape(-1, num_centroids, num_centroids)
    found = np.repeat(nodes.astype(np.int32)[:, None], degree, axis=1)
    num_others = min(degree, len(codes) - 1)
    starts = range(0, len(nodes), _NODES_AT_ONCE)
    for start in progress(starts, "linking similar ids", len(starts)):
        some = nodes[start : start + _NODES_AT_ONCE]
        of_codes = by_codebook[np.arange(codes.shape[1]), :, codes[some] % num_centroids]
        table = torch.from_numpy(of_codes.transpose(1, 2, 0).reshape(-1, len(some)))
        of_nodes = functional.embedding_bag(all_codes, table, mode="sum").T.contiguous()
        of_nodes[torch.arange(len(some)), torch.from_numpy(some)] = -torch.inf
        found[start : start + _NODES_AT_ONCE, :num_others] = torch.topk(of_nodes, num_others, dim=1).indices.numpy()
    return found


def distinct(
    item_codes: Int32[np.ndarray, "item codebook"],
) -> tuple[Int32[np.ndarray, "node codebook"], Int32[np.ndarray, "item"]]:
    """The distinct semantic ids, sorted, and each item's place among them."""
    codes, nodes = np.unique(item_codes, axis=0, return_inverse=True)
    return np.ascontiguousarray(codes), nodes.reshape(-1).astype(np.int32)


def keys_of(codes: Int32[np.ndarray, "node codebook"]) -> list[bytes]:
    """Each row as bytes."""
    width, packed = codes.shape[1] * 4, np.ascontiguousarray(codes, dtype="<i4").tobytes()
    return [packed[start : start + width] for start in range(0, len(packed), width)]
