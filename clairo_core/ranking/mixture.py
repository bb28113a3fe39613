"""Add up what several components say of an item, each weighed by how often it was used and how long the history is.

Knows scores, training counts and history lengths; knows nothing of what a component looks at, or how weights are found.

An item's total is the sum over components of weight * log(1 + score / floor), and an offset for how often it was used.
A component's weight is one of the item's training-count group plus one of the history's length group: what counts what
was bought is right about bestsellers, what looks at content about what hardly anybody has bought. What nobody has
bought is not weighed: `JointRanking` places it.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int, Int64

from clairo_core.errors import MixtureError

COUNT_EDGES = (0, 1, 5, 10, 20, 50)
"""Where a group of training counts begins; the first holds what training never saw."""
LENGTH_EDGES = (0, 5, 10, 20, 50)
"""Where a group of history lengths begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Fitted weights."""

    components: tuple[str, ...]
    floors: Float64[np.ndarray, "component"]
    by_count: Float64[np.ndarray, "component count_group"]
    by_length: Float64[np.ndarray, "component length_group"]
    offsets: Float64[np.ndarray, "count_group"]
    new_item_lift: float = 0.0
    """Added to what the dense head says of items that training never saw, before they are placed among the others."""

    def parts(
        self,
        scores: Float[np.ndarray, "item component"],
        training_counts: Int[np.ndarray, "item"],
        history_length: int,
    ) -> Float64[np.ndarray, "item component"]:
        """What each component adds to each item's total."""
        length_group = int(groups_of(np.array([history_length]), LENGTH_EDGES)[0])
        weights = self.by_count[:, groups_of(training_counts, COUNT_EDGES)].T + self.by_length[:, length_group]
        parts: Float64[np.ndarray, "item component"] = weights * on_log_scale(scores, self.floors)
        return parts

    def totals(
        self, parts: Float64[np.ndarray, "item component"], training_counts: Int[np.ndarray, "item"]
    ) -> Float64[np.ndarray, "item"]:
        """Logarithms of items' probabilities, up to a constant."""
        totals: Float64[np.ndarray, "item"] = parts.sum(axis=1) + self.offsets[groups_of(training_counts, COUNT_EDGES)]
        return totals

    def save(self, path: Path) -> None:
        """Write a JSON that people can read: aside, then renamed."""
        content = {
            "components": list(self.components),
            "floors": self.floors.tolist(),
            "by_count": self.by_count.tolist(),
            "by_length": self.by_length.tolist(),
            "offsets": self.offsets.tolist(),
            "new_item_lift": self.new_item_lift,
            "count_edges": list(COUNT_EDGES),
            "length_edges": list(LENGTH_EDGES),
        }
        aside = path.with_name(path.name + ".tmp")
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        aside.replace(path)


def load_mixture(path: Path) -> Mixture:
    """Read what `save` wrote.

    Raises:
        MixtureError: the file is missing or damaged, or cut into other groups.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(str(name) for name in content["components"])
        arrays = [np.array(content[name], dtype=np.float64) for name in ("floors", "by_count", "by_length", "offsets")]
        edges = (tuple(content["count_edges"]), tuple(content["length_edges"]))
        new_item_lift = float(content["new_item_lift"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MixtureError(f"{path}: cannot be read ({error}); copy the bundle again") from error
    if edges != (COUNT_EDGES, LENGTH_EDGES):
        raise MixtureError(f"{path} is cut into groups {edges}, expected {(COUNT_EDGES, LENGTH_EDGES)}; train it anew")
    size = len(names)
    shapes = [(size,), (size, len(COUNT_EDGES)), (size, len(LENGTH_EDGES)), (len(COUNT_EDGES),)]
    if [array.shape for array in arrays] != shapes or not all(np.isfinite([array.sum() for array in arrays])):
        raise MixtureError(f"{path}: weights of other shapes than {shapes}, or no numbers; copy the bundle again")
    if np.any(arrays[0] <= 0):
        raise MixtureError(f"{path}: floors {arrays[0].tolist()}, expected them above 0; copy the bundle again")
    if not math.isfinite(new_item_lift):
        raise MixtureError(f"{path}: a lift of {new_item_lift} for new items, expected a number; copy the bundle again")
    floors, by_count, by_length, offsets = arrays
    return Mixture(names, floors, by_count, by_length, offsets, new_item_lift)


def groups_of(counts: Int[np.ndarray, "count"], edges: tuple[int, ...]) -> Int64[np.ndarray, "count"]:
    """The group that each count falls into."""
    return np.searchsorted(edges, counts, side="right") - 1


def on_log_scale(
    scores: Float[np.ndarray, "... component"], floors: Float[np.ndarray, "component"]
) -> Float64[np.ndarray, "... component"]:
    """log(1 + score / floor): 0 for what a component has nothing to say of."""
    logs: Float64[np.ndarray, "... component"] = np.log1p(np.maximum(scores, 0.0) / floors, dtype=np.float64)
    return logs
