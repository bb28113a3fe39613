"""Turn several components' scores of a user's candidates into a mixture's input. Start at `candidate_features`.

Per component a candidate has three features: its score, the number of others that score higher, and its ratio to the
highest score. The score alone misleads: one user's second best may score as low as another's fiftieth. Pair evidence
follows as it is.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

PER_COMPONENT = 3
NUM_OTHERS = 2
"""The candidate's training count, and the length of the history."""


def num_features(num_components: int, num_evidence: int = 0) -> int:
    """Number of features of a candidate."""
    return PER_COMPONENT * num_components + num_evidence + NUM_OTHERS


def candidate_features(
    scores: Float[np.ndarray, "item component"],
    evidence: Float32[np.ndarray, "item kind"],
    training_counts: Int[np.ndarray, "item"],
    history_length: int,
    is_reference: Bool[np.ndarray, "item"],
    floors: Float64[np.ndarray, "component"],
) -> Float32[np.ndarray, "item feature"]:
    """Compute the features of every candidate.

    Args:
        scores: none below 0.
        evidence: see `pair_evidence`.
        training_counts: of the candidates.
        history_length: items in the user's history.
        is_reference: the candidates that ranks and ratios refer to: unseen by the user, seen in training. Independent
            of the request's filter, so a filter never changes an item's features.
        floors: per component; scores far below it count as 0.
    """
    num_evidence = evidence.shape[1]
    features = np.empty((len(scores), num_features(len(floors), num_evidence)), dtype=np.float32)
    for component, floor in enumerate(floors.tolist()):
        of_component = np.maximum(scores[:, component], 0.0)
        of_reference = np.sort(of_component[is_reference])
        higher = len(of_reference) - np.searchsorted(of_reference, of_component, side="right")
        highest = of_reference[-1] if len(of_reference) else 0.0
        first = PER_COMPONENT * component
        features[:, first] = np.log1p(of_component / floor)
        features[:, first + 1] = np.log1p(higher)
        features[:, first + 2] = np.minimum(of_component / highest, 1.0) if highest > 0 else 0.0
    features[:, PER_COMPONENT * len(floors) :][:, :num_evidence] = evidence
    features[:, -2] = np.log1p(training_counts)
    features[:, -1] = np.log1p(history_length)
    return features
