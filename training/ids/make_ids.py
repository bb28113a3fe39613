"""Make ids from a dataset's items with the stages of a preset, up to the quantizer."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from clairo_core.features import COLLISION_CATEGORY
from clairo_core.generation.t5.generator import choose_device
from clairo_core.progress import Progress
from clairo_core.quantizers import Quantizer
from training.config.load_preset import load_preset
from training.datasets.open_dataset import open_dataset
from training.ids.item_ids import ItemIds, Origin, check_parquet, unique_ids
from training.items.describe_items import describe_items
from training.pipeline.present_modalities import with_present_modalities
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench


def make_ids(
    data: Path,
    out: Path,
    preset: str,
    overrides: Sequence[str],
    seed: int,
    device: str,
    progress: Progress,
    report: Callable[[str], None],
) -> ItemIds:
    """Write the ids to `out`; unchanged stages beside it are reused. Codes of the dataset's own are taken as they are.

    Raises:
        SettingsError: the preset or an override is not allowed, or `out` does not end in .parquet.
        ClairoError: a stage cannot work with the data or the settings.
    """
    check_parquet(out)
    settings = load_preset(preset, overrides)
    dataset = open_dataset(data, settings.dataset, settings.encode.modalities, progress)
    settings = with_present_modalities(settings, dataset, report)
    stages = StageCache(out.parent / ".stages", report)
    described = describe_items(Workbench(dataset, settings, seed, choose_device(device), stages, progress, report))
    codes = [place for place, name in enumerate(described.space.category_names) if name != COLLISION_CATEGORY]
    semantic_ids = described.feature_sets[:, codes]
    sizes = tuple(described.space.category_sizes[place] for place in codes)
    if described.content is None:
        origin = Origin(f"codes of {dataset.name}")
    else:
        error = reconstruction_error(described.content.quantizer, described.content.fused.item_embeddings, semantic_ids)
        origin = Origin(f"preset {settings.name}", error)
    ids = unique_ids(tuple(item.item_id for item in dataset.items), semantic_ids, sizes, origin)
    ids.save(out)
    return ids


def reconstruction_error(
    quantizer: Quantizer,
    item_embeddings: Float[np.ndarray, "item dim"],
    semantic_ids: Int[np.ndarray, "item codebook"],
) -> float:
    """Share of the item embeddings' variance that decoding loses: 0 if codes say all, 1 if they say nothing."""
    embeddings = item_embeddings.astype(np.float64)
    lost = np.square(embeddings - quantizer.decode(semantic_ids)).sum()
    spread = np.square(embeddings - embeddings.mean(axis=0)).sum()
    return float(lost / spread) if spread else 0.0
