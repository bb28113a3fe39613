"""Walk a graph of semantic ids, and link new ones into it, compiled. `id_graph.py` gives the words."""

import numpy as np
from numba import njit, types

from clairo_core.tokens.kernels.compilation import kernel, read_only, writable


@njit
def score_of(code_scores, codes, node):
    """Sum of the scores of a node's codes."""
    score = np.float32(0.0)
    for codebook in range(codes.shape[1]):
        score += code_scores[codes[node, codebook]]
    return score


@njit
def best_of(scores, num_found, num_beams):
    """Places of the best among the first `num_found` scores; of equal ones those found first."""
    if num_found <= num_beams:
        return np.arange(num_found)
    least = np.partition(scores[:num_found], num_found - num_beams)[num_found - num_beams]
    best = np.empty(num_beams, np.int64)
    num_best = 0
    for place in range(num_found):
        if scores[place] > least:
            best[num_best] = place
            num_best += 1
    for place in range(num_found):
        if num_best < num_beams and scores[place] == least:
            best[num_best] = place
            num_best += 1
    return best


@kernel(
    read_only(types.float32, 1),
    read_only(types.int32, 2),
    read_only(types.int32, 2),
    read_only(types.int64, 1),
    types.int64,
    types.int64,
)
def walk(code_scores, codes, neighbours, starts, num_beams, num_steps):
    """Nodes visited from `starts`, and their scores. A step visits the neighbours of the best nodes so far."""
    num_nodes, degree = neighbours.shape
    most = min(num_nodes, len(starts) + num_steps * num_beams * degree)
    found, scores, is_expanded = np.empty(most, np.int32), np.empty(most, np.float32), np.zeros(most, np.bool_)
    is_visited = np.zeros(num_nodes, np.bool_)
    num_found = 0
    for node in starts:
        is_visited[node] = True
        found[num_found], scores[num_found] = node, score_of(code_scores, codes, node)
        num_found += 1
    for _ in range(num_steps):
        before = num_found
        for place in best_of(scores, before, num_beams):
            if is_expanded[place]:
                continue
            is_expanded[place] = True
            for node in neighbours[found[place]]:
                if not is_visited[node]:
                    is_visited[node] = True
                    found[num_found], scores[num_found] = node, score_of(code_scores, codes, node)
                    num_found += 1
        if num_found == before:
            break
    return found[:num_found], scores[:num_found]


@njit
def similarity_of(similarity, codes, first, second):
    """Sum over codebooks of the similarity of two nodes' codes."""
    num_centroids = similarity.shape[1]
    total = np.float32(0.0)
    for codebook in range(codes.shape[1]):
        total += similarity[codes[first, codebook], codes[second, codebook] % num_centroids]
    return total


@kernel(
    read_only(types.float32, 2),
    read_only(types.int32, 2),
    writable(types.int32, 2),
    types.int64,
)
def link_back(similarity, codes, neighbours, first_new):
    """Make new nodes neighbours of their own: each replaces the least similar one, if it is more similar than that.

    The nearest neighbour of a new node always links back to it, so that a walk can reach it.
    """
    for new in range(first_new, len(neighbours)):
        for place, node in enumerate(neighbours[new]):
            if node == new:
                continue
            worst, least, is_linked = -1, np.float32(np.inf), False
            for edge, other in enumerate(neighbours[node]):
                is_linked = is_linked or other == new
                # A loop fills a place that no node has.
                of_edge = np.float32(-np.inf) if other == node else similarity_of(similarity, codes, node, other)
                if of_edge < least:
                    worst, least = edge, of_edge
            if not is_linked and (place == 0 or similarity_of(similarity, codes, node, new) > least):
                neighbours[node, worst] = new
