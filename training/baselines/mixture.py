"""Add any scorers up in item space, each weighed by how often the item was bought and how long the history is.

Knows scorers, their candidates and the weights that a bundle's own mixture has too; knows nothing of what a scorer
looks at. Start at `fit_scorer_mixture`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int64

from clairo_core.progress import Progress, silent
from clairo_core.ranking import Mixture
from clairo_core.sequences import ItemSequences
from training.baselines.choose_settings import USERS_A_BLOCK
from training.baselines.scorer import ItemScorer
from training.datasets.split import EvaluationSplit
from training.joint_ranking.fit_mixture import MixtureExamples, fit_mixture, join_examples

NUM_CANDIDATES = 50
"""Places of each component that compete in fitting."""
MAX_USERS = 4000
"""Validation users that weights are fitted on; a seeded sample of more."""


@dataclass(frozen=True, slots=True, eq=False)
class ScorerMixture:
    """Scorers and how to weigh them."""

    scorers: tuple[ItemScorer, ...]
    mixture: Mixture
    training_counts: Int64[np.ndarray, "item"]

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """The weighted sum; every scorer scores every item."""
        of_scorers = [scorer.scores(histories) for scorer in self.scorers]
        totals = np.zeros((len(histories), len(self.training_counts)))
        for user, length in enumerate(histories.lengths.tolist()):
            raw = np.stack([scores[user] for scores in of_scorers], axis=-1)
            parts = self.mixture.parts(raw, self.training_counts, length)
            totals[user] = self.mixture.totals(parts, self.training_counts)
        return totals


def fit_scorer_mixture(
    scorers: Sequence[ItemScorer],
    training_counts: Int[np.ndarray, "item"],
    validation: EvaluationSplit,
    seed: int = 0,
    progress: Progress[int] = silent,
) -> ScorerMixture:
    """Find weights on validation users; scorers must have been fitted without them.

    Raises:
        TrainingError: no validation user's next item is among the candidates.
    """
    counts = np.asarray(training_counts, dtype=np.int64)
    num_users = min(MAX_USERS, len(validation.targets))
    users = np.sort(np.random.default_rng(seed).permutation(len(validation.targets))[:num_users])
    starts = range(0, len(users), USERS_A_BLOCK)
    examples = join_examples(
        [
            candidates_of(scorers, counts, validation, users[start : start + USERS_A_BLOCK])
            for start in progress(starts, "mixture: candidates", len(starts))
        ]
    )
    mixture = fit_mixture(tuple(str(place) for place in range(len(scorers))), examples)
    return ScorerMixture(tuple(scorers), mixture, counts)


def candidates_of(
    scorers: Sequence[ItemScorer],
    training_counts: Int64[np.ndarray, "item"],
    validation: EvaluationSplit,
    users: Int[np.ndarray, "user"],
) -> MixtureExamples:
    """What every scorer says of the unseen items that any of them places high."""
    histories = validation.histories.select(users)
    all_scores = [np.array(scorer.scores(histories), dtype=np.float64) for scorer in scorers]
    seen = (np.repeat(np.arange(len(users)), histories.lengths), histories.items)
    num_places = min(NUM_CANDIDATES, len(training_counts))
    tops = []
    for scores in all_scores:
        scores[seen] = -np.inf
        tops.append(np.argpartition(-scores, num_places - 1, axis=1)[:, :num_places])
    shape = (len(users), num_places * len(scorers))
    examples = MixtureExamples(
        np.zeros((*shape, len(scorers))),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.bool_),
        np.zeros(shape, dtype=np.bool_),
        histories.lengths,
        training_counts[validation.targets[users]],
    )
    for place, placed in enumerate(np.concatenate(tops, axis=1)):
        chosen = np.unique(placed)
        chosen = chosen[np.isfinite(all_scores[0][place, chosen])]
        examples.scores[place, : len(chosen)] = np.stack([scores[place, chosen] for scores in all_scores], axis=-1)
        examples.training_counts[place, : len(chosen)] = training_counts[chosen]
        examples.is_item[place, : len(chosen)] = True
        examples.is_target[place, : len(chosen)] = chosen == validation.targets[users[place]]
    return examples
