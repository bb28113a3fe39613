"""Stage: the results of all other stages -> a bundle."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clairo_core.bundle.bundle_users import keep_users
from clairo_core.bundle.write_bundle import BundleParts, write_bundle
from training.datasets import Dataset
from training.datasets.event_times import newest_second
from training.pipeline.trained_parts import TrainedParts
from training.workbench.workbench import Workbench


def bundle_stage(
    bench: Workbench,
    out: Path,
    measured: TrainedParts,
    served: TrainedParts,
    metrics: Mapping[str, object],
    *,
    has_users: bool = False,
) -> None:
    """Write the bundle of the `served` parts to `out`: the `measured` ones, or these after their refit.

    With `has_users`, the bundle keeps the ids and newest items of the training's users.
    """
    dataset = bench.dataset
    items, recommender = served.items, served.recommender
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
            metrics=metrics,
            vocabulary=recommender.tokenizer.vocabulary,
            catalogue=recommender.catalogue,
            popularity=served.training_counts,
            user_popularity=recommender.popular.weights,
            items=bench.dataset.items,
            generator_folder=served.generator.checkpoint,
            measured_generator_folder=None if served is measured else measured.generator.checkpoint,
            trained_until=_trained_until(dataset),
            trained_on={"measured": measured.num_interactions, "served": served.num_interactions},
            joint_ranking=recommender.joint_ranking,
            repeat_lifts=recommender.repeat_lifts,
            dislike_strength=recommender.disliked_neighbours.strength,
            points=recommender.points,
            rules=bench.dataset.rules,
            attribute_types=bench.dataset.attribute_types,
            users=keep_users(dataset.user_ids, dataset.sequences, dataset.dislikes) if has_users else None,
            **content,
        ),
    )


def _trained_until(dataset: Dataset) -> float | None:
    return None if dataset.days is None or not len(dataset.days) else newest_second(dataset.days, time.time())
