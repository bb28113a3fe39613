"""Rank together what the generator wrote and what the dense head finds near, by everything that is known of each item.

Knows candidates, components and the mixture; knows nothing of requests, tokens or catalogues. Start at
`JointRanking.rank`.

The generator and the dense head propose; counts of what follows what only help to rank. What training never saw stands
where the dense head alone would put it among the others: nobody else has anything to say of it, and weights that were
found on items with a past would hide it.
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
from clairo_core.ranking.quantile_map import QuantileMap, quantile_map

GENERATOR = "generator"
DENSE = "dense"
NUM_DENSE_CANDIDATES = 200
"""Of the dense head, beside what was generated; as many as a list is long, if that is more."""

_ScoresOfUser: TypeAlias = tuple[
    Float32[np.ndarray, "item"],
    Float32[np.ndarray, "component item"],
    tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]],
]
"""Of the dense head, of the other components, and what was generated."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Items that compete for one user's list, and what each component says of them."""

    item_rows: Int64[np.ndarray, "item"]
    """Ascending."""
    scores: Float64[np.ndarray, "item component"]
    """None below 0; in the order of the mixture's components."""
    training_counts: Int64[np.ndarray, "item"]

    @property
    def is_new(self) -> Bool[np.ndarray, "item"]:
        """What training never saw."""
        is_new: Bool[np.ndarray, "item"] = self.training_counts == 0
        return is_new

    @property
    def dense_logs(self) -> Float64[np.ndarray, "item"]:
        """Logarithms of what the dense head says."""
        logs: Float64[np.ndarray, "item"] = np.log(np.maximum(self.scores[:, 1], 1e-300))
        return logs


@dataclass(frozen=True, slots=True, eq=False)
class RankedItems:
    """One user's list, best first."""

    item_rows: Int64[np.ndarray, "item"]
    scores: Float64[np.ndarray, "item"]
    """Logarithms of probabilities, among the candidates and what would be one if everything were allowed."""
    is_dense: Bool[np.ndarray, "item"]
    """Whether the dense head spoke for the item more than the generator did."""


@dataclass(frozen=True, slots=True, eq=False)
class JointRanking:
    """Components and how to weigh them. Immutable."""

    dense_head: DenseHead
    item_weights: Mapping[str, ItemWeights]
    """By component."""
    mixture: Mixture | None
    """None while it is being fitted."""
    training_counts: Int64[np.ndarray, "item"]
    """Interactions in training; items past its end have none."""

    @property
    def components(self) -> tuple[str, ...]:
        """Names, in the order in which candidates' scores stand."""
        return (GENERATOR, DENSE, *self.item_weights)

    def on(self, device: torch.device) -> "JointRanking":
        """The same, with the dense head on `device`."""
        return replace(self, dense_head=self.dense_head.on(device))

    def with_items(self, item_embeddings: Float[np.ndarray, "new content"]) -> "JointRanking":
        """A version that knows posted items; see `DenseHead.with_items`."""
        return replace(self, dense_head=self.dense_head.with_items(item_embeddings))

    def counts_of(self, item_rows: Int[np.ndarray, "item"]) -> Int64[np.ndarray, "item"]:
        """How often each item occurs in training."""
        counts = np.zeros(len(item_rows), dtype=np.int64)
        was_there = item_rows < len(self.training_counts)
        counts[was_there] = self.training_counts[item_rows[was_there]]
        return counts

    def candidates(
        self,
        histories: Sequence[Int[np.ndarray, "position"]],
        generated: Sequence[tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]]],
        is_allowed: Bool[np.ndarray, "history item"],
        num_places: int = NUM_DENSE_CANDIDATES,
    ) -> list[Candidates]:
        """Everybody's candidates.

        Args:
            histories: rows of items, oldest first; none empty.
            generated: the generator's items and the logarithms of their probabilities.
            is_allowed: which items may be in each list.
            num_places: of the dense head.
        """
        dense, others = self._scores_of_all(histories)
        return [
            self._candidates_of_one(dense[user], others[:, user], generated[user], allowed, num_places)
            for user, allowed in enumerate(is_allowed)
        ]

    def _scores_of_all(
        self, histories: Sequence[Int[np.ndarray, "position"]]
    ) -> tuple[Float32[np.ndarray, "history item"], Float32[np.ndarray, "component history item"]]:
        dense = self.dense_head.log_probabilities(histories)
        others = [weights.scores(histories, dense.shape[1]) for weights in self.item_weights.values()]
        return dense, np.stack(others) if others else np.zeros((0, *dense.shape), dtype=np.float32)

    def _candidates_of_one(
        self,
        dense: Float32[np.ndarray, "item"],
        others: Float32[np.ndarray, "component item"],
        generated: tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]],
        is_allowed: Bool[np.ndarray, "item"],
        num_places: int,
    ) -> Candidates:
        allowed = np.flatnonzero(is_allowed)
        if len(allowed) > num_places:
            allowed = allowed[np.argpartition(-dense[allowed], num_places - 1)[:num_places]]
        generated_rows, log_probabilities = generated
        item_rows = np.union1d(allowed, generated_rows).astype(np.int64)
        scores = np.zeros((len(item_rows), len(self.components)))
        scores[np.searchsorted(item_rows, generated_rows), 0] = np.exp(log_probabilities)
        counts = self.counts_of(item_rows)
        scores[counts == 0, 0] = 0.0
        scores[:, 1] = np.exp(dense[item_rows].astype(np.float64))
        for place, of_component in enumerate(others, 2):
            scores[:, place] = np.maximum(of_component[item_rows], 0.0)
        return Candidates(item_rows, scores, counts)

    def rank(
        self,
        histories: Sequence[Int[np.ndarray, "position"]],
        generated: Sequence[tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]]],
        is_allowed: Bool[np.ndarray, "history item"],
        num_places: int,
    ) -> list[RankedItems]:
        """The `num_places` best of each user's candidates; equals in the order of their rows."""
        if self.mixture is None:
            raise MixtureError("no weights were fitted yet; fit the mixture first")
        dense, others = self._scores_of_all(histories)
        return [
            self._ranked_for_one(
                self.mixture, (dense[user], others[:, user], generated[user]), history, allowed, num_places
            )
            for user, (history, allowed) in enumerate(zip(histories, is_allowed, strict=True))
        ]

    def _ranked_for_one(
        self,
        mixture: Mixture,
        scores_of_user: _ScoresOfUser,
        history: Int[np.ndarray, "position"],
        is_allowed: Bool[np.ndarray, "item"],
        num_places: int,
    ) -> RankedItems:
        candidates = self._candidates_of_one(*scores_of_user, is_allowed, max(NUM_DENSE_CANDIDATES, num_places))
        parts = mixture.parts(candidates.scores, candidates.training_counts, len(history))
        totals = mixture.totals(parts, candidates.training_counts)
        # What is not allowed was as probable: no item's score may depend on what else is filtered out.
        everything = self._candidates_of_one(*scores_of_user, np.ones_like(is_allowed), NUM_DENSE_CANDIDATES)
        of_everything = mixture.totals(
            mixture.parts(everything.scores, everything.training_counts, len(history)), everything.training_counts
        )
        is_reference = ~everything.is_new & ~np.isin(everything.item_rows, history)
        placing = quantile_map(everything.dense_logs[is_reference], of_everything[is_reference])
        totals = with_new_placed(candidates, totals, placing, mixture.new_item_lift)
        of_everything = with_new_placed(everything, of_everything, placing, mixture.new_item_lift)
        best_first = np.lexsort((candidates.item_rows, -totals))[:num_places]
        is_other = ~np.isin(everything.item_rows, candidates.item_rows)
        scores = totals[best_first] - logsumexp(np.concatenate([totals, of_everything[is_other], [-np.inf]]))
        is_dense = (parts[:, 1] > parts[:, 0]) | candidates.is_new
        return RankedItems(candidates.item_rows[best_first], scores, is_dense[best_first])

    def save(self, folder: Path) -> None:
        """Write the dense head, the item weights and mixture.json."""
        if self.mixture is None:
            raise MixtureError("no weights were fitted yet; fit the mixture first")
        folder.mkdir(parents=True, exist_ok=True)
        self.dense_head.save(folder / "dense-head")
        for component, weights in self.item_weights.items():
            weights.save(folder / component)
        self.mixture.save(folder / "mixture.json")


def with_new_placed(
    candidates: Candidates, totals: Float64[np.ndarray, "item"], placing: QuantileMap, lift: float
) -> Float64[np.ndarray, "item"]:
    """The totals, new items' as the dense head places them among the others."""
    return np.where(candidates.is_new, placing(candidates.dense_logs + lift), totals)


def load_joint_ranking(folder: Path, training_counts: Int64[np.ndarray, "item"]) -> JointRanking:
    """Read what `save` wrote.

    Raises:
        DenseHeadError, ItemWeightsError, MixtureError: a part is damaged or does not fit the others.
    """
    mixture = load_mixture(folder / "mixture.json")
    dense_head = load_dense_head(folder / "dense-head")
    if mixture.components[:2] != (GENERATOR, DENSE) or dense_head.num_items != len(training_counts):
        raise MixtureError(
            f"{folder}: weights of {', '.join(mixture.components)} for {dense_head.num_items} items, expected "
            f"{GENERATOR} and {DENSE} first and {len(training_counts)} items; copy the bundle again"
        )
    item_weights = {}
    for component in mixture.components[2:]:
        if component not in COMPONENTS:
            raise MixtureError(f"{folder}: unknown component {component!r}; update CLAIRO")
        item_weights[component] = load_item_weights(folder / component)
    return JointRanking(dense_head, item_weights, mixture, training_counts)


COMPONENTS = ("followers", "ease")
"""Item weights that a mixture may hold, and the folders they lie in."""
