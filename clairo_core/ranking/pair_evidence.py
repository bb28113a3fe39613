"""Find the strongest single links between a history and each candidate: what sums over the history hide.

One certain link says more than ten weak ones, and both may add up to the same sum. Start at `pair_evidence`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int, Int64
from scipy import sparse

from clairo_core.errors import ItemWeightsError
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

_PART, _KIND = "content-vectors", "dense"
TOGETHER = "together"
"""Names the matrix that counts how many users have both items."""


def names_of(matrices: Sequence[str], *, has_content: bool = False) -> tuple[str, ...]:
    """Names of the features, in order, for item-to-item matrices of these names, and content vectors if there are."""
    names = [f"{matrix} {which}" for matrix in matrices for which in ("strongest", "last")]
    if TOGETHER in matrices:
        names += ["cosine strongest", "cosine last", "supporters", "share of supporters"]
    if has_content:
        names += ["content strongest", "content last"]
    return tuple(names)


def pair_evidence(
    matrices: Mapping[str, sparse.csr_matrix],
    content: Float32[np.ndarray, "item dim"] | None,
    training_counts: Int64[np.ndarray, "item"],
    history: Int[np.ndarray, "position"],
    item_rows: Int64[np.ndarray, "candidate"],
) -> Float32[np.ndarray, "candidate feature"]:
    """Compute the features that `names_of` names.

    Args:
        matrices: by name: a weight from an item of the history (row) to a candidate (column); pair counts last.
        content: vectors of length 1, or 0 for an item without content; None without content. Posted items have none.
        training_counts: interactions so far; those past the end of a matrix, posted later, have no links in it.
        history: rows, oldest first.
        item_rows: of the candidates, ascending.
    """
    num_known = len(training_counts)
    history, known = history[history < num_known], item_rows[item_rows < num_known]
    names = names_of(tuple(matrices), has_content=content is not None)
    evidence = np.zeros((len(item_rows), len(names)), dtype=np.float32)
    if not len(history) or not len(known):
        return evidence
    found = []
    for name, matrix in matrices.items():
        links = links_between(matrix, history, known)
        if name != TOGETHER:
            found += [links.max(axis=0), links[-1]]
            continue
        cosines = pair_cosines(links, training_counts[history], training_counts[known])
        supports = links > 0
        found += [np.log1p(links.max(axis=0)), np.log1p(links[-1]), cosines.max(axis=0), cosines[-1]]
        found += [supports.sum(axis=0), supports.mean(axis=0)]
    if content is not None:
        alike = np.zeros((len(history), len(known)), dtype=np.float32)
        in_history, among_known = history < len(content), known < len(content)
        alike[np.ix_(in_history, among_known)] = content[history[in_history]] @ content[known[among_known]].T
        found += [alike.max(axis=0), alike[-1]]
    evidence[: len(known)] = np.stack(found, axis=1)
    return evidence


def links_between(
    matrix: sparse.csr_matrix, history: Int64[np.ndarray, "position"], item_rows: Int64[np.ndarray, "candidate"]
) -> Float32[np.ndarray, "position candidate"]:
    """The dense block of these rows and columns; 0 past the matrix's end."""
    in_history, among_items = history < matrix.shape[0], item_rows < matrix.shape[0]
    links = np.zeros((len(history), len(item_rows)), dtype=np.float32)
    links[np.ix_(in_history, among_items)] = matrix[history[in_history]][:, item_rows[among_items]].toarray()
    return links


def pair_cosines(
    links: Float32[np.ndarray, "position candidate"],
    counts: Int64[np.ndarray, "position"],
    candidate_counts: Int64[np.ndarray, "candidate"],
) -> Float64[np.ndarray, "position candidate"]:
    """Cosine of two items' users: how many have both, over the geometric mean of both counts, each plus one."""
    sizes = np.sqrt((counts[:, None] + 1.0) * (candidate_counts + 1.0))
    cosines: Float64[np.ndarray, "position candidate"] = links / sizes
    return cosines


def save_content(folder: Path, content: Float32[np.ndarray, "item dim"]) -> None:
    """Write content vectors in half precision, as content-vectors.json and the array."""
    save_array_folder(folder, _PART, _KIND, {"vectors": content.astype(np.float16)})


def load_content(folder: Path, num_items: int) -> Float32[np.ndarray, "item dim"]:
    """Load saved content vectors.

    Raises:
        ItemWeightsError: a file is missing or damaged.
    """
    saved = load_array_folder(folder, _PART, _KIND, ItemWeightsError)
    return saved.array("vectors", np.float16, (num_items, None)).astype(np.float32)
