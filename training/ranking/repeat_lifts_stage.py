"""Stage: a recommender and training sequences -> how far to move the items that a user already has."""

from pathlib import Path

from clairo_core.ranking import RepeatLifts, load_repeat_lifts
from clairo_core.recommender import Recommender
from training.ranking.fit_repeat_lifts import fit_repeat_lifts, repeat_share
from training.workbench.workbench import Workbench

USERS = 300
"""Enough for a mean probability."""


def repeat_lifts_stage(bench: Workbench, recommender: Recommender, ranked_by: str) -> RepeatLifts:
    """Fit the lifts. `ranked_by` is the key of the stage that made the recommender's ranking."""

    def build(folder: Path) -> None:
        histories = bench.some_validation_users(USERS).histories
        lifts = fit_repeat_lifts(recommender, bench.item_ids, bench.crowd, histories, bench.progress)
        lifts.save(folder / "repeats.json")

    inputs = {
        "ranked_by": ranked_by,
        "views": bench.preset.evaluate.num_views,
        "beams": bench.preset.evaluate.num_beams,
        "seed": bench.seed,
    }
    lifts = bench.stages.run("repeats", inputs, build, lambda folder: load_repeat_lifts(folder / "repeats.json")).result
    bench.report(
        f"repeats: {repeat_share(bench.crowd):.2%} of the next items in training; log-probabilities of what a user "
        f"has are changed by {lifts.generator:+.2f} (generator alone) and {lifts.together:+.2f}"
    )
    return lifts
