"""Turn a dataset's items into feature sets, from their content or from codes that came with the data.

    items -> modality embeddings -> item embeddings -> semantic ids -> feature sets

Every stage between two arrows has its own file. All that is fitted sees training items only.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int32

from clairo_core.errors import SettingsError
from clairo_core.feature_index import TakenFeatureSets
from clairo_core.features import (
    COLLISION_CATEGORY,
    FeatureSpace,
    collision_capacity,
    feature_sets_with_collision_index,
    nearest_free_feature_set,
)
from clairo_core.tokens.spelling import Spelling, spelled_languages
from training.items.described_items import ContentParts, DescribedItems
from training.items.encode_stage import EncodedItems, encode_stage
from training.items.fuse_content import check_fuse_settings, codebook_names
from training.items.fuse_stage import fuse_stage
from training.items.quantize_stage import quantize_stage
from training.workbench.stage_cache import digest_of
from training.workbench.workbench import Workbench


def describe_items(bench: Workbench) -> DescribedItems:
    """Feature sets from the dataset's own codes if it has any, else from content."""
    return describe_by_content(bench) if bench.dataset.semantic_ids is None else describe_by_codes(bench)


def describe_by_codes(bench: Workbench) -> DescribedItems:
    """Take precomputed codes as they are. A collision index is added unless they tell all items apart."""
    dataset = bench.dataset
    assert dataset.semantic_ids is not None
    spelling = bench.preset.vocabulary.spelling
    if dataset.codes_are_unique and spelling != Spelling.LANGUAGES:
        feature_sets, space = dataset.semantic_ids, FeatureSpace(dataset.codebook_names, dataset.codebook_sizes)
    else:
        feature_sets, space = told_apart(
            dataset.semantic_ids, dataset.codebook_sizes, dataset.codebook_names, Spelling(spelling)
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
    semantic_ids = quantized.quantizer.encode(content.fused.item_embeddings)
    num_codebooks, num_centroids = quantized.quantizer.num_codebooks, quantized.quantizer.num_centroids
    names = codebook_names(bench.preset.fuse, content.fusion.modalities, num_codebooks)
    spelling = bench.preset.vocabulary.spelling
    feature_sets, space = told_apart(semantic_ids, [num_centroids] * num_codebooks, names, Spelling(spelling))
    shared = len(semantic_ids) - len(np.unique(semantic_ids, axis=0))
    bench.report(
        f"quantize: {num_codebooks} codebooks of {num_centroids} centroids; {shared} items share their codes "
        "with an earlier one and are told apart by the collision index"
    )
    parts = ContentParts(encoded, content.fusion, quantized.quantizer, content.fused)
    return DescribedItems(feature_sets, space, key_with_spelling(quantized.key, spelling), parts)


def told_apart(
    semantic_ids: Int[np.ndarray, "item codebook"],
    codebook_sizes: Sequence[int],
    codebook_names: Sequence[str] | None,
    spelling: Spelling,
) -> tuple[Int32[np.ndarray, "item category"], FeatureSpace]:
    """Append the collision index; where a language spells only some codes, these and the index are unique too.

    Raises:
        VocabularyError: the codes cannot be spelled like this.
    """
    if spelling is not Spelling.LANGUAGES:
        capacity = collision_capacity(semantic_ids)
        return feature_sets_with_collision_index(semantic_ids, codebook_sizes, capacity, codebook_names=codebook_names)
    names = (*(codebook_names or ()), COLLISION_CATEGORY)
    spelled = tuple(language.categories for language in spelled_languages(spelling, names))
    # Of the indices that an item may not have, each language's equal codes take as many as there are.
    capacity = sum(collision_capacity(semantic_ids[:, categories[:-1]]) for categories in spelled)
    space = FeatureSpace(names, (*codebook_sizes, capacity))
    taken = TakenFeatureSets(spelled)
    feature_sets = []
    for codes in semantic_ids.tolist():
        feature_sets.append(nearest_free_feature_set([tuple(codes)], taken, space))
        taken.add(feature_sets[-1])
    return np.array(feature_sets, dtype=np.int32).reshape(len(feature_sets), len(names)), space


def key_with_spelling(key: str, spelling: str) -> str:
    """Languages need other collision indices, hence another key."""
    return f"{key}-{spelling}" if spelling == Spelling.LANGUAGES else key


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
