"""Let measured parts learn from more interactions, those that measured them among them. Start at `refit`.

While a bundle is measured, two items of each user are held out: a third of all interactions where histories are short.
Afterwards nothing needs them, and the bundle is served to the same users. Every choice stays: settings, features,
tokens, weights of the mixture, calibration of new items, serving points, repeat lifts, strength of dislikes. Counts are
exact. Dense heads and generator go on from their weights over all interactions, since one that learned the new ones
alone would forget the others; see `refit_epochs`.
"""

from dataclasses import replace

from training.counts.item_weights_stage import refitted_item_weights_stage
from training.generator.generator_stage import refitted_generator_stage
from training.pipeline.odd_interactions import popular_by_users
from training.pipeline.trained_parts import RankedParts, TrainedParts
from training.ranking.dense_heads_stage import refitted_dense_heads_stage
from training.workbench.workbench import Workbench


def refit(bench: Workbench, measured: TrainedParts) -> TrainedParts:
    """The parts after they have learned from the sequences that `bench` learns from; see `Workbench.learning_from`."""
    bench.report(f"refit: on {len(bench.training.items):,} interactions, measured on {measured.num_interactions:,}")
    generator = refitted_generator_stage(bench, measured.items, measured.vocabulary, measured.generator)
    recommender = generator.recommender.with_popularity(popular_by_users(bench))
    ranked, ranking = measured.ranked, measured.recommender.joint_ranking
    if ranked is not None and ranking is not None:
        ranked = RankedParts(
            refitted_dense_heads_stage(bench, measured.items, ranked.dense_heads),
            refitted_item_weights_stage(bench, ranked.item_weights),
            ranked.new_items,
        )
        ranking = replace(
            ranking,
            dense_heads=ranked.dense_heads.trained,
            item_weights=ranked.item_weights.weights,
            training_counts=bench.training_counts,
            together=ranked.item_weights.together,
        )
    recommender = recommender.ranked_by(ranking).with_points(measured.serving.points)
    recommender = recommender.with_disliked_neighbours(measured.recommender.disliked_neighbours)
    return replace(
        measured,
        generator=generator,
        ranked=ranked,
        recommender=recommender.with_repeat_lifts(measured.recommender.repeat_lifts),
        training_counts=bench.training_counts,
    )
