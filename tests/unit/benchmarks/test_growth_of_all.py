"""The benchmark of growth: its shop, its costs across kills, and what it computes for whole budgets."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.growth_shop import (
    INTERACTIONS_PER_ITEM,
    LONGEST,
    SHORTEST,
    made_histories,
    some_histories,
    write_made_shop,
)
from benchmarks.speed.growth_training import CUT, EVALUATION, PRESET, TrainedSize, full_seconds
from benchmarks.speed.measured_stages import COST_FILE, Cost, MeasuredStages
from training.config.load_preset import load_preset
from training.datasets.dataset import Dataset
from training.datasets.open_dataset import open_dataset

FULL, CUT_PRESET = load_preset(PRESET), load_preset(PRESET, CUT)
TRAINED = TrainedSize(
    num_items=1_000_000,
    commit="",
    costs={
        "fuse": Cost(5.0),
        "dense-head": Cost(40.0, epochs=3, step_seconds=30.0, runs=3),
        "refit-dense-head": Cost(20.0, epochs=2, step_seconds=16.0, runs=2),
        EVALUATION: Cost(10.0),
    },
    token_costs={},
    targets=3_000_000,
    all_targets=4_000_000,
    growth=4 / 3,
    validation_users=1_000_000,
    test_users=1_000_000,
)


def opened(shop: Path) -> Dataset:
    return open_dataset(shop, FULL.dataset, ("text",), lambda steps, _label, _total=None: steps)


def test_a_made_shop_is_a_dataset_of_the_asked_size(tmp_path: Path) -> None:
    write_made_shop(tmp_path, 500)
    dataset = opened(tmp_path)
    assert len(dataset.items) == 500
    assert len(dataset.sequences.items) == pytest.approx(500 * INTERACTIONS_PER_ITEM, rel=0.05)
    assert dataset.sequences.lengths.min() >= SHORTEST
    assert dataset.sequences.lengths.max() <= LONGEST


def test_the_same_size_gives_the_same_shop(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_made_shop(tmp_path / name, 300)
    assert opened(tmp_path / "one").fingerprint == opened(tmp_path / "two").fingerprint


def test_requests_ask_with_the_histories_of_the_first_users(tmp_path: Path) -> None:
    write_made_shop(tmp_path, 300)
    expected = [[f"item-{row}" for row in history] for history in list(made_histories(300))[:5]]
    assert some_histories(tmp_path, 5) == expected


def test_most_of_a_history_lies_in_one_group() -> None:
    histories = made_histories(10_000)
    groups = [np.bincount(history // 200).max() / len(history) for history in histories]
    assert np.mean(groups) > 0.8


def test_epochs_and_their_examples_are_computed_from_the_cut_run() -> None:
    # 10 s of steps over 300,000 examples and 10 / 3 s beside them, for each of three heads and 20 epochs.
    expected = 3 * 20 * (10 * 2_000_000 / 300_000 + 10 / 3)
    assert full_seconds(TRAINED, "dense-head", CUT_PRESET, FULL) == pytest.approx(expected)


def test_a_refit_has_the_epochs_that_the_whole_training_would_leave_it() -> None:
    # Two heads were kept; with more epochs all three may be.
    expected = 3 * int(20 / (2 * 4 / 3)) * (8 * 2_000_000 / 300_000 + 2)
    assert full_seconds(TRAINED, "refit-dense-head", CUT_PRESET, FULL) == pytest.approx(expected)


def test_users_that_evaluate_are_computed_and_other_stages_stay() -> None:
    assert full_seconds(TRAINED, EVALUATION, CUT_PRESET, FULL) == pytest.approx(10 * 25_000 / 2_000)
    assert full_seconds(TRAINED, "fuse", CUT_PRESET, FULL) == 5.0


def test_a_small_shop_has_no_more_examples_or_users_than_it_has() -> None:
    small = dataclasses.replace(TRAINED, targets=1000, all_targets=1200, test_users=100)
    assert full_seconds(small, "dense-head", CUT_PRESET, FULL) == pytest.approx(40 * 20)
    assert full_seconds(small, EVALUATION, CUT_PRESET, FULL) == 10.0


def epoch(stages: MeasuredStages, folder: Path, number: int) -> None:
    """Work, save a checkpoint, and send its line, as trainings do."""
    for _ in stages.timed(range(3), f"dense head, epoch {number}/2"):
        sum(range(1_000_000))
    (folder / "progress.json").write_text(f'{{"epochs_done": {number}}}')
    stages.note("an epoch is done")


def test_a_killed_stage_keeps_the_cost_of_its_checkpoints(tmp_path: Path) -> None:
    spent: list[float] = []

    def killed(folder: Path) -> None:
        epoch(stages, folder, 1)
        spent.append(json.loads((folder / COST_FILE).read_text())["step_seconds"])
        raise KeyboardInterrupt

    stages = MeasuredStages(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stages.run("dense-head", {}, killed, lambda folder: folder)
    stages = MeasuredStages(tmp_path)
    stages.run("dense-head", {}, lambda folder: epoch(stages, folder, 2), lambda folder: folder)
    cost = stages.costs["dense-head"]
    assert (cost.epochs, cost.runs) == (2, 1)
    assert cost.seconds >= cost.step_seconds > spent[0] > 0


def test_stages_of_one_name_are_counted_together_and_finished_ones_keep_their_cost(tmp_path: Path) -> None:
    for _ in range(2):
        stages = MeasuredStages(tmp_path)
        for seed in range(3):
            stages.run("dense-head", {"seed": seed}, lambda folder: epoch(stages, folder, 1), lambda folder: folder)  # noqa: B023
        cost = stages.costs["dense-head"]
        assert (cost.epochs, cost.runs) == (3, 3)
        assert cost.step_seconds > 0


def test_work_between_stages_is_counted_apart(tmp_path: Path) -> None:
    stages = MeasuredStages(tmp_path)
    sum(range(3_000_000))
    stages.run("fuse", {}, lambda _folder: None, lambda folder: folder)
    assert stages.costs["fuse"].seconds < stages.take_outside().seconds
    assert stages.take_outside().seconds < 0.05
