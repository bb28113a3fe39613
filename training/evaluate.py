"""Measure a recommender on held-out next items, beside popularity, in both seen-item modes.

Knows splits, rankings and figures; knows nothing of how recommendations come about. Ranking is over the whole
catalogue by item id; a target that is not in the returned list is a miss.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Int, Int32

from clairo_core.errors import TrainingError
from clairo_core.items import UserHistory
from clairo_core.progress import Progress, silent
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.baselines.popularity import count_popularity
from training.datasets import Dataset
from training.datasets.split import EvaluationSplit
from training.metrics import (
    Metric,
    ndcg_at,
    paired_difference,
    rank_by_score,
    rank_in_list,
    summarize,
)

LIST_LENGTH = 50
"""Places that are looked at: the widest cutoff of the protocol."""
USERS_A_BATCH = 32


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One ranker in one seen-item mode."""

    ranker: str
    seen_items: str
    """`allowed` as published rivals do, or `masked` as a shop does."""
    metrics: tuple[Metric, ...]
    coverage_at_10: float
    """Share of the catalogue that stands in some user's first ten places."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A table of one split."""

    dataset: str
    split: str
    num_users: int
    num_users_in_split: int
    num_missing_targets: int
    """Users whose target is not in the bundle's catalogue: counted as misses."""
    rows: tuple[EvaluationRow, ...]
    gain_over_popularity: tuple[Metric, ...]
    """NDCG@10 minus popularity's, paired by user: seen allowed, then masked."""

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def row(self, ranker: str, seen_items: str) -> EvaluationRow:
        """The row of `ranker` in this mode."""
        return next(row for row in self.rows if (row.ranker, row.seen_items) == (ranker, seen_items))


def evaluate(
    recommender: Recommender,
    dataset: Dataset,
    training: ItemSequences,
    split: EvaluationSplit,
    *,
    split_name: str,
    max_users: int,
    num_resamples: int,
    seed: int = 0,
    progress: Progress[int] = silent,
) -> Evaluation:
    """The bundle's table: generator and popularity, seen items allowed and masked.

    Raises:
        TrainingError: nobody's next item was held out.
    """
    num_users_in_split = len(split.targets)
    if num_users_in_split == 0:
        raise TrainingError(
            f"{dataset.name}: no user has three items, so none could be held out to measure on; add interactions"
        )
    split = some_users(split, max_users, seed)
    item_ids = [item.item_id for item in dataset.items]
    popularity = count_popularity(training, len(item_ids))
    rows, gains = [], []
    for seen_items in ("allowed", "masked"):
        include_seen = seen_items == "allowed"
        ranks, lists = generated_ranks(
            recommender, item_ids, split, include_seen, f"{split_name}, seen {seen_items}", progress
        )
        rows.append(
            EvaluationRow("clairo", seen_items, tuple(summarize(ranks, num_resamples)), coverage(lists, len(item_ids)))
        )
        popular_ranks, popular_lists = popularity_ranks(popularity, split, include_seen)
        rows.append(
            EvaluationRow(
                "popularity",
                seen_items,
                tuple(summarize(popular_ranks, num_resamples)),
                coverage(popular_lists, len(item_ids)),
            )
        )
        gains.append(paired_difference(ndcg_at(ranks, 10), ndcg_at(popular_ranks, 10), num_resamples))
    missing = sum(item_ids[target] not in recommender.catalogue for target in split.targets)
    return Evaluation(
        dataset.name, split_name, len(split.targets), num_users_in_split, missing, tuple(rows), tuple(gains)
    )


def some_users(split: EvaluationSplit, count: int, seed: int) -> EvaluationSplit:
    """A seeded sample of at most `count` users, in their order; all of them if `count` is 0."""
    if count == 0 or len(split.targets) <= count:
        return split
    chosen = np.sort(np.random.default_rng(seed).permutation(len(split.targets))[:count])
    return EvaluationSplit(
        split.histories.select(chosen),
        split.targets[chosen],
        split.user_rows[chosen],
    )


def generated_ranks(
    recommender: Recommender,
    item_ids: Sequence[str],
    split: EvaluationSplit,
    include_seen: bool,
    label: str,
    progress: Progress[int] = silent,
    list_length: int = LIST_LENGTH,
) -> tuple[Int[np.ndarray, "user"], list[Int32[np.ndarray, "place"]]]:
    """The rank of each user's target in the recommender's list, and the lists as rows of the dataset's items."""
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    num_users = len(split.targets)
    ranks = np.zeros(num_users, dtype=np.int64)
    lists: list[Int32[np.ndarray, place]] = []
    # Histories of one length together: a batch is padded to its longest.
    order = np.argsort(split.histories.lengths, kind="stable")
    lists_by_user: dict[int, Int32[np.ndarray, place]] = {}
    starts = range(0, num_users, USERS_A_BATCH)
    for start in progress(starts, label, len(starts)):
        users = order[start : start + USERS_A_BATCH]
        histories = [UserHistory(tuple(item_ids[row] for row in split.histories[user])) for user in users]
        answers = recommender.recommend_many(histories, list_length, include_seen=include_seen)
        for user, answer in zip(users, answers, strict=True):
            # An item posted to the bundle since it was trained is in no dataset: it holds its place as row -1.
            ranked = np.array([row_of.get(entry.item_id, -1) for entry in answer.items], dtype=np.int32)
            ranks[user] = rank_in_list(ranked, int(split.targets[user]))
            lists_by_user[int(user)] = ranked
    lists = [lists_by_user[user] for user in range(num_users)]
    return ranks, lists


def popularity_ranks(
    popularity: Int[np.ndarray, "item"], split: EvaluationSplit, include_seen: bool
) -> tuple[Int[np.ndarray, "user"], list[Int32[np.ndarray, "place"]]]:
    """The rank of each user's target by training count, and the first ten places of each user."""
    scores = popularity.astype(np.float64)
    best_first = np.argsort(-popularity, kind="stable").astype(np.int32)
    ranks = np.zeros(len(split.targets), dtype=np.int64)
    lists = []
    for user, target in enumerate(split.targets):
        is_allowed = np.ones(len(scores), dtype=np.bool_)
        if not include_seen:
            is_allowed[split.histories[user]] = False
        ranks[user] = rank_by_score(scores, int(target), is_allowed)
        head = best_first[: 10 + len(split.histories[user])]
        lists.append(head[is_allowed[head]][:10])
    return ranks, lists


def coverage(lists: Sequence[Int32[np.ndarray, "place"]], num_items: int) -> float:
    """Share of the items that stand in the first ten places of some list."""
    shown = np.unique(np.concatenate([ranked[:10] for ranked in lists])) if lists else np.zeros(0)
    return float(np.count_nonzero(shown >= 0)) / num_items


def table_of(evaluation: Evaluation) -> str:
    """The table as text: figures with 95% intervals over users."""
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
    for mode, gain in zip(("allowed", "masked"), evaluation.gain_over_popularity, strict=True):
        lines.append(
            f"NDCG@10 over popularity, seen {mode}: {gain.value:+.4f} "
            f"(paired bootstrap {gain.low:+.4f} to {gain.high:+.4f})"
        )
    if evaluation.num_missing_targets:
        lines.append(f"{evaluation.num_missing_targets} targets are not in the bundle's catalogue and count as misses")
    return "\n".join(lines)
