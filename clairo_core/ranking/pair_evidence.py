"""Find the strongest single links between a history and each candidate: what sums over the history hide.

One certain link says more than ten weak ones, and both may add up to the same sum. Start at `pair_evidence`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float16, Float32, Float64, Int, Int64

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
    links: Mapping[str, Float32[np.ndarray, "position candidate"]],
    content: Float[np.ndarray, "item dim"] | None,
    training_counts: Int64[np.ndarray, "item"],
    history: Int[np.ndarray, "position"],
    item_rows: Int64[np.ndarray, "candidate"],
) -> Float32[np.ndarray, "candidate feature"]:
    """Compute the features that `names_of` names.

    Args:
        links: by the matrix's name: the weight from each item of the history to each candidate; pair counts last.
        content: vectors of length 1, or 0 for an item without content, in any precision; None without content. Posted
            items have none.
        training_counts: interactions so far; candidates past their end, posted later, have no evidence.
        history: rows, oldest first; all of them have a count.
        item_rows: of the candidates, ascending.
    """
    known = item_rows[item_rows < len(training_counts)]
    names = names_of(tuple(links), has_content=content is not None)
    evidence = np.zeros((len(item_rows), len(names)), dtype=np.float32)
    if not len(history) or not len(known):
        return evidence
    found = []
    for name, of_all in links.items():
        of_known = of_all[:, : len(known)]
        if name != TOGETHER:
            found += [of_known.max(axis=0), of_known[-1]]
            continue
        cosines = pair_cosines(of_known, training_counts[history], training_counts[known])
        num_supports = np.count_nonzero(of_known > 0, axis=0)
        found += [np.log1p(of_known.max(axis=0)), np.log1p(of_known[-1]), cosines.max(axis=0), cosines[-1]]
        found += [num_supports, num_supports / len(history)]
    if content is not None:
        alike = np.zeros((len(history), len(known)), dtype=np.float32)
        in_history, among_known = history < len(content), known < len(content)
        theirs, others = (content[rows].astype(np.float32) for rows in (history[in_history], known[among_known]))
        alike[np.ix_(in_history, among_known)] = theirs @ others.T
        found += [alike.max(axis=0), alike[-1]]
    for place, feature in enumerate(found):
        evidence[: len(known), place] = feature
    return evidence


def pair_cosines(
    links: Float32[np.ndarray, "position candidate"],
    counts: Int64[np.ndarray, "position"],
    candidate_counts: Int64[np.ndarray, "candidate"],
) -> Float64[np.ndarray, "position candidate"]:
    """Cosine of two items' users: how many have both, over the geometric mean of both counts, each plus one."""
    sizes = np.sqrt((counts[:, None] + 1.0) * (candidate_counts + 1.0))
    cosines: Float64[np.ndarray, "position candidate"] = links / sizes
    return cosines


def save_content(folder: Path, content: Float[np.ndarray, "item dim"]) -> None:
    """Write content vectors in half precision, as content-vectors.json and the array."""
    save_array_folder(folder, _PART, _KIND, {"vectors": content.astype(np.float16)})


def load_content(folder: Path, num_items: int) -> Float16[np.ndarray, "item dim"]:
    """Load saved content vectors, in half precision as they are stored.

    Raises:
        ItemWeightsError: a file is missing or damaged.
    """
    saved = load_array_folder(folder, _PART, _KIND, ItemWeightsError)
    return saved.mapped("vectors", np.float16, (num_items, None))
