"""Turn what several components say of a user's candidates into the numbers that a mixture reads.

Knows scores, training counts and history lengths; knows nothing of what a component looks at or how the numbers are
weighed. Start at `candidate_features`.

Of each component a candidate has three numbers: how high its score is, how many others score higher, and how near it
comes to the highest. The first alone misleads: one user's second best may score what another's fiftieth does.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

PER_COMPONENT = 3
NUM_OTHERS = 2
"""How often the candidate was used in training, and how long the history is."""


def num_features(num_components: int) -> int:
    """How many numbers a candidate has."""
    return PER_COMPONENT * num_components + NUM_OTHERS


def candidate_features(
    scores: Float[np.ndarray, "item component"],
    training_counts: Int[np.ndarray, "item"],
    history_length: int,
    is_reference: Bool[np.ndarray, "item"],
    floors: Float64[np.ndarray, "component"],
) -> Float32[np.ndarray, "item feature"]:
    """The numbers of every candidate.

    Args:
        scores: none below 0.
        training_counts: of the candidates.
        history_length: items in the user's history.
        is_reference: the candidates that the others are compared with: those that the user has not seen and that
            training knows, whatever else is asked for; so that no filter changes what is said of an item.
        floors: of each component, scores far below which tell nothing.
    """
    features = np.empty((len(scores), num_features(len(floors))), dtype=np.float32)
    for component, floor in enumerate(floors.tolist()):
        of_component = np.maximum(scores[:, component], 0.0)
        of_reference = np.sort(of_component[is_reference])
        higher = len(of_reference) - np.searchsorted(of_reference, of_component, side="right")
        highest = of_reference[-1] if len(of_reference) else 0.0
        first = PER_COMPONENT * component
        features[:, first] = np.log1p(of_component / floor)
        features[:, first + 1] = np.log1p(higher)
        features[:, first + 2] = np.minimum(of_component / highest, 1.0) if highest > 0 else 0.0
    features[:, -2] = np.log1p(training_counts)
    features[:, -1] = np.log1p(history_length)
    return features
