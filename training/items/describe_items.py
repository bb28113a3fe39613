"""Turn a dataset's items into feature sets: by their pictures and words, or by codes that came with the data.

    items -> modality embeddings -> content embeddings -> item embeddings -> semantic ids -> feature sets

Knows the order of these stages; everything that is fitted sees only items that occur in training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32

from clairo_core.encoders import ModalityEmbeddings, ModalityEncoder
from clairo_core.encoders.item_content import TEXT
from clairo_core.errors import SettingsError
from clairo_core.features import FeatureSpace, collision_capacity, feature_sets_with_collision_index
from clairo_core.fusion import AlignedFusion, FusedItems, Fusion, evened
from clairo_core.quantizers import load_opq
from clairo_core.storage.array_file import load_arrays, save_arrays
from training.config.preset import QuantizeSettings
from training.evaluation.split import training_items, training_sequences, validation_split
from training.items.align_items import can_align
from training.items.choose_encoder import LEARNED, encoder_inputs, encoder_setting, make_encoder
from training.items.encode_items import encode_items, load_embeddings
from training.items.fit_image_encoder import fit_image_encoder
from training.items.fuse_content import (
    LATE,
    align_by_modality,
    check_fuse_settings,
    fit_opq_by_modality,
    fuse_content,
    fuse_inputs,
)
from training.workbench.stage_cache import digest_of
from training.workbench.workbench import Workbench

FEWEST_ITEMS_TO_HOLD_OUT_OF = 20
"""Of fewer training items, every one is needed."""


@dataclass(frozen=True, slots=True)
class DescribedItems:
    """Every item's feature set, and where the parts that made it lie."""

    feature_sets: Int32[np.ndarray, "item category"]
    space: FeatureSpace
    folders: Mapping[str, Path]
    """`text`, `image`, ... (encoders), `fusion` and `quantizer`; empty for precomputed codes."""
    digest: str
    fused: FusedItems | None = None
    """Item embeddings as they were quantized; None for precomputed codes."""


def describe_items(bench: Workbench) -> DescribedItems:
    """Feature sets from the dataset's own codes if it has any, else from content."""
    dataset = bench.dataset
    if dataset.semantic_ids is None:
        return describe_by_content(bench)
    sizes = dataset.codebook_sizes
    if dataset.codes_are_unique:
        # Given codes that tell all items apart need no further category.
        feature_sets, space = dataset.semantic_ids, FeatureSpace(dataset.codebook_names, sizes)
    else:
        feature_sets, space = feature_sets_with_collision_index(
            dataset.semantic_ids,
            sizes,
            collision_capacity(dataset.semantic_ids),
            codebook_names=dataset.codebook_names,
        )
    bench.report(f"items: {len(feature_sets)} with precomputed codes, categories {', '.join(space.category_names)}")
    digest = digest_of({"dataset": dataset.fingerprint, "codebooks": dataset.codebook_names})
    return DescribedItems(feature_sets, space, {}, digest)


def describe_by_content(bench: Workbench) -> DescribedItems:
    """Encode, fuse and quantize, fitted on items that occur in training; only the quantizer sees held-out ones."""
    dataset, preset = bench.dataset, bench.preset
    check_fuse_settings(preset.fuse)
    is_training = training_items(dataset)
    folders: dict[str, Path] = {}
    embeddings: dict[str, ModalityEmbeddings] = {}
    for modality in preset.encode.modalities:
        folders[modality] = encode_stage(bench, modality)
        embeddings[modality] = load_embeddings(folders[modality] / "embeddings.npz")
        present = int(embeddings[modality].is_present.sum())
        if present == 0:
            raise SettingsError(
                f"no item of {dataset.name} has {modality}; name what they have with "
                f"--set encode.modalities={','.join(dataset.modalities) or '...'}"
            )
        bench.report(f"encode: {present} of {len(dataset.items)} items have {modality}")

    folders["fusion"], fused = fuse_stage(bench, embeddings, [folders[name].name for name in embeddings])

    def build_quantizer(folder: Path) -> None:
        settings = preset.quantize
        fit_opq_by_modality(
            fused.item_embeddings[is_training],
            len(embeddings) if preset.fuse.scheme == LATE else 1,
            settings.num_codebooks,
            centroids_for(int(is_training.sum()), settings),
            seed=bench.seed,
            num_iterations=settings.num_iterations,
        ).save(folder)

    folders["quantizer"] = bench.stages.run(
        "quantize",
        {"fused": folders["fusion"].parent.name, "settings": asdict(preset.quantize), "seed": bench.seed},
        build_quantizer,
    )
    quantizer = load_opq(folders["quantizer"])
    semantic_ids = quantizer.encode(fused.item_embeddings)
    num_codebooks, num_centroids = quantizer.codebooks.shape[:2]
    feature_sets, space = feature_sets_with_collision_index(
        semantic_ids, [num_centroids] * num_codebooks, collision_capacity(semantic_ids)
    )
    shared = len(semantic_ids) - len(np.unique(semantic_ids, axis=0))
    bench.report(
        f"quantize: {num_codebooks} codebooks of {num_centroids} centroids; {shared} items share their codes "
        "with an earlier one and are told apart by the collision index"
    )
    return DescribedItems(feature_sets, space, folders, folders["quantizer"].name, fused)


def fuse_stage(
    bench: Workbench, embeddings: Mapping[str, ModalityEmbeddings], encoded: Sequence[str]
) -> tuple[Path, FusedItems]:
    """The fusion's folder, and every item's embedding: by content, and by behaviour where there is enough of it."""
    preset, training = bench.preset, training_sequences(bench.dataset)
    is_training, is_held_out = training_items(bench.dataset), held_out_items(bench)
    teaches = is_training & ~is_held_out
    is_aligned = can_align(training, len(bench.dataset.items), preset.align)

    def build(folder: Path) -> None:
        validation = validation_split(bench.dataset)
        fusion: Fusion = fuse_content(embeddings, teaches, training, validation, preset.fuse, bench.seed, bench.report)
        chosen = {modality: given.select(teaches) for modality, given in embeddings.items()}
        if is_aligned:
            content = fusion.fuse(embeddings)
            # Early fusion is aligned as one part.
            num_parts = len(embeddings) if preset.fuse.scheme == LATE else 1
            aligned = align_by_modality(
                content.item_embeddings, num_parts, is_training, training, preset.align, bench.seed, is_held_out
            )
            bench.report(f"align: content predicts {aligned.explained:.0%} of what items are used with")
            spread = content.item_embeddings[teaches].std(axis=0)
            fusion = evened(AlignedFusion(fusion, aligned.alignment, spread), chosen)
            fused = FusedItems(aligned.item_embeddings, content.is_present)
        else:
            fusion = evened(fusion, chosen)
            fused = fusion.fuse(embeddings)
        fusion.save(folder / "fusion")
        save_arrays(folder / "embeddings.npz", item_embeddings=fused.item_embeddings, is_present=fused.is_present)

    if not is_aligned and preset.align.dim:
        bench.report(
            "align: too few items were used twice or more beside others; items are placed by their content alone"
        )
    inputs = {
        "encoded": encoded,
        "fuse": fuse_inputs(preset.fuse),
        "align": asdict(preset.align),
        "num_held_out": int(is_held_out.sum()),
        "seed": bench.seed,
    }
    folder = bench.stages.run("fuse", inputs, build)
    return folder / "fusion", FusedItems(*load_arrays(folder / "embeddings.npz", "item_embeddings", "is_present"))


def held_out_items(bench: Workbench) -> Bool[np.ndarray, "item"]:
    """Items that no part learns to describe, so that they can stand for items posted later.

    An encoder that was fitted on an item's words does better by them than by a posted item's; where calibration did
    not account for that, new films took twice the places that they should. Drawn by id, so that a run which takes
    encoders over from an earlier one with the same seed holds out what they have not seen.
    """
    share = bench.preset.dense.held_out_share
    # Without a dense head there is nothing to calibrate.
    if not bench.preset.dense.dim or training_items(bench.dataset).sum() < FEWEST_ITEMS_TO_HOLD_OUT_OF:
        share = 0.0
    drawn = [sha256(f"{bench.seed} {item.item_id}".encode()).digest()[:8] for item in bench.dataset.items]
    return np.array([int.from_bytes(number, "big") < share * 2**64 for number in drawn], dtype=np.bool_)


def encode_stage(bench: Workbench, modality: str) -> Path:
    """One modality's encoder, and every item's embedding by it."""
    settings, seed = bench.preset.encode, bench.seed
    items, is_held_out = bench.dataset.items, held_out_items(bench)
    teaches = training_items(bench.dataset) & ~is_held_out
    chosen = [item for item, is_chosen in zip(items, teaches, strict=True) if is_chosen]
    inputs: dict[str, object] = {"dataset": bench.dataset.fingerprint, "modality": modality, "seed": seed}
    # Fewer of the same seed and dataset are a part of more, so the number says which.
    inputs["num_held_out"] = int(is_held_out.sum())
    inputs |= encoder_inputs(modality, settings)
    is_learned = modality != TEXT and encoder_setting(modality, settings) == LEARNED
    # Words are what it learns from, whether or not they are fused as well.
    words_folder = encode_stage(bench, TEXT) if is_learned else None
    if words_folder is not None:
        inputs["words"] = words_folder.name

    def build(folder: Path) -> None:
        def make() -> ModalityEncoder:
            if words_folder is None:
                return make_encoder(modality, chosen, settings, seed, bench.progress)
            words = load_embeddings(words_folder / "embeddings.npz")
            return fit_image_encoder(
                folder,
                chosen,
                words.select(teaches),
                settings,
                bench.device,
                seed,
                progress=bench.progress,
                report=bench.report,
            )

        encode_items(folder, modality, items, make, bench.stages.folder / "embeddings", bench.progress)

    return bench.stages.run(f"encode-{modality}", inputs, build)


def centroids_for(num_items: int, settings: QuantizeSettings) -> int:
    """The largest power of two that leaves every centroid enough training items, up to the setting.

    >>> [centroids_for(num_items, QuantizeSettings()) for num_items in (20, 1_000, 5_000, 1_000_000)]
    [2, 64, 256, 256]
    """
    enough = max(2, num_items // settings.min_items_per_centroid)
    return min(settings.num_centroids, 1 << (enough.bit_length() - 1))
