"""How many users validate an epoch."""

from pathlib import Path

import pytest
import torch

from clairo_core.items import Item
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from training.config.preset import Preset
from training.datasets.dataset import build_dataset
from training.workbench import workbench
from training.workbench.stage_cache import StageCache


@pytest.mark.parametrize(("most_scores", "num_users"), [(1000, 20), (120, 12), (7, 1)])
def test_users_times_items_are_bounded(most_scores: int, num_users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench, "MOST_SCORES_PER_EPOCH", most_scores)
    items = tuple(Item(item_id=f"item-{row}") for row in range(10))
    sequences = ItemSequences.from_lists([[user % 5, 6, 7, 8, 9] for user in range(40)])
    dataset = build_dataset("made up", items, tuple(f"user-{row}" for row in range(40)), sequences)
    stages = StageCache(Path("never-written"))
    bench = workbench.Workbench(dataset, Preset("made up"), 0, torch.device("cpu"), stages, silent, lambda _: None)
    chosen = bench.users_per_epoch(20)
    assert len(chosen.targets) == num_users
    assert chosen.is_same_as(bench.some_validation_users(num_users))
