"""Rank generated items together with the dense head's, by the scores of all components. Start at `JointRanking.rank`.

The generator and the dense head propose candidates; item weights only help to rank them. Items that training never saw
are placed where the dense head alone would put them: no other component scores them, and weights fitted on items with
interactions would bury them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64
from scipy.special import logsumexp

from clairo_core.errors import MixtureError
from clairo_core.ranking.dense_head import DenseHead, load_dense_head
from clairo_core.ranking.item_weights import ItemWeights, load_item_weights
from clairo_core.ranking.mixture import Mixture, load_mixture
from clairo_core.ranking.new_items import with_new_placed

GENERATOR = "generator"
DENSE = "dense"
GENERATOR_COLUMN, DENSE_COLUMN = 0, 1
"""Columns of their scores; those of item weights follow."""
NUM_DENSE_CANDIDATES = 200
"""Of the dense head, besides generated items; a longer list takes as many as it has places."""

Generated: TypeAlias = tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]]
"""Generated item rows of one history, and their log-probabilities."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Items that compete for one user's list or serve as reference, and each component's scores of them."""

    item_rows: Int64[np.ndarray, "item"]
    """Ascending."""
    scores: Float64[np.ndarray, "item component"]
    """0 or more; in the order of the mixture's components."""
    training_counts: Int64[np.ndarray, "item"]
    is_allowed: Bool[np.ndarray, "item"]
    """Whether the item may be listed."""
    is_reference: Bool[np.ndarray, "item"]
    """See `candidate_features`."""


@dataclass(frozen=True, slots=True, eq=False)
class RankedItems:
    """One user's list, best first."""

    item_rows: Int64[np.ndarray, "item"]
    scores: Float64[np.ndarray, "item"]
    """Log-probabilities among all candidates, those that are not allowed included."""
    is_dense: Bool[np.ndarray, "item"]
    """Whether the dense head scored the item higher than the generator."""


@dataclass(frozen=True, slots=True, eq=False)
class JointRanking:
    """Components and their mixture. Immutable."""

    dense_head: DenseHead
    item_weights: Mapping[str, ItemWeights]
    """By component."""
    mixture: Mixture | None
    """None until it is fitted."""
    training_counts: Int64[np.ndarray, "item"]
    """Interactions in training; items past its end have none."""
    mixture_without_generator: Mixture | None = None
    """Ranks where nothing was generated; None in bundles of before."""

    @property
    def components(self) -> tuple[str, ...]:
        """Names, in the order of the score columns."""
        return (GENERATOR, DENSE, *self.item_weights)

    def on(self, device: torch.device) -> "JointRanking":
        """This ranking with the dense head on `device`."""
        return replace(self, dense_head=self.dense_head.on(device))

    def with_items(self, item_embeddings: Float[np.ndarray, "new content"]) -> "JointRanking":
        """A version with posted items; see `DenseHead.with_items`."""
        return replace(self, dense_head=self.dense_head.with_items(item_embeddings))

    def with_vectors(
        self, rows: Int[np.ndarray, "changed"], vectors: Float[np.ndarray, "changed dim"]
    ) -> "JointRanking":
        """A version with other dense vectors in these rows."""
        return replace(self, dense_head=self.dense_head.with_vectors(rows, vectors))

    def counts_of(self, item_rows: Int[np.ndarray, "item"]) -> Int64[np.ndarray, "item"]:
        """Training counts of these items."""
        counts = np.zeros(len(item_rows), dtype=np.int64)
        was_there = item_rows < len(self.training_counts)
        counts[was_there] = self.training_counts[item_rows[was_there]]
        return counts

    def candidates(
        self,
        histories: Sequence[Int[np.ndarray, "position"]],
        generated: Sequence[Generated] | None,
        is_allowed: Bool[np.ndarray, "history item"],
        num_places: int = NUM_DENSE_CANDIDATES,
    ) -> list[Candidates]:
        """Collect each user's candidates and reference items.

        Args:
            histories: rows of items, oldest first; none empty.
            generated: the generator's items and their log-probabilities; None if nothing was generated.
            is_allowed: whether each item may be listed.
            num_places: candidates of the dense head.
        """
        dense = self.dense_head.log_probabilities(histories)
        others = [weights.scores(histories, dense.shape[1]) for weights in self.item_weights.values()]
        stacked = np.stack(others) if others else np.zeros((0, *dense.shape), dtype=np.float32)
        nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
        return [
            self._candidates_of_one(
                dense[user],
                stacked[:, user],
                nothing if generated is None else generated[user],
                history,
                allowed,
                num_places,
            )
            for user, (history, allowed) in enumerate(zip(histories, is_allowed, strict=True))
        ]

    def _candidates_of_one(
        self,
        dense: Float32[np.ndarray, "item"],
        others: Float32[np.ndarray, "component item"],
        generated: Generated,
        history: Int[np.ndarray, "position"],
        is_allowed: Bool[np.ndarray, "item"],
        num_places: int,
    ) -> Candidates:
        generated_rows, log_probabilities = generated
        of_all = np.union1d(best_of(dense, np.arange(len(dense)), NUM_DENSE_CANDIDATES), generated_rows)
        allowed = best_of(dense, np.flatnonzero(is_allowed), num_places)
        item_rows = np.union1d(of_all, allowed).astype(np.int64)
        counts = self.counts_of(item_rows)
        scores = np.zeros((len(item_rows), len(self.components)))
        scores[np.searchsorted(item_rows, generated_rows), GENERATOR_COLUMN] = np.exp(log_probabilities)
        scores[counts == 0, GENERATOR_COLUMN] = 0.0
        scores[:, DENSE_COLUMN] = np.exp(dense[item_rows].astype(np.float64))
        for place, of_component in enumerate(others, DENSE_COLUMN + 1):
            scores[:, place] = np.maximum(of_component[item_rows], 0.0)
        is_reference = np.isin(item_rows, of_all) & ~np.isin(item_rows, history) & (counts > 0)
        return Candidates(item_rows, scores, counts, is_allowed[item_rows], is_reference)

    def rank(
        self,
        histories: Sequence[Int[np.ndarray, "position"]],
        generated: Sequence[Generated] | None,
        is_allowed: Bool[np.ndarray, "history item"],
        num_places: int,
    ) -> list[RankedItems]:
        """Rank each user's `num_places` best candidates; ties are in the order of item rows.

        With `generated=None`, nothing was generated, and the mixture without generator ranks.

        Raises:
            MixtureError: that mixture is not fitted.
        """
        mixture = self.mixture if generated is not None else self.mixture_without_generator
        if mixture is None:
            which = "the mixture" if generated is not None else "the mixture without generator"
            raise MixtureError(f"{which} is not fitted; fit it first")
        columns = [self.components.index(component) for component in mixture.components]
        candidates_of_users = self.candidates(histories, generated, is_allowed, max(NUM_DENSE_CANDIDATES, num_places))
        return [
            ranked_for_one(mixture, columns, candidates, len(history), num_places)
            for candidates, history in zip(candidates_of_users, histories, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write the dense head, the item weights and the mixture."""
        if self.mixture is None:
            raise MixtureError("the mixture is not fitted; fit it first")
        folder.mkdir(parents=True, exist_ok=True)
        self.dense_head.save(folder / "dense-head")
        for component, weights in self.item_weights.items():
            weights.save(folder / component)
        self.mixture.save(folder / "mixture")


def best_of(
    scores: Float32[np.ndarray, "item"], item_rows: Int64[np.ndarray, "some"], count: int
) -> Int64[np.ndarray, "best"]:
    """The `count` given items with the highest scores, in any order."""
    if len(item_rows) <= count:
        return item_rows
    return item_rows[np.argpartition(-scores[item_rows], count - 1)[:count]]


def ranked_for_one(
    mixture: Mixture, columns: Sequence[int], candidates: Candidates, history_length: int, num_places: int
) -> RankedItems:
    """Rank one user's `num_places` best allowed candidates by these columns of their scores."""
    counts, is_reference = candidates.training_counts, candidates.is_reference
    totals = mixture.totals(candidates.scores[:, columns], counts, history_length, is_reference)
    dense = candidates.scores[:, DENSE_COLUMN]
    totals = with_new_placed(totals, dense, counts == 0, is_reference, mixture.new_item_lift)
    allowed = np.flatnonzero(candidates.is_allowed)
    best_first = allowed[np.lexsort((candidates.item_rows[allowed], -totals[allowed]))][:num_places]
    # Normalized over all candidates: a score must not rise because a filter removes others.
    scores = totals[best_first] - logsumexp(totals)
    is_dense = dense[best_first] > candidates.scores[best_first, GENERATOR_COLUMN]
    return RankedItems(candidates.item_rows[best_first], scores, is_dense)


def load_joint_ranking(folder: Path, training_counts: Int64[np.ndarray, "item"]) -> JointRanking:
    """Load a saved joint ranking.

    Raises:
        DenseHeadError, ItemWeightsError, MixtureError: a part is damaged or does not fit the others.
    """
    mixture = load_mixture(folder / "mixture")
    dense_head = load_dense_head(folder / "dense-head")
    if mixture.components[:2] != (GENERATOR, DENSE) or dense_head.num_items != len(training_counts):
        raise MixtureError(
            f"{folder}: a mixture of {', '.join(mixture.components)} for {dense_head.num_items} items, expected "
            f"{GENERATOR} and {DENSE} first, and {len(training_counts)} items; copy the bundle again"
        )
    item_weights = {}
    for component in mixture.components[2:]:
        if component not in COMPONENTS:
            raise MixtureError(
                f"{folder}: component {component!r}, expected one of {', '.join(COMPONENTS)}; update CLAIRO"
            )
        item_weights[component] = load_item_weights(folder / component)
    return JointRanking(dense_head, item_weights, mixture, training_counts)


COMPONENTS = ("followers", "ease")
"""Item weights that a mixture may hold, and their folders."""
