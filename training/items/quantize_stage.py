"""Stage: item embeddings -> a quantizer."""

from dataclasses import asdict, dataclass
from pathlib import Path

from clairo_core.quantizers import OpqQuantizer, load_opq
from training.config.preset import QuantizeSettings
from training.items.fuse_content import fit_opq_by_modality, num_separate_parts
from training.items.fuse_stage import FusedContent
from training.workbench.workbench import Workbench


@dataclass(frozen=True, slots=True, eq=False)
class FittedQuantizer:
    """A quantizer of item embeddings."""

    quantizer: OpqQuantizer
    key: str


def quantize_stage(bench: Workbench, content: FusedContent) -> FittedQuantizer:
    """Fit the quantizer on training items, held-out ones included."""
    settings = bench.preset.quantize

    def build(folder: Path) -> None:
        fit_opq_by_modality(
            content.fused.item_embeddings[bench.is_training],
            num_separate_parts(bench.preset.fuse, len(content.fusion.modalities)),
            settings.num_codebooks,
            centroids_for(int(bench.is_training.sum()), settings),
            seed=bench.seed,
            num_iterations=settings.num_iterations,
        ).save(folder)

    inputs = {"fused": content.key, "settings": asdict(settings), "seed": bench.seed}
    stage = bench.stages.run("quantize", inputs, build, load_opq)
    return FittedQuantizer(stage.result, stage.key)


def centroids_for(num_items: int, settings: QuantizeSettings) -> int:
    """The largest power of two that leaves every centroid enough training items, up to the setting.

    >>> [centroids_for(num_items, QuantizeSettings()) for num_items in (20, 1_000, 5_000, 1_000_000)]
    [2, 64, 256, 256]
    """
    enough = max(2, num_items // settings.min_items_per_centroid)
    return min(settings.num_centroids, 1 << (enough.bit_length() - 1))
