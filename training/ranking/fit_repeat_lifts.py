"""Fit how much to raise or lower the log-probabilities of items that a user already has. Start at `fit_repeat_lifts`.

The lift is the difference of two log odds: of the share of next items in training that were repeats, and of the mean
probability that the recommender gives to users' own items. One lift for all users keeps the order of each user's items.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import logit

from clairo_core.progress import Progress
from clairo_core.ranking import RepeatLifts
from clairo_core.recommendation import POPULAR
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.serving_points import WITHOUT_GENERATOR, same_for_all
from training.evaluation.user_batches import batches_by_length

LIST_LENGTH = 100
_LEAST_SHARE = 1e-6


def fit_repeat_lifts(
    recommender: Recommender,
    item_ids: Sequence[str],
    training: ItemSequences,
    histories: ItemSequences,
    progress: Progress[int],
) -> RepeatLifts:
    """The lifts of the generator alone and, if there is a joint ranking, of the whole with and without the generator.

    Args:
        recommender: as trained.
        item_ids: of the rows in the sequences.
        training: gives the share of repeats among next items.
        histories: of the users to recommend to.
        progress: over batches of users.
    """
    wanted = repeat_share(training)
    generator = lift_of(recommender.ranked_by(None), item_ids, histories, wanted, "repeats, generator", progress)
    if recommender.joint_ranking is None:
        return RepeatLifts(generator=generator)
    together = lift_of(recommender, item_ids, histories, wanted, "repeats", progress)
    if recommender.joint_ranking.mixture_without_generator is None:
        return RepeatLifts(generator, together)
    alone = recommender.with_points(same_for_all(WITHOUT_GENERATOR))
    without = lift_of(alone, item_ids, histories, wanted, "repeats, without generator", progress)
    return RepeatLifts(generator, together, without)


def repeat_share(sequences: ItemSequences) -> float:
    """The share of next items, targets alone, that the same user had before, kept above 0 and below 1.

    >>> round(repeat_share(ItemSequences.from_lists([[1, 2, 1, 1], [3, 4]])), 2)
    0.5
    """
    lengths = np.asarray(sequences.lengths)
    users = np.repeat(np.arange(len(lengths)), lengths)
    is_next = np.ones(len(users), dtype=np.bool_) if sequences.is_target is None else sequences.is_target.copy()
    is_next[sequences.offsets[:-1][lengths > 0]] = False
    is_repeat = is_next.copy()
    is_repeat[np.unique(np.stack([users, sequences.items]), axis=1, return_index=True)[1]] = False
    return (int(is_repeat.sum()) + 0.5) / (int(is_next.sum()) + 1)


def lift_of(
    recommender: Recommender,
    item_ids: Sequence[str],
    histories: ItemSequences,
    wanted: float,
    label: str,
    progress: Progress[int],
) -> float:
    """The lift that makes the mean probability of users' own items `wanted`; 0 without users."""
    shares = []
    for _, batch in batches_by_length(histories, item_ids, label, progress):
        known = [history for history in batch if history.item_ids]
        answers = recommender.recommend_many(known, LIST_LENGTH, include_seen=True)
        for history, answer in zip(known, answers, strict=True):
            ranked = [item for item in answer.items if item.source != POPULAR]
            probabilities = np.exp([item.score for item in ranked])
            is_seen = np.isin([item.item_id for item in ranked], history.item_ids)
            if ranked:
                shares.append(float(probabilities[is_seen].sum() / probabilities.sum()))
    if not shares:
        return 0.0
    given = float(np.clip(np.mean(shares), _LEAST_SHARE, 1 - _LEAST_SHARE))
    return float(logit(wanted) - logit(given))
