"""Turn a dataset and a preset into an evaluated bundle, stage by stage. Start at `train_bundle`.

    dataset -> feature sets -> vocabulary -> generator -> joint ranking -> serving points -> repeat lifts -> dislikes
    -> evaluation -> refit -> bundle

Every stage has a file in its room, ROOM/NAME_stage.py, with its inputs, its build and its typed result.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from clairo_core.recommender import Recommender
from training.counts.item_weights_stage import item_weights_stage
from training.evaluation.split import sequences_before_test
from training.generator.generator_stage import generator_stage
from training.items.carry_items import carry_items
from training.items.describe_items import describe_items
from training.pipeline.bundle_stage import bundle_stage
from training.pipeline.evaluate import Evaluation
from training.pipeline.evaluation_stage import evaluation_stage
from training.pipeline.missing_targets import check_targets
from training.pipeline.odd_interactions import popular_by_users, report_events, warn_of_odd_interactions
from training.pipeline.refit import refit
from training.pipeline.trained_parts import RankedParts, TrainedParts
from training.pipeline.warm_start import WarmStart
from training.ranking.dense_heads_stage import dense_heads_stage
from training.ranking.dislikes_stage import dislikes_stage
from training.ranking.mixture_stage import mixture_stage
from training.ranking.repeat_lifts_stage import repeat_lifts_stage
from training.ranking.serving_points_stage import serving_points_stage
from training.vocabulary.vocabulary_stage import grown_vocabulary_stage, vocabulary_stage
from training.workbench.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison adds to a bundle's metrics, and whether it speaks for serving the bundle."""

    metrics: Mapping[str, object]
    is_refused: bool


Judge = Callable[[Recommender], Verdict]
"""A recommender that has not learned the test targets -> its comparison with another one."""


def train_bundle(
    bench: Workbench,
    out: Path,
    judge: Judge | None = None,
    start: WarmStart | None = None,
    *,
    split_name: str = "validation",
    is_refitted: bool = True,
    has_users: bool = False,
) -> Evaluation | None:
    """Run every stage that is not cached, write the bundle to `out`, and return its table.

    The parts in the bundle have learned from all interactions, those that measured them too. Without held-out users
    there is no table, and they have learned from all already.

    Args:
        bench: the run's data, settings and tools.
        out: the bundle's folder.
        judge: compares the recommender on test targets, which it has not learned; all else it has. One that is refused
            is written as measured.
        start: an earlier bundle to continue from; without it, everything is learned from scratch.
        split_name: of the table, `validation`, or `test` once everything is chosen.
        is_refitted: False writes the parts as they were measured, so that others can measure them on the same data.
        has_users: keep the ids and newest items of all users in the bundle.

    Raises:
        ClairoError: a stage cannot work with the data or the settings.
    """
    check_targets(bench)
    report_events(bench)
    warn_of_odd_interactions(bench)
    measured = train_parts(bench, start)
    metrics = measured.progress() | {"serving": measured.serving.as_dict()}
    if measured.ranked is not None and measured.ranked.new_items is not None:
        metrics["new_items"] = asdict(measured.ranked.new_items)
    evaluation = evaluation_stage(bench, measured.recommender, split_name)
    if evaluation is not None:
        metrics["evaluation"] = evaluation.as_dict()
    is_refitted = is_refitted and len(bench.dataset.sequences.items) > measured.num_interactions
    verdict = Verdict({}, False)
    if judge is not None:
        # The other bundle has learned all interactions of its time. Without this refit, it would win where few are new.
        before_test = bench.learning_from(sequences_before_test(bench.dataset))
        verdict = judge((refit(before_test, measured) if is_refitted else measured).recommender)
        metrics |= verdict.metrics
    served = measured
    if is_refitted and not verdict.is_refused:
        measured = measured.without_item_weights()
        served = refit(bench.learning_from(bench.dataset.sequences), measured)
        metrics["refit"] = served.progress()
    bundle_stage(bench, out, measured, served, metrics, has_users=has_users)
    return evaluation


def train_parts(bench: Workbench, start: WarmStart | None = None) -> TrainedParts:
    """Run the stages up to the evaluation; see `train_bundle`."""
    if start is None:
        items = describe_items(bench)
        vocabulary = vocabulary_stage(bench, items)
        generator = generator_stage(bench, items, vocabulary)
    else:
        items = carry_items(bench, start.bundle, keeps_items=start.keeps_items)
        vocabulary = grown_vocabulary_stage(bench, items, start.bundle.vocabulary, start.added_tokens)
        generator = generator_stage(bench, items, vocabulary, start.bundle)
    recommender, ranked_by, ranked = generator.recommender.with_popularity(popular_by_users(bench)), generator.key, None
    if bench.preset.dense.dim:
        dense_heads, item_weights = dense_heads_stage(bench, items), item_weights_stage(bench)
        mixture = mixture_stage(bench, items, generator, dense_heads, item_weights)
        ranked = RankedParts(dense_heads, item_weights, mixture.new_items)
        recommender, ranked_by = recommender.ranked_by(mixture.joint_ranking), mixture.key
    serving = serving_points_stage(bench, recommender, ranked_by)
    recommender = recommender.with_points(serving.points)
    recommender = recommender.with_repeat_lifts(repeat_lifts_stage(bench, recommender, serving.key))
    embeddings = None if items.content is None else items.content.fused.item_embeddings
    recommender = recommender.with_disliked_neighbours(dislikes_stage(bench, recommender, embeddings, serving.key))
    return TrainedParts(items, vocabulary, generator, ranked, serving, recommender, bench.training_counts)
