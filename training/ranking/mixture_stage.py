"""Stage: generator, dense heads, item weights and validation users -> the joint ranking."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from clairo_core.ranking import DenseHeads, JointRanking, Mixture, load_mixture
from clairo_core.ranking.dense_index import INDEXED_FROM, load_dense_index
from clairo_core.ranking.joint_ranking import CONTENT, GENERATOR, WITHOUT_GENERATOR
from clairo_core.ranking.mixture import KIND as MIXTURE_KIND
from clairo_core.ranking.pair_evidence import load_content, save_content
from training.config.preset import DENSE_RERANKS
from training.counts.item_weights_stage import FittedItemWeights
from training.evaluation.split import last_training_items, some_users
from training.generator.generator_stage import TrainedGenerator
from training.items.content_vectors import content_vectors
from training.items.described_items import DescribedItems
from training.ranking.calibrate_new_items import NewItemCalibration, calibrated
from training.ranking.dense_heads_stage import TrainedDenseHeads
from training.ranking.fit_mixture import fit_mixture, plain_mixture
from training.ranking.mixture_examples import mixture_examples, with_new_items
from training.workbench.workbench import Workbench

INDEX, MIXTURE = "dense-index.faiss", "mixture"
NEW_ITEMS_FILE = "new-items.json"
MOST_CALIBRATING = 4000
"""New items are calibrated on a sample of at most this many validation users, the same for every seed."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedMixture:
    """All components and the mixture that weighs them, or none where the dense head reranks."""

    joint_ranking: JointRanking
    key: str
    new_items: NewItemCalibration | None
    """Of the mixture; None without validation users or new items to try."""


def mixture_stage(
    bench: Workbench,
    items: DescribedItems,
    generator: TrainedGenerator,
    dense_heads: TrainedDenseHeads,
    item_weights: FittedItemWeights,
) -> FittedMixture:
    """Fit one mixture of all components and one without the generator, and calibrate new items in both.

    Plain weights if no next item can be found. Nothing is fitted where the dense head reranks.
    """
    settings = bench.preset.mix
    if settings.kind == DENSE_RERANKS:
        ranking = JointRanking(dense_heads.trained, {}, None, bench.training_counts, reranks_densely=True)
        return FittedMixture(ranking, f"{generator.key} reranked by {dense_heads.key}", None)

    def unfitted(heads: DenseHeads, content: Float32[np.ndarray, "item dim"] | None) -> JointRanking:
        return JointRanking(heads, item_weights.weights, None, bench.training_counts, item_weights.together, content)

    def build(folder: Path) -> None:
        heads, content = dense_heads.trained, None
        if heads.num_items >= INDEXED_FROM:
            # As it is served.
            heads = heads.indexed()
            assert heads.index is not None
            heads.index.save(folder / INDEX)
        if items.content is not None:
            encoded = items.content.encoded
            content = content_vectors({modality: encoded[modality].embeddings() for modality in encoded})
            save_content(folder / CONTENT, content)
        components = unfitted(heads, content)
        validated = bench.some_validation_users(settings.max_users)
        is_validated = len(validated.targets) > 0
        # Training ends give the scale of the scores, never their weights: every component has learned them.
        users = validated if is_validated else some_users(last_training_items(bench.training), settings.max_users, 0)
        pretended = mixture_examples(
            generator.recommender,
            # Unnamed, so that the ranking with new items is dropped before the fit takes its memory.
            with_new_items(components, dense_heads.as_new(), dense_heads.is_held_out),
            bench.item_ids,
            some_users(users, MOST_CALIBRATING, seed=0),
            bench.progress,
        )
        examples = mixture_examples(generator.recommender, components, bench.item_ids, users, bench.progress)
        if not (is_validated and examples.has_target.any()):
            bench.report("mixture: no component finds a validation user's next item; all weigh the same")

        def fitted(names: tuple[str, ...], label: str) -> tuple[Mixture, NewItemCalibration | None]:
            of_names = examples.of_components(names)
            if not is_validated:
                return plain_mixture(of_names), None
            mixture = fit_mixture(of_names, bench.seed)
            mixture, of_new_items = calibrated(mixture, pretended.of_components(names), settings.most_lost_to_new)
            if of_new_items is not None:
                bench.report(f"{label}: {described(of_new_items, bench.preset.dense.held_out_share)}")
            return mixture, of_new_items

        every = components.components
        without = tuple(name for name in every if name != GENERATOR)
        mixture, of_new_items = fitted(every, "mixture")
        without_generator, _ = fitted(without, "mixture without generator")
        mixture.save(folder / MIXTURE)
        without_generator.save(folder / WITHOUT_GENERATOR)
        if of_new_items is not None:
            (folder / NEW_ITEMS_FILE).write_text(json.dumps(asdict(of_new_items)), encoding="utf-8")

    def load(folder: Path) -> tuple[JointRanking, NewItemCalibration | None]:
        path = folder / NEW_ITEMS_FILE
        found = NewItemCalibration(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
        heads = dense_heads.trained
        if heads.num_items >= INDEXED_FROM:
            index = load_dense_index(folder / INDEX, [head.item_vectors for head in heads.heads])
            heads = replace(heads, index=index)
        content = None if items.content is None else load_content(folder / CONTENT, len(bench.dataset.items))
        ranking = replace(
            # Heads and counts are those in memory: a second copy takes gigabytes in a large catalogue.
            unfitted(heads, content),
            mixture=load_mixture(folder / MIXTURE),
            mixture_without_generator=load_mixture(folder / WITHOUT_GENERATOR),
        )
        return ranking, found

    inputs = {
        "generator": generator.key,
        "dense": dense_heads.key,
        "weights": item_weights.key,
        "mix": asdict(settings),
        "mixture": MIXTURE_KIND,
        "views": bench.preset.evaluate.num_views,
        "beams": bench.preset.evaluate.num_beams,
        "seed": bench.seed,
    }
    stage = bench.stages.run("mixture", inputs, build, load)
    joint_ranking, new_items = stage.result
    return FittedMixture(joint_ranking, stage.key, new_items)


def described(of_new_items: NewItemCalibration, held_out_share: float) -> str:
    """The calibration as a sentence."""
    return (
        f"as if {held_out_share:.0%} of the items had been posted just now, they take "
        f"{of_new_items.share_of_places:.1%} of the places for {of_new_items.share_of_targets:.1%} of the next items; "
        f"validation Recall@10 is {of_new_items.cold_recall:.4f} for their users and {of_new_items.warm_recall:.4f} "
        f"for the others' ({of_new_items.warm_recall_without:.4f} without them)"
    )
