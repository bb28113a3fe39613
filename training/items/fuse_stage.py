"""Stage: modality embeddings and training sequences -> a fusion and every item's embedding."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from clairo_core.fusion import AlignedFusion, FusedItems, Fusion, evened, load_fusion
from clairo_core.storage.array_file import load_arrays, save_arrays
from training.items.align_items import can_align
from training.items.encode_stage import EncodedItems
from training.items.fitted_items import fitted_items
from training.items.fuse_content import align_by_modality, fuse_content, fuse_inputs, num_separate_parts
from training.workbench.workbench import Workbench


@dataclass(frozen=True, slots=True, eq=False)
class FusedContent:
    """A fusion and every item's embedding: by content, and by behaviour where there is enough of it."""

    fusion: Fusion
    fused: FusedItems
    key: str
    is_aligned: bool


def fuse_stage(bench: Workbench, encoded: Mapping[str, EncodedItems]) -> FusedContent:
    """Fuse each item's modalities, and align content with behaviour. Held-out items teach nothing."""
    preset = bench.preset
    is_aligned = can_align(bench.crowd, len(bench.dataset.items), preset.align)

    def build(folder: Path) -> None:
        embeddings = {modality: of_modality.embeddings() for modality, of_modality in encoded.items()}
        is_fitted = fitted_items(embeddings, bench.teaches, bench.seed)
        taught = {modality: given.select(is_fitted) for modality, given in embeddings.items()}
        fusion: Fusion = fuse_content(
            embeddings, is_fitted, bench.crowd, bench.validation, preset.fuse, bench.seed, bench.report
        )
        if is_aligned:
            content = fusion.fuse(embeddings)
            del embeddings
            aligned = align_by_modality(
                content.item_embeddings,
                num_separate_parts(preset.fuse, len(encoded)),
                bench.is_training,
                bench.crowd,
                preset.align,
                bench.seed,
                bench.is_held_out,
                bench.engine,
            )
            bench.report(f"align: content predicts {aligned.explained:.0%} of what items are used with")
            spread = content.item_embeddings[is_fitted].std(axis=0)
            fusion = evened(AlignedFusion(fusion, aligned.alignment, spread), taught)
            fused = FusedItems(aligned.item_embeddings, content.is_present)
        else:
            fusion = evened(fusion, taught)
            fused = fusion.fuse(embeddings)
        fusion.save(folder / "fusion")
        save_arrays(folder / "embeddings.npz", item_embeddings=fused.item_embeddings, is_present=fused.is_present)

    def load(folder: Path) -> tuple[Fusion, FusedItems]:
        fused = FusedItems(*load_arrays(folder / "embeddings.npz", "item_embeddings", "is_present"))
        return load_fusion(folder / "fusion"), fused

    if not is_aligned and preset.align.dim:
        bench.report(
            "align: too few items were used twice or more beside others; items are placed by their content alone"
        )
    inputs = {
        "encoded": [of_modality.key for of_modality in encoded.values()],
        "fuse": fuse_inputs(preset.fuse),
        "align": asdict(preset.align),
        "max_user_examples": preset.fit.max_user_examples,
        "num_held_out": int(bench.is_held_out.sum()),
        "seed": bench.seed,
    }
    stage = bench.stages.run("fuse", inputs, build, load)
    return FusedContent(*stage.result, stage.key, is_aligned)
