"""Make what ranks beside the generator, one cached stage after another. Start at `joint_ranking_stages`.

    content, training sequences -> dense head
    training sequences -> item weights
    both, the generator, validation users -> mixture

Knows the order of the stages and what each one's result depends on; each step's own module knows the rest.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from clairo_core.features import COLLISION_CATEGORY
from clairo_core.fusion import load_fusion
from clairo_core.ranking import (
    JointRanking,
    load_dense_head,
    load_item_weights,
    load_joint_ranking,
)
from clairo_core.ranking.joint_ranking import COMPONENTS
from clairo_core.ranking.mixture import KIND as MIXTURE_KIND
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from training.config.preset import AUTO, RECURRENT, TRANSFORMER
from training.counts.fit_item_weights import fit_item_weights
from training.counts.popularity import count_popularity
from training.evaluation.split import some_users, training_sequences, validation_split
from training.items.describe_items import DescribedItems, held_out_items
from training.items.encode_items import load_embeddings
from training.ranking.calibrate_new_items import calibrated
from training.ranking.fit_dense_head import fit_dense_head
from training.ranking.fit_mixture import fit_mixture
from training.ranking.mixture_examples import mixture_examples, with_new_items
from training.workbench.checkpoints import load_progress
from training.workbench.workbench import Workbench


def joint_ranking_stages(
    bench: Workbench, described: DescribedItems, generator_stage_name: str, recommender: Recommender
) -> tuple[JointRanking, Path, Path]:
    """The joint ranking, and the folders of the stages that weighed it and that trained the dense head.

    Args:
        bench: the run's data and settings.
        described: what the items look like.
        generator_stage_name: of the stage that trained the recommender's generator.
        recommender: the generator alone.
    """
    training = training_sequences(bench.dataset)
    dense_folder = dense_head_stage(bench, described, training)
    weights_folder = item_weights_stage(bench, training)

    def build(folder: Path) -> None:
        mixture_inputs = JointRanking(
            load_dense_head(dense_folder / "dense-head" / "trained"),
            {name: load_item_weights(weights_folder / name) for name in COMPONENTS if (weights_folder / name).is_dir()},
            None,
            count_popularity(training, len(bench.dataset.items)),
        )
        as_new = load_dense_head(dense_folder / "dense-head" / "as-new")
        with_posted = with_new_items(mixture_inputs, as_new, playing_new(bench, described))
        examples, pretended = mixture_examples(
            recommender,
            (mixture_inputs, with_posted),
            [item.item_id for item in bench.dataset.items],
            some_users(validation_split(bench.dataset), bench.preset.mix.max_users, bench.seed),
            bench.progress,
        )
        mixture = fit_mixture(mixture_inputs.components, examples, bench.seed)
        mixture, of_new_items = calibrated(mixture, pretended, bench.preset.mix.most_lost_to_new)
        if of_new_items is not None:
            bench.report(
                f"mixture: as if {bench.preset.dense.held_out_share:.0%} of the items had been posted just now, they "
                f"take {of_new_items.share_of_places:.1%} of the places for {of_new_items.share_of_targets:.1%} of the "
                f"next items; validation Recall@10 is {of_new_items.cold_recall:.4f} for their users and "
                f"{of_new_items.warm_recall:.4f} for the others' ({of_new_items.warm_recall_without:.4f} without them)"
            )
        replace(mixture_inputs, mixture=mixture).save(folder / "ranking")

    folder = bench.stages.run(
        "mixture",
        {
            "generator": generator_stage_name,
            "dense": dense_folder.name,
            "weights": weights_folder.name,
            "mix": asdict(bench.preset.mix),
            "mixture": MIXTURE_KIND,
            "views": bench.preset.evaluate.num_views,
            "beams": bench.preset.evaluate.num_beams,
            "seed": bench.seed,
        },
        build,
    )
    counts = count_popularity(training, len(bench.dataset.items))
    return load_joint_ranking(folder / "ranking", counts), folder, dense_folder


def dense_head_stage(bench: Workbench, described: DescribedItems, training: ItemSequences) -> Path:
    """The dense head as trained, and with every item as if it had been posted just now.

    Of several history encoders, the one with the best NDCG@10 on validation.
    """
    encoder = bench.preset.dense.encoder
    if encoder != AUTO:
        return one_dense_head_stage(bench, described, training, encoder)
    folders = {name: one_dense_head_stage(bench, described, training, name) for name in (RECURRENT, TRANSFORMER)}
    ndcgs = {name: load_progress(folder).best_ndcg for name, folder in folders.items()}
    best = max(ndcgs, key=lambda name: ndcgs[name])
    listed = ", ".join(f"{name} {ndcg:.4f}" for name, ndcg in ndcgs.items())
    bench.report(f"dense head: {best}, by validation NDCG@10 of what reads histories: {listed}")
    return folders[best]


def one_dense_head_stage(bench: Workbench, described: DescribedItems, training: ItemSequences, encoder: str) -> Path:
    """The same with one history encoder, `recurrent` or `transformer`."""
    settings = replace(bench.preset.dense, encoder=encoder)

    def build(folder: Path) -> None:
        bench.report(f"dense head: {encoder}")
        fit_dense_head(
            folder,
            training,
            content_as_posted(described),
            playing_new(bench, described),
            some_users(validation_split(bench.dataset), settings.validation_users, bench.seed),
            settings,
            device=bench.device,
            seed=bench.seed,
            progress=bench.progress,
            report=bench.report,
        )

    inputs = {
        "dataset": bench.dataset.fingerprint,
        "items": described.digest,
        "dense": asdict(settings),
        "seed": bench.seed,
    }
    return bench.stages.run("dense-head", inputs, build)


def playing_new(bench: Workbench, described: DescribedItems) -> Bool[np.ndarray, "item"]:
    """The held-out items; none where nothing can be posted."""
    if described.folders:
        return held_out_items(bench)
    return np.zeros(len(bench.dataset.items), dtype=np.bool_)


def content_as_posted(described: DescribedItems) -> Float32[np.ndarray, "item dim"]:
    """Each item's embedding by its content alone, as a posted item gets it; of precomputed codes, which it has."""
    if not described.folders:
        return one_column_a_feature(described)
    fusion = load_fusion(described.folders["fusion"])
    embeddings = {name: load_embeddings(described.folders[name] / "embeddings.npz") for name in fusion.modalities}
    return fusion.fuse(embeddings).item_embeddings.astype(np.float32)


def one_column_a_feature(described: DescribedItems) -> Float32[np.ndarray, "item feature"]:
    """1 where an item has a feature; the collision index says nothing of content and has no columns."""
    names, sizes = described.space.category_names, described.space.category_sizes
    blocks = [
        np.eye(size, dtype=np.float32)[described.feature_sets[:, category]]
        for category, (name, size) in enumerate(zip(names, sizes, strict=True))
        if name != COLLISION_CATEGORY
    ]
    return np.hstack(blocks)


def item_weights_stage(bench: Workbench, training: ItemSequences) -> Path:
    """What goes with what, a folder a component."""
    settings = bench.preset.mix

    def build(folder: Path) -> None:
        weights, chosen = fit_item_weights(
            training, len(bench.dataset.items), validation_split(bench.dataset), settings, bench.progress
        )
        for component, of_component in weights.items():
            of_component.save(folder / component)
        (folder / "chosen.json").write_text(json.dumps(chosen, indent=2), encoding="utf-8")

    inputs = {
        "dataset": bench.dataset.fingerprint,
        "max_ease_items": settings.max_ease_items,
        "ease_weights_per_item": settings.ease_weights_per_item,
    }
    folder = bench.stages.run("item-weights", inputs, build)
    chosen = json.loads((folder / "chosen.json").read_text(encoding="utf-8"))
    for component, of_component in chosen.items():
        values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in of_component.items())
        bench.report(f"{component}: {values}, chosen on validation")
    return folder
