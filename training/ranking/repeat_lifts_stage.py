"""Stage: a recommender and training sequences -> how far to move the items that a user already has."""

from pathlib import Path

from clairo_core.ranking import RepeatLifts, load_repeat_lifts
from clairo_core.recommender import Recommender
from training.evaluation.split import ALLOWED, last_training_items, some_users, validation_split
from training.ranking.fit_repeat_lifts import fit_repeat_lifts, repeat_share
from training.workbench.workbench import Workbench

USERS = 300
"""Enough for a mean probability; the same for every seed."""


def repeat_lifts_stage(bench: Workbench, recommender: Recommender, ranked_by: str) -> RepeatLifts:
    """Fit the lifts. `ranked_by` is the key of the stage that chose the recommender's search for its ranking."""

    def build(folder: Path) -> None:
        # A repeat counts here, and a lift needs histories, no targets.
        validation = validation_split(bench.dataset, ALLOWED)
        if not len(validation.targets):
            validation = last_training_items(bench.training)
        histories = some_users(validation, USERS, seed=0).histories
        lifts = fit_repeat_lifts(recommender, bench.item_ids, bench.crowd, histories, bench.progress)
        lifts.save(folder / "repeats.json")

    inputs = {"ranked_by": ranked_by}
    lifts = bench.stages.run("repeats", inputs, build, lambda folder: load_repeat_lifts(folder / "repeats.json")).result
    bench.report(
        f"repeats: {repeat_share(bench.crowd):.2%} of the next items in training; log-probabilities of what a user "
        f"has are changed by {lifts.generator:+.2f} (generator alone), {lifts.together:+.2f} (all together) and "
        f"{lifts.without_generator:+.2f} (without generator)"
    )
    return lifts
