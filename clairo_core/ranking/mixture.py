"""Combine several components' scores of a user's candidates by a small network. Start at `Mixture.totals`.

A candidate's total is a weighted sum of its log-scaled scores plus the output of two hidden layers, which learn
interactions: that item weights are right about bestsellers, say, or that a first place by two components means more
than twice a first place by one. Fitted listwise, as in Cao et al. 2007, "Learning to Rank: From Pairwise Approach to
Listwise Approach". We differ: fitting starts from the weighted sum, so few users change it little. Items without
interactions are placed by `JointRanking` instead.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch.nn import functional

from clairo_core.errors import MixtureError
from clairo_core.ranking.candidate_features import PER_COMPONENT, candidate_features, num_features
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

_PART = "mixture"
KIND = "listwise-network"
"""A stage that made another kind runs again."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Fitted weights."""

    components: tuple[str, ...]
    evidence: tuple[str, ...]
    """Names of the pair evidence that it reads, in order."""
    floors: Float64[np.ndarray, "component"]
    score_weights: Float32[np.ndarray, "component"]
    """Of the log-scaled scores."""
    centers: Float32[np.ndarray, "feature"]
    scales: Float32[np.ndarray, "feature"]
    """The layers read (feature - center) / scale."""
    layers: tuple[tuple[Float32[np.ndarray, "out in"], Float32[np.ndarray, "out"]], ...]
    """Matrix and bias of each, with a ReLU between two of them."""
    new_item_lift: float = 0.0
    """Added to the dense head's log-probabilities of items that training never saw, before they are placed."""

    def totals(
        self,
        scores: Float[np.ndarray, "item component"],
        evidence: Float32[np.ndarray, "item kind"],
        training_counts: Int[np.ndarray, "item"],
        history_length: int,
        is_reference: Bool[np.ndarray, "item"],
    ) -> Float64[np.ndarray, "item"]:
        """Log-probabilities of candidates, up to a constant; see `candidate_features` for the arguments."""
        features = candidate_features(scores, evidence, training_counts, history_length, is_reference, self.floors)
        return self.totals_of(features)

    def totals_of(self, features: Float32[np.ndarray, "*item feature"]) -> Float64[np.ndarray, "*item"]:
        """Log-probabilities from features, up to a constant."""
        logs = features[..., : PER_COMPONENT * len(self.floors) : PER_COMPONENT]
        # By torch: numpy's threads take more time to meet than products this small.
        with torch.inference_mode():
            hidden = torch.from_numpy((features - self.centers) / self.scales)
            for place, (matrix, bias) in enumerate(self.layers):
                hidden = functional.linear(hidden, torch.from_numpy(matrix), torch.from_numpy(bias))
                if place < len(self.layers) - 1:
                    hidden = functional.relu(hidden)
        totals: Float64[np.ndarray, "*item"] = (logs @ self.score_weights + hidden[..., 0].numpy()).astype(np.float64)
        return totals

    def save(self, folder: Path) -> None:
        """Write mixture.json and the arrays."""
        arrays = {
            "floors": self.floors,
            "score_weights": self.score_weights,
            "centers": self.centers,
            "scales": self.scales,
            "new_item_lift": np.array([self.new_item_lift]),
        }
        for place, (matrix, bias) in enumerate(self.layers):
            arrays |= {f"matrix_{place}": matrix, f"bias_{place}": bias}
        header = {"components": list(self.components), "evidence": list(self.evidence), "num_layers": len(self.layers)}
        save_array_folder(folder, _PART, KIND, arrays, header)


def load_mixture(folder: Path) -> Mixture:
    """Load a saved mixture.

    Raises:
        MixtureError: a file is missing or damaged, or parts do not fit each other.
    """
    saved = load_array_folder(folder, _PART, KIND, MixtureError)
    components = saved.texts("components")
    # Mixtures of before read none.
    evidence = saved.texts("evidence") if "evidence" in saved.header else ()
    num_layers = saved.header.get("num_layers")
    if not isinstance(num_layers, int) or num_layers < 1:
        raise MixtureError(
            f"{saved.header_path}: num_layers is {num_layers!r}, expected 1 or more; copy the folder again"
        )
    size, width = len(components), num_features(len(components), len(evidence))
    floors, scales = saved.array("floors", np.float64, (size,)), saved.array("scales", np.float32, (width,))
    if np.any(floors <= 0) or np.any(scales <= 0):
        raise MixtureError(f"{saved.header_path.parent}: floors and scales must be above 0; copy the folder again")
    layers, num_inputs = [], width
    for place in range(num_layers):
        num_outputs = None if place < num_layers - 1 else 1
        matrix = saved.array(f"matrix_{place}", np.float32, (num_outputs, num_inputs))
        layers.append((matrix, saved.array(f"bias_{place}", np.float32, (len(matrix),))))
        num_inputs = len(matrix)
    return Mixture(
        components,
        evidence,
        floors,
        saved.array("score_weights", np.float32, (size,)),
        saved.array("centers", np.float32, (width,)),
        scales,
        tuple(layers),
        float(saved.array("new_item_lift", np.float64, (1,))[0]),
    )
