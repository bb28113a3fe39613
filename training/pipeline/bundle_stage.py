"""Stage: the results of all other stages -> a bundle."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clairo_core.bundle.write_bundle import BundleParts, write_bundle
from clairo_core.recommender import Recommender
from training.generator.generator_stage import TrainedGenerator
from training.items.described_items import DescribedItems
from training.workbench.workbench import Workbench


def bundle_stage(
    bench: Workbench,
    out: Path,
    items: DescribedItems,
    generator: TrainedGenerator,
    recommender: Recommender,
    metrics: Mapping[str, object],
) -> None:
    """Write the bundle to `out`."""
    bench.report(f"bundle: writing {out}")
    content: dict[str, Any] = {}
    if items.content is not None:
        content = {
            "encoders": {modality: encoded.encoder() for modality, encoded in items.content.encoded.items()},
            "fusion": items.content.fusion,
            "quantizer": items.content.quantizer,
            "item_embeddings": items.content.fused,
        }
    write_bundle(
        out,
        BundleParts(
            preset=bench.preset.name,
            max_history_items=recommender.max_history_items,
            dataset_name=bench.dataset.name,
            dataset_fingerprint=bench.dataset.fingerprint,
            settings=bench.preset.as_dict() | {"seed": bench.seed},
            metrics={"fit": asdict(generator.progress), **metrics},
            vocabulary=recommender.tokenizer.vocabulary,
            catalogue=recommender.catalogue,
            popularity=bench.training_counts,
            user_popularity=recommender.popular.weights,
            items=bench.dataset.items,
            generator_folder=generator.checkpoint,
            joint_ranking=recommender.joint_ranking,
            repeat_lifts=recommender.repeat_lifts,
            **content,
        ),
    )
