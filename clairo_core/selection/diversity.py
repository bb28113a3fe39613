"""Rerank a list for diversity, or perturb its scores for exploration. Start at `rank_diverse`."""

import numpy as np
from jaxtyping import Float, Float64, Int, Int64


def rank_diverse(
    relevances: Float[np.ndarray, "item"], similarities: Float[np.ndarray, "item item"], count: int, diversity: float
) -> Int64[np.ndarray, "chosen"]:
    """Choose `count` items, each maximizing (1 - diversity) * relevance - diversity * similarity to the chosen ones.

    Similarity is to the most similar item chosen before. The first item is always the most relevant; at diversity 0 the
    list is in the order of relevance; ties take the lower place.

    Source: Carbonell and Goldstein 1998, "The Use of MMR", equation 1, with its lambda as 1 - diversity. We differ:
    relevances, which may be log-probabilities, are first scaled to [0, 1] over the given items.

    Args:
        relevances: higher is better; finite.
        similarities: 1 for identical items, 0 or less for unrelated ones.
        count: at most.
        diversity: from 0 to 1.
    """
    scaled = (1.0 - diversity) * unit_scale(relevances)
    is_left = np.ones(len(scaled), dtype=np.bool_)
    to_chosen = np.zeros(len(scaled))
    chosen: list[int] = []
    while len(chosen) < min(count, len(scaled)):
        gains = np.where(is_left, scaled - diversity * to_chosen, -np.inf)
        # At diversity 1 relevance has no weight, but the first item must still be the most relevant.
        best = int(np.argmax(gains)) if chosen else int(np.argmax(relevances))
        is_left[best] = False
        to_chosen = similarities[best].astype(np.float64) if not chosen else np.maximum(to_chosen, similarities[best])
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def unit_scale(relevances: Float[np.ndarray, "item"]) -> Float64[np.ndarray, "item"]:
    """Scale linearly: 0 for the lowest, 1 for the highest; all 1 if equal."""
    if not len(relevances):
        return np.zeros(0)
    lowest, highest = float(relevances.min()), float(relevances.max())
    if highest <= lowest:
        return np.ones(len(relevances))
    return (relevances.astype(np.float64) - lowest) / (highest - lowest)


def explored(scores: Float[np.ndarray, "item"], temperature: float, seed: int) -> Float64[np.ndarray, "item"]:
    """Add noise to log-probabilities: the best `n` are then a sample of `n` items without replacement.

    Each draw is proportional to probability ** (1 / temperature). Equal seeds draw equally; temperature 0 is
    deterministic and leaves the scores unchanged.

    Source: Kool et al. 2019, "Stochastic Beams and Where to Find Them", section 2.3 (Gumbel-top-k).
    """
    if temperature == 0:
        return scores.astype(np.float64)
    return scores + temperature * np.random.default_rng(seed).gumbel(size=len(scores))


def cosine_similarities(vectors: Float[np.ndarray, "item dim"]) -> Float64[np.ndarray, "item item"]:
    """Cosine of each pair of items; 0 if a vector is zero, as for items without content."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    directions = np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0)
    return np.asarray(directions @ directions.T)


def shared_code_similarities(feature_sets: Int[np.ndarray, "item category"]) -> Float64[np.ndarray, "item item"]:
    """Share of categories in which two items have the same code: a similarity without embeddings."""
    return np.asarray((feature_sets[:, None] == feature_sets[None, :]).mean(axis=2))


def intra_list_distance(similarities: Float[np.ndarray, "item item"]) -> float:
    """1 minus the mean pairwise similarity of a list; 0 for fewer than two items."""
    num_items = len(similarities)
    if num_items < 2:
        return 0.0
    return float(1.0 - (similarities.sum() - np.trace(similarities)) / (num_items * (num_items - 1)))
