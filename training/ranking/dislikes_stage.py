"""Stage: a recommender and validation users with dislikes -> how far items like a disliked one sink.

Each strength moves the items of the same lists, so the recommender runs once per user.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from clairo_core.progress import Progress, silent
from clairo_core.ranking import DislikedNeighbours, disliked_neighbours
from clairo_core.recommendation import POPULAR
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.storage.replaced_file import replace_text
from training.evaluation.metrics import FEWEST_TARGETS, ndcg_at, rank_in_list
from training.evaluation.rankings import requests_of
from training.evaluation.split import EvaluationSplit, some_users
from training.evaluation.user_batches import batches_by_length
from training.workbench.workbench import Workbench

STRENGTHS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
NUM_USERS = 1500
"""Validation users with dislikes, the same for every seed."""
LIST_LENGTH = 100
CUTOFF = 10


def dislikes_stage(
    bench: Workbench,
    recommender: Recommender,
    item_embeddings: Float32[np.ndarray, "item dim"] | None,
    ranked_by: str,
) -> DislikedNeighbours:
    """Choose the strength with the highest NDCG@10; the preset's where too few validation users dislike items.

    Args:
        bench: the run's.
        recommender: lowers no items yet.
        item_embeddings: by row; None for precomputed codes.
        ranked_by: key of the stage that chose the recommender's search for its ranking.
    """
    users = users_with_dislikes(bench.validation)
    preset = bench.preset.dislikes.strength
    disliked = users.disliked
    if len(users.targets) < FEWEST_TARGETS or disliked is None:
        bench.report(f"dislikes: items at similarity 1 to a disliked one sink by {preset:g}, as in the preset")
        return disliked_neighbours(preset, item_embeddings)

    def build(folder: Path) -> None:
        ndcgs = ndcgs_by_strength(recommender, item_embeddings, bench.item_ids, users, bench.progress)
        replace_text(folder / "ndcgs.json", json.dumps(list(ndcgs.items())))

    def load(folder: Path) -> dict[float, float]:
        return dict(json.loads((folder / "ndcgs.json").read_text(encoding="utf-8")))

    inputs = {
        "ranked_by": ranked_by,
        "strengths": STRENGTHS,
        "list_length": LIST_LENGTH,
        "dislikes": digest_of(disliked),
    }
    ndcgs = bench.stages.run("dislikes", inputs, build, load).result
    # Of equal ones the lowest.
    strength = max(sorted(ndcgs), key=lambda tried: ndcgs[tried])
    bench.report(
        f"dislikes: items at similarity 1 to a disliked one sink by {strength:g} (NDCG@10 {ndcgs[strength]:.4f}, "
        f"{ndcgs[0.0]:.4f} without); chosen on {len(users.targets):,} validation users"
    )
    return disliked_neighbours(strength, item_embeddings)


def users_with_dislikes(split: EvaluationSplit) -> EvaluationSplit:
    """A seeded sample of the users who dislike something."""
    if split.disliked is None:
        return split.of_users(np.zeros(0, dtype=np.int64))
    return some_users(split.of_users(np.flatnonzero(split.disliked.lengths)), NUM_USERS, seed=0)


def ndcgs_by_strength(
    recommender: Recommender,
    item_embeddings: Float32[np.ndarray, "item dim"] | None,
    item_ids: tuple[str, ...],
    users: EvaluationSplit,
    progress: Progress[int] = silent,
) -> Mapping[float, float]:
    """Mean NDCG@10 of the users' lists for each of `STRENGTHS`.

    Args:
        recommender: lowers no items yet.
        item_embeddings: by row; None for precomputed codes.
        item_ids: of the rows in the split.
        users: with dislikes.
        progress: over batches of users.
    """
    neighbours = disliked_neighbours(1.0, item_embeddings)
    ranks = np.zeros((len(STRENGTHS), len(users.targets)), dtype=np.int64)
    for batch, histories in batches_by_length(users.histories, item_ids, "dislikes", progress):
        requests = requests_of(users, batch, histories, item_ids, LIST_LENGTH)
        answers = recommender.recommend_batch(requests)
        for user, request, answer in zip(batch, requests, answers, strict=True):
            # Popular items follow the ranked ones, whatever sinks.
            ranked = [entry for entry in answer.items if entry.source != POPULAR]
            rows = recommender.catalogue.known_rows(entry.item_id for entry in ranked)
            scores = np.array([entry.score for entry in ranked])
            similarities = neighbours.similarities(
                recommender.catalogue.known_rows(request.disliked), rows, recommender.joint_ranking
            )
            for place, strength in enumerate(STRENGTHS):
                lowered = scores - strength * similarities
                best_first = np.argsort(-lowered, kind="stable")
                ranks[place, user] = rank_in_list(
                    rows[best_first], lowered[best_first], int(users.targets[user]), LIST_LENGTH
                )
    return {
        strength: float(ndcg_at(of_strength, CUTOFF).mean())
        for strength, of_strength in zip(STRENGTHS, ranks, strict=True)
    }


def digest_of(sequences: ItemSequences) -> str:
    """SHA-256 of the items and offsets."""
    return sha256(sequences.items.tobytes() + sequences.offsets.tobytes()).hexdigest()
