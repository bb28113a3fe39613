"""The key of a trained generator: what changes it makes another one."""

from pathlib import Path

import torch

from clairo_core.items import Item
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.vocabulary import vocabulary_of_features
from tests.unbuilt_stages import UnbuiltStages
from training.config.load_preset import load_preset
from training.datasets.dataset import Codes, build_dataset
from training.generator.generator_stage import generator_stage
from training.items.describe_items import describe_by_codes
from training.vocabulary.vocabulary_stage import TrainedVocabulary
from training.workbench.workbench import Workbench

NUM_ITEMS = 40


def key_with(*overrides: str) -> str:
    """Of a generator that writes two languages, for items with precomputed codes."""
    items = tuple(Item(item_id=f"item-{row}") for row in range(NUM_ITEMS))
    sequences = ItemSequences.from_lists([[row, (row + 1) % NUM_ITEMS, (row + 2) % NUM_ITEMS] for row in range(40)])
    rows = torch.arange(NUM_ITEMS, dtype=torch.int32)
    codes = Codes(torch.stack([rows % 8, rows // 8], dim=1).numpy(), ("text_0", "image_0"), (8, 8), are_unique=False)
    dataset = build_dataset("shop", items, tuple(map(str, range(40))), sequences, codes=codes)
    preset = load_preset("mql4grec", overrides)
    stages = UnbuiltStages(Path("never-written"), (None, None))
    bench = Workbench(dataset, preset, 0, torch.device("cpu"), stages, silent, lambda _message: None)
    described = describe_by_codes(bench)
    vocabulary = vocabulary_of_features(
        described.space.category_names, described.space.category_sizes, Spelling.LANGUAGES
    )
    return generator_stage(bench, described, TrainedVocabulary(vocabulary, "vocabulary")).key


def test_the_items_that_teach_a_second_language_are_part_of_the_key() -> None:
    assert key_with() == key_with("evaluate.num_beams=7")
    assert key_with("dense.dim=8", "dense.held_out_share=0.1") != key_with("dense.dim=8", "dense.held_out_share=0.5")
