"""Stage: a recommender and held-out targets -> the bundle's table. Never cached: it runs once, when all is chosen."""

from clairo_core.recommender import Recommender
from training.counts.popularity import count_popularity
from training.evaluation.repeat_lift import lift_users
from training.evaluation.split import ALLOWED, held_out, validation_split
from training.evaluation.split_description import describe_split
from training.pipeline.evaluate import Evaluation, evaluate, table_of
from training.workbench.workbench import Workbench


def evaluation_stage(bench: Workbench, recommender: Recommender, split_name: str) -> Evaluation | None:
    """Measure on `validation`, or once all is chosen on `test`, and report the table. None without held-out users."""
    targets = bench.test if split_name == "test" else held_out(validation_split, bench.dataset)
    if not len(targets[ALLOWED].targets):
        return None
    evaluation = evaluate(
        recommender,
        bench.dataset,
        count_popularity(bench.training, len(bench.dataset.items)),
        bench.training_counts,
        targets,
        lift_users(bench.dataset),
        split_name=split_name,
        max_users=bench.preset.evaluate.max_users,
        seed=bench.seed,
        num_resamples=bench.preset.evaluate.num_resamples,
        held_out=describe_split(bench.dataset, split_name),
        progress=bench.progress,
    )
    bench.report(table_of(evaluation, bench.preset.name))
    return evaluation
