"""Rank generated items together with the dense head's, by the scores of all components. Start at `JointRanking.rank`.

Every component proposes candidates, most of them the dense head. Items that training never saw are placed where the
dense head alone would put them, or once users have come to them, the counts alone: weights fitted on items with
interactions would bury them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int, Int64
from scipy import sparse

from clairo_core.errors import MixtureError
from clairo_core.ranking.allowed_items import AllowedItems
from clairo_core.ranking.candidates import (
    DENSE_COLUMN,
    GENERATOR_COLUMN,
    NOTHING_GENERATED,
    Candidates,
    Generated,
    Penalty,
    RankedItems,
    ranked_for_one,
)
from clairo_core.ranking.count_increments import CountIncrements, grown, padded
from clairo_core.ranking.dense_heads import DenseHeads, load_dense_heads
from clairo_core.ranking.dense_reranking import is_dense_reranking, reranked_for_one, save_dense_reranking
from clairo_core.ranking.dense_scores import DenseScores
from clairo_core.ranking.history_links import factors_by_age, history_links
from clairo_core.ranking.item_weights import (
    ItemWeights,
    load_item_weights,
    load_pair_counts,
    save_pair_counts,
)
from clairo_core.ranking.mixture import Mixture, load_mixture
from clairo_core.ranking.pair_evidence import TOGETHER, load_content, names_of, pair_evidence, save_content
from clairo_core.ranking.score_kernels import best_rows

GENERATOR = "generator"
DENSE = "dense"
NUM_DENSE_CANDIDATES = 200
"""Of the dense head, besides generated items; a longer list takes as many as it has places."""
NUM_COUNTED_CANDIDATES = 20
"""Of each item weights: what the dense head has missed."""


@dataclass(frozen=True, slots=True, eq=False)
class JointRanking:
    """Components and their mixture. Immutable."""

    dense_heads: DenseHeads
    item_weights: Mapping[str, ItemWeights]
    """By component."""
    mixture: Mixture | None
    """None until it is fitted."""
    training_counts: Int64[np.ndarray, "item"]
    """Interactions in training, and those counted since; items past its end have none."""
    together: sparse.csr_matrix | None = None
    """How many users have both items of a pair; None in bundles of before, which read no pair evidence."""
    content: Float[np.ndarray, "item dim"] | None = None
    """What items look like and say, as vectors of length 1; see `pair_evidence`."""
    mixture_without_generator: Mixture | None = None
    """Ranks where nothing was generated; None in bundles of before."""
    counted_since: Int64[np.ndarray, "item"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """The part of `training_counts` that training has not seen."""
    reranks_densely: bool = False
    """Without mixtures: the dense head ranks generated and untrained items, see `dense_reranking`."""

    @property
    def components(self) -> tuple[str, ...]:
        """Names, in the order of the score columns."""
        return (GENERATOR, DENSE, *self.item_weights)

    @property
    def evidence(self) -> tuple[str, ...]:
        """Names of the pair evidence, in order."""
        if self.together is None:
            return ()
        return names_of(tuple(self._pair_matrices), has_content=self.content is not None)

    @property
    def _pair_matrices(self) -> dict[str, sparse.csr_matrix]:
        """By name: what links an item of the history (row) to a candidate (column)."""
        matrices = {component: weights.matrix for component, weights in self.item_weights.items()}
        return matrices if self.together is None else matrices | {TOGETHER: self.together}

    def on(self, device: torch.device) -> "JointRanking":
        """This ranking with the dense heads on `device`."""
        return replace(self, dense_heads=self.dense_heads.on(device))

    def with_items(self, item_embeddings: Float[np.ndarray, "new content"]) -> "JointRanking":
        """A version with posted items; see `DenseHead.with_items`."""
        return replace(self, dense_heads=self.dense_heads.with_items(item_embeddings))

    def with_vectors(
        self, rows: Int[np.ndarray, "changed"], vectors: Float[np.ndarray, "changed head dim"]
    ) -> "JointRanking":
        """A version with other dense vectors in these rows."""
        return replace(self, dense_heads=self.dense_heads.with_vectors(rows, vectors))

    def with_counts(self, increments: CountIncrements) -> "JointRanking":
        """A version after more interactions, also with items that training never saw.

        The mixture and the dense heads stay. Pair counts grow where training kept any, item weights where they have a
        scale.
        """
        num_items = len(increments.interactions)
        added = {
            FOLLOWERS: (increments.followers, np.asarray(increments.followers.sum(axis=1), dtype=np.float64).ravel()),
            EASE: (increments.together, increments.users),
        }
        together = self.together
        if together is not None:
            together = (grown(together, num_items) + increments.together).tocsr()
        return replace(
            self,
            item_weights={name: weights.with_counts(*added[name]) for name, weights in self.item_weights.items()},
            training_counts=padded(self.training_counts, num_items) + increments.interactions,
            counted_since=padded(self.counted_since, num_items) + increments.interactions,
            together=together,
        )

    def with_counts_of(self, other: "JointRanking") -> "JointRanking":
        """A version with the counts of another one of the same items, or of the first of them."""
        return replace(
            self,
            item_weights=other.item_weights,
            training_counts=other.training_counts,
            counted_since=other.counted_since,
            together=other.together,
        )

    def counts_of(self, item_rows: Int[np.ndarray, "item"]) -> Int64[np.ndarray, "item"]:
        """Counts of these items."""
        return of_rows(self.training_counts, item_rows)

    def candidates(
        self,
        histories: Sequence[Int[np.ndarray, "position"]],
        generated: Sequence[Generated] | None,
        is_allowed: Sequence[AllowedItems],
        num_places: Sequence[int] | None = None,
        lifts: Sequence[Float64[np.ndarray, "item"] | None] | None = None,
    ) -> list[Candidates]:
        """Collect each user's candidates and reference items. They do not depend on the other users.

        Args:
            histories: rows of items, oldest first; none empty.
            generated: the generator's items and their log-probabilities; None if nothing was generated.
            is_allowed: by history, the items that may be listed.
            num_places: by history, candidates of the dense head; `NUM_DENSE_CANDIDATES` by default.
            lifts: added to each user's log-probabilities where these candidates are chosen, by row.
        """
        num_dense = [NUM_DENSE_CANDIDATES] * len(histories) if num_places is None else num_places
        num_best = [
            max(NUM_DENSE_CANDIDATES, wanted) + len(allowed.left_out)
            for wanted, allowed in zip(num_dense, is_allowed, strict=True)
        ]
        dense = self.dense_heads.scores(histories, num_best)
        return [
            self._candidates_of_one(
                dense[user],
                NOTHING_GENERATED if generated is None else generated[user],
                np.asarray(history),
                allowed,
                num_dense[user],
                None if lifts is None else lifts[user],
            )
            for user, (history, allowed) in enumerate(zip(histories, is_allowed, strict=True))
        ]

    def _candidates_of_one(
        self,
        dense: DenseScores,
        generated: Generated,
        history: Int[np.ndarray, "position"],
        allowed: AllowedItems,
        num_places: int,
        lifts: Float64[np.ndarray, "item"] | None,
    ) -> Candidates:
        is_known = history < len(self.training_counts)
        known, order = history[is_known], np.argsort(history[is_known], kind="stable")
        links = {name: history_links(matrix, known) for name, matrix in self._pair_matrices.items()}
        factors = {
            name: factors_by_age(history, weights.age_weights)[is_known] for name, weights in self.item_weights.items()
        }
        of_all, listed = dense.best(NUM_DENSE_CANDIDATES, num_places, allowed, lifts)
        # By component: proposed whatever the request allows, and beside them for its list.
        proposed = [(generated.item_rows, generated.item_rows), (of_all, listed)]
        for name in factors if self.together is not None else ():
            columns, sums = links[name].summed(factors[name], order)
            proposed.append(best_above_zero(columns, sums, allowed, NUM_COUNTED_CANDIDATES))
        item_rows = np.unique(np.concatenate([rows for of_component in proposed for rows in of_component]))
        is_proposed_by = np.zeros((len(item_rows), len(self.components)), dtype=np.bool_)
        is_reference = np.zeros(len(item_rows), dtype=np.bool_)
        for place, (of_all, for_list) in enumerate(proposed):
            places = np.searchsorted(item_rows, of_all)
            is_proposed_by[places, place], is_reference[places] = True, True
            is_proposed_by[np.searchsorted(item_rows, for_list), place] = True
        counts = self.counts_of(item_rows)
        is_untrained = counts == of_rows(self.counted_since, item_rows)
        scores = np.zeros((len(item_rows), len(self.components)))
        if generated.log_probabilities_of is None:
            places = np.searchsorted(item_rows, generated.item_rows)
            scores[places, GENERATOR_COLUMN] = np.exp(generated.log_probabilities)
        else:
            scores[:, GENERATOR_COLUMN] = np.exp(generated.log_probabilities_of(item_rows).astype(np.float64))
        scores[is_untrained, GENERATOR_COLUMN] = 0.0
        scores[:, DENSE_COLUMN] = np.exp(dense.of(item_rows).astype(np.float64))
        among = {name: of_matrix.among(item_rows) for name, of_matrix in links.items()}
        for place, (name, of_component) in enumerate(factors.items(), DENSE_COLUMN + 1):
            sums = (of_component[order, None] * among[name][order]).sum(axis=0)
            scores[:, place] = np.maximum(sums, 0.0)
        is_reference &= ~np.isin(item_rows, history) & ~is_untrained
        evidence = np.zeros((len(item_rows), 0), dtype=np.float32)
        if self.together is not None:
            evidence = pair_evidence(among, self.content, self.training_counts, known, item_rows)
        return Candidates(
            item_rows,
            scores,
            evidence,
            counts,
            is_untrained,
            allowed.allows(item_rows),
            is_reference,
            is_proposed_by,
        )

    def rank(
        self,
        histories: Sequence[Int[np.ndarray, "position"]],
        generated: Sequence[Generated] | None,
        is_allowed: Sequence[AllowedItems],
        num_places: Sequence[int],
        penalties: Sequence[Penalty | None] | None = None,
        lifts: Sequence[Float64[np.ndarray, "item"] | None] | None = None,
    ) -> list[RankedItems]:
        """Rank each user's best candidates; ties are in the order of item rows. No list depends on the other users.

        With `generated=None`, nothing was generated, and the mixture without generator ranks. Where the dense head
        reranks, a list holds generated, untrained and lifted items alone.

        Args:
            histories: see `candidates`.
            generated: see `candidates`.
            is_allowed: see `candidates`.
            num_places: length of each list.
            penalties: what lowers each user's candidates; None lowers none.
            lifts: see `candidates`; the penalties hold them too.

        Raises:
            MixtureError: that mixture is not fitted.
        """
        if self.reranks_densely and generated is not None:
            return self._reranked(histories, generated, is_allowed, num_places, penalties, lifts)
        mixture = self.mixture if generated is not None else self.mixture_without_generator
        if mixture is None:
            which = "the mixture" if generated is not None else "the mixture without generator"
            raise MixtureError(f"{which} is not fitted; fit it first")
        columns = [self.components.index(component) for component in mixture.components]
        num_dense = [max(NUM_DENSE_CANDIDATES, of_list) for of_list in num_places]
        candidates_of_users = self.candidates(histories, generated, is_allowed, num_dense, lifts)
        return [
            ranked_for_one(mixture, columns, candidates, len(history), of_list, penalty)
            for candidates, history, of_list, penalty in zip(
                candidates_of_users, histories, num_places, penalties or [None] * len(histories), strict=True
            )
        ]

    def _reranked(
        self,
        histories: Sequence[Int[np.ndarray, "position"]],
        generated: Sequence[Generated],
        is_allowed: Sequence[AllowedItems],
        num_places: Sequence[int],
        penalties: Sequence[Penalty | None] | None,
        lifts: Sequence[Float64[np.ndarray, "item"] | None] | None,
    ) -> list[RankedItems]:
        nothing = [None] * len(histories)
        everything = np.arange(self.dense_heads.num_items)
        is_untrained = self.counts_of(everything) == of_rows(self.counted_since, everything)
        return [
            reranked_for_one(dense, of_user, is_untrained, allowed.by_row(), of_list, penalty, of_lifts)
            for dense, of_user, allowed, of_list, penalty, of_lifts in zip(
                self.dense_heads.log_probabilities(histories),
                generated,
                is_allowed,
                num_places,
                penalties or nothing,
                lifts or nothing,
                strict=True,
            )
        ]

    def save(self, folder: Path) -> None:
        """Write the dense heads, the item weights and the mixtures."""
        if self.mixture is None and not self.reranks_densely:
            raise MixtureError("the mixture is not fitted; fit it first")
        folder.mkdir(parents=True, exist_ok=True)
        self.dense_heads.save(folder)
        if self.mixture is None:
            save_dense_reranking(folder / "mixture")
            return
        for component, weights in self.item_weights.items():
            weights.save(folder / component)
        self.mixture.save(folder / "mixture")
        if self.together is not None:
            save_pair_counts(folder / TOGETHER, self.together)
        if self.content is not None:
            save_content(folder / CONTENT, self.content)
        if self.mixture_without_generator is not None:
            self.mixture_without_generator.save(folder / WITHOUT_GENERATOR)


def of_rows(counts: Int64[np.ndarray, "counted"], item_rows: Int[np.ndarray, "item"]) -> Int64[np.ndarray, "item"]:
    """Counts of these items; 0 past the end."""
    found = np.zeros(len(item_rows), dtype=np.int64)
    is_counted = item_rows < len(counts)
    found[is_counted] = counts[item_rows[is_counted]]
    return found


def best_above_zero(
    item_rows: Int64[np.ndarray, "item"], scores: Float32[np.ndarray, "item"], allowed: AllowedItems, count: int
) -> tuple[Int64[np.ndarray, "best_of_all"], Int64[np.ndarray, "best"]]:
    """The `count` items with the highest scores above 0, of all, and of those that are allowed."""
    is_above = scores > 0
    item_rows, scores = item_rows[is_above], scores[is_above]
    is_listed = allowed.allows(item_rows)
    of_all = item_rows[best_rows(scores, count)]
    return of_all, item_rows[is_listed][best_rows(scores[is_listed], count)]


def load_joint_ranking(folder: Path, training_counts: Int64[np.ndarray, "item"]) -> JointRanking:
    """Load a saved joint ranking.

    Raises:
        DenseHeadError, ItemWeightsError, MixtureError: a part is damaged or does not fit the others.
    """
    dense_heads = load_dense_heads(folder)
    if is_dense_reranking(folder / "mixture"):
        if dense_heads.num_items != len(training_counts):
            raise MixtureError(
                f"{folder}: a dense head of {dense_heads.num_items} items, expected {len(training_counts)}; copy the "
                "bundle again"
            )
        return JointRanking(dense_heads, {}, None, training_counts, reranks_densely=True)
    mixture = load_mixture(folder / "mixture")
    if mixture.components[:2] != (GENERATOR, DENSE) or dense_heads.num_items != len(training_counts):
        raise MixtureError(
            f"{folder}: a mixture of {', '.join(mixture.components)} for {dense_heads.num_items} items, expected "
            f"{GENERATOR} and {DENSE} first, and {len(training_counts)} items; copy the bundle again"
        )
    item_weights = {}
    for component in mixture.components[2:]:
        if component not in COMPONENTS:
            raise MixtureError(
                f"{folder}: component {component!r}, expected one of {', '.join(COMPONENTS)}; update CLAIRO"
            )
        item_weights[component] = load_item_weights(folder / component)
    together = load_pair_counts(folder / TOGETHER) if (folder / TOGETHER).is_dir() else None
    content = load_content(folder / CONTENT, len(training_counts)) if (folder / CONTENT).is_dir() else None
    without = load_mixture(folder / WITHOUT_GENERATOR) if (folder / WITHOUT_GENERATOR).is_dir() else None
    ranking = JointRanking(dense_heads, item_weights, mixture, training_counts, together, content, without)
    for fitted in (mixture, *(() if without is None else (without,))):
        if fitted.evidence not in ((), ranking.evidence) or not set(fitted.components) <= set(ranking.components):
            raise MixtureError(
                f"{folder}: a mixture of {', '.join((*fitted.components, *fitted.evidence))}, expected some of "
                f"{', '.join(ranking.components)} and {', '.join(ranking.evidence) or 'no pair evidence'}; "
                "update CLAIRO, or copy the bundle again"
            )
    return ranking


FOLLOWERS, EASE = "followers", "ease"
COMPONENTS = (FOLLOWERS, EASE)
"""Item weights that a mixture may hold, and their folders."""
CONTENT, WITHOUT_GENERATOR = "content", "mixture-without-generator"
