"""Measure the price of diversity: NDCG@10 on held-out items beside the distance within lists, by setting.

    python -m benchmarks.accuracy.diversity [--device DEVICE] [--json FILE] [--quick]

On the demo bundle of `make demo-bundle` and the demo shop that it was trained on, written again if missing. Lists are
those of POST /recommend: the best 10 of 50 generated items, seen items masked.
"""

import sys

import numpy as np

from benchmarks.accuracy.datasets import demo_shop
from benchmarks.report import Row, device_flags, run_benchmark
from benchmarks.repository import DEMO_BUNDLE
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import UserHistory
from clairo_core.selection.diversity import cosine_similarities, intra_list_distance, rank_diverse
from training.config.preset import DatasetSettings
from training.datasets.open_dataset import open_dataset
from training.evaluation.metrics import bootstrap_interval, ndcg_at, rank_in_list, recall_at
from training.evaluation.split import some_users, test_split
from training.workbench.progress_bar import progress_bar

DIVERSITIES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
POOL_ITEMS = 50
LIST_ITEMS = 10


def rows(*, device: str, quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure each setting."""
    if not (DEMO_BUNDLE / "manifest.json").is_file():
        sys.exit(f"no bundle at {DEMO_BUNDLE}; run `make demo-bundle` first")
    bundle = load_bundle(DEMO_BUNDLE)
    if bundle.item_embeddings is None:
        sys.exit(
            f"{DEMO_BUNDLE} was trained on precomputed codes, without item embeddings; run `make demo-bundle` again"
        )
    recommender = bundle.recommender(device)
    dataset = open_dataset(demo_shop(), DatasetSettings(), tuple(bundle.manifest.encoders), progress_bar)
    split = some_users(test_split(dataset), 100 if quick else 1000, seed=0)
    item_ids = [item.item_id for item in dataset.items]
    histories = [
        UserHistory(tuple(item_ids[row] for row in split.histories[user])) for user in range(len(split.targets))
    ]
    ranks: dict[float, list[int]] = {diversity: [] for diversity in DIVERSITIES}
    distances: dict[float, list[float]] = {diversity: [] for diversity in DIVERSITIES}
    for user, answer in enumerate(
        recommender.recommend_many(progress_bar(histories, "users", len(histories)), POOL_ITEMS)
    ):
        pool = np.array([recommender.catalogue.row_of(item.item_id) for item in answer.items])
        relevances = np.array([item.score for item in answer.items])
        similarities = cosine_similarities(bundle.item_embeddings.item_embeddings[pool])
        target = recommender.catalogue.row_of(item_ids[split.targets[user]])
        for diversity in DIVERSITIES:
            chosen = rank_diverse(relevances, similarities, LIST_ITEMS, diversity)
            ranks[diversity].append(rank_in_list(pool[chosen], relevances[chosen], target, LIST_ITEMS))
            distances[diversity].append(intra_list_distance(similarities[np.ix_(chosen, chosen)]))
    table = []
    for diversity in DIVERSITIES:
        ndcgs = ndcg_at(np.array(ranks[diversity]), LIST_ITEMS)
        low, high = (float(bound[0]) for bound in bootstrap_interval(ndcgs[:, None], 1000, seed=0))
        name = f"diversity {diversity:g}"
        table += [
            Row(f"{name}: NDCG@10 ({low:.4f} to {high:.4f})", float(ndcgs.mean()), "", "higher"),
            Row(f"{name}: Recall@10", float(recall_at(np.array(ranks[diversity]), LIST_ITEMS).mean()), "", "higher"),
            Row(f"{name}: distance within a list", float(np.mean(distances[diversity])), "", "higher"),
        ]
    return f"bundle {bundle.manifest.bundle_id}, test split, {len(histories):,} users, seen items masked", table


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, device_flags()))
