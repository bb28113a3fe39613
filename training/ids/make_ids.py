"""Make ids from a dataset's items with the stages of a preset, up to the quantizer."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from clairo_core.bundle.manifest import NUMBERED
from clairo_core.errors import SettingsError
from clairo_core.features import COLLISION_CATEGORY
from clairo_core.generation.t5.generator import choose_device
from clairo_core.progress import Progress
from clairo_core.quantizers import Quantizer
from training.config.load_preset import load_preset
from training.datasets.open_dataset import open_dataset
from training.evaluation.split import split_by
from training.ids.item_ids import ItemIds, Origin, check_parquet, unique_ids
from training.items.describe_items import describe_items
from training.pipeline.present_modalities import with_present_modalities
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench


def make_ids(
    data: Path,
    out: Path,
    preset: str,
    quantizer: str | None,
    overrides: Sequence[str],
    seed: int,
    device: str,
    progress: Progress,
    report: Callable[[str], None],
) -> ItemIds:
    """Write the ids to `out`; unchanged stages beside it are reused.

    Without `quantizer`, that of the preset is fitted, and codes of the dataset's own are taken as they are.

    Raises:
        SettingsError: the preset or an override is not allowed, the dataset has codes and `quantizer` reads content, or
            `out` does not end in .parquet.
        ClairoError: a stage cannot work with the data or the settings.
    """
    check_parquet(out)
    settings = load_preset(preset, [*overrides, *([] if quantizer is None else [f"quantize.kind={quantizer}"])])
    dataset = split_by(open_dataset(data, settings.dataset, settings.encode.modalities, progress), settings.split)
    if quantizer is not None and quantizer not in NUMBERED and dataset.semantic_ids is not None:
        raise SettingsError(
            f"--quantizer is {quantizer}, but {dataset.name} has codes, which are taken as they are; leave it out, or "
            "quantize the codes again by --set dataset.codes=vectors and their modalities (docs/datasets.md)"
        )
    settings = with_present_modalities(settings, dataset, report)
    stages = StageCache(out.parent / ".stages", report)
    described = describe_items(Workbench(dataset, settings, seed, choose_device(device), stages, progress, report))
    space, feature_sets = described.space, described.feature_sets
    codes = [place for place, name in enumerate(space.category_names) if name != COLLISION_CATEGORY]
    semantic_ids = feature_sets[:, codes]
    names = tuple(space.category_names[place] for place in codes)
    sizes = tuple(space.category_sizes[place] for place in codes)
    kind, error = settings.quantize.kind, None
    name = f"preset {settings.name}, quantizer {kind}"
    if described.content is not None:
        error = reconstruction_error(described.content.quantizer, described.content.fused.item_embeddings, semantic_ids)
    elif kind not in NUMBERED:
        name = f"codes of {dataset.name}"
    origin = Origin(name, error)
    ids = unique_ids(tuple(item.item_id for item in dataset.items), semantic_ids, names, sizes, origin)
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
