"""Stage: item embeddings -> a quantizer."""

from dataclasses import asdict, dataclass
from pathlib import Path

from clairo_core.quantizers import Quantizer, load_quantizer
from training.config.preset import QuantizeSettings
from training.items.fuse_content import fit_opq_by_modality, num_separate_parts
from training.items.fuse_stage import FusedContent
from training.workbench.workbench import Workbench


@dataclass(frozen=True, slots=True, eq=False)
class FittedQuantizer:
    """A quantizer of item embeddings."""

    quantizer: Quantizer
    key: str


def quantize_stage(bench: Workbench, content: FusedContent) -> FittedQuantizer:
    """Fit the quantizer on training items, held-out ones included."""
    settings = bench.preset.quantize
    num_modalities = num_separate_parts(bench.preset.fuse, len(content.fusion.modalities))
    item_embeddings = content.fused.item_embeddings

    def build(folder: Path) -> None:
        fit_opq_by_modality(
            item_embeddings[bench.is_training],
            num_modalities,
            codebooks_for(item_embeddings.shape[1], num_modalities, settings),
            centroids_for(int(bench.is_training.sum()), settings),
            seed=bench.seed,
            num_iterations=settings.num_iterations,
        ).save(folder)

    inputs = {"fused": content.key, "settings": asdict(settings), "seed": bench.seed}
    stage = bench.stages.run("quantize", inputs, build, load_quantizer)
    return FittedQuantizer(stage.result, stage.key)


def codebooks_for(dim: int, num_modalities: int, settings: QuantizeSettings) -> int:
    """The largest number of codebooks up to the setting that splits every modality's part into equal pieces.

    >>> long = QuantizeSettings(num_codebooks=16)
    >>> [codebooks_for(dim, num_modalities, long) for dim, num_modalities in ((128, 1), (40, 1), (6, 1), (24, 2))]
    [16, 10, 6, 12]
    """
    wanted = settings.num_codebooks
    if wanted % num_modalities:
        return wanted  # refused by name when it is fitted
    of_each = wanted // num_modalities
    while dim // num_modalities % of_each:
        of_each -= 1
    return of_each * num_modalities


def centroids_for(num_items: int, settings: QuantizeSettings) -> int:
    """The largest power of two that leaves every centroid enough training items, up to the setting.

    >>> [centroids_for(num_items, QuantizeSettings()) for num_items in (20, 1_000, 5_000, 1_000_000)]
    [2, 64, 256, 256]
    """
    enough = max(2, num_items // settings.min_items_per_centroid)
    return min(settings.num_centroids, 1 << (enough.bit_length() - 1))
