"""Choose a baseline's settings on validation users. Start at `best_on_validation`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from clairo_core.errors import TrainingError
from clairo_core.progress import Progress, silent
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.metrics import ndcg_at, ranks_by_scores
from training.evaluation.split import EvaluationSplit, some_users
from training.evaluation.user_batches import scored_blocks

Settings = TypeVar("Settings")

MOST_USERS = 25_000
"""Settings are chosen on a sample of at most this many validation users, the same for every seed."""


@dataclass(frozen=True, slots=True)
class Choice(Generic[Settings]):
    """The best candidate, and the validation results of all."""

    settings: Settings
    scorer: ItemScorer
    tried: tuple[tuple[Settings, float], ...]
    """Settings and their NDCG@10, seen items masked."""

    @property
    def how(self) -> str:
        """How the settings were chosen, for notes."""
        is_evident = any(figure > 0 for _, figure in self.tried)
        return f"chosen from {len(self.tried)} on validation" if is_evident else "the first tried: no target was found"


def best_on_validation(
    candidates: Iterable[tuple[Settings, ItemScorer]],
    num_candidates: int,
    validation: EvaluationSplit,
    label: str,
    progress: Progress[tuple[Settings, ItemScorer]] = silent,
) -> Choice[Settings]:
    """Find the candidate with the highest NDCG@10, seen items masked; ties take the first.

    Args:
        candidates: settings and what is fitted with them.
        num_candidates: their number.
        validation: of its users, at most `MOST_USERS` are ranked for.
        label: shown by `progress`.
        progress: over candidates.

    Raises:
        TrainingError: there is no candidate.
    """
    tried: list[tuple[Settings, float]] = []
    best: tuple[Settings, ItemScorer] | None = None
    best_value = -1.0
    users = some_users(validation, MOST_USERS, seed=0)
    for settings, scorer in progress(candidates, label, num_candidates):
        value = masked_ndcg(scorer, users)
        tried.append((settings, value))
        if value > best_value:
            best, best_value = (settings, scorer), value
    if best is None:
        raise TrainingError(f"{label}: got no settings to choose from, expected at least one; name some")
    return Choice(*best, tuple(tried))


def masked_ndcg(scorer: ItemScorer, split: EvaluationSplit) -> float:
    """NDCG@10 over the users of `split`, seen items masked; 0 without users."""
    gains = []
    for users, histories, scores in scored_blocks(scorer, split.histories):
        _, masked = ranks_by_scores(scores, split.targets_of(users), histories)
        gains.append(ndcg_at(masked, 10))
    return float(np.concatenate(gains).mean()) if gains else 0.0
