"""A shop with returns: the strength of dislikes from the dataset to the bundle, and what its figures mean."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.progress import silent
from clairo_core.ranking import NOTHING_SINKS, disliked_neighbours
from clairo_core.sequences import ItemSequences
from tests.unit.training.pipeline.test_typed_training import NUM_ITEMS, NUM_USERS, SETTINGS, write_shop
from training.config.load_preset import load_preset
from training.datasets import load_dataset
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import MASKED
from training.pipeline.run import train_bundle, train_parts
from training.ranking.dislikes_stage import STRENGTHS, ndcgs_by_strength, users_with_dislikes
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench


def test_the_strength_reaches_the_bundle_and_its_figure_is_that_of_the_lists(tmp_path: Path) -> None:
    dataset = load_dataset(write_shop(tmp_path))
    lists = [[(5 * user + step) % NUM_ITEMS for step in range(user % 4)] for user in range(NUM_USERS)]
    dislikes = ItemSequences.from_lists(lists)
    places = np.zeros(len(dislikes.items), dtype=np.int64)
    dataset = replace(dataset, dislikes=dislikes, dislike_places=places, fingerprint="with dislikes")
    lines: list[str] = []
    stages = StageCache(tmp_path / "stages")
    bench = Workbench(dataset, load_preset("clairo", SETTINGS), 0, torch.device("cpu"), stages, silent, lines.append)
    evaluation = train_bundle(bench, tmp_path / "bundle")
    assert evaluation is not None
    assert evaluation.row("clairo", MASKED).num_users == NUM_USERS
    parts = train_parts(bench)
    strength = parts.recommender.disliked_neighbours.strength
    assert strength == load_bundle(tmp_path / "bundle").dislike_strength
    assert any(f"sink by {strength:g} (NDCG@10" in line for line in lines)

    assert parts.items.content is not None
    embeddings = parts.items.content.fused.item_embeddings
    users, plain = users_with_dislikes(bench.validation), parts.recommender.with_disliked_neighbours(NOTHING_SINKS)
    assert len(users.targets) == np.count_nonzero(dislikes.lengths)
    ndcgs = ndcgs_by_strength(plain, embeddings, bench.item_ids, users)
    assert strength == max(STRENGTHS, key=lambda tried: ndcgs[tried])
    for tried in STRENGTHS:
        lowering = parts.recommender.with_disliked_neighbours(disliked_neighbours(tried, embeddings))
        ranks, shown = generated_ranks(lowering, bench.item_ids, users, False, "", list_length=NUM_ITEMS)
        assert ndcgs[tried] == pytest.approx(float(ndcg_at(ranks, 10).mean()), abs=1e-9)
        assert not any(set(listed) & set(lists[row]) for listed, row in zip(shown, users.user_rows, strict=True))
