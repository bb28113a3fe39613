"""Mix any scorers per item with the network of a bundle's own mixture. Start at `fit_scorer_mixture`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int64

from clairo_core.progress import Progress, silent
from clairo_core.ranking import Mixture
from clairo_core.sequences import ItemSequences
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.split import EvaluationSplit
from training.evaluation.user_batches import users_per_block
from training.ranking.fit_mixture import MixtureExamples, fit_mixture, join_examples

NUM_CANDIDATES = 50
"""First places of each scorer that are candidates in fitting."""
MAX_USERS = 4000
"""The weights are fitted on a seeded sample of at most this many validation users."""


@dataclass(frozen=True, slots=True, eq=False)
class ScorerMixture:
    """Scorers and their weights."""

    scorers: tuple[ItemScorer, ...]
    mixture: Mixture
    training_counts: Int64[np.ndarray, "item"]

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """Score every item, normalized over the items that any scorer ranks high."""
        of_scorers = [scorer.scores(histories) for scorer in self.scorers]
        totals = np.zeros((len(histories), len(self.training_counts)))
        no_evidence = np.zeros((len(self.training_counts), 0), dtype=np.float32)
        for user, history in enumerate(histories):
            raw = np.stack([scores[user] for scores in of_scorers], axis=-1)
            is_reference = np.zeros(len(raw), dtype=np.bool_)
            is_reference[candidates_among(raw, history)] = True
            is_reference &= self.training_counts > 0
            totals[user] = self.mixture.totals(raw, no_evidence, self.training_counts, len(history), is_reference)
        return totals


def fit_scorer_mixture(
    scorers: Sequence[ItemScorer],
    training_counts: Int[np.ndarray, "item"],
    validation: EvaluationSplit,
    seed: int = 0,
    progress: Progress[int] = silent,
) -> ScorerMixture:
    """Fit weights on validation users; the scorers must have been fitted without them.

    All scorers weigh the same if no validation user's next item is among the candidates.
    """
    counts = np.asarray(training_counts, dtype=np.int64)
    num_users = min(MAX_USERS, len(validation.targets))
    users = np.sort(np.random.default_rng(seed).permutation(len(validation.targets))[:num_users])
    size = users_per_block(len(counts) * len(scorers))
    starts = range(0, max(1, len(users)), size)
    examples = join_examples(
        [
            candidates_of(scorers, counts, validation, users[start : start + size])
            for start in progress(starts, "mixture: candidates", len(starts))
        ]
    )
    mixture = fit_mixture(examples, seed)
    return ScorerMixture(tuple(scorers), mixture, counts)


def candidates_of(
    scorers: Sequence[ItemScorer],
    training_counts: Int64[np.ndarray, "item"],
    validation: EvaluationSplit,
    users: Int[np.ndarray, "user"],
) -> MixtureExamples:
    """Collect all scores of the unseen items that any scorer ranks high."""
    histories = validation.histories.select(users)
    all_scores = np.stack([np.asarray(scorer.scores(histories), dtype=np.float64) for scorer in scorers], axis=-1)
    of_users = [candidates_among(scores, history) for scores, history in zip(all_scores, histories, strict=True)]
    num_candidates = np.array([len(candidates) for candidates in of_users], dtype=np.int64)
    places = np.repeat(np.arange(len(users)), num_candidates)
    candidates = np.concatenate([np.zeros(0, dtype=np.int64), *of_users])
    targets = validation.targets[users]
    return MixtureExamples(
        tuple(str(place) for place in range(len(scorers))),
        (),
        all_scores[places, candidates].astype(np.float32),
        np.zeros((len(candidates), 0), dtype=np.float32),
        training_counts[candidates],
        candidates == targets[places],
        np.ones((len(candidates), len(scorers)), dtype=np.bool_),
        num_candidates,
        histories.lengths,
        training_counts[targets],
    )


def candidates_among(
    scores: Float64[np.ndarray, "item scorer"], history: Int[np.ndarray, "position"]
) -> Int64[np.ndarray, "candidate"]:
    """Rows of the unseen items that any scorer ranks high, ascending."""
    unseen = scores.copy()
    unseen[history] = -np.inf
    num_places = min(NUM_CANDIDATES, len(scores))
    placed = np.unique(np.argpartition(-unseen, num_places - 1, axis=0)[:num_places])
    candidates: Int64[np.ndarray, "candidate"] = placed[np.isfinite(unseen[placed]).all(axis=1)]
    return candidates
