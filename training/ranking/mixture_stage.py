"""Stage: generator, dense head, item weights and validation users -> the joint ranking."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clairo_core.ranking import JointRanking, load_joint_ranking
from clairo_core.ranking.mixture import KIND as MIXTURE_KIND
from training.counts.item_weights_stage import FittedItemWeights
from training.evaluation.split import last_training_items, some_users
from training.generator.generator_stage import TrainedGenerator
from training.ranking.calibrate_new_items import calibrated
from training.ranking.dense_head_stage import TrainedDenseHead
from training.ranking.fit_mixture import fit_mixture, plain_mixture
from training.ranking.mixture_examples import mixture_examples, with_new_items
from training.workbench.workbench import Workbench


@dataclass(frozen=True, slots=True, eq=False)
class FittedMixture:
    """All components and the mixture that weighs them."""

    joint_ranking: JointRanking
    key: str


def mixture_stage(
    bench: Workbench, generator: TrainedGenerator, dense_head: TrainedDenseHead, item_weights: FittedItemWeights
) -> FittedMixture:
    """Fit the mixture on validation users and calibrate new items; plain weights if no next item can be found."""
    settings = bench.preset.mix

    def build(folder: Path) -> None:
        components = JointRanking(dense_head.trained, item_weights.weights, None, bench.training_counts)
        with_posted = with_new_items(components, dense_head.as_new, dense_head.is_held_out)
        users = bench.some_validation_users(settings.max_users)
        is_validated = len(users.targets) > 0
        examples, pretended = mixture_examples(
            generator.recommender,
            (components, with_posted),
            bench.item_ids,
            # Training ends give the scale of the scores, never their weights: every component has learned them.
            users if is_validated else some_users(last_training_items(bench.training), settings.max_users, bench.seed),
            bench.progress,
        )
        of_new_items = None
        if is_validated:
            mixture = fit_mixture(components.components, examples, bench.seed)
            mixture, of_new_items = calibrated(mixture, pretended, settings.most_lost_to_new)
        else:
            mixture = plain_mixture(components.components, examples)
        if not (is_validated and examples.has_target.any()):
            bench.report("mixture: no component finds a validation user's next item; all weigh the same")
        if of_new_items is not None:
            bench.report(
                f"mixture: as if {bench.preset.dense.held_out_share:.0%} of the items had been posted just now, they "
                f"take {of_new_items.share_of_places:.1%} of the places for {of_new_items.share_of_targets:.1%} of the "
                f"next items; validation Recall@10 is {of_new_items.cold_recall:.4f} for their users and "
                f"{of_new_items.warm_recall:.4f} for the others' ({of_new_items.warm_recall_without:.4f} without them)"
            )
        replace(components, mixture=mixture).save(folder / "ranking")

    inputs = {
        "generator": generator.key,
        "dense": dense_head.key,
        "weights": item_weights.key,
        "mix": asdict(settings),
        "mixture": MIXTURE_KIND,
        "views": bench.preset.evaluate.num_views,
        "beams": bench.preset.evaluate.num_beams,
        "seed": bench.seed,
    }
    stage = bench.stages.run(
        "mixture", inputs, build, lambda folder: load_joint_ranking(folder / "ranking", bench.training_counts)
    )
    return FittedMixture(stage.result, stage.key)
