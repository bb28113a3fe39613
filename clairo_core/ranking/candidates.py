"""Candidates for one user's list, with each component's scores, and their order. Start at `ranked_for_one`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from clairo_core.ranking.mixture import Mixture
from clairo_core.ranking.new_items import with_new_placed

GENERATOR_COLUMN, DENSE_COLUMN = 0, 1
"""Columns of their scores; those of item weights follow."""

Penalty: TypeAlias = Callable[[Int64[np.ndarray, "item"]], Float64[np.ndarray, "item"]]
"""Item rows to what is subtracted from their log-probabilities."""

LogProbabilitiesOf: TypeAlias = Callable[[Int64[np.ndarray, "item"]], Float32[np.ndarray, "item"]]
"""Item rows to their log-probabilities."""


class Generated(NamedTuple):
    """The items that a generator found for one history."""

    item_rows: Int64[np.ndarray, "found"]
    log_probabilities: Float64[np.ndarray, "found"]
    log_probabilities_of: LogProbabilitiesOf | None = None
    """Of any items, from a generator that scores them all. Without it, items not found have none."""


NOTHING_GENERATED = Generated(np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Items that compete for one user's list or serve as reference, and each component's scores of them."""

    item_rows: Int64[np.ndarray, "item"]
    """Ascending."""
    scores: Float64[np.ndarray, "item component"]
    """0 or more; in the order of `JointRanking.components`. Without a generator, its column is 0."""
    evidence: Float32[np.ndarray, "item kind"]
    """See `pair_evidence`."""
    training_counts: Int64[np.ndarray, "item"]
    """Those counted since training included."""
    is_untrained: Bool[np.ndarray, "item"]
    """Whether training never saw the item."""
    is_allowed: Bool[np.ndarray, "item"]
    """Whether the item may be listed."""
    is_reference: Bool[np.ndarray, "item"]
    """See `candidate_features`."""
    is_proposed_by: Bool[np.ndarray, "item component"]
    """Which components proposed the item."""


@dataclass(frozen=True, slots=True, eq=False)
class RankedItems:
    """One user's list, best first."""

    item_rows: Int64[np.ndarray, "item"]
    scores: Float64[np.ndarray, "item"]
    """Log-probabilities among all candidates, those that are not allowed included."""
    is_dense: Bool[np.ndarray, "item"]
    """Whether the dense head scored the item higher than the generator, or is alone in proposing it."""


def ranked_for_one(
    mixture: Mixture,
    columns: Sequence[int],
    candidates: Candidates,
    history_length: int,
    num_places: int,
    penalty: Penalty | None = None,
) -> RankedItems:
    """Rank one user's `num_places` best allowed candidates.

    Args:
        mixture: of the components in these columns of the candidates' scores.
        columns: in the mixture's order.
        candidates: of the user.
        history_length: items in the user's history.
        num_places: length of the list.
        penalty: lowers candidates; None lowers none.
    """
    is_proposed = candidates.is_proposed_by[:, columns].any(axis=1)
    counts, is_reference = candidates.training_counts, candidates.is_reference & is_proposed
    evidence = candidates.evidence[:, : len(mixture.evidence)]
    totals = mixture.totals(candidates.scores[:, columns], evidence, counts, history_length, is_reference)
    dense = candidates.scores[:, DENSE_COLUMN]
    of_counts = candidates.scores[:, [column for column in columns if column > DENSE_COLUMN]] * (counts > 0)[:, None]
    is_new, lift = candidates.is_untrained, mixture.new_item_lift
    totals = with_new_placed(totals, dense, is_new, is_reference, lift, of_counts)
    totals = np.where(is_proposed, totals, -np.inf)
    allowed = np.flatnonzero(candidates.is_allowed & is_proposed)
    # Normalized over all candidates, before any is lowered: a score must not rise because others are left out or sink.
    highest = totals.max(initial=-np.inf)
    norm = highest + np.log(np.exp(totals - highest).sum()) if highest > -np.inf else -np.inf
    if penalty is not None:
        totals = totals - penalty(candidates.item_rows)
    best_first = allowed[np.lexsort((candidates.item_rows[allowed], -totals[allowed]))][:num_places]
    scores = totals[best_first] - norm
    is_dense = dense[best_first] > candidates.scores[best_first, GENERATOR_COLUMN]
    return RankedItems(candidates.item_rows[best_first], scores, is_dense)
