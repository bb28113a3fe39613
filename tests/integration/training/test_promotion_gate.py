"""The promotion gate under drawn event logs: an untrained bundle is never promoted, a better one never refused."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from tests.integration.training.test_training_run import FAST
from tests.tiny import tiny_bundle, tiny_items
from training.config.load_preset import load_preset
from training.datasets.dataset import Codes, Dataset, build_dataset
from training.evaluation.metrics import FEWEST_TARGETS
from training.pipeline.run import train_bundle
from training.retraining.against_serving import (
    FEWEST_TARGET_ITEMS,
    AgainstServing,
    compare_with_serving,
)
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_ITEMS = 40
LOGS = range(7, 17)
"""Seeds with a promotion in four of ten."""
TINY = (
    "fit.learning_rate=0.01",
    "fit.max_epochs=4",
    "dense.width=128",
    "mix.max_users=25000",
    # The gate measures by itself, on all users.
    "evaluate.max_users=5",
)


def drawn_log(seed: int) -> list[list[int]]:
    """Histories in which the next item follows from the last, or not; with repeats, or not; of few users or many."""
    random = np.random.default_rng(seed)
    num_users, longest = int(random.choice([4, 15, 60, 90])), int(random.choice([2, 4, 9, 9]))
    share_by_rule, share_revisits = random.choice([0.0, 0.8, 1.0]), random.choice([0.0, 0.0, 0.0, 0.4])
    num_repeats = int(random.choice([1, 1, 3]))
    are_alike = random.random() < 0.1
    histories = []
    for _ in range(num_users):
        item = 3 if are_alike else int(random.integers(NUM_ITEMS))
        history = [item]
        for _ in range(longest - 1 if are_alike else int(random.integers(1, longest))):
            if random.random() < share_revisits:
                item = int(random.choice(history))
            elif random.random() < share_by_rule or are_alike:
                item = (item + 1) % NUM_ITEMS
            else:
                item = int(random.integers(NUM_ITEMS))
            history.append(item)
        histories.append([item for item in history for _ in range(num_repeats)])
    return histories


def dataset_of(histories: Sequence[Sequence[int]]) -> Dataset:
    codes = np.stack(np.unravel_index(np.arange(NUM_ITEMS), (4, 4, 4)), axis=1).astype(np.int32)
    return build_dataset(
        "drawn",
        tuple(replace(item, picture=None) for item in tiny_items(NUM_ITEMS)),
        tuple(f"user {user}" for user in range(len(histories))),
        ItemSequences.from_lists(histories),
        codes=Codes(codes, ("a", "b", "c"), (4, 4, 4), are_unique=True),
    )


def trained_on(dataset: Dataset, folder: Path) -> Bundle:
    preset = load_preset("clairo_token", [*FAST, *TINY])
    stages = StageCache(folder / "stages")
    bench = Workbench(dataset, preset, 0, torch.device("cpu"), stages, silent, lambda _line: None)
    train_bundle(bench, folder / "bundle", is_refitted=False)
    return load_bundle(folder / "bundle")


def compared(candidate: Bundle, serving: Bundle, dataset: Dataset) -> AgainstServing:
    recommenders = [bundle.recommender("cpu", num_views=1, num_beams=20) for bundle in (candidate, serving)]
    return compare_with_serving(
        recommenders[0],
        serving,
        recommenders[1],
        dataset,
        dict.fromkeys(dataset.user_ids, 9e9),
        max_users=0,
        num_resamples=200,
        seed=0,
        progress=silent,
    )


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Bundles of random weights."""
    folder = tmp_path_factory.mktemp("untrained")
    return [
        load_bundle(tiny_bundle(folder / str(seed), num_items=NUM_ITEMS, seed=seed, can_ingest=False))
        for seed in range(3)
    ]


def test_the_gate_never_promotes_an_untrained_bundle_nor_refuses_a_better_one(
    tmp_path: Path, untrained: list[Bundle]
) -> None:
    outcomes = {"promoted": 0, "too few targets": 0}
    for seed in LOGS:
        dataset = dataset_of(drawn_log(seed))
        trained = trained_on(dataset, tmp_path / str(seed))
        # Pairs take turns: every log has each untrained bundle against the trained one, and one against another.
        pairs = list(permutations(untrained, 2))
        for candidate, serving in [*product(untrained, [trained]), pairs[seed % len(pairs)]]:
            against = compared(candidate, serving, dataset)
            assert against.refusal is not None, f"log {seed}: {against}"
        against = compared(trained, untrained[0], dataset)
        is_better = against.difference is not None and against.difference.low > 0
        if is_better and against.num_users >= FEWEST_TARGETS and against.num_target_items >= FEWEST_TARGET_ITEMS:
            assert against.refusal is None, f"log {seed}: {against.refusal}"
        outcomes["promoted"] += against.refusal is None
        outcomes["too few targets"] += against.num_users < FEWEST_TARGETS
    # Both outcomes occur among the drawn logs.
    assert min(outcomes.values()) >= 4, outcomes


def test_the_same_bundle_is_as_good_as_itself_on_enough_targets(tmp_path: Path) -> None:
    dataset = dataset_of([[(user + step) % NUM_ITEMS for step in range(6)] for user in range(NUM_ITEMS)])
    trained = trained_on(dataset, tmp_path)
    against = compared(trained, trained, dataset)
    assert against.refusal is None
    assert f"newest items of {NUM_ITEMS} users" in str(against)
