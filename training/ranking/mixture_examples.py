"""Make the examples that a mixture is fitted and calibrated on: validation users and their unseen candidates.

Start at `mixture_examples`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int32, Int64
from scipy import sparse

from clairo_core.progress import Progress
from clairo_core.ranking import DenseHeads, ItemWeights, JointRanking
from clairo_core.ranking.allowed_items import all_but
from clairo_core.ranking.candidates import Candidates
from clairo_core.recommender import Recommender
from clairo_core.serving_points import BALANCED
from clairo_core.storage.growing_rows import GrowingRows
from training.evaluation.split import EvaluationSplit
from training.evaluation.user_batches import batches_by_length
from training.ranking.fit_mixture import MixtureExamples, join_examples


def mixture_examples(
    recommender: Recommender,
    rankings: Sequence[JointRanking],
    item_ids: Sequence[str],
    split: EvaluationSplit,
    progress: Progress[int],
) -> list[MixtureExamples]:
    """Score each user's unseen candidates by every component of each ranking.

    Args:
        recommender: generates once for all rankings.
        rankings: each gives one result.
        item_ids: of the rows of the split's items.
        split: the users, at least one. The result is sorted by length of history.
        progress: over batches of users.
    """
    parts: list[list[MixtureExamples]] = [[] for _ in rankings]
    for users, histories in batches_by_length(split.histories, item_ids, "mixture: candidates", progress):
        known = [recommender.known_rows(history) for history in histories]
        of_users = examples_of(recommender, rankings, known, len(item_ids), split.targets[users])
        for of_ranking, examples in zip(parts, of_users, strict=True):
            of_ranking.append(examples)
    # Each ranking's parts are dropped before the next one's are joined: both take gigabytes.
    return [join_examples(parts.pop(0)) for _ in rankings]


def examples_of(
    recommender: Recommender,
    rankings: Sequence[JointRanking],
    histories: Sequence[Int64[np.ndarray, "position"]],
    num_items: int,
    targets: Int32[np.ndarray, "user"],
) -> list[MixtureExamples]:
    """The candidates of some users by each ranking, seen items masked."""
    is_allowed = [all_but(history, num_items) for history in histories]
    point = recommender.points[BALANCED]
    generated = recommender.generator.generate(
        histories, [0] * len(histories), point.num_views, point.num_beams, is_allowed
    )
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    return [
        examples_from(ranking, ranking.candidates(histories, generated, is_allowed), targets, lengths)
        for ranking in rankings
    ]


def examples_from(
    ranking: JointRanking,
    everybody: Sequence[Candidates],
    targets: Int32[np.ndarray, "user"],
    history_lengths: Int64[np.ndarray, "user"],
) -> MixtureExamples:
    """The allowed candidates of all users."""
    allowed = [np.flatnonzero(candidates.is_allowed) for candidates in everybody]
    of_users = list(zip(everybody, allowed, strict=True))
    num_candidates = np.array([len(rows) for rows in allowed], dtype=np.int64)
    item_rows = np.concatenate([candidates.item_rows[rows] for candidates, rows in of_users])
    return MixtureExamples(
        ranking.components,
        ranking.evidence,
        np.concatenate([candidates.scores[rows] for candidates, rows in of_users]).astype(np.float32),
        np.concatenate([candidates.evidence[rows] for candidates, rows in of_users]),
        np.concatenate([candidates.training_counts[rows] for candidates, rows in of_users]),
        item_rows == np.repeat(targets, num_candidates),
        np.concatenate([candidates.is_proposed_by[rows] for candidates, rows in of_users]),
        num_candidates,
        history_lengths,
        ranking.counts_of(targets),
    )


def with_new_items(ranking: JointRanking, as_new: DenseHeads, is_new: Bool[np.ndarray, "item"]) -> JointRanking:
    """The ranking as if these items had just been posted: never used, known by their content alone."""
    heads = [
        replace(head, vectors=GrowingRows(np.where(is_new[:, None], new.item_vectors, head.item_vectors)))
        for head, new in zip(ranking.dense_heads.heads, as_new.heads, strict=True)
    ]

    def kept(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        # Zeros count as no entry, and a matrix with them shares rows and columns with the other one.
        is_dropped = np.repeat(is_new, np.diff(matrix.indptr)) | is_new[matrix.indices]
        weights = np.where(is_dropped, np.float32(0), matrix.data)
        return sparse.csr_matrix((weights, matrix.indices, matrix.indptr), shape=matrix.shape)

    of_posted = DenseHeads(tuple(heads))
    return JointRanking(
        of_posted if ranking.dense_heads.index is None else of_posted.indexed(),
        {
            component: ItemWeights(kept(weights.matrix), weights.age_weights)
            for component, weights in ranking.item_weights.items()
        },
        None,
        np.where(is_new, 0, ranking.training_counts),
        None if ranking.together is None else kept(ranking.together),
        ranking.content,
    )
