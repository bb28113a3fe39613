"""Choose how much to raise or lower each ranker's scores of items of the history. Start at `lift_of_scorer`.

One rule for every ranker, whatever its scores mean: the number that gives the highest NDCG@10 on validation users, seen
items allowed. Where none of their next items is a repeat, that is minus infinity: seen items are masked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from clairo_core.progress import Progress, silent
from clairo_core.ranking import NO_LIFTS
from clairo_core.recommendation import POPULAR
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.datasets.dataset import Dataset
from training.evaluation.few_scores import FewScores
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import LIST_LENGTH
from training.evaluation.split import ALLOWED, EvaluationSplit, some_users, validation_split
from training.evaluation.user_batches import batches_by_length, scored_blocks

MASKS = -np.inf
"""The lift that ranks no item of the history."""
CUTOFF = 10
NUM_USERS = 1000
"""Size of the seeded sample of validation users."""
MOST_LIFTS = 200
"""How many are tried."""


@dataclass(frozen=True, slots=True, eq=False)
class LiftExamples:
    """The best scores of each user's seen and unseen items, best first, padded with -inf, and the target's score."""

    seen: Float64[np.ndarray, "user place"]
    unseen: Float64[np.ndarray, "user place"]
    targets: Float64[np.ndarray, "user"]
    """NaN if the target is not in the list."""
    is_repeat: Bool[np.ndarray, "user"]
    """Whether the target is an item of the history."""

    def ranks(self, lift: float) -> Int64[np.ndarray, "user"]:
        """Each target's place with `lift` added to seen items' scores, ties against it; exact up to `CUTOFF`."""
        among_seen = np.where(self.is_repeat, self.targets, self.targets - lift)
        among_unseen = np.where(self.is_repeat, self.targets + lift, self.targets)
        num_seen = np.count_nonzero(self.seen >= among_seen[:, None], axis=1)
        ranks: Int64[np.ndarray, "user"] = num_seen + np.count_nonzero(self.unseen >= among_unseen[:, None], axis=1)
        return ranks


def lift_users(dataset: Dataset) -> EvaluationSplit:
    """The validation users on whom every ranker's lift is chosen, seen items allowed."""
    return some_users(validation_split(dataset, ALLOWED), NUM_USERS, seed=0)


def lift_of_scorer(
    scorer: ItemScorer, users: EvaluationSplit, label: str = "", progress: Progress[int] = silent
) -> float:
    """The lift of a scorer, to be added to its scores."""
    if not repeats_in(users).any():
        return MASKS
    blocks = scored_blocks(scorer, users.histories, f"{label}, repeats", progress)
    return best_lift([examples_of_scores(scores, users.targets[rows], seen) for rows, seen, scores in blocks])


def lift_of_recommender(
    recommender: Recommender,
    item_ids: Sequence[str],
    users: EvaluationSplit,
    label: str = "",
    progress: Progress[int] = silent,
) -> float:
    """The lift of a recommender without its own, to be added to the scores in its lists."""
    if not repeats_in(users).any():
        return MASKS
    bare = recommender.with_repeat_lifts(NO_LIFTS)
    examples = []
    for rows, histories in batches_by_length(users.histories, item_ids, f"{label}, repeats", progress):
        answers = bare.recommend_many(histories, LIST_LENGTH, include_seen=True)
        for row, history, answer in zip(rows, histories, answers, strict=True):
            # A lift moves ranked items alone: popular ones follow them.
            ranked = [entry for entry in answer.items if entry.source != POPULAR]
            scores = np.array([entry.score for entry in ranked])
            is_seen = np.isin([entry.item_id for entry in ranked], history.item_ids)
            target = item_ids[users.targets[row]]
            examples.append(
                LiftExamples(
                    best_scores(scores[is_seen][None]),
                    best_scores(scores[~is_seen][None]),
                    np.array([next((entry.score for entry in ranked if entry.item_id == target), np.nan)]),
                    np.array([target in history.item_ids]),
                )
            )
    return best_lift(examples)


def repeats_in(split: EvaluationSplit) -> Bool[np.ndarray, "user"]:
    """Whether each user's target is an item of the history."""
    is_repeat = np.repeat(split.targets, split.histories.lengths) == split.histories.items
    users = np.repeat(np.arange(len(split.targets)), split.histories.lengths)
    repeated: Bool[np.ndarray, "user"] = np.bincount(users[is_repeat], minlength=len(split.targets)) > 0
    return repeated


def examples_of_scores(
    scores: Float64[np.ndarray, "user item"] | FewScores, targets: Int[np.ndarray, "user"], histories: ItemSequences
) -> LiftExamples:
    """Examples from all items' scores."""
    if isinstance(scores, FewScores):
        scores = scores.dense()
    users = np.arange(len(targets))
    is_seen = np.zeros(scores.shape, dtype=np.bool_)
    is_seen[np.repeat(users, histories.lengths), histories.items] = True
    return LiftExamples(
        best_scores(np.where(is_seen, scores, -np.inf)),
        best_scores(np.where(is_seen, -np.inf, scores)),
        scores[users, targets].astype(np.float64),
        is_seen[users, targets],
    )


def best_scores(scores: Float64[np.ndarray, "user item"]) -> Float64[np.ndarray, "user place"]:
    """The highest scores, best first: one more than the places that count."""
    wide = np.pad(scores.astype(np.float64), ((0, 0), (0, CUTOFF + 1)), constant_values=-np.inf)
    best: Float64[np.ndarray, "user place"] = -np.sort(np.partition(-wide, CUTOFF, axis=1)[:, : CUTOFF + 1], axis=1)
    return best


def best_lift(parts: Sequence[LiftExamples]) -> float:
    """The lift with the highest NDCG@10 over the users of all parts; ties take the lowest, `MASKS` first."""
    examples = LiftExamples(
        np.concatenate([part.seen for part in parts]),
        np.concatenate([part.unseen for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.is_repeat for part in parts]),
    )
    # A target passes an item of the other kind where the lift crosses their difference, and nowhere else.
    crossed = np.where(
        examples.is_repeat[:, None],
        examples.unseen - examples.targets[:, None],
        examples.targets[:, None] - examples.seen,
    )
    crossings = np.unique(crossed[np.isfinite(crossed)])
    if len(crossings) > MOST_LIFTS:
        crossings = crossings[np.linspace(0, len(crossings) - 1, MOST_LIFTS).round().astype(np.int64)]
    lifts = [MASKS]
    if len(crossings):
        lifts += [crossings[0] - 1.0, *((crossings[1:] + crossings[:-1]) / 2), crossings[-1] + 1.0]
    gains = [float(ndcg_at(examples.ranks(lift), CUTOFF).mean()) for lift in lifts]
    return float(lifts[int(np.argmax(gains))])


def lift_in_words(lift: float | None) -> str:
    """For notes; None masks, too.

    >>> lift_in_words(-0.74), lift_in_words(MASKS)
    ('-0.74', 'masked')
    """
    return "masked" if lift in (None, MASKS) else f"{lift:+.3g}"
