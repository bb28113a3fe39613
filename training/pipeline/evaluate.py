"""Measure a recommender on held-out next items, beside popularity, in every seen-item mode.

Ranking is over the whole catalogue by item id. A target that is not in the returned list is a miss.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Int, Real

from clairo_core.errors import TrainingError
from clairo_core.progress import Progress, silent
from clairo_core.recommender import Recommender
from clairo_core.values.counted import counted
from training.counts.popularity import Popularity
from training.datasets import Dataset
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.metrics import Metric, Ranks, bootstrap_interval, ndcg_at, paired_difference, summarize
from training.evaluation.rankings import Rankings, rank_with_recommender, rank_with_scores
from training.evaluation.repeat_lift import MASKS, lift_in_words, lift_of_recommender, lift_of_scorer
from training.evaluation.slices import UserSlice, breadth_of, user_slices
from training.evaluation.split import (
    ALLOWED,
    CHOSEN_ON_THESE_USERS,
    EvaluationSplit,
    HeldOut,
    some_of_each,
)
from training.evaluation.split_description import LEAVE_LAST_OUT, SplitDescription
from training.ranking.dense_head_scorer import DenseHeadScorer

WHOLE = "clairo"
"""Name of the whole bundle's rows, whatever its preset: where readers of a manifest find them."""


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """A ranker in one seen-item mode."""

    ranker: str
    seen_items: str
    """`allowed` as in publications, `weighed` with one rule for repeats for all rankers, or `masked` as in a shop."""
    metrics: tuple[Metric, ...]
    coverage_at_10: float
    """Share of the catalogue that is in some user's first ten places."""
    num_users: int
    """How many users' targets the row rests on."""
    gini_at_10: float
    mean_popularity: float
    """See `Breadth`."""


@dataclass(frozen=True, slots=True)
class SliceRow:
    """A ranker's NDCG@10 for some of the users, in one seen-item mode."""

    ranker: str
    seen_items: str
    kind: str
    label: str
    """As in `UserSlice`."""
    num_users: int
    ndcg_at_10: Metric


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The table of a split."""

    dataset: str
    split: str
    num_users: int
    num_users_in_split: int
    num_missing_targets: int
    """Targets that are not in the bundle's catalogue, counted as misses."""
    rows: tuple[EvaluationRow, ...]
    gain_over_popularity: tuple[Metric, ...]
    """NDCG@10 minus popularity's, paired by user: one per seen-item mode, in the order of the rows."""
    repeat_lifts: Mapping[str, float | None]
    """By ranker, what is added to scores of items of the history where repeats are weighed; None masks them."""
    held_out: SplitDescription
    slices: tuple[SliceRow, ...] = ()
    """By training count of the target and by history length, in the last mode alone, a shop's: a manifest stays small.
    Empty in bundles of older releases."""

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def row(self, ranker: str, seen_items: str) -> EvaluationRow:
        """The row of `ranker` in this mode."""
        return next(row for row in self.rows if (row.ranker, row.seen_items) == (ranker, seen_items))


def evaluate(
    recommender: Recommender,
    dataset: Dataset,
    popularity: Real[np.ndarray, "item"],
    training_counts: Int[np.ndarray, "item"],
    targets: HeldOut,
    lift_users: EvaluationSplit,
    *,
    split_name: str,
    max_users: int,
    num_resamples: int,
    seed: int = 0,
    held_out: SplitDescription = LEAVE_LAST_OUT,
    progress: Progress[int] = silent,
) -> Evaluation:
    """Measure the whole bundle, its parts alone and popularity, with seen items allowed, weighed and masked.

    Each ranker's lift for repeats is chosen on `lift_users`, by one rule for all; see `repeat_lift`. The baseline ranks
    by `popularity`; `training_counts` group the targets.

    Raises:
        TrainingError: no user has enough items to hold one out.
    """
    num_users_in_split = len(targets[ALLOWED].targets)
    if num_users_in_split == 0:
        raise TrainingError(f"{dataset.name}: {held_out.why_nobody}")
    targets = some_of_each(targets, max_users, seed)
    item_ids = [item.item_id for item in dataset.items]
    rankings: dict[str, Rankings] = {}
    lifts: dict[str, float] = {}

    def rank_listed(name: str, ranker: Recommender) -> None:
        label = f"{split_name}, {name}"
        lifts[name] = lift_of_recommender(ranker, item_ids, lift_users, label, progress)
        rankings[name] = rank_with_recommender(ranker, item_ids, targets, label, progress, lifts[name])

    def rank_scored(name: str, scorer: ItemScorer) -> None:
        label = f"{split_name}, {name}"
        lifts[name] = lift_of_scorer(scorer, lift_users, label, progress)
        rankings[name] = rank_with_scores(scorer, targets, label, progress, lifts[name])

    rank_listed(WHOLE, recommender)
    if recommender.joint_ranking is not None:
        rank_listed("generator", recommender.ranked_by(None))
        if list(recommender.catalogue.item_ids[: len(item_ids)]) == item_ids:
            rank_scored("dense head", DenseHeadScorer(recommender.joint_ranking.dense_heads, len(item_ids)))
    rank_scored("popularity", Popularity(popularity))
    rows: list[EvaluationRow] = []
    gains = []
    for seen_items, split in targets.items():
        for ranker, by_mode in rankings.items():
            ranking = by_mode[seen_items]
            metrics = tuple(summarize(ranking.ranks, num_resamples))
            breadth = breadth_of(ranking.shown, training_counts)
            rows.append(
                EvaluationRow(
                    ranker,
                    seen_items,
                    metrics,
                    breadth.coverage,
                    len(split.targets),
                    breadth.gini,
                    breadth.mean_popularity,
                )
            )
        ours, popular = (ndcg_at(rankings[ranker][seen_items].ranks, 10) for ranker in (WHOLE, "popularity"))
        gains.append(paired_difference(ours, popular, num_resamples))
    *_, (shown_mode, shown_split) = targets.items()
    ranks = {ranker: by_mode[shown_mode].ranks for ranker, by_mode in rankings.items()}
    parts = [part for part in user_slices(shown_split, training_counts) if part.kind != "all"]
    missing = sum(item_ids[target] not in recommender.catalogue for target in targets[ALLOWED].target_items)
    return Evaluation(
        dataset.name,
        split_name,
        len(targets[ALLOWED].targets),
        num_users_in_split,
        missing,
        tuple(rows),
        tuple(gains),
        {ranker: None if lift == MASKS else lift for ranker, lift in lifts.items()},
        held_out,
        tuple(row for part in parts for row in _slice_rows(ranks, shown_mode, part, num_resamples)),
    )


def _slice_rows(ranks: Mapping[str, Ranks], seen_items: str, part: UserSlice, num_resamples: int) -> Iterator[SliceRow]:
    gains = np.stack([ndcg_at(of_ranker[part.is_in], 10) for of_ranker in ranks.values()], axis=1)
    spans = zip(gains.mean(axis=0), *bootstrap_interval(gains, num_resamples, seed=0), strict=True)
    for ranker, span in zip(ranks, spans, strict=True):
        metric = Metric("ndcg@10", *map(float, span))
        yield SliceRow(ranker, seen_items, part.kind, part.label, len(gains), metric)


def table_of(evaluation: Evaluation, preset_name: str = WHOLE) -> str:
    """The table as text, with 95% intervals over users; the whole bundle has its preset's name."""
    names = {ranker: preset_name if ranker == WHOLE else ranker for ranker in evaluation.repeat_lifts}
    width = max(12, *(len(name) + 1 for name in names.values()))
    users = f"{evaluation.num_users:,} users"
    if evaluation.num_users < evaluation.num_users_in_split:
        users = f"{evaluation.num_users:,} of {evaluation.num_users_in_split:,} users (seeded sample)"
    columns = ("recall@5", "recall@10", "recall@20", "recall@50", "ndcg@5", "ndcg@10", "ndcg@20")
    lines = [
        f"{evaluation.dataset}, {evaluation.split}: {users}, full ranking over the catalogue, "
        "95% bootstrap interval over users under each figure",
        str(evaluation.held_out),
        "",
        f"{'seen':8} {'ranker':{width}}" + "".join(f"{column:>16}" for column in columns) + f"{'coverage@10':>14}",
    ]
    for row in evaluation.rows:
        figures = {metric.name: metric for metric in row.metrics}
        lines.append(
            f"{row.seen_items:8} {names[row.ranker]:{width}}"
            + "".join(f"{figures[column].value:16.4f}" for column in columns)
            + f"{row.coverage_at_10:14.3f}"
        )
        intervals = (f"{figures[column].low:.4f}-{figures[column].high:.4f}" for column in columns)
        lines.append(" " * (9 + width) + "".join(f"{interval:>16}" for interval in intervals))
    lines.append("")
    num_users = {row.seen_items: row.num_users for row in evaluation.rows}
    for (mode, count), gain in zip(num_users.items(), evaluation.gain_over_popularity, strict=True):
        lines.append(
            f"NDCG@10 over popularity, seen {mode}, {count:,} users: {gain.value:+.4f} "
            f"(paired bootstrap {gain.low:+.4f} to {gain.high:+.4f})"
        )
    lifts = (f"{names[ranker]} {lift_in_words(lift)}" for ranker, lift in evaluation.repeat_lifts.items())
    lines.append(f"added to scores of seen items where weighed, chosen on validation: {', '.join(lifts)}")
    if evaluation.num_missing_targets:
        missing = counted(evaluation.num_missing_targets, "target")
        lines.append(f"not in the bundle's catalogue, counted as misses: {missing}")
    lines.append("popularity is the weakest baseline; clairo-train compare has stronger ones")
    if evaluation.split == "validation":
        lines.append(CHOSEN_ON_THESE_USERS)
    return "\n".join(lines)
