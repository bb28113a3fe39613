"""Go on from an earlier bundle: its features and tokens, its generator's weights, and more tokens if asked for.

Encoders, fusion and quantizer stay as they are, so an item that the bundle knows keeps its features, and what came
since is described as the service described it. The vocabulary stays or grows by merges, and the generator starts from
the bundle's weights. What ranks beside it (dense head, item weights, mixture) is learned anew: it counts interactions.

Knows bundles and the stages' results; knows nothing of services. Start at `WarmStart`.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import TrainingError
from clairo_core.features import FeatureSpace
from clairo_core.fusion import FusedItems, Fusion
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.quantizers import OpqQuantizer
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.vocabulary import Vocabulary, load_vocabulary
from training.config.preset import GeneratorSettings, Preset
from training.generator.expand_generator import expand_generator
from training.items.describe_items import DescribedItems
from training.items.encode_items import encode_items
from training.vocabulary.expand_vocabulary import expand_vocabulary
from training.workbench.workbench import Workbench

ITEMS_AT_ONCE = 256
"""Whose pictures are decoded at a time."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What to go on from, and by how many tokens its vocabulary is to grow."""

    bundle: Bundle
    added_tokens: int = 0


def preset_of(start: WarmStart, preset: Preset) -> Preset:
    """The preset with what the bundle has settled: modalities, and the generator's shape and softmax."""
    config = json.loads((start.bundle.generator_folder / "config.json").read_text(encoding="utf-8"))
    shape = {field.name: config[field.name] for field in dataclasses.fields(GeneratorSettings)}
    return dataclasses.replace(
        preset,
        encode=dataclasses.replace(preset.encode, modalities=tuple(start.bundle.encoders)),
        generator=GeneratorSettings(**shape),
        fit=dataclasses.replace(preset.fit, softmax=config.get("softmax", Softmax.VOCABULARY.value)),
    )


def carried_items(bench: Workbench, start: WarmStart) -> DescribedItems:
    """Every item's features: the bundle's own where it has the item, else what its encoders make of it.

    Raises:
        TrainingError: the bundle has no encoders.
        FeatureSpaceFullError: there is no room for all new items.
    """
    bundle, items = start.bundle, bench.dataset.items
    if bundle.fusion is None or bundle.quantizer is None or bundle.item_embeddings is None:
        raise TrainingError(
            f"bundle {bundle.manifest.bundle_id} was trained on ready-made codes, so nothing can say what new items "
            "are like; train without --warm-start"
        )
    folders = {modality: _encoder_stage(bench, bundle, modality) for modality in bundle.encoders}
    carried = _frozen_stage(bench, bundle, bundle.fusion, bundle.quantizer)
    folders |= {"fusion": carried / "fusion", "quantizer": carried / "quantizer"}
    feature_sets: dict[str, tuple[int, ...]] = {}
    embeddings: dict[str, np.ndarray] = {}
    is_present: dict[str, np.ndarray] = {}
    for row, item_id in enumerate(bundle.catalogue.item_ids):
        feature_sets[item_id] = tuple(bundle.catalogue.feature_sets[row].tolist())
        embeddings[item_id] = bundle.item_embeddings.item_embeddings[row]
        is_present[item_id] = bundle.item_embeddings.is_present[row]
    new_items = [item for item in items if item.item_id not in feature_sets]
    taken = set(feature_sets.values())
    for first in range(0, len(new_items), ITEMS_AT_ONCE):
        some = new_items[first : first + ITEMS_AT_ONCE]
        for item, described in zip(some, bundle.describe_items(some, taken), strict=True):
            feature_sets[item.item_id] = described.feature_set
            embeddings[item.item_id] = described.item_embedding
            missing = described.missing_modalities
            is_present[item.item_id] = np.array([name not in missing for name in bundle.fusion.modalities])
            taken.add(described.feature_set)
    bench.report(
        f"items: {len(items) - len(new_items)} keep the features that they have in bundle "
        f"{bundle.manifest.bundle_id}, {len(new_items)} came since"
    )
    item_ids = [item.item_id for item in items]
    return DescribedItems(
        np.array([feature_sets[item_id] for item_id in item_ids], dtype=np.int32),
        FeatureSpace(bundle.vocabulary.category_names, bundle.vocabulary.category_sizes),
        folders,
        f"{bench.dataset.fingerprint}-carried-{bundle.manifest.bundle_id}",
        FusedItems(
            np.stack([embeddings[item_id] for item_id in item_ids]),
            np.stack([is_present[item_id] for item_id in item_ids]),
        ),
    )


def grown_vocabulary(
    bench: Workbench, start: WarmStart, described: DescribedItems, training: ItemSequences
) -> tuple[Vocabulary, Path]:
    """The bundle's vocabulary, with as many more merge rules as are asked for."""
    old = start.bundle.vocabulary

    def build(folder: Path) -> None:
        if not start.added_tokens:
            old.save(folder)
            return
        expansion = expand_vocabulary(
            old,
            described.feature_sets,
            training,
            start.added_tokens,
            max_sequences=bench.preset.vocabulary.max_sequences or None,
            seed=bench.seed,
            progress=bench.progress,
        )
        expansion.vocabulary.save(folder)

    folder = bench.stages.run(
        "vocabulary",
        {"items": described.digest, "added_tokens": start.added_tokens, "seed": bench.seed},
        build,
    )
    vocabulary = load_vocabulary(folder)
    bench.report(f"vocabulary: {vocabulary.size} tokens, {vocabulary.size - old.size} more than before")
    return vocabulary, folder


def start_checkpoint(start: WarmStart, vocabulary: Vocabulary, folder: Path) -> Path:
    """The bundle's generator with a row for every token of the vocabulary, written into `folder`."""
    checkpoint = folder / "start"
    expand_generator(start.bundle.generator_folder, checkpoint, vocabulary)
    return checkpoint


def _encoder_stage(bench: Workbench, bundle: Bundle, modality: str) -> Path:
    def build(folder: Path) -> None:
        cache = bench.stages.folder / "embeddings"
        encode_items(folder, modality, bench.dataset.items, lambda: bundle.encoders[modality], cache, bench.progress)

    inputs = {"dataset": bench.dataset.fingerprint, "modality": modality, "carried": bundle.manifest.bundle_id}
    return bench.stages.run(f"encode-{modality}", inputs, build)


def _frozen_stage(bench: Workbench, bundle: Bundle, fusion: Fusion, quantizer: OpqQuantizer) -> Path:
    def build(folder: Path) -> None:
        for name, part in (("fusion", fusion), ("quantizer", quantizer)):
            (folder / name).mkdir(exist_ok=True)
            part.save(folder / name)

    return bench.stages.run("carried", {"bundle": bundle.manifest.bundle_id}, build)
