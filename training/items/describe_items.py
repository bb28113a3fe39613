"""Turn a dataset's items into feature sets: from their content, from codes that came with the data, or from numbers.

    items -> modality embeddings -> item embeddings -> semantic ids -> feature sets

Every stage between two arrows has its own file. All that is fitted sees training items only.
"""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from jaxtyping import Int64

from clairo_core.bundle.manifest import NUMBERED
from clairo_core.errors import SettingsError
from clairo_core.features import FeatureSpace, collision_capacity, feature_sets_with_collision_index
from clairo_core.tokens.spelling import Spelling
from training.config.preset import HASH, RANDOM
from training.items.described_items import ContentParts, DescribedItems
from training.items.encode_stage import EncodedItems, encode_stage
from training.items.fuse_content import check_fuse_settings, codebook_names
from training.items.fuse_stage import fuse_stage
from training.items.number_items import numbered_feature_sets, random_numbers, sequential_numbers
from training.items.quantize_stage import quantize_stage
from training.items.told_apart import told_apart_in_languages
from training.workbench.stage_cache import digest_of
from training.workbench.workbench import Workbench


def describe_items(bench: Workbench) -> DescribedItems:
    """Feature sets from numbers if the preset says so, from the dataset's codes if it has any, or from content."""
    if bench.preset.quantize.kind in NUMBERED:
        return describe_by_numbers(bench)
    return describe_by_content(bench) if bench.dataset.semantic_ids is None else describe_by_codes(bench)


def describe_by_numbers(bench: Workbench) -> DescribedItems:
    """Number the items and take the digits as features. Numbers differ, so no collision index is added.

    Raises:
        SettingsError: the base is below 2.
    """
    kind, num_items = bench.preset.quantize.kind, len(bench.dataset.items)
    numbers = random_numbers(num_items, bench.seed) if kind == RANDOM else sequential_numbers(bench.training, num_items)
    feature_sets, space = numbered_feature_sets(numbers, bench.preset.quantize.num_centroids)
    bench.report(f"items: {num_items} numbered, {kind}, categories {', '.join(space.category_names)}")
    inputs = {
        "dataset": bench.dataset.fingerprint,
        "numbers": sha256(numbers.tobytes()).hexdigest(),
        "sizes": space.category_sizes,
    }
    return DescribedItems(feature_sets, space, digest_of(inputs))


def describe_by_codes(bench: Workbench) -> DescribedItems:
    """Take precomputed codes as they are. A collision index is added unless they tell all items apart.

    Raises:
        SettingsError: the generator would read content.
    """
    dataset = bench.dataset
    assert dataset.semantic_ids is not None
    if bench.preset.generator.reads_content:
        raise SettingsError(
            f"generator.reads_content is true, but the items of {dataset.name} come with codes, which replace their "
            "content; expected --set generator.reads_content=false, or --set dataset.codes=vectors"
        )
    spelling = bench.preset.vocabulary.spelling
    if spelling == Spelling.LANGUAGES:
        feature_sets, space = told_apart_in_languages(
            dataset.semantic_ids, dataset.codebook_sizes, dataset.codebook_names
        )
    elif dataset.codes_are_unique:
        feature_sets, space = dataset.semantic_ids, FeatureSpace(dataset.codebook_names, dataset.codebook_sizes)
    else:
        feature_sets, space = feature_sets_with_collision_index(
            dataset.semantic_ids,
            dataset.codebook_sizes,
            collision_capacity(dataset.semantic_ids),
            codebook_names=dataset.codebook_names,
        )
    bench.report(f"items: {len(feature_sets)} with precomputed codes, categories {', '.join(space.category_names)}")
    key = digest_of({"dataset": dataset.fingerprint, "codebooks": dataset.codebook_names})
    return DescribedItems(feature_sets, space, key_with_spelling(key, spelling))


def describe_by_content(bench: Workbench) -> DescribedItems:
    """Encode, fuse and quantize.

    Raises:
        SettingsError: no item has one of the modalities, or the settings of the fusion contradict each other.
    """
    check_fuse_settings(bench.preset.fuse)
    encoded = {modality: encode_stage(bench, modality) for modality in bench.preset.encode.modalities}
    for modality, of_modality in encoded.items():
        report_presence(bench, modality, of_modality)
    content = fuse_stage(bench, encoded)
    quantized = quantize_stage(bench, content)
    semantic_ids = quantized.semantic_ids
    num_codebooks, num_centroids = quantized.quantizer.num_codebooks, quantized.quantizer.num_centroids
    capacity, drawn = collision_capacity(semantic_ids), None
    separated = "separated by the collision index"
    if bench.preset.quantize.collision == HASH:
        capacity = max(capacity, bench.preset.quantize.hash_buckets)
        drawn = drawn_buckets(bench.item_ids, capacity, bench.seed)
    sizes, names = [num_centroids] * num_codebooks, codebook_names(bench.preset.fuse, content.fusion, num_codebooks)
    spelling = bench.preset.vocabulary.spelling
    if spelling == Spelling.LANGUAGES:
        feature_sets, space = told_apart_in_languages(semantic_ids, sizes, names)
    else:
        feature_sets, space = feature_sets_with_collision_index(
            semantic_ids, sizes, capacity, codebook_names=names, drawn=drawn
        )
    if drawn is not None:
        moved = int((feature_sets[:, -1] != drawn).sum())
        separated = f"separated by {capacity} random hash buckets; {moved} items took a free one in place of their own"
    shared = len(semantic_ids) - len(np.unique(semantic_ids, axis=0))
    fewer = f" ({quantized.why_fewer})" if quantized.why_fewer else ""
    bench.report(
        f"quantize: {num_codebooks} codebooks of {num_centroids} centroids{fewer}; {shared} items share their codes "
        f"with an earlier one, {separated}"
    )
    parts = ContentParts(encoded, content.fusion, quantized.quantizer, content.fused)
    return DescribedItems(feature_sets, space, key_with_spelling(quantized.key, spelling), parts)


def key_with_spelling(key: str, spelling: str) -> str:
    """Languages need other collision indices, hence another key."""
    return f"{key}-{spelling}" if spelling == Spelling.LANGUAGES else key


def drawn_buckets(item_ids: Sequence[str], capacity: int, seed: int) -> Int64[np.ndarray, "item"]:
    """A bucket below `capacity` for each item, drawn by seed and id, so that other items change nothing."""
    drawn = [sha256(f"{seed} bucket {item_id}".encode()).digest()[:8] for item_id in item_ids]
    return np.array([int.from_bytes(number, "big") % capacity for number in drawn], dtype=np.int64)


def report_presence(bench: Workbench, modality: str, encoded: EncodedItems) -> None:
    """Report how many items have the modality.

    Raises:
        SettingsError: none has.
    """
    present = int(encoded.embeddings().is_present.sum())
    if present == 0:
        raise SettingsError(
            f"no item of {bench.dataset.name} has {modality}; list the modalities that they have with "
            f"--set encode.modalities={','.join(bench.dataset.modalities) or '...'}"
        )
    bench.report(f"encode: {present} of {len(bench.dataset.items)} items have {modality}")
