"""A shop whose events have types, from tables to a served bundle."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import TrainingError
from clairo_core.items import UserHistory
from clairo_core.progress import silent
from clairo_core.recommendation import RecommendationRequest
from training.config.load_preset import load_preset
from training.datasets import load_dataset
from training.evaluation.split import test_split
from training.pipeline.missing_targets import check_targets
from training.pipeline.run import train_bundle
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_ITEMS, NUM_USERS = 30, 60
FIRST_BAIT = 20
"""From this row on, items draw clicks that nobody follows up."""
SETTINGS = (
    "encode.modalities=text",
    "encode.text_dim=8",
    "fuse.dim_per_modality=8",
    "align.dim=8",
    "parallel.width=16",
    "parallel.max_epochs=2",
    "parallel.validation_users=20",
    "dense.encoder=recurrent",
    "dense.width=16",
    "dense.max_epochs=3",
    "mix.max_users=30",
    "evaluate.num_resamples=20",
)


def write_shop(folder: Path) -> Path:
    """Purchases go round 20 items; between any two, everybody looks at baits, and sends back what he bought first."""
    items = [{"item_id": f"item-{row}", "title": f"thing {row}"} for row in range(NUM_ITEMS)]
    events = []
    for user in range(NUM_USERS):
        for step in range(6):
            bought, bait = (user + step) % FIRST_BAIT, FIRST_BAIT + (user * 7 + step * 3) % (NUM_ITEMS - FIRST_BAIT)
            events += [(user, bait, "view"), (user, bought, "view"), (user, bought, "purchase")]
        events.append((user, user % FIRST_BAIT, "return"))
    pq.write_table(pa.Table.from_pylist(items), folder / "items.parquet")
    rows = [
        {"user_id": f"user-{user}", "item_id": f"item-{item}", "type": name, "at": at}
        for at, (user, item, name) in enumerate(events)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "events.parquet")
    (folder / "dataset.toml").write_text(
        '[items]\nfile = "items.parquet"\ntexts = ["title"]\n'
        '[interactions]\nfile = "events.parquet"\nposition = "at"\ntype = "type"\ntargets = ["purchase"]\n'
        '[events]\npurchase = 1.0\nview = 0.2\nreturn = "negative"\n'
    )
    return folder


def test_a_bundle_learns_purchases_and_keeps_what_events_mean(tmp_path: Path) -> None:
    dataset = load_dataset(write_shop(tmp_path))
    lines: list[str] = []
    stages = StageCache(tmp_path / "stages")
    bench = Workbench(dataset, load_preset("clairo", SETTINGS), 0, torch.device("cpu"), stages, silent, lines.append)
    evaluation = train_bundle(bench, tmp_path / "bundle")
    assert evaluation is not None
    assert evaluation.num_users == NUM_USERS
    assert lines[0] == "events read: 360 purchase (target, weight 1), 720 view (weight 0.2)"
    assert lines[1] == (
        "other events: 60 return (dislike), 300 left out as steps to a target, "
        "120 left out as the user dislikes the item"
    )
    assert set(test_split(dataset).targets) <= set(range(FIRST_BAIT))
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.rules == dataset.rules
    assert bundle.user_popularity is not None
    # Five of everybody's six purchases stayed with him.
    assert bundle.user_popularity[:FIRST_BAIT].tolist() == [NUM_USERS * 5 / FIRST_BAIT] * FIRST_BAIT
    assert 0 < bundle.user_popularity[FIRST_BAIT:].max() < NUM_USERS * 0.2
    recommender = bundle.recommender("cpu")
    request = RecommendationRequest(history=UserHistory(("item-3", "item-25", "item-4")), limit=5)
    (answer,) = recommender.recommend_batch([request])
    top = [int(one.item_id.removeprefix("item-")) for one in answer.items]
    assert sum(row < FIRST_BAIT for row in top) >= 4
    assert json.dumps(evaluation.as_dict())


def test_targets_that_follow_nothing_are_reported_before_the_first_stage(tmp_path: Path) -> None:
    dataset = load_dataset(write_shop(tmp_path))
    is_first = np.zeros(len(dataset.sequences.items), dtype=np.bool_)
    is_first[dataset.sequences.offsets[:-1]] = True
    dataset = replace(dataset, sequences=replace(dataset.sequences, is_target=is_first))
    stages = StageCache(tmp_path / "never-written")
    bench = Workbench(dataset, load_preset("clairo"), 0, torch.device("cpu"), stages, silent, print)
    with pytest.raises(TrainingError, match="no target follows another interaction of its user"):
        check_targets(bench)


def test_a_refit_with_other_weights_or_targets_is_another_stage(tmp_path: Path) -> None:
    dataset = load_dataset(write_shop(tmp_path))
    stages, sequences = StageCache(tmp_path / "never-written"), dataset.sequences
    bench = Workbench(dataset, load_preset("clairo"), 0, torch.device("cpu"), stages, silent, print)
    others = (replace(sequences, weights=None), replace(sequences, is_target=None), sequences)
    assert len({bench.learning_from(other).training_digest for other in others}) == 3
