"""Learning within memory: corpora that fit are learned once, whatever the limit; the others report their sample."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clairo_core.features import FeatureSpace
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from tests.tiny import random_feature_sets, tiny_items
from training.config.load_preset import load_preset
from training.datasets.dataset import build_dataset
from training.items.described_items import DescribedItems
from training.vocabulary.vocabulary_stage import TrainedVocabulary, grown_vocabulary_stage, vocabulary_stage
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_ITEMS, NUM_USERS, SIZES = 60, 8000, (8, 8, 8)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    random = np.random.default_rng(0)
    lengths = np.full(NUM_USERS, 6)
    sequences = ItemSequences.from_lengths(random.integers(NUM_ITEMS, size=lengths.sum()), lengths)
    users = tuple(f"user-{user}" for user in range(NUM_USERS))
    dataset = build_dataset("shop", tuple(tiny_items(NUM_ITEMS)), users, sequences)
    preset = load_preset("clairo_token", ["vocabulary.merges_per_item=2"])
    stages = StageCache(tmp_path)
    return Workbench(dataset, preset, 0, torch.device("cpu"), stages, silent, print)


def items() -> DescribedItems:
    space = FeatureSpace(("code_0", "code_1", "collision"), SIZES)
    return DescribedItems(random_feature_sets(NUM_ITEMS, SIZES), space, "described-0")


def learned(bench: Workbench, max_mib: int) -> TrainedVocabulary:
    vocabulary = replace(bench.preset.vocabulary, max_mib=max_mib)
    return vocabulary_stage(replace(bench, preset=replace(bench.preset, vocabulary=vocabulary)), items())


def test_a_limit_that_suffices_changes_neither_key_nor_rules(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {learned(bench, max_mib).key for max_mib in (4096, 1000, 100)}
    assert len(keys) == 1
    assert "learned from" not in capsys.readouterr().out


def test_a_limit_that_binds_reports_the_sample_each_time_and_has_its_own_key(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, sampled = learned(bench, 4096), learned(bench, 6)
    said = capsys.readouterr().out
    assert whole.key != sampled.key
    assert "of 8,000 sequences, as many as fit into vocabulary.max_mib=6" in said
    assert learned(bench, 6).key == sampled.key
    assert "of 8,000 sequences, as many as fit into vocabulary.max_mib=6" in capsys.readouterr().out
    assert sampled.vocabulary.size == whole.vocabulary.size


def test_a_grown_vocabulary_keeps_to_the_limit_too(bench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    old = learned(bench, 4096).vocabulary
    capsys.readouterr()
    little = replace(bench, preset=replace(bench.preset, vocabulary=replace(bench.preset.vocabulary, max_mib=6)))
    grown = grown_vocabulary_stage(little, items(), old, 10)
    assert grown.vocabulary.size == old.size + 10
    assert "as many as fit into vocabulary.max_mib=6" in capsys.readouterr().out
    assert grown_vocabulary_stage(little, items(), old, 0).vocabulary.size == old.size
