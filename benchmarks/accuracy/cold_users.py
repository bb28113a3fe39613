"""Recommend to users with short histories: accuracy by the number of known items.

    python -m benchmarks.accuracy.cold_users [--bundle BUNDLE] [--data DATA] [--device DEVICE] [--json FILE]
        [--quick]

Test users with at least ten items before the last, cut to their newest 0, 1, 2, 3, 5 or 10 items. The last item is
ranked among all items, known ones masked. All rows have the same users, so only the histories differ. Baselines:
popularity and item-to-item Markov (settings chosen on validation). Intervals of differences are paired by user. BUNDLE
was trained on DATA with --no-refit; by default, `make bench` makes both.
"""

import sys
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from benchmarks.accuracy.paired_rows import paired_rows
from benchmarks.report import Row, bundle_flags, device_flags, run_benchmark
from clairo_core.items import UserHistory
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.counts.markov import choose_markov
from training.counts.popularity import Popularity, count_popularity
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.metrics import ndcg_at, recall_at
from training.evaluation.rankings import generated_ranks, rank_with_scores
from training.evaluation.split import (
    MASKED,
    EvaluationSplit,
    some_users,
    test_split,
    training_sequences,
    validation_split,
)
from training.pipeline.evaluate_bundle import open_bundle
from training.workbench.progress_bar import progress_bar

KNOWN = (0, 1, 2, 3, 5, 10)
MAX_USERS, QUICK_USERS = 2000, 100
CUTOFF = 10


def rows(*, bundle: Path, data: Path, device: str, quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and compare the bundle with both baselines."""
    opened = open_bundle(bundle, data, device, progress_bar, lambda line: print(line, file=sys.stderr))
    recommender, dataset = opened.recommender, opened.dataset
    training, num_items = training_sequences(dataset), len(dataset.items)
    split = long_enough(test_split(dataset), QUICK_USERS if quick else MAX_USERS)
    item_ids = [item.item_id for item in dataset.items]
    baselines: dict[str, ItemScorer] = {
        "popularity": Popularity(count_popularity(training, num_items)),
        "Markov": choose_markov(training, num_items, validation_split(dataset), progress_bar).scorer,
    }
    table = []
    for count in KNOWN:
        known = newest(split, count)
        ranks, lists = generated_ranks(recommender, item_ids, known, False, f"{count} known", progress_bar)
        gains = {"clairo": ndcg_at(ranks, CUTOFF)}
        table.append(Row(f"{count} known: clairo, Recall@10", float(recall_at(ranks, CUTOFF).mean()), "", "higher"))
        for name, scorer in baselines.items():
            gains[name] = ndcg_at(rank_with_scores(scorer, {MASKED: known}, name, progress_bar)[MASKED].ranks, CUTOFF)
        table += [Row(f"{count} known: {name}, NDCG@10", float(of.mean()), "", "higher") for name, of in gains.items()]
        table += differences(count, gains)
        table.append(Row(f"{count} known: distinct items in all top 10s", num_different(lists), "items", "higher"))
        table += [
            Row(f"{count} known: places whose source is {source}", 100 * share, "%", "higher")
            for source, share in sources_of(recommender, item_ids, known.histories).items()
        ]
    return f"{dataset.name}, {len(split.targets)} test users with {max(KNOWN)} items or more, {bundle}", table


def long_enough(split: EvaluationSplit, max_users: int) -> EvaluationSplit:
    """A seeded sample of users whose history is long enough for every row."""
    users = np.flatnonzero(split.histories.lengths >= max(KNOWN))
    if not len(users):
        sys.exit(f"no test user has {max(KNOWN)} items before the last one; choose a dataset with longer histories")
    chosen = EvaluationSplit(split.histories.select(users), split.targets[users], split.user_rows[users])
    return some_users(chosen, max_users, seed=0)


def newest(split: EvaluationSplit, count: int) -> EvaluationSplit:
    """The split with only the newest `count` items of each history."""
    histories = [split.histories[user].tolist()[-count:] if count else [] for user in range(len(split.targets))]
    return EvaluationSplit(ItemSequences.from_lists(histories), split.targets, split.user_rows)


def differences(count: int, gains: dict[str, Float64[np.ndarray, "user"]]) -> list[Row]:
    """The bundle over each baseline, with its interval."""
    table = []
    for name, of_baseline in gains.items():
        if name != "clairo":
            table += paired_rows(f"{count} known: clairo over {name}, NDCG@10", gains["clairo"], of_baseline)
    return table


def num_different(lists: list[np.ndarray]) -> int:
    """Number of distinct items in all lists."""
    return len({int(row) for shown in lists for row in shown[:CUTOFF]})


def sources_of(recommender: Recommender, item_ids: list[str], histories: ItemSequences) -> dict[str, float]:
    """Share of places by source, for a hundred users."""
    some = [UserHistory(tuple(item_ids[row] for row in histories[user])) for user in range(min(100, len(histories)))]
    answers = recommender.recommend_many(some, CUTOFF)
    counts = Counter(item.source for answer in answers for item in answer.items)
    return {source: count / counts.total() for source, count in sorted(counts.items())}


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, ArgumentParser(add_help=False, parents=[bundle_flags(), device_flags()])))
