"""Measure the gain of each ranking component, on validation users held out of the mixture's fit.

    python -m benchmarks.accuracy.components [--bundle BUNDLE] [--data DATA] [--device DEVICE] [--json FILE]
        [--quick]

Users are split into five parts. A mixture of some components is fitted on four parts and ranks the fifth. NDCG@10 over
all users, seen items masked; every row beside the whole mixture, paired by user. A component alone ranks by its own
score, without a fit. BUNDLE was trained on DATA with --no-refit; by default, `make bench` makes both.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.accuracy.paired_rows import paired_rows
from benchmarks.report import Row, bundle_flags, device_flags, run_benchmark
from training.evaluation.metrics import ndcg_at
from training.evaluation.split import some_users, validation_split
from training.pipeline.evaluate_bundle import open_bundle
from training.ranking.calibrate_new_items import target_ranks, totals_of
from training.ranking.fit_mixture import MixtureExamples, fit_mixture
from training.ranking.mixture_examples import mixture_examples
from training.workbench.progress_bar import progress_bar

NUM_PARTS = 5
MAX_USERS, QUICK_USERS = 8000, 400


def rows(*, bundle: Path, data: Path, device: str, quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and compare every subset of components with the whole."""
    opened = open_bundle(bundle, data, device, progress_bar, lambda line: print(line, file=sys.stderr))
    recommender, dataset = opened.recommender, opened.dataset
    ranking = recommender.joint_ranking
    if ranking is None:
        sys.exit(f"{bundle} has no joint ranking, so no components to compare; train it with dense.dim above 0")
    split = some_users(validation_split(dataset), QUICK_USERS if quick else MAX_USERS, seed=0)
    item_ids = [item.item_id for item in dataset.items]
    (examples,) = mixture_examples(recommender, (ranking,), item_ids, split, progress_bar)
    components = ranking.components
    gains = {
        f"{name} alone": ndcg_at(target_ranks(examples.scores[:, place], examples), 10)
        for place, name in enumerate(components)
    }
    subsets = {"all": examples} | {
        f"all but {left_out}": examples.of_components(tuple(name for name in components if name != left_out))
        for left_out in components
    }
    if ranking.evidence:
        subsets["all but pair evidence"] = examples.without_evidence()
    for label, kept in progress_bar(subsets.items(), "fitting", len(subsets)):
        gains[label] = left_out_ndcg(kept)
    table = []
    for label, of_users in gains.items():
        table.append(Row(f"{label}: NDCG@10", float(of_users.mean()), "", "higher"))
        if label != "all":
            table += paired_rows(f"all over {label}, NDCG@10", gains["all"], of_users)
    return f"{dataset.name}, {len(split.targets)} validation users, {NUM_PARTS} parts, bundle {bundle}", table


def left_out_ndcg(examples: MixtureExamples) -> Float[np.ndarray, "user"]:
    """NDCG@10 of each user, by weights fitted on the other parts."""
    part_of_user = np.random.default_rng(0).permutation(len(examples.num_candidates)) % NUM_PARTS
    gains = np.empty(len(part_of_user))
    for part in range(NUM_PARTS):
        mixture = fit_mixture(examples.of_users(part_of_user != part))
        ranked = examples.of_users(part_of_user == part)
        gains[part_of_user == part] = ndcg_at(target_ranks(totals_of(mixture, ranked), ranked), 10)
    return gains


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, ArgumentParser(add_help=False, parents=[bundle_flags(), device_flags()])))
