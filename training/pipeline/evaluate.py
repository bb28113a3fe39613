"""Measure a recommender on held-out next items, beside popularity, in both seen-item modes.

Ranking is over the whole catalogue by item id. A target that is not in the returned list is a miss.
"""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Int

from clairo_core.errors import TrainingError
from clairo_core.progress import Progress, silent
from clairo_core.recommender import Recommender
from training.counts.popularity import Popularity
from training.datasets import Dataset
from training.evaluation.metrics import Metric, ndcg_at, paired_difference, summarize
from training.evaluation.rankings import rank_with_recommender, rank_with_scores
from training.evaluation.slices import breadth_of
from training.evaluation.split import ALLOWED, HeldOut, some_of_each
from training.ranking.dense_head_scorer import DenseHeadScorer


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """A ranker in one seen-item mode."""

    ranker: str
    seen_items: str
    """`allowed` as in publications, or `masked` as in a shop."""
    metrics: tuple[Metric, ...]
    coverage_at_10: float
    """Share of the catalogue that is in some user's first ten places."""
    num_users: int
    """How many users' targets the row rests on."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The table of a split."""

    dataset: str
    split: str
    num_users: int
    num_users_in_split: int
    num_missing_targets: int
    """Users whose target is not in the bundle's catalogue, counted as misses."""
    rows: tuple[EvaluationRow, ...]
    gain_over_popularity: tuple[Metric, ...]
    """NDCG@10 minus popularity's, paired by user: one per seen-item mode, in the order of the rows."""

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def row(self, ranker: str, seen_items: str) -> EvaluationRow:
        """The row of `ranker` in this mode."""
        return next(row for row in self.rows if (row.ranker, row.seen_items) == (ranker, seen_items))


def evaluate(
    recommender: Recommender,
    dataset: Dataset,
    training_counts: Int[np.ndarray, "item"],
    targets: HeldOut,
    *,
    split_name: str,
    max_users: int,
    num_resamples: int,
    seed: int = 0,
    progress: Progress[int] = silent,
) -> Evaluation:
    """Measure the whole bundle, its parts alone and popularity, with seen items allowed and masked.

    Raises:
        TrainingError: no user has enough items to hold one out.
    """
    num_users_in_split = len(targets[ALLOWED].targets)
    if num_users_in_split == 0:
        raise TrainingError(f"{dataset.name}: no user has enough items to hold one out; add interactions")
    targets = some_of_each(targets, max_users, seed)
    item_ids = [item.item_id for item in dataset.items]
    rankings = {"clairo": rank_with_recommender(recommender, item_ids, targets, split_name, progress)}
    if recommender.joint_ranking is not None:
        alone = recommender.ranked_by(None)
        rankings["generator"] = rank_with_recommender(alone, item_ids, targets, f"{split_name}, generator", progress)
        if list(recommender.catalogue.item_ids[: len(item_ids)]) == item_ids:
            dense = DenseHeadScorer(recommender.joint_ranking.dense_heads, len(item_ids))
            rankings["dense head"] = rank_with_scores(dense, targets, f"{split_name}, dense head", progress)
    rankings["popularity"] = rank_with_scores(
        Popularity(training_counts), targets, f"{split_name}, popularity", progress
    )
    rows, gains = [], []
    for seen_items, split in targets.items():
        for ranker, by_mode in rankings.items():
            ranking = by_mode[seen_items]
            metrics = tuple(summarize(ranking.ranks, num_resamples))
            coverage = breadth_of(ranking.shown, training_counts).coverage
            rows.append(EvaluationRow(ranker, seen_items, metrics, coverage, len(split.targets)))
        ours, popular = (ndcg_at(rankings[ranker][seen_items].ranks, 10) for ranker in ("clairo", "popularity"))
        gains.append(paired_difference(ours, popular, num_resamples))
    wanted = targets[ALLOWED].targets
    missing = sum(item_ids[target] not in recommender.catalogue for target in wanted)
    return Evaluation(dataset.name, split_name, len(wanted), num_users_in_split, missing, tuple(rows), tuple(gains))


def table_of(evaluation: Evaluation) -> str:
    """The table as text, with 95% intervals over users."""
    users = f"{evaluation.num_users:,} users"
    if evaluation.num_users < evaluation.num_users_in_split:
        users = f"{evaluation.num_users:,} of {evaluation.num_users_in_split:,} users (seeded sample)"
    columns = ("recall@5", "recall@10", "recall@20", "recall@50", "ndcg@5", "ndcg@10", "ndcg@20")
    lines = [
        f"{evaluation.dataset}, {evaluation.split}: {users}, full ranking over the catalogue, "
        "95% bootstrap interval over users under each figure",
        "",
        f"{'seen':8} {'ranker':12}" + "".join(f"{column:>16}" for column in columns) + f"{'coverage@10':>14}",
    ]
    for row in evaluation.rows:
        figures = {metric.name: metric for metric in row.metrics}
        lines.append(
            f"{row.seen_items:8} {row.ranker:12}"
            + "".join(f"{figures[column].value:16.4f}" for column in columns)
            + f"{row.coverage_at_10:14.3f}"
        )
        intervals = (f"{figures[column].low:.4f}-{figures[column].high:.4f}" for column in columns)
        lines.append(" " * 21 + "".join(f"{interval:>16}" for interval in intervals))
    lines.append("")
    num_users = {row.seen_items: row.num_users for row in evaluation.rows}
    for (mode, count), gain in zip(num_users.items(), evaluation.gain_over_popularity, strict=True):
        lines.append(
            f"NDCG@10 over popularity, seen {mode}, {count:,} users: {gain.value:+.4f} "
            f"(paired bootstrap {gain.low:+.4f} to {gain.high:+.4f})"
        )
    if evaluation.num_missing_targets:
        lines.append(f"{evaluation.num_missing_targets} targets are not in the bundle's catalogue and count as misses")
    return "\n".join(lines)
