"""Rank what the users with the most similar histories have (vector session kNN). Start at `choose_vsknn`.

Source: Ludewig and Jannach 2018, "Evaluation of Session-based Recommendation Algorithms", V-SKNN: the current session
is a vector whose weights fall with age, a neighbour is any session. We differ: sessions are whole histories, so the
similarity is divided by the root of a neighbour's length, an item weighs decay^age whatever the history's length, and
all users can be neighbours, not a sample of recent ones. Users' own training sequences are among them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import sparse

from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.counts import strongest_entries
from training.counts.markov import TIE_BREAK, popularity_shares
from training.counts.popularity import heaviest_of_each, pairs_of
from training.counts.recent_items import weigh_history
from training.engines.row_pieces import row_pieces
from training.evaluation.choose_settings import Choice, best_on_validation
from training.evaluation.split import EvaluationSplit


@dataclass(frozen=True, slots=True)
class VsknnSettings:
    """Settings that validation chooses."""

    num_neighbours: int
    decay: float
    rarity: float
    """An item's score is multiplied by log(users / users of the item) to this power."""


GRID = tuple(
    VsknnSettings(num_neighbours, decay, rarity)
    for num_neighbours in (100, 500)
    for decay in (0.5, 0.8)
    for rarity in (0.0, 1.0, 2.0)
)


@dataclass(frozen=True, slots=True, eq=False)
class Vsknn:
    """A fitted kNN scorer."""

    has: sparse.csr_matrix
    """Training users by items: the weight of each user's heaviest event with the item."""
    by_item: sparse.csr_matrix
    """Items by training users, divided by the root of the sum of the user's weights."""
    rarity: Float64[np.ndarray, "item"]
    tie_break: Float64[np.ndarray, "item"]
    settings: VsknnSettings

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """The neighbours' items, weighted by similarity. Neighbours tied with the last of them count too."""
        recent = weigh_history(histories, self.has.shape[1], lambda age: self.settings.decay ** age.astype(np.float64))
        # All users who share an item with each history are many more than the neighbours kept of them.
        most_users = recent.astype(np.bool_) @ np.diff(self.by_item.indptr)
        nearest = [sparse.csr_matrix((0, self.has.shape[0]))]
        nearest += [self._neighbours(recent[rows]) for rows in row_pieces(most_users, strongest_entries.MOST_ENTRIES)]
        scores: Float64[np.ndarray, "user item"] = (sparse.vstack(nearest) @ self.has).toarray() * self.rarity
        scores += self.tie_break
        return scores

    def _neighbours(self, recent: sparse.csr_matrix) -> sparse.csr_matrix:
        """Similarities of the nearest training users to some histories."""
        neighbours = (recent @ self.by_item).tocsr()
        for begin, end in zip(neighbours.indptr[:-1], neighbours.indptr[1:], strict=True):
            similarities = neighbours.data[begin:end]
            if len(similarities) > self.settings.num_neighbours:
                last = len(similarities) - self.settings.num_neighbours
                similarities[similarities < np.partition(similarities, last)[last]] = 0.0
        neighbours.eliminate_zeros()
        return neighbours


def fit_vsknn(training: ItemSequences, num_items: int, settings: VsknnSettings) -> Vsknn:
    """Keep the training users' items."""
    pairs, weights = heaviest_of_each(pairs_of(training, num_items), training.each_weight)
    has = sparse.csr_matrix((weights, np.divmod(pairs, num_items)), (len(training), num_items))
    lengths = np.asarray(has.sum(axis=1)).ravel()
    by_item = (sparse.diags(np.where(lengths > 0, lengths, 1.0) ** -0.5) @ has).T.tocsr()
    num_users = np.bincount(has.indices, minlength=num_items)
    rarity = np.log(max(len(training), 1) / np.maximum(num_users, 1)) ** settings.rarity
    return Vsknn(has, by_item, rarity, TIE_BREAK * popularity_shares(training, num_items), settings)


def choose_vsknn(
    training: ItemSequences,
    num_items: int,
    validation: EvaluationSplit,
    progress: Progress = silent,
    grid: tuple[VsknnSettings, ...] = GRID,
) -> Choice[VsknnSettings]:
    """Choose the settings that rank validation users' next items best."""
    candidates = ((settings, fit_vsknn(training, num_items, settings)) for settings in grid)
    return best_on_validation(candidates, len(grid), validation, "vsknn: settings", progress)
