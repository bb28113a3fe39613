"""Turn a dataset and a preset into an evaluated bundle, stage by stage. Start at `train_bundle`.

    dataset -> feature sets -> vocabulary -> generator -> joint ranking -> serving points -> repeat lifts -> evaluation
    -> bundle

Every stage has a file in its room, ROOM/NAME_stage.py, with its inputs, its build and its typed result.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from clairo_core.recommender import Recommender
from training.counts.item_weights_stage import item_weights_stage
from training.generator.generator_stage import generator_stage
from training.items.carry_items import carry_items
from training.items.describe_items import describe_items
from training.pipeline.bundle_stage import bundle_stage
from training.pipeline.evaluate import Evaluation
from training.pipeline.evaluation_stage import evaluation_stage
from training.pipeline.missing_targets import check_targets
from training.pipeline.odd_interactions import popular_by_users, warn_of_odd_interactions
from training.pipeline.warm_start import WarmStart
from training.ranking.dense_heads_stage import dense_heads_stage
from training.ranking.mixture_stage import mixture_stage
from training.ranking.repeat_lifts_stage import repeat_lifts_stage
from training.ranking.serving_points_stage import serving_points_stage
from training.vocabulary.vocabulary_stage import grown_vocabulary_stage, vocabulary_stage
from training.workbench.workbench import Workbench

Measure = Callable[[Recommender], Mapping[str, object]]
"""The trained recommender -> further metrics of the bundle, by name."""


def train_bundle(
    bench: Workbench,
    out: Path,
    measure: Measure | None = None,
    start: WarmStart | None = None,
    *,
    split_name: str = "validation",
) -> Evaluation | None:
    """Run every stage that is not cached, write the bundle to `out`, and return its table.

    Without held-out users there is no table.

    Args:
        bench: the run's data, settings and tools.
        out: the bundle's folder.
        measure: computes further metrics for the bundle's manifest.
        start: an earlier bundle to continue from; without it, everything is learned from scratch.
        split_name: of the table, `validation`, or `test` once everything is chosen.

    Raises:
        ClairoError: a stage cannot work with the data or the settings.
    """
    check_targets(bench)
    warn_of_odd_interactions(bench)
    if start is None:
        items = describe_items(bench)
        vocabulary = vocabulary_stage(bench, items)
        generator = generator_stage(bench, items, vocabulary)
    else:
        items = carry_items(bench, start.bundle)
        vocabulary = grown_vocabulary_stage(bench, items, start.bundle.vocabulary, start.added_tokens)
        generator = generator_stage(bench, items, vocabulary, start.bundle)
    recommender, ranked_by = generator.recommender.with_popularity(popular_by_users(bench)), generator.key
    metrics: dict[str, object] = {}
    if bench.preset.dense.dim:
        dense_heads = dense_heads_stage(bench, items)
        mixture = mixture_stage(bench, generator, dense_heads, item_weights_stage(bench))
        recommender, ranked_by = recommender.ranked_by(mixture.joint_ranking), mixture.key
        metrics["dense"] = asdict(dense_heads.members[0].progress)
    serving = serving_points_stage(bench, recommender, ranked_by)
    recommender = recommender.with_points(serving.points)
    recommender = recommender.with_repeat_lifts(repeat_lifts_stage(bench, recommender, serving.key))
    metrics["serving"] = serving.as_dict()
    evaluation = evaluation_stage(bench, recommender, split_name)
    if evaluation is not None:
        metrics["evaluation"] = evaluation.as_dict()
    if measure is not None:
        metrics |= measure(recommender)
    bundle_stage(bench, out, items, generator, recommender, metrics)
    return evaluation
