"""Rank by what followed the user's last items in other users' histories. Start at `fit_markov`.

Counts alone, and the strongest cheap baseline wherever order matters. Two items d places apart count 1/d times both
weights, up to `WINDOW` places. A follower j of item i scores count(i, j) / (count(i, any) + shrinkage)^power, so rare
items cannot outvote items with well-known followers. The last `num_recent` items of a history count, the r-th last with
weight 1/r. Popularity breaks ties and ranks items that never followed.

PROTOCOL's figures for the Markov baseline are num_recent 3, power 1, shrinkage 10 on Instruments and 1 on MovieLens.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import sparse

from clairo_core.progress import Progress, silent
from clairo_core.ranking import RowScale
from clairo_core.ranking.count_increments import FOLLOWERS_WITHIN
from clairo_core.sequences import ItemSequences
from training.counts.popularity import count_popularity
from training.counts.recent_items import weigh_history
from training.evaluation.choose_settings import Choice, best_on_validation
from training.evaluation.few_scores import FewScores, SharedScores, scores_above, shared_scores
from training.evaluation.split import EvaluationSplit

WINDOW = FOLLOWERS_WITHIN
"""The largest distance at which an item counts as a follower."""
TIE_BREAK = 1e-9
"""Weight of an item's share of all purchases: small enough to break ties only."""


@dataclass(frozen=True, slots=True)
class MarkovSettings:
    """Settings that validation chooses."""

    num_recent: int
    shrinkage: float
    power: float


GRID = tuple(
    MarkovSettings(num_recent, shrinkage, power)
    for power, shrinkage in ((1.0, 1.0), (1.0, 10.0), (0.5, 1.0), (0.0, 0.0))
    for num_recent in (3, 10, 30)
)


@dataclass(frozen=True, slots=True, eq=False)
class Markov:
    """A fitted Markov scorer."""

    followers: sparse.csr_matrix
    """Rows are items of the history, columns their followers."""
    tie_break: SharedScores
    num_recent: int
    scale: RowScale

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """Scores of followers; the last item weighs most."""
        return self.few_scores(histories).dense()

    def few_scores(self, histories: ItemSequences) -> FewScores:
        """The same as own scores of followers; popularity is shared."""
        recent = weigh_history(
            histories,
            self.followers.shape[0],
            lambda age: np.where(age < self.num_recent, 1.0 / (1.0 + age), 0.0),
        )
        return scores_above((recent @ self.followers).tocsr(), self.tie_break)


def fit_markov(training: ItemSequences, num_items: int, settings: MarkovSettings) -> Markov:
    """Count followers in the training sequences."""
    tie_break = shared_scores(TIE_BREAK * popularity_shares(training, num_items))
    return _markov(count_followers(training, num_items), tie_break, settings)


def choose_markov(
    training: ItemSequences,
    num_items: int,
    validation: EvaluationSplit,
    progress: Progress = silent,
    grid: tuple[MarkovSettings, ...] = GRID,
) -> Choice[MarkovSettings]:
    """Choose the settings that rank validation users' next items best."""
    followers = count_followers(training, num_items)
    tie_break = shared_scores(TIE_BREAK * popularity_shares(training, num_items))
    candidates = ((settings, _markov(followers, tie_break, settings)) for settings in grid)
    return best_on_validation(candidates, len(grid), validation, "markov: settings", progress)


def count_followers(training: ItemSequences, num_items: int) -> sparse.csr_matrix:
    """How often the column's item followed the row's; d places apart counts 1/d, times both weights."""
    items, offsets, weights = training.items, training.offsets, training.each_weight
    sequence_of = np.repeat(np.arange(len(training)), np.diff(offsets))
    total = sparse.csr_matrix((num_items, num_items), dtype=np.float64)
    for distance in range(1, min(WINDOW, len(items) - 1) + 1):
        is_pair = sequence_of[:-distance] == sequence_of[distance:]
        earlier, later = items[:-distance][is_pair], items[distance:][is_pair]
        counts = (weights[:-distance] * weights[distance:])[is_pair] / distance
        total = total + sparse.csr_matrix((counts, (earlier, later)), shape=(num_items, num_items))
    return total.tocsr()


def popularity_shares(training: ItemSequences, num_items: int) -> Float64[np.ndarray, "item"]:
    """Each item's share of all training interactions, by weight."""
    counts = count_popularity(training, num_items)
    shares: Float64[np.ndarray, "item"] = counts / max(counts.sum(), 1)
    return shares


def _markov(followers: sparse.csr_matrix, tie_break: SharedScores, settings: MarkovSettings) -> Markov:
    scale = RowScale(np.asarray(followers.sum(axis=1)).ravel(), settings.shrinkage, settings.power)
    weights = (sparse.diags(1.0 / scale.divisors) @ followers).tocsr()
    return Markov(weights, tie_break, settings.num_recent, scale)
